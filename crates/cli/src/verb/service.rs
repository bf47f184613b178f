//! `weft service`: addresses that lead to any of those who serve them.

use anyhow::Result;

use super::describe;
use crate::fetch;
use crate::session::Session;

/// Arguments of `weft service`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show services: their addresses and ports, and how many serve them
    List {
        /// Only those of this namespace
        #[arg(short, long, value_name = "NAMESPACE")]
        namespace: Option<String>,
    },
    /// Show all there is to know about a service
    Describe {
        /// [NAMESPACE/]NAME
        service: String,
    },
    /// Show who serves services, port by port
    Backends {
        /// [NAMESPACE/]NAME; all if absent
        service: Option<String>,
    },
}

impl Args {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<()> {
        let client = session.client.clone();
        match self.action {
            Action::List { namespace } => session.show_list(fetch::services(&client, namespace.as_deref())?),
            Action::Describe { service } => {
                session.show_text(&fetch::service(&client, &service, None)?, describe::service)
            }
            Action::Backends { service } => {
                let services = match service {
                    Some(service) => vec![fetch::service(&client, &service, None)?],
                    None => fetch::services(&client, None)?,
                };
                let statuses = services.into_iter().filter_map(|service| service.status);
                session.show_list(statuses.flat_map(|status| status.backends).collect())
            }
        }
    }
}
