//! Routes by which a container joins and leaves networks without its runtime.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use weft_api::{AttachRequest, EndpointObject};
use weft_kernel::Netlink;
use weft_model::{ContainerId, DeviceReference, Endpoint, EndpointKey, IfName, Ipam, Limits, MacAddr, Name, NamedPort};
use weft_netns::Netns;

use super::{Answer, Body, Refusal, Shared, decode, one_of_container, the_one};
use crate::attach::{Attachment, DEFAULT_NAMESPACE, is_same};
use crate::describe;
use crate::ledger::Ledger;
use crate::node::Node;

/// Names of interfaces, where none is asked for.
const INTERFACE_PREFIX: &str = "eth";
/// Networks of one container.
const INTERFACES_MAX: usize = 64;

/// Joins a container to a network.
pub(super) async fn attach(State(node): Shared, Body(body): Body) -> Answer<EndpointObject> {
    let request: AttachRequest = decode(&body)?;
    let network = node.networks.get(&request.network);
    let work = |netlink: &mut Netlink| -> Result<Arc<Endpoint>, Refusal> {
        let wish = wish(&node, &request)?;
        Ok(node.attacher.attach(netlink, &wish)?)
    };
    let attached = match network {
        Some(network) if network.ipam == Ipam::Dhcp => node.workers.call_waiting(work).await,
        _ => node.workers.call(work).await,
    };
    Ok(Json(describe::endpoint(&*attached??, &node.attacher.ledger())))
}

#[derive(Debug, Deserialize)]
pub(super) struct Leaving {
    #[serde(rename = "match")]
    endpoint: String,
    #[serde(default)]
    force: bool,
}

/// Takes a container out of a network.
pub(super) async fn detach(
    State(node): Shared,
    leaving: Result<Query<Leaving>, QueryRejection>,
) -> Answer<EndpointObject> {
    let Query(leaving) = leaving.map_err(|rejection| Refusal::new(StatusCode::BAD_REQUEST, rejection.body_text()))?;
    let found = the_one(&node, &leaving.endpoint)?;
    if let (Some(runtime), false) = (&found.cni_name, leaving.force) {
        let remedy = "remove the container there, or force it";
        let reason =
            format!("endpoint {}: belongs to a runtime by its CNI network {runtime:?}: {remedy}", found.title());
        return Err(Refusal::new(StatusCode::CONFLICT, reason));
    }
    let work = |netlink: &mut Netlink| {
        let netns = Netns::open(&found.netns.path).ok();
        node.attacher.detach(netlink, &found.key, netns.as_ref())
    };
    let workers = &node.workers;
    if found.is_leased() { workers.call_waiting(work).await } else { workers.call(work).await }??;
    Ok(Json(describe::endpoint(&found, &node.attacher.ledger())))
}

/// What the request asks for, in full.
fn wish(node: &Node, request: &AttachRequest) -> Result<Attachment, Refusal> {
    let faulty = |field: &str, reason: &dyn std::fmt::Display| {
        Refusal::new(StatusCode::BAD_REQUEST, format!("{field}: {reason}"))
    };
    let network = node.networks.get(&request.network).ok_or_else(|| {
        let name = &request.network;
        let remedy = format!("create it with `weft network create {name} --mode MODE`, or name another");
        Refusal::new(StatusCode::NOT_FOUND, format!("network {name:?} does not exist: {remedy}"))
    })?;
    let beside = match (&request.endpoint, &request.netns) {
        (Some(endpoint), None) => Some(one_of_container(node, endpoint)?),
        (None, Some(_)) => None,
        _ => return Err(faulty("endpoint, netns", &"name one of the two: whose container, or which namespace")),
    };
    let path = request.netns.clone().or_else(|| Some(beside.as_ref()?.netns.path.clone())).unwrap_or_default();
    let netns = Netns::open(&path).map_err(|error| {
        let remedy = "is the container still there? Or name its namespace by a path that weftd sees";
        Refusal::new(StatusCode::CONFLICT, format!("{error}: {remedy}"))
    })?;
    if let Some(beside) = beside.as_ref().filter(|beside| !is_same(&beside.netns, netns.id())) {
        let reason = format!("endpoint {}: its container is gone, or {path} leads elsewhere by now", beside.title());
        return Err(Refusal::new(StatusCode::CONFLICT, reason));
    }
    let parse = |field: &str, text: &String| Name::parse(text.as_str()).map_err(|error| faulty(field, &error));
    let namespace = match (&request.namespace, &beside) {
        (Some(text), _) => parse("namespace", text)?,
        (None, Some(beside)) => beside.namespace.clone(),
        (None, None) => parse("namespace", &DEFAULT_NAMESPACE.to_owned())?,
    };
    let name = match (&request.name, &beside) {
        (Some(text), _) => parse("name", text)?,
        (None, Some(beside)) => beside.name.clone(),
        (None, None) => {
            let file = path.rsplit('/').next().unwrap_or_default().to_owned();
            parse("name, which is that of the namespace's file if absent", &file)?
        }
    };
    let container = match &beside {
        Some(beside) => beside.key.container.clone(),
        None => container_of(&node.attacher.ledger(), &netns).map_err(|error| faulty("netns", &error))?,
    };
    // Two interfaces cannot share a gateway.
    let there = {
        let ledger = node.attacher.ledger();
        let mut beside = ledger.of_container(&container);
        beside.find(|entry| entry.endpoint.network == network.name).map(|entry| Arc::clone(&entry.endpoint))
    };
    if let Some(there) = there {
        let reason = format!("{} is on network {} already, by {}", there.title(), network.name, there.key.ifname);
        return Err(Refusal::new(StatusCode::CONFLICT, reason));
    }
    let ifname = match &request.interface {
        Some(text) => IfName::parse(text.as_str()).map_err(|error| faulty("interface", &error))?,
        None => next_interface(&node.attacher.ledger(), &container)
            .ok_or_else(|| faulty("interface", &format!("the container is on {INTERFACES_MAX} networks already")))?,
    };
    let mac = request.mac.as_deref().map(str::parse::<MacAddr>).transpose();
    let device = request.device.as_deref().map(str::parse::<DeviceReference>).transpose();
    let ports = request.ports.iter().map(|text| text.parse::<NamedPort>()).collect::<Result<_, _>>();
    let claims = if request.default_route { network.families().collect() } else { Vec::new() };
    Ok(Attachment {
        claims,
        foreign_defaults: Vec::new(),
        cni_call: None,
        delegation: None,
        lessor: None,
        routes: Vec::new(),
        mtu: node.reconciler.report().facts.mtu_of(&network),
        limits: Limits::default(),
        key: EndpointKey { container, ifname },
        network,
        netns: Arc::new(netns),
        netns_path: path,
        namespace,
        name,
        labels: request.labels.clone(),
        ports: ports.map_err(|error| faulty("ports", &error))?,
        aliases: Vec::new(),
        cni_name: None,
        cgroup_path: None,
        addresses: request.addresses.clone(),
        allowed_addresses: BTreeSet::new(),
        mac: mac.map_err(|error| faulty("mac", &error))?,
        device: device.map_err(|error| faulty("device", &error))?,
        dns: None,
        born_s: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
    })
}

/// The container that has this namespace already, or one that is named after it.
fn container_of(ledger: &Ledger, netns: &Netns) -> Result<ContainerId, weft_model::NameError> {
    let id = netns.id();
    match ledger.live().find(|endpoint| is_same(&endpoint.netns, id)) {
        Some(endpoint) => Ok(endpoint.key.container.clone()),
        None => format!("netns-{:x}-{}", id.device, id.inode).parse(),
    }
}

fn next_interface(ledger: &Ledger, container: &ContainerId) -> Option<IfName> {
    let is_taken = |name: &IfName| ledger.of_container(container).any(|entry| entry.endpoint.key.ifname == *name);
    let names = (0..INTERFACES_MAX).filter_map(|n| IfName::parse(format!("{INTERFACE_PREFIX}{n}")).ok());
    names.into_iter().find(|name| !is_taken(name))
}
