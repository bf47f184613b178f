//! Links: the requests that make, change, read and delete them. One file per kind.

pub mod bridge;
pub mod ifb;
pub(crate) mod ipvlan;
pub mod veth;
pub mod vlan;

use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
pub use netlink_packet_route::link::InfoKind;
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, BridgePortState, In6AddrGenMode, InfoBridgePort, InfoPortData, LinkAttribute,
    LinkExtentMask, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, State,
};
use rustix::io::Errno;
use weft_model::{IfName, MacAddr};

use crate::netlink::{KernelError, Netlink, Request};

/// The device group of weft's live links: its mark on what it owns, as the names are (`weft` in ASCII).
pub const GROUP_LIVE: u32 = 0x7765_6674;
/// The group of links that wait for the reaper; deleted as one.
pub const GROUP_DEAD: u32 = GROUP_LIVE + 1;
/// What every name of a link made by weft begins with.
pub const NAME_PREFIX: &str = "weft";
/// What the names of links begin with that wait for the reaper, on the host and in containers.
pub const DEAD_PREFIX: &str = "weft-x";

/// The loopback link's number in every namespace (`LOOPBACK_IFINDEX`).
pub const LOOPBACK: u32 = 1;
/// How often [`wait_running`] asks, and how long it waits in between: 1 s in all, a thousand times the usual.
const RUNNING_ROUNDS_MAX: u32 = 10_000;
const RUNNING_ROUND: Duration = Duration::from_micros(100);

/// A link as the kernel has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// Its number in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Kind of virtual link (`veth`, `bridge`); empty for hardware.
    pub kind: String,
    /// Ethernet address, if it has one.
    pub mac: Option<MacAddr>,
    /// Bytes.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
    /// The bridge, or other link, that it is a port of.
    pub master: Option<u32>,
    /// Number of the link that it sits on.
    pub lower: Option<u32>,
    /// Of a VLAN's sub-interface, the number of the VLAN.
    pub vlan: Option<u16>,
    /// It is of Ethernet's kind, and no loopback.
    pub is_ethernet: bool,
    /// It takes in what is sent to any group.
    pub takes_all_groups: bool,
    /// It takes in what is sent to anybody.
    pub is_promiscuous: bool,
    /// Device group.
    pub group: u32,
    /// What the kernel calls the hardware behind it, such as its PCI address; virtual links have none.
    pub hardware: Option<String>,
    /// Packets pass: operationally up and, as a port of a bridge, forwarding.
    pub running: bool,
}

impl Link {
    /// Reads a link out of the kernel's message.
    pub(crate) fn from_message(message: &LinkMessage) -> Self {
        let mut link = Link {
            index: message.header.index,
            name: String::new(),
            kind: String::new(),
            mac: None,
            mtu: 0,
            up: message.header.flags.contains(LinkFlags::Up),
            master: None,
            lower: None,
            vlan: None,
            is_ethernet: message.header.link_layer_type == LinkLayerType::Ether,
            takes_all_groups: message.header.flags.contains(LinkFlags::Allmulti),
            is_promiscuous: message.header.flags.contains(LinkFlags::Promisc),
            group: 0,
            hardware: None,
            running: false,
        };
        let mut port_forwards = true;
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                LinkAttribute::Address(bytes) => link.mac = bytes.as_slice().try_into().ok().map(MacAddr),
                LinkAttribute::Controller(index) => link.master = Some(*index),
                LinkAttribute::Link(index) => link.lower = Some(*index),
                LinkAttribute::Group(group) => link.group = *group,
                LinkAttribute::ParentDevName(name) => link.hardware = Some(name.clone()),
                LinkAttribute::OperState(state) => link.running = *state == State::Up,
                LinkAttribute::LinkInfo(infos) => {
                    for info in infos {
                        match info {
                            LinkInfo::Kind(kind) => link.kind = kind.to_string(),
                            LinkInfo::Data(data) => link.vlan = vlan::number(data),
                            LinkInfo::PortData(InfoPortData::BridgePort(port)) => port_forwards = forwards(port),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        link.running &= port_forwards;
        link
    }

    /// Whether weft made it: its name and its group say so.
    pub fn is_ours(&self) -> bool {
        self.name.starts_with(NAME_PREFIX) && (self.group == GROUP_LIVE || self.group == GROUP_DEAD)
    }
}

fn forwards(port: &[InfoBridgePort]) -> bool {
    port.iter().any(|setting| matches!(setting, InfoBridgePort::State(BridgePortState::Forwarding)))
}

/// Every link of the socket's namespace.
pub fn list(netlink: &mut Netlink) -> Result<Vec<Link>, KernelError> {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    netlink.dump(RouteNetlinkMessage::GetLink(message), link_of)
}

/// The link called `name`, if there is one.
pub fn find(netlink: &mut Netlink, name: &str) -> Result<Option<Link>, KernelError> {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    get(netlink, message, name)
}

/// The link numbered `index`, if there is one.
pub fn find_index(netlink: &mut Netlink, index: u32) -> Result<Option<Link>, KernelError> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    get(netlink, message, &index.to_string())
}

fn get(netlink: &mut Netlink, mut message: LinkMessage, what: &str) -> Result<Option<Link>, KernelError> {
    message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    let found = netlink.get(RouteNetlinkMessage::GetLink(message)).map_err(|mut error| {
        error.subject.object = format!("link {what}");
        error
    })?;
    Ok(found.as_ref().and_then(link_of))
}

/// Waits until packets pass the link. A veth end gets its carrier by a work queue of the kernel
/// (net/core/link_watch.c), and before that it drops what is sent; since Linux 6.8 the question itself runs that work.
pub fn wait_running(netlink: &mut Netlink, name: &str) -> Result<(), KernelError> {
    for _ in 0..RUNNING_ROUNDS_MAX {
        match find(netlink, name)? {
            Some(link) if link.running => return Ok(()),
            Some(_) => std::thread::sleep(RUNNING_ROUND),
            None => return Err(KernelError::new("wait for link", name, Errno::NODEV)),
        }
    }
    Err(KernelError::new("wait for link", name, Errno::TIMEDOUT))
}

fn link_of(message: &RouteNetlinkMessage) -> Option<Link> {
    match message {
        RouteNetlinkMessage::NewLink(message) => Some(Link::from_message(message)),
        _ => None,
    }
}

/// What a change does to a link; `None` leaves a property as it is.
#[derive(Debug, Default)]
pub struct Change {
    /// Up or down.
    pub up: Option<bool>,
    /// Another name.
    pub name: Option<IfName>,
    /// Another group.
    pub group: Option<u32>,
    /// Another MTU, in bytes.
    pub mtu: Option<u32>,
    /// Another Ethernet address.
    pub mac: Option<MacAddr>,
    /// Take in what is sent to any group, or to groups that are asked for only.
    pub takes_all_groups: Option<bool>,
    /// Take in what is sent to anybody, or not.
    pub is_promiscuous: Option<bool>,
    /// No IPv6 link-local address by itself: weft sets one, without duplicate address detection.
    pub no_automatic_address: bool,
}

/// Changes the link numbered `index`; `name` is for the error message.
pub fn set(index: u32, name: &str, change: Change) -> Request {
    let mut message = LinkMessage::default();
    message.header.index = index;
    let flags = [
        (LinkFlags::Up, change.up),
        (LinkFlags::Allmulti, change.takes_all_groups),
        (LinkFlags::Promisc, change.is_promiscuous),
    ];
    for (flag, wanted) in flags {
        if let Some(is_on) = wanted {
            message.header.change_mask |= flag;
            message.header.flags.set(flag, is_on);
        }
    }
    message.attributes.extend(change.name.map(|name| LinkAttribute::IfName(name.into())));
    message.attributes.extend(change.group.map(LinkAttribute::Group));
    message.attributes.extend(change.mtu.map(LinkAttribute::Mtu));
    message.attributes.extend(change.mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
    if change.no_automatic_address {
        let inet6 = AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)]);
        message.attributes.push(LinkAttribute::AfSpecUnspec(vec![inet6]));
    }
    Request::new("set link", name, 0, RouteNetlinkMessage::SetLink(message))
}

/// Deletes the link numbered `index`. The kernel takes some 16 ms to answer.
pub fn delete(index: u32, name: &str) -> Request {
    let mut message = LinkMessage::default();
    message.header.index = index;
    Request::new("delete link", name, 0, RouteNetlinkMessage::DelLink(message)).or_absent()
}

/// Deletes every link of `group`: hardly dearer than one.
pub fn delete_group(group: u32) -> Request {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::Group(group));
    Request::new("delete links of", format!("group {group}"), 0, RouteNetlinkMessage::DelLink(message)).or_absent()
}

/// The name a dead link waits under: `index` keeps it unique in its namespace.
pub fn dead_name(index: u32) -> IfName {
    IfName::parse(format!("{DEAD_PREFIX}{index:x}")).expect("six bytes and at most eight hex digits")
}

/// Takes the link down and gives its name free, in 0.3 ms instead of the 16 of a deletion. Two requests, because
/// kernels before 6.2 do not rename a link that is up.
pub fn bury(index: u32, name: &str) -> [Request; 2] {
    let down = set(index, name, Change { up: Some(false), ..Change::default() });
    let rename = Change { name: Some(dead_name(index)), group: Some(GROUP_DEAD), ..Change::default() };
    [down.or_absent(), set(index, name, rename).or_absent()]
}

/// The message that makes a link of `kind`; `index` must be free in the namespace. Without Ethernet address or MTU it
/// has those of the link that it sits on.
fn link_message(index: u32, name: &IfName, mac: Option<MacAddr>, mtu: Option<u32>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes = vec![LinkAttribute::IfName(name.to_string()), LinkAttribute::Group(GROUP_LIVE)];
    message.attributes.extend(mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
    message.attributes.extend(mtu.map(LinkAttribute::Mtu));
    message
}

fn create(name: &IfName, message: LinkMessage) -> Request {
    let flags = NLM_F_CREATE | NLM_F_EXCL;
    Request::new("create link", name.as_str(), flags, RouteNetlinkMessage::NewLink(message))
}

fn kind(kind: InfoKind) -> LinkInfo {
    LinkInfo::Kind(kind)
}

fn netns(fd: BorrowedFd<'_>) -> LinkAttribute {
    LinkAttribute::NetNsFd(fd.as_raw_fd())
}

/// The kinds of links that weft makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkKind {
    /// A pair of links.
    Veth,
    /// A switch.
    Bridge,
    /// What gives packets back to the link that they came by.
    Ifb,
    /// With the Ethernet address of another link.
    Ipvlan,
    /// What is tagged on another link.
    Vlan,
}

impl LinkKind {
    /// Every kind.
    pub const ALL: &[LinkKind] = &[LinkKind::Veth, LinkKind::Bridge, LinkKind::Ifb, LinkKind::Ipvlan, LinkKind::Vlan];

    /// The option by which a kernel is built with it.
    pub fn option(self) -> &'static str {
        match self {
            LinkKind::Veth => "CONFIG_VETH",
            LinkKind::Bridge => "CONFIG_BRIDGE",
            LinkKind::Ifb => "CONFIG_IFB",
            LinkKind::Ipvlan => "CONFIG_IPVLAN",
            LinkKind::Vlan => "CONFIG_VLAN_8021Q",
        }
    }

    /// The module that brings it.
    pub fn module(self) -> &'static str {
        match self {
            LinkKind::Veth => "veth",
            LinkKind::Bridge => "bridge",
            LinkKind::Ifb => "ifb",
            LinkKind::Ipvlan => "ipvlan",
            LinkKind::Vlan => "8021q",
        }
    }

    fn info(self) -> InfoKind {
        match self {
            LinkKind::Veth => InfoKind::Veth,
            LinkKind::Bridge => InfoKind::Bridge,
            LinkKind::Ifb => InfoKind::Ifb,
            LinkKind::Ipvlan => InfoKind::IpVlan,
            LinkKind::Vlan => InfoKind::Vlan,
        }
    }
}

/// Whether the kernel can make links of this kind: asks it to, wrongly on purpose. Without the module it answers
/// that it knows no such kind; with it, that the request is faulty.
pub fn is_supported(netlink: &mut Netlink, kind: LinkKind) -> Result<bool, KernelError> {
    let mut message = LinkMessage::default();
    // A name that no link may have: nothing can come of this.
    let info = LinkAttribute::LinkInfo(vec![self::kind(kind.info())]);
    message.attributes = vec![LinkAttribute::IfName("a/b".to_owned()), info];
    let request = Request::new("probe", "link kind", NLM_F_CREATE | NLM_F_EXCL, RouteNetlinkMessage::NewLink(message));
    match netlink.run(&[request]) {
        Err(error) if error.errno == Errno::OPNOTSUPP => Ok(false),
        Err(error) if error.errno == Errno::INVAL => Ok(true),
        Err(error) => Err(error),
        Ok(()) => Ok(true),
    }
}
