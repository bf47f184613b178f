//! veth: a pair of links, one on the host, one made directly inside the container's namespace.

use std::os::fd::BorrowedFd;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind,
    InfoVeth, LinkAttribute, LinkInfo, LinkMessage,
};
use weft_model::{IfName, MacAddr};

use super::{Change, GROUP_LIVE, create, kind, link_message, netns, set};
use crate::netlink::Request;

/// Queues per direction: a container's link needs one, and each more costs time at birth.
const QUEUES: u32 = 1;

/// A pair to be made. Both ends carry the same number, each in its own namespace.
#[derive(Debug)]
pub struct Veth<'a> {
    /// Number of both ends.
    pub index: u32,
    /// The host's end.
    pub host: &'a IfName,
    /// Its address.
    pub host_mac: MacAddr,
    /// The container's end.
    pub inside: &'a IfName,
    /// Its address.
    pub inside_mac: MacAddr,
    /// Bytes, both ends.
    pub mtu: u32,
    /// The bridge that the host's end becomes a port of.
    pub master: Option<u32>,
    /// The container's namespace.
    pub netns: BorrowedFd<'a>,
}

/// Makes the pair, both ends down: raising the peer in this message fails (ENOTCONN), and the way IPv6 addresses come
/// about must be set before the host's end is raised.
pub fn create_pair(veth: &Veth<'_>) -> Request {
    let mut peer = LinkMessage::default();
    peer.header.index = veth.index;
    peer.attributes = vec![
        LinkAttribute::IfName(veth.inside.to_string()),
        LinkAttribute::Address(veth.inside_mac.0.to_vec()),
        LinkAttribute::Mtu(veth.mtu),
        LinkAttribute::Group(GROUP_LIVE),
        LinkAttribute::NumTxQueues(QUEUES),
        LinkAttribute::NumRxQueues(QUEUES),
        netns(veth.netns),
    ];
    let mut message = link_message(veth.index, veth.host, Some(veth.host_mac), Some(veth.mtu));
    message.attributes.push(LinkAttribute::NumTxQueues(QUEUES));
    message.attributes.push(LinkAttribute::NumRxQueues(QUEUES));
    message.attributes.extend(veth.master.map(LinkAttribute::Controller));
    let data = LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer)));
    message.attributes.push(LinkAttribute::LinkInfo(vec![kind(InfoKind::Veth), data]));
    create(veth.host, message)
}

/// Settings of the host's end as a port of its bridge: the bridge learns nothing from it and floods no unknown unicast
/// to it, because weft has told the bridge who is there; an isolated port talks to no other isolated one.
/// Hairpin, because a container that asks for its own published port has its packets turned round within the bridge
/// where bridge-nf-call is on (`br_nf_pre_routing_finish`).
fn port(isolated: bool) -> Vec<LinkInfo> {
    let settings = vec![
        InfoBridgePort::Learning(false),
        InfoBridgePort::UnicastFlood(false),
        InfoBridgePort::Isolated(isolated),
        InfoBridgePort::HairpinMode(true),
    ];
    vec![LinkInfo::PortKind(InfoPortKind::Bridge), LinkInfo::PortData(InfoPortData::BridgePort(settings))]
}

/// Raises either end, without an IPv6 address of the kernel's choosing; as a port of a bridge, isolated or not, if
/// `port` says so. First the settings, while the link is down: on one that is up the kernel announces them as a change,
/// and each announcement walks the namespace's whole IPv6 routing table (`rt6_sync_down_dev`).
pub fn raise(index: u32, name: &str, port: Option<bool>) -> [Request; 2] {
    let mut message = LinkMessage::default();
    message.header.index = index;
    let inet6 = AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)]);
    message.attributes.push(LinkAttribute::AfSpecUnspec(vec![inet6]));
    message.attributes.extend(port.map(|isolated| LinkAttribute::LinkInfo(self::port(isolated))));
    // NEWLINK, not SETLINK: only that one takes the settings of a port.
    let settings = Request::new("set link", name, 0, RouteNetlinkMessage::NewLink(message));
    [settings, set(index, name, Change { up: Some(true), ..Change::default() })]
}

/// Makes the link a port of `bridge`.
pub fn enslave(index: u32, name: &str, bridge: u32) -> Request {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes.push(LinkAttribute::Controller(bridge));
    Request::new("enslave link", name, 0, RouteNetlinkMessage::SetLink(message))
}
