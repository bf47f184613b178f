//! Routing rules: which table is asked for a packet.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::route::RouteProtocol;
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::address::family;
use crate::netlink::{KernelError, Netlink, Request};
use crate::route::PROTOCOL;

/// Behind the local table (0), in front of the main one (32766).
const PRIORITY: u32 = 20_000;
/// That of the rule for the local table.
const FIRST: u32 = 0;
/// RT_TABLE_LOCAL of include/uapi/linux/rtnetlink.h.
const TABLE_LOCAL: u32 = 255;
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

/// A rule of weft's for IPv6, about what is to leave by a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkRule {
    /// Name of the link.
    pub link: String,
    /// The table that is asked.
    pub table: u32,
    /// No rule asks the local table before it.
    pub is_in_front: bool,
}

/// Those rules in the order in which they are asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Front {
    /// Weft's own.
    pub rules: Vec<LinkRule>,
    /// Who set the rule with priority 0 that asks the local table for all packets, where there is one: the kernel,
    /// mostly.
    local: Option<RouteProtocol>,
}

impl Front {
    /// Reads them in the socket's namespace.
    pub fn read(netlink: &mut Netlink) -> Result<Self, KernelError> {
        let mut query = RuleMessage::default();
        query.header.family = AddressFamily::Inet6;
        let found = netlink.dump(RouteNetlinkMessage::GetRule(query), read_order)?;
        let mut front = Self::default();
        let mut is_in_front = true;
        for rule in found {
            match rule {
                Ordered::Local(protocol) => {
                    front.local = front.local.or(protocol);
                    is_in_front = false;
                }
                Ordered::Own(link, table) => front.rules.push(LinkRule { link, table, is_in_front }),
            }
        }
        Ok(front)
    }

    /// The requests by which what is to leave by `link` asks `table` before all else, the local table included. Among
    /// rules of one priority the kernel asks the older first, and none has a lower one than that of the local table: so
    /// a copy of this takes its place behind the new one. At no moment there is none.
    pub fn lead(&self, link: &str, table: u32) -> Vec<Request> {
        let message = |message| RouteNetlinkMessage::NewRule(message);
        let mut requests = Vec::new();
        if !self.rules.iter().any(|rule| rule.link == link && rule.table == table) {
            let own = message(by_link(link, table));
            requests.push(Request::new("add rule", leaving(link, table), NLM_F_CREATE, own));
        }
        if let Some(protocol) = self.local {
            let object = "to ask the local table";
            requests.push(Request::new("move rule", object, NLM_F_CREATE, message(ask_local(protocol))));
            requests.push(Request::new("move rule", object, 0, RouteNetlinkMessage::DelRule(ask_local(protocol))));
        }
        requests
    }
}

/// Deletes such a rule.
pub fn delete_by_link(link: &str, table: u32) -> Request {
    let message = RouteNetlinkMessage::DelRule(by_link(link, table));
    Request::new("delete rule", leaving(link, table), 0, message).or_absent()
}

/// A rule that matters for those.
enum Ordered {
    Local(Option<RouteProtocol>),
    Own(String, u32),
}

fn read_order(message: &RouteNetlinkMessage) -> Option<Ordered> {
    let RouteNetlinkMessage::NewRule(message) = message else { return None };
    let (mut link, mut table, mut set_by, mut priority, mut is_plain) = (None, None, None, 0, true);
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Oifname(name) => link = Some(name.clone()),
            RuleAttribute::Table(number) => table = Some(*number),
            RuleAttribute::Protocol(protocol) => set_by = Some(*protocol),
            RuleAttribute::Priority(number) => priority = *number,
            RuleAttribute::SuppressPrefixLen(_) => {}
            _ => is_plain = false,
        }
    }
    if table == Some(TABLE_LOCAL) {
        return Some(Ordered::Local(set_by.filter(|_| is_plain && link.is_none() && priority == 0)));
    }
    let is_ours = set_by == Some(RouteProtocol::from(PROTOCOL));
    Some(Ordered::Own(link.filter(|_| is_ours)?, table?))
}

fn leaving(link: &str, table: u32) -> String {
    format!("oif {link} lookup {table}")
}

fn by_link(link: &str, table: u32) -> RuleMessage {
    let mut message = asking(table, RouteProtocol::from(PROTOCOL));
    message.attributes.push(RuleAttribute::Oifname(link.to_owned()));
    message
}

fn ask_local(protocol: RouteProtocol) -> RuleMessage {
    asking(TABLE_LOCAL, protocol)
}

fn asking(table: u32, protocol: RouteProtocol) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = AddressFamily::Inet6;
    message.header.action = RuleAction::ToTable;
    message.attributes.extend([
        RuleAttribute::Priority(FIRST),
        RuleAttribute::Table(table),
        RuleAttribute::Protocol(protocol),
    ]);
    message
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
