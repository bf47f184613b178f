//! Addresses that a client will use, and those it will not, whoever says so.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether a host may have the address on a LAN. Link-local IPv4 is not for servers to give (RFC 3927, section 1.9),
/// and weft's own gateways are there.
pub(crate) fn is_assignable_v4(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    first != 0 && first < 224 && !address.is_loopback() && !address.is_link_local()
}

/// Whether a DHCPv6 server may give the address out.
pub(crate) fn is_assignable_v6(address: Ipv6Addr) -> bool {
    is_reachable_v6(address) && !address.is_unicast_link_local()
}

/// Whether the address may be that of a router or a name server.
pub(crate) fn is_reachable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [first, ..] = v4.octets();
            first != 0 && first < 224 && !v4.is_loopback()
        }
        IpAddr::V6(v6) => is_reachable_v6(v6),
    }
}

fn is_reachable_v6(address: Ipv6Addr) -> bool {
    // ::/96 holds the unspecified address, loopback, and IPv4 in IPv6 clothes of old.
    let is_compatible = address.segments()[..6] == [0; 6];
    !is_compatible && !address.is_multicast() && address.to_ipv4_mapped().is_none()
}

/// The length of a subnet by its mask; `None` if the mask has holes, or none of its bits.
pub(crate) fn mask_length(mask: Ipv4Addr) -> Option<u8> {
    let bits = u32::from(mask);
    let length = bits.leading_ones();
    let is_contiguous = bits.checked_shl(length).unwrap_or(0) == 0;
    (is_contiguous && length > 0).then_some(u8::try_from(length).ok()?)
}

/// The length of the subnet of a server that names no mask (RFC 950, section 2.1).
pub(crate) fn classful_length(address: Ipv4Addr) -> u8 {
    match address.octets()[0] {
        0..=127 => 8,
        128..=191 => 16,
        _ => 24,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_host_can_have_is_refused() {
        let refused = [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.1.1",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
        ];
        for address in refused {
            assert!(!is_assignable_v4(address.parse().unwrap()), "{address}");
        }
        for address in ["10.0.0.1", "192.168.1.7", "100.64.0.1", "8.8.8.8", "223.255.255.1"] {
            assert!(is_assignable_v4(address.parse().unwrap()), "{address}");
        }
        for address in ["::", "::1", "::10.0.0.1", "::ffff:10.0.0.1", "fe80::1", "ff02::1"] {
            assert!(!is_assignable_v6(address.parse().unwrap()), "{address}");
        }
        for address in ["fd00::1", "2001:db8::1"] {
            assert!(is_assignable_v6(address.parse().unwrap()), "{address}");
        }
        assert!(is_reachable("fe80::1".parse().unwrap()));
        assert!(!is_reachable("0.0.0.0".parse().unwrap()));
    }

    #[test]
    fn masks_are_of_ones_and_then_zeroes() {
        let cases = [
            ("255.255.255.0", Some(24)),
            ("255.255.255.255", Some(32)),
            ("128.0.0.0", Some(1)),
            ("0.0.0.0", None),
            ("255.0.255.0", None),
            ("0.0.0.255", None),
        ];
        for (mask, length) in cases {
            assert_eq!(mask_length(mask.parse().unwrap()), length, "{mask}");
        }
    }
}
