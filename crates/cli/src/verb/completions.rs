//! `weft completions`: what a shell needs to complete command lines.

use anyhow::Result;
use clap_complete::Shell;

use crate::session::Session;

/// Arguments of `weft completions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// For which shell
    shell: Shell,
}

impl Args {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<()> {
        let mut command = (session.command)();
        let name = command.get_name().to_owned();
        // Into memory first: the generator panics where its writer fails, as with `weft completions bash | head`.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        Ok(session.out.write_all(&script)?)
    }
}
