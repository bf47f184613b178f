//! macvlan: a link inside a container's namespace, with an Ethernet address of its own on its parent's segment.

use std::os::fd::BorrowedFd;

use netlink_packet_route::link::{InfoData, InfoKind, InfoMacVlan, LinkAttribute, LinkInfo, MacVlanMode};

use super::{create, kind, link_message, netns};
use crate::netlink::Request;
use crate::upper::UpperPlan;

/// Makes the link, down. Always in the kernel's `vepa` mode: all that it sends leaves by the parent, where weft's
/// program is the switch, and nothing that the container does goes around that.
pub(crate) fn create_macvlan(plan: &UpperPlan, namespace: BorrowedFd<'_>) -> Request {
    let mut message = link_message(plan.interior.index, &plan.interior.name, plan.inside_mac, Some(plan.mtu));
    message.attributes.push(LinkAttribute::Link(plan.parent));
    message.attributes.push(netns(namespace));
    let data = LinkInfo::Data(InfoData::MacVlan(vec![InfoMacVlan::Mode(MacVlanMode::Vepa)]));
    message.attributes.push(LinkAttribute::LinkInfo(vec![kind(InfoKind::MacVlan), data]));
    create(&plan.interior.name, message)
}
