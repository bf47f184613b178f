//! The route that allows an endpoint to send from other addresses besides its own.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use ipnet::IpNet;
use weft_api::{AllowanceRequest, EndpointObject};
use weft_model::{EndpointKey, resolve_allowed};

use super::{Answer, Body, Shared, decode, the_one};
use crate::attach::AttachError;
use crate::describe;

/// Takes away what one endpoint is not to be allowed any more, then allows it what is added.
pub(super) async fn allow(State(node): Shared, Body(body): Body) -> Answer<EndpointObject> {
    let request: AllowanceRequest = decode(&body)?;
    let found = the_one(&node, &request.endpoint)?;
    let object = format!("endpoint {}", found.title());
    let add = resolve_allowed(&object, "add", &request.add)?;
    let remove = resolve_allowed(&object, "remove", &request.remove)?;
    let change = |now: &BTreeSet<IpNet>| {
        let kept = if request.remove_all { BTreeSet::new() } else { without(now, &remove, &found.key)? };
        Ok(kept.into_iter().chain(add).collect())
    };
    let allowed = node.workers.call(|netlink| node.attacher.allow(netlink, &found.key, change)).await?;
    // What may have happened to the link meanwhile was news of another record.
    node.reconciler.note();
    Ok(Json(describe::endpoint(&*allowed?, &node.attacher.ledger())))
}

fn without(now: &BTreeSet<IpNet>, remove: &[IpNet], key: &EndpointKey) -> Result<BTreeSet<IpNet>, AttachError> {
    let mut kept = now.clone();
    for prefix in remove {
        if !kept.remove(prefix) {
            return Err(AttachError::NotAllowed { key: key.clone(), prefix: *prefix });
        }
    }
    Ok(kept)
}
