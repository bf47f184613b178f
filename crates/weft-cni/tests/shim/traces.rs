//! Requests that containerd's ctr 1.6 and podman 4.3 really made (tests/traces), told again to the shim.

use serde_json::Value;

use crate::agent::Agent;
use crate::process::run;

const TRACES: [&str; 2] = [
    include_str!("../../../../tests/traces/ctr-1.6-cni.jsonl"),
    include_str!("../../../../tests/traces/podman-4.3-cni.jsonl"),
];

#[test]
fn recorded_requests_reach_the_agent_as_they_are() {
    let mut told = 0;
    for line in TRACES.iter().flat_map(|trace| trace.lines()) {
        let trace: Value = serde_json::from_str(line).expect("JSON");
        let variable = |name: &str| trace["env"][name].as_str().unwrap_or_default();
        let stdin = trace["stdin"].to_string();
        if variable("CNI_COMMAND") == "VERSION" {
            assert_eq!(run(environment(&trace), stdin.as_bytes()).exit, Some(0));
            continue;
        }
        let agent = Agent::answering("200 OK", "{}");
        let socket = agent.socket();
        let given = environment(&trace).chain([("WEFT_SOCKET", socket.to_str().expect("UTF-8"))]);
        assert_eq!(run(given, stdin.as_bytes()).stdout, "{}");
        let body = agent.request().body;
        for (member, name) in [
            ("command", "CNI_COMMAND"),
            ("containerId", "CNI_CONTAINERID"),
            ("netns", "CNI_NETNS"),
            ("ifname", "CNI_IFNAME"),
            ("args", "CNI_ARGS"),
            ("path", "CNI_PATH"),
        ] {
            assert_eq!(body[member], variable(name), "{member}");
        }
        assert_eq!(body["config"], stdin);
        told += 1;
    }
    assert_eq!(told, 7);
}

fn environment(trace: &Value) -> impl Iterator<Item = (&str, &str)> {
    let variables = trace["env"].as_object().expect("an object");
    variables.iter().map(|(name, value)| (name.as_str(), value.as_str().expect("text")))
}
