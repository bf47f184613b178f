//! Routing rules: which table is asked for a packet.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::RouteProtocol;
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};

use crate::address::family;
use crate::netlink::{KernelError, Netlink, Request};
use crate::route::PROTOCOL;

/// Behind the local table (0), in front of the main one (32766).
const PRIORITY: u32 = 20_000;
/// Bits of an address.
const BITS: [u8; 2] = [32, 128];

/// What is sent from `ip` asks `table` first, which must be above 255.
pub fn add(ip: IpAddr, table: u32) -> Request {
    let flags = NLM_F_CREATE | NLM_F_EXCL;
    Request::new("add rule", subject(ip, table), flags, RouteNetlinkMessage::NewRule(message(ip, table)))
}

/// Deletes such a rule.
pub fn delete(ip: IpAddr, table: u32) -> Request {
    Request::new("delete rule", subject(ip, table), 0, RouteNetlinkMessage::DelRule(message(ip, table))).or_absent()
}

/// Weft's own rules in the socket's namespace: the address that is sent from, and the table.
pub fn list(netlink: &mut Netlink) -> Result<Vec<(IpAddr, u32)>, KernelError> {
    let mut rules = Vec::new();
    for any in [IpAddr::from([0, 0, 0, 0]), IpAddr::from([0u16; 8])] {
        let mut query = RuleMessage::default();
        query.header.family = family(any);
        rules.extend(netlink.dump(RouteNetlinkMessage::GetRule(query), read)?);
    }
    Ok(rules)
}

fn read(message: &RouteNetlinkMessage) -> Option<(IpAddr, u32)> {
    let RouteNetlinkMessage::NewRule(message) = message else { return None };
    let (mut from, mut table, mut is_ours) = (None, None, false);
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Source(ip) => from = Some(*ip),
            RuleAttribute::Table(number) => table = Some(*number),
            RuleAttribute::Protocol(protocol) => is_ours = *protocol == RouteProtocol::from(PROTOCOL),
            _ => {}
        }
    }
    is_ours.then_some((from?, table?))
}

fn subject(ip: IpAddr, table: u32) -> String {
    format!("from {ip} lookup {table}")
}

fn message(ip: IpAddr, table: u32) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = family(ip);
    message.header.src_len = BITS[usize::from(ip.is_ipv6())];
    message.header.action = RuleAction::ToTable;
    message.attributes.extend([
        RuleAttribute::Source(ip),
        RuleAttribute::Priority(PRIORITY),
        RuleAttribute::Table(table),
        RuleAttribute::Protocol(RouteProtocol::from(PROTOCOL)),
    ]);
    message
}
