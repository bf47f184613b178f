//! ipvlan: a link inside a container's namespace that shares its parent's Ethernet address, and is known by its IP
//! addresses.

use std::os::fd::BorrowedFd;

use netlink_packet_route::link::{InfoData, InfoIpVlan, InfoKind, IpVlanFlags, IpVlanMode, LinkAttribute, LinkInfo};

use super::{create, kind, link_message, netns};
use weft_model::IpvlanMode;

use crate::netlink::Request;
use crate::upper::UpperPlan;

/// Makes the link, down. Always with the kernel's flag `vepa`: all that it sends leaves by the parent, where weft's
/// program is the switch.
pub(crate) fn create_ipvlan(plan: &UpperPlan, namespace: BorrowedFd<'_>) -> Request {
    let mut message = link_message(plan.interior.index, &plan.interior.name, None, Some(plan.mtu));
    message.attributes.push(LinkAttribute::Link(plan.parent));
    message.attributes.push(netns(namespace));
    let mode = match plan.mode {
        IpvlanMode::L2 => IpVlanMode::L2,
        IpvlanMode::L3 => IpVlanMode::L3,
        IpvlanMode::L3s => IpVlanMode::L3S,
    };
    let data = vec![InfoIpVlan::Mode(mode), InfoIpVlan::Flags(IpVlanFlags::Vepa)];
    let data = LinkInfo::Data(InfoData::IpVlan(data));
    message.attributes.push(LinkAttribute::LinkInfo(vec![kind(InfoKind::IpVlan), data]));
    create(&plan.interior.name, message)
}
