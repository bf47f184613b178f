//! MAC addresses.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::fnv64;

/// A 48-bit Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddr(pub [u8; 6]);

/// What the address of an endpoint begins with that has an IPv4 address, which follows.
const OF_IPV4: [u8; 2] = [0x02, 0x77];

impl MacAddr {
    /// What stands where there is none.
    pub const NONE: MacAddr = MacAddr([0; 6]);

    /// The router that every `routed` endpoint sees at the other end of its link: one address for all of them, since
    /// each link has only two ends. Locally administered.
    pub const GATEWAY: MacAddr = MacAddr([0x02, 0x77, 0x65, 0x66, 0x74, 0x01]);

    /// A locally administered unicast address that follows from `parts` alone.
    pub fn derived(parts: &[&str]) -> Self {
        let hash = fnv64(parts).to_be_bytes();
        MacAddr([0x06, hash[0] ^ hash[1], hash[2], hash[3] ^ hash[4], hash[5], hash[6] ^ hash[7]])
    }

    /// The address of an endpoint that owns `address`: an IP address that moves on takes its MAC address along, so no
    /// neighbour anywhere holds a stale pair. Unique per network, as the IP address is.
    pub fn of_address(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => {
                let ([a, b, c, d], [e, f]) = (v4.octets(), OF_IPV4);
                MacAddr([e, f, a, b, c, d])
            }
            IpAddr::V6(_) => Self::derived(&[&address.to_string()]),
        }
    }

    /// Whether it is of such an endpoint, by its IPv4 address.
    pub fn is_of_address(self) -> bool {
        self.0.starts_with(&OF_IPV4)
    }

    /// Whether an interface may carry it: unicast and not all zero.
    pub fn is_assignable(self) -> bool {
        self.0[0] & 1 == 0 && self.0 != [0; 6]
    }

    /// The IPv6 link-local address made from it (RFC 4291, appendix A: modified EUI-64).
    pub fn link_local(self) -> std::net::Ipv6Addr {
        let [a, b, c, d, e, f] = self.0;
        std::net::Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for MacAddr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused =
            || format!("{text:?} is not a MAC address: write six pairs of hex digits, such as 02:42:0a:00:00:05");
        let mut bytes = [0; 6];
        let mut pairs = text.split([':', '-']);
        for byte in &mut bytes {
            let pair = pairs.next().filter(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()));
            *byte = pair.and_then(|p| u8::from_str_radix(p, 16).ok()).ok_or_else(refused)?;
        }
        if pairs.next().is_some() { Err(refused()) } else { Ok(MacAddr(bytes)) }
    }
}

impl TryFrom<String> for MacAddr {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<MacAddr> for String {
    fn from(mac: MacAddr) -> String {
        mac.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_it_prints_and_refuses_the_rest() {
        let mac: MacAddr = "02:AA:bb:00:01:ff".parse().expect("a MAC address");
        assert_eq!(mac.to_string(), "02:aa:bb:00:01:ff");
        for bad in
            ["", "02:aa:bb:00:01", "02:aa:bb:00:01:ff:00", "2:a:b:0:1:f", "0g:aa:bb:00:01:ff", "+2:aa:bb:00:01:ff"]
        {
            assert!(bad.parse::<MacAddr>().is_err(), "{bad}");
        }
    }

    #[test]
    fn derived_addresses_are_assignable() {
        assert!(MacAddr::derived(&["x"]).is_assignable());
        assert!(MacAddr::of_address("10.1.2.3".parse().expect("v4")).is_assignable());
        assert!(MacAddr::of_address("fd00::1".parse().expect("v6")).is_assignable());
        assert!(!MacAddr([1, 0, 0, 0, 0, 0]).is_assignable());
    }

    #[test]
    fn link_local_follows_rfc_4291() {
        let mac: MacAddr = "34:56:78:9a:bc:de".parse().expect("a MAC address");
        assert_eq!(mac.link_local().to_string(), "fe80::3656:78ff:fe9a:bcde");
    }
}
