//! Pools of addresses: a subnet, and which part of it may be leased.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// IP version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Family {
    /// IP version 4.
    IPv4,
    /// IP version 6.
    IPv6,
}

impl Family {
    /// Both, in the order in which results list them.
    pub const ALL: [Family; 2] = [Family::IPv4, Family::IPv6];

    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Family::IPv4 } else { Family::IPv6 }
    }

    /// The family of a prefix.
    pub fn of_net(net: &IpNet) -> Self {
        Self::of(net.addr())
    }

    /// The prefix that holds every address: the destination of a default route.
    pub fn everything(self) -> IpNet {
        match self {
            Family::IPv4 => IpNet::new_assert(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
            Family::IPv6 => IpNet::new_assert(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0),
        }
    }

    /// Length of a host's prefix: 32 or 128.
    pub fn bits(self) -> u8 {
        match self {
            Family::IPv4 => 32,
            Family::IPv6 => 128,
        }
    }
}

/// First and last address, both included, of one family. Written `FIRST-LAST`, or as a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AddressRange {
    /// Lowest address.
    pub first: IpAddr,
    /// Highest address.
    pub last: IpAddr,
}

impl AddressRange {
    /// Every address of a prefix.
    pub fn of_net(net: &IpNet) -> Self {
        Self { first: net.network(), last: net.broadcast() }
    }

    /// Whether `address` lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        Family::of(address) == Family::of(self.first) && self.first <= address && address <= self.last
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

impl FromStr for AddressRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(net) = text.parse::<IpNet>() {
            return Ok(Self::of_net(&net));
        }
        let refused = || "write an address, FIRST-LAST or a CIDR, such as 10.1.0.10-10.1.0.99".to_owned();
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let first: IpAddr = first.trim().parse().map_err(|_| refused())?;
        let last: IpAddr = last.trim().parse().map_err(|_| refused())?;
        if Family::of(first) != Family::of(last) || first > last {
            return Err("the first address must not lie above the last, in one family".to_owned());
        }
        Ok(Self { first, last })
    }
}

impl TryFrom<String> for AddressRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<AddressRange> for String {
    fn from(range: AddressRange) -> String {
        range.to_string()
    }
}

/// A subnet and which of its addresses may be leased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// The subnet, host bits zero.
    pub subnet: IpNet,
    /// The host's own address in it, never leased; `None` where the attachment's gateway is link-local.
    pub gateway: Option<IpAddr>,
    /// Leases come from these alone; ascending, disjoint, never empty.
    pub ranges: Vec<AddressRange>,
    /// Never leased, not even when asked for.
    pub excluded: Vec<AddressRange>,
}

impl Pool {
    /// Whether `address` may never be leased: the gateway, an excluded address, or one with a meaning of its own (the
    /// network and broadcast addresses of IPv4, RFC 1122; the subnet-router anycast address of IPv6, RFC 4291).
    pub fn is_reserved(&self, address: IpAddr) -> bool {
        self.gateway == Some(address)
            || is_special(&self.subnet, address)
            || self.excluded.iter().any(|range| range.contains(address))
    }
}

/// Whether `address` is no host's address in `subnet`. Prefixes of one or two addresses have none (RFC 3021, RFC 6164).
pub(crate) fn is_special(subnet: &IpNet, address: IpAddr) -> bool {
    let roomy = subnet.max_prefix_len() - subnet.prefix_len() >= 2;
    roomy && (address == subnet.network() || (subnet.addr().is_ipv4() && address == subnet.broadcast()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_parse_in_every_spelling() {
        for (text, shown) in [
            ("10.0.0.5", "10.0.0.5"),
            ("10.0.0.5-10.0.0.9", "10.0.0.5-10.0.0.9"),
            ("10.0.0.0/30", "10.0.0.0-10.0.0.3"),
            ("fd00::1-fd00::f", "fd00::1-fd00::f"),
        ] {
            assert_eq!(text.parse::<AddressRange>().expect(text).to_string(), shown);
        }
        for bad in ["", "10.0.0.9-10.0.0.5", "10.0.0.1-fd00::1", "x", "10.0.0.0/33"] {
            assert!(bad.parse::<AddressRange>().is_err(), "{bad}");
        }
    }

    #[test]
    fn special_addresses_are_reserved_but_not_in_tiny_prefixes() {
        let net: IpNet = "10.0.0.0/29".parse().expect("net");
        assert!(is_special(&net, "10.0.0.0".parse().expect("ip")));
        assert!(is_special(&net, "10.0.0.7".parse().expect("ip")));
        assert!(!is_special(&net, "10.0.0.1".parse().expect("ip")));
        let tiny: IpNet = "10.0.0.0/31".parse().expect("net");
        assert!(!is_special(&tiny, "10.0.0.0".parse().expect("ip")));
        let six: IpNet = "fd00::/64".parse().expect("net");
        assert!(is_special(&six, "fd00::".parse().expect("ip")));
        assert!(!is_special(&six, six.broadcast()));
    }
}
