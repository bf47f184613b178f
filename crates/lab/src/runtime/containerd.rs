//! containerd, driven by its own client `ctr`.

use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

use super::{Container, Runtime, Stay};
use crate::{Daemon, Host, stdout_of};

const SOCKET: &str = "/run/containerd/containerd.sock";
const CONFIG: &str = "/etc/containerd/config.toml";

/// Only what containers from a directory need. CRI wants images and time to start; the snapshotters probe the disk.
const SETTINGS: &str = r#"version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.grpc.v1.cri",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.blockfile",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.internal.v1.tracing",
]
"#;

/// A running containerd. Dropping it kills it, and leaves its containers running as it always does.
#[derive(Debug)]
pub struct Containerd<'h> {
    host: &'h Host,
    daemon: Daemon,
    execs: AtomicU32,
}

impl<'h> Containerd<'h> {
    pub(crate) fn start(host: &'h Host) -> Result<Self> {
        host.write(CONFIG, SETTINGS)?;
        let daemon = host.spawn("containerd", &["containerd", "--log-level", "warn", "--config", CONFIG])?;
        let socket = host.path(SOCKET);
        daemon.wait_ready(|| UnixStream::connect(&socket).is_ok())?;
        Ok(Self { host, daemon, execs: AtomicU32::new(0) })
    }

    /// The daemon itself.
    pub fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    /// `ctr`, ready for arguments.
    pub fn ctr(&self) -> Command {
        let mut command = self.host.command("ctr");
        command.args(["--address", SOCKET]);
        command
    }

    /// Kills what runs in a container. A foreground `run` then takes the network away and returns.
    pub fn kill(&self, id: &str) -> Result<()> {
        stdout_of(self.ctr().args(["task", "kill", "--signal", "SIGKILL", id])).map(drop)
    }
}

impl Runtime for Containerd<'_> {
    fn run_command(&self, container: &Container, stay: Stay) -> Command {
        let mut command = self.ctr();
        // Without an image there is no environment either.
        command.args(["run", "--cni", "--rootfs", "--env", "PATH=/bin"]);
        command.arg(if stay == Stay::Detached { "--detach" } else { "--rm" });
        command.args(&container.options).arg(&container.rootfs).arg(&container.id).args(&container.command);
        command
    }

    fn exec_command(&self, id: &str, argv: &[&str]) -> Command {
        let exec = self.execs.fetch_add(1, Ordering::Relaxed);
        let mut command = self.ctr();
        command.args(["task", "exec", "--exec-id", &format!("exec-{exec}"), id]).args(argv);
        command
    }

    fn remove(&self, id: &str) -> Result<()> {
        stdout_of(self.ctr().args(["task", "delete", "--force", id]))
            .and_then(|_| stdout_of(self.ctr().args(["container", "delete", id])))
            .with_context(|| format!("cannot remove container {id}"))
            .map(drop)
    }
}
