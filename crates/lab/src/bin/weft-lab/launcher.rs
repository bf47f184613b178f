//! The launcher: starts commands inside the host for those who ask on its socket, which is its stdin.
//!
//! A thread per command. Closing the connection before the command has ended kills the command's process group.

use std::io::BufReader;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitCode};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, PidfdFlags, Signal};
use weft_lab::wire::{self, Outcome, Request};

pub(crate) fn serve() -> Result<ExitCode> {
    let listener = UnixListener::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    loop {
        let (stream, _) = listener.accept()?;
        std::thread::spawn(move || {
            // A client that goes away in the middle has nobody left to tell.
            let _ = answer(&stream);
        });
    }
}

fn answer(stream: &UnixStream) -> Result<()> {
    let stdio = wire::receive_descriptors(stream)?;
    let request = wire::receive(&mut BufReader::new(stream))?;
    let outcome = match start(&request, stdio) {
        Ok(child) => Outcome::Ended(attend(child, stream)?),
        Err(error) => {
            wire::send_descriptors(stream, &[])?;
            Outcome::Failed(format!("{error:#}"))
        }
    };
    wire::send(&mut &*stream, &outcome)
}

fn start(request: &Request, stdio: Vec<OwnedFd>) -> Result<Child> {
    let (program, arguments) = request.argv.split_first().context("an empty command")?;
    let [stdin, stdout, stderr] = <[OwnedFd; 3]>::try_from(stdio).ok().context("three descriptors are needed")?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(request.environment.iter().map(|(name, value)| (name, value)));
    command.current_dir(&request.directory).stdin(stdin).stdout(stdout).stderr(stderr).process_group(0);
    let started = match &request.netns {
        Some(name) => weft_netns::Netns::open(format!("/run/netns/{name}"))?.within(|| command.spawn())?,
        None => command.spawn(),
    };
    started.with_context(|| format!("cannot start {}", program.display()))
}

/// Passes the pidfd, waits for the end, the child's or the client's, and returns the child's wait status.
fn attend(mut child: Child, stream: &UnixStream) -> Result<i32> {
    let pid = Pid::from_child(&child);
    let attended =
        rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(anyhow::Error::from).and_then(|pidfd| {
            wire::send_descriptors(stream, &[pidfd.as_fd()])?;
            ends_first(pidfd.as_fd(), stream.as_fd())
        });
    if !attended.unwrap_or(false) {
        let _ = rustix::process::kill_process_group(pid, Signal::KILL);
    }
    Ok(child.wait()?.into_raw())
}

/// Whether the process ends before the client hangs up.
fn ends_first(process: BorrowedFd<'_>, client: BorrowedFd<'_>) -> Result<bool> {
    let mut watched =
        [PollFd::from_borrowed_fd(process, PollFlags::IN), PollFd::from_borrowed_fd(client, PollFlags::IN)];
    loop {
        match rustix::event::poll(&mut watched, None) {
            Ok(_) => return Ok(!watched[0].revents().is_empty()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
