//! `weft endpoint`: what happens at endpoints' doors.

mod limit;

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
    /// Show and change how fast an endpoint may be sent to, and may send
    #[command(after_help = "Example: weft endpoint limit web --ingress 100M --egress 20M")]
    Limit(limit::Args),
}

impl Args {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<()> {
        match self.action {
            Action::Stats { endpoint } => {
                let counters = fetch::counters(&session.client, endpoint.as_deref())?;
                session.show_list(counters)
            }
            Action::Limit(args) => args.run(session),
        }
    }
}
