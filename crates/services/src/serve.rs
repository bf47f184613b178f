//! Who serves whom: kube-proxy's rules (kubernetes/pkg/proxy/topology.go, `CategorizeEndpoints`) for clients of this
//! host.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use weft_model::{ContainerId, NetworkName, TrafficPolicy};

use crate::catalog::Backend;

/// Somebody who serves a port.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) backend: Backend,
    /// The network and container of an endpoint of this host; `None` of an address outside.
    pub(crate) endpoint: Option<(NetworkName, ContainerId)>,
    pub(crate) is_local: bool,
    pub(crate) is_ready: bool,
    pub(crate) is_serving: bool,
    pub(crate) is_terminating: bool,
}

/// What clients get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// One of these.
    Backends(Vec<Backend>),
    /// There is nobody: they are refused.
    Nobody,
    /// There are some, but none here, and only those here may serve.
    Elsewhere,
    /// They reach none of those who serve, so it is none of theirs.
    Hidden,
}

/// Of those who serve, whom a client gets that reaches those for which `reaches` says so.
pub(crate) fn answer(
    servers: &[Server],
    policy: TrafficPolicy,
    reaches: impl Fn(Option<&NetworkName>) -> Option<Nearness>,
) -> Answer {
    if servers.is_empty() {
        return Answer::Nobody;
    }
    let reached = nearest(servers, reaches);
    if reached.is_empty() {
        return Answer::Hidden;
    }
    let ready = |server: &&&Server| server.is_ready;
    // Where nobody is ready, those serve who end and answer still (KEP-1669).
    let ending = |server: &&&Server| server.is_serving && server.is_terminating;
    let among = |candidates: Vec<&Server>| -> BTreeSet<Backend> {
        let of = |wanted: &dyn Fn(&&&Server) -> bool| -> BTreeSet<Backend> {
            candidates.iter().filter(|server| wanted(server)).map(|server| server.backend).collect()
        };
        let found = of(&ready);
        if found.is_empty() { of(&ending) } else { found }
    };
    let everywhere = among(reached.clone());
    if everywhere.is_empty() {
        return Answer::Nobody;
    }
    let chosen = match policy {
        TrafficPolicy::Cluster => everywhere,
        TrafficPolicy::Local => among(reached.into_iter().filter(|server| server.is_local).collect()),
    };
    if chosen.is_empty() { Answer::Elsewhere } else { Answer::Backends(chosen.into_iter().collect()) }
}

/// How a client reaches somebody; what is less is nearer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Nearness {
    /// On a network of its own.
    Same,
    /// On one that it reaches.
    Peer,
    /// Outside.
    Outside,
}

/// Those who are reached; of a container with several interfaces, one of them, so that it counts once.
fn nearest(servers: &[Server], reaches: impl Fn(Option<&NetworkName>) -> Option<Nearness>) -> Vec<&Server> {
    let mut chosen: BTreeMap<(&ContainerId, bool), (Nearness, IpAddr)> = BTreeMap::new();
    let mut reached = Vec::new();
    for server in servers {
        let Some(nearness) = reaches(server.endpoint.as_ref().map(|(network, _)| network)) else { continue };
        reached.push(server);
        if let Some((_, container)) = &server.endpoint {
            let address = server.backend.address;
            let nearest = chosen.entry((container, address.is_ipv4())).or_insert((nearness, address));
            *nearest = (*nearest).min((nearness, address));
        }
    }
    reached.retain(|server| match &server.endpoint {
        Some((_, container)) => {
            let address = server.backend.address;
            chosen.get(&(container, address.is_ipv4())).is_some_and(|(_, nearest)| *nearest == address)
        }
        None => true,
    });
    reached
}
