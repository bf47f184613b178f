//! The route that limits how fast endpoints may be sent to, and may send.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use weft_api::{EndpointObject, LimitRequest};
use weft_model::{Endpoint, Limit, LimitFields, LimitSpec, Limits};

use super::{Answer, Body, Refusal, Shared, decode, the_one};
use crate::describe;

/// Limits one endpoint otherwise; what is not named stays as it is.
pub(super) async fn limit(State(node): Shared, Body(body): Body) -> Answer<EndpointObject> {
    let request: LimitRequest = decode(&body)?;
    let found = the_one(&node, &request.endpoint)?;
    let ingress = wished(&found, request.ingress, ["ingress.rate", "ingress.burst"])?;
    let egress = wished(&found, request.egress, ["egress.rate", "egress.burst"])?;
    let change = |now: Limits| Limits { ingress: ingress.unwrap_or(now.ingress), egress: egress.unwrap_or(now.egress) };
    let limited = node.workers.call(|netlink| node.attacher.limit(netlink, &found.key, change)).await?;
    // What may have happened to the link meanwhile was news of another record.
    node.reconciler.note();
    Ok(Json(describe::endpoint(&*limited?, &node.attacher.ledger())))
}

/// The limit that is wished for, if anything is.
fn wished(endpoint: &Endpoint, spec: Option<LimitSpec>, names: [&str; 2]) -> Result<Option<Option<Limit>>, Refusal> {
    let object = format!("endpoint {}", endpoint.title());
    let [rate, burst] = names;
    let resolve = |spec: LimitSpec| spec.resolve(endpoint.mtu, LimitFields { object: &object, rate, burst });
    spec.map(resolve).transpose().map_err(|invalid| Refusal::new(StatusCode::BAD_REQUEST, invalid.to_string()))
}
