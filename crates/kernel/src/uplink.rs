//! The link by which the host reaches the outside.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::link::Link;
use crate::route::{Hop, Route};
use crate::snapshot::Snapshot;

/// MTU of a network when the host has no uplink: Ethernet's.
pub const MTU_WITHOUT_UPLINK: u32 = 1500;

/// The link of the host's best default route, IPv4 before IPv6, or the one called `chosen`.
pub fn choose<'s>(snapshot: &'s Snapshot, chosen: Option<&str>) -> Option<&'s Link> {
    if let Some(name) = chosen {
        return snapshot.links.get(name);
    }
    let is_default = |route: &&Route| route.to.prefix_len() == 0 && route.is_usable;
    let best =
        snapshot.routes.iter().filter(is_default).min_by_key(|route| (route.to.addr().is_ipv6(), route.metric))?;
    match best.hop {
        Hop::Via(_, index) | Hop::Link(index) => snapshot.link(index),
        Hop::Unreachable | Hop::Host => None,
    }
}

/// Addresses of `link` that others may use, IPv4 first.
pub fn addresses(snapshot: &Snapshot, link: &Link) -> Vec<IpNet> {
    let usable = |ip: &IpAddr| match ip {
        IpAddr::V4(v4) => !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_unicast_link_local(),
    };
    let own = snapshot.addresses.iter().filter(|(index, _)| *index == link.index).map(|(_, net)| *net);
    let mut own: Vec<IpNet> = own.filter(|net| usable(&net.addr())).collect();
    own.sort();
    own
}
