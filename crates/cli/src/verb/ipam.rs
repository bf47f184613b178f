//! `weft ipam`: who holds which address, and whether that is true.

use std::process::ExitCode;

use anyhow::Result;
use weft_api::IpamCheck;

use crate::fetch;
use crate::session::Session;
use crate::table::table;

/// Arguments of `weft ipam`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show held addresses and their holders
    Show {
        /// Only those of this network
        network: Option<String>,
    },
    /// Compare ledger, kernel and namespaces; exits with 0 if all agree, with 1 if not
    Check,
}

impl Args {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<ExitCode> {
        match self.action {
            Action::Show { network } => {
                let leases = fetch::leases(&session.client, network.as_deref())?;
                session.show_list(leases).map(|()| ExitCode::SUCCESS)
            }
            Action::Check => check(session),
        }
    }
}

fn check(session: &mut Session<'_>) -> Result<ExitCode> {
    let check: IpamCheck = session.client.get("/v1/ipam/check")?;
    session.show_text(&check, text)?;
    Ok(if check.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn text(check: &IpamCheck) -> String {
    let IpamCheck { endpoints, addresses, findings } = check;
    if findings.is_empty() { format!("clean: {endpoints} endpoints, {addresses} addresses\n") } else { table(findings) }
}
