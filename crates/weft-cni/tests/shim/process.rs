//! One run of the shim.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// What a runtime would set for an ADD; the other commands take what they need of it.
pub(crate) const ENVIRONMENT: &[(&str, &str)] = &[
    ("CNI_CONTAINERID", "c1"),
    ("CNI_NETNS", "/proc/self/ns/net"),
    ("CNI_IFNAME", "eth0"),
    ("CNI_ARGS", "IgnoreUnknown=1"),
    ("CNI_PATH", "/opt/cni/bin"),
];

/// What a runtime sees of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) exit: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// The error on stdout, of which there is nothing else anywhere.
    pub(crate) fn error(&self) -> Value {
        assert_eq!((self.exit, self.stderr.as_str()), (Some(1), ""), "{}", self.stdout);
        serde_json::from_str(&self.stdout).expect("JSON and nothing else")
    }
}

/// Runs the shim with these variables and nothing else.
pub(crate) fn run<'a>(environment: impl IntoIterator<Item = (&'a str, &'a str)>, stdin: &[u8]) -> Outcome {
    let mut child = Command::new(env!("CARGO_BIN_EXE_weft-cni"))
        .env_clear()
        .envs(environment)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start the shim");
    let mut pipe = child.stdin.take().expect("a pipe");
    // Some runs end without reading any of it.
    let _ = pipe.write_all(stdin);
    drop(pipe);
    let output = child.wait_with_output().expect("wait for the shim");
    Outcome {
        exit: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// Runs one command with a full environment and a configuration that names `socket`.
pub(crate) fn call(command: &str, socket: &Path) -> Outcome {
    let config = json!({ "cniVersion": "1.0.0", "name": "app", "type": "weft-cni", "socket": socket });
    run(ENVIRONMENT.iter().copied().chain([("CNI_COMMAND", command)]), config.to_string().as_bytes())
}
