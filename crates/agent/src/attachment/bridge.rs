//! `bridge`: a veth whose host end is a port of the network's own Linux bridge.
//!
//! ```text
//!   eth0 10.1.0.5/24 ══ wefte… ─┐
//!   eth0 10.1.0.6/24 ══ wefte… ─┴─ weftb-app 10.1.0.1, fd64::1 ── host's stack
//! ```
//!
//! Broadcast and multicast stay on the segment. Unicast goes by the gateway, also between endpoints: a container then
//! knows one neighbour, and the limit of 1,024 learned neighbours in all namespaces together is never met.

use std::net::IpAddr;

use ipnet::IpNet;
use weft_kernel::endpoint::{LinkPlan, Port};
use weft_model::{Attachment, Endpoint, IfName, MacAddr, Network, NetworkName, Pool};

use super::{Ground, Kind, admit_own_namespace, endow_in_subnets, hops, mac_of};
use crate::graph::BridgePlan;

const NAME_PREFIX: &str = "weftb-";

pub(super) struct Bridge;

impl Kind for Bridge {
    fn attachment(&self) -> Attachment {
        Attachment::Bridge
    }

    fn admit(&self, ground: &Ground) -> Result<(), String> {
        admit_own_namespace(ground)
    }

    fn endow(&self, network: &Network, chosen: &[(IpAddr, &Pool)], endpoint: &mut Endpoint) {
        endpoint.mac = mac_of(endpoint, chosen);
        endow_in_subnets(network, chosen, endpoint);
    }

    fn link(&self, endpoint: &Endpoint, bridge: Option<u32>) -> Option<LinkPlan> {
        let bridge_mac = link_mac(&endpoint.network);
        let key = &endpoint.key;
        Some(LinkPlan {
            host: key.host_link(),
            host_mac: MacAddr::derived(&["port", key.container.as_str(), key.ifname.as_str()]),
            host_addresses: Vec::new(),
            host_routes: endpoint.addresses.iter().map(|net| IpNet::from(net.addr())).collect(),
            port: Some(Port { bridge: bridge?, isolated: endpoint.isolated }),
            inside: key.ifname.clone(),
            inside_mac: endpoint.mac?,
            addresses: endpoint.addresses.clone(),
            gateways: endpoint.gateways.iter().map(|gateway| (*gateway, bridge_mac)).collect(),
            routes: hops(endpoint, &endpoint.routes),
            mtu: endpoint.mtu,
            limits: endpoint.limits,
            throttle: endpoint.key.throttle_link(),
        })
    }

    fn gateways(&self, network: &Network) -> Vec<IpAddr> {
        network.pools.iter().filter_map(|pool| pool.gateway).collect()
    }

    fn bridge(&self, network: &Network) -> Option<(IfName, BridgePlan)> {
        let with_length = |pool: &Pool| IpNet::new(pool.gateway?, pool.subnet.prefix_len()).ok();
        let addresses = network.pools.iter().filter_map(with_length).collect();
        Some((link_name(&network.name), BridgePlan { mac: link_mac(&network.name), addresses }))
    }
}

/// `weftb-NAME`, or a digest of the name if it is too long for an interface's.
pub(super) fn link_name(network: &NetworkName) -> IfName {
    super::link_name(NAME_PREFIX, network.as_str())
}

fn link_mac(network: &NetworkName) -> MacAddr {
    MacAddr::derived(&["bridge", network.as_str()])
}
