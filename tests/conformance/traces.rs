//! Requests that real runtimes were recorded to send, answered as those runtimes need.

use serde_json::{Value, json};
use weft_lab::Host;
use weft_tests::{Api, Call, until};

fn recorded(name: &str) -> Vec<Value> {
    let path = format!("{}/traces/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The recorded call, with a namespace of ours in place of the runtime's.
fn replay(record: &Value, netns: &str) -> (String, Call) {
    let env = record["env"].as_object().unwrap();
    let command = env["CNI_COMMAND"].as_str().unwrap().to_owned();
    let mut call = Call::new(&command, "x", "x").raw(&record["stdin"].to_string());
    for (name, value) in env.iter().filter(|(name, _)| *name != "CNI_COMMAND") {
        call = call.env(name, value.as_str().unwrap());
    }
    if env["CNI_NETNS"] != "dummy" {
        call = call.env("CNI_NETNS", netns);
    }
    (command, call)
}

#[test]
fn podman_and_ctr_get_what_they_were_recorded_to_ask_for() {
    for trace in ["podman-4.3-cni.jsonl", "ctr-1.6-cni.jsonl"] {
        let host = Host::start("trace").unwrap();
        let _weftd = host.weftd::<&str>(&[]).unwrap();
        let api = Api::of(&host);
        let mut made = std::collections::BTreeSet::new();
        for record in recorded(trace) {
            let (command, call) = replay(&record, "/run/netns/c1");
            let name = record["stdin"]["name"].as_str().unwrap_or_default().to_owned();
            if !name.is_empty() && made.insert(name.clone()) {
                let pool = format!("10.{}.0.0/16", 65 + made.len());
                api.network(&name, json!({"mode": "bridge", "pools": [pool]}));
            }
            if command == "ADD" {
                let _ = host.run(&["ip", "netns", "del", "c1"]);
                host.run(&["ip", "netns", "add", "c1"]).unwrap();
            }
            let output = call.done(&host);
            match command.as_str() {
                "ADD" => {
                    assert_eq!(output["cniVersion"], record["stdin"]["cniVersion"]);
                    let asked =
                        record["env"]["CNI_ARGS"].as_str().unwrap().split(';').find_map(|p| p.strip_prefix("IP="));
                    if let Some(asked) = asked {
                        assert!(output["ips"][0]["address"].as_str().unwrap().starts_with(asked), "{output}");
                    }
                }
                "VERSION" => assert_eq!(output["cniVersion"], "1.1.0"),
                _ => assert!(output.is_null(), "{command} prints nothing"),
            }
        }
        // ctr never calls DEL for what runs detached: the namespace's death must do.
        let _ = host.run(&["ip", "netns", "del", "c1"]);
        until(trace, || api.endpoints("").is_empty().then_some(()));
        api.assert_clean();
    }
}
