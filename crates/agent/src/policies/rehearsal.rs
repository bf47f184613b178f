//! What other policies would say about connections that were seen. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use weft_api::{FlowEnd, Rehearsal, RehearsedFlow};
use weft_model::{Endpoint, Protocol, Way};
use weft_policy::{Decision, IdentityNumber, View, World};

use super::shown;

/// A connection that somebody opened, or wanted to.
#[derive(Debug, Clone)]
pub struct Opening {
    /// Who.
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
    /// By which protocol.
    pub protocol: Protocol,
    /// The endpoint of this host that is the first end.
    pub opener: Option<Arc<Endpoint>>,
    /// Likewise the other one.
    pub target: Option<Arc<Endpoint>>,
}

/// One end of a connection.
#[derive(Debug, Clone, Copy)]
struct End<'a> {
    address: IpAddr,
    endpoint: Option<&'a Endpoint>,
    is_host: bool,
}

/// A world, and the numbers of identities there.
pub(super) struct Court<'a> {
    pub(super) world: &'a World,
    pub(super) number: &'a dyn Fn(&Endpoint) -> Option<IdentityNumber>,
}

impl Court<'_> {
    /// What decides: the first end that says no, or else the last one that says anything.
    fn judge(&self, opening: &Opening, from: End<'_>, to: End<'_>) -> Decision {
        let egress = self.ask(Way::Egress, from, to, opening);
        let ingress = self.ask(Way::Ingress, to, from, opening);
        let open = Decision { is_allowed: true, rule: None, tier: None };
        [egress, ingress].into_iter().flatten().fold(open, |before, next| if before.is_allowed { next } else { before })
    }

    /// What `own` says, if it has a door, and the other end is not its host.
    fn ask(&self, way: Way, own: End<'_>, other: End<'_>, opening: &Opening) -> Option<Decision> {
        let number = own.endpoint.filter(|endpoint| endpoint.attachment.has_door() && !other.is_host);
        let number = (self.number)(number?)?;
        let of_other = other.endpoint.and_then(|endpoint| (self.number)(endpoint));
        let port = if opening.protocol.has_ports() { opening.to.port() } else { 0 };
        Some(self.world.decide((number, View::Enforced), way, of_other, other.address, (opening.protocol, port)))
    }
}

/// Holds connections against both; those from one to the same port of another are one.
pub(super) fn rehearse(
    now: &Court<'_>,
    then: &Court<'_>,
    openings: &[Opening],
    is_host: impl Fn(IpAddr) -> bool,
) -> Rehearsal {
    let mut seen = BTreeSet::new();
    let mut flows: BTreeMap<(IpAddr, IpAddr, Protocol, u16), RehearsedFlow> = BTreeMap::new();
    for opening in openings {
        let Opening { from, to, protocol, opener, target } = opening;
        if !seen.insert((*from, *to, *protocol)) || from.ip() == to.ip() {
            continue;
        }
        let key = (from.ip(), to.ip(), *protocol, to.port());
        if let Some(flow) = flows.get_mut(&key) {
            flow.seen += 1;
            continue;
        }
        let end = |at: &SocketAddr, endpoint| End { address: at.ip(), endpoint, is_host: is_host(at.ip()) };
        let (a, b) = (end(from, opener.as_deref()), end(to, target.as_deref()));
        let (before, after) = (now.judge(opening, a, b), then.judge(opening, a, b));
        let word = |decision: Decision| if decision.is_allowed { "passed" } else { "dropped" }.to_owned();
        let from = FlowEnd { port: None, ..crate::flows::end(*from, *protocol, opener.as_ref(), true) };
        let flow = RehearsedFlow {
            from,
            to: crate::flows::end(*to, *protocol, target.as_ref(), true),
            protocol: protocol.to_string(),
            seen: 1,
            now: word(before),
            now_by: shown::decision(now.world, before),
            then: word(after),
            then_by: shown::decision(then.world, after),
        };
        flows.insert(key, flow);
    }
    Rehearsal { flows: flows.into_values().collect() }
}
