//! A rule as the kernel runs it: loads into register 1, comparisons, and what to do when all of them held.
//!
//! In `ip` and `ip6` tables these are, expression for expression, what iptables-nft writes for `-i`, `-o`, `-s`, `-d`,
//! `-p` and `-j ACCEPT`, so that it goes on listing and saving a chain that holds a rule of ours.

use std::net::IpAddr;

use ipnet::IpNet;

use super::table::{COMMENT_BYTES_MAX, Family, Field, Interface, Match, Rule, State, Statement};
use super::uapi::*;
use super::wire::Writer;

/// Why a rule cannot be said to the kernel.
pub(super) type Unsayable = &'static str;

/// Offsets of the addresses within the network header, in bytes: source, destination.
const IPV4_ADDRESSES: (u32, u32) = (12, 16);
const IPV6_ADDRESSES: (u32, u32) = (8, 24);

/// Writes the attributes of a rule that say what it does, for a table of `family`.
pub(super) fn write_rule(writer: &mut Writer, family: Family, rule: &Rule) -> Result<(), Unsayable> {
    let mut result = Ok(());
    writer.nest(NFTA_RULE_EXPRESSIONS, |writer| {
        let mut list = List { writer, family, version: None, length: 0 };
        result = rule.matches.iter().try_for_each(|condition| list.condition(condition));
        rule.statements.iter().for_each(|statement| list.statement(statement));
        if list.length > NFT_RULE_MAXEXPRS {
            result = Err("it has too many matches");
        }
    });
    result?;
    write_comment(writer, &rule.comment)
}

fn write_comment(writer: &mut Writer, comment: &str) -> Result<(), Unsayable> {
    if comment.len() > COMMENT_BYTES_MAX {
        return Err("its comment is too long");
    }
    if comment.is_empty() {
        return Ok(());
    }
    let length = comment.len() as u8 + 1;
    let data = [&[NFTNL_UDATA_RULE_COMMENT, length], comment.as_bytes(), &[0]].concat();
    writer.bytes(NFTA_RULE_USERDATA, &data);
    Ok(())
}

/// The list of expressions of one rule while it grows.
struct List<'a> {
    writer: &'a mut Writer,
    family: Family,
    /// The version of IP that the rule already asked for.
    version: Option<u8>,
    length: usize,
}

impl List<'_> {
    fn condition(&mut self, condition: &Match) -> Result<(), Unsayable> {
        let (field, equal, differ) = match condition {
            Match::Is(field) => (field, NFT_CMP_EQ, NFT_CMP_NEQ),
            Match::Not(field) => (field, NFT_CMP_NEQ, NFT_CMP_EQ),
        };
        match field {
            Field::Input(interface) => self.interface(NFT_META_IIFNAME, interface, equal)?,
            Field::Output(interface) => self.interface(NFT_META_OIFNAME, interface, equal)?,
            Field::Source(net) => self.address(net, Side::Source, equal)?,
            Field::Destination(net) => self.address(net, Side::Destination, equal)?,
            Field::Protocol(number) => self.meta(NFT_META_L4PROTO, &[*number], equal),
            Field::Icmp(kind) => self.icmp(IPPROTO_ICMP, *kind, equal),
            Field::Icmpv6(kind) => self.icmp(IPPROTO_ICMPV6, *kind, equal),
            // A connection is in one of several states when masking leaves any bit: "is" compares as "differs from 0".
            Field::State(states) => self.connection(NFT_CT_STATE, state_bits(states), differ),
            Field::DestinationTranslated => self.connection(NFT_CT_STATUS, IPS_DST_NAT, differ),
        }
        Ok(())
    }

    fn statement(&mut self, statement: &Statement) {
        match statement {
            Statement::Counter => self.expression("counter", |_| {}),
            Statement::Accept => self.verdict(NF_ACCEPT, None),
            Statement::Drop => self.verdict(NF_DROP, None),
            Statement::Return => self.verdict(NFT_RETURN, None),
            Statement::Jump(chain) => self.verdict(NFT_JUMP, Some(chain)),
            Statement::Masquerade => self.expression("masq", |_| {}),
            Statement::SourceNat(address) => self.source_nat(*address),
        }
    }

    fn interface(&mut self, key: u32, interface: &Interface, operator: u32) -> Result<(), Unsayable> {
        let (name, end): (_, &[u8]) = match interface {
            Interface::Named(name) => (name, &[0]),
            Interface::Prefixed(prefix) => (prefix, &[]),
        };
        if name.is_empty() || name.len() >= IFNAMSIZ {
            return Err("an interface name is empty or too long");
        }
        self.meta(key, &[name.as_bytes(), end].concat(), operator);
        Ok(())
    }

    fn address(&mut self, net: &IpNet, side: Side, operator: u32) -> Result<(), Unsayable> {
        let (version, (source, destination)) = match net {
            IpNet::V4(_) => (NFPROTO_IPV4, IPV4_ADDRESSES),
            IpNet::V6(_) => (NFPROTO_IPV6, IPV6_ADDRESSES),
        };
        let offset = match side {
            Side::Source => source,
            Side::Destination => destination,
        };
        self.version(version)?;
        let network = octets(net.network());
        self.payload(NFT_PAYLOAD_NETWORK_HEADER, offset, network.len());
        if net.prefix_len() < net.max_prefix_len() {
            self.mask(&octets(net.netmask()));
        }
        self.compare(&network, operator);
        Ok(())
    }

    /// Asks once for the version of IP, where the family of the table leaves it open.
    fn version(&mut self, version: u8) -> Result<(), Unsayable> {
        match (self.family, version) {
            _ if self.version == Some(version) => {}
            (Family::Ip, NFPROTO_IPV4) | (Family::Ip6, NFPROTO_IPV6) => {}
            (Family::Inet, _) => self.meta(NFT_META_NFPROTO, &[version], NFT_CMP_EQ),
            (Family::Bridge, NFPROTO_IPV4) => self.meta(NFT_META_PROTOCOL, &ETH_P_IP.to_be_bytes(), NFT_CMP_EQ),
            (Family::Bridge, _) => self.meta(NFT_META_PROTOCOL, &ETH_P_IPV6.to_be_bytes(), NFT_CMP_EQ),
            _ => return Err("its table never sees addresses of that version"),
        }
        self.version = Some(version);
        Ok(())
    }

    fn icmp(&mut self, protocol: u8, kind: u8, operator: u32) {
        self.meta(NFT_META_L4PROTO, &[protocol], NFT_CMP_EQ);
        self.payload(NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1);
        self.compare(&[kind], operator);
    }

    fn connection(&mut self, key: u32, bits: u32, operator: u32) {
        self.expression("ct", |writer| {
            writer.number(NFTA_CT_DREG, NFT_REG_1);
            writer.number(NFTA_CT_KEY, key);
        });
        // Connection tracking puts its numbers into registers in host order.
        self.mask(&bits.to_ne_bytes());
        self.compare(&0_u32.to_ne_bytes(), operator);
    }

    fn meta(&mut self, key: u32, value: &[u8], operator: u32) {
        self.expression("meta", |writer| {
            writer.number(NFTA_META_DREG, NFT_REG_1);
            writer.number(NFTA_META_KEY, key);
        });
        self.compare(value, operator);
    }

    fn payload(&mut self, base: u32, offset: u32, length: usize) {
        self.expression("payload", |writer| {
            writer.number(NFTA_PAYLOAD_DREG, NFT_REG_1);
            writer.number(NFTA_PAYLOAD_BASE, base);
            writer.number(NFTA_PAYLOAD_OFFSET, offset);
            writer.number(NFTA_PAYLOAD_LEN, length as u32);
        });
    }

    fn mask(&mut self, mask: &[u8]) {
        self.expression("bitwise", |writer| {
            writer.number(NFTA_BITWISE_SREG, NFT_REG_1);
            writer.number(NFTA_BITWISE_DREG, NFT_REG_1);
            writer.number(NFTA_BITWISE_LEN, mask.len() as u32);
            writer.nest(NFTA_BITWISE_MASK, |writer| writer.bytes(NFTA_DATA_VALUE, mask));
            writer.nest(NFTA_BITWISE_XOR, |writer| writer.bytes(NFTA_DATA_VALUE, &vec![0; mask.len()]));
        });
    }

    fn compare(&mut self, value: &[u8], operator: u32) {
        self.expression("cmp", |writer| {
            writer.number(NFTA_CMP_SREG, NFT_REG_1);
            writer.number(NFTA_CMP_OP, operator);
            writer.nest(NFTA_CMP_DATA, |writer| writer.bytes(NFTA_DATA_VALUE, value));
        });
    }

    fn verdict(&mut self, code: i32, chain: Option<&str>) {
        self.immediate(NFT_REG_VERDICT, |writer| {
            writer.nest(NFTA_DATA_VERDICT, |writer| {
                writer.number(NFTA_VERDICT_CODE, code.cast_unsigned());
                if let Some(chain) = chain {
                    writer.text(NFTA_VERDICT_CHAIN, chain);
                }
            });
        });
    }

    fn source_nat(&mut self, address: IpAddr) {
        let version = if address.is_ipv4() { NFPROTO_IPV4 } else { NFPROTO_IPV6 };
        self.immediate(NFT_REG_1, |writer| writer.bytes(NFTA_DATA_VALUE, &octets(address)));
        self.expression("nat", |writer| {
            writer.number(NFTA_NAT_TYPE, NFT_NAT_SNAT);
            writer.number(NFTA_NAT_FAMILY, version.into());
            writer.number(NFTA_NAT_REG_ADDR_MIN, NFT_REG_1);
        });
    }

    fn immediate(&mut self, register: u32, data: impl FnOnce(&mut Writer)) {
        self.expression("immediate", |writer| {
            writer.number(NFTA_IMMEDIATE_DREG, register);
            writer.nest(NFTA_IMMEDIATE_DATA, data);
        });
    }

    fn expression(&mut self, name: &str, data: impl FnOnce(&mut Writer)) {
        self.length += 1;
        self.writer.nest(NFTA_LIST_ELEM, |writer| {
            writer.text(NFTA_EXPR_NAME, name);
            writer.nest(NFTA_EXPR_DATA, data);
        });
    }
}

#[derive(Clone, Copy)]
enum Side {
    Source,
    Destination,
}

fn state_bits(states: &[State]) -> u32 {
    states.iter().fold(0, |bits, state| bits | *state as u32)
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
