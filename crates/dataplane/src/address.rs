//! Addresses in the one shape of both families.

use std::net::IpAddr;

use crate::abi;

/// `ip` as the programs have it: IPv4 as `::ffff:a.b.c.d` (RFC 4291, section 2.5.5.2).
pub fn address_of(ip: IpAddr) -> abi::address {
    let v6 = match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    abi::address { bytes: v6.octets() }
}

/// Bits of `abi::address` that a prefix of `ip`'s family with `length` bits fixes.
pub(crate) fn fixed_bits(ip: IpAddr, length: u8) -> u32 {
    let mapped = if ip.is_ipv4() { 96 } else { 0 };
    mapped + u32::from(length)
}
