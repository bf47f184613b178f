//! What the runtime is told, whatever the agent does.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::agent::{Agent, Directory};
use crate::process::{call, run};

const COMMANDS: [(&str, u32); 5] = [("ADD", 11), ("DEL", 11), ("CHECK", 11), ("GC", 11), ("STATUS", 50)];

#[test]
fn results_and_errors_are_passed_on_untouched() {
    let result = "{\"cniVersion\":\"1.0.0\",\"ips\":[]}\n";
    for (status, body, exit) in [("200 OK", result, 0), ("200 OK", "", 0), ("422 Unprocessable Entity", result, 1)] {
        let agent = Agent::answering(status, body);
        let outcome = call("ADD", &agent.socket());
        assert_eq!((outcome.exit, outcome.stdout.as_str(), outcome.stderr.as_str()), (Some(exit), body, ""));
        agent.request();
    }
}

#[test]
fn an_absent_agent_is_known_at_once() {
    let directory = Directory::new();
    let socket = directory.path().join("weft.sock");
    for (command, code) in COMMANDS {
        let begin = Instant::now();
        let error = call(command, &socket).error();
        // Far more than it takes, and far less than any time limit of the shim's.
        assert!(begin.elapsed() < Duration::from_secs(2));
        let details = format!("socket {}: No such file or directory (os error 2)", socket.display());
        let expected =
            json!({ "cniVersion": "1.0.0", "code": code, "msg": "weftd is not running", "details": details });
        assert_eq!(error, expected);
    }
}

#[test]
fn a_socket_that_nobody_listens_at_is_an_absent_agent() {
    let directory = Directory::new();
    let socket = directory.path().join("weft.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).expect("bind"));
    let error = call("ADD", &socket).error();
    assert_eq!((&error["code"], &error["msg"]), (&json!(11), &json!("weftd is not running")));
}

#[test]
fn an_impossible_socket_is_named() {
    let socket = std::path::PathBuf::from(format!("/{}", "x".repeat(107)));
    let error = call("ADD", &socket).error();
    assert_eq!(error["msg"], "weftd cannot be reached");
    let details = format!("socket {}: the path of a socket has 107 bytes at most, and no zero byte", socket.display());
    assert_eq!(error["details"], details);
}

#[test]
fn an_agent_that_hangs_up_is_told() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n";
    for text in ["", "HTTP/1.1 200", head, &format!("{head}{{\"ips\"")] {
        for (command, code) in COMMANDS {
            let agent = Agent::sending([text.as_bytes().to_vec()]);
            let error = call(command, &agent.socket()).error();
            assert_eq!((&error["code"], &error["msg"]), (&json!(code), &json!("weftd did not answer")));
            let details = error["details"].as_str().expect("text");
            assert!(details.ends_with(": the answer broke off"), "{details}");
            agent.request();
        }
    }
}

#[test]
fn an_agent_that_hangs_up_at_once_is_told() {
    let agent = Agent::hanging_up();
    let error = call("ADD", &agent.socket()).error();
    assert_eq!((&error["code"], &error["msg"]), (&json!(11), &json!("weftd did not answer")));
}

#[test]
fn an_answer_may_come_in_pieces() {
    let text = "HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{\"ips\": \"é\" }";
    let agent = Agent::sending(text.bytes().map(|byte| vec![byte]).collect::<Vec<_>>());
    let outcome = call("ADD", &agent.socket());
    assert_eq!((outcome.exit, outcome.stdout.as_str()), (Some(0), "{\"ips\": \"é\" }"));
}

#[test]
fn an_answer_beyond_all_bounds_is_refused() {
    let head = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    let agent = Agent::sending([head, vec![b'x'; 5 * 1024 * 1024]]);
    let error = call("ADD", &agent.socket()).error();
    let details = error["details"].as_str().expect("text");
    assert!(details.ends_with(": the answer is larger than 4194304 bytes"), "{details}");
    agent.request();
}

#[test]
fn any_other_status_is_told() {
    for (command, code) in COMMANDS {
        let agent = Agent::answering("503 Service Unavailable", "{\"errors\":[\"too many connections\"]}\n");
        let error = call(command, &agent.socket()).error();
        assert_eq!((&error["code"], &error["msg"]), (&json!(code), &json!("weftd did not take the request")));
        let details = error["details"].as_str().expect("text");
        assert!(details.ends_with(": HTTP status 503: {\"errors\":[\"too many connections\"]}"), "{details}");
        agent.request();
    }
}

#[test]
fn an_answer_that_comes_before_the_request_is_read_counts() {
    let agent = Agent::answering_early("413 Content Too Large");
    let config = json!({ "socket": agent.socket(), "args": "x".repeat(1_000_000) }).to_string();
    let error = run([("CNI_COMMAND", "STATUS")], config.as_bytes()).error();
    assert_eq!(error["msg"], "weftd did not take the request");
}
