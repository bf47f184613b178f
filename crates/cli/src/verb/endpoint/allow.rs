//! `weft endpoint allow`: what an endpoint may send from besides its own addresses.

use anyhow::Result;
use weft_api::{AllowanceRequest, EndpointObject};

use crate::fetch;
use crate::session::Session;

/// Arguments of `weft endpoint allow`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// [NAMESPACE/]NAME, a container id or 4 and more of its first characters, or an address; @INTERFACE
    endpoint: String,
    /// Addresses and CIDRs to allow besides those that are allowed, such as 10.0.0.9 or fd00::/64
    #[arg(value_name = "PREFIX")]
    prefixes: Vec<String>,
    /// Take these away instead
    #[arg(long, requires = "prefixes")]
    remove: bool,
    /// Take all away
    #[arg(long, conflicts_with = "prefixes")]
    none: bool,
}

impl Args {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<()> {
        let object: EndpointObject = if self.prefixes.is_empty() && !self.none {
            fetch::endpoint(&session.client, &self.endpoint, None)?
        } else {
            let (remove, add) = if self.remove { (self.prefixes, Vec::new()) } else { (Vec::new(), self.prefixes) };
            let request = AllowanceRequest { endpoint: self.endpoint, remove, remove_all: self.none, add };
            session.client.post("/v1/endpoints/allowances", &request)?
        };
        session.show_text(&object, text)
    }
}

fn text(object: &EndpointObject) -> String {
    let shown = match object.status.allowed_addresses.as_slice() {
        [] => "none besides its own".to_owned(),
        allowed => allowed.join(", "),
    };
    super::sheet(object).list("Addresses", &object.status.addresses).field("Allowed", shown).into_text()
}
