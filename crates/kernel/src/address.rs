//! Addresses on links.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::netlink::{KernelError, Netlink, Request};

/// Puts `address` on the link numbered `index`, without the route that its length implies: weft sets routes itself,
/// that to the link-local addresses of a segment aside. IPv6 addresses are usable at once, because the ledger already
/// knows that they are unique.
pub fn add(index: u32, address: IpNet) -> Request {
    let flags = NLM_F_CREATE | NLM_F_REPLACE;
    Request::new("add address", address.to_string(), flags, RouteNetlinkMessage::NewAddress(message(index, address)))
}

/// Takes `address` off the link.
pub fn delete(index: u32, address: IpNet) -> Request {
    let message = message(index, address);
    Request::new("delete address", address.to_string(), 0, RouteNetlinkMessage::DelAddress(message)).or_absent()
}

fn message(index: u32, address: IpNet) -> AddressMessage {
    let ip = address.addr();
    let mut message = AddressMessage::default();
    message.header.index = index;
    message.header.prefix_len = address.prefix_len();
    message.header.family = family(ip);
    message.header.scope = scope(ip);
    let on_link = ip.is_ipv6() && message.header.scope == AddressScope::Link && address.prefix_len() < 128;
    let mut flags = if on_link { AddressFlags::empty() } else { AddressFlags::Noprefixroute };
    message.attributes.push(AddressAttribute::Local(ip));
    if let IpNet::V4(net) = address {
        message.attributes.push(AddressAttribute::Address(ip));
        if net.prefix_len() < 31 {
            message.attributes.push(AddressAttribute::Broadcast(net.broadcast()));
        }
    } else {
        flags |= AddressFlags::Nodad;
        message.header.flags = AddressHeaderFlags::Nodad;
    }
    message.attributes.push(AddressAttribute::Flags(flags));
    message
}

fn scope(ip: IpAddr) -> AddressScope {
    let link_local = match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    if link_local { AddressScope::Link } else { AddressScope::Universe }
}

/// Every address of the socket's namespace, with the number of its link.
pub fn list(netlink: &mut Netlink) -> Result<Vec<(u32, IpNet)>, KernelError> {
    netlink.dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()), read)
}

/// The addresses of the link with this number.
pub fn list_of(netlink: &mut Netlink, index: u32) -> Result<Vec<(u32, IpNet)>, KernelError> {
    let mut query = AddressMessage::default();
    query.header.index = index;
    netlink.dump(RouteNetlinkMessage::GetAddress(query), read)
}

/// The addresses of the link with this number, and whether each is in use: not one that its neighbours are still asked
/// about, nor one that a neighbour has.
pub fn list_settled(netlink: &mut Netlink, index: u32) -> Result<Vec<(IpNet, bool)>, KernelError> {
    let mut query = AddressMessage::default();
    query.header.index = index;
    let found = netlink.dump(RouteNetlinkMessage::GetAddress(query), |message| {
        let RouteNetlinkMessage::NewAddress(address) = message else { return None };
        let unsettled = AddressHeaderFlags::Tentative | AddressHeaderFlags::Dadfailed;
        let (link, net) = read(message)?;
        (link == index).then_some((net, !address.header.flags.intersects(unsettled)))
    })?;
    Ok(found)
}

fn read(message: &RouteNetlinkMessage) -> Option<(u32, IpNet)> {
    let RouteNetlinkMessage::NewAddress(message) = message else { return None };
    let local = message.attributes.iter().find_map(|a| match a {
        AddressAttribute::Local(ip) => Some(*ip),
        _ => None,
    });
    let ip = local.or_else(|| {
        message.attributes.iter().find_map(|a| match a {
            AddressAttribute::Address(ip) => Some(*ip),
            _ => None,
        })
    })?;
    Some((message.header.index, IpNet::new(ip, message.header.prefix_len).ok()?))
}

pub(crate) fn family(ip: IpAddr) -> AddressFamily {
    if ip.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}
