//! `weft endpoint limit`: how fast an endpoint may be sent to, and may send.

use anyhow::Result;
use weft_api::{EndpointObject, LimitRequest};
use weft_model::{Limit, LimitSpec, Limits, Rate, Size};

use crate::fetch;
use crate::session::Session;

/// Arguments of `weft endpoint limit`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// [NAMESPACE/]NAME, a container id or 4 and more of its first characters, or an address; @INTERFACE
    endpoint: String,
    /// How fast the container may be sent to: bits per second, such as 10M or 1.5Gbit/s; 0 lifts the limit
    #[arg(long, value_name = "RATE", conflicts_with = "none")]
    ingress: Option<Rate>,
    /// How fast the container may send
    #[arg(long, value_name = "RATE", conflicts_with = "none")]
    egress: Option<Rate>,
    /// How much may go to the container at once after a pause: bytes, such as 256k; what the rate needs if absent
    #[arg(long, value_name = "SIZE", requires = "ingress")]
    ingress_burst: Option<Size>,
    /// How much the container may send at once after a pause
    #[arg(long, value_name = "SIZE", requires = "egress")]
    egress_burst: Option<Size>,
    /// Lift both limits
    #[arg(long)]
    none: bool,
}

impl Args {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<()> {
        let spec = |rate: Option<Rate>, burst: Option<Size>| {
            let rate = rate.or(self.none.then_some(Rate(0)))?;
            Some(LimitSpec { rate: rate.0, burst: burst.map(|burst| burst.0) })
        };
        let (ingress, egress) = (spec(self.ingress, self.ingress_burst), spec(self.egress, self.egress_burst));
        let object: EndpointObject = if ingress.is_none() && egress.is_none() {
            fetch::endpoint(&session.client, &self.endpoint, None)?
        } else {
            let request = LimitRequest { endpoint: self.endpoint, ingress, egress };
            session.client.post("/v1/endpoints/limits", &request)?
        };
        session.show_text(&object, text)
    }
}

fn text(object: &EndpointObject) -> String {
    let Limits { ingress, egress } = object.status.limits;
    let shown = |limit: Option<Limit>| limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
    super::sheet(object).field("Ingress", shown(ingress)).field("Egress", shown(egress)).into_text()
}
