//! `weft apply`: objects from files.

use std::path::PathBuf;

use anyhow::Result;
use weft_api::{Applied, List, OBJECTS_MAX};

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
        let mut applied = Vec::new();
        for part in manifest::read(&self.files)?.chunks(OBJECTS_MAX) {
            match session.client.post::<List<Applied>>("/v1/apply", &List { items: part.to_vec() }) {
                Ok(part) => applied.extend(part.items),
                Err(error) => {
                    if !applied.is_empty() {
                        session.show_list(applied)?;
                    }
                    return Err(error.into());
                }
            }
        }
        session.show_list(applied)
    }
}
