//! Process 1 of `weft run`'s namespace: `weft run` once more, as it is, so that nothing has to be loaded again. It is
//! there while the networks are being joined, mounts what the command is to see meanwhile, and waits for that.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use anyhow::{Context as _, Result};
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawnp};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{ForkResult, Pid, fork};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitOptions, set_parent_process_death_signal, wait};

use super::files::{Covers, Names};
use super::{Signals, exit_code, not_run};

/// Exit code where process 1 cannot do its work.
const UNFIT: i32 = 1;

/// It, before it has begun.
pub(super) struct Waiting {
    pid: Pid,
    word: OwnedFd,
    over: OwnedFd,
}

/// It, while the command runs.
pub(super) struct Running {
    /// Its number outside.
    pub(super) pid: Pid,
    /// At its end when the command has ended: what process 1 has yet to do then is none of the network's business.
    pub(super) over: OwnedFd,
}

/// Starts it, at the beginning of a process namespace.
pub(super) fn spawn(command: &[String], signals: &Signals) -> Result<Waiting> {
    let (heard, word) = pipe_with(PipeFlags::CLOEXEC).context("cannot make a pipe")?;
    let (over, lasting) = pipe_with(PipeFlags::CLOEXEC).context("cannot make a pipe")?;
    // SAFETY: this thread is the process's only one, so the other process has everything as it was left.
    match unsafe { fork() }.context("cannot start process 1")? {
        ForkResult::Parent { child } => Ok(Waiting { pid: child, word, over }),
        ForkResult::Child => {
            // Only if nobody else has this end does the other one tell that `weft run` is gone.
            drop(word);
            let code = live(command, signals, heard.into()).unwrap_or_else(|error| {
                eprintln!("weft: error: {error:#}");
                UNFIT
            });
            drop(lasting);
            std::process::exit(code)
        }
    }
}

impl Waiting {
    /// Has the command run, with these names. Where process 1 has ended before that, its exit code says so.
    pub(super) fn begin(self, names: &Names) -> Running {
        let _ = File::from(self.word).write_all(&names.to_bytes());
        Running { pid: self.pid, over: self.over }
    }
}

/// Runs the command once there is a word, and ends as it does. With `weft run`, however that ends, the kernel ends this
/// process, and so all of the namespace.
fn live(command: &[String], signals: &Signals, mut heard: File) -> Result<i32> {
    set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).context("cannot end with `weft run`")?;
    let covers = Covers::mount()?;
    let mut names = Vec::new();
    heard.read_to_end(&mut names).context("cannot wait for the networks")?;
    // Nothing is said if a network could not be joined: that is said already.
    let Some(names) = Names::from_bytes(&names) else { return Ok(UNFIT) };
    covers.write(&names)?;
    let Some(program) = command.first() else { return Ok(UNFIT) };
    match start(program, command) {
        Ok(child) => reap(child, signals),
        Err(error) => Ok(not_run(program, &error).into()),
    }
}

/// Starts the command, to which signals come as to any. It is not a copy of this process first, as by fork(2): that
/// takes as long as half of joining a network.
fn start(program: &str, command: &[String]) -> io::Result<Pid> {
    let text = |bytes: Vec<u8>| CString::new(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error));
    let arguments: io::Result<Vec<_>> = command.iter().map(|word| text(word.clone().into_bytes())).collect();
    let variable = |(name, value): (OsString, OsString)| text([name.into_vec(), value.into_vec()].join(&b'='));
    let environment: io::Result<Vec<_>> = std::env::vars_os().map(variable).collect();
    let mut attributes = PosixSpawnAttr::init()?;
    // The language's runtime ignores it, which the command would inherit.
    let mut ignored = SigSet::empty();
    ignored.add(Signal::SIGPIPE);
    attributes.set_sigdefault(&ignored)?;
    attributes.set_sigmask(&SigSet::empty())?;
    attributes.set_flags(PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK)?;
    let actions = PosixSpawnFileActions::init()?;
    Ok(posix_spawnp(&text(program.into())?, &actions, &attributes, &arguments?, &environment?)?)
}

/// Passes signals on and buries the dead, until the command is among them.
fn reap(command: Pid, signals: &Signals) -> Result<i32> {
    loop {
        match signals.next()? {
            (Signal::SIGCHLD, _) => {
                while let Ok(Some((dead, status))) = wait(WaitOptions::NOHANG) {
                    if dead.as_raw_nonzero().get() == command.as_raw() {
                        return Ok(exit_code(ExitStatus::from_raw(status.as_raw())).into());
                    }
                }
            }
            (signal, true) => drop(kill(command, signal)),
            (_, false) => {}
        }
    }
}
