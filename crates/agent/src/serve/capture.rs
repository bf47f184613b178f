//! Routes by which people get whole packets.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use weft_api::{Capture, CaptureWish, Packet, Packets};
use weft_dataplane::abi;
use weft_model::Endpoint;

use super::{Answer, Body, Refusal, Shared, decode, refuse_kernel, the_one};
use crate::apply::endpoints;
use crate::flows::Told;
use crate::node::Node;
use crate::shell::catcher::{CaptureError, Fetched};

impl From<CaptureError> for Refusal {
    fn from(error: CaptureError) -> Self {
        let status = match &error {
            CaptureError::Full => StatusCode::CONFLICT,
            CaptureError::Absent(_) => StatusCode::NOT_FOUND,
            CaptureError::Thread(_) | CaptureError::Dataplane(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

/// Begins a capture.
pub(super) async fn begin(State(node): Shared, Body(body): Body) -> Answer<Capture> {
    let wish: CaptureWish = decode(&body)?;
    let wished = wished(&wish)?;
    let endpoint = the_one(&node, &wish.endpoint)?;
    let found = node.workers.call(|netlink| endpoints::number(netlink, &endpoint)).await?;
    let link = found.map_err(|error| refuse_kernel(&error))?.ok_or_else(|| no_door(&endpoint))?;
    let begun = node.workers.call(|_| node.catcher.begin(abi::capture { link, ..wished })).await?;
    Ok(Json(Capture {
        id: begun?.to_string(),
        endpoint: endpoint.title(),
        interface: endpoint.key.ifname.to_string(),
        snaplen: wished.bytes_max,
    }))
}

fn no_door(endpoint: &Endpoint) -> Refusal {
    Refusal::new(StatusCode::CONFLICT, format!("endpoint {} has no link on this host", endpoint.title()))
}

/// The wish as the programs have it, but for who is meant.
fn wished(wish: &CaptureWish) -> Result<abi::capture, Refusal> {
    let refused = |text: String| Refusal::new(StatusCode::BAD_REQUEST, text);
    let directions = match wish.direction.as_deref() {
        None => abi::CAPTURE_OUT | abi::CAPTURE_IN,
        Some("out") => abi::CAPTURE_OUT,
        Some("in") => abi::CAPTURE_IN,
        Some(other) => return Err(refused(format!("direction {other:?}: it is `in` or `out`"))),
    };
    let bytes_max = wish.snaplen.unwrap_or(abi::CAPTURE_BYTES_MAX);
    if bytes_max == 0 || bytes_max > abi::CAPTURE_BYTES_MAX {
        return Err(refused(format!("snaplen {bytes_max}: it is of 1 to {} bytes", abi::CAPTURE_BYTES_MAX)));
    }
    let passed = if wish.dropped { 0 } else { abi::CAPTURE_PASSED };
    Ok(abi::capture { bytes_max, wants: directions | passed, ..abi::capture::default() })
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Patience {
    #[serde(rename = "waitMs")]
    wait_ms: Option<u64>,
}

/// What was captured since it was asked for last.
pub(super) async fn fetch(
    State(node): Shared,
    Path(id): Path<String>,
    asked: Result<Query<Patience>, QueryRejection>,
) -> Answer<Packets> {
    let Query(asked) = asked.map_err(|rejection| Refusal::new(StatusCode::BAD_REQUEST, rejection.body_text()))?;
    let wait = Duration::from_millis(asked.wait_ms.unwrap_or(0));
    let fetched = node.catcher.fetch(number(&id)?, wait).await?;
    Ok(Json(node.workers.call(|_| packets(&node, fetched)).await?))
}

/// Ends a capture.
pub(super) async fn end(State(node): Shared, Path(id): Path<String>) -> Answer<Packets> {
    let fetched = node.catcher.end(number(&id)?).await?;
    Ok(Json(node.workers.call(|_| packets(&node, fetched)).await?))
}

fn number(id: &str) -> Result<u64, Refusal> {
    let absent = || Refusal::new(StatusCode::NOT_FOUND, format!("there is no capture {id:?}"));
    id.parse().map_err(|_| absent())
}

fn packets(node: &Node, fetched: Fetched) -> Packets {
    let Fetched { packets, host_started, missed, ended } = fetched;
    let ledger = node.attacher.ledger();
    let tell = |packet: &weft_dataplane::Packet| {
        let event = &packet.event;
        let told = Told::of(event, ledger.at(event.from().ip()), ledger.at(event.to().ip()));
        let time = host_started + Duration::from_nanos(event.time);
        Packet {
            time_us: u64::try_from(time.as_micros()).unwrap_or(u64::MAX),
            direction: told.direction,
            verdict: told.verdict,
            reason: told.reason,
            meaning: told.meaning,
            way: told.way,
            from: told.from,
            to: told.to,
            protocol: told.protocol,
            flags: told.flags,
            bytes: event.bytes,
            data: STANDARD.encode(&packet.bytes),
        }
    };
    Packets { items: packets.iter().map(tell).collect(), missed, ended }
}
