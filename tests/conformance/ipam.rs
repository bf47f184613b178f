//! Addresses that another plugin leases: Debian's own, and one that shows what it is given.

use serde_json::{Value, json};
use weft_lab::Host;
use weft_tests::{Api, Call, Chain, assert_deserted, pings, until};

/// Where host-local keeps what it leased on network `app`.
const LEASED: &str = "/tmp/ipam/app";
/// A plugin that notes its calls, takes its time if it is told to, and does what files say.
const FAKE: &str = r#"#!/bin/sh
input=$(cat)
echo "$CNI_COMMAND $CNI_CONTAINERID $CNI_IFNAME ${FLAVOUR:-plain} $input" >> /tmp/calls
if [ -e "/tmp/fail-$CNI_COMMAND" ]; then echo '{"code": 7, "msg": "no luck", "details": "today"}'; exit 1; fi
if [ "$CNI_COMMAND" = ADD ]; then
    while [ -e /tmp/wait ]; do sleep 0.02; done
    echo "{\"ips\": [{\"address\": \"10.1.0.6${CNI_CONTAINERID#c}/24\"}]}"
fi
"#;

fn with_network(name: &str, work: impl FnOnce(&Host, &Api)) {
    let host = Host::start(name).unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    api.network(
        "app",
        json!({"mode": "bridge", "pools": ["10.1.0.0/24", "fd64::/64"], "ranges": ["10.1.0.200-10.1.0.250"]}),
    );
    for n in 1..=6 {
        host.netns(&format!("c{n}")).unwrap();
    }
    host.write("/opt/cni/bin/fake", FAKE).unwrap();
    host.run(&["chmod", "+x", "/opt/cni/bin/fake"]).unwrap();
    work(&host, &api);
    assert_deserted(&host, &api);
}

fn host_local() -> Value {
    let range = json!({"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.10", "rangeEnd": "10.1.0.19"});
    let routes = json!([{"dst": "0.0.0.0/0"}, {"dst": "10.9.0.0/16"}]);
    json!({"type": "host-local", "ranges": [[range]], "routes": routes, "dataDir": "/tmp/ipam"})
}

fn call(command: &str, container: &str, ipam: &Value) -> Call {
    Call::new(command, container, "app").with("cniVersion", json!("1.0.0")).with("ipam", ipam.clone())
}

fn fake(command: &str, container: &str) -> Call {
    call(command, container, &json!({"type": "fake"})).with("cniVersion", json!("1.1.0"))
}

/// Addresses that host-local has given.
fn leased(host: &Host) -> Vec<String> {
    let files = host.run(&["ls", LEASED]).unwrap_or_default();
    files.lines().filter(|name| name.starts_with("10.")).map(str::to_owned).collect()
}

/// What the fake plugin was called for.
fn calls(host: &Host) -> Vec<String> {
    let text = host.run(&["cat", "/tmp/calls"]).unwrap_or_default();
    text.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ").trim().to_owned()).collect()
}

#[test]
fn debians_host_local_leases_and_takes_back() {
    with_network("host-local", |host, api| {
        let chain = Chain::new("app", [json!({"type": "weft-cni", "ipam": host_local()})]);
        let result = chain.add(host, "c1");
        assert_eq!(result["ips"], json!([{"interface": 1, "address": "10.1.0.10/24", "gateway": "10.1.0.1"}]));
        assert!(result["routes"].as_array().unwrap().contains(&json!({"dst": "10.9.0.0/16", "gw": "10.1.0.1"})));
        assert_eq!(leased(host), ["10.1.0.10"]);
        assert!(pings(host, "c1", "10.1.0.1"));
        chain.check(host, "c1", &result);
        api.assert_clean();
        // A second birth frees nothing of the first.
        let refused = call("ADD", "c1", &host_local()).refused(host, 100);
        assert!(refused.contains("c1@eth0 exists"), "{refused}");
        assert_eq!(leased(host), ["10.1.0.10"]);
        assert_eq!(chain.add(host, "c2")["ips"][0]["address"], "10.1.0.11/24");
        host.run(&["rm", &format!("{LEASED}/10.1.0.10")]).unwrap();
        let refused = call("CHECK", "c1", &host_local()).with("prevResult", result.clone()).refused(host, 103);
        assert!(refused.contains("ipam host-local: CHECK: "), "{refused}");
        for _ in 0..2 {
            chain.del(host, "c1", &result);
        }
        // The configuration says nothing of it any more; the record does.
        Call::new("DEL", "c2", "app").done(host);
        assert_eq!(leased(host), [""; 0]);
        // A namespace that died without a word leaves its lease to the runtime's own DEL.
        chain.add(host, "c3");
        host.run(&["ip", "netns", "delete", "c3"]).unwrap();
        until("the endpoint is gone", || api.endpoints("").is_empty().then_some(()));
        call("DEL", "c3", &host_local()).env("CNI_NETNS", "").done(host);
        assert_eq!(leased(host), [""; 0]);
    });
}

#[test]
fn a_lease_that_weft_cannot_use_is_refused_and_taken_back() {
    with_network("lease-refused", |host, api| {
        Call::new("ADD", "c2", "app").env("CNI_ARGS", "IP=10.1.0.10").done(host);
        let refused = call("ADD", "c1", &host_local()).refused(host, 102);
        assert!(refused.contains("ipam host-local: network app: address 10.1.0.10 is held by c2@eth0"), "{refused}");
        assert!(refused.contains("have the network's `ranges` leave out what the plugin leases"), "{refused}");
        let elsewhere = json!({"type": "host-local", "subnet": "10.7.0.0/24", "dataDir": "/tmp/ipam"});
        let refused = call("ADD", "c1", &elsewhere).refused(host, 7);
        assert!(refused.contains("10.7.0.2 lies in none of its pools"), "{refused}");
        Call::new("DEL", "c2", "app").done(host);
        host.run(&["ip", "-n", "c3", "link", "add", "eth0", "type", "bridge"]).unwrap();
        let refused = call("ADD", "c3", &host_local()).refused(host, 100);
        assert!(refused.contains("already has an interface eth0"), "{refused}");
        // What is faulty is refused before anybody is asked.
        call("ADD", "c1", &host_local()).with("network", json!("absent")).refused(host, 7);
        assert_eq!(leased(host), [""; 0]);
        assert!(api.endpoints("").is_empty());
        api.assert_clean();
        host.run(&["ip", "-n", "c3", "link", "delete", "eth0"]).unwrap();
    });
}

#[test]
fn debians_static_gives_addresses_routes_and_dns() {
    with_network("static", |host, api| {
        let ipam = json!({
            "type": "static",
            "addresses": [{"address": "10.1.0.50/24", "gateway": "10.1.0.1"}, {"address": "fd64::50/64"}],
            "routes": [{"dst": "10.8.0.0/16", "gw": "10.1.0.7"}],
            "dns": {"nameservers": ["10.1.0.9"], "search": ["a.b"]},
        });
        let networks = json!([{"name": "app"}]);
        let chain = Chain::new("app", [json!({"type": "weft-cni", "networks": networks, "ipam": ipam})]);
        let result = chain.add(host, "c1");
        assert_eq!(
            (&result["ips"][0]["address"], &result["ips"][1]["address"]),
            (&json!("10.1.0.50/24"), &json!("fd64::50/64"))
        );
        assert_eq!(result["dns"], json!({"nameservers": ["10.1.0.9"], "search": ["a.b"]}));
        let routes = host.run(&["ip", "-n", "c1", "route"]).unwrap();
        assert!(routes.contains("10.8.0.0/16 via 10.1.0.7") && routes.contains("default via 10.1.0.1"), "{routes}");
        chain.check(host, "c1", &result);
        api.assert_clean();
        chain.del(host, "c1", &result);
    });
}

#[test]
fn every_call_is_handed_on_unchanged_with_the_runtimes_environment() {
    with_network("handed-on", |host, api| {
        let result = fake("ADD", "c1").env("FLAVOUR", "vanilla").with("vendor", json!(7)).done(host);
        assert_eq!(result["ips"][0]["address"], "10.1.0.61/24");
        let line = host.run(&["cat", "/tmp/calls"]).unwrap();
        let (variables, input) = line.trim().split_at(line.find('{').unwrap());
        assert_eq!(variables, "ADD c1 eth0 vanilla ");
        let expected =
            json!({"cniVersion": "1.1.0", "name": "app", "type": "weft-cni", "ipam": {"type": "fake"}, "vendor": 7});
        assert_eq!(serde_json::from_str::<Value>(input).unwrap(), expected);
        fake("CHECK", "c1").with("prevResult", result).done(host);
        fake("STATUS", "").done(host);
        fake("GC", "").with("cni.dev/valid-attachments", json!([{"containerID": "c1", "ifname": "eth0"}])).done(host);
        fake("DEL", "c1").done(host);
        assert_eq!(calls(host), ["ADD c1", "CHECK c1", "STATUS", "GC", "DEL c1"]);

        host.run(&["rm", "/tmp/calls"]).unwrap();
        for (command, code) in [("ADD", 103), ("STATUS", 50), ("DEL", 103)] {
            host.run(&["touch", &format!("/tmp/fail-{command}")]).unwrap();
            let refused = fake(command, "c1").refused(host, code);
            assert!(refused.contains(&format!("ipam fake: {command}: no luck \"today\"")), "{refused}");
            host.run(&["rm", &format!("/tmp/fail-{command}")]).unwrap();
        }
        assert_eq!(calls(host), ["ADD c1", "DEL c1", "STATUS c1", "DEL c1"], "the failed ADD was undone");
        assert!(api.endpoints("").is_empty());

        let absent = |command: &str| call(command, "c1", &json!({"type": "absent"}));
        let refused = absent("ADD").refused(host, 7);
        assert!(
            refused.contains("ipam absent: is in no directory of CNI_PATH (/opt/cni/bin): install it"),
            "{refused}"
        );
        absent("DEL").done(host);
        let refused = call("ADD", "c1", &json!({"type": "dhcp"})).refused(host, 7);
        assert!(refused.contains("attachment bridge reaches no LAN that could be asked"), "{refused}");
        call("DEL", "c1", &json!({"type": "dhcp"})).done(host);
    });
}

#[test]
fn a_plugin_that_takes_its_time_keeps_nobody_else_waiting() {
    with_network("slow-plugin", |host, api| {
        host.run(&["touch", "/tmp/wait"]).unwrap();
        let slow: Vec<_> = (1..=5).map(|n| format!("c{n}")).collect();
        std::thread::scope(|scope| {
            let births: Vec<_> = slow.iter().map(|id| scope.spawn(move || fake("ADD", id).done(host))).collect();
            until("all of them wait", || (calls(host).len() == slow.len()).then_some(()));
            Call::new("ADD", "c6", "app").done(host);
            assert_eq!(api.endpoints("").len(), 1);
            host.run(&["rm", "/tmp/wait"]).unwrap();
            for birth in births {
                let result = birth.join().unwrap();
                assert!(result["ips"][0]["address"].as_str().unwrap().starts_with("10.1.0.6"), "{result}");
            }
        });
        assert_eq!(api.endpoints("").len(), 6);
        api.assert_clean();
        for id in &slow {
            fake("DEL", id).done(host);
        }
        Call::new("DEL", "c6", "app").done(host);
        let zombies = host.run(&["sh", "-c", "grep -l '^State:.Z' /proc/[0-9]*/status; true"]).unwrap();
        assert_eq!(zombies, "");
    });
}

#[test]
fn what_waits_for_a_plugin_is_finished_when_its_shim_is_gone() {
    with_network("shim-gone", |host, api| {
        host.run(&["touch", "/tmp/wait"]).unwrap();
        let script = "echo '{\"cniVersion\":\"1.1.0\",\"name\":\"app\",\"ipam\":{\"type\":\"fake\"}}' | \
            CNI_COMMAND=ADD CNI_CONTAINERID=c1 CNI_IFNAME=eth0 CNI_NETNS=/run/netns/c1 CNI_PATH=/opt/cni/bin \
            exec /opt/cni/bin/weft-cni";
        let mut shim = host.command("sh").args(["-c", script]).spawn().unwrap();
        until("the plugin waits", || (calls(host).len() == 1).then_some(()));
        shim.kill().unwrap();
        shim.wait().unwrap();
        host.run(&["rm", "/tmp/wait"]).unwrap();
        until("the container is born all the same", || (api.endpoints("").len() == 1).then_some(()));
        fake("DEL", "c1").done(host);
        assert_eq!(calls(host), ["ADD c1", "DEL c1"]);
    });
}
