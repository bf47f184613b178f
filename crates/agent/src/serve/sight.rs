//! Routes by which people see what happens at endpoints' doors.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use weft_api::{Connection, Flow, List};

use super::{Answer, Refusal, Shared};
use crate::flows::{self, HISTORY_MAX, Party, Wanted};
use crate::node::Node;
use crate::shell::listener::uptime;

/// What is asked for, as it stands in the query.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    from: Option<String>,
    to: Option<String>,
    #[serde(rename = "match")]
    endpoint: Option<String>,
    network: Option<String>,
    verdict: Option<String>,
    reason: Option<String>,
    protocol: Option<String>,
    port: Option<u16>,
    after: Option<u64>,
    last: Option<usize>,
    #[serde(rename = "waitMs")]
    wait_ms: Option<u64>,
}

type AskedFor = Result<Query<Asked>, QueryRejection>;

fn refused(text: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, text)
}

impl Asked {
    fn wanted(&self) -> Result<Wanted, Refusal> {
        let party = |text: &Option<String>| text.as_deref().map(Party::parse);
        let dropped = match self.verdict.as_deref() {
            None => None,
            Some("dropped") => Some(true),
            Some("passed") => Some(false),
            Some(other) => return Err(refused(format!("verdict {other:?}: it is `passed` or `dropped`"))),
        };
        let known = |reason: &&String| weft_dataplane::abi::REASONS.iter().any(|(word, _)| word == reason);
        if let Some(reason) = self.reason.as_ref().filter(|reason| !known(reason)) {
            let words: Vec<_> = weft_dataplane::abi::REASONS.iter().skip(1).map(|(word, _)| *word).collect();
            return Err(refused(format!("reason {reason:?}: it is one of {}", words.join(", "))));
        }
        let protocol = self.protocol.as_deref().map(str::parse).transpose();
        Ok(Wanted {
            from: party(&self.from),
            to: party(&self.to),
            endpoint: party(&self.endpoint),
            network: self.network.clone(),
            dropped,
            reason: self.reason.clone(),
            protocol: protocol.map_err(|error: weft_model::ProtocolError| refused(format!("protocol: {error}")))?,
            port: self.port,
        })
    }
}

/// The last of what happened; waits for more if told so and there is nothing.
pub(super) async fn flows(State(node): Shared, asked: AskedFor) -> Answer<List<Flow>> {
    let Query(asked) = asked.map_err(|rejection| refused(rejection.body_text()))?;
    let wanted = asked.wanted()?;
    let (after, limit) = (asked.after.unwrap_or(0), asked.last.unwrap_or(HISTORY_MAX));
    let wait = Duration::from_millis(asked.wait_ms.unwrap_or(0));
    Ok(Json(List { items: node.listener.flows(&wanted, after, limit, wait).await }))
}

/// Every connection that is tracked.
pub(super) async fn connections(State(node): Shared, asked: AskedFor) -> Answer<List<Connection>> {
    let Query(asked) = asked.map_err(|rejection| refused(rejection.body_text()))?;
    let wanted = asked.wanted()?;
    let found = node.workers.call(|_| node.attacher.dataplane().flows(uptime())).await?;
    let found = found.map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(Json(List { items: tracked(&node, &found, &wanted) }))
}

fn tracked(node: &Arc<Node>, found: &[weft_dataplane::Flow], wanted: &Wanted) -> Vec<Connection> {
    let ledger = node.attacher.ledger();
    let is_wanted = |flow: &&weft_dataplane::Flow| wanted.has_ends(flow, |ip| ledger.at(ip).cloned());
    found.iter().filter(is_wanted).map(|flow| flows::connection(flow, &ledger)).collect()
}
