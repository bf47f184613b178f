//! What is judged from the environment alone, with no agent in sight.

use std::process::{Command, Stdio};

use serde_json::json;

use crate::process::{ENVIRONMENT, run};

#[test]
fn without_a_command_it_says_what_it_is() {
    for environment in [&[] as &[_], &[("CNI_COMMAND", "")]] {
        let outcome = run(environment.iter().copied(), b"");
        let version = env!("CARGO_PKG_VERSION");
        let versions = "CNI protocol versions supported: 0.3.1, 0.4.0, 1.0.0, 1.1.0";
        assert_eq!(outcome.stderr, format!("CNI weft-cni plugin v{version}\n{versions}\n"));
        assert_eq!((outcome.exit, outcome.stdout.as_str()), (Some(0), ""));
    }
}

#[test]
fn version_needs_neither_agent_nor_input() {
    let expected = json!({ "cniVersion": "1.1.0", "supportedVersions": ["0.3.1", "0.4.0", "1.0.0", "1.1.0"] });
    for stdin in ["", r#"{"cniVersion":"1.0.0"}"#, "garbage"] {
        let outcome = run([("CNI_COMMAND", "VERSION"), ("WEFT_SOCKET", "/nonexistent")], stdin.as_bytes());
        assert_eq!((outcome.exit, outcome.stderr.as_str()), (Some(0), ""));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&outcome.stdout).expect("JSON"), expected);
    }
}

/// Who waits for the end of input here would wait for ever.
#[test]
fn an_input_that_never_ends_stops_nobody_who_needs_none() {
    for command in ["", "VERSION", "UNKNOWN", "ADD"] {
        let mut shim = Command::new(env!("CARGO_BIN_EXE_weft-cni"));
        shim.env_clear().env("CNI_COMMAND", command).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = shim.spawn().expect("start the shim");
        let open = child.stdin.take();
        child.wait().expect("it ends");
        drop(open);
    }
}

#[test]
fn unknown_commands_are_named() {
    for command in ["add", "REMOVE", "ADD "] {
        let error = run([("CNI_COMMAND", command)], b"{}").error();
        assert_eq!(
            error,
            json!({ "cniVersion": "1.1.0", "code": 4, "msg": format!("unknown CNI_COMMAND: {command}") })
        );
    }
}

#[test]
fn missing_variables_are_named_together() {
    let cases = [
        ("ADD", &[] as &[&str], "CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME"),
        ("ADD", &["CNI_CONTAINERID"], "CNI_NETNS,CNI_IFNAME"),
        ("CHECK", &["CNI_CONTAINERID", "CNI_IFNAME"], "CNI_NETNS"),
        ("DEL", &[], "CNI_CONTAINERID,CNI_IFNAME"),
        ("DEL", &["CNI_CONTAINERID", "CNI_NETNS"], "CNI_IFNAME"),
    ];
    for (command, given, missing) in cases {
        let given = ENVIRONMENT.iter().copied().filter(|(name, _)| given.contains(name));
        let error = run(given.chain([("CNI_COMMAND", command)]), b"{}").error();
        assert_eq!(error["code"], 4);
        assert_eq!(error["msg"], format!("required env variables [{missing}] missing"));
    }
}

#[test]
fn an_empty_variable_is_missing() {
    let environment = [("CNI_COMMAND", "DEL"), ("CNI_CONTAINERID", ""), ("CNI_IFNAME", "eth0")];
    assert_eq!(run(environment, b"{}").error()["msg"], "required env variables [CNI_CONTAINERID] missing");
}

#[test]
fn what_may_be_missing_is_not_asked_for() {
    let attachment: &[_] = &[("CNI_CONTAINERID", "c1"), ("CNI_IFNAME", "eth0")];
    for (command, given) in [("DEL", attachment), ("GC", &[]), ("STATUS", &[])] {
        let environment = [("CNI_COMMAND", command), ("WEFT_SOCKET", "/nonexistent")];
        let error = run(environment.into_iter().chain(given.iter().copied()), b"{}").error();
        assert_eq!(error["msg"], "weftd is not running", "{command}");
    }
}
