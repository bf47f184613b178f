//! `weft apply`: objects from files.

use std::path::PathBuf;

use anyhow::Result;
use weft_api::{Applied, List};

use crate::manifest;
use crate::session::Session;

/// Arguments of `weft apply`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A file of objects, in YAML or JSON; - is standard input
    #[arg(short, long = "file", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

impl Args {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<()> {
        let objects = List { items: manifest::read(&self.files)? };
        let applied: List<Applied> = session.client.post("/v1/apply", &objects)?;
        session.show_list(applied.items)
    }
}
