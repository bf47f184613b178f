//! The program as scripts see it: exit codes, and what comes out where.

use std::process::{Command, Output, Stdio};

fn weft(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weft"));
    command.env("WEFT_SOCKET", "/nonexistent/weft.sock").args(line.split_whitespace());
    command
}

fn run(line: &str) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = weft(line).output().expect("start weft");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn the_command_line_is_sound() {
    for verb in ["--help", "get --help", "network create --help", "bench path --help", "--version"] {
        let (code, out, err) = run(verb);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{verb}");
        assert!(!out.is_empty(), "{verb}");
    }
}

#[test]
fn success_is_0_and_needs_no_agent_where_none_is_asked() {
    let (code, out, err) = run("version");
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("not reached at /nonexistent/weft.sock"), "the variable counts: {out}");
}

#[test]
fn failure_is_1_and_one_line_on_standard_error() {
    let (code, out, err) = run("get networks");
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.starts_with("weft: error: cannot reach weftd at /nonexistent/weft.sock: "), "{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
}

#[test]
fn a_line_without_sense_is_2() {
    for line in ["", "gte networks", "get", "get nodes --network app", "delete endpoint x"] {
        let (code, out, err) = run(line);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{line}: {err}");
    }
}

#[test]
fn nobody_is_told_that_the_reader_has_seen_enough() {
    let mut child = weft("completions bash").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start weft");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("wait");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
