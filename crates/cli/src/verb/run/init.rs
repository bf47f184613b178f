//! Process 1 of `weft run`'s namespace: `weft run` once more, as it is, so that nothing has to be loaded again. It is
//! there while the networks are being joined, and waits for that.

use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus};

use anyhow::{Context as _, Result};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{ForkResult, Pid, fork};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitOptions, set_parent_process_death_signal, wait};

use super::{Signals, exit_code, files, not_run};

/// Exit code where process 1 cannot do its work.
const UNFIT: i32 = 1;

/// It, before it has begun.
pub(super) struct Waiting {
    pid: Pid,
    word: OwnedFd,
}

/// Starts it, at the beginning of a process namespace.
pub(super) fn spawn(command: &[String], signals: &Signals) -> Result<Waiting> {
    let (heard, word) = pipe_with(PipeFlags::CLOEXEC).context("cannot make a pipe")?;
    // SAFETY: this thread is the process's only one, so the other process has everything as it was left.
    match unsafe { fork() }.context("cannot start process 1")? {
        ForkResult::Parent { child } => Ok(Waiting { pid: child, word }),
        ForkResult::Child => {
            // Only if nobody else has this end does the other one tell that `weft run` is gone.
            drop(word);
            std::process::exit(live(command, signals, &heard).unwrap_or_else(|error| {
                eprintln!("weft: error: {error:#}");
                UNFIT
            }))
        }
    }
}

impl Waiting {
    /// Has the command run. Where process 1 has ended before that, its exit code says so.
    pub(super) fn begin(self) -> Pid {
        let _ = rustix::io::write(&self.word, &[0]);
        self.pid
    }
}

/// Runs the command once there is a word, and ends as it does. With `weft run`, however that ends, the kernel ends this
/// process, and so all of the namespace.
fn live(command: &[String], signals: &Signals, heard: &OwnedFd) -> Result<i32> {
    set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).context("cannot end with `weft run`")?;
    rustix::mount::mount("proc", "/proc", "proc", files::HARMLESS, None).context("cannot mount /proc")?;
    // Nothing is said if a network could not be joined: that is said already.
    if rustix::io::read(heard, &mut [0; 1]).context("cannot wait for the networks")? == 0 {
        return Ok(UNFIT);
    }
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
