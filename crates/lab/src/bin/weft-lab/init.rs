//! Pid 1 of a host: makes the namespaces and mounts, starts the launcher, and reaps for ever.

use std::convert::Infallible;
use std::io::BufReader;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, Signal, WaitOptions};
use rustix::thread::UnshareFlags;
use weft_lab::wire::{self, LAUNCHER_SOCKET, Report};

use crate::keeper::{self, Orders};
use crate::{cgroup, mounts};

pub(crate) fn run() -> Result<ExitCode> {
    match live() {
        Ok(never) => match never {},
        Err(error) => {
            keeper::report(&Report::Failed(format!("{error:#}")))?;
            Ok(ExitCode::FAILURE)
        }
    }
}

fn live() -> Result<Infallible> {
    die_with_keeper()?;
    let orders: Orders = wire::receive(&mut BufReader::new(std::io::stdin()))?;
    // In this order: a cgroup namespace is rooted where its maker is.
    cgroup::join(&orders.hierarchies)?;
    let own = UnshareFlags::NEWNS
        | UnshareFlags::NEWNET
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWCGROUP;
    // SAFETY: this process has one thread, and all of it is meant to move.
    unsafe { rustix::thread::unshare_unsafe(own) }.context("cannot make namespaces")?;
    rustix::system::sethostname(orders.setup.name.as_bytes()).context("cannot set the host name")?;
    mounts::make_private(&orders)?;
    cgroup::settle(&orders.hierarchies)?;
    let launcher = start_launcher()?;
    keeper::report(&Report::Ready)?;
    reap_until(launcher)
}

/// The kernel kills this process when the keeper dies. Had it died before the kernel was told, its pipe has ended.
fn die_with_keeper() -> Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let stdin = std::io::stdin();
    let mut watched = [PollFd::new(&stdin, PollFlags::empty())];
    let ended = rustix::event::poll(&mut watched, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    ensure!(ended == 0, "the keeper is dead");
    Ok(())
}

fn start_launcher() -> Result<Pid> {
    // Listening before anyone is told: a client that comes early waits in the socket's queue.
    let listener = UnixListener::bind(LAUNCHER_SOCKET).context("cannot make the launcher's socket")?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0("weft-lab").arg("launcher").stdin(OwnedFd::from(listener)).stdout(Stdio::null());
    Ok(Pid::from_child(&command.spawn().context("cannot start the launcher")?))
}

fn reap_until(launcher: Pid) -> Result<Infallible> {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == launcher => bail!("the launcher ended: {status:?}"),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot reap"),
        }
    }
}
