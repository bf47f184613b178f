//! What of a record may change while its endpoint lives.

use std::collections::BTreeSet;

use ipnet::IpNet;
use weft_model::{Endpoint, EndpointKey, Lease, Limits, Route};

use super::journal::Event;

/// A part of a record, as it is to be from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// How fast the endpoint may be sent to, and may send.
    Limits(Limits),
    /// What it may send from besides its own addresses.
    Allowed(BTreeSet<IpNet>),
    /// Which of its container's routes it has.
    Routes {
        /// For all packets.
        routes: Vec<Route>,
        /// For those from its own addresses alone.
        source_routes: Vec<Route>,
    },
    /// What it holds of the servers of its LAN. The addresses of the record are another matter: they are set inside
    /// before they are written down, and taken away after.
    Lease(Box<Lease>),
}

impl Change {
    /// The routes of `endpoint`, for a record that has others.
    pub fn routes_of(endpoint: &Endpoint) -> Self {
        Change::Routes { routes: endpoint.routes.clone(), source_routes: endpoint.source_routes.clone() }
    }

    /// The same part as `endpoint` has it: what takes the change back.
    pub fn undo(&self, endpoint: &Endpoint) -> Self {
        match self {
            Change::Limits(_) => Change::Limits(endpoint.limits),
            Change::Allowed(_) => Change::Allowed(endpoint.allowed_addresses.clone()),
            Change::Routes { .. } => Change::routes_of(endpoint),
            Change::Lease(_) => Change::Lease(Box::new(endpoint.lease.clone())),
        }
    }

    pub(super) fn event(&self, key: EndpointKey) -> Event {
        match self.clone() {
            Change::Limits(limits) => Event::Limits { key, limits },
            Change::Allowed(addresses) => Event::Allowed { key, addresses },
            Change::Routes { routes, source_routes } => Event::Routes { key, routes, source_routes },
            Change::Lease(lease) => Event::Lease { key, lease },
        }
    }

    pub(super) fn write(self, endpoint: &mut Endpoint) {
        match self {
            Change::Limits(limits) => endpoint.limits = limits,
            Change::Allowed(addresses) => endpoint.allowed_addresses = addresses,
            Change::Routes { routes, source_routes } => {
                endpoint.routes = routes;
                endpoint.source_routes = source_routes;
            }
            Change::Lease(lease) => endpoint.lease = *lease,
        }
    }
}
