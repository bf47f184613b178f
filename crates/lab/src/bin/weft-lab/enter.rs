//! `weft-lab enter SOCKET NETNS PROGRAM [ARGUMENT...]`: runs a command in a host, with this process's descriptors,
//! environment and directory, and ends as it ends.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};

use anyhow::{Context, Result};
use weft_lab::wire::{self, OWN_NETNS, Request};

/// What shells add to a signal's number to make an exit status.
const SIGNALLED: i32 = 128;

pub(crate) fn enter(mut arguments: impl Iterator<Item = OsString>) -> Result<ExitCode> {
    let socket = PathBuf::from(arguments.next().context("enter needs a socket")?);
    let netns = arguments.next().context("enter needs a namespace")?;
    let netns = netns.to_str().context("the namespace is not text")?;
    let request = Request {
        argv: arguments.collect(),
        environment: std::env::vars_os().collect(),
        directory: std::env::current_dir()?,
        netns: (netns != OWN_NETNS).then(|| netns.to_owned()),
    };
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let stdio = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
    let status = wire::launch(&socket, &request, stdio)?.wait()?;
    Ok(exit_code(status))
}

/// The exit code that tells of `status`, as a shell would put it.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or(status.signal().map(|signal| SIGNALLED + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
}
