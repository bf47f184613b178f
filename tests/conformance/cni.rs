//! Codes and shapes of SPEC.md 1.1.0, through the real shim.

use serde_json::{Value, json};
use weft_lab::Host;
use weft_tests::{Api, Call};

fn with_network(name: &str, work: impl FnOnce(&Host, &Api)) {
    let host = Host::start(name).unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    api.network("app", json!({"mode": "bridge", "pools": ["10.1.0.0/24", "fd64::/64"]}));
    work(&host, &api);
}

#[test]
fn faulty_calls_have_the_right_code_and_change_nothing() {
    with_network("codes", |host, api| {
        host.netns("c1").unwrap();
        let add = || Call::new("ADD", "c1", "app");
        let long = "x".repeat(16);
        let cases: Vec<(Call, u64, &str)> = vec![
            (add().raw("{"), 6, "is not a JSON object"),
            (add().raw(""), 6, "is not a JSON object"),
            (add().raw(&"x".repeat(1 << 20)), 6, ""),
            (add().raw(&format!("{{\"a\":\"{}\"}}", "x".repeat(2 << 20))), 6, ""),
            (add().with("cniVersion", json!("9.9.9")), 1, "incompatible CNI versions"),
            (add().with("cniVersion", json!(["1.0.0"])), 6, "cniVersion"),
            (add().with("name", json!("a/b")), 7, "a/b"),
            (add().with("name", json!("absent")), 7, "network \"absent\" does not exist"),
            (add().with("network", json!("../x")), 7, "does not exist"),
            (add().with("ipam", json!({"subnet": "10.1.0.0/24"})), 2, "name a plugin by its `type`"),
            (add().env("CNI_CONTAINERID", "../../etc"), 4, "CNI_CONTAINERID"),
            (add().env("CNI_IFNAME", &long), 4, "CNI_IFNAME"),
            (add().env("CNI_IFNAME", "a/b"), 4, "CNI_IFNAME"),
            (add().env("CNI_IFNAME", ""), 4, "[CNI_IFNAME]"),
            (add().env("CNI_NETNS", ""), 4, "[CNI_NETNS]"),
            (add().env("CNI_NETNS", "/run/netns/absent"), 8, "/run/netns/absent"),
            (add().env("CNI_NETNS", "/etc/hostname"), 8, "is not a network namespace"),
            (add().env("CNI_NETNS", "/proc/1/ns/net"), 7, "shares the host's namespace"),
            (Call::new("FROB", "c1", "app"), 4, "unknown CNI_COMMAND: FROB"),
            (Call::new("CHECK", "c1", "app").with("cniVersion", json!("0.3.1")), 1, "CHECK"),
            (Call::new("GC", "", "app").with("cniVersion", json!("1.0.0")), 1, "GC"),
            (Call::new("CHECK", "c1", "app"), 3, "c1@eth0 is not known"),
            (Call::new("STATUS", "", "absent"), 50, "does not exist"),
        ];
        for (call, code, expected) in cases {
            let message = call.refused(host, code);
            assert!(message.contains(expected), "{message}");
        }
        assert!(api.endpoints("").is_empty());
        api.assert_clean();
        Call::new("STATUS", "", "app").done(host);
    });
}

#[test]
fn every_version_gets_its_own_shape() {
    with_network("versions", |host, _| {
        for (n, version) in ["0.3.1", "0.4.0", "1.0.0", "1.1.0"].into_iter().enumerate() {
            let id = format!("c{n}");
            host.netns(&id).unwrap();
            let result = Call::new("ADD", &id, "app").with("cniVersion", json!(version)).done(host);
            assert_eq!(result["cniVersion"], version);
            assert_eq!(result["ips"][0].get("version").is_some(), n < 2, "{result}");
            assert_eq!(result["interfaces"][1].get("mtu").is_some(), n == 3, "{result}");
            Call::new("DEL", &id, "app").with("cniVersion", json!(version)).with("prevResult", result).done(host);
        }
    });
}

#[test]
fn check_sees_what_is_broken() {
    with_network("check", |host, _| {
        let netns = host.netns("c1").unwrap();
        let result = Call::new("ADD", "c1", "app").done(host);
        let check = Call::new("CHECK", "c1", "app").with("prevResult", result);
        check.done(host);
        netns.run(&["ip", "addr", "del", "10.1.0.2/24", "dev", "eth0"]).unwrap();
        let message = check.refused(host, 5);
        assert!(message.contains("eth0 lacks its address 10.1.0.2/24"), "{message}");
    });
    for (mode, damage) in [
        ("bridge", "ip neigh delete 10.2.0.2 dev weftb-net"),
        ("bridge", "bridge fdb delete $(ip netns exec c1 cat /sys/class/net/eth0/address) dev $L master"),
        ("routed", "ip -6 route delete fd62::1/128"),
        ("routed", "ip address delete fe80::1/128 dev $L"),
        ("routed", "tc qdisc delete dev $L clsact"),
        (
            "bridge",
            "bpftool map delete pinned /sys/fs/bpf/weft/v*/weft_endpoints key $(cat /sys/class/net/$L/ifindex | \
            awk '{printf \"%d %d %d %d\", $1%256, int($1/256)%256, int($1/65536)%256, int($1/16777216)}')",
        ),
    ] {
        with_network("checkhost", |host, api| {
            api.network("net", json!({"mode": mode, "pools": ["10.2.0.0/24", "fd62::/64"]}));
            host.netns("c1").unwrap();
            let result = Call::new("ADD", "c1", "net").done(host);
            let check = Call::new("CHECK", "c1", "net").with("prevResult", result);
            check.done(host);
            let script = format!("L=$(ip -o link | grep -o 'wefte[^@]*') && {damage}");
            host.run(&["sh", "-c", &script]).unwrap();
            let message = check.refused(host, 5);
            assert!(message.contains("of wefte") || message.contains("at wefte"), "{damage}: {message}");
        });
    }
}

#[test]
fn without_an_agent_every_command_says_so() {
    let host = Host::start("noagent").unwrap();
    for (command, code) in [("ADD", 11), ("DEL", 11), ("CHECK", 11), ("GC", 11), ("STATUS", 50)] {
        let message = Call::new(command, "c1", "app").env("CNI_NETNS", "/proc/self/ns/net").refused(&host, code);
        assert!(message.contains("/run/weft/weft.sock"), "{message}");
    }
    let version = Call::new("VERSION", "", "app").env("CNI_NETNS", "dummy").done(&host);
    assert_eq!(version["supportedVersions"], json!(["0.3.1", "0.4.0", "1.0.0", "1.1.0"]));
}

#[test]
fn host_and_none_have_results_that_runtimes_take() {
    with_network("linkless", |host, api| {
        api.network("shared", json!({"mode": "host"}));
        api.network("lonely", json!({"mode": "none"}));
        host.netns("c1").unwrap();
        let lonely = Call::new("ADD", "c1", "lonely").done(host);
        assert_eq!(lonely["interfaces"][0]["name"], "lo");
        let own = Call::new("ADD", "c2", "shared").env("CNI_NETNS", "/proc/1/ns/net").done(host);
        assert_eq!(own["interfaces"][0]["name"], "eth0");
        assert_eq!(own["ips"][0]["address"], "198.51.100.2/24");
        assert_ne!(own["interfaces"][0]["mac"], Value::Null);
        let refused = Call::new("ADD", "c1", "shared").env("CNI_IFNAME", "eth1").refused(host, 7);
        assert!(refused.contains("a namespace of its own"), "{refused}");
        api.assert_clean();
    });
}
