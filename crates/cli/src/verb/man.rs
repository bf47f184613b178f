//! `weft man`: manual pages, made from the command line itself.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap_mangen::Man;

use crate::session::Session;

/// Arguments of `weft man`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write a page for every verb into this directory, instead of weft(1) to standard output
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Args {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<()> {
        let command = (session.command)();
        let Some(dir) = self.dir else {
            return Ok(Man::new(command).render(&mut session.out)?);
        };
        let write = || {
            fs::create_dir_all(&dir)?;
            clap_mangen::generate_to(command, &dir)
        };
        write().with_context(|| format!("cannot write manual pages into {}", dir.display()))
    }
}
