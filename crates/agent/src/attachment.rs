//! How a container joins its host: one file and one row per kind.
//!
//! A kind decides, it does not act: what an endpoint gets at its birth ([`Kind::endow`]), the link that follows from
//! its record ([`Kind::link`]), and what the network itself needs on the host ([`Kind::bridge`],
//! [`Kind::host_addresses`]).

mod bridge;
pub mod device;
mod host;
pub mod leased;
mod none;
pub mod parent;
pub mod place;
mod routed;

use std::net::IpAddr;

use ipnet::IpNet;
use weft_kernel::endpoint::LinkPlan;
use weft_model::{Attachment, Endpoint, Family, IfName, MacAddr, Network, Pool, Route, Transport, base32, fnv64};
use weft_netns::NetnsId;

use crate::graph::BridgePlan;

/// The two namespaces that an endpoint joins.
#[derive(Debug, Clone, Copy)]
pub struct Ground {
    /// The host's own.
    pub host: NetnsId,
    /// The container's.
    pub container: NetnsId,
}

/// One kind of attachment.
pub trait Kind: Sync {
    /// The row's key.
    fn attachment(&self) -> Attachment;

    /// Refuses a container that cannot be joined this way.
    fn admit(&self, ground: &Ground) -> Result<(), String>;

    /// Completes the record of an endpoint that got these addresses.
    fn endow(&self, network: &Network, chosen: &[(IpAddr, &Pool)], endpoint: &mut Endpoint);

    /// The link that the record asks for, given the number of the network's bridge where it has one.
    fn link(&self, endpoint: &Endpoint, bridge: Option<u32>) -> Option<LinkPlan>;

    /// The bridge that every endpoint of `network` is a port of.
    fn bridge(&self, _: &Network) -> Option<(IfName, BridgePlan)> {
        None
    }

    /// Next hops of an endpoint's default routes.
    fn gateways(&self, _: &Network) -> Vec<IpAddr> {
        Vec::new()
    }

    /// Addresses that are the host's, whichever link a packet to them comes by.
    fn host_addresses(&self, _: &Network) -> Vec<IpAddr> {
        Vec::new()
    }
}

/// Every kind.
pub const KINDS: &[&dyn Kind] = &[
    &bridge::Bridge,
    &routed::Routed,
    &parent::Seated(Attachment::Macvlan),
    &parent::Seated(Attachment::Ipvlan),
    &device::Device,
    &host::Host,
    &none::None,
];
const TRANSPORTS: &[Transport] = &[Transport::Local, Transport::None];

/// The row of `attachment`, if it is built.
pub fn kind(attachment: Attachment) -> Option<&'static dyn Kind> {
    KINDS.iter().copied().find(|kind| kind.attachment() == attachment)
}

/// The name of the bridge of an endpoint's network, where it has one.
pub fn bridge_name(endpoint: &Endpoint) -> Option<IfName> {
    (endpoint.attachment == Attachment::Bridge).then(|| bridge::link_name(&endpoint.network))
}

/// What this weft serves.
#[derive(Debug, Clone, Copy)]
pub struct Built;

impl weft_model::Availability for Built {
    fn attachment(&self, attachment: Attachment) -> Result<(), String> {
        let built: Vec<_> = KINDS.iter().map(|kind| kind.attachment().word()).collect();
        let refused = || format!("is not built yet in this weft: choose one of {}", built.join(", "));
        kind(attachment).map(drop).ok_or_else(refused)
    }

    fn transport(&self, transport: Transport) -> Result<(), String> {
        let refused = || "is not built yet in this weft: choose local, on a single host".to_owned();
        TRANSPORTS.contains(&transport).then_some(()).ok_or_else(refused)
    }
}

/// A container that joins by a link needs a namespace of its own.
fn admit_own_namespace(ground: &Ground) -> Result<(), String> {
    if ground.host == ground.container {
        Err("the container shares the host's namespace: give it one of its own, or use a network with mode host"
            .to_owned())
    } else {
        Ok(())
    }
}

/// What is left of an interface's 15 bytes behind a prefix of six.
const NAME_ROOM: usize = 9;

/// The prefix and the name, or a digest of it if that is too long for an interface's.
fn link_name(prefix: &str, name: &str) -> IfName {
    let short = if name.len() <= NAME_ROOM { name.to_owned() } else { base32(fnv64(&[name]), NAME_ROOM as u32) };
    IfName::parse(format!("{prefix}{short}")).expect("a name that is a link's, or letters and digits, behind a prefix")
}

/// Completes the record of an endpoint whose neighbours are in the subnets of the pools that its addresses are from.
fn endow_in_subnets(network: &Network, chosen: &[(IpAddr, &Pool)], endpoint: &mut Endpoint) {
    let with_length = |(ip, pool): &(IpAddr, &Pool)| IpNet::new(*ip, pool.subnet.prefix_len()).ok();
    endpoint.addresses = chosen.iter().filter_map(with_length).collect();
    endpoint.gateways = chosen.iter().filter_map(|(_, pool)| pool.gateway).collect();
    // Without a gateway there may be routes all the same, by the link.
    let own: Vec<_> = chosen.iter().map(|(ip, _)| *ip).collect();
    endpoint.routes = routes(network, if network.routes_by_link() { &own } else { &endpoint.gateways });
    endpoint.isolated = network.isolated;
}

/// Default routes by `gateways`, unless the network is internal: then routes to its own pools; and the network's
/// others.
fn routes(network: &Network, gateways: &[IpAddr]) -> Vec<Route> {
    let has_gateway = |net: &IpNet| gateways.iter().any(|gateway| gateway.is_ipv4() == net.addr().is_ipv4());
    let mut routes: Vec<Route> = if network.internal {
        network.pools.iter().map(|pool| Route { to: pool.subnet, via: None }).collect()
    } else {
        Family::ALL.into_iter().map(|family| Route { to: family.everything(), via: None }).collect()
    };
    routes.extend(network.routes.iter().cloned());
    routes.retain(|route| has_gateway(&route.to));
    routes
}

/// Some of the endpoint's routes, with their next hops; none where the destination is a neighbour, or all routes lead
/// to the link.
pub fn hops(endpoint: &Endpoint, routes: &[Route]) -> Vec<(IpNet, Option<IpAddr>)> {
    let on_link: Vec<IpNet> = parent::on_link(endpoint).collect();
    let hop = |route: &Route| {
        if on_link.contains(&route.to) || endpoint.routes_by_link() {
            return Some((route.to, None));
        }
        Some((route.to, Some(route.via.or_else(|| endpoint.gateway_towards(&route.to))?)))
    };
    routes.iter().filter_map(hop).collect()
}

/// The routes of what is sent from `ip`, an address of the endpoint's, with their next hops.
pub fn source_hops(endpoint: &Endpoint, ip: IpAddr) -> Vec<(IpNet, Option<IpAddr>)> {
    let of_family = |(to, _): &(IpNet, Option<IpAddr>)| to.addr().is_ipv4() == ip.is_ipv4();
    let own: Vec<_> = hops(endpoint, &endpoint.source_routes).into_iter().filter(of_family).collect();
    let usual = || hops(endpoint, &endpoint.routes).into_iter().filter(of_family).collect();
    let mut hops = if own.is_empty() { usual() } else { own };
    let neighbours = parent::on_link(endpoint).map(|net| (net, None)).filter(of_family);
    let missing: Vec<_> = neighbours.filter(|hop| !hops.contains(hop)).collect();
    hops.extend(missing);
    hops
}

/// The MAC address that was asked for, or the one of the first address.
fn mac_of(endpoint: &Endpoint, chosen: &[(IpAddr, &Pool)]) -> Option<MacAddr> {
    endpoint.mac.or_else(|| chosen.first().map(|(ip, _)| MacAddr::of_address(*ip)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attachment_is_served_or_refused_with_the_choice() {
        use weft_model::Availability as _;
        for attachment in Attachment::ALL {
            match Built.attachment(*attachment) {
                Ok(()) => assert!(kind(*attachment).is_some()),
                Err(reason) => {
                    assert!(reason.contains("bridge, routed, macvlan, ipvlan, device, host, none"), "{reason}")
                }
            }
        }
    }
}
