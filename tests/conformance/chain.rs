//! Debian's own plugins behind weft: each takes weft's result, adds what is its own, and leaves weft's whole.

use serde_json::{Value, json};
use weft_lab::Host;
use weft_tests::{Api, Call, Chain, assert_deserted, pings, until};

fn with_chain(name: &str, mode: &str, next: Vec<Value>, work: impl FnOnce(&Host, &Api, &Value)) {
    let host = Host::start(name).unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    api.network("app", json!({"mode": mode, "pools": ["10.1.0.0/24", "fd61::/64"]}));
    for id in ["a", "b"] {
        host.netns(id).unwrap();
    }
    let own = Chain::new("app", [json!({"type": "weft-cni"})]);
    let alone = own.add(&host, "b");
    let chain = Chain::new("app", [json!({"type": "weft-cni"})].into_iter().chain(next));
    let result = chain.add(&host, "a");
    let names = |result: &Value| result["interfaces"][1]["name"].clone();
    assert_eq!((names(&result), result["ips"].as_array().map(Vec::len)), (names(&alone), Some(2)), "{result}");
    chain.check(&host, "a", &result);
    work(&host, &api, &result);
    chain.check(&host, "a", &result);
    api.assert_clean();
    chain.del(&host, "a", &result);
    own.del(&host, "a", &result);
    own.del(&host, "b", &alone);
    assert_deserted(&host, &api);
}

/// Both families, both ways.
fn talk(host: &Host, api: &Api) {
    for family in [0, 1] {
        let (a, b) = (api.address("a", family), api.address("b", family));
        until("they talk", || (pings(host, "a", &b) && pings(host, "b", &a)).then_some(()));
    }
}

#[test]
fn portmap_publishes_a_port() {
    for mode in ["bridge", "routed"] {
        let ports = json!([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]);
        let portmap = json!({"type": "portmap", "snat": true, "runtimeConfig": {"portMappings": ports}});
        with_chain(&format!("chain-portmap-{mode}"), mode, vec![portmap], |host, api, _| {
            talk(host, api);
            let serve = "while true; do echo hello-from-inside | busybox nc -l -p 80; done";
            let mut server = host.command("ip").args(["netns", "exec", "a", "sh", "-c", serve]).spawn().unwrap();
            let fetch = ["busybox", "timeout", "2", "busybox", "nc", "198.51.100.2", "8080"];
            until("the published port answers", || {
                host.outside().run(&fetch).ok()?.contains("hello-from-inside").then_some(())
            });
            server.kill().unwrap();
            server.wait().unwrap();
        });
    }
}

#[test]
fn firewall_lets_the_container_through() {
    for mode in ["bridge", "routed"] {
        let firewall = json!({"type": "firewall", "backend": "iptables"});
        with_chain(&format!("chain-firewall-{mode}"), mode, vec![firewall], |host, api, _| {
            let rules = host.run(&["iptables", "-S", "CNI-FORWARD"]).unwrap();
            assert!(rules.contains(&api.address("a", 0)), "{rules}");
            talk(host, api);
        });
    }
}

#[test]
fn tuning_changes_the_interface_and_weft_has_nothing_against_it() {
    let tuning =
        json!({"type": "tuning", "sysctl": {"net.ipv4.conf.eth0.arp_notify": "1"}, "mtu": 1400, "promisc": true});
    with_chain("chain-tuning", "bridge", vec![tuning], |host, api, _| {
        let link = host.run(&["ip", "-n", "a", "link", "show", "eth0"]).unwrap();
        assert!(link.contains("mtu 1400") && link.contains("PROMISC"), "{link}");
        talk(host, api);
    });
}

#[test]
fn sbr_moves_the_routes_to_a_table_of_their_own() {
    for mode in ["bridge", "routed"] {
        with_chain(&format!("chain-sbr-{mode}"), mode, vec![json!({"type": "sbr"})], |host, api, result| {
            let gateway = if mode == "bridge" { "fd61::1" } else { "fe80::1" };
            let rules = host.run(&["ip", "-n", "a", "rule"]).unwrap();
            assert!(rules.contains(&format!("from {} lookup 100", api.address("a", 0))), "{rules}");
            let address = api.address("a", 0);
            let ping = ["ip", "netns", "exec", "a", "busybox", "ping", "-c1", "-W1", "-I", &address, "198.51.100.1"];
            until("what is bound to the address leaves by the table", || host.run(&ping).ok());
            // What is not in any table is missed.
            host.run(&["ip", "-n", "a", "-6", "route", "flush", "default", "table", "all"]).unwrap();
            let check = Call::new("CHECK", "a", "app").with("prevResult", result.clone());
            let refused = check.with("cniVersion", json!("1.0.0")).refused(host, 5);
            assert!(refused.contains("eth0 lacks its route to ::/0") && !refused.contains("0.0.0.0/0"), "{refused}");
            host.run(&["ip", "-n", "a", "-6", "route", "add", "default", "via", gateway, "dev", "eth0", "onlink"])
                .unwrap();
        });
    }
}

#[test]
fn all_of_them_stand_behind_weft_together() {
    let ports = json!([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]);
    let next = vec![
        json!({"type": "portmap", "snat": true, "runtimeConfig": {"portMappings": ports}}),
        json!({"type": "firewall", "backend": "iptables"}),
        json!({"type": "tuning", "sysctl": {"net.ipv4.conf.eth0.arp_notify": "1"}}),
    ];
    with_chain("chain-all", "bridge", next, |host, api, _| talk(host, api));
}
