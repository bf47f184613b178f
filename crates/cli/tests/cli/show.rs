//! Verbs that show something.

use std::process::ExitCode;

use serde_json::json;
use weft_api::{EndpointObject, List, Version};

use crate::agent::{Agent, Listening};
use crate::directory::Directory;
use crate::fixture;
use crate::golden::golden;
use crate::weft::weft;

fn agent() -> Listening {
    Agent::new()
        .ok("GET /v1/networks", &fixture::networks())
        .ok("GET /v1/networks/app", &fixture::network())
        .ok("GET /v1/networks/dark", &fixture::bare_network())
        .refusal("GET /v1/networks/a%2Fb", 404, "there is no network \"a/b\"")
        .ok("GET /v1/endpoints", &fixture::endpoints())
        .ok("GET /v1/endpoints?network=app", &fixture::endpoints())
        .ok("GET /v1/endpoints?match=shop%2Fweb-1", &fixture::endpoints())
        .ok(
            "GET /v1/endpoints?match=shop%2Fweb-1%40eth0",
            &List { items: vec![fixture::endpoint("eth0", "10.64.1.0/16")] },
        )
        .ok("GET /v1/endpoints?match=none", &List::<EndpointObject> { items: Vec::new() })
        .ok("GET /v1/nodes", &fixture::nodes())
        .ok("GET /v1/ipam/leases", &fixture::leases())
        .ok("GET /v1/ipam/leases?network=app", &fixture::leases())
        .ok("GET /v1/flows?port=443&verdict=passed&after=0&last=5", &fixture::flows())
        .ok("GET /v1/connections?match=shop%2Fweb-1", &fixture::connections())
        .ok("GET /v1/why?from=web&to=db&port=80&protocol=tcp", &fixture::judgements("denied"))
        .ok("GET /v1/why?from=web&to=db&port=80", &fixture::judgements("allowed"))
        .ok("GET /v1/status", &fixture::status())
        .ok("GET /v1/version", &Version { version: "9.9.9".into(), api: "weft.dev/v1".into() })
        .start()
}

#[test]
fn every_answer_looks_as_it_did() {
    let agent = agent();
    for line in [
        "get networks",
        "get networks -o json",
        "get networks -o yaml",
        "get networks -o name",
        "get network app",
        "get net app -o json",
        "get net app -o yaml",
        "get net app -o name",
        "get endpoints",
        "get endpoints -o name",
        "get endpoints -o json",
        "get endpoint shop/web-1@eth0 -o yaml",
        "get nodes",
        "get node host-a -o json",
        "observe --port 443 --verdict passed --last 5",
        "observe --port 443 --verdict passed --last 5 -o json",
        "connections shop/web-1",
        "why web db:80",
        "describe network app",
        "describe network dark",
        "describe endpoint shop/web-1@eth0",
        "describe node host-a",
        "status",
        "status -o yaml",
        "ipam show",
        "ipam show -o json",
        "ipam show -o name",
    ] {
        let name = line.replace(" -o ", ".").replace(['/', '@', ' ', ':'], "-");
        golden(&format!("show/{name}.txt"), &weft(&agent.socket, line).out());
    }
}

#[test]
fn every_name_of_a_kind_is_the_same_question() {
    let agent = agent();
    for line in ["get networks", "get network", "get net", "network list"] {
        assert_eq!(weft(&agent.socket, line).out(), weft(&agent.socket, "get networks").out(), "{line}");
    }
    for line in ["get endpoints", "get endpoint", "get ep", "get ep --network app"] {
        assert_eq!(weft(&agent.socket, line).out(), weft(&agent.socket, "get endpoints").out(), "{line}");
    }
    assert_eq!(weft(&agent.socket, "get node").out(), weft(&agent.socket, "get nodes").out());
    assert_eq!(weft(&agent.socket, "ipam show app").out(), weft(&agent.socket, "ipam show").out());
}

#[test]
fn what_yaml_shows_is_what_json_shows() {
    let agent = agent();
    for line in ["get networks", "get endpoints", "get nodes", "status", "ipam show", "describe network app"] {
        let json = weft(&agent.socket, &format!("{line} -o json")).out();
        let yaml = weft(&agent.socket, &format!("{line} -o yaml")).out();
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(serde_saphyr::from_str::<serde_json::Value>(&yaml).expect("YAML"), json, "{line}");
    }
}

#[test]
fn nothing_is_said_on_standard_error_alone() {
    let nothing = List::<EndpointObject> { items: Vec::new() };
    let agent = Agent::new().ok("GET /v1/networks", &nothing).ok("GET /v1/endpoints", &nothing).start();
    for (line, said) in [("get networks", "no networks\n"), ("get ep", "no endpoints\n"), ("get net -o name", "")] {
        let outcome = weft(&agent.socket, line);
        assert_eq!((outcome.out.as_str(), outcome.err.as_str()), ("", said));
    }
    assert_eq!(weft(&agent.socket, "get networks -o json").out(), "{\n  \"items\": []\n}\n");
}

#[test]
fn one_endpoint_is_found_or_all_that_it_may_be_are_listed() {
    let agent = agent();
    for verb in ["get", "describe"] {
        golden("show/ambiguous.txt", &weft(&agent.socket, &format!("{verb} endpoint shop/web-1")).error());
        let error = weft(&agent.socket, &format!("{verb} endpoint none")).error();
        assert_eq!(error, "there is no endpoint \"none\": see `weft get endpoints`");
    }
}

#[test]
fn what_is_not_there_is_named() {
    let agent = agent();
    assert_eq!(weft(&agent.socket, "get network a/b").error(), "there is no network \"a/b\"");
    assert_eq!(weft(&agent.socket, "describe node x").error(), "there is no node \"x\": see `weft get nodes`");
    let nowhere = Directory::new();
    let error = weft(&nowhere.path().join("s"), "get networks").error();
    assert!(error.starts_with("cannot reach weftd at ") && error.contains("No such file"), "{error}");
}

#[test]
fn options_that_do_not_fit_are_refused() {
    let agent = agent();
    assert_eq!(weft(&agent.socket, "get nodes --network app").error(), "--network goes with endpoints alone");
    let error = weft(&agent.socket, "status -o name").error();
    assert_eq!(error, "-o name is for lists: use table, json or yaml");
}

#[test]
fn a_check_is_good_only_when_nothing_was_found() {
    let clean = Agent::new().ok("GET /v1/ipam/check", &fixture::check(&[])).start();
    assert_eq!(weft(&clean.socket, "ipam check").out(), "clean: 2 endpoints, 4 addresses\n");
    let findings = [("endpoint shop/web-1", "10.64.1.0 is not on its link"), ("link weftex", "belongs to nobody")];
    let agent = Agent::new().ok("GET /v1/ipam/check", &fixture::check(&findings)).start();
    for form in ["table", "json"] {
        let outcome = weft(&agent.socket, &format!("ipam check -o {form}"));
        assert_eq!(outcome.result, Ok(ExitCode::FAILURE));
        golden(&format!("show/ipam-check.{form}.txt"), &outcome.out);
    }
}

#[test]
fn a_connection_that_is_denied_has_an_exit_code_of_its_own() {
    let agent = agent();
    assert_eq!(weft(&agent.socket, "why web db:80").result, Ok(ExitCode::SUCCESS));
    for (form, said) in [("table", "denied: shop/web-1 -> shop/db:80 TCP"), ("name", "denied"), ("json", "\"denied\"")]
    {
        let outcome = weft(&agent.socket, &format!("why web db:80/tcp -o {form}"));
        assert_eq!(outcome.result, Ok(ExitCode::from(3)));
        assert!(outcome.out.contains(said), "{}", outcome.out);
    }
}

#[test]
fn versions_are_those_of_both_sides() {
    let own = format!("weft:   {}, API weft.dev/v1alpha1\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(weft(&agent().socket, "version").out(), format!("{own}weftd:  9.9.9, API weft.dev/v1\n"));
    let nowhere = Directory::new();
    let socket = nowhere.path().join("s");
    assert_eq!(weft(&socket, "version").out(), format!("{own}weftd:  not reached at {}\n", socket.display()));
    let json: serde_json::Value = serde_json::from_str(&weft(&socket, "version -o json").out()).expect("JSON");
    assert_eq!(json["client"]["api"], "weft.dev/v1alpha1");
    assert!(json.get("agent").is_none());
}

#[test]
fn policies_are_shown_with_what_they_decided_and_what_others_would() {
    let summary = json!({"kind": "NetworkPolicy", "namespace": "shop", "name": "web", "tier": "Network",
        "mode": "audit",
        "priority": 0, "ways": ["Ingress"], "rules": 2, "endpoints": 3, "accepted": 7, "denied": 0, "audited": 1});
    let rule = json!({"endpoint": "shop/web", "way": "ingress", "tier": "Network", "action": "Accept", "mode": "audit",
        "rule": "NetworkPolicy shop/web, ingress rule 1", "peers": "any", "ports": "80/TCP"});
    let flow = |then: &str| {
        json!({"from": {"address": "10.1.0.2", "endpoint": "shop/job"}, "to": {"address": "10.1.0.3", "port": 80},
               "protocol": "TCP", "seen": 2, "now": "passed", "then": then,
               "thenBy": "NetworkPolicy shop/web, ingress rule 1"})
    };
    let agent = Agent::new()
        .ok("GET /v1/policies", &json!({"items": [summary]}))
        .ok("GET /v1/policies/rules?match=shop%2Fweb", &json!({"items": [rule]}))
        .ok("POST /v1/policies/test", &json!({"flows": [flow("dropped"), flow("passed")]}))
        .start();
    let directory = Directory::new();
    let policy = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: web}, spec: {}}";
    let file = directory.file("new.yaml", policy);
    let file = file.display();
    for (name, line) in [
        ("list", "policy list".to_owned()),
        ("explain", "policy explain shop/web".to_owned()),
        ("test", format!("policy test {file}")),
        ("test-all", format!("policy test --all {file}")),
    ] {
        golden(&format!("show/policy-{name}.txt"), &weft(&agent.socket, &line).out());
    }
}

#[test]
fn services_are_shown_with_who_serves_them() {
    let backend = |endpoint: Option<&str>, address: &str, state: &str| {
        json!({"namespace": "shop", "service": "web", "port": "http", "protocol": "TCP", "address": address,
               "endpoint": endpoint, "network": endpoint.map(|_| "app"), "state": state})
    };
    let backends = [
        backend(Some("shop/one"), "10.1.0.2:8080", "ready"),
        backend(Some("shop/one"), "[fd61::2]:8080", "ready"),
        backend(None, "192.0.2.7:8080", "terminating"),
    ];
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "shop", "name": "web"},
        "spec": {"clusterIP": "10.247.0.7", "clusterIPs": ["10.247.0.7", "fd77:6566:7400::7"],
                 "selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": "web"}],
                 "sessionAffinity": "ClientIP"},
        "status": {"backends": backends, "connections": 12, "refused": 1}});
    let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"namespace": "shop", "name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
        "endpoints": [{"addresses": ["192.0.2.7"], "conditions": {}}], "ports": [{"name": "http", "port": 8080}]});
    let agent = Agent::new()
        .ok("GET /v1/services", &json!({"items": [service]}))
        .ok("GET /v1/endpointslices", &json!({"items": [slice]}))
        .start();
    for (name, line) in [
        ("list", "service list"),
        ("describe", "service describe shop/web"),
        ("backends", "service backends shop/web"),
        ("slices", "get endpointslices"),
        ("names", "get svc --namespace shop -o name"),
    ] {
        golden(&format!("show/service-{name}.txt"), &weft(&agent.socket, line).out());
    }
    assert!(weft(&agent.socket, "service describe web").error().contains("there is no Service \"default/web\""));
}
