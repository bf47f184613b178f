//! podman with its CNI backend and runc.

use std::process::Command;

use anyhow::{Context, Result};

use super::{Container, Runtime, Stay};
use crate::{Host, stdout_of};

/// crun refuses hybrid cgroups, so runc; there is no systemd to ask for cgroups or to log to. NET_RAW is not podman's
/// default, but containerd's and Docker's: containers must be able to ping, and to try to spoof.
const CONTAINERS_CONF: &str = r#"[containers]
default_capabilities = [
  "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "NET_RAW", "SETFCAP", "SETGID", "SETPCAP",
  "SETUID", "SYS_CHROOT",
]

[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"

[network]
network_backend = "cni"
cni_plugin_dirs = ["/opt/cni/bin", "/usr/lib/cni"]
network_config_dir = "/etc/cni/net.d"
"#;

/// Containers are made from directories; no image is ever stored.
const STORAGE_CONF: &str = r#"[storage]
driver = "vfs"
runroot = "/run/containers/storage"
graphroot = "/var/lib/containers/storage"
"#;

/// podman in a host. It has no daemon.
#[derive(Debug)]
pub struct Podman<'h> {
    host: &'h Host,
}

impl<'h> Podman<'h> {
    pub(crate) fn configure(host: &'h Host) -> Result<Self> {
        host.write("/etc/containers/containers.conf", CONTAINERS_CONF)?;
        host.write("/etc/containers/storage.conf", STORAGE_CONF)?;
        Ok(Self { host })
    }

    /// `podman`, ready for arguments.
    pub fn podman(&self) -> Command {
        self.host.command("podman")
    }
}

impl Runtime for Podman<'_> {
    fn run_command(&self, container: &Container, stay: Stay) -> Command {
        let mut command = self.podman();
        command.args(["run", "--name", &container.id]);
        command.arg(if stay == Stay::Detached { "--detach" } else { "--rm" });
        if !container.network.is_empty() {
            command.args(["--network", &container.network]);
        }
        command.args(&container.options).arg("--rootfs").arg(&container.rootfs).args(&container.command);
        command
    }

    fn exec_command(&self, id: &str, argv: &[&str]) -> Command {
        let mut command = self.podman();
        command.args(["exec", id]).args(argv);
        command
    }

    fn remove(&self, id: &str) -> Result<()> {
        stdout_of(self.podman().args(["rm", "--force", "--time", "0", id]))
            .with_context(|| format!("cannot remove container {id}"))
            .map(drop)
    }
}
