//! The route that gives endpoints other labels.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use weft_api::{EndpointObject, LabelRequest, List};
use weft_model::{EndpointKey, Labels, check_labels};

use super::{Answer, Body, Refusal, Shared, decode, one_of_container};
use crate::describe;

/// Labels all endpoints of one container, one after the other.
pub(super) async fn label(State(node): Shared, Body(body): Body) -> Answer<List<EndpointObject>> {
    let request: LabelRequest = decode(&body)?;
    let found = one_of_container(&node, &request.endpoint)?;
    check_labels(&format!("endpoint {}", found.title()), "add", &request.add)?;
    if let Some(absent) = request.remove.iter().find(|key| !found.labels.contains_key(*key)) {
        let reason = format!("endpoint {} has no label {absent:?}: see `weft describe endpoint`", found.title());
        return Err(Refusal::new(StatusCode::CONFLICT, reason));
    }
    let change = |now: &Labels| {
        let kept = now.iter().filter(|(key, _)| !request.remove.contains(key));
        kept.chain(&request.add).map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    let keys: Vec<EndpointKey> = {
        let ledger = node.attacher.ledger();
        ledger.of_container(&found.key.container).map(|entry| entry.endpoint.key.clone()).collect()
    };
    let label = |netlink: &mut _| keys.iter().map(|key| node.attacher.label(netlink, key, change)).collect();
    let labelled: Result<Vec<_>, _> = node.workers.call(label).await?;
    // What may have happened to the links meanwhile was news of other records.
    node.reconciler.note();
    let ledger = node.attacher.ledger();
    Ok(Json(List { items: labelled?.iter().map(|endpoint| describe::endpoint(endpoint, &ledger)).collect() }))
}
