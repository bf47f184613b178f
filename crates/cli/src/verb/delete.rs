//! `weft delete`: networks by name or from files.

use std::path::PathBuf;

use anyhow::{Result, bail};
use weft_api::NetworkObject;

use crate::output::Output;
use crate::resource::Resource;
use crate::session::{Session, UsageError};
use crate::{fetch, manifest};

/// Arguments of `weft delete`.
#[derive(Debug, clap::Args)]
#[command(override_usage = "weft delete [OPTIONS] <KIND> <NAME>...\n       weft delete [OPTIONS] --file <FILE>")]
pub struct Args {
    /// What to delete: network
    #[arg(value_name = "KIND", required_unless_present = "files", requires = "names", hide_possible_values = true)]
    resource: Option<Resource>,
    /// Which ones
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Delete the objects of this file; - is standard input
    #[arg(short, long = "file", value_name = "FILE", conflicts_with = "resource")]
    files: Vec<PathBuf>,
}

impl Args {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<()> {
        match self.resource {
            Some(Resource::Networks) => networks(session, &self.names),
            Some(Resource::Endpoints) => bail!(UsageError("endpoints go when their containers do".to_owned())),
            Some(Resource::Nodes) => bail!(UsageError("a node is there while its weftd is".to_owned())),
            None => {
                let objects = manifest::read(&self.files)?;
                networks(session, &objects.into_iter().map(|object| object.metadata.name).collect::<Vec<_>>())
            }
        }
    }
}

/// Deletes every network that can be deleted, and then names those that cannot.
pub(super) fn networks(session: &mut Session<'_>, names: &[String]) -> Result<()> {
    let mut deleted = Vec::new();
    let mut faults = Vec::new();
    for name in names {
        match session.client.delete::<NetworkObject>(&fetch::network_path(name)) {
            Ok(network) => deleted.push(network),
            Err(error) => faults.push(error.to_string()),
        }
    }
    if session.output == Output::Table {
        for network in deleted {
            writeln!(session.out, "deleted network {}", network.metadata.name)?;
        }
    } else {
        session.show_list(deleted)?;
    }
    if faults.is_empty() { Ok(()) } else { bail!(faults.join("\n")) }
}
