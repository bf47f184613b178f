//! Policies: who may open connections to whom, on the real kernel.

mod storms;

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};
use weft_lab::{Host, uplink};
use weft_tests::{Api, Call, inside, pings, until};

/// Longer than a handshake takes among containers of one host, and what one that is dropped is waited for.
const HANDSHAKE_MAX: Duration = Duration::from_millis(700);
const WEB: u16 = 80;
const ADMIN: u16 = 8080;

/// A container of `namespace` with these labels.
fn born(host: &Host, id: &str, network: &str, namespace: &str, labels: Value) {
    host.netns(id).unwrap();
    join(host, id, network, namespace, labels);
}

/// Gives one whose namespace is there its link.
fn join(host: &Host, id: &str, network: &str, namespace: &str, labels: Value) {
    let labels: Vec<Value> =
        labels.as_object().unwrap().iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
    let call = Call::new("ADD", id, network)
        .env("CNI_ARGS", &format!("K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={id}"))
        .with("args", json!({"cni": {"labels": labels}}))
        .with("runtimeConfig", json!({"io.kubernetes.cri.pod-annotations": {"weft.dev/ports": "web=80/TCP"}}));
    call.done(host);
}

fn listen(host: &Host, netns: &str, port: u16) -> TcpListener {
    let bound = inside(host, netns).within(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)));
    bound.unwrap().unwrap()
}

/// Whether `from` can open a connection to an address, which it keeps if so.
fn connect(host: &Host, from: &str, to: &str, port: u16) -> Option<TcpStream> {
    let to = SocketAddr::new(to.parse::<IpAddr>().unwrap(), port);
    inside(host, from).within(|| TcpStream::connect_timeout(&to, HANDSHAKE_MAX)).unwrap().ok()
}

fn connects(host: &Host, from: &str, to: &str, port: u16) -> bool {
    connect(host, from, to, port).is_some()
}

fn apply(api: &Api, objects: Value) {
    let (status, answer) = api.post("/v1/apply", &json!({"items": objects}));
    assert_eq!(status, 200, "{answer}");
}

fn policy(namespace: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
           "metadata": {"namespace": namespace, "name": name, "uid": "1", "creationTimestamp": null}, "spec": spec,
           "status": {}})
}

fn cluster_policy(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy",
           "metadata": {"name": name}, "spec": spec})
}

/// `web`, which `front` may reach at its port and `other` may not, on a network of that kind.
fn selected_by_labels(host: &Host, api: &Api) {
    let _listeners = [listen(host, "web", WEB), listen(host, "web", ADMIN)];
    let addresses = [0, 1].map(|family| api.address("shop/web", family));
    for address in &addresses {
        assert!(connects(host, "other", address, WEB), "nobody says anything yet: {address}");
    }
    let mut established = connect(host, "other", &addresses[0], WEB).unwrap();

    let spec = json!({"podSelector": {"matchLabels": {"app": "web"}},
                      "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "front"}}}],
                                   "ports": [{"port": "web"}]}]});
    apply(api, json!([policy("shop", "web", spec)]));
    for address in &addresses {
        assert!(connects(host, "front", address, WEB), "{address}");
        assert!(!connects(host, "front", address, ADMIN), "another port: {address}");
        assert!(!connects(host, "other", address, WEB), "other labels: {address}");
        assert!(!pings(host, "other", address), "{address}");
        assert!(connects(host, "web", &api.address("shop/front", usize::from(address.contains(':'))), 9).eq(&false));
        assert!(!connects(host, "stranger", address, WEB), "the same labels in another namespace: {address}");
        // Kubernetes has it so: the host reaches its own.
        assert!(host.run(&["busybox", "ping", "-c1", "-W1", address]).is_ok(), "the host: {address}");
    }
    assert!(pings(host, "web", &api.address("shop/other", 0)), "what it opens itself is answered");
    assert!(api.counted("shop/other", "out", "policy_ingress") + api.counted("shop/web", "in", "policy_ingress") > 0);

    // What is not allowed any more ends with the next packet.
    established.set_read_timeout(Some(HANDSHAKE_MAX)).unwrap();
    let before = api.counted("shop/other", "out", "policy_ingress") + api.counted("shop/web", "in", "policy_ingress");
    established.write_all(b"x").unwrap();
    until("its packets are dropped", || {
        let now = api.counted("shop/other", "out", "policy_ingress") + api.counted("shop/web", "in", "policy_ingress");
        (now > before).then_some(())
    });

    // Who is asked names the rule; who looks on sees it.
    let why = host.run(&["sh", "-c", "weft why shop/other shop/web:80; echo code $?"]).unwrap();
    assert!(why.contains("code 3") && why.contains("policy_ingress"), "{why}");
    assert!(why.contains("no rule of the policies that select it accepts it"), "{why}");
    let why = host.run(&["sh", "-c", "weft why shop/front shop/web:80; echo code $?"]).unwrap();
    assert!(why.contains("code 0"), "{why}");
    until("somebody tells of it", || {
        let flows = host.run(&["weft", "observe", "--verdict", "dropped", "-o", "json"]).unwrap();
        flows.contains("no rule of the policies").then_some(())
    });

    // The first that matches decides, before any NetworkPolicy.
    let spec = json!({"tier": "Admin", "priority": 1, "subject": {"namespaces": {}},
        "ingress": [{"name": "not-from-front", "action": "Deny",
                     "from": [{"pods": {"namespaceSelector": {},
                                        "podSelector": {"matchLabels": {"app": "front"}}}}]}]});
    apply(api, json!([cluster_policy("guard", spec)]));
    assert!(!connects(host, "front", &addresses[0], WEB));
    let why = host.run(&["sh", "-c", "weft why shop/front shop/web:80; echo code $?"]).unwrap();
    assert!(why.contains("ClusterNetworkPolicy guard, ingress rule 1 (not-from-front)"), "{why}");
    let explained = host.run(&["weft", "policy", "explain", "shop/web"]).unwrap();
    assert!(explained.contains("not-from-front") && explained.contains("what no rule of them accepts"), "{explained}");
    host.run(&["weft", "delete", "clusternetworkpolicy", "guard"]).unwrap();
    assert!(connects(host, "front", &addresses[0], WEB));

    // Labels may change, and what was allowed by them ends.
    let mut kept = connect(host, "front", &addresses[1], WEB).unwrap();
    assert!(host.run(&["weft", "endpoint", "label", "shop/other", "app=front"]).unwrap().contains("app=front"));
    host.run(&["weft", "endpoint", "label", "shop/front", "app-", "tier=old"]).unwrap();
    for address in &addresses {
        assert!(connects(host, "other", address, WEB) && !connects(host, "front", address, WEB), "{address}");
    }
    let before = api.counted("shop/front", "out", "policy_ingress") + api.counted("shop/web", "in", "policy_ingress");
    kept.write_all(b"x").unwrap();
    until("its packets are dropped", || {
        let now = api.counted("shop/front", "out", "policy_ingress") + api.counted("shop/web", "in", "policy_ingress");
        (now > before).then_some(())
    });
    let refused = host.run(&["sh", "-c", "weft endpoint label shop/front app- 2>&1 || true"]).unwrap();
    assert!(refused.contains("has no label \"app\""), "{refused}");
    let refused = host.run(&["sh", "-c", "weft endpoint label shop/front 'a b=c' 2>&1 || true"]).unwrap();
    assert!(refused.contains("a label's key is"), "{refused}");

    host.run(&["weft", "delete", "networkpolicy", "web", "--namespace", "shop"]).unwrap();
    assert!(connects(host, "other", &addresses[1], WEB));
}

/// Four containers on such a network.
fn populate(host: &Host, network: Value) -> Api {
    let api = Api::of(host);
    api.network("app", network);
    born(host, "web", "app", "shop", json!({"app": "web"}));
    born(host, "front", "app", "shop", json!({"app": "front"}));
    born(host, "other", "app", "shop", json!({"app": "other"}));
    born(host, "stranger", "app", "yard", json!({"app": "front"}));
    api
}

fn pools(mode: &str) -> Value {
    json!({"mode": mode, "pools": ["10.1.0.0/24", "fd61::/64"]})
}

#[test]
fn on_a_bridge_who_is_selected_gets_what_some_rule_accepts() {
    let host = Host::start("policy-b").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = populate(&host, pools("bridge"));
    selected_by_labels(&host, &api);
}

#[test]
fn where_the_host_routes_who_is_selected_gets_what_some_rule_accepts() {
    let host = Host::start("policy-r").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = populate(&host, pools("routed"));
    selected_by_labels(&host, &api);
}

#[test]
fn on_a_macvlan_network_who_is_selected_gets_what_some_rule_accepts() {
    let spec = json!({"mode": "macvlan", "pools": ["198.51.100.0/24", "2001:db8:100::/64"],
                      "ranges": ["198.51.100.64/26", "2001:db8:100::1:0/112"], "hostAccess": true});
    let host = Host::start("policy-m").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = populate(&host, spec);
    selected_by_labels(&host, &api);
}

#[test]
fn a_policy_is_in_force_for_who_is_born_under_it_and_outlives_the_agent() {
    let host = Host::start("policy-born").unwrap();
    let mut weftd = host.weftd::<&str>(&[]).unwrap();
    let api = populate(&host, pools("bridge"));
    let closed = json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]});
    apply(&api, json!([policy("vault", "closed", closed)]));
    born(&host, "safe", "app", "vault", json!({"app": "safe"}));
    let _listeners = [listen(&host, "safe", WEB), listen(&host, "web", WEB)];
    let (safe, web) = (api.address("vault/safe", 0), api.address("shop/web", 0));
    assert!(!connects(&host, "web", &safe, WEB) && !connects(&host, "safe", &web, WEB));
    let mut kept = connect(&host, "front", &web, WEB).unwrap();

    weftd.kill9().unwrap();
    assert!(!connects(&host, "web", &safe, WEB), "without an agent");
    weftd.restart().unwrap();
    assert!(!connects(&host, "web", &safe, WEB) && !connects(&host, "safe", &web, WEB), "with the next one");
    kept.write_all(b"still here").unwrap();
    assert_eq!(host.run(&["weft", "get", "netpol", "-n", "vault", "-o", "name"]).unwrap().trim(), "vault/closed");

    // By the labels of its namespace, which may change.
    let open =
        json!({"podSelector": {}, "ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"team": "red"}}}]}]});
    apply(&api, json!([policy("vault", "closed", open)]));
    assert!(!connects(&host, "web", &safe, WEB));
    let team = |team: &str| {
        json!([{"apiVersion": "v1", "kind": "Namespace",
                                    "metadata": {"name": "shop", "labels": {"team": team}}, "spec": {}, "status": {}}])
    };
    apply(&api, team("red"));
    assert!(connects(&host, "web", &safe, WEB));
    assert!(!connects(&host, "stranger", &safe, WEB));
    apply(&api, team("blue"));
    assert!(!connects(&host, "web", &safe, WEB));

    // What is faulty changes nothing.
    let faulty = policy("vault", "closed", json!({"ingress": [{"ports": [{"protocol": "ICMP"}]}]}));
    let (status, answer) = api.post("/v1/apply", &json!({"items": [policy("vault", "more", json!({})), faulty]}));
    assert_eq!(status, 400, "{answer}");
    assert!(answer["errors"][0].as_str().unwrap().contains("spec.ingress[0].ports[0].protocol"), "{answer}");
    assert_eq!(api.items("/v1/networkpolicies").len(), 1);
    let mut byte = [0; 1];
    kept.set_nonblocking(true).unwrap();
    assert!(kept.read(&mut byte).is_err(), "nobody closed it");
}

#[test]
fn blocks_hold_for_the_outside_and_for_containers_by_their_addresses() {
    let host = Host::start("policy-net").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = populate(&host, pools("routed"));
    let _listener = listen(&host, "web", WEB);
    let web = api.address("shop/web", 0);
    let outside = uplink::OUTSIDE_V4.to_string();
    assert!(pings(&host, "other", &outside));
    let but = format!("{outside}/32");
    let spec = json!({"podSelector": {"matchLabels": {"app": "other"}}, "policyTypes": ["Egress"],
        "egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": [but, "10.1.0.0/24"]}}]},
                   {"to": [{"ipBlock": {"cidr": format!("{web}/32")}}],
                    "ports": [{"port": WEB, "endPort": WEB + 10}]}]});
    apply(&api, json!([policy("shop", "egress", spec)]));
    assert!(!pings(&host, "other", &outside), "excepted");
    assert!(connects(&host, "other", &web, WEB) && !pings(&host, "other", &web), "by its address, at its port");
    assert!(pings(&host, "front", &outside), "nobody else is held");
    assert!(api.counted("shop/other", "out", "policy_egress") > 0);
}

#[test]
fn in_audit_what_is_forbidden_passes_and_is_told_of() {
    let host = Host::start("policy-audit").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = populate(&host, pools("bridge"));
    let _listener = listen(&host, "web", WEB);
    let web = api.address("shop/web", 1);
    let spec = json!({"podSelector": {"matchLabels": {"app": "web"}},
                      "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "front"}}}]}]});
    let in_mode = |mode: &str| {
        let mut object = policy("shop", "web", spec.clone());
        object["metadata"]["annotations"] = json!({"weft.dev/policy-mode": mode});
        object
    };
    apply(&api, json!([in_mode("audit")]));
    assert!(connects(&host, "other", &web, WEB) && connects(&host, "front", &web, WEB));
    let audited = || host.run(&["weft", "observe", "--verdict", "audited", "-o", "json"]).unwrap();
    until("what would be dropped is told of", || audited().contains("\"shop/other\"").then_some(()));
    assert!(audited().contains("no rule of the policies that select it") && !audited().contains("\"shop/front\""));
    let listed = host.run(&["weft", "policy", "list"]).unwrap();
    assert!(listed.contains("audit"), "{listed}");
    let explained = host.run(&["weft", "policy", "explain", "shop/web"]).unwrap();
    assert!(explained.lines().skip(1).all(|line| line.contains(" audit ")), "{explained}");
    let why = host.run(&["weft", "why", "shop/other", &format!("shop/web:{WEB}")]).unwrap();
    assert!(why.contains("but for audit, it would be dropped: no rule of the policies"), "{why}");
    let why = host.run(&["weft", "why", "shop/front", &format!("shop/web:{WEB}")]).unwrap();
    assert!(!why.contains("audit"), "{why}");

    apply(&api, json!([in_mode("enforce")]));
    assert!(!connects(&host, "other", &web, WEB) && connects(&host, "front", &web, WEB));
    let (_, list) = api.get("/v1/networkpolicies");
    let status = &list["items"][0]["status"];
    assert_eq!((&status["accepted"], &status["endpoints"]), (&json!(1), &json!(1)), "{status}");
    let (status, answer) = api.post("/v1/apply", &json!({"items": [in_mode("watch")]}));
    assert_eq!(status, 400, "{answer}");
    let error = answer["errors"][0].as_str().unwrap();
    assert!(error.contains("metadata.annotations[weft.dev/policy-mode]") && error.contains("audit"), "{error}");

    // A whole network.
    let mut network = api.get("/v1/networks/app").1;
    network["spec"]["policyMode"] = json!("audit");
    apply(&api, json!([network]));
    assert!(connects(&host, "other", &web, WEB));
    assert!(host.run(&["weft", "describe", "network", "app"]).unwrap().contains("in audit"));
    network["spec"]["policyMode"] = json!("enforce");
    apply(&api, json!([network]));
    assert!(!connects(&host, "other", &web, WEB));
    let metrics = api.metrics();
    for expected in ["weft_policy_connections_accepted_total{kind=\"NetworkPolicy\",policy=\"shop/web\"} ", "refusals"]
    {
        assert!(metrics.contains(expected), "{expected}: {metrics}");
    }
}

#[test]
fn a_policy_is_tested_against_what_was_seen_before_it_is_in_force() {
    let host = Host::start("policy-test").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = populate(&host, pools("bridge"));
    let _listener = listen(&host, "web", WEB);
    let web = api.address("shop/web", 0);
    let _kept = ["front", "other", "other"].map(|from| connect(&host, from, &web, WEB).unwrap());
    let only = |app: &str| {
        policy(
            "shop",
            "web",
            json!({"podSelector": {"matchLabels": {"app": "web"}},
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": app}}}], "ports": [{"port": "web"}]}]}),
        )
    };
    let test = |object: &Value| {
        std::fs::write(host.path("/run/new.yaml"), serde_json::to_string(object).unwrap()).unwrap();
        let told: Value =
            serde_json::from_str(&host.run(&["weft", "policy", "test", "/run/new.yaml", "-o", "json"]).unwrap())
                .unwrap();
        let flow = |flow: &Value| {
            let word = |field: &str| flow[field].as_str().unwrap_or_default().to_owned();
            let from = flow["from"]["endpoint"].as_str().unwrap_or_default().to_owned();
            (from, word("now"), word("then"), flow["seen"].as_u64().unwrap())
        };
        told["flows"].as_array().unwrap().iter().map(flow).collect::<Vec<_>>()
    };
    let told = |from: &str, now: &str, then: &str, seen: u64| (from.to_owned(), now.to_owned(), then.to_owned(), seen);
    let seen = || host.run(&["weft", "connections"]).unwrap().lines().filter(|line| line.contains(":80")).count();
    until("three connections are seen", || (seen() == 3).then_some(()));
    assert_eq!(test(&only("front")), [told("shop/other", "passed", "dropped", 2)]);
    assert!(connects(&host, "other", &web, WEB), "it is not in force");
    apply(&api, json!([only("front")]));
    assert!(!connects(&host, "other", &web, WEB));
    let all = test(&only("other"));
    assert!(all.iter().any(|flow| flow.1 == "dropped" && flow.0 == "shop/other" && flow.2 == "passed"), "{all:?}");
    assert!(all.contains(&told("shop/front", "passed", "dropped", 1)), "{all:?}");
    let text = host.run(&["weft", "policy", "test", "--all", "/run/new.yaml"]).unwrap();
    assert!(text.contains("NetworkPolicy shop/web, ingress rule 1"), "{text}");
    let network = json!({"apiVersion": "weft.dev/v1alpha1", "kind": "Network", "metadata": {"name": "x"}, "spec": {}});
    let (status, answer) = api.post("/v1/policies/test", &json!({"items": [network]}));
    assert_eq!(status, 400, "{answer}");
    assert_eq!(api.items("/v1/networkpolicies").len(), 1);
}
