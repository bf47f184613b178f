//! What container runtimes have in common.

pub(crate) mod containerd;
pub(crate) mod podman;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::stdout_of;

/// A container to be.
#[derive(Debug, Clone)]
pub struct Container {
    id: String,
    rootfs: PathBuf,
    network: String,
    options: Vec<String>,
    command: Vec<String>,
}

impl Container {
    /// A container that prints its addresses, on the first network there is.
    pub fn new(id: &str, rootfs: &Path) -> Self {
        Self {
            id: id.to_owned(),
            rootfs: rootfs.to_owned(),
            network: String::new(),
            options: Vec::new(),
            command: vec!["ip".to_owned(), "addr".to_owned()],
        }
    }

    /// The CNI network, by its name. ctr cannot choose: it takes the first file in /etc/cni/net.d.
    pub fn network(mut self, name: &str) -> Self {
        self.network = name.to_owned();
        self
    }

    /// More options of the runtime's own `run`.
    pub fn options(mut self, options: &[&str]) -> Self {
        self.options = options.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// What runs in it.
    pub fn command(mut self, argv: &[&str]) -> Self {
        self.command = argv.iter().map(|&word| word.to_owned()).collect();
        self
    }
}

/// Whether a runtime waits for the container to end, and then removes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stay {
    /// Wait, pass its output on, remove it.
    Foreground,
    /// Return once it runs.
    Detached,
}

/// A container runtime in a host.
pub trait Runtime {
    /// The runtime's command that makes and starts `container`.
    fn run_command(&self, container: &Container, stay: Stay) -> Command;

    /// The runtime's command that runs `argv` in the running container `id`.
    fn exec_command(&self, id: &str, argv: &[&str]) -> Command;

    /// Kills the container `id` and removes it.
    fn remove(&self, id: &str) -> Result<()>;

    /// Runs a container to its end and returns what it printed.
    fn run(&self, container: &Container) -> Result<String> {
        stdout_of(&mut self.run_command(container, Stay::Foreground))
    }

    /// Starts a container and returns once it runs.
    fn start(&self, container: &Container) -> Result<()> {
        stdout_of(&mut self.run_command(container, Stay::Detached)).map(drop)
    }

    /// Runs a command in a running container and returns what it printed.
    fn exec(&self, id: &str, argv: &[&str]) -> Result<String> {
        stdout_of(&mut self.exec_command(id, argv))
    }
}
