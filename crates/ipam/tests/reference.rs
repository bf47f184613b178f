//! The book of leases against a slow, obvious reference: a list of addresses in the order they became free.

#![allow(clippy::unwrap_used, reason = "a test that fails there says enough")]

use std::collections::BTreeMap;
use std::net::IpAddr;

use proptest::prelude::*;
use weft_ipam::{Leases, Refusal, Request, Rest};
use weft_model::{Attachment, Availability, EndpointKey, Labels, Mode, Network, NetworkName, NetworkSpec, Transport};

struct Everything;

impl Availability for Everything {
    fn attachment(&self, _: Attachment) -> Result<(), String> {
        Ok(())
    }

    fn transport(&self, _: Transport) -> Result<(), String> {
        Ok(())
    }
}

fn network(pools: &[&str], ranges: &[&str], exclude: &[&str]) -> Network {
    let owned = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect();
    let spec = NetworkSpec {
        mode: Some(Mode::Bridge),
        pools: owned(pools),
        ranges: owned(ranges),
        exclude: owned(exclude),
        ..NetworkSpec::default()
    };
    spec.resolve(&NetworkName::parse("app").unwrap(), &Labels::new(), &Everything).unwrap()
}

fn key(n: u32) -> EndpointKey {
    EndpointKey { container: format!("c{n}").parse().unwrap(), ifname: "eth0".parse().unwrap() }
}

/// Never leased addresses ascending, then released ones by release; simply a list.
struct Reference {
    free: Vec<IpAddr>,
    held: BTreeMap<IpAddr, EndpointKey>,
}

#[derive(Debug, Clone)]
enum Step {
    Lease(u32),
    Ask(u32, u8),
    Release(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0u32..1000).prop_map(Step::Lease),
        1 => (0u32..1000, 0u8..16).prop_map(|(n, last)| Step::Ask(n, last)),
        3 => any::<u8>().prop_map(Step::Release),
    ];
    proptest::collection::vec(step, 0..120)
}

proptest! {
    #[test]
    fn leases_follow_the_reference(steps in steps()) {
        let network = network(&["10.1.0.0/28"], &["10.1.0.2-10.1.0.12"], &["10.1.0.5", "10.1.0.8-10.1.0.9"]);
        let pool = &network.pools[0];
        let mut leases = Leases::default();
        leases.open(pool.subnet);
        let free: Vec<IpAddr> = [2, 3, 4, 6, 7, 10, 11, 12].map(|n| IpAddr::from([10, 1, 0, n])).into();
        let mut reference = Reference { free, held: BTreeMap::new() };
        prop_assert_eq!(leases.usage(pool).capacity, 8);
        for step in steps {
            match step {
                Step::Lease(n) => {
                    let chosen = leases.choose(&network, &Request::default());
                    if reference.free.is_empty() {
                        let exhausted = matches!(chosen, Err(Refusal::Exhausted { capacity: 8, .. }));
                        prop_assert!(exhausted);
                        continue;
                    }
                    let expected = reference.free.remove(0);
                    prop_assert_eq!(chosen.unwrap()[0].0, expected);
                    leases.hold(expected, &key(n)).unwrap();
                    reference.held.insert(expected, key(n));
                }
                Step::Ask(n, last) => {
                    let address = IpAddr::from([10, 1, 0, last]);
                    let chosen = leases.choose(&network, &Request { addresses: vec![address], ..Request::default() });
                    let reserved = matches!(last, 0 | 1 | 5 | 8 | 9 | 15);
                    match reference.held.get(&address) {
                        _ if reserved => {
                            let refused = matches!(chosen, Err(Refusal::Reserved { .. }));
                            prop_assert!(refused);
                        }
                        Some(holder) => {
                            let refused = matches!(chosen, Err(Refusal::Taken { holder: h, .. }) if h == *holder);
                            prop_assert!(refused);
                        }
                        None => {
                            prop_assert_eq!(chosen.unwrap()[0].0, address);
                            leases.hold(address, &key(n)).unwrap();
                            reference.free.retain(|ip| *ip != address);
                            reference.held.insert(address, key(n));
                        }
                    }
                }
                Step::Release(pick) => {
                    let held: Vec<_> = reference.held.keys().copied().collect();
                    if held.is_empty() { continue; }
                    let address = held[usize::from(pick) % held.len()];
                    let holder = reference.held.remove(&address).unwrap();
                    leases.release(address, &EndpointKey { ifname: "other".parse().unwrap(), ..holder.clone() });
                    prop_assert_eq!(leases.holder(address), Some(&holder), "only its holder may release it");
                    leases.release(address, &holder);
                    leases.release(address, &holder);
                    // Only what the ranges allow comes back by itself.
                    if (2..=12).contains(&number(address)) { reference.free.push(address); }
                }
            }
            let held: Vec<_> = leases.held_in(&pool.subnet).map(|(ip, key)| (ip, key.clone())).collect();
            prop_assert_eq!(held, reference.held.clone().into_iter().collect::<Vec<_>>());
        }
    }
}

fn number(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(v4) => v4.octets()[3],
        IpAddr::V6(_) => unreachable!("the pool is IPv4"),
    }
}

#[test]
fn both_families_are_given_ipv4_first_and_requests_fill_only_their_own() {
    let network = network(&["fd64::/64", "10.1.0.0/24"], &[], &[]);
    let leases = Leases::default();
    let chosen = leases
        .choose(&network, &Request { addresses: vec!["fd64::77".parse().unwrap()], ..Request::default() })
        .unwrap();
    let addresses: Vec<_> = chosen.iter().map(|(ip, _)| ip.to_string()).collect();
    assert_eq!(addresses, ["10.1.0.2", "fd64::77"]);
    let only = Request { addresses: vec!["fd64::77".parse().unwrap()], rest: Rest::Without };
    let chosen = leases.choose(&network, &only).unwrap();
    assert_eq!(chosen.iter().map(|(ip, _)| ip.to_string()).collect::<Vec<_>>(), ["fd64::77"]);
}

#[test]
fn what_is_held_survives_the_closing_and_opening_of_its_pool() {
    let network = network(&["10.1.0.0/24"], &[], &[]);
    let subnet = network.pools[0].subnet;
    let address: IpAddr = "10.1.0.2".parse().unwrap();
    let mut leases = Leases::default();
    leases.hold(address, &key(1)).unwrap();
    leases.open(subnet);
    assert_eq!(leases.choose(&network, &Request::default()).unwrap()[0].0.to_string(), "10.1.0.3");
    leases.close(subnet);
    assert_eq!(leases.hold(address, &key(2)).unwrap_err().holder, key(1));
    assert_eq!(leases.held_in(&subnet).count(), 1);
}

#[test]
fn a_pool_under_churn_remembers_a_bounded_number_of_releases() {
    let network = network(&["fd64::/64"], &[], &[]);
    let subnet = network.pools[0].subnet;
    let mut leases = Leases::default();
    leases.open(subnet);
    for n in 0..3 * u32::try_from(weft_ipam::RECENT_MAX).unwrap() {
        let address = leases.choose(&network, &Request::default()).unwrap()[0].0;
        leases.hold(address, &key(n)).unwrap();
        leases.release(address, &key(n));
    }
    assert_eq!(leases.recent_in(&subnet).count(), weft_ipam::RECENT_MAX);
}

#[test]
fn refusals_name_network_address_and_remedy() {
    let network = network(&["10.1.0.0/30"], &[], &[]);
    let mut leases = Leases::default();
    leases.open(network.pools[0].subnet);
    leases.hold("10.1.0.2".parse().unwrap(), &key(7)).unwrap();
    let ask = |text: &str| Request { addresses: vec![text.parse().unwrap()], ..Request::default() };
    let shown = |request| leases.choose(&network, &request).unwrap_err().to_string();
    assert!(
        shown(Request::default()).contains("1 of 1 are held; see who holds them with `weft ipam show app`")
            || shown(Request::default()).contains("`weft ipam show \"app\"`")
    );
    assert!(shown(ask("10.1.0.2")).contains("10.1.0.2 is held by c7@eth0"));
    assert!(shown(ask("10.9.0.2")).contains("none of its pools (10.1.0.0/30)"));
    assert!(shown(ask("10.1.0.1")).contains("is reserved"));
}
