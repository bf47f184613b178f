//! Containers on several networks, and containers that no runtime joined.

use serde_json::json;
use weft_lab::{Host, uplink};
use weft_tests::{Api, Call, assert_deserted, pings, until};

/// Networks `one` and `two`; their runtimes have joined the containers `a` and `b` to one each.
fn populate(host: &Host, mode: &str) -> Api {
    let api = Api::of(host);
    api.network("one", json!({"mode": mode, "pools": ["10.1.0.0/24", "fd61::/64"]}));
    api.network("two", json!({"mode": mode, "pools": ["10.2.0.0/24", "fd62::/64"]}));
    for (id, network) in [("a", "one"), ("b", "two")] {
        host.netns(id).unwrap();
        Call::new("ADD", id, network).done(host);
    }
    api
}

fn weft(host: &Host, args: &[&str]) -> String {
    host.run(&[&["weft"], args].concat()).unwrap()
}

/// Whether `to` answers the namespace by this source.
fn pings_from(host: &Host, netns: &str, source: &str, to: &str) -> bool {
    host.run(&["ip", "netns", "exec", netns, "busybox", "ping", "-c1", "-W1", "-I", source, to]).is_ok()
}

#[test]
fn a_container_on_two_networks_is_reached_by_both_and_answers_by_the_one_that_asked() {
    for mode in ["bridge", "routed"] {
        let host = Host::start(&format!("several-{mode}")).unwrap();
        let weftd = host.weftd::<&str>(&[]).unwrap();
        let api = populate(&host, mode);
        let said = weft(&host, &["attach", "a", "--network", "two"]);
        assert!(said.contains("default/a@eth1") && said.contains("10.2.0."), "{said}");
        for (family, outside) in [uplink::OUTSIDE_V4.to_string(), uplink::OUTSIDE_V6.to_string()].iter().enumerate() {
            let (first, second) = (api.address("a@eth0", family), api.address("a@eth1", family));
            let far = api.address("b", family);
            assert!(pings(&host, "a", &far), "{mode}: by the further network to who is on it");
            assert!(pings(&host, "b", &second), "{mode}: and from there");
            for source in [&first, &second] {
                assert!(pings_from(&host, "a", source, outside), "{mode}: {source} to the outside");
                assert!(pings_from(&host, "a", source, &api.address("b", family)) == (source == &second), "{mode}");
            }
        }
        // Its packets left by the interface whose address they have: no door dropped one.
        assert_eq!(api.counted("a@eth0", "out", "source_address") + api.counted("a@eth1", "out", "source_address"), 0);
        drop(weftd);
        let _weftd = host.weftd::<&str>(&[]).unwrap();
        api.assert_clean();
        assert!(pings(&host, "a", &api.address("b", 0)), "{mode}: after another agent took over");

        let refused = host.run(&["weft", "detach", "a@eth0"]).unwrap_err().to_string();
        assert!(refused.contains("belongs to a runtime") && refused.contains("force"), "{refused}");
        assert_eq!(weft(&host, &["detach", "a@eth1"]), "default/a@eth1 left network two\n");
        let left = host.run(&["ip", "netns", "exec", "a", "sh", "-c", "ip rule; ip -6 rule"]).unwrap();
        assert!(!left.contains("20000"), "{left}");
        assert!(pings(&host, "a", &uplink::OUTSIDE_V4.to_string()), "{mode}: the first one is as it was");
        // The runtime takes its container down, and knows of one interface.
        weft(&host, &["attach", "a", "--network", "two", "--ifname", "back0"]);
        for id in ["a", "b"] {
            Call::new("DEL", id, if id == "a" { "one" } else { "two" }).done(&host);
        }
        assert_deserted(&host, &api);
    }
}

/// The interface of each family's default route in a container.
fn defaults(host: &Host, netns: &str) -> [String; 2] {
    ["-4", "-6"].map(|family| {
        let routes = host.run(&["ip", "-n", netns, family, "route", "show", "default"]).unwrap();
        let interfaces = routes.lines().filter_map(|line| line.split(" dev ").nth(1)?.split(' ').next());
        interfaces.collect::<Vec<_>>().join(" ")
    })
}

#[test]
fn default_routes_go_to_who_asks_for_them_and_back_when_it_leaves() {
    for mode in ["bridge", "routed"] {
        let host = Host::start(&format!("default-{mode}")).unwrap();
        let mut weftd = host.weftd::<&str>(&[]).unwrap();
        let api = populate(&host, mode);
        api.network("inner", json!({"mode": mode, "pools": ["10.3.0.0/24"], "internal": true}));
        let refused = host.run(&["weft", "attach", "a", "--network", "inner", "--default-route"]).unwrap_err();
        assert!(refused.to_string().contains("network inner: is internal, so there is no default route"), "{refused}");
        weft(&host, &["attach", "a", "--network", "two", "--default-route"]);
        assert_eq!(defaults(&host, "a"), ["eth1", "eth1"], "{mode}");
        api.assert_clean();
        weftd.kill9().unwrap();
        weftd.restart().unwrap();
        api.assert_clean();
        for (family, outside) in [uplink::OUTSIDE_V4.to_string(), uplink::OUTSIDE_V6.to_string()].iter().enumerate() {
            // The uplink's own neighbours are learned.
            until("the outside answers", || pings(&host, "a", outside).then_some(()));
            assert!(pings(&host, "a", &api.address("b", family)), "{mode}");
            for source in [api.address("a@eth0", family), api.address("a@eth1", family)] {
                assert!(pings_from(&host, "a", &source, outside), "{mode}: {source}");
            }
        }
        assert_eq!(api.counted("a@eth0", "out", "source_address") + api.counted("a@eth1", "out", "source_address"), 0);

        weft(&host, &["detach", "a@eth1"]);
        assert_eq!(defaults(&host, "a"), ["eth0", "eth0"], "{mode}: the other one has them again");
        let left = host.run(&["ip", "netns", "exec", "a", "sh", "-c", "ip rule; ip -6 rule; ip route"]).unwrap();
        assert!(!left.contains("20000") && !left.contains("10.2.0."), "{left}");
        assert!(pings(&host, "a", &uplink::OUTSIDE_V4.to_string()));
        api.assert_clean();

        // A birth that fails takes nothing along.
        weft(&host, &["attach", "a", "--network", "two"]);
        host.run(&["ip", "-n", "a", "link", "add", "taken", "type", "bridge"]).unwrap();
        api.network("three", json!({"mode": mode, "pools": ["10.4.0.0/24"]}));
        let attach = ["weft", "attach", "a", "--network", "three", "--ifname", "taken", "--default-route"];
        let refused = host.run(&attach).unwrap_err().to_string();
        assert!(refused.contains("already has an interface taken"), "{refused}");
        assert_eq!(defaults(&host, "a"), ["eth0", "eth0"], "{mode}");
        api.assert_clean();
        host.run(&["ip", "-n", "a", "link", "delete", "taken"]).unwrap();
        for (id, network) in [("a", "one"), ("b", "two")] {
            Call::new("DEL", id, network).done(&host);
        }
        assert_deserted(&host, &api);
    }
}

#[test]
fn whoever_is_in_a_namespace_joins_by_its_path() {
    let host = Host::start("blue").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = populate(&host, "bridge");
    host.netns("blue").unwrap();
    let attach = ["attach", "--netns", "/run/netns/blue", "--network", "two", "--address", "10.2.0.77"];
    let said = weft(&host, &[&attach[..], &["--label", "tier=db", "-o", "json"]].concat());
    let object: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(object["metadata"]["name"], "blue");
    assert_eq!(object["metadata"]["labels"]["tier"], "db");
    assert_eq!(object["status"]["addresses"][0], "10.2.0.77/24");
    assert!(pings(&host, "b", "10.2.0.77"));
    api.network("three", json!({"mode": "routed", "pools": ["10.3.0.0/24"]}));
    weft(&host, &["attach", "blue", "--network", "one"]);
    assert!(pings(&host, "a", &api.address("blue@eth1", 1)), "a further network of the same container");

    for (args, expected) in [
        (&["attach", "nobody", "--network", "two"][..], "there is no endpoint \"nobody\""),
        (&["attach", "blue", "--network", "none"], "network \"none\" does not exist: create it"),
        (&["attach", "blue", "--network", "two"], "default/blue is on network two already, by eth0"),
        (&["attach", "blue", "--network", "three", "--ifname", "eth0"], "exists on network two"),
        (&["attach", "blue", "--network", "three", "--ifname", "a/b"], "interface: \"a/b\" is not an interface name"),
        (&["attach", "--netns", "/run/netns/none", "--network", "two"], "/run/netns/none"),
        (&["attach", "blue", "--network", "three", "--address", "10.9.9.9"], "10.9.9.9"),
        (&["attach", "blue", "--network", "three", "--mac", "x"], "mac: "),
        (&["attach", "--network", "two"], "required"),
        (&["detach", "nobody"], "there is no endpoint \"nobody\""),
    ] {
        let refused = host.run(&[&["weft"], args].concat()).unwrap_err().to_string();
        assert!(refused.contains(expected), "{args:?}: {refused}");
    }
    assert_eq!(api.endpoints("blue").len(), 2, "nothing was left half done");
    for endpoint in ["blue@eth1", "blue"] {
        weft(&host, &["detach", endpoint]);
    }
    for (id, network) in [("a", "one"), ("b", "two")] {
        Call::new("DEL", id, network).done(&host);
    }
    assert_deserted(&host, &api);
}
