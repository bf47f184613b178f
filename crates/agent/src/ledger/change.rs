//! What of a record may change while its endpoint lives.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use weft_model::{Dns, Endpoint, EndpointKey, Labels, Lease, Limits, Route};

use super::journal::Event;

/// What an endpoint has by its lease: all of its record that changes with that.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Leased {
    /// What the servers of its LAN granted.
    pub lease: Lease,
    /// Its addresses, IPv4 first.
    pub addresses: Vec<IpNet>,
    /// Next hops of its routes, at most one per family.
    pub gateways: Vec<IpAddr>,
    /// Routes for all packets.
    pub routes: Vec<Route>,
    /// For those from its own addresses alone.
    pub source_routes: Vec<Route>,
    /// Bytes.
    pub mtu: u32,
    /// What its runtime is told about name servers.
    pub dns: Dns,
}

impl Leased {
    /// What `endpoint` has.
    pub fn of(endpoint: &Endpoint) -> Self {
        Self {
            lease: endpoint.lease.clone(),
            addresses: endpoint.addresses.clone(),
            gateways: endpoint.gateways.clone(),
            routes: endpoint.routes.clone(),
            source_routes: endpoint.source_routes.clone(),
            mtu: endpoint.mtu,
            dns: endpoint.dns.clone(),
        }
    }

    /// Has `endpoint` have this.
    pub fn write(self, endpoint: &mut Endpoint) {
        let Self { lease, addresses, gateways, routes, source_routes, mtu, dns } = self;
        (endpoint.lease, endpoint.addresses, endpoint.gateways) = (lease, addresses, gateways);
        (endpoint.routes, endpoint.source_routes) = (routes, source_routes);
        (endpoint.mtu, endpoint.dns) = (mtu, dns);
    }
}

/// A part of a record, as it is to be from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// How fast the endpoint may be sent to, and may send.
    Limits(Limits),
    /// What it may send from besides its own addresses.
    Allowed(BTreeSet<IpNet>),
    /// What selectors tell it from others by.
    Labels(Labels),
    /// Which of its container's routes it has.
    Routes {
        /// For all packets.
        routes: Vec<Route>,
        /// For those from its own addresses alone.
        source_routes: Vec<Route>,
    },
    /// What it has by its lease. The book of leases follows: an address that it has no more is free.
    Lease(Box<Leased>),
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
            Change::Labels(_) => Change::Labels(endpoint.labels.clone()),
            Change::Routes { .. } => Change::routes_of(endpoint),
            Change::Lease(_) => Change::Lease(Box::new(Leased::of(endpoint))),
        }
    }

    pub(super) fn event(&self, key: EndpointKey) -> Event {
        match self.clone() {
            Change::Limits(limits) => Event::Limits { key, limits },
            Change::Allowed(addresses) => Event::Allowed { key, addresses },
            Change::Labels(labels) => Event::Labels { key, labels },
            Change::Routes { routes, source_routes } => Event::Routes { key, routes, source_routes },
            Change::Lease(leased) => Event::Lease { key, leased },
        }
    }

    pub(super) fn write(self, endpoint: &mut Endpoint) {
        match self {
            Change::Limits(limits) => endpoint.limits = limits,
            Change::Allowed(addresses) => endpoint.allowed_addresses = addresses,
            Change::Labels(labels) => endpoint.labels = labels,
            Change::Routes { routes, source_routes } => {
                endpoint.routes = routes;
                endpoint.source_routes = source_routes;
            }
            Change::Lease(leased) => leased.write(endpoint),
        }
    }
}
