//! `weft-lab`: a private host from the command line, and the processes that one is made of.
//!
//! `weft-lab run NAME PROGRAM [ARGUMENT...]` makes a host, runs the program in it and takes the host away. The other
//! verbs belong to the library; its documentation draws how they fit together.

mod cgroup;
mod enter;
mod init;
mod keeper;
mod launcher;
mod mounts;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use weft_lab::Host;

/// Exit status of a command that did not start, as shells have it.
const NOT_STARTED: u8 = 127;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let verb = arguments.next().unwrap_or_default();
    let ended = match verb.to_str() {
        Some("run") => run(arguments),
        Some("keeper") => keeper::keep(),
        Some("init") => init::run(),
        Some("launcher") => launcher::serve(),
        Some("enter") => enter::enter(arguments),
        _ => Err(anyhow::anyhow!("usage: weft-lab run NAME PROGRAM [ARGUMENT...]")),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("weft-lab: {error:#}");
        ExitCode::from(NOT_STARTED)
    })
}

fn run(mut arguments: impl Iterator<Item = OsString>) -> Result<ExitCode> {
    let (Some(name), Some(program)) = (arguments.next(), arguments.next()) else {
        bail!("run needs a name and a program");
    };
    let host = Host::start(name.to_str().context("the name is not text")?)?;
    let status = host.command(program).args(arguments).status()?;
    host.stop()?;
    Ok(enter::exit_code(status))
}
