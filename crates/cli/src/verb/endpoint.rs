//! `weft endpoint`: what happens at endpoints' doors.

mod allow;
mod label;
mod limit;

use anyhow::Result;
use weft_api::EndpointObject;

use crate::fetch;
use crate::session::Session;
use crate::sheet::Sheet;

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
    /// Show and change what an endpoint may send from besides its own addresses
    #[command(after_help = "Example: weft endpoint allow web 10.0.0.9 fd00::/64")]
    Allow(allow::Args),
    /// Show and change the labels that policies select an endpoint by; all interfaces of its container have the same
    #[command(after_help = "Example: weft endpoint label web tier=front canary-")]
    Label(label::Args),
}

impl Args {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<()> {
        match self.action {
            Action::Stats { endpoint } => {
                let counters = fetch::counters(&session.client, endpoint.as_deref())?;
                session.show_list(counters)
            }
            Action::Limit(args) => args.run(session),
            Action::Allow(args) => args.run(session),
            Action::Label(args) => args.run(session),
        }
    }
}

/// Which endpoint it is, above what is shown of it.
fn sheet(object: &EndpointObject) -> Sheet {
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    Sheet::default()
        .field("Endpoint", format!("{namespace}/{}", object.metadata.name))
        .field("Interface", &object.spec.interface)
}
