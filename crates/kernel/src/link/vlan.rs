//! VLANs (IEEE 802.1Q): a link on the host that has what is tagged so on another one.

use netlink_packet_route::link::{InfoData, InfoKind, InfoVlan, LinkAttribute, LinkInfo};
use weft_model::IfName;

use super::{create, kind, link_message};
use crate::netlink::Request;

/// Makes the sub-interface of the link numbered `parent`, down. Ethernet address and MTU are the parent's.
pub fn create_vlan(index: u32, name: &IfName, parent: u32, vlan: u16) -> Request {
    let mut message = link_message(index, name, None, None);
    message.attributes.push(LinkAttribute::Link(parent));
    let data = LinkInfo::Data(InfoData::Vlan(vec![InfoVlan::Id(vlan)]));
    message.attributes.push(LinkAttribute::LinkInfo(vec![kind(InfoKind::Vlan), data]));
    create(name, message)
}

/// What a VLAN's sub-interface is told when it is read: its number.
pub(super) fn number(data: &InfoData) -> Option<u16> {
    let InfoData::Vlan(settings) = data else { return None };
    settings.iter().find_map(|setting| match setting {
        InfoVlan::Id(vlan) => Some(*vlan),
        _ => None,
    })
}
