//! The keeper: the parent of a host's pid 1, on the real host.
//!
//! It lives as long as somebody holds the other end of its stdin, so it notices the owner's death however that comes.
//! Then it kills pid 1, and with it all of the pid namespace, and takes the cgroup directories away. Should the keeper
//! itself be killed, pid 1 dies of it; only empty cgroup directories stay, until the next keeper sweeps them.

use std::io::BufReader;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, PidfdFlags};
use rustix::thread::UnshareFlags;
use serde::{Deserialize, Serialize};
use weft_lab::wire::{self, Report, Setup};

use crate::cgroup::{self, Hierarchy};

/// What the keeper hands to pid 1.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Orders {
    pub(crate) setup: Setup,
    pub(crate) hierarchies: Vec<Hierarchy>,
}

pub(crate) fn keep() -> Result<ExitCode> {
    // A terminal's Ctrl-C is for the owner; the keeper has to outlive it.
    rustix::process::setsid().context("cannot leave the session")?;
    let setup: Setup = wire::receive(&mut BufReader::new(std::io::stdin()))?;
    let orders = Orders { hierarchies: cgroup::discover(&setup.name)?, setup };
    cgroup::sweep(&orders.hierarchies);
    if let Err(error) = life(&orders) {
        report(&Report::Failed(format!("{error:#}")))?;
    }
    let leftovers = cgroup::remove(&orders.hierarchies);
    // An owner that was killed does not listen.
    let _ = report(&Report::Ended { leftovers: leftovers.iter().map(|path| path.display().to_string()).collect() });
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn report(report: &Report) -> Result<()> {
    wire::send(&mut std::io::stdout().lock(), report)
}

/// From the first cgroup directory to the last process.
fn life(orders: &Orders) -> Result<()> {
    cgroup::create(&orders.hierarchies)?;
    let mut init = bear(&orders.setup.name)?;
    let lived = attend(&mut init, orders);
    init.kill().context("cannot kill pid 1")?;
    // Returns when every process of the namespace is gone (pid_namespaces(7)).
    init.wait().context("cannot wait for pid 1")?;
    lived
}

fn bear(name: &str) -> Result<Child> {
    // SAFETY: changes only in which pid namespace the children of this single-threaded process are born.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWPID) }.context("cannot make a pid namespace")?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0("weft-lab").args(["init", name]).stdin(Stdio::piped()).spawn().context("cannot start pid 1")
}

fn attend(init: &mut Child, orders: &Orders) -> Result<()> {
    report(&Report::Born { init: init.id() })?;
    // Held open: pid 1 takes the end of this pipe for the keeper's death.
    wire::send(init.stdin.as_mut().context("a pipe was asked for")?, orders)?;
    let pidfd = rustix::process::pidfd_open(Pid::from_child(init), PidfdFlags::empty())?;
    let stdin = std::io::stdin();
    let mut watched = [PollFd::new(&stdin, PollFlags::IN), PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)];
    while let Err(rustix::io::Errno::INTR) = rustix::event::poll(&mut watched, None) {}
    Ok(())
}
