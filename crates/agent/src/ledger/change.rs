//! What of a record may change while its endpoint lives.

use std::collections::BTreeSet;

use ipnet::IpNet;
use weft_model::{Endpoint, EndpointKey, Limits};

use super::journal::Event;

/// A part of a record, as it is to be from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// How fast the endpoint may be sent to, and may send.
    Limits(Limits),
    /// What it may send from besides its own addresses.
    Allowed(BTreeSet<IpNet>),
}

impl Change {
    /// The same part as `endpoint` has it: what takes the change back.
    pub fn undo(&self, endpoint: &Endpoint) -> Self {
        match self {
            Change::Limits(_) => Change::Limits(endpoint.limits),
            Change::Allowed(_) => Change::Allowed(endpoint.allowed_addresses.clone()),
        }
    }

    pub(super) fn event(&self, key: EndpointKey) -> Event {
        match self.clone() {
            Change::Limits(limits) => Event::Limits { key, limits },
            Change::Allowed(addresses) => Event::Allowed { key, addresses },
        }
    }

    pub(super) fn write(self, endpoint: &mut Endpoint) {
        match self {
            Change::Limits(limits) => endpoint.limits = limits,
            Change::Allowed(addresses) => endpoint.allowed_addresses = addresses,
        }
    }
}
