//! Prefixes of both families in one shape, as the programs have addresses.

use std::net::IpAddr;

use ipnet::IpNet;

/// Bits in front of an IPv4 address that is mapped (RFC 4291, section 2.5.5.2).
const MAPPED_BITS: u8 = 96;

/// Addresses that begin alike; of IPv4 those that are mapped into IPv6. Ordered so that one comes right before those
/// that it contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    address: u128,
    bits: u8,
}

impl Prefix {
    /// All addresses there are.
    pub const ALL: Prefix = Prefix { address: 0, bits: 0 };

    /// One address.
    pub fn of(address: IpAddr) -> Self {
        Self::from(IpNet::from(address))
    }

    /// As the programs have it, bytes as on the wire.
    pub fn address(&self) -> [u8; 16] {
        self.address.to_be_bytes()
    }

    /// How many of its bits count.
    pub fn bits(&self) -> u8 {
        self.bits
    }

    /// Whether all of the other one's addresses are in it.
    pub fn contains(&self, other: &Prefix) -> bool {
        self.bits <= other.bits && mask(other.address, self.bits) == self.address
    }

    /// This one, and each that contains it, the longest first.
    pub(crate) fn and_above(self) -> impl Iterator<Item = Prefix> {
        (0..=self.bits).rev().map(move |bits| Prefix { address: mask(self.address, bits), bits })
    }
}

impl From<IpNet> for Prefix {
    fn from(net: IpNet) -> Self {
        let (address, bits) = match net {
            IpNet::V4(net) => (net.network().to_ipv6_mapped(), MAPPED_BITS + net.prefix_len()),
            IpNet::V6(net) => (net.network(), net.prefix_len()),
        };
        Self { address: mask(address.to_bits(), bits), bits }
    }
}

fn mask(address: u128, bits: u8) -> u128 {
    address & u128::MAX.checked_shl(u32::from(128 - bits)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse::<IpNet>().expect(text).into()
    }

    #[test]
    fn one_contains_what_begins_alike_in_its_family() {
        for (outer, inner, expected) in [
            ("10.0.0.0/8", "10.1.0.0/16", true),
            ("10.1.0.0/16", "10.0.0.0/8", false),
            ("10.0.0.0/8", "10.0.0.0/8", true),
            ("0.0.0.0/0", "255.255.255.255/32", true),
            ("0.0.0.0/0", "fd00::/8", false),
            ("fd00::/8", "fd61::1/128", true),
        ] {
            assert_eq!(prefix(outer).contains(&prefix(inner)), expected, "{outer} {inner}");
            assert!(Prefix::ALL.contains(&prefix(inner)));
        }
        let above: Vec<_> = prefix("128.0.0.0/1").and_above().collect();
        assert_eq!((above.len(), above[0], above[1]), (98, prefix("128.0.0.0/1"), prefix("0.0.0.0/0")));
        assert_eq!(above[97], Prefix::ALL);
    }

    #[test]
    fn one_comes_before_those_in_it() {
        let mut sorted = ["10.1.0.0/16", "10.0.0.0/8", "9.0.0.0/8", "11.0.0.0/8", "10.0.0.0/16"].map(prefix);
        sorted.sort();
        assert_eq!(sorted, ["9.0.0.0/8", "10.0.0.0/8", "10.0.0.0/16", "10.1.0.0/16", "11.0.0.0/8"].map(prefix));
    }
}
