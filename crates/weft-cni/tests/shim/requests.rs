//! What reaches the agent.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;

use serde_json::json;

use crate::agent::{Agent, Directory};
use crate::process::{ENVIRONMENT, call, run};

#[test]
fn every_command_is_one_request_with_all_that_was_given() {
    for command in ["ADD", "DEL", "CHECK", "GC", "STATUS"] {
        let agent = Agent::answering("200 OK", "");
        let socket = agent.socket();
        let config = format!("{{\"socket\":\"{}\",\n\"name\":\"é\\u0000\"}}", socket.display());
        let environment = ENVIRONMENT.iter().copied().chain([("CNI_COMMAND", command)]);
        assert_eq!(run(environment, config.as_bytes()).exit, Some(0));
        let request = agent.request();
        assert!(request.head.starts_with("POST /v1/cni HTTP/1.1\r\nHost: weft\r\n"), "{}", request.head);
        assert!(request.head.contains("\r\nConnection: close\r\n"), "{}", request.head);
        let expected = json!({
            "command": command,
            "containerId": "c1",
            "netns": "/proc/self/ns/net",
            "ifname": "eth0",
            "args": "IgnoreUnknown=1",
            "path": "/opt/cni/bin",
            "config": config,
        });
        assert_eq!(request.body, expected);
    }
}

#[test]
fn the_namespace_travels_as_a_descriptor_where_there_is_one() {
    let own = std::fs::metadata("/proc/self/ns/net").expect("a namespace").ino();
    for (command, expected) in
        [("ADD", Some(own)), ("DEL", Some(own)), ("CHECK", Some(own)), ("GC", None), ("STATUS", None)]
    {
        let agent = Agent::answering("200 OK", "");
        call(command, &agent.socket());
        let descriptor = agent.request().descriptor.map(File::from);
        assert_eq!(descriptor.map(|file| file.metadata().expect("its inode").ino()), expected, "{command}");
    }
}

#[test]
fn a_namespace_that_is_gone_or_no_namespace_at_all_hangs_nobody() {
    let directory = Directory::new();
    let fifo = directory.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a FIFO");
    for netns in ["", "/nonexistent/ns", fifo.to_str().expect("UTF-8")] {
        let agent = Agent::answering("200 OK", "");
        let socket = agent.socket();
        let environment = [
            ("CNI_COMMAND", "DEL"),
            ("CNI_CONTAINERID", "c1"),
            ("CNI_IFNAME", "eth0"),
            ("CNI_NETNS", netns),
            ("WEFT_SOCKET", socket.to_str().expect("UTF-8")),
        ];
        assert_eq!(run(environment, b"{}").exit, Some(0));
        let request = agent.request();
        assert_eq!(request.body["netns"], netns);
        assert!(request.descriptor.is_none() || netns.ends_with("fifo"));
    }
}

#[test]
fn the_configuration_comes_before_the_environment() {
    let (configured, set) = (Agent::answering("200 OK", "configured"), Agent::answering("200 OK", "set"));
    let (in_config, in_environment) = (configured.socket(), set.socket());
    let environment = [("CNI_COMMAND", "STATUS"), ("WEFT_SOCKET", in_environment.to_str().expect("UTF-8"))];
    let config = json!({ "socket": in_config }).to_string();
    assert_eq!(run(environment, config.as_bytes()).stdout, "configured");
    for config in ["{}", r#"{"socket":""}"#, r#"{"plugins":[{"socket":"/x"}]}"#] {
        let outcome = run([("CNI_COMMAND", "STATUS"), ("WEFT_SOCKET", "/nonexistent")], config.as_bytes());
        assert!(outcome.error()["details"].as_str().expect("text").starts_with("socket /nonexistent: "));
    }
    assert_eq!(run(environment, b"{}").stdout, "set");
    configured.request();
    set.request();
}

#[test]
fn what_is_not_json_is_passed_on_as_it_is() {
    let cases: [(&[u8], &str); 4] = [
        (b"", ""),
        (b"{\"name\": \"trunc", "{\"name\": \"trunc"),
        (b"\x00\x01\x7f\"\\\n", "\u{0}\u{1}\u{7f}\"\\\n"),
        (b"\xff\xfe{}", "\u{fffd}\u{fffd}{}"),
    ];
    for (stdin, expected) in cases {
        let agent = Agent::answering("200 OK", "");
        let socket = agent.socket();
        let environment = [("CNI_COMMAND", "STATUS"), ("WEFT_SOCKET", socket.to_str().expect("UTF-8"))];
        assert_eq!(run(environment, stdin).exit, Some(0));
        assert_eq!(agent.request().body["config"], expected);
    }
}

#[test]
fn the_largest_configuration_is_passed_on_and_a_larger_one_is_refused() {
    let agent = Agent::answering("200 OK", "");
    let socket = agent.socket();
    let environment = [("CNI_COMMAND", "STATUS"), ("WEFT_SOCKET", socket.to_str().expect("UTF-8"))];
    let mut config = vec![b'\x01'; 1024 * 1024];
    assert_eq!(run(environment, &config).exit, Some(0));
    assert_eq!(agent.request().body["config"].as_str().expect("text").len(), config.len());

    config.push(b'\x01');
    let error = run(environment, &config).error();
    assert_eq!(error["code"], 6);
    assert_eq!(error["details"], "the limit is 1048576 bytes");
}
