//! A private host: started by its builder, ended by `stop` or by being dropped.

use std::ffi::OsStr;
use std::io::BufReader;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::daemon::LOGS;
use crate::wire::{self, LAUNCHER_SOCKET, OWN_NETNS, Report, Setup};
use crate::{Containerd, Daemon, Netns, Podman, Weftd, command, patience, programs, rootfs, uplink};

/// Longest name of a host: with its affixes it must make a host name (64 bytes).
const NAME_LENGTH_MAX: usize = 32;

/// How long the keeper may take for its next step: cgroups drain last, and it allows those 5 s itself.
const REPORT_TIMEOUT: Duration = Duration::from_secs(15);

/// What a host is to be.
#[derive(Debug, Clone)]
pub struct Builder {
    name: String,
    mtu: u32,
}

impl Builder {
    /// MTU of the uplink, both ends, in bytes; 1500 if not set.
    pub fn mtu(mut self, bytes: u32) -> Self {
        self.mtu = bytes;
        self
    }

    /// Makes the host. Needs root.
    pub fn start(self) -> Result<Host> {
        let host = Host::born(&self.name).with_context(|| format!("cannot start host {}", self.name))?;
        uplink::lay(&host, self.mtu).with_context(|| format!("cannot lay the uplink of host {}", self.name))?;
        host.furnish().with_context(|| format!("cannot furnish host {}", self.name))?;
        Ok(host)
    }
}

/// A running private host. Dropping it ends everything in it.
#[derive(Debug)]
pub struct Host {
    name: String,
    /// The `weft-lab` program.
    lab: PathBuf,
    /// Its stdin is the host's lifeline.
    keeper: Child,
    reports: BufReader<ChildStdout>,
    /// Pid 1 as seen on the real host.
    init: u32,
}

impl Host {
    /// Starts a host with an uplink of 1500 bytes.
    pub fn start(name: &str) -> Result<Self> {
        Self::builder(name).start()
    }

    /// Describes a host. The name need not be unique; lower-case letters, digits and dashes, 32 bytes at most.
    pub fn builder(name: &str) -> Builder {
        Builder { name: name.to_owned(), mtu: 1500 }
    }

    fn born(name: &str) -> Result<Self> {
        let fits = name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-');
        ensure!(fits && (1..=NAME_LENGTH_MAX).contains(&name.len()), "{name:?} is not a name for a host");
        ensure!(rustix::process::geteuid().is_root(), "private hosts need root");
        let lab = programs::find("weft-lab")?;
        let mut keeper = Command::new(&lab);
        keeper.args(["keeper", name]).current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut keeper = keeper.spawn().with_context(|| format!("cannot run {}", lab.display()))?;
        let reports = BufReader::new(keeper.stdout.take().context("a pipe was asked for")?);
        let mut host = Self { name: name.to_owned(), lab, keeper, reports, init: 0 };
        let lifeline = host.keeper.stdin.as_mut().context("a pipe was asked for")?;
        wire::send(lifeline, &Setup { name: name.to_owned(), programs: programs::shown()? })?;
        host.wait_ready()?;
        Ok(host)
    }

    fn wait_ready(&mut self) -> Result<()> {
        loop {
            match self.report()? {
                Report::Born { init } => self.init = init,
                Report::Ready => return Ok(()),
                Report::Failed(reason) => bail!(reason),
                Report::Ended { .. } => bail!("its pid 1 died"),
            }
        }
    }

    fn report(&mut self) -> Result<Report> {
        if self.reports.buffer().is_empty() {
            let limit = patience(REPORT_TIMEOUT);
            let timeout = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: 0 };
            let mut watched = [PollFd::new(self.reports.get_ref(), PollFlags::IN)];
            let ready = rustix::event::poll(&mut watched, Some(&timeout))?;
            ensure!(ready > 0, "its keeper is silent for {limit:?}");
        }
        wire::receive(&mut self.reports).context("its keeper died")
    }

    /// What any machine has that runs containers: the reference CNI plugins, where containerd looks for them, and a
    /// name server, which is the outside.
    fn furnish(&self) -> Result<()> {
        self.write("/etc/resolv.conf", format!("nameserver {}\n", uplink::OUTSIDE_V4))?;
        let Ok(plugins) = std::fs::read_dir("/usr/lib/cni") else { return Ok(()) };
        for plugin in plugins {
            let plugin = plugin?;
            symlink(plugin.path(), self.path("/opt/cni/bin").join(plugin.file_name()))?;
        }
        Ok(())
    }

    /// The name it was given; also its host name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its pid 1 as seen on the real host: `nsenter -a -t PID` looks around in it.
    pub fn init_pid(&self) -> u32 {
        self.init
    }

    /// Where the calling process finds what is at `inside` in the host. Absolute symbolic links on the way lead to the
    /// real host, so `inside` must not hold one (as `/var/run` is).
    pub fn path(&self, inside: impl AsRef<Path>) -> PathBuf {
        let inside = inside.as_ref();
        Path::new("/proc").join(self.init.to_string()).join("root").join(inside.strip_prefix("/").unwrap_or(inside))
    }

    /// Writes a file inside, in place of what is there, and makes its directory.
    pub fn write(&self, inside: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> Result<()> {
        let path = self.path(&inside);
        let write = || {
            path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            // A symbolic link at the place must be replaced, not followed out of the host.
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                _ => std::fs::write(&path, contents),
            }
        };
        write().with_context(|| format!("cannot write {} in host {}", inside.as_ref().display(), self.name))
    }

    /// A command that will run inside: as usual, but `program` is looked for inside, and the directory is `/` (one set
    /// with `current_dir` must exist on both sides). Killing the child kills its whole process group inside.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.enter(OWN_NETNS, program.as_ref())
    }

    /// Runs a command inside to its end and returns its stdout. The error holds command, status and stderr.
    pub fn run<S: AsRef<OsStr>>(&self, argv: &[S]) -> Result<String> {
        command::run(argv, |program| self.command(program))
    }

    /// Starts a daemon inside; its output goes to a log called `name`.
    pub fn spawn<S: AsRef<OsStr>>(&self, name: &str, argv: &[S]) -> Result<Daemon> {
        Daemon::spawn(self, name, None, argv)
    }

    /// Makes a named network namespace.
    pub fn netns(&self, name: &str) -> Result<Netns<'_>> {
        self.run(&["ip", "netns", "add", name])?;
        Ok(Netns::new(self, name))
    }

    /// The namespace at the far end of the uplink.
    pub fn outside(&self) -> Netns<'_> {
        Netns::new(self, uplink::OUTSIDE)
    }

    /// Writes `/etc/cni/net.d/NAME.conflist`.
    pub fn cni_conflist(&self, name: &str, json: &str) -> Result<()> {
        self.write(format!("/etc/cni/net.d/{name}.conflist"), json)
    }

    /// Makes a container's root file system from busybox, or returns the one of that name. The path is one inside.
    pub fn rootfs(&self, name: &str) -> Result<PathBuf> {
        rootfs::build(self, name).with_context(|| format!("cannot build root file system {name}"))
    }

    /// Starts containerd.
    pub fn containerd(&self) -> Result<Containerd<'_>> {
        Containerd::start(self)
    }

    /// Configures podman.
    pub fn podman(&self) -> Result<Podman<'_>> {
        Podman::configure(self)
    }

    /// Starts weftd with `options` and waits until it serves.
    pub fn weftd<S: AsRef<OsStr>>(&self, options: &[S]) -> Result<Weftd<'_>> {
        Weftd::start(self, options)
    }

    /// Ends the host. What could not be taken away is the error.
    pub fn stop(mut self) -> Result<()> {
        self.end()
    }

    pub(crate) fn enter(&self, netns: &str, program: &OsStr) -> Command {
        command::enter(&self.lab, &self.launcher(), netns, program)
    }

    pub(crate) fn launcher(&self) -> PathBuf {
        self.path(LAUNCHER_SOCKET)
    }

    fn end(&mut self) -> Result<()> {
        if self.keeper.stdin.take().is_none() {
            return Ok(());
        }
        let leftovers = loop {
            match self.report()? {
                Report::Ended { leftovers } => break leftovers,
                Report::Born { .. } | Report::Ready | Report::Failed(_) => {}
            }
        };
        self.keeper.wait()?;
        ensure!(leftovers.is_empty(), "host {} left behind:\n{}", self.name, leftovers.join("\n"));
        Ok(())
    }

    /// Whoever reads a failed test wants to know what the daemons had to say.
    fn print_logs(&self) {
        let Ok(logs) = std::fs::read_dir(self.path(LOGS)) else { return };
        for log in logs.flatten() {
            let text = std::fs::read(log.path()).unwrap_or_default();
            eprintln!("--- {}: {}\n{}", self.name, log.file_name().display(), String::from_utf8_lossy(&text));
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print_logs();
        }
        if let Err(error) = self.end() {
            eprintln!("weft-lab: {error:#}");
        }
    }
}
