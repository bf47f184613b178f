//! `weft endpoint`: what happens at endpoints' doors.

use anyhow::Result;

use crate::fetch;
use crate::session::Session;

/// Arguments of `weft endpoint`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show how many packets passed and were dropped, and why
    Stats {
        /// [NAMESPACE/]NAME, a container id or 4 and more of its first characters, or an address; @INTERFACE
        endpoint: Option<String>,
    },
}

impl Args {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<()> {
        let Action::Stats { endpoint } = self.action;
        let counters = fetch::counters(&session.client, endpoint.as_deref())?;
        session.show_list(counters)
    }
}
