//! Long-running programs inside a host, with their output in a file.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::Signal;

use crate::command::PATH;
use crate::wire::{self, Launched, Request};
use crate::{Host, patience};

/// Where logs are, inside.
pub(crate) const LOGS: &str = "/run/lab/log";

/// How long a daemon may take to end after SIGTERM, and to be ready after its start.
const PATIENCE: Duration = Duration::from_secs(10);

/// Time between two looks at whether a daemon is ready.
const READY_POLL: Duration = Duration::from_millis(5);

/// A program that runs until it is told to stop. Dropping it kills it, with its process group.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    log: PathBuf,
    launched: Launched,
    ended: Option<ExitStatus>,
}

impl Daemon {
    pub(crate) fn spawn<S: AsRef<OsStr>>(host: &Host, name: &str, netns: Option<&str>, argv: &[S]) -> Result<Self> {
        let log = host.path(LOGS).join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log);
        let file = file.with_context(|| format!("cannot open the log of {name}"))?;
        let request = Request {
            argv: argv.iter().map(|word| word.as_ref().to_owned()).collect(),
            environment: vec![("PATH".into(), PATH.into()), ("HOME".into(), "/root".into())],
            directory: PathBuf::from("/"),
            netns: netns.map(str::to_owned),
        };
        let null = File::open("/dev/null")?;
        let launched = wire::launch(&host.launcher(), &request, [null.as_fd(), file.as_fd(), file.as_fd()])?;
        Ok(Self { name: name.to_owned(), log, launched, ended: None })
    }

    /// Its process id as seen on the real host; 0 if it has ended.
    pub fn pid(&self) -> u32 {
        pid_of(&self.launched).unwrap_or(0)
    }

    /// All it has written to stdout and stderr so far, and so did those of its name before it.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.ended.is_some() || self.ends_within(Duration::ZERO)
    }

    /// Kills it at once (SIGKILL) and waits for its end.
    pub fn kill9(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::KILL)
    }

    /// Asks it to end (SIGTERM) and waits until it has. One that does not within 10 s is an error.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)
    }

    /// Waits until `ready`, and fails with its log if it ends first or takes longer than 10 s.
    pub fn wait_ready(&self, ready: impl Fn() -> bool) -> Result<()> {
        let limit = patience(PATIENCE);
        let deadline = Instant::now() + limit;
        while !ready() {
            ensure!(!self.ends_within(READY_POLL), "{} has ended:\n{}", self.name, self.log());
            ensure!(Instant::now() < deadline, "{} is not ready after {limit:?}:\n{}", self.name, self.log());
        }
        Ok(())
    }

    fn signal(&mut self, signal: Signal) -> Result<ExitStatus> {
        if let Some(status) = self.ended {
            return Ok(status);
        }
        // It may have ended by itself: what counts is that it has.
        let _ = rustix::process::pidfd_send_signal(&self.launched.process, signal);
        let limit = patience(PATIENCE);
        if !self.ends_within(limit) {
            bail!("{} runs on {limit:?} after {signal:?}:\n{}", self.name, self.log());
        }
        let status = self.launched.wait()?;
        self.ended = Some(status);
        Ok(status)
    }

    fn ends_within(&self, patience: Duration) -> bool {
        let timeout = Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: patience.subsec_nanos().into() };
        let mut watched = [PollFd::new(&self.launched.process, PollFlags::IN)];
        rustix::event::poll(&mut watched, Some(&timeout)).is_ok_and(|ended| ended > 0)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.kill9();
    }
}

/// The number behind a pidfd, as the procfs of this process counts (pidfd_open(2), "fdinfo"); none if it has ended.
fn pid_of(launched: &Launched) -> Option<u32> {
    let path = Path::new("/proc/self/fdinfo").join(launched.process.as_raw_fd().to_string());
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix("Pid:"))?.trim().parse().ok()
}
