//! One exec of a CNI plugin, as a runtime makes it: variables, configuration on stdin, result on stdout.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail};

use super::{IFNAME, Slot};
use crate::bench::script::Operation;

/// Where a host's plugins are.
const DIRECTORY: &str = "/opt/cni/bin";
/// Plugins start others of their own, such as `iptables`.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Calls the plugin `kind`. The error is what it says.
pub(super) fn call(kind: &str, operation: Operation, slot: &Slot, config: &[u8]) -> Result<Vec<u8>> {
    let mut command = Command::new(format!("{DIRECTORY}/{kind}"));
    command.env_clear().env("PATH", PATH).env("CNI_PATH", DIRECTORY).env("CNI_COMMAND", operation.word());
    command.env("CNI_CONTAINERID", &slot.container).env("CNI_NETNS", &slot.netns).env("CNI_IFNAME", IFNAME);
    let output = run(&mut command, config).with_context(|| format!("cannot run plugin {kind}"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    bail!("{kind} {} of {}: {}: {}{}", operation.word(), slot.container, output.status, said.trim(), complained.trim())
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
