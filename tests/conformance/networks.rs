//! Several networks in one call: by the configuration's list, by the pod's annotation, and behind another plugin.

use serde_json::{Value, json};
use weft_lab::{Host, uplink};
use weft_tests::{Api, Call, Chain, assert_deserted, pings, until};

const ANNOTATION: &str = "k8s.v1.cni.cncf.io/networks";

/// Networks `one`, `two` and `three`, and the container `b` on `two`.
fn with_networks(name: &str, mode: &str, work: impl FnOnce(&Host, &Api)) {
    let host = Host::start(name).unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    for (n, network) in ["one", "two", "three"].into_iter().enumerate() {
        let pools = [format!("10.{}.0.0/24", n + 1), format!("fd6{}::/64", n + 1)];
        api.network(network, json!({"mode": mode, "pools": pools}));
    }
    host.netns("a").unwrap();
    host.netns("b").unwrap();
    Call::new("ADD", "b", "two").done(&host);
    work(&host, &api);
    let _ = host.run(&["ip", "netns", "delete", "a"]);
    Call::new("DEL", "b", "two").done(&host);
    assert_deserted(&host, &api);
}

fn listed(command: &str, networks: Value) -> Call {
    Call::new(command, "a", "pod").with("networks", networks)
}

fn annotated(command: &str, annotation: &str) -> Call {
    let runtime = json!({"io.kubernetes.cri.pod-annotations": {ANNOTATION: annotation}});
    Call::new(command, "a", "one")
        .with("runtimeConfig", runtime)
        .env("CNI_ARGS", "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web")
}

/// Name, and network of the endpoints of `a`, as interfaces sort.
fn joined(api: &Api) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let pair = |e: &Value| (text(&e["spec"]["interface"]), text(&e["spec"]["network"]));
    let of_a = |e: &&Value| e["spec"]["containerId"] == "a";
    api.endpoints("").iter().filter(of_a).map(pair).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(ifname, network)| ((*ifname).to_owned(), (*network).to_owned())).collect()
}

/// Interfaces of the container in a result, in its order, each with its addresses.
fn inside(result: &Value) -> Vec<(String, Vec<String>)> {
    let items = |field: &str| result[field].as_array().cloned().unwrap_or_default();
    let interfaces = items("interfaces").into_iter().enumerate().filter(|(_, found)| found.get("sandbox").is_some());
    let of = |place: usize| {
        let ips = items("ips").into_iter().filter(|ip| ip["interface"] == place);
        ips.map(|ip| ip["address"].as_str().unwrap().to_owned()).collect()
    };
    interfaces.map(|(place, found)| (found["name"].as_str().unwrap().to_owned(), of(place))).collect()
}

fn default_of(host: &Host, family: &str) -> String {
    let routes = host.run(&["ip", "-n", "a", family, "route", "show", "default"]).unwrap();
    routes.split(" dev ").nth(1).unwrap_or_default().split(' ').next().unwrap_or_default().to_owned()
}

#[test]
fn a_list_of_networks_is_joined_checked_and_left_as_one() {
    for mode in ["bridge", "routed"] {
        with_networks(&format!("list-{mode}"), mode, |host, api| {
            let networks = json!(["one", {"name": "two", "interface": "data0", "ips": ["10.2.0.77/24"]}, "three"]);
            let result = listed("ADD", networks.clone()).done(host);
            let found = inside(&result);
            assert_eq!(found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["eth0", "data0", "eth1"]);
            assert!(found[1].1[0].starts_with("10.2.0.77/") && found[2].1[0].starts_with("10.3.0."), "{found:?}");
            assert_eq!(result["interfaces"].as_array().unwrap().len(), 6);
            assert_eq!(joined(api), pairs(&[("data0", "two"), ("eth0", "one"), ("eth1", "three")]));
            for (family, outside) in [("-4", uplink::OUTSIDE_V4.to_string()), ("-6", uplink::OUTSIDE_V6.to_string())] {
                assert_eq!(default_of(host, family), "eth0");
                until("the outside answers", || pings(host, "a", &outside).then_some(()));
            }
            assert!(pings(host, "a", &api.address("b", 0)) && pings(host, "b", "10.2.0.77"));
            let check = listed("CHECK", networks.clone()).with("prevResult", result);
            check.done(host);
            api.assert_clean();

            // One interface is damaged, one is gone altogether.
            host.run(&["ip", "-n", "a", "address", "delete", &found[2].1[0], "dev", "eth1"]).unwrap();
            let refused = check.refused(host, 5);
            assert!(refused.contains("endpoint a@eth1: eth1 lacks its address 10.3.0."), "{refused}");
            host.run(&["weft", "detach", "a@eth1", "--force"]).unwrap();
            let refused = check.refused(host, 5);
            assert!(refused.contains("container a: is not on network three any more"), "{refused}");
            // The configuration is another one by now.
            Call::new("DEL", "a", "pod").done(host);
            assert_eq!(joined(api), []);
            Call::new("DEL", "a", "pod").done(host);
        });
    }
}

#[test]
fn the_default_route_is_whose_it_is_said_to_be() {
    with_networks("list-default", "bridge", |host, api| {
        let result = listed("ADD", json!(["one", {"name": "two", "defaultRoute": true}])).done(host);
        assert_eq!((default_of(host, "-4"), default_of(host, "-6")), ("eth1".to_owned(), "eth1".to_owned()));
        let gateways: Vec<_> =
            result["routes"].as_array().unwrap().iter().filter(|route| route["dst"] == "0.0.0.0/0").collect();
        assert_eq!(gateways, [&json!({"dst": "0.0.0.0/0", "gw": "10.2.0.1"})], "the result tells what became of it");
        listed("CHECK", json!(["one", "two"])).with("prevResult", result).done(host);
        api.assert_clean();
        Call::new("DEL", "a", "pod").done(host);
    });
}

#[test]
fn what_fails_on_the_way_leaves_nothing_and_says_which_network() {
    with_networks("list-undone", "routed", |host, api| {
        for (networks, code, expected) in [
            (json!(["one", "none"]), 7, "network \"none\" does not exist"),
            (json!(["one", "two", "one"]), 7, "networks[2]: network \"one\" is joined already"),
            (json!([{"name": "one", "interface": "data0"}]), 7, "the first network's is eth0"),
            (json!(["one", {"name": "two", "ips": ["10.9.0.1"]}]), 7, "10.9.0.1 lies in none of its pools"),
            (json!(["one", "three", {"name": "two", "ips": [api.address("b", 0)]}]), 102, "is held by b@eth0"),
        ] {
            let refused = listed("ADD", networks).refused(host, code);
            assert!(refused.contains(expected), "{refused}");
            assert_eq!(joined(api), []);
            api.assert_clean();
        }
        // The kernel refuses the last one.
        host.run(&["ip", "-n", "a", "link", "add", "eth2", "type", "bridge"]).unwrap();
        let refused = listed("ADD", json!(["one", {"name": "two", "defaultRoute": true}, "three"])).refused(host, 100);
        assert!(refused.contains("a@eth2: the container already has an interface eth2"), "{refused}");
        assert_eq!(joined(api), []);
        let links = host.run(&["ip", "-n", "a", "-o", "link"]).unwrap();
        assert!(!links.contains("eth0") && !links.contains("eth1"), "{links}");
        assert_eq!(default_of(host, "-4"), "");
    });
}

#[test]
fn what_a_runtime_still_knows_is_kept_with_all_its_networks() {
    with_networks("list-gc", "bridge", |host, api| {
        listed("ADD", json!(["one", "three"])).done(host);
        let gc = |valid: Value| listed("GC", json!(["one", "three"])).with("cni.dev/valid-attachments", valid);
        gc(json!([{"containerID": "a", "ifname": "eth0"}])).done(host);
        assert_eq!(joined(api), pairs(&[("eth0", "one"), ("eth1", "three")]));
        gc(json!([])).done(host);
        assert_eq!(joined(api), []);
    });
}

#[test]
fn a_pods_annotation_joins_further_networks_that_the_result_does_not_tell() {
    with_networks("annotated", "bridge", |host, api| {
        let text = json!([
            {"name": "two", "namespace": "shop", "ips": ["10.2.0.77/24"], "default-route": ["10.2.0.1"],
             "bandwidth": {"ingressRate": 1_000_000}},
            {"name": "three", "interface": "data0", "mac": "02:00:00:00:00:33"},
        ]);
        let result = annotated("ADD", &text.to_string()).done(host);
        assert_eq!(inside(&result).iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["eth0"]);
        assert_eq!(joined(api), pairs(&[("data0", "three"), ("eth0", "one"), ("net1", "two")]));
        assert_eq!((default_of(host, "-4"), default_of(host, "-6")), ("net1".to_owned(), "eth0".to_owned()));
        let two = &api.endpoints("web@net1")[0]["status"];
        assert_eq!(
            (&two["addresses"][0], &two["limits"]["ingress"]["rate"]),
            (&json!("10.2.0.77/24"), &json!(1_000_000))
        );
        assert_eq!(api.endpoints("web@data0")[0]["status"]["mac"], "02:00:00:00:00:33");
        let status = &api.endpoints("web@data0")[0]["status"]["networkStatus"];
        let attachments = status.as_array().unwrap();
        assert_eq!(
            attachments.iter().map(|it| it["name"].as_str().unwrap()).collect::<Vec<_>>(),
            ["one", "shop/two", "shop/three"]
        );
        assert_eq!(attachments.iter().filter(|it| it["default"] == true).count(), 1);
        assert_eq!((&attachments[1]["interface"], &attachments[1]["ips"][0]), (&json!("net1"), &json!("10.2.0.77")));
        assert_eq!(
            (&attachments[1]["default-route"], &attachments[2]["mac"]),
            (&json!(["10.2.0.1"]), &json!("02:00:00:00:00:33"))
        );
        let described = host.run(&["weft", "describe", "endpoint", "web@eth0"]).unwrap();
        assert!(described.contains("Network status:") && described.contains("shop/three  data0"), "{described}");
        assert!(api.endpoints("b")[0]["status"].get("networkStatus").is_none());
        annotated("CHECK", &text.to_string()).with("prevResult", result).done(host);
        api.assert_clean();
        Call::new("DEL", "a", "one").done(host);
        assert_eq!(joined(api), []);

        annotated("ADD", "three@x0,two").done(host);
        assert_eq!(joined(api), pairs(&[("eth0", "one"), ("net2", "two"), ("x0", "three")]));
        Call::new("DEL", "a", "one").done(host);
        for (annotation, code, expected) in [
            ("other/two", 7, "namespace \"other\""),
            ("two,one", 7, "one: network \"one\" is joined already"),
            ("absent", 7, "network \"absent\" does not exist"),
            ("two@eth0", 7, "interface eth0 is another one's"),
            (r#"[{"name": "two", "infiniband-guid": "c2:11"}]"#, 2, "infiniband-guid"),
            (
                r#"[{"name": "two", "default-route": ["10.2.0.9"]}]"#,
                7,
                "network two has no such gateway: write of 10.2.0.1",
            ),
        ] {
            let refused = annotated("ADD", annotation).refused(host, code);
            assert!(refused.contains(expected), "{refused}");
            assert_eq!(joined(api), []);
        }
        api.assert_clean();
    });
}

#[test]
fn behind_another_plugin_weft_adds_an_interface_and_leaves_the_default_route() {
    with_networks("behind", "bridge", |host, api| {
        let foreign = json!({
            "type": "bridge", "bridge": "other0", "isDefaultGateway": true,
            "ipam": {"type": "host-local", "subnet": "172.20.0.0/24", "dataDir": "/tmp/ipam"},
        });
        let chain = |own: Value| Chain::new("pod", [foreign.clone(), own]);
        let first = chain(json!({"type": "weft-cni", "networks": ["one", "two"]}));
        let result = first.add(host, "a");
        let found = inside(&result);
        assert_eq!(found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["eth0", "net1", "eth1"]);
        assert!(found[0].1[0].starts_with("172.20.0.") && found[1].1[0].starts_with("10.1.0."), "{found:?}");
        assert_eq!((default_of(host, "-4"), default_of(host, "-6")), ("eth0".to_owned(), "net1".to_owned()));
        for (family, to) in [(0, "10.2.0.1"), (1, "fd62::1")] {
            assert!(pings(host, "a", to) && pings(host, "a", &api.address("b", family)), "{to}");
        }
        // What asks by weft's interface is answered by it.
        let address = found[1].1[0].split('/').next().unwrap().to_owned();
        until("the host reaches it", || host.run(&["busybox", "ping", "-c1", "-W1", &address]).ok());
        let outside = uplink::OUTSIDE_V4.to_string();
        until("the outside answers by it", || {
            host.run(&["ip", "netns", "exec", "a", "busybox", "ping", "-c1", "-W1", "-I", &address, &outside]).ok()
        });
        assert_eq!(api.counted("a@net1", "out", "source_address"), 0);
        first.check(host, "a", &result);
        api.assert_clean();
        first.del(host, "a", &result);
        assert_eq!(joined(api), []);

        // Once more alone, under a name of its own; nothing is left of the rules for it.
        let second = chain(json!({"type": "weft-cni", "network": "one", "interface": "data0"}));
        let result = second.add(host, "a");
        assert_eq!(joined(api), pairs(&[("data0", "one")]));
        assert!(host.run(&["ip", "-n", "a", "rule"]).unwrap().contains("20000"));
        Call::new("DEL", "a", "pod").with("cniVersion", json!("1.0.0")).done(host);
        assert!(!host.run(&["ip", "-n", "a", "rule"]).unwrap().contains("20000"));
        assert_eq!(default_of(host, "-4"), "eth0", "the other plugin's is as it was");
        second.del(host, "a", &result);

        let third = chain(json!({"type": "weft-cni", "network": "one", "defaultRoute": true}));
        let result = third.add(host, "a");
        assert_eq!(default_of(host, "-4"), "net1");
        third.check(host, "a", &result);
        third.del(host, "a", &result);
        assert_eq!(joined(api), []);
    });
}
