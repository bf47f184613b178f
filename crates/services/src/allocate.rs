//! Addresses for services.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use weft_model::{ServiceKey, fnv64};

/// A free address of a pool for a service; `None` if there is none. The same one for the same name, if it is free: so
/// that a service that is written down anew often keeps what others remember of it. The first and the last address of
/// an IPv4 pool, and the first of an IPv6 pool, are left out.
pub fn choose(pool: &IpNet, service: &ServiceKey, is_taken: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let bits = u32::from(pool.max_prefix_len() - pool.prefix_len());
    // More than anybody has services: of a larger pool, the first part is used.
    let size = 1_u64 << bits.min(32);
    let usable = if pool.addr().is_ipv4() { size.saturating_sub(2) } else { size.saturating_sub(1) };
    if usable == 0 {
        return None;
    }
    let start = fnv64(&[&service.namespace, &service.name]) % usable;
    let place = |step: u64| address(pool, (start + step) % usable + 1);
    (0..usable).map(place).find(|address| !is_taken(*address))
}

fn address(pool: &IpNet, offset: u64) -> IpAddr {
    match pool.network() {
        IpAddr::V4(network) => IpAddr::V4(Ipv4Addr::from_bits(network.to_bits().wrapping_add(offset as u32))),
        IpAddr::V6(network) => IpAddr::V6(Ipv6Addr::from_bits(network.to_bits().wrapping_add(u128::from(offset)))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_pool_is_used_up_to_its_last_address_and_no_further() {
        for (pool, usable) in [("10.9.0.0/28", 14), ("fd09::/125", 7), ("10.9.0.0/31", 0), ("10.9.0.4/32", 0)] {
            let pool: IpNet = pool.parse().unwrap();
            let mut taken = BTreeSet::new();
            for n in 0..usable {
                let key = ServiceKey { namespace: "shop".to_owned(), name: n.to_string() };
                let chosen = choose(&pool, &key, |address| taken.contains(&address)).unwrap();
                assert!(pool.contains(&chosen) && chosen != pool.network() && taken.insert(chosen), "{chosen}");
                assert_eq!(choose(&pool, &key, |address| taken.contains(&address) && address != chosen), Some(chosen));
            }
            let key = ServiceKey { namespace: "shop".to_owned(), name: "more".to_owned() };
            assert_eq!(choose(&pool, &key, |address| taken.contains(&address)), None, "{pool}");
        }
    }
}
