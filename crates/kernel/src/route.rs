//! Routes of the main table, and weft's own of the local one.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use rustix::io::Errno;

use crate::address::family;
use crate::link::LOOPBACK;
use crate::netlink::{KernelError, Netlink, Request};

/// Routing protocol number of every route that weft sets on a host: its mark. Not assigned in iproute2's rt_protos.
pub const PROTOCOL: u8 = 119;
/// Routes learned from router advertisements (RTPROT_RA).
pub const PROTOCOL_RA: u8 = 9;
/// Metric of the routes that keep a pool's unused addresses on the host: worse than any other.
const UNREACHABLE_METRIC: u32 = u32::MAX - 1;

/// All of multicast (RFC 4291, section 2.7).
const IPV6_MULTICAST: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8);
/// RT_TABLE_LOCAL of include/uapi/linux/rtnetlink.h.
const TABLE_LOCAL: u8 = 255;
/// Seconds until a stand-in is gone: a thousand times what the kernel needs for its own route.
const LOCAL_ROUTE_S: u32 = 10;

/// Where a route leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hop {
    /// The destination is at the other end of the link with this number.
    Link(u32),
    /// By way of a neighbour on that link, whether or not a route leads to the neighbour.
    Via(IpAddr, u32),
    /// Nowhere: the sender is told so.
    Unreachable,
    /// To the host itself, whatever link it comes in by: as if the address were on one of them.
    Host,
}

impl Hop {
    /// By way of a neighbour on the link with this number, or to the destination itself there.
    pub fn by(via: Option<IpAddr>, link: u32) -> Self {
        via.map_or(Hop::Link(link), |via| Hop::Via(via, link))
    }
}

/// A route as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// Destination.
    pub to: IpNet,
    /// Where it leads.
    pub hop: Hop,
    /// Metric; lower is better.
    pub metric: u32,
    /// Who set it: [`PROTOCOL`] for weft.
    pub protocol: u8,
    /// Kind `unicast`, or an unreachable one.
    pub is_usable: bool,
}

/// Sets a route, replacing one to the same destination.
pub fn set(to: IpNet, hop: Hop) -> Request {
    let flags = NLM_F_CREATE | NLM_F_REPLACE;
    Request::new("set route", to.to_string(), flags, RouteNetlinkMessage::NewRoute(message(to, hop)))
}

/// Sets a route of another table than the main one; its number must be above 255.
pub fn set_in(table: u32, to: IpNet, hop: Hop) -> Request {
    let message = in_table(table, to, hop);
    let flags = NLM_F_CREATE | NLM_F_REPLACE;
    let object = format!("{to} of table {table}");
    Request::new("set route", object, flags, RouteNetlinkMessage::NewRoute(message))
}

/// Deletes such a route.
pub fn delete_in(table: u32, to: IpNet, hop: Hop) -> Request {
    let message = in_table(table, to, hop);
    let object = format!("{to} of table {table}");
    Request::new("delete route", object, 0, RouteNetlinkMessage::DelRoute(message)).or_absent()
}

fn in_table(table: u32, to: IpNet, hop: Hop) -> RouteMessage {
    let mut message = message(to, hop);
    message.header.table = RouteHeader::RT_TABLE_UNSPEC;
    message.attributes.push(RouteAttribute::Table(table));
    message
}

/// Lets the link receive for `ip` at once. The kernel adds such a route for every address, but for IPv6 by a work queue
/// that waits for the routing lock (`addrconf_dad_start` in net/ipv6/addrconf.c), and until then drops what comes in.
/// This one stands in for it and expires.
pub fn set_local(ip: IpAddr, index: u32) -> Request {
    let mut message = message(IpNet::from(ip), Hop::Link(index));
    message.header.table = TABLE_LOCAL;
    message.header.kind = RouteType::Local;
    message.header.scope = RouteScope::Host;
    message.attributes.push(RouteAttribute::Expires(LOCAL_ROUTE_S));
    let flags = NLM_F_CREATE | NLM_F_REPLACE;
    Request::new("set local route", ip.to_string(), flags, RouteNetlinkMessage::NewRoute(message))
}

/// Deletes such a route.
pub fn delete(to: IpNet, hop: Hop) -> Request {
    Request::new("delete route", to.to_string(), 0, RouteNetlinkMessage::DelRoute(message(to, hop))).or_absent()
}

/// Deletes the route for IPv6 multicast that the kernel gives every link when it comes up or is given an address. The
/// host sends none to a container but what its stack sends without a route (ND, MLD), and with thousands of links each
/// birth would walk all of these routes, three times over.
pub fn delete_multicast(index: u32) -> Request {
    let to = IpNet::V6(IPV6_MULTICAST);
    let mut message = message(to, Hop::Link(index));
    message.header.table = TABLE_LOCAL;
    message.header.kind = RouteType::Multicast;
    message.header.protocol = RouteProtocol::Unspec;
    Request::new("delete route", to.to_string(), 0, RouteNetlinkMessage::DelRoute(message)).or_absent()
}

fn message(to: IpNet, hop: Hop) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(to.addr());
    message.header.destination_prefix_length = to.prefix_len();
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::from(PROTOCOL);
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    if to.prefix_len() > 0 {
        message.attributes.push(RouteAttribute::Destination(to.addr().into()));
    }
    match hop {
        Hop::Link(index) => {
            if to.addr().is_ipv4() {
                message.header.scope = RouteScope::Link;
            }
            message.attributes.push(RouteAttribute::Oif(index));
        }
        Hop::Via(gateway, index) => {
            message.header.flags = RouteFlags::Onlink;
            message.attributes.push(RouteAttribute::Gateway(gateway.into()));
            message.attributes.push(RouteAttribute::Oif(index));
        }
        Hop::Unreachable => {
            message.header.kind = RouteType::Unreachable;
            message.attributes.push(RouteAttribute::Priority(UNREACHABLE_METRIC));
        }
        Hop::Host => {
            message.header.table = TABLE_LOCAL;
            message.header.kind = RouteType::Local;
            message.header.scope = RouteScope::Host;
            message.attributes.push(RouteAttribute::Oif(LOOPBACK));
        }
    }
    message
}

/// Every route of the main table in the socket's namespace, and weft's own of the local table.
pub fn list(netlink: &mut Netlink) -> Result<Vec<Route>, KernelError> {
    let mut routes = Vec::new();
    for any in [IpAddr::from([0, 0, 0, 0]), IpAddr::from([0u16; 8])] {
        let mut query = RouteMessage::default();
        query.header.address_family = family(any);
        query.header.table = RouteHeader::RT_TABLE_MAIN;
        routes.extend(netlink.dump(RouteNetlinkMessage::GetRoute(query.clone()), |message| read(message, any))?);
        query.header.table = TABLE_LOCAL;
        query.header.protocol = RouteProtocol::from(PROTOCOL);
        routes.extend(netlink.dump(RouteNetlinkMessage::GetRoute(query), |message| read(message, any))?);
    }
    Ok(routes)
}

/// A route of any table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableRoute {
    /// Its table.
    pub table: u32,
    /// Destination.
    pub to: IpNet,
    /// The link by which it leads there.
    pub link: u32,
}

/// Every usable route of every table in the socket's namespace.
pub fn list_all(netlink: &mut Netlink) -> Result<Vec<TableRoute>, KernelError> {
    let mut routes = Vec::new();
    for any in [IpAddr::from([0, 0, 0, 0]), IpAddr::from([0u16; 8])] {
        let mut query = RouteMessage::default();
        query.header.address_family = family(any);
        let usable = |message: &_| read_any(message, any).filter(|(_, is_usable)| *is_usable).map(|(route, _)| route);
        routes.extend(netlink.dump(RouteNetlinkMessage::GetRoute(query), usable)?);
    }
    Ok(routes)
}

/// Where IPv6 routes of a table lead, which must not be the main one.
pub fn list_in(netlink: &mut Netlink, table: u32) -> Result<Vec<(IpNet, Hop)>, KernelError> {
    let any = IpAddr::from([0u16; 8]);
    let mut query = RouteMessage::default();
    query.header.address_family = family(any);
    netlink.dump(RouteNetlinkMessage::GetRoute(query), |message| {
        let (found, is_usable) = read_any(message, any).filter(|(route, _)| route.table == table)?;
        Some((found.to, if is_usable { Hop::Link(found.link) } else { Hop::Unreachable }))
    })
}

/// A route that names a link, and whether it is of kind `unicast`.
fn read_any(message: &RouteNetlinkMessage, any: IpAddr) -> Option<(TableRoute, bool)> {
    let RouteNetlinkMessage::NewRoute(message) = message else { return None };
    let (mut to, mut link, mut table) = (any, None, u32::from(message.header.table));
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => to = ip(address)?,
            RouteAttribute::Oif(oif) => link = Some(*oif),
            RouteAttribute::Table(number) => table = *number,
            _ => {}
        }
    }
    let to = IpNet::new(to, message.header.destination_prefix_length).ok()?;
    Some((TableRoute { table, to, link: link? }, message.header.kind == RouteType::Unicast))
}

/// The route that packets to `ip` take; `None` if there is none, or one that refuses them.
pub fn find(netlink: &mut Netlink, ip: IpAddr) -> Result<Option<Route>, KernelError> {
    let to = IpNet::from(ip);
    let mut query = RouteMessage::default();
    query.header.address_family = family(ip);
    query.header.destination_prefix_length = to.prefix_len();
    query.header.flags = RouteFlags::FibMatch;
    query.attributes.push(RouteAttribute::Destination(ip.into()));
    match netlink.get(RouteNetlinkMessage::GetRoute(query)) {
        Ok(found) => Ok(found.and_then(|message| read(&message, ip))),
        Err(error) if matches!(error.errno, Errno::NETUNREACH | Errno::HOSTUNREACH) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where packets end up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Towards {
    /// They leave by the link with this number.
    Link(u32),
    /// At the host itself.
    Host,
    /// Nowhere.
    Nowhere,
}

/// Where the host's routes of all tables send packets to `ip`.
pub fn towards(netlink: &mut Netlink, ip: IpAddr) -> Result<Towards, KernelError> {
    let to = IpNet::from(ip);
    let mut query = RouteMessage::default();
    query.header.address_family = family(ip);
    query.header.destination_prefix_length = to.prefix_len();
    query.attributes.push(RouteAttribute::Destination(ip.into()));
    let found = match netlink.get(RouteNetlinkMessage::GetRoute(query)) {
        Err(error) if matches!(error.errno, Errno::NETUNREACH | Errno::HOSTUNREACH) => None,
        other => other?,
    };
    let Some(RouteNetlinkMessage::NewRoute(message)) = found else { return Ok(Towards::Nowhere) };
    let link = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    });
    Ok(match (message.header.kind, link) {
        (RouteType::Local, _) => Towards::Host,
        (RouteType::Unicast, Some(link)) => Towards::Link(link),
        _ => Towards::Nowhere,
    })
}

fn read(message: &RouteNetlinkMessage, any: IpAddr) -> Option<Route> {
    let RouteNetlinkMessage::NewRoute(message) = message else { return None };
    let (mut to, mut gateway, mut index, mut metric, mut table) = (any, None, None, 0, u32::from(message.header.table));
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => to = ip(address)?,
            RouteAttribute::Gateway(address) => gateway = ip(address),
            RouteAttribute::Oif(oif) => index = Some(*oif),
            RouteAttribute::Priority(priority) => metric = *priority,
            RouteAttribute::Table(number) => table = *number,
            _ => {}
        }
    }
    let is_main = table == u32::from(RouteHeader::RT_TABLE_MAIN);
    let is_host = index == Some(LOOPBACK) && message.header.kind == RouteType::Local;
    if !is_main && !is_host {
        return None;
    }
    let to = IpNet::new(to, message.header.destination_prefix_length).ok()?;
    let is_usable = message.header.kind == RouteType::Unicast;
    let hop = match (index, gateway) {
        _ if is_host => Hop::Host,
        (Some(index), Some(gateway)) if is_usable => Hop::Via(gateway, index),
        (Some(index), None) if is_usable => Hop::Link(index),
        _ => Hop::Unreachable,
    };
    Some(Route { to, hop, metric, protocol: message.header.protocol.into(), is_usable })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}
