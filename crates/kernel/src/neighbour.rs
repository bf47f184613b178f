//! Permanent neighbours and forwarding entries of bridges.
//!
//! Permanent, because they are exempt from the limit of 1,024 learned entries that all namespaces of a kernel share
//! (`gc_thresh3`), and because nobody then waits for an ARP or ND answer.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use weft_model::MacAddr;

use crate::address::family;
use crate::netlink::{KernelError, Netlink, Request};

/// A permanent neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Neighbour {
    /// Number of the link it is reached on.
    pub index: u32,
    /// Its address.
    pub ip: IpAddr,
    /// Its Ethernet address.
    pub mac: MacAddr,
}

/// Sets a permanent neighbour.
pub fn set(neighbour: Neighbour) -> Request {
    let flags = NLM_F_CREATE | NLM_F_REPLACE;
    let message = RouteNetlinkMessage::NewNeighbour(message(neighbour));
    Request::new("set neighbour", neighbour.ip.to_string(), flags, message)
}

/// Deletes a neighbour.
pub fn delete(neighbour: Neighbour) -> Request {
    let message = RouteNetlinkMessage::DelNeighbour(message(neighbour));
    Request::new("delete neighbour", neighbour.ip.to_string(), 0, message).or_absent()
}

fn message(neighbour: Neighbour) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family(neighbour.ip);
    message.header.ifindex = neighbour.index;
    message.header.state = NeighbourState::Permanent;
    message.attributes.push(NeighbourAttribute::Destination(neighbour.ip.into()));
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(neighbour.mac.0.to_vec()));
    message
}

/// Tells the bridge that `mac` is behind its port numbered `port`, for good.
pub fn set_forwarding(port: u32, mac: MacAddr) -> Request {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.header.ifindex = port;
    message.header.state = NeighbourState::Noarp;
    message.header.flags = NeighbourFlags::Controller;
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()));
    let flags = NLM_F_CREATE | NLM_F_REPLACE;
    Request::new("set forwarding entry", mac.to_string(), flags, RouteNetlinkMessage::NewNeighbour(message))
}

/// Has the link numbered `index` take in frames to `mac` besides those to its own address, as each device that sits on
/// it would have it (`ndo_dflt_fdb_add` in net/core/rtnetlink.c).
pub fn take_in(index: u32, mac: MacAddr) -> Request {
    let message = RouteNetlinkMessage::NewNeighbour(filter(index, mac));
    // It may be there already: then it is not added once more.
    Request::new("take in frames to", mac.to_string(), NLM_F_CREATE, message).or_present()
}

/// Takes that back.
pub fn leave_out(index: u32, mac: MacAddr) -> Request {
    Request::new("leave out frames to", mac.to_string(), 0, RouteNetlinkMessage::DelNeighbour(filter(index, mac)))
        .or_absent()
}

fn filter(index: u32, mac: MacAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.header.ifindex = index;
    message.header.state = NeighbourState::Permanent;
    message.header.flags = NeighbourFlags::Own;
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()));
    message
}

/// What the link with this number takes in besides frames to its own address.
pub fn list_taken_in(netlink: &mut Netlink, index: u32) -> Result<Vec<MacAddr>, KernelError> {
    let mut query = NeighbourMessage::default();
    query.header.family = AddressFamily::Bridge;
    query.header.ifindex = index;
    netlink.dump(RouteNetlinkMessage::GetNeighbour(query), |message| {
        let RouteNetlinkMessage::NewNeighbour(message) = message else { return None };
        let is_filter = message.header.ifindex == index && message.header.flags.contains(NeighbourFlags::Own);
        let mac = message.attributes.iter().find_map(|attribute| match attribute {
            NeighbourAttribute::LinkLayerAddress(bytes) => bytes.as_slice().try_into().ok().map(MacAddr),
            _ => None,
        });
        mac.filter(|mac| is_filter && mac.0[0] & 1 == 0)
    })
}

/// Every permanent neighbour of the socket's namespace.
pub fn list(netlink: &mut Netlink) -> Result<Vec<Neighbour>, KernelError> {
    let mut neighbours = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut query = NeighbourMessage::default();
        query.header.family = family;
        neighbours.extend(netlink.dump(RouteNetlinkMessage::GetNeighbour(query), read)?);
    }
    Ok(neighbours)
}

/// The permanent neighbour with this address on the link with this number.
pub fn find(netlink: &mut Netlink, index: u32, ip: IpAddr) -> Result<Option<Neighbour>, KernelError> {
    let mut query = NeighbourMessage::default();
    query.header.family = family(ip);
    query.header.ifindex = index;
    query.attributes.push(NeighbourAttribute::Destination(ip.into()));
    let found = netlink.get(RouteNetlinkMessage::GetNeighbour(query))?;
    Ok(found.as_ref().and_then(read))
}

fn read(message: &RouteNetlinkMessage) -> Option<Neighbour> {
    let RouteNetlinkMessage::NewNeighbour(message) = message else { return None };
    if message.header.state != NeighbourState::Permanent {
        return None;
    }
    let (mut ip, mut mac) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => ip = Some(IpAddr::V4(*v4)),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => ip = Some(IpAddr::V6(*v6)),
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = bytes.as_slice().try_into().ok().map(MacAddr),
            _ => {}
        }
    }
    Some(Neighbour { index: message.header.ifindex, ip: ip?, mac: mac? })
}

/// Static forwarding entries of every bridge: number of the port, address behind it.
pub fn list_forwarding(netlink: &mut Netlink) -> Result<Vec<(u32, MacAddr)>, KernelError> {
    let mut query = NeighbourMessage::default();
    query.header.family = AddressFamily::Bridge;
    netlink.dump(RouteNetlinkMessage::GetNeighbour(query), read_forwarding)
}

/// Whether the bridge knows for good that `mac` is behind its port numbered `port`.
pub fn has_forwarding(netlink: &mut Netlink, port: u32, mac: MacAddr) -> Result<bool, KernelError> {
    let mut query = NeighbourMessage::default();
    query.header.family = AddressFamily::Bridge;
    query.header.ifindex = port;
    query.header.flags = NeighbourFlags::Controller;
    query.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()));
    let found = netlink.get(RouteNetlinkMessage::GetNeighbour(query))?;
    Ok(found.as_ref().and_then(read_forwarding) == Some((port, mac)))
}

fn read_forwarding(message: &RouteNetlinkMessage) -> Option<(u32, MacAddr)> {
    let RouteNetlinkMessage::NewNeighbour(message) = message else { return None };
    let is_static = message.header.state == NeighbourState::Noarp;
    let mac = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::LinkLayerAddress(bytes) => bytes.as_slice().try_into().ok().map(MacAddr),
        _ => None,
    })?;
    is_static.then_some((message.header.ifindex, mac))
}
