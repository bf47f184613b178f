//! `weft exec`: a command in the network namespace of an endpoint's container.

use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use rustix::fs::{Mode, OFlags};
use rustix::thread::LinkNameSpaceType;

use super::run::not_run;
use crate::fetch;
use crate::session::Session;

/// Arguments of `weft exec`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: weft exec web -- ss -ltn

The command has the container's network, and the host's files and processes.")]
pub struct Exec {
    /// [NAMESPACE/]NAME, a container id or 4 and more of its first characters, or an address; @INTERFACE
    endpoint: String,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Exec {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<ExitCode> {
        let endpoint = fetch::one_of_container(&session.client, &self.endpoint)?;
        let path = &endpoint.status.netns;
        let netns = rustix::fs::open(path.as_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let netns = netns.with_context(|| format!("cannot open the container's namespace {path}"))?;
        rustix::thread::move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))
            .with_context(|| format!("cannot enter {path} (as root)"))?;
        let error = Command::new(&self.command[0]).args(&self.command[1..]).exec();
        Ok(not_run(&self.command[0], &error).into())
    }
}
