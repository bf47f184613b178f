//! Births and deaths through the shim.

use serde_json::json;
use weft_lab::Host;
use weft_tests::{Api, Call, until};

struct Stage {
    host: Host,
}

fn stage(name: &str) -> Stage {
    Stage { host: Host::start(name).unwrap() }
}

fn address_of(result: &serde_json::Value, n: usize) -> String {
    result["ips"][n]["address"].as_str().unwrap().split('/').next().unwrap().to_owned()
}

#[test]
fn a_birth_gives_addresses_routes_and_neighbours_and_a_death_takes_them_back() {
    let Stage { host } = stage("birth");
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    api.network("app", json!({"mode": "bridge", "pools": ["10.1.0.0/24", "fd64::/64"]}));
    api.network("back", json!({"mode": "routed", "pools": ["10.2.0.0/24", "fd65::/64"]}));
    for (network, address, gateway) in [("app", "10.1.0.2/24", "10.1.0.1"), ("back", "10.2.0.1/32", "169.254.1.1")] {
        let netns = host.netns(network).unwrap();
        let result = Call::new("ADD", network, network).done(&host);
        assert_eq!(result["ips"][0], json!({"address": address, "gateway": gateway, "interface": 1}));
        let routes = netns.run(&["ip", "route", "show", "default"]).unwrap();
        assert!(routes.contains(gateway), "{routes}");
        let neighbours = netns.run(&["ip", "neigh"]).unwrap();
        assert!(neighbours.lines().all(|line| line.contains("PERMANENT")), "{neighbours}");
        let way = host.run(&["ip", "route", "get", &address_of(&result, 0)]).unwrap();
        let own = if network == "app" { "10.1.0.1" } else { "198.51.100.2" };
        assert!(way.contains(&format!("src {own} ")), "the host speaks from an address of its own: {way}");
        assert!(netns.run(&["busybox", "ping", "-c1", "-W5", gateway]).is_ok());
        Call::new("CHECK", network, network).with("prevResult", result).done(&host);
        api.assert_clean();
        for _ in 0..2 {
            Call::new("DEL", network, network).done(&host);
            let links = netns.run(&["ip", "-o", "link", "show"]).unwrap();
            assert!(!links.contains("eth0"), "{links}");
        }
    }
    assert!(api.endpoints("").is_empty());
    let routes = host.run(&["ip", "route"]).unwrap();
    assert!(!routes.contains("weftb-app") && !routes.contains("wefte"), "{routes}");
    until("buried links are gone", || (!host.run(&["ip", "-o", "link"]).ok()?.contains("weft-x")).then_some(()));
}

#[test]
fn a_second_birth_of_the_same_interface_is_refused_and_changes_nothing() {
    let Stage { host } = stage("twice");
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    api.network("app", json!({"mode": "bridge"}));
    host.netns("c1").unwrap();
    Call::new("ADD", "c1", "app").done(&host);
    let before = api.endpoints("");
    let message = Call::new("ADD", "c1", "app").refused(&host, 100);
    assert!(message.contains("c1@eth0 exists on network app"), "{message}");
    let foreign = Call::new("ADD", "another", "app").env("CNI_NETNS", "/run/netns/c1").refused(&host, 100);
    assert!(foreign.contains("already has an interface eth0"), "{foreign}");
    assert_eq!(api.endpoints(""), before);
    api.assert_clean();
}

#[test]
fn a_full_pool_refuses_and_says_where_to_look_and_a_freed_address_comes_last() {
    let Stage { host } = stage("full");
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    api.network("tiny", json!({"mode": "routed", "families": ["IPv4"], "pools": ["10.3.0.0/29"]}));
    let add = |id: &str| {
        host.netns(id).unwrap();
        Call::new("ADD", id, "tiny").run(&host)
    };
    for n in 1..=6 {
        assert!(add(&format!("c{n}")).ok);
    }
    let refused = add("c7");
    assert_eq!(refused.output["code"], 101);
    let message = refused.output["msg"].as_str().unwrap();
    assert!(message.contains("6 of 6 are held") && message.contains("weft ipam show tiny"), "{message}");
    for id in ["c4", "c2"] {
        Call::new("DEL", id, "tiny").done(&host);
    }
    let next: Vec<_> = ["c8", "c9"].map(|id| address_of(&add(id).output, 0)).into();
    assert_eq!(next, ["10.3.0.4", "10.3.0.2"], "the longest free first");
    api.assert_clean();
}

#[test]
fn addresses_and_mac_addresses_are_given_as_asked_for() {
    let Stage { host } = stage("asked");
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    api.network("app", json!({"mode": "bridge", "pools": ["10.1.0.0/24", "fd64::/64"]}));
    for id in ["c1", "c2", "c3", "c4"] {
        host.netns(id).unwrap();
    }
    let by_args = Call::new("ADD", "c1", "app").env("CNI_ARGS", "IgnoreUnknown=1;IP=10.1.0.50;MAC=02:aa:bb:cc:dd:ee");
    let result = by_args.done(&host);
    assert_eq!(address_of(&result, 0), "10.1.0.50");
    assert_eq!(result["interfaces"][1]["mac"], "02:aa:bb:cc:dd:ee");
    let by_runtime = Call::new("ADD", "c2", "app").with("runtimeConfig", json!({"ips": ["10.1.0.60/24", "fd64::60"]}));
    let result = by_runtime.done(&host);
    assert_eq!((address_of(&result, 0), address_of(&result, 1)), ("10.1.0.60".to_owned(), "fd64::60".to_owned()));
    let taken = Call::new("ADD", "c3", "app").env("CNI_ARGS", "IP=10.1.0.50").refused(&host, 102);
    assert!(taken.contains("10.1.0.50 is held by c1@eth0"), "{taken}");
    let outside = Call::new("ADD", "c4", "app").env("CNI_ARGS", "IP=10.9.0.50").refused(&host, 7);
    assert!(outside.contains("none of its pools (10.1.0.0/24, fd64::/64)"), "{outside}");
    api.assert_clean();
}

#[test]
fn a_namespace_that_dies_without_a_word_is_noticed() {
    let Stage { host } = stage("silent");
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    api.network("app", json!({"mode": "bridge"}));
    api.network("lonely", json!({"mode": "none"}));
    for (id, network) in [("c1", "app"), ("c2", "lonely")] {
        let netns = host.netns(id).unwrap();
        Call::new("ADD", id, network).done(&host);
        assert_eq!(api.endpoints("").len(), 1);
        netns.delete().unwrap();
        until("the endpoint is gone", || api.endpoints("").is_empty().then_some(()));
        api.assert_clean();
    }
}

#[test]
fn a_death_needs_neither_birth_nor_namespace() {
    let Stage { host } = stage("death");
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    api.network("app", json!({"mode": "bridge"}));
    Call::new("DEL", "never", "app").env("CNI_NETNS", "").done(&host);
    Call::new("DEL", "never", "app").done(&host);
    let netns = host.netns("c1").unwrap();
    Call::new("ADD", "c1", "app").done(&host);
    // The runtime lost the path, but the namespace lives: the name must be free all the same.
    Call::new("DEL", "c1", "app").env("CNI_NETNS", "").done(&host);
    let links = netns.run(&["ip", "-o", "link"]).unwrap();
    assert!(!links.contains("eth0"), "{links}");
    assert!(api.endpoints("").is_empty());
    api.assert_clean();
}

#[test]
fn a_death_by_another_configuration_frees_nothing() {
    let Stage { host } = stage("notmine");
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    api.network("app", json!({"mode": "bridge"}));
    host.netns("c1").unwrap();
    let result = Call::new("ADD", "c1", "one").with("network", json!("app")).done(&host);
    Call::new("DEL", "c1", "other").with("network", json!("app")).done(&host);
    assert_eq!(api.endpoints("").len(), 1);
    Call::new("CHECK", "c1", "one").with("network", json!("app")).with("prevResult", result).done(&host);
}

#[test]
fn gc_frees_what_its_own_configuration_made_and_nothing_else() {
    let Stage { host } = stage("gc");
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    api.network("app", json!({"mode": "bridge"}));
    for id in ["c1", "c2", "c3"] {
        host.netns(id).unwrap();
    }
    Call::new("ADD", "c1", "app").done(&host);
    Call::new("ADD", "c2", "app").done(&host);
    Call::new("ADD", "c3", "other").with("network", json!("app")).done(&host);
    Call::new("GC", "", "app").done(&host);
    assert_eq!(api.endpoints("").len(), 3, "no list is no answer");
    let valid = json!([{"containerID": "c2", "ifname": "eth0"}]);
    Call::new("GC", "", "app").with("cni.dev/valid-attachments", valid).done(&host);
    let mut left: Vec<_> =
        api.endpoints("").iter().map(|e| e["metadata"]["name"].as_str().unwrap().to_owned()).collect();
    left.sort();
    assert_eq!(left, ["c2", "c3"]);
    api.assert_clean();
}

#[test]
fn a_container_id_that_comes_again_with_another_namespace_is_another_container() {
    let Stage { host } = stage("reused");
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    api.network("app", json!({"mode": "bridge"}));
    host.netns("c1").unwrap();
    host.netns("fresh").unwrap();
    Call::new("ADD", "c1", "app").done(&host);
    Call::new("ADD", "c1", "app").env("CNI_NETNS", "/run/netns/fresh").done(&host);
    assert_eq!(api.endpoints("").len(), 1);
    api.assert_clean();
}

/// An agent in a container sees none of the runtime's paths: the descriptor beside the request must do.
#[test]
fn a_namespace_that_the_agent_cannot_see_comes_as_a_descriptor() {
    let Stage { host } = stage("unseen");
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    api.network("app", json!({"mode": "bridge"}));
    let netns = host.netns("c1").unwrap();
    // Called on the real host, by paths that mean nothing inside.
    let mut shim = std::process::Command::new(weft_lab::programs::find("weft-cni").unwrap());
    shim.env("CNI_COMMAND", "ADD").env("CNI_CONTAINERID", "c1").env("CNI_IFNAME", "eth0");
    shim.env("CNI_NETNS", host.path("/run/netns/c1")).env("WEFT_SOCKET", host.path("/run/weft/weft.sock"));
    shim.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = shim.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), br#"{"cniVersion":"1.0.0","name":"app"}"#).unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    let links = netns.run(&["ip", "-o", "link"]).unwrap();
    assert!(links.contains("eth0"), "{links}");
    api.assert_clean();
}
