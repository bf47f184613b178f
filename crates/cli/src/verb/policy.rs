//! `weft policy`: who may open connections to whom.

use anyhow::Result;

use crate::fetch;
use crate::session::Session;

/// Arguments of `weft policy`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show all policies, and how many endpoints of this host each is about
    List,
    /// Show the rules that have a say about an endpoint, in the order in which they have it
    #[command(after_help = "Rules of tier Admin and of tier Baseline go from the first to the last: the first that \
                            matches decides. Of tier Network, any that accepts is enough. What no rule is about is \
                            allowed.")]
    Explain {
        /// [NAMESPACE/]NAME, a container id or 4 and more of its first characters, or an address; @INTERFACE picks one
        /// of several
        endpoint: String,
    },
}

impl Args {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<()> {
        let client = session.client.clone();
        match self.action {
            Action::List => session.show_list(fetch::policies(&client)?),
            Action::Explain { endpoint } => session.show_list(fetch::rules(&client, &endpoint)?),
        }
    }
}
