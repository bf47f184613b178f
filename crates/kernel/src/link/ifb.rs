//! ifb: a link that gives every packet sent to it back to the link that it came by, behind its filters (ifb(4)). What
//! happens in between is its queueing discipline's.

use netlink_packet_route::link::{InfoKind, LinkAttribute};
use weft_model::{IfName, MacAddr};

use super::{create, kind, link_message};
use crate::netlink::Request;

/// Queues: one, so that one bucket is filled for all.
const QUEUES: u32 = 1;

/// Makes an ifb, down.
pub fn create_ifb(index: u32, name: &IfName, mac: MacAddr, mtu: u32) -> Request {
    let mut message = link_message(index, name, Some(mac), Some(mtu));
    message.attributes.push(LinkAttribute::NumTxQueues(QUEUES));
    message.attributes.push(LinkAttribute::NumRxQueues(QUEUES));
    message.attributes.push(LinkAttribute::LinkInfo(vec![kind(InfoKind::Ifb)]));
    create(name, message)
}
