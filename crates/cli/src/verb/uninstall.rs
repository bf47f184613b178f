//! `weft uninstall cni`: what `weft install cni` wrote, in reverse.

use anyhow::Result;

use crate::cni::{Directories, SHIM, conflist, file};
use crate::session::Session;

/// Arguments of `weft uninstall`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Remove weft's configurations and then its shim; containers that run keep their network
    Cni {
        #[command(flatten)]
        directories: Directories,
    },
}

impl Args {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<()> {
        let What::Cni { directories } = self.what;
        let mut paths = file::list(&directories.conf)?;
        paths.retain(|path| conflist::is_ours(path));
        // Nothing may be called that is not there any more.
        paths.push(directories.bin.join(SHIM));
        for path in paths {
            let change = file::remove(&path)?;
            writeln!(session.out, "{change} {}", path.display())?;
        }
        Ok(())
    }
}
