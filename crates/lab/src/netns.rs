//! Named network namespaces of a host, as `ip netns` makes them.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::{Daemon, Host, command};

/// A network namespace pinned at `/run/netns/NAME` inside a host: a container's, as a runtime would make it, or the
/// outside. It ends with the host, or by [`Netns::delete`].
#[derive(Debug)]
pub struct Netns<'h> {
    host: &'h Host,
    name: String,
}

impl<'h> Netns<'h> {
    pub(crate) fn new(host: &'h Host, name: &str) -> Self {
        Self { host, name: name.to_owned() }
    }

    /// The path inside the host, as a runtime would pass it in `CNI_NETNS`.
    pub fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }

    /// A handle for the calling process.
    pub fn open(&self) -> Result<weft_netns::Netns> {
        Ok(weft_netns::Netns::open(self.host.path(self.path()))?)
    }

    /// Like [`Host::command`], here.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.host.enter(&self.name, program.as_ref())
    }

    /// Like [`Host::run`], here.
    pub fn run<S: AsRef<OsStr>>(&self, argv: &[S]) -> Result<String> {
        command::run(argv, |program| self.command(program))
    }

    /// Like [`Host::spawn`], here.
    pub fn spawn<S: AsRef<OsStr>>(&self, name: &str, argv: &[S]) -> Result<Daemon> {
        Daemon::spawn(self.host, name, Some(&self.name), argv)
    }

    /// Takes the name away. The namespace goes when no process is left in it.
    pub fn delete(self) -> Result<()> {
        self.host.run(&["ip", "netns", "delete", &self.name]).map(drop)
    }
}
