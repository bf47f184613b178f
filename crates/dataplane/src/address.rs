//! Addresses in the one shape of both families.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

use crate::abi;

/// Bits in front of an IPv4 address.
const MAPPED_BITS: u32 = 96;

/// `ip` as the programs have it: IPv4 as `::ffff:a.b.c.d` (RFC 4291, section 2.5.5.2).
pub fn address_of(ip: IpAddr) -> abi::address {
    let v6 = match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    abi::address { bytes: v6.octets() }
}

/// The address of which the programs have this shape.
pub(crate) fn ip_of(address: &abi::address) -> IpAddr {
    let v6 = Ipv6Addr::from(address.bytes);
    v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4)
}

/// The prefix that the first `bits` of `address` name; `None` of what no prefix of either family is.
pub(crate) fn net_of(address: &abi::address, bits: u32) -> Option<IpNet> {
    let v6 = Ipv6Addr::from(address.bytes);
    match v6.to_ipv4_mapped() {
        Some(v4) if bits >= MAPPED_BITS => IpNet::new(v4.into(), u8::try_from(bits - MAPPED_BITS).ok()?).ok(),
        _ => IpNet::new(v6.into(), u8::try_from(bits).ok()?).ok(),
    }
}

/// Bits of `abi::address` that a prefix of `ip`'s family with `length` bits fixes.
pub(crate) fn fixed_bits(ip: IpAddr, length: u8) -> u32 {
    let mapped = if ip.is_ipv4() { MAPPED_BITS } else { 0 };
    mapped + u32::from(length)
}
