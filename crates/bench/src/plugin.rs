//! One exec of a CNI plugin, as a runtime makes it: variables, configuration on stdin, result on stdout.

use std::io::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use weft_lab::Host;

/// The interface inside.
pub(super) const IFNAME: &str = "eth0";
/// Where a host's plugins are.
const DIRECTORY: &str = "/opt/cni/bin";
/// Plugins start others of their own, such as `iptables`.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// What a plugin is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Operation {
    Add,
    Del,
}

impl Operation {
    pub(super) fn word(self) -> &'static str {
        match self {
            Operation::Add => "ADD",
            Operation::Del => "DEL",
        }
    }
}

/// A container, as far as its network goes: a namespace.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) id: String,
    pub(super) netns: PathBuf,
}

/// A plugin that is about to be called.
#[derive(Debug)]
pub(super) struct Plugin {
    kind: String,
    command: Command,
}

impl Plugin {
    /// The one of the host that the calling process is in.
    pub(super) fn here(kind: &str) -> Self {
        Self { kind: kind.to_owned(), command: Command::new(program(kind)) }
    }

    /// The one of a host of the lab.
    pub(super) fn inside(host: &Host, kind: &str) -> Self {
        Self { kind: kind.to_owned(), command: host.command(program(kind)) }
    }

    /// Calls it; its result. The error is what it says.
    pub(super) fn call(mut self, operation: Operation, container: &Container, config: &[u8]) -> Result<Vec<u8>> {
        let (kind, command, Container { id, netns }) = (&self.kind, &mut self.command, container);
        command.env_clear().env("PATH", PATH).env("CNI_PATH", DIRECTORY).env("CNI_COMMAND", operation.word());
        command.env("CNI_CONTAINERID", id).env("CNI_NETNS", netns).env("CNI_IFNAME", IFNAME);
        let output = run(command, config).with_context(|| format!("cannot run plugin {kind}"))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        bail!("{kind} {} of {id}: {}: {}{}", operation.word(), output.status, said.trim(), complained.trim())
    }
}

fn program(kind: &str) -> String {
    format!("{DIRECTORY}/{kind}")
}

/// The addresses of a result (CNI SPEC.md, section 5); none of an empty one.
pub(super) fn addresses(result: &[u8]) -> Result<Vec<IpAddr>> {
    if result.is_empty() {
        return Ok(Vec::new());
    }
    let result: Value = serde_json::from_slice(result).context("a result that is not JSON")?;
    let ips = result["ips"].as_array().context("a result without ips")?;
    let address =
        |ip: &Value| Ok(ip["address"].as_str().context("an address that is not text")?.parse::<IpNet>()?.addr());
    ips.iter().map(address).collect()
}

/// Runs a program to its end with `input` on its stdin.
pub(super) fn run(command: &mut Command, input: &[u8]) -> std::io::Result<Output> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input));
    let output = child.wait_with_output()?;
    // A program that does not read its stdin has ended before we wrote.
    written.or_else(|error| if error.kind() == std::io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })?;
    Ok(output)
}
