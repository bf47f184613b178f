//! Linux bridges: one per network with the `bridge` attachment.

use netlink_packet_route::link::{BridgeStpState, InfoBridge, InfoData, InfoKind, LinkAttribute, LinkInfo};
use weft_model::{IfName, MacAddr};

use super::{create, kind, link_message};
use crate::netlink::Request;

/// Ports that a bridge takes: `BR_MAX_PORTS` of net/bridge/br_private.h, port 0 being none.
pub const PORTS_MAX: u32 = 1023;

/// Makes a bridge, down. Its address is fixed, or it would follow its ports and containers would lose their gateway.
pub fn create_bridge(index: u32, name: &IfName, mac: MacAddr, mtu: u32) -> Request {
    let mut message = link_message(index, name, Some(mac), Some(mtu));
    let settings = vec![
        InfoBridge::StpState(BridgeStpState::Disabled),
        InfoBridge::ForwardDelay(0),
        // Without a querier in the network, snooping only delays multicast.
        InfoBridge::MulticastSnooping(false),
    ];
    let data = LinkInfo::Data(InfoData::Bridge(settings));
    message.attributes.push(LinkAttribute::LinkInfo(vec![kind(InfoKind::Bridge), data]));
    create(name, message)
}
