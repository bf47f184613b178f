//! `weft uninstall`: its command line, and what undoes `weft install cni`. The rest of weft is taken away by those who
//! know the kernel: the root calls them.

use std::path::PathBuf;

use anyhow::Result;

use crate::cni::{Directories, SHIM, conflist, file};
use crate::session::Session;

/// Arguments of `weft uninstall`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Uninstall {
    /// A part of weft; all of it if absent.
    #[command(subcommand)]
    pub part: Option<Part>,
    /// Only say what would be taken away
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
    /// Keep the networks that people wrote, for a weftd to come
    #[arg(long)]
    pub keep_state: bool,
    /// Put the host's settings back that weft changed; without it they stay, since others may rely on them
    #[arg(long)]
    pub restore_settings: bool,
    /// weftd's configuration file [default: /etc/weft/weft.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// weftd's run directory, if it is neither in the file nor /run/weft
    #[arg(long, value_name = "DIR")]
    pub run_dir: Option<PathBuf>,
    /// weftd's state directory, if it is neither in the file nor /var/lib/weft
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Where weftd pins BPF objects, if it is neither in the file nor /sys/fs/bpf/weft
    #[arg(long, value_name = "DIR")]
    pub bpf_dir: Option<PathBuf>,
    /// Where runtimes look.
    #[command(flatten)]
    pub cni: Cni,
}

/// What can be taken away by itself.
#[derive(Debug, clap::Subcommand)]
pub enum Part {
    /// Remove weft's configurations and then its shim; containers that run keep their network
    Cni(Cni),
}

/// What container runtimes know of weft.
#[derive(Debug, clap::Args)]
pub struct Cni {
    #[command(flatten)]
    directories: Directories,
}

impl Cni {
    /// The files that are there: configurations, then the shim, since nothing may be called that is not there any more.
    pub fn files(&self) -> Result<Vec<PathBuf>> {
        let mut paths = file::list(&self.directories.conf)?;
        paths.retain(|path| conflist::is_ours(path));
        paths.extend(Some(self.shim()).filter(|shim| shim.exists()));
        Ok(paths)
    }

    /// Takes them away, in that order.
    pub fn remove(&self, session: &mut Session<'_>) -> Result<()> {
        let mut paths = self.files()?;
        // Whoever asks for this is told that the shim is not there.
        paths.extend(Some(self.shim()).filter(|shim| !shim.exists()));
        for path in paths {
            let change = file::remove(&path)?;
            writeln!(session.out, "{change} {}", path.display())?;
        }
        Ok(())
    }

    fn shim(&self) -> PathBuf {
        self.directories.bin.join(SHIM)
    }
}
