//! What the DHCP servers of a LAN granted to an endpoint. It is part of the endpoint's record, so that whoever comes
//! after a killed agent goes on renewing where that one ended.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::endpoint::Dns;

/// Longest DUID, in bytes (RFC 8415, section 11.1: 128, and the type before them).
pub const DUID_BYTES_MAX: usize = 130;

/// What an endpoint holds of the LAN: at most one grant per family.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Lease {
    /// By DHCPv4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub v4: Option<Grant>,
    /// By DHCPv6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub v6: Option<Grant>,
    /// A router of the LAN has hosts form addresses of their own, and the kernel inside the container does.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub autoconfigured: bool,
    /// What that router says of name servers (RFC 8106), which the kernel does not keep.
    #[serde(skip_serializing_if = "Dns::is_empty")]
    pub advertised: Dns,
}

/// One address, and what comes with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The address with the length of its subnet; 128 by DHCPv6, where routers tell what is on the link.
    pub address: IpNet,
    /// Next hops of the default route, best first. They may lie outside of the subnet: they are on the link.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gateways: Vec<IpAddr>,
    /// Routes, the default one included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<GrantedRoute>,
    /// Addresses of name servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<IpAddr>,
    /// The domain that the endpoint is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Search domains.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
    /// MTU of the LAN in bytes, if its server tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
    /// Who granted it, and is asked to extend it.
    pub server: LeaseServer,
    /// From when to when.
    pub times: LeaseTimes,
}

/// A route of a grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantedRoute {
    /// Destination.
    pub to: IpNet,
    /// Next hop; `None` if the destination is on the link (RFC 3442, "Local Subnet Routes").
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
}

/// What a server is told apart by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LeaseServer {
    /// The server identifier of DHCPv4.
    Address(Ipv4Addr),
    /// The DUID of a DHCPv6 server.
    Duid(Duid),
}

/// A DHCP unique identifier (RFC 8415, section 11): opaque to whoever receives it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Duid(Vec<u8>);

impl Duid {
    /// Of its bytes; `None` if there are none, or too many.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        (1..=DUID_BYTES_MAX).contains(&bytes.len()).then(|| Self(bytes.to_vec()))
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Duid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Duid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Duid {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let byte = |pair: &[u8]| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        };
        let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
        let duid = bytes.and_then(|bytes| Self::of(&bytes));
        duid.ok_or_else(|| format!("{text:?} is not a DUID: write 1 to {DUID_BYTES_MAX} pairs of hex digits"))
    }
}

impl From<Duid> for String {
    fn from(duid: Duid) -> String {
        duid.to_string()
    }
}

/// From when to when a grant is good. Decisions are made by the seconds since boot, which no one sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseTimes {
    /// When it was asked for, in seconds since boot, those asleep included.
    pub granted_s: u64,
    /// The same in seconds since 1970, for people.
    pub granted_unix_s: u64,
    /// When its server is asked to extend it (T1), in seconds from then.
    pub renew_s: u32,
    /// When any server is (T2).
    pub rebind_s: u32,
    /// When the address is not to be used for anything that begins; `None` is never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_s: Option<u32>,
    /// When it ends; `None` is never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_s: Option<u32>,
}

impl LeaseTimes {
    /// When it ends, in seconds since boot; `None` is never.
    pub fn end_s(&self) -> Option<u64> {
        self.lifetime_s.map(|lifetime| self.granted_s.saturating_add(lifetime.into()))
    }
}

impl Lease {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Its grants, IPv4 first.
    pub fn grants(&self) -> impl Iterator<Item = &Grant> {
        self.v4.iter().chain(&self.v6)
    }

    /// Its addresses, IPv4 first.
    pub fn addresses(&self) -> Vec<IpNet> {
        self.grants().map(|grant| grant.address).collect()
    }

    /// The best next hop of each family that has one.
    pub fn gateways(&self) -> Vec<IpAddr> {
        self.grants().filter_map(|grant| grant.gateways.first().copied()).collect()
    }

    /// Its routes, IPv4 first.
    pub fn routes(&self) -> impl Iterator<Item = &GrantedRoute> {
        self.grants().flat_map(|grant| &grant.routes)
    }

    /// Resolver settings, as its servers want them.
    pub fn dns(&self) -> Dns {
        let granted = self.grants().flat_map(|grant| grant.search.iter().chain(&grant.domain));
        let mut searches: Vec<String> = Vec::new();
        for name in granted.chain(&self.advertised.searches) {
            if !searches.contains(name) {
                searches.push(name.clone());
            }
        }
        let granted = self.grants().flat_map(|grant| &grant.dns);
        let mut servers: Vec<IpAddr> = Vec::new();
        for server in granted.chain(&self.advertised.servers) {
            if !servers.contains(server) {
                servers.push(*server);
            }
        }
        Dns { servers, searches, options: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duid_is_read_as_it_is_written() {
        let duid = Duid::of(&[0, 4, 0xab, 0xff]).expect("4 bytes");
        assert_eq!(duid.to_string(), "0004abff");
        assert_eq!(Duid::try_from(duid.to_string()), Ok(duid));
        for bad in ["", "0", "000", "0g", "+1", "é0", &"00".repeat(131)] {
            assert!(Duid::try_from(bad.to_owned()).is_err(), "{bad}");
        }
        assert_eq!(Duid::of(&[]), None);
    }

    #[test]
    fn an_end_is_counted_from_the_grant() {
        let times = LeaseTimes {
            granted_s: 100,
            granted_unix_s: 0,
            renew_s: 5,
            rebind_s: 8,
            preferred_s: None,
            lifetime_s: Some(10),
        };
        assert_eq!(times.end_s(), Some(110));
        assert_eq!(LeaseTimes { lifetime_s: None, ..times }.end_s(), None);
        assert_eq!(LeaseTimes { granted_s: u64::MAX, ..times }.end_s(), Some(u64::MAX));
    }
}
