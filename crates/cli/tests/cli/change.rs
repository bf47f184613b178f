//! Verbs that change something.

use serde_json::{Value, json};
use weft_api::{Applied, ApplyAction, List};

use crate::agent::Agent;
use crate::directory::Directory;
use crate::fixture;
use crate::golden::golden;
use crate::weft::{refusal, weft};

const APP: &str = "apiVersion: weft.dev/v1alpha1\nkind: Network\nmetadata: { name: app }\nspec: { mode: bridge }\n";

fn applied(names: &[(&str, ApplyAction)]) -> List<Applied> {
    let applied = |(name, action): &(&str, ApplyAction)| Applied {
        kind: "Network".to_owned(),
        name: (*name).to_owned(),
        action: *action,
    };
    List { items: names.iter().map(applied).collect() }
}

#[test]
fn the_objects_of_all_files_are_applied_at_once() {
    let directory = Directory::new();
    let first = directory.file("a.yaml", &format!("{APP}---\n{}", APP.replace("app", "web")));
    let object = json!({
        "apiVersion": "weft.dev/v1alpha1", "kind": "Network", "metadata": { "name": "db" },
        "spec": { "mode": "none" },
    });
    let second = directory.file("b.json", &json!({ "items": [object] }).to_string());
    let answer =
        applied(&[("app", ApplyAction::Created), ("web", ApplyAction::Changed), ("db", ApplyAction::Unchanged)]);
    let agent = Agent::new().ok("POST /v1/apply", &answer).start();
    let line = format!("apply -f {} -f {}", first.display(), second.display());
    golden("change/apply.txt", &weft(&agent.socket, &line).out());
    golden("change/apply.json.txt", &weft(&agent.socket, &format!("{line} -o json")).out());
    let (question, body) = &agent.questions()[0];
    assert_eq!(question, "POST /v1/apply");
    let names: Vec<_> = body["items"].as_array().expect("a list").iter().map(|it| &it["metadata"]["name"]).collect();
    assert_eq!(names, ["app", "web", "db"]);
    assert_eq!(body["items"][2], object);
}

#[test]
fn nothing_is_sent_while_a_file_is_faulty() {
    let directory = Directory::new();
    let good = directory.file("good.yaml", APP);
    let bad = directory.file("bad.yaml", &format!("{APP}---\n{}", APP.replace("bridge", "brigde")));
    let worse = directory.file("worse.yaml", "kind: Pod\n");
    let agent = Agent::new().start();
    let line = format!("apply -f {} -f {} -f {}", good.display(), bad.display(), worse.display());
    let error = weft(&agent.socket, &line).error();
    let lines: Vec<_> = error.lines().collect();
    assert!(
        lines[0].starts_with(&format!("{}: document 2, line 9: unknown variant `brigde`", bad.display())),
        "{error}"
    );
    assert!(lines[1].starts_with(&format!("{}: document 1, line 1: unknown kind \"Pod\"", worse.display())), "{error}");
    assert_eq!(agent.questions(), []);
    let error = weft(&agent.socket, "apply -f /nonexistent").error();
    assert_eq!(error, "cannot read /nonexistent: No such file or directory (os error 2)");
}

#[test]
fn every_flag_of_create_finds_its_field() {
    let agent = Agent::new().ok("POST /v1/networks", &fixture::network()).start();
    let created = |line: &str| -> Value {
        weft(&agent.socket, &format!("network create app {line}")).out();
        agent.questions().pop().expect("a question").1
    };
    let full = "--attachment routed --transport vxlan --pool 10.64.0.0/16 --pool fd64::/64 --range 10.64.1.0/24 \
                --exclude 10.64.1.9 --gateway 10.64.0.1 --family ipv4 --family ipv6 --mtu 9000 --parent eth1 \
                --route 10.9.0.0/16 --route 10.8.0.0/16=10.64.0.2 --internal --isolated \
                --masquerade-except 10.0.0.0/8 --masquerade-except fd00::/8 --masquerade-source 192.0.2.7 \
                --dns 192.0.2.53 --dns-search app.example --label team=a --label empty=";
    let expected = json!({
        "apiVersion": "weft.dev/v1alpha1",
        "kind": "Network",
        "metadata": { "name": "app", "labels": { "team": "a", "empty": "" } },
        "spec": {
            "attachment": "routed", "transport": "vxlan", "families": ["IPv4", "IPv6"],
            "pools": ["10.64.0.0/16", "fd64::/64"], "ranges": ["10.64.1.0/24"], "exclude": ["10.64.1.9"],
            "gateways": ["10.64.0.1"], "mtu": 9000, "parent": "eth1",
            "routes": [{ "to": "10.9.0.0/16" }, { "to": "10.8.0.0/16", "via": "10.64.0.2" }],
            "internal": true, "isolated": true,
            "masquerade": { "except": ["10.0.0.0/8", "fd00::/8"], "source": ["192.0.2.7"] },
            "dns": { "servers": ["192.0.2.53"], "searches": ["app.example"] },
        },
    });
    assert_eq!(created(full), expected);
    assert_eq!(created("--mode bridge")["spec"], json!({ "mode": "bridge" }));
    let spec = json!({ "mode": "overlay", "transport": "geneve", "mtu": "auto", "masquerade": false });
    assert_eq!(created("--mode overlay --transport geneve --mtu auto --no-masquerade")["spec"], spec);
}

#[test]
fn a_created_network_is_shown() {
    let agent = Agent::new().ok("POST /v1/networks", &fixture::network()).start();
    golden("change/create.txt", &weft(&agent.socket, "network create app --mode bridge").out());
    assert_eq!(weft(&agent.socket, "network create app --mode bridge -o name").out(), "app\n");
}

#[test]
fn what_can_be_deleted_is_and_the_rest_is_named() {
    let directory = Directory::new();
    let file = directory.file("a.yaml", APP);
    let agent = Agent::new()
        .ok("DELETE /v1/networks/app", &fixture::network())
        .refusal("DELETE /v1/networks/busy", 409, "network \"busy\" has 2 endpoints")
        .start();
    for line in ["delete network app", "network delete app", &format!("delete -f {}", file.display())] {
        assert_eq!(weft(&agent.socket, line).out(), "deleted network app\n");
    }
    assert_eq!(weft(&agent.socket, "delete network app -o name").out(), "app\n");
    let outcome = weft(&agent.socket, "delete net busy app");
    assert_eq!(outcome.out, "deleted network app\n");
    assert_eq!(outcome.result, Err("network \"busy\" has 2 endpoints".to_owned()));
}

#[test]
fn only_networks_can_be_deleted() {
    let agent = Agent::new().start();
    assert_eq!(weft(&agent.socket, "delete ep x").error(), "endpoints go when their containers do");
    assert_eq!(weft(&agent.socket, "delete node x").error(), "a node is there while its weftd is");
}

#[test]
fn limits_are_sent_as_they_are_written_and_shown_as_they_are() {
    let object = fixture::endpoint("eth0", "10.64.1.0/16");
    let agent = Agent::new()
        .ok("POST /v1/endpoints/limits", &object)
        .ok("GET /v1/endpoints?match=web", &List { items: vec![object] })
        .start();
    golden("change/endpoint-limit.txt", &weft(&agent.socket, "endpoint limit web").out());
    let sent = |line: &str| -> Value {
        let told = weft(&agent.socket, &format!("endpoint limit web {line}")).out();
        golden("change/endpoint-limit.txt", &told);
        agent.questions().pop().expect("a question").1
    };
    let both = sent("--ingress 1.5Gbit/s --ingress-burst 2MiB --egress 500k");
    let (ingress, egress) = (json!({ "rate": 1_500_000_000, "burst": 2_097_152 }), json!({ "rate": 500_000 }));
    assert_eq!(both, json!({ "endpoint": "web", "ingress": ingress, "egress": egress }));
    let lifted = json!({ "rate": 0 });
    assert_eq!(sent("--egress 0"), json!({ "endpoint": "web", "egress": lifted }));
    assert_eq!(sent("--none"), json!({ "endpoint": "web", "ingress": lifted, "egress": lifted }));
    for (line, expected) in [
        ("--ingress 10MB/s", "\"10MB/s\" is no rate: write bits per second such as 10M"),
        ("--egress 1M --egress-burst x", "\"x\" is no size: write bytes such as 64k"),
        ("--ingress-burst 64k", "--ingress <RATE>"),
        ("--none --egress 1M", "cannot be used with"),
    ] {
        let told = refusal(&format!("endpoint limit web {line}"));
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn labels_are_sent_as_they_are_written_and_shown_as_they_are() {
    let object = fixture::endpoint("eth0", "10.64.1.0/16");
    let agent = Agent::new()
        .ok("POST /v1/endpoints/labels", &List { items: vec![object.clone()] })
        .ok("GET /v1/endpoints?match=web", &List { items: vec![object] })
        .start();
    golden("change/endpoint-label.txt", &weft(&agent.socket, "endpoint label web").out());
    golden("change/endpoint-label.txt", &weft(&agent.socket, "endpoint label web tier=front x/y=z old-").out());
    let add = json!({ "tier": "front", "x/y": "z" });
    assert_eq!(
        agent.questions().pop().expect("a question").1,
        json!({ "endpoint": "web", "add": add, "remove": ["old"] })
    );
    let told = refusal("endpoint label web tier");
    assert!(told.contains("\"tier\": write KEY=VALUE, or KEY- to take it away"), "{told}");
}

#[test]
fn what_is_allowed_is_sent_as_it_is_written_and_shown_as_it_is() {
    let object = fixture::endpoint("eth0", "10.64.1.0/16");
    let mut bare = object.clone();
    bare.status.allowed_addresses.clear();
    let agent = Agent::new()
        .ok("POST /v1/endpoints/allowances", &object)
        .ok("GET /v1/endpoints?match=web", &List { items: vec![object] })
        .ok("GET /v1/endpoints?match=bare", &List { items: vec![bare] })
        .start();
    golden("change/endpoint-allow.txt", &weft(&agent.socket, "endpoint allow web").out());
    golden("change/endpoint-allow-none.txt", &weft(&agent.socket, "endpoint allow bare").out());
    let sent = |line: &str| -> Value {
        let told = weft(&agent.socket, &format!("endpoint allow web {line}")).out();
        golden("change/endpoint-allow.txt", &told);
        agent.questions().pop().expect("a question").1
    };
    let prefixes = ["10.0.0.9", "fd00::/64"];
    assert_eq!(sent("10.0.0.9 fd00::/64"), json!({ "endpoint": "web", "add": prefixes }));
    assert_eq!(sent("--remove 10.0.0.9 fd00::/64"), json!({ "endpoint": "web", "remove": prefixes }));
    assert_eq!(sent("--none"), json!({ "endpoint": "web", "removeAll": true }));
    for (line, expected) in [
        ("--remove", "<PREFIX>"),
        ("--none 10.0.0.9", "cannot be used with"),
        ("--none --remove 10.0.0.9", "cannot be used with"),
    ] {
        let told = refusal(&format!("endpoint allow web {line}"));
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn more_objects_than_one_request_may_have_go_in_parts() {
    let agent = Agent::new().ok("POST /v1/apply", &json!({"items": []})).start();
    let one = |n: usize| format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: n{n}}}}}");
    let objects: Vec<_> = (0..weft_api::OBJECTS_MAX + 2).map(one).collect();
    let directory = Directory::new();
    let file = directory.file("many.yaml", &objects.join("\n---\n"));
    let outcome = weft(&agent.socket, &format!("apply -f {}", file.display()));
    assert!(outcome.result.is_ok(), "{outcome:?}");
    let counts: Vec<_> = agent.questions().iter().map(|(_, body)| body["items"].as_array().unwrap().len()).collect();
    assert_eq!(counts, [weft_api::OBJECTS_MAX, 2]);
}
