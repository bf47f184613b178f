//! Networks: what is accepted, refused, and made of them.

use serde_json::json;
use weft_api::Method;
use weft_lab::Host;
use weft_tests::{Api, Call, until};

#[test]
fn faulty_networks_are_refused_with_object_field_value_and_remedy_and_change_nothing() {
    let host = Host::start("faulty").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    api.network("there", json!({"mode": "bridge", "pools": ["10.1.0.0/24", "fd64::/64"]}));
    let before = api.get("/v1/networks");
    for (spec, status, expected) in [
        (json!({"mode": "bridge", "pools": ["10.2.0.0/33"]}), 400, "spec.pools[0] \"10.2.0.0/33\": is not a CIDR"),
        (json!({"mode": "bridge", "pools": ["10.1.0.128/25"]}), 409, "overlaps 10.1.0.0/24 of network there"),
        (json!({"mode": "bridge", "pools": ["198.51.100.0/25"]}), 409, "the host has a route to 198.51.100.0/24"),
        (json!({"mode": "macvlan", "parent": "eth0"}), 400, "say which of the physical network's addresses are weft's"),
        (
            json!({"mode": "routed", "ipam": "dhcp"}),
            400,
            "spec.ipam \"dhcp\": attachment routed is on no LAN with servers: use macvlan, ipvlan, device, or pools",
        ),
        (json!({"mode": "device", "device": {"pci": ["3b:02"]}}), 400, "spec.device.pci[0] \"3b:02\": "),
        (json!({"mode": "overlay"}), 400, "\"vxlan\": is not built yet"),
        (json!({"mode": "brigde"}), 400, "spec.mode: unknown variant `brigde`"),
        (json!({"mode": "bridge", "isolate": true}), 400, "unknown field `isolate`"),
        (json!({"mode": 7}), 400, "spec.mode"),
    ] {
        let (answered, body) = api.try_network("new", spec.clone());
        assert_eq!(answered, status, "{spec}: {body}");
        assert!(body["errors"].to_string().replace("\\\"", "\"").contains(expected), "{spec}: {body}");
    }
    for garbage in [&b"{"[..], b"", b"\xff\xfe", &[b'x'; 1 << 20]] {
        let (status, _) = api.call_raw(Method::Post, "/v1/networks", garbage.to_vec());
        assert_eq!(status, 400);
    }
    assert_eq!(api.get("/v1/endpoints?match=a&match=b").0, 400);
    assert_eq!(api.try_network("there", json!({"mode": "bridge"})).0, 409);
    assert_eq!(api.get("/v1/networks"), before);
}

#[test]
fn a_network_in_use_stays_and_says_by_whom() {
    let host = Host::start("inuse").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    api.network("app", json!({"mode": "bridge"}));
    host.netns("c1").unwrap();
    Call::new("ADD", "c1", "app").done(&host);
    let (status, body) = api.delete("/v1/networks/app");
    assert_eq!(status, 409);
    assert!(body.to_string().contains("in use by default/c1@eth0"), "{body}");
    Call::new("DEL", "c1", "app").done(&host);
    assert_eq!(api.delete("/v1/networks/app").0, 200);
    assert_eq!(api.delete("/v1/networks/app").0, 404);
    let links = host.run(&["ip", "-o", "link"]).unwrap();
    assert!(!links.contains("weftb-"), "{links}");
    let rules = host.run(&["nft", "list", "ruleset"]).unwrap();
    assert!(!rules.contains("weft"), "{rules}");
    let routes = host.run(&["ip", "route"]).unwrap();
    assert!(!routes.contains("proto 119"), "{routes}");
}

#[test]
fn what_running_containers_were_built_on_cannot_change_and_the_rest_can() {
    let host = Host::start("change").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    let apply = |specs: &[(&str, serde_json::Value)]| {
        let items: Vec<_> = specs
            .iter()
            .map(|(name, spec)| {
                json!({"apiVersion": "weft.dev/v1alpha1", "kind": "Network", "metadata": {"name": name}, "spec": spec})
            })
            .collect();
        api.post("/v1/apply", &json!({ "items": items }))
    };
    let spec = json!({"mode": "bridge", "pools": ["10.1.0.0/24", "fd64::/64"]});
    let (_, done) = apply(&[("app", spec.clone())]);
    assert_eq!(done["items"][0]["action"], "created");
    assert_eq!(apply(&[("app", spec)]).1["items"][0]["action"], "unchanged");
    let (status, body) = apply(&[("new", json!({"mode": "bridge"})), ("app", json!({"mode": "routed"}))]);
    assert_eq!(status, 400);
    assert!(body.to_string().contains("is fixed for the life of a network"), "{body}");
    assert_eq!(api.get("/v1/networks/new").0, 404, "all or none");
    let open = json!({"mode": "bridge", "pools": ["10.1.0.0/24", "fd64::/64"], "masquerade": false});
    assert_eq!(apply(&[("app", open)]).1["items"][0]["action"], "changed");
    let rules = host.run(&["nft", "list", "table", "inet", "weft"]).unwrap();
    assert!(!rules.contains("masquerade"), "{rules}");
}

/// What one container must be able to reach, and what not.
#[test]
fn internal_isolated_and_masquerade_do_what_they_say() {
    let host = Host::start("reach").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    api.network("open", json!({"mode": "bridge", "pools": ["10.1.0.0/24", "fd61::/64"]}));
    api.network("inner", json!({"mode": "bridge", "pools": ["10.2.0.0/24", "fd62::/64"], "internal": true}));
    api.network("parted", json!({"mode": "bridge", "pools": ["10.3.0.0/24", "fd63::/64"], "isolated": true}));
    api.network("apart", json!({"mode": "routed", "pools": ["10.4.0.0/24", "fd64::/64"], "isolated": true}));
    for network in ["open", "inner", "parted", "apart"] {
        for n in ["a", "b"] {
            let id = format!("{network}-{n}");
            host.netns(&id).unwrap();
            Call::new("ADD", &id, network).done(&host);
        }
    }
    let reaches = |from: &str, to: &str| {
        let wait = if to.starts_with("no ") { "1" } else { "5" };
        host.run(&["ip", "netns", "exec", from, "busybox", "ping", "-c1", "-W", wait, to]).is_ok()
    };
    for outside in ["198.51.100.1", "2001:db8:100::1"] {
        assert!(reaches("open-a", outside) && reaches("parted-a", outside) && reaches("apart-a", outside));
        assert!(!reaches("inner-a", outside), "internal");
    }
    assert!(reaches("open-a", "10.1.0.3") && reaches("open-a", "fd61::3"));
    assert!(reaches("inner-a", "10.2.0.3") && reaches("inner-a", "fd62::3"), "internal networks talk inside");
    assert!(reaches("inner-a", "10.2.0.1") && reaches("parted-a", "10.3.0.1"), "the host is always reached");
    for (from, to) in
        [("parted-a", "10.3.0.3"), ("parted-a", "fd63::3"), ("apart-a", "10.4.0.2"), ("apart-a", "fd64::2")]
    {
        assert!(!reaches(from, to), "isolated: {from} -> {to}");
    }
}

#[test]
fn a_foreign_firewall_that_drops_is_told_to_let_containers_pass_and_told_again_when_it_reloads() {
    let host = Host::start("docker").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    let docker = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n:DOCKER - [0:0]\n\
        :DOCKER-USER - [0:0]\n-A FORWARD -j DOCKER-USER\n-A DOCKER-USER -j RETURN\nCOMMIT\n";
    host.write("/tmp/docker", docker).unwrap();
    let load = || host.run(&["sh", "-c", "iptables-nft-restore < /tmp/docker"]).unwrap();
    load();
    api.network("app", json!({"mode": "bridge", "pools": ["10.1.0.0/24", "fd61::/64"]}));
    for id in ["a", "b"] {
        host.netns(id).unwrap();
        Call::new("ADD", id, "app").done(&host);
    }
    let passes = || {
        let ping = |to: &str| host.run(&["ip", "netns", "exec", "a", "busybox", "ping", "-c1", "-W1", to]).is_ok();
        (ping("198.51.100.1") && ping("10.1.0.3")).then_some(())
    };
    until("containers pass", passes);
    let (_, status) = api.get("/v1/status");
    assert_eq!(status["accepts"][0]["chain"], "chain ip filter DOCKER-USER");
    let listed = host.run(&["iptables-nft", "-S", "DOCKER-USER"]).unwrap();
    assert!(listed.contains("weft: from containers") && listed.contains("weft: to containers"), "{listed}");
    load();
    until("containers pass again", passes);
    assert_eq!(api.delete("/v1/networks/app").0, 409);
    for id in ["a", "b"] {
        Call::new("DEL", id, "app").done(&host);
    }
    api.delete("/v1/networks/app");
    let listed = host.run(&["iptables-nft", "-S"]).unwrap();
    assert!(!listed.contains("weft"), "nothing of weft's is left: {listed}");
}

#[test]
fn rules_that_cannot_be_read_are_told_of() {
    let host = Host::start("legacy").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    let unseen = |api: &Api| {
        let (_, status) = api.get("/v1/status");
        let conditions = status["conditions"].as_array().unwrap();
        conditions.iter().any(|condition| condition["type"] == "ForeignRulesSeen" && condition["status"] == "Unknown")
    };
    assert!(!unseen(&api));
    host.run(&["iptables-legacy", "-L"]).unwrap();
    api.network("app", json!({"mode": "bridge"}));
    assert!(unseen(&api));
    let (_, network) = api.get("/v1/networks/app");
    assert_eq!(network["status"]["conditions"][0]["status"], "True", "nothing says that they drop anything: {network}");
}

#[test]
fn a_host_that_learns_its_way_out_from_a_router_goes_on_learning() {
    let host = Host::start("learns").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    let advertise = "interface eth0 { AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; };";
    host.write("/tmp/radvd.conf", advertise).unwrap();
    host.run(&["ip", "-6", "route", "delete", "default"]).unwrap();
    let outside = host.outside();
    outside.run(&["busybox", "sysctl", "-w", "net.ipv6.conf.all.forwarding=1"]).unwrap();
    let router = ["radvd", "--nodaemon", "--logmethod", "stderr", "-C", "/tmp/radvd.conf", "-p", "/tmp/radvd.pid"];
    let _radvd = outside.spawn("radvd", &router).unwrap();
    let default = || host.run(&["ip", "-6", "route", "show", "default", "proto", "ra"]).unwrap();
    until("the host learned its way out", || (!default().is_empty()).then_some(()));

    api.network("app", json!({"mode": "routed", "pools": ["fd61::/64"]}));
    let (_, status) = api.get("/v1/status");
    let setting = |name: &str| {
        let settings = status["settings"].as_array().unwrap();
        settings.iter().find(|setting| setting["name"] == name).map(|setting| setting["now"].clone())
    };
    assert_eq!(setting("net/ipv6/conf/eth0/accept_ra"), Some(json!("2")), "{status}");
    assert_eq!(setting("net/ipv6/conf/all/forwarding"), Some(json!("1")), "{status}");
    host.run(&["ip", "-6", "route", "delete", "default", "proto", "ra"]).unwrap();
    until("the host learned again", || (!default().is_empty()).then_some(()));
}
