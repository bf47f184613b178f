//! `weft network`: networks without a file.

mod create;

use anyhow::Result;

use super::delete::{self, Doomed};
use crate::fetch;
use crate::session::Session;

/// Arguments of `weft network`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Create a network
    #[command(after_help = "Example: weft network create app --mode bridge --pool 10.64.0.0/16 --pool fd64::/64")]
    Create(Box<create::Args>),
    /// Show all networks
    List,
    /// Delete networks that have no endpoints
    Delete {
        /// Which ones
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
    },
}

impl Args {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<()> {
        match self.action {
            Action::Create(args) => args.run(session),
            Action::List => {
                let networks = fetch::networks(&session.client)?;
                session.show_list(networks)
            }
            Action::Delete { names } => {
                let doomed: Vec<_> = names.iter().map(|name| Doomed::network(name)).collect();
                delete::delete(session, &doomed)
            }
        }
    }
}
