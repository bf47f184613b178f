//! `routed`: a veth of the container's own, and a host route to each of its addresses. No segment is shared.
//!
//! ```text
//!   eth0 10.1.0.5/32 ══ wefte… fe80::1 ── host's stack, 169.254.1.1
//! ```
//!
//! The IPv4 gateway is the host's by a route, once: on every link, its thousand copies would make each birth slower,
//! and the host would speak to containers from it instead of from an address of its own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use weft_kernel::endpoint::LinkPlan;
use weft_model::{Attachment, Endpoint, Family, MacAddr, Network, Pool};

use super::{Ground, Kind, admit_own_namespace, hops, mac_of, routes};

/// The host's address at the other end of every link.
const GATEWAY_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 1, 1));
const GATEWAY_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));

pub(super) struct Routed;

impl Kind for Routed {
    fn attachment(&self) -> Attachment {
        Attachment::Routed
    }

    fn admit(&self, ground: &Ground) -> Result<(), String> {
        admit_own_namespace(ground)
    }

    fn endow(&self, network: &Network, chosen: &[(IpAddr, &Pool)], endpoint: &mut Endpoint) {
        endpoint.mac = mac_of(endpoint, chosen);
        endpoint.addresses = chosen.iter().map(|(ip, _)| IpNet::from(*ip)).collect();
        endpoint.gateways = endpoint.addresses.iter().map(|net| gateway(Family::of_net(net))).collect();
        endpoint.routes = routes(network, &endpoint.gateways);
        endpoint.isolated = network.isolated;
    }

    fn link(&self, endpoint: &Endpoint, _: Option<u32>) -> Option<LinkPlan> {
        Some(LinkPlan {
            host: endpoint.key.host_link(),
            host_mac: MacAddr::GATEWAY,
            host_addresses: link_local(&endpoint.gateways),
            host_routes: endpoint.addresses.clone(),
            port: None,
            inside: endpoint.key.ifname.clone(),
            inside_mac: endpoint.mac?,
            addresses: endpoint.addresses.clone(),
            gateways: endpoint.gateways.iter().map(|gateway| (*gateway, MacAddr::GATEWAY)).collect(),
            routes: hops(endpoint, &endpoint.routes),
            mtu: endpoint.mtu,
            limits: endpoint.limits,
            throttle: endpoint.key.throttle_link(),
        })
    }

    fn gateways(&self, network: &Network) -> Vec<IpAddr> {
        network.families().map(gateway).collect()
    }

    fn host_addresses(&self, network: &Network) -> Vec<IpAddr> {
        network.families().filter(|family| *family == Family::IPv4).map(gateway).collect()
    }
}

/// Those of `gateways` that mean something on one link only, and so must be on each.
fn link_local(gateways: &[IpAddr]) -> Vec<IpNet> {
    gateways.iter().filter(|gateway| gateway.is_ipv6()).copied().map(IpNet::from).collect()
}

fn gateway(family: Family) -> IpAddr {
    match family {
        Family::IPv4 => GATEWAY_V4,
        Family::IPv6 => GATEWAY_V6,
    }
}
