//! Pools for networks whose author named none.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{Ipv4Addr, Ipv6Addr};

use weft_model::Family;

/// Where IPv4 pools are cut from, in /20s: a quarter of 10/8 (RFC 1918) that few sites number from.
pub const FIRST_POOLS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 64, 0, 0), 10);
/// Length of an IPv4 pool that weft picks: 4,093 endpoints, more than a host runs.
const IPV4_LENGTH: u8 = 20;
/// Length of an IPv6 pool that weft picks.
const IPV6_LENGTH: u8 = 64;
/// Most candidates looked at: all /20s of a /10.
const CANDIDATES_MAX: u32 = 1 << (IPV4_LENGTH - 10);

/// The first subnet that overlaps none of `taken`. IPv6 subnets are cut from `site`, the host's own /48 (RFC 4193).
/// `None` if all are taken.
pub fn pick_subnet(family: Family, site: Ipv6Net, taken: &[IpNet]) -> Option<IpNet> {
    let free = |candidate: &IpNet| !taken.iter().any(|net| net.contains(candidate) || candidate.contains(net));
    (0..CANDIDATES_MAX).map(|n| candidate(family, site, n)).find(free)
}

fn candidate(family: Family, site: Ipv6Net, n: u32) -> IpNet {
    match family {
        Family::IPv4 => {
            let base = u32::from(FIRST_POOLS.network()) + (n << (32 - IPV4_LENGTH));
            IpNet::V4(Ipv4Net::new_assert(base.into(), IPV4_LENGTH))
        }
        Family::IPv6 => {
            let base = u128::from(site.network()) + (u128::from(n) << (128 - IPV6_LENGTH));
            IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::from(base), IPV6_LENGTH))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().expect("net")).collect()
    }

    #[test]
    fn takes_the_first_that_is_free_and_none_when_all_are_taken() {
        let site: Ipv6Net = "fd12:3456:789a::/48".parse().expect("site");
        let pick = |family, taken: &[&str]| pick_subnet(family, site, &nets(taken)).map(|net| net.to_string());
        assert_eq!(pick(Family::IPv4, &[]).as_deref(), Some("10.64.0.0/20"));
        assert_eq!(pick(Family::IPv4, &["10.64.5.0/24", "10.64.16.0/20"]).as_deref(), Some("10.64.32.0/20"));
        assert_eq!(pick(Family::IPv4, &["10.0.0.0/8"]), None);
        assert_eq!(pick(Family::IPv6, &["fd12:3456:789a::/64"]).as_deref(), Some("fd12:3456:789a:1::/64"));
    }
}
