//! Routes by which people see what happens at endpoints' doors.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use weft_api::{Connection, Flow, Judgement, List};
use weft_dataplane::{HostAddress, Telling};
use weft_kernel::nft::Nft;
use weft_model::Protocol;

use super::{Answer, Refusal, SILENT, Shared};
use crate::describe::Reference;
use crate::flows::{self, HISTORY_MAX, Party, Verdict, Wanted};
use crate::node::Node;
use crate::services::Found;
use crate::shell::listener::uptime;
use crate::why::{Question, Side, Witnesses};

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
        let known = |text: &String| {
            let verdict = Verdict::ALL.into_iter().find(|verdict| verdict.word() == text);
            verdict.ok_or_else(|| refused(format!("verdict {text:?}: it is `passed`, `audited` or `dropped`")))
        };
        let verdict = self.verdict.as_ref().map(known).transpose()?;
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
            verdict,
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
    if node.config.telling() == Telling::Nothing {
        return Err(Refusal::new(StatusCode::CONFLICT, format!("this agent tells of no flows: {SILENT}")));
    }
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

/// What `weft why` asks.
#[derive(Debug, Deserialize)]
pub(super) struct Between {
    from: String,
    to: String,
    port: Option<u16>,
    protocol: Option<String>,
}

/// Whether one may open a connection to another.
pub(super) async fn why(State(node): Shared, asked: Result<Query<Between>, QueryRejection>) -> Answer<List<Judgement>> {
    let Query(asked) = asked.map_err(|rejection| refused(rejection.body_text()))?;
    let questions = asked.questions(&node)?;
    let foreign = node.reconciler.report().stack_has_say;
    let judged = node.workers.call(|netlink| {
        let (trial, mut nft) = (node.attacher.dataplane().trial()?, Nft::open()?);
        let policies = node.attacher.policies();
        let mut witnesses =
            Witnesses { trial: &trial, netlink, nft: &mut nft, foreign, policies, attacher: &node.attacher };
        let mut judged = Vec::new();
        for question in &questions {
            judged.extend(match led(&node, question) {
                Some(led) => witnesses.judge_led(question, &led)?,
                None => vec![witnesses.judge(question)?],
            });
        }
        anyhow::Ok(judged)
    });
    let judged = judged.await?;
    let items = judged.map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")))?;
    Ok(Json(List { items }))
}

impl Between {
    /// One for each family that both have.
    fn questions(&self, node: &Node) -> Result<Vec<Question>, Refusal> {
        let (from, to) = (sides(node, "from", &self.from)?, sides(node, "to", &self.to)?);
        let named = self.protocol.as_deref().map(str::parse::<Protocol>).transpose();
        let named = named.map_err(|error| refused(format!("protocol: {error}")))?;
        let of_icmp = |protocol: Protocol| [Protocol::ICMP, Protocol::ICMPV6].contains(&protocol);
        if self.port.is_some() && named.is_some_and(of_icmp) {
            return Err(refused("port: ICMP has none, leave it out"));
        }
        let echo = self.port.is_none() && named.is_none_or(of_icmp);
        if !echo && self.port.is_none() && named.is_some_and(Protocol::has_ports) {
            return Err(refused(format!("port: {} needs one", named.unwrap_or(Protocol::TCP))));
        }
        let pairs = from.iter().flat_map(|from| to.iter().map(move |to| (from, to)));
        let pairs = pairs.filter(|(from, to)| from.address.is_ipv4() == to.address.is_ipv4());
        let questions = pairs.map(|(from, to)| {
            let of_echo = if from.address.is_ipv4() { Protocol::ICMP } else { Protocol::ICMPV6 };
            let protocol = if echo { of_echo } else { named.unwrap_or(Protocol::TCP) };
            Question { from: from.clone(), to: to.clone(), port: self.port.unwrap_or(0), protocol }
        });
        let questions: Vec<_> = questions.collect();
        if questions.is_empty() {
            return Err(refused(format!("{} and {} have no addresses of the same family", self.from, self.to)));
        }
        Ok(questions)
    }
}

/// What a question's opener finds at the address, if that is a service's, and the opener's sockets are led to services:
/// those of endpoints are, and of the host.
fn led(node: &Node, question: &Question) -> Option<Found> {
    let cookie = match &question.from.endpoint {
        Some(endpoint) => Some(endpoint.netns.cookie),
        None => {
            let hosts = node.attacher.dataplane().hosts();
            hosts.has(&HostAddress(question.from.address)).ok().filter(|is_host| *is_host)?;
            None
        }
    };
    node.attacher.services().find(cookie, (question.to.address, question.protocol, question.port))
}

/// The addresses that `text` means: one, or the first of each family that an endpoint has.
fn sides(node: &Node, field: &str, text: &str) -> Result<Vec<Side>, Refusal> {
    let ledger = node.attacher.ledger();
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(vec![Side { address, endpoint: ledger.at(address).cloned() }]);
    }
    let endpoint = Reference::parse(text).one(&ledger).map_err(|found| {
        refused(match found.as_slice() {
            [] => format!("{field}: there is no endpoint {text:?} and it is no address: see `weft get endpoints`"),
            several => format!("{field}: {text:?} may be any of {}", several.join(", ")),
        })
    })?;
    let first = |v4: bool| endpoint.addresses.iter().map(|net| net.addr()).find(|ip| ip.is_ipv4() == v4);
    let addresses = [first(true), first(false)].into_iter().flatten();
    Ok(addresses.map(|address| Side { address, endpoint: Some(Arc::clone(&endpoint)) }).collect())
}

fn tracked(node: &Arc<Node>, found: &[weft_dataplane::Flow], wanted: &Wanted) -> Vec<Connection> {
    let ledger = node.attacher.ledger();
    let is_wanted = |flow: &&weft_dataplane::Flow| wanted.has_ends(flow, |ip| ledger.at(ip).cloned());
    let service = |flow: &weft_dataplane::Flow| node.attacher.services().name_of(flow.service.unwrap_or(0));
    found.iter().filter(is_wanted).map(|flow| flows::connection(flow, &ledger, service(flow))).collect()
}
