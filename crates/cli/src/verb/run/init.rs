//! Process 1 of `weft run`'s namespace.

use std::os::fd::AsRawFd as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitCode, ExitStatus};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;
use rustix::io::FdFlags;

use super::{NOT_FOUND, SELF, SIGNALLED, Signals, exit_code, files, not_run};

/// Exit code when whoever started it is gone.
const ABANDONED: i32 = SIGNALLED + 9;

/// Arguments of what `weft run` starts.
#[derive(Debug, clap::Args)]
pub struct Init {
    /// A pipe of which `weft run` has the other end
    #[arg(long)]
    lifeline: i32,
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// Starts it, at the beginning of a process namespace.
pub(super) fn spawn(command: &[String]) -> Result<Child> {
    let (lifeline, own) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    rustix::io::fcntl_setfd(&lifeline, FdFlags::empty())?;
    let number = lifeline.as_raw_fd().to_string();
    let child = Command::new(SELF).args(["run-init", "--lifeline", &number, "--"]).args(command).spawn();
    // Closed by the kernel, however this process ends.
    std::mem::forget(own);
    child.context("cannot start process 1")
}

impl Init {
    pub(in crate::verb) fn run(self) -> Result<ExitCode> {
        ensure!(std::process::id() == 1, "`weft run` starts this as process 1 of a namespace");
        let signals = Signals::held()?;
        wait_for_the_end_of(self.lifeline)?;
        rustix::mount::mount("proc", "/proc", "proc", files::HARMLESS, None).context("cannot mount /proc")?;
        let [program, arguments @ ..] = self.command.as_slice() else { return Ok(ExitCode::from(NOT_FOUND)) };
        let mut command = Command::new(program);
        // SAFETY: what is called between fork and exec changes the mask of the calling thread, and nothing else.
        unsafe { command.pre_exec(|| Ok(SigSet::empty().thread_set_mask()?)) };
        match command.args(arguments).spawn() {
            Ok(child) => reap(&child, &signals),
            Err(error) => Ok(not_run(program, &error)),
        }
    }
}

/// Ends this process, and so all of the namespace, when the other end of the pipe is closed.
fn wait_for_the_end_of(lifeline: i32) -> Result<()> {
    use std::io::Read as _;
    use std::os::fd::FromRawFd as _;
    // SAFETY: the descriptor was passed to this process for nothing else.
    let mut lifeline = unsafe { std::fs::File::from_raw_fd(lifeline) };
    rustix::io::fcntl_setfd(&lifeline, FdFlags::CLOEXEC).context("the lifeline is no descriptor")?;
    std::thread::spawn(move || {
        let _ = lifeline.read(&mut [0]);
        std::process::exit(ABANDONED);
    });
    Ok(())
}

/// Passes signals on and buries the dead, until the command is among them.
fn reap(child: &Child, signals: &Signals) -> Result<ExitCode> {
    let pid = Pid::from_raw(i32::try_from(child.id())?);
    loop {
        match signals.next()? {
            (Signal::SIGCHLD, _) => {
                while let Ok(Some((dead, status))) = rustix::process::wait(rustix::process::WaitOptions::NOHANG) {
                    if dead.as_raw_nonzero().get() == pid.as_raw() {
                        return Ok(exit_code(ExitStatus::from_raw(status.as_raw())));
                    }
                }
            }
            (signal, true) => drop(kill(pid, signal)),
            (_, false) => {}
        }
    }
}
