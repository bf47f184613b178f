//! `weft run`: a command on weft's networks, without any container runtime.
//!
//! ```text
//!   weft run        makes the namespaces, joins the networks, passes signals on, ends as the command ends
//!     └─ init       process 1 inside: mounts /proc and /sys, reaps, and ends when it is left alone
//!          └─ COMMAND
//! ```
//!
//! The process namespace is what leaves nothing behind: whoever of the three is killed, the kernel ends all that is
//! inside. The network goes with `weft run`, or else when weftd finds that the namespace is gone.

mod files;
mod init;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};

use anyhow::{Context as _, Result};
use nix::libc;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::SignalFd;
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::thread::UnshareFlags;
use weft_api::{AttachRequest, Client, EndpointObject};

use files::Names;
use init::Running;

use super::attach::label;
use crate::fetch;
use crate::session::{Session, UsageError};

/// What a command that was ended by a signal ends as, plus the signal's number: as shells have it.
const SIGNALLED: i32 = 128;
/// Exit codes of a command that is not there, and of one that cannot be run: as shells have it.
const NOT_FOUND: u8 = 127;
const NOT_RUN: u8 = 126;
/// Signals that are for the command.
const PASSED_ON: [Signal; 8] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGWINCH,
];

/// Arguments of `weft run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  weft run --network app -- ip address
  weft run --network app,backend --name probe --label tier=test -- bash
  weft run --network app -- python3 -m http.server 80")]
pub struct Run {
    /// The networks to join, the first of which has the default route
    #[arg(long = "network", value_name = "NAME[,NAME…]", value_delimiter = ',', required = true)]
    networks: Vec<String>,
    /// Its name; run- and the process's number if absent
    #[arg(long)]
    name: Option<String>,
    /// Namespace of its name
    #[arg(long)]
    namespace: Option<String>,
    /// A label
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// A port that policies may call by a name, TCP if no protocol is named
    #[arg(long = "port", value_name = "NAME=PORT[/PROTOCOL]")]
    ports: Vec<String>,
    /// An address to get on the first network, at most one of each pool
    #[arg(long = "address", value_name = "IP")]
    addresses: Vec<IpAddr>,
    /// Which of the first network's devices to get, by name, PCI address or MAC address, for device; any free one if
    /// absent
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Run {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<ExitCode> {
        if !rustix::process::geteuid().is_root() {
            return Err(UsageError("`weft run` makes namespaces: run it as root".to_owned()).into());
        }
        // Before anything is there that a signal could leave behind.
        let signals = Signals::held()?;
        let own = std::process::id();
        let flags = UnshareFlags::NEWNET | UnshareFlags::NEWPID;
        // SAFETY: this thread is the process's only one, and nobody relies on what its file system state was.
        unsafe { rustix::thread::unshare_unsafe(flags) }.context("cannot make namespaces")?;
        let waiting = init::spawn(&self.command, &signals)?;
        let name = self.name.unwrap_or_else(|| format!("run-{own}"));
        let mut joined = Joined { client: &session.client, endpoints: Vec::new() };
        for (place, network) in self.networks.iter().enumerate() {
            let request = AttachRequest {
                network: network.clone(),
                netns: Some(format!("/proc/{own}/ns/net")),
                namespace: self.namespace.clone(),
                name: Some(name.clone()),
                labels: self.labels.iter().cloned().collect::<BTreeMap<_, _>>(),
                ports: self.ports.clone(),
                addresses: if place == 0 { self.addresses.clone() } else { Vec::new() },
                device: self.device.clone().filter(|_| place == 0),
                ..AttachRequest::default()
            };
            joined.endpoints.push(session.client.post("/v1/endpoints", &request)?);
        }
        let running = waiting.begin(&Names::of(&name, &joined.endpoints));
        watch(&running, &signals)?;
        drop(joined);
        Ok(exit_code(end(running.pid)?).into())
    }
}

/// Endpoints that go when this does, the last one first.
struct Joined<'a> {
    client: &'a Client,
    endpoints: Vec<EndpointObject>,
}

impl Drop for Joined<'_> {
    fn drop(&mut self) {
        for endpoint in self.endpoints.iter().rev() {
            let reference = format!("{}@{}", endpoint.spec.container_id, endpoint.spec.interface);
            // weftd, if it is there at all, finds the namespace gone.
            let _ = self.client.delete::<EndpointObject>(&fetch::leaving(&reference, false));
        }
    }
}

/// Signals that wait to be read. Children inherit that they are held.
struct Signals(SignalFd);

impl Signals {
    fn held() -> Result<Self> {
        let mut mask = SigSet::empty();
        PASSED_ON.into_iter().chain([Signal::SIGCHLD]).for_each(|signal| mask.add(signal));
        mask.thread_block()?;
        Ok(Self(SignalFd::new(&mask)?))
    }

    /// The next one, and whether a process sent it: the terminal's are for all of its foreground, the command included.
    fn next(&self) -> Result<(Signal, bool)> {
        let info = self.0.read_signal()?.context("there is always one to wait for")?;
        let signal = Signal::try_from(i32::try_from(info.ssi_signo)?)?;
        Ok((signal, info.ssi_code <= libc::SI_USER))
    }
}

/// Passes signals on until the command has ended, or process 1 inside.
fn watch(running: &Running, signals: &Signals) -> Result<()> {
    loop {
        let mut awaited = [PollFd::new(&signals.0, PollFlags::IN), PollFd::new(&running.over, PollFlags::IN)];
        match poll(&mut awaited, None) {
            Err(Errno::INTR) => continue,
            polled => polled.context("cannot wait for the command")?,
        };
        if !awaited[1].revents().is_empty() {
            return Ok(());
        }
        match signals.next()? {
            (signal, true) if signal != Signal::SIGCHLD => drop(kill(running.pid, signal)),
            _ => {}
        }
    }
}

/// Waits until process 1 inside has ended, too, and all others inside with it.
fn end(init: Pid) -> Result<ExitStatus> {
    let init = rustix::process::Pid::from_raw(init.as_raw());
    let ended = rustix::process::waitpid(init, rustix::process::WaitOptions::empty())?;
    let (_, status) = ended.context("process 1 inside was waited for by nobody else")?;
    Ok(ExitStatus::from_raw(status.as_raw()))
}

/// As shells have it.
fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| Some(SIGNALLED + status.signal()?)).unwrap_or(SIGNALLED);
    u8::try_from(code).unwrap_or(u8::MAX)
}

/// Says why a command was not run, and with which exit code that ends.
pub(super) fn not_run(program: &str, error: &std::io::Error) -> u8 {
    eprintln!("weft: error: cannot run {program:?}: {error}");
    if error.kind() == std::io::ErrorKind::NotFound { NOT_FOUND } else { NOT_RUN }
}
