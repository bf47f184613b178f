//! The CNI plugin of weft: environment and standard input become one request to weftd, whose answer is printed.
//!
//! It starts once or more for every container, so it is small and needs nothing but std; what is judged here is judged
//! without weftd, everything else by weftd (CNI SPEC.md, sections 2 and 4).

mod call;
mod error;
mod http;
mod json;
mod socket;

use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::call::{Call, variable};
use crate::error::{CniError, IO_FAILURE, UNDECODABLE};
use crate::http::Response;

/// The newest version of the specification that is spoken; the agent speaks the same ones.
pub(crate) const CNI_VERSION: &str = "1.1.0";
/// As `supportedVersions` of the answer to VERSION lists them, oldest first.
const CNI_VERSIONS: &[&str] = &["0.3.1", "0.4.0", "1.0.0", CNI_VERSION];

/// Largest configuration, in bytes: a thousand times the usual one.
const CONFIG_BYTES_MAX: u64 = 1024 * 1024;
/// Longest wait for weftd: an ADD may stand in the queue behind a burst of others.
const ANSWER_MAX: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let command = variable("CNI_COMMAND");
    if command.is_empty() {
        return about();
    }
    if command == "VERSION" {
        return print(version().as_bytes(), ExitCode::SUCCESS);
    }
    match run(&command) {
        Ok(Response { status: 200, body }) => print(&body, ExitCode::SUCCESS),
        Ok(Response { body, .. }) => print(&body, ExitCode::FAILURE),
        Err(error) => print(error.to_json().as_bytes(), ExitCode::FAILURE),
    }
}

/// weftd's answer: 200 with a result, or 422 with an error as CNI has it.
fn run(command: &str) -> Result<Response, CniError> {
    let call = Call::from_environment(command)?;
    let config = read_config()?;
    let cni_version = json::string_member(&config, "cniVersion");
    let socket = call::socket(&config);
    let request = http::post("/v1/cni", &call.to_json(&config));
    let answer = http::exchange(&socket, &request, call.netns(), Instant::now() + ANSWER_MAX);
    answer.and_then(Response::expect_cni).map_err(|failure| {
        let details = format!("socket {}: {}", socket.display(), failure.details);
        CniError { cni_version, code: call.command.agent_away, msg: failure.msg.to_owned(), details }
    })
}

fn read_config() -> Result<String, CniError> {
    let mut config = Vec::new();
    let read = io::stdin().lock().take(CONFIG_BYTES_MAX + 1).read_to_end(&mut config);
    read.map_err(|e| CniError::new(IO_FAILURE, "cannot read the network configuration", &e.to_string()))?;
    if config.len() as u64 > CONFIG_BYTES_MAX {
        let limit = format!("the limit is {CONFIG_BYTES_MAX} bytes");
        return Err(CniError::new(UNDECODABLE, "the network configuration on stdin is too large", &limit));
    }
    Ok(String::from_utf8_lossy(&config).into_owned())
}

/// Who runs a plugin without a command wants to know what it is: on stderr, in the words of the reference plugins.
fn about() -> ExitCode {
    let text = format!(
        "CNI weft-cni plugin v{}\nCNI protocol versions supported: {}\n",
        env!("CARGO_PKG_VERSION"),
        CNI_VERSIONS.join(", ")
    );
    finish(io::stderr().write_all(text.as_bytes()), ExitCode::SUCCESS)
}

fn version() -> String {
    format!("{{\"cniVersion\":\"{CNI_VERSION}\",\"supportedVersions\":[\"{}\"]}}\n", CNI_VERSIONS.join("\",\""))
}

fn print(text: &[u8], exit: ExitCode) -> ExitCode {
    let mut stdout = io::stdout().lock();
    finish(stdout.write_all(text).and_then(|()| stdout.flush()), exit)
}

/// Nobody who lost our words may take them for success.
fn finish(written: io::Result<()>, exit: ExitCode) -> ExitCode {
    if written.is_ok() { exit } else { ExitCode::FAILURE }
}
