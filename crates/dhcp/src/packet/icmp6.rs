//! Neighbour discovery, as far as a host without addresses needs it: what routers advertise, and who has an address.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::Ipv6Net;

use super::{Checksums, checksum_v6};
use crate::addresses::is_reachable;
use crate::bytes::{Reader, u32_of};
use crate::names;

const HEADER_BYTES: usize = 40;
const ICMPV6: u8 = 58;
/// Whoever is a hop away cannot have sent it (RFC 4861, section 6.1.2).
const HOP_LIMIT: u8 = 255;

/// Types of ICMPv6.
const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;

/// Options of neighbour discovery.
const PREFIX_INFORMATION: u8 = 3;
/// RFC 8106, section 5.1.
const RDNSS: u8 = 25;
/// RFC 8106, section 5.2.
const DNSSL: u8 = 31;

/// Bits of an advertisement (RFC 4861, section 4.2).
const MANAGED: u8 = 0x80;
const OTHER: u8 = 0x40;
/// Bit of a prefix (RFC 4861, section 4.6.2).
const AUTONOMOUS: u8 = 0x40;

/// Most prefixes and most name servers that are read of one advertisement: as many as fit one packet would only be sent
/// by somebody with bad intentions.
const LIST_MAX: usize = 16;

/// Every router of the link (RFC 4291, section 2.7.1).
pub const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// What a router says of the link.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Advertisement {
    /// Whether it is a default router, and not only one that knows prefixes.
    pub is_default: bool,
    /// Addresses are to be had by DHCPv6 (M).
    pub managed: bool,
    /// Other settings are (O).
    pub other: bool,
    /// Prefixes that hosts form addresses in (A).
    pub autonomous: Vec<Ipv6Net>,
    /// Name servers.
    pub dns: Vec<IpAddr>,
    /// Search domains.
    pub search: Vec<String>,
}

/// Asks routers to advertise at once. Sent from no address: whoever answers, answers all.
pub fn router_solicitation() -> Vec<u8> {
    packet(ALL_ROUTERS, ROUTER_SOLICITATION, &[])
}

/// Asks whether anybody has `address`, without saying who asks (RFC 4862, section 5.4.2).
pub fn probe(address: Ipv6Addr) -> Vec<u8> {
    packet(solicited_node(address), NEIGHBOUR_SOLICITATION, &address.octets())
}

/// The group that whoever has `address` listens to (RFC 4291, section 2.7.1).
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// The Ethernet address of a multicast group (RFC 2464, section 7).
pub fn group_mac(group: Ipv6Addr) -> [u8; 6] {
    let [.., a, b, c, d] = group.octets();
    [0x33, 0x33, a, b, c, d]
}

fn packet(destination: Ipv6Addr, kind: u8, body: &[u8]) -> Vec<u8> {
    let source = Ipv6Addr::UNSPECIFIED;
    let mut payload = vec![kind, 0, 0, 0, 0, 0, 0, 0];
    payload.extend(body);
    let sum = checksum_v6(source, destination, ICMPV6, &payload);
    payload[2..4].copy_from_slice(&sum.to_be_bytes());
    let length = u16::try_from(payload.len()).expect("32 bytes at most");
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([ICMPV6, HOP_LIMIT]);
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(payload);
    packet
}

/// An ICMPv6 packet that is sound, and from the link.
struct Icmp<'a> {
    source: Ipv6Addr,
    kind: u8,
    /// Behind type, code and checksum.
    body: Reader<'a>,
}

fn decode(packet: &[u8], checksums: Checksums) -> Option<Icmp<'_>> {
    let mut header = Reader(packet);
    let version = header.u32()? >> 28;
    let length = usize::from(header.u16()?);
    let (next_header, hop_limit) = (header.u8()?, header.u8()?);
    let source = Ipv6Addr::from(header.array::<16>()?);
    let destination = Ipv6Addr::from(header.array::<16>()?);
    let payload = packet.get(HEADER_BYTES..)?.get(..length)?;
    let mut body = Reader(payload);
    let (kind, code) = (body.u8()?, body.u8()?);
    body.u16()?;
    let is_ours = version == 6 && next_header == ICMPV6 && hop_limit == HOP_LIMIT && code == 0;
    let is_sound = checksums == Checksums::Pending || checksum_v6(source, destination, ICMPV6, payload) == 0;
    (is_ours && is_sound).then_some(Icmp { source, kind, body })
}

/// Reads an advertisement; `None` for any other packet, and for one that a host must discard as a whole (RFC 4861,
/// section 6.1.2).
pub fn advertisement(packet: &[u8], checksums: Checksums) -> Option<Advertisement> {
    let Icmp { source, kind, body: mut reader } = decode(packet, checksums)?;
    if kind != ROUTER_ADVERTISEMENT || !source.is_unicast_link_local() {
        return None;
    }
    reader.u8()?;
    let flags = reader.u8()?;
    let is_default = reader.u16()? > 0;
    reader.array::<8>()?;
    let (managed, other) = (flags & MANAGED != 0, flags & OTHER != 0);
    let mut advertisement = Advertisement { is_default, managed, other, ..Advertisement::default() };
    while !reader.is_empty() {
        let (kind, units) = (reader.u8()?, usize::from(reader.u8()?));
        let value = reader.take((units * 8).checked_sub(2)?)?;
        advertisement.read(kind, value);
    }
    Some(advertisement)
}

impl Advertisement {
    /// Takes in one option; one that is broken in itself says nothing.
    fn read(&mut self, kind: u8, value: &[u8]) {
        match kind {
            PREFIX_INFORMATION => {
                let is_fresh = |net: &Ipv6Net| self.autonomous.len() < LIST_MAX && !self.autonomous.contains(net);
                let prefix = autonomous_prefix(value).filter(is_fresh);
                self.autonomous.extend(prefix);
            }
            RDNSS if has_lifetime(value) => {
                let servers = value.get(6..).unwrap_or_default().chunks_exact(16);
                let servers = servers.filter_map(|bytes| Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?)));
                for server in servers.filter(|server| is_reachable(*server)) {
                    if self.dns.len() < LIST_MAX && !self.dns.contains(&server) {
                        self.dns.push(server);
                    }
                }
            }
            DNSSL if has_lifetime(value) && self.search.is_empty() => {
                self.search = names::parse_list(value.get(6..).unwrap_or_default());
            }
            _ => {}
        }
    }
}

/// Whether what an option lists is good for any time: zero takes it back (RFC 8106).
fn has_lifetime(value: &[u8]) -> bool {
    value.get(2..6).and_then(u32_of).is_some_and(|seconds| seconds > 0)
}

/// The prefix of an option that hosts form addresses in (RFC 4862, section 5.5.3).
fn autonomous_prefix(value: &[u8]) -> Option<Ipv6Net> {
    let mut reader = Reader(value);
    let (length, flags) = (reader.u8()?, reader.u8()?);
    let (valid, preferred) = (reader.u32()?, reader.u32()?);
    reader.u32()?;
    let prefix = Ipv6Addr::from(reader.array::<16>()?);
    // An interface's identifier is 64 bits on all links there are (RFC 4291, section 2.5.1).
    let is_usable = flags & AUTONOMOUS != 0 && length == 64 && valid > 0 && preferred <= valid;
    let is_unicast = !prefix.is_unicast_link_local() && is_reachable(prefix.into());
    Ipv6Net::new(prefix, length).ok().filter(|_| is_usable && is_unicast).map(|net| net.trunc())
}

/// The address that somebody else has, or is about to take: whoever advertises one has it, and whoever solicits one
/// from no address is probing it (RFC 4862, section 5.4.3).
pub fn claimed(packet: &[u8], checksums: Checksums) -> Option<Ipv6Addr> {
    let Icmp { source, kind, mut body } = decode(packet, checksums)?;
    body.u32()?;
    let target = Ipv6Addr::from(body.array::<16>()?);
    match kind {
        NEIGHBOUR_ADVERTISEMENT => Some(target),
        NEIGHBOUR_SOLICITATION if source.is_unspecified() => Some(target),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTER: &str = "fe80::1";

    fn sealed(source: &str, kind: u8, body: &[u8]) -> Vec<u8> {
        let source: Ipv6Addr = source.parse().unwrap();
        let mut packet = packet(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), kind, &[]);
        packet.truncate(44);
        packet.extend(body);
        let length = u16::try_from(packet.len() - 40).unwrap();
        packet[4..6].copy_from_slice(&length.to_be_bytes());
        packet[8..24].copy_from_slice(&source.octets());
        packet[42..44].fill(0);
        let sum = checksum_v6(source, "ff02::1".parse().unwrap(), ICMPV6, &packet[40..]);
        packet[42..44].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    fn prefix(length: u8, flags: u8, valid: u32, preferred: u32, net: &str) -> Vec<u8> {
        let net: Ipv6Addr = net.parse().unwrap();
        [&[3, 4, length, flags][..], &valid.to_be_bytes(), &preferred.to_be_bytes(), &[0; 4], &net.octets()].concat()
    }

    fn advertised(flags: u8, options: &[u8]) -> Vec<u8> {
        sealed(ROUTER, 134, &[&[64, flags, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0][..], options].concat())
    }

    #[test]
    fn flags_prefixes_and_name_servers_are_read() {
        let options = [
            prefix(64, 0xc0, 3600, 1800, "2001:db8::5"),
            prefix(64, 0x80, 3600, 1800, "2001:db8:1::"),
            prefix(48, 0xc0, 3600, 1800, "2001:db8:2::"),
            prefix(64, 0xc0, 0, 0, "2001:db8:3::"),
            prefix(64, 0xc0, 10, 20, "2001:db8:4::"),
            prefix(64, 0xc0, 3600, 1800, "fe80::"),
            [&[25, 5, 0, 0, 0, 0, 0, 60][..], &"fd00::53".parse::<Ipv6Addr>().unwrap().octets(), &[0; 16]].concat(),
            b"\x1f\x02\0\0\0\0\0\x3c\x03lan\0\0\0\0".to_vec(),
        ];
        let read = advertisement(&advertised(0xc0, &options.concat()), Checksums::Filled).unwrap();
        assert!(read.is_default && read.managed && read.other);
        assert_eq!(read.autonomous, ["2001:db8::/64".parse().unwrap()]);
        assert_eq!(read.dns, ["fd00::53".parse::<IpAddr>().unwrap()]);
        assert_eq!(read.search, ["lan"]);
    }

    #[test]
    fn what_a_host_must_discard_is_discarded() {
        let sound = advertised(0x80, &[]);
        assert!(advertisement(&sound, Checksums::Filled).is_some());
        let mut far = sound.clone();
        far[7] = 254;
        assert_eq!(advertisement(&far, Checksums::Pending), None, "from beyond the link");
        let body = &sound[44..];
        assert_eq!(advertisement(&sealed("2001:db8::1", 134, body), Checksums::Filled), None, "no router's address");
        assert_eq!(advertisement(&advertised(0, &[3, 0, 0, 0]), Checksums::Filled), None, "an option without end");
        for length in 0..sound.len() {
            assert_eq!(advertisement(&sound[..length], Checksums::Pending), None);
        }
    }

    #[test]
    fn whoever_has_or_probes_an_address_claims_it() {
        let address: Ipv6Addr = "fd00::7".parse().unwrap();
        assert_eq!(claimed(&probe(address), Checksums::Filled), Some(address));
        let body = [&[0x20, 0, 0, 0][..], &address.octets()].concat();
        assert_eq!(claimed(&sealed("fd00::7", 136, &body), Checksums::Filled), Some(address));
        assert_eq!(claimed(&sealed("fe80::7", 135, &body), Checksums::Filled), None, "it is only looked for");
        assert_eq!(claimed(&router_solicitation(), Checksums::Filled), None);
        assert_eq!(group_mac(solicited_node("fd00::1:2:3".parse().unwrap())), [0x33, 0x33, 0xff, 2, 0, 3]);
    }
}
