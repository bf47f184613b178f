//! Process 1 of `weft run`'s namespace: `weft run` once more, as it is, so that nothing has to be loaded again.

use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{ForkResult, Pid, fork};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{PidfdFlags, WaitOptions, getpid, pidfd_open, set_parent_process_death_signal, wait};

use super::{Signals, exit_code, files, not_run};

/// Exit code where process 1 cannot do its work.
const UNFIT: i32 = 1;

/// Starts it, at the beginning of a process namespace.
pub(super) fn spawn(command: &[String], signals: &Signals) -> Result<Pid> {
    let outside = pidfd_open(getpid(), PidfdFlags::empty()).context("cannot watch over process 1")?;
    // SAFETY: this thread is the process's only one, so the other process has everything as it was left.
    match unsafe { fork() }.context("cannot start process 1")? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let lived = end_with(&outside).and_then(|()| live(command, signals));
            std::process::exit(lived.unwrap_or_else(|error| {
                eprintln!("weft: error: {error:#}");
                UNFIT
            }))
        }
    }
}

/// Has the kernel end this process, and so all of the namespace, when the one outside ends, however that comes about.
fn end_with(outside: &impl AsFd) -> Result<()> {
    set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).context("cannot end with `weft run`")?;
    // It may have ended before.
    let mut ended = [PollFd::from_borrowed_fd(outside.as_fd(), PollFlags::IN)];
    ensure!(poll(&mut ended, Some(&Timespec::default()))? == 0, "`weft run` is gone");
    Ok(())
}

/// Runs the command, and ends as it does.
fn live(command: &[String], signals: &Signals) -> Result<i32> {
    rustix::mount::mount("proc", "/proc", "proc", files::HARMLESS, None).context("cannot mount /proc")?;
    let [program, arguments @ ..] = command else { return Ok(UNFIT) };
    let mut command = Command::new(program);
    // SAFETY: what is called between fork and exec changes the mask of the calling thread, and nothing else.
    unsafe { command.pre_exec(|| Ok(SigSet::empty().thread_set_mask()?)) };
    match command.args(arguments).spawn() {
        Ok(child) => reap(&child, signals),
        Err(error) => Ok(not_run(program, &error).into()),
    }
}

/// Passes signals on and buries the dead, until the command is among them.
fn reap(child: &Child, signals: &Signals) -> Result<i32> {
    let pid = Pid::from_raw(i32::try_from(child.id())?);
    loop {
        match signals.next()? {
            (Signal::SIGCHLD, _) => {
                while let Ok(Some((dead, status))) = wait(WaitOptions::NOHANG) {
                    if dead.as_raw_nonzero().get() == pid.as_raw() {
                        return Ok(exit_code(ExitStatus::from_raw(status.as_raw())).into());
                    }
                }
            }
            (signal, true) => drop(kill(pid, signal)),
            (_, false) => {}
        }
    }
}
