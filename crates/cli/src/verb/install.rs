//! `weft install cni`: the shim among the plugins of container runtimes, and a configuration for each network.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use weft_api::{CallError, DEFAULT_SOCKET, NetworkObject};
use weft_model::{Name, NetworkName};

use crate::cni::conflist::{self, Conflist};
use crate::cni::{Directories, SHIM, file};
use crate::fetch;
use crate::session::{Session, UsageError};

const PROGRAM_MODE: u32 = 0o755;
const CONFIG_MODE: u32 = 0o644;

/// Plugins of others that runtimes or weft's lists use, and the package that has them on Debian and Fedora.
const PLUGIN_PACKAGE: &str = "containernetworking-plugins";

/// Arguments of `weft install`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make runtimes that speak CNI (containerd, CRI-O, podman, nerdctl) call weft
    Cni(Cni),
}

#[derive(Debug, clap::Args)]
struct Cni {
    #[command(flatten)]
    directories: Directories,
    /// Offer this network to runtimes; without one, only the shim is installed
    #[arg(long = "network", value_name = "NETWORK")]
    networks: Vec<NetworkName>,
    /// What runtimes call the network; its own name if absent
    #[arg(long, value_name = "NAME")]
    name: Option<Name>,
    /// Have ports published by the portmap plugin even if it is not in the plugin directory
    #[arg(long)]
    portmap: bool,
    /// The shim to install; the weft-cni beside this program if absent
    #[arg(long, value_name = "PATH")]
    shim: Option<PathBuf>,
}

impl Args {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<()> {
        let What::Cni(cni) = self.what;
        if cni.name.is_some() && cni.networks.len() != 1 {
            bail!(UsageError("--name goes with exactly one --network".to_owned()));
        }
        // A runtime may call the shim as soon as it sees a configuration.
        cni.install_shim(session)?;
        cni.install_conflists(session)
    }
}

impl Cni {
    fn install_shim(&self, session: &mut Session<'_>) -> Result<()> {
        let target = self.directories.bin.join(SHIM);
        let source = match &self.shim {
            Some(path) => path.clone(),
            None => std::env::current_exe().context("cannot find this program")?.with_file_name(SHIM),
        };
        if self.shim.is_none() && !source.exists() && target.exists() {
            return Ok(writeln!(session.out, "unchanged {}", target.display())?);
        }
        let shim = fs::read(&source).with_context(|| format!("cannot read the shim {}", source.display()))?;
        make_directory(&self.directories.bin)?;
        let change = file::place(&target, &shim, PROGRAM_MODE)?;
        Ok(writeln!(session.out, "{change} {}", target.display())?)
    }

    fn install_conflists(&self, session: &mut Session<'_>) -> Result<()> {
        let portmap = self.chain_portmap(session)?;
        self.look_for_loopback(session)?;
        if self.networks.is_empty() {
            return session.warn("no network is offered to runtimes: name one with --network");
        }
        make_directory(&self.directories.conf)?;
        let socket = Some(session.client.socket().to_owned()).filter(|path| path != Path::new(DEFAULT_SOCKET));
        for network in &self.networks {
            look_for_network(session, network)?;
            let name = self.name.as_ref().map_or(network.as_str(), Name::as_str);
            let list = Conflist::new(name, network.as_str(), socket.as_deref());
            let list = if portmap { list.with_portmap() } else { list };
            let text = serde_json::to_string_pretty(&list)? + "\n";
            let path = self.directories.conf.join(conflist::file_name(name));
            let change = file::place(&path, text.as_bytes(), CONFIG_MODE)?;
            writeln!(session.out, "{change} {}", path.display())?;
        }
        self.look_for_rivals(session)
    }

    /// Chains that somebody else wrote, and that fail at the first container whose rate is limited.
    fn look_for_rivals(&self, session: &mut Session<'_>) -> Result<()> {
        for path in file::list(&self.directories.conf)?.into_iter().filter(|path| conflist::has_rival(path)) {
            let rival = conflist::RIVAL;
            session.warn(format!(
                "{}: plugin {rival} cannot stand behind {SHIM}, which limits rates itself: take it out, and put \
                 \"{rival}\": true among the capabilities of {SHIM}",
                path.display()
            ))?;
        }
        Ok(())
    }

    /// Whether portmap comes after weft in the lists.
    fn chain_portmap(&self, session: &mut Session<'_>) -> Result<bool> {
        let path = self.directories.bin.join("portmap");
        let found = path.exists();
        match (found, self.portmap) {
            (true, _) => writeln!(session.out, "found {}: published ports are served", path.display())?,
            (false, true) => session.warn(format!("{} is missing: {}", path.display(), remedy()))?,
            (false, false) => {
                session.warn(format!("{} is missing, ports cannot be published: {}", path.display(), remedy()))?;
            }
        }
        Ok(found || self.portmap)
    }

    fn look_for_loopback(&self, session: &mut Session<'_>) -> Result<()> {
        let path = self.directories.bin.join("loopback");
        if path.exists() {
            return Ok(());
        }
        session.warn(format!("{} is missing, which containerd runs for every pod: {}", path.display(), remedy()))
    }
}

fn remedy() -> String {
    format!("install {PLUGIN_PACKAGE}, and use its directory as --bin-dir or link it here")
}

fn make_directory(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot make the directory {}", path.display()))
}

/// The configuration may come before the network and before weftd; containers may not.
fn look_for_network(session: &mut Session<'_>, name: &NetworkName) -> Result<()> {
    match session.client.get::<NetworkObject>(&fetch::network_path(name.as_str())) {
        Ok(_) => Ok(()),
        Err(CallError::Refused { status: 404, .. }) => {
            session.warn(format!("there is no network {name} yet: see `weft network create --help`"))
        }
        Err(error) => session.warn(error),
    }
}
