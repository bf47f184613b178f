//! Maps that have no room any more.

use std::net::{IpAddr, Ipv4Addr};

use libbpf_rs::{MapCore as _, MapFlags};
use weft_dataplane::{Allowance, HostAddress, Member, Peering, Set, Unseen, abi};
use weft_model::MacAddr;

use crate::connection::{ENDS, connect};
use crate::frames::{tcp, udp};
use crate::world::{LINK, OWN, World, admission};

const PASSED: &str = "passed";
/// Entries that are written at once.
const BATCH: u32 = 4096;

#[test]
fn a_full_host_refuses_an_endpoint_by_name_and_lets_in_again_what_left() {
    let world = World::empty();
    let one = |n: u32| admission(&[], MacAddr([2, 0, 0, 0, (n >> 8) as u8, n as u8]), OWN);
    for link in 0..abi::ENDPOINTS_MAX {
        world.dataplane.admit(link, &one(link)).unwrap();
    }
    let error = world.dataplane.admit(abi::ENDPOINTS_MAX, &one(0)).unwrap_err().to_string();
    assert!(error.contains("weft_endpoints: all of its 16384 entries are taken"), "{error}");
    world.dataplane.dismiss(5).unwrap();
    world.dataplane.admit(abi::ENDPOINTS_MAX, &one(0)).unwrap();
}

#[test]
fn a_full_table_refuses_nobody() {
    let world = World::new();
    let [own, far] = ENDS[0];
    connect(&world, [own, far]);
    let map = world.pinned("weft_flows");
    let (key, value) = (map.keys().next().unwrap(), map.lookup(&map.keys().next().unwrap(), MapFlags::ANY).unwrap());
    let value = value.unwrap();

    for first in (1..abi::FLOWS_MAX).step_by(BATCH as usize) {
        let count = BATCH.min(abi::FLOWS_MAX - first);
        let keys: Vec<u8> = (first..first + count).flat_map(|n| [&n.to_ne_bytes(), &key[4..]].concat()).collect();
        let values = value.repeat(count as usize);
        map.update_batch(&keys, &values, count, MapFlags::ANY, MapFlags::ANY).unwrap();
    }
    let late = [(own.0, 40001), far];
    connect(&world, late);
    assert_eq!(world.gets(&tcp(far, late[0], "A")), PASSED, "it lives among those that wait for an answer");
    assert_eq!(world.gets(&tcp(far, own, "A")), PASSED, "and pushed nobody out");
    assert_eq!(world.pinned("weft_openings").keys().count(), 1);
}

/// Fills `set` with what `member` makes of numbers; the one too many is refused, and goes in when another one left.
fn fill<T: Member>(set: &Set<T>, max: u32, member: impl Fn(u32) -> T) {
    for n in 0..max {
        set.insert(&member(n)).unwrap();
    }
    let error = set.insert(&member(max)).unwrap_err().to_string();
    assert!(error.contains(&format!("{}: all of its {max} entries are taken", T::NAME)), "{error}");
    set.remove(&member(0)).unwrap();
    set.insert(&member(max)).unwrap();
}

#[test]
fn a_full_set_refuses_by_name() {
    let world = World::empty();
    let ip = |n: u32| IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n));
    fill(world.dataplane.hosts(), abi::HOSTS_MAX, |n| HostAddress(ip(n)));
    fill(world.dataplane.peerings(), abi::PEERS_MAX, |n| Peering { from: n, to: OWN });
    fill(world.dataplane.allowances(), abi::ALLOWED_MAX, |n| Allowance { network: OWN, prefix: ip(n).into() });
}

#[test]
fn an_address_too_many_is_refused_by_name_with_its_endpoint() {
    let world = World::empty();
    let with = |first: u32, count: u32| {
        let addresses = (first..first + count).map(|n| IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n))).collect();
        weft_dataplane::Admission { addresses, ..admission(&[], MacAddr([2, 0, 0, 0, 0, 1]), OWN) }
    };
    world.dataplane.admit(LINK, &with(0, abi::ADDRESSES_MAX)).unwrap();
    let error = world.dataplane.admit(LINK + 1, &with(abi::ADDRESSES_MAX, 1)).unwrap_err().to_string();
    assert!(error.contains("weft_addresses: all of its 65536 entries are taken"), "{error}");
    assert_eq!(world.dataplane.admitted(), [LINK]);
}

#[test]
fn what_finds_no_counter_passes_all_the_same_and_is_told_of() {
    let world = World::new();
    let [own, far] = ENDS[0];
    let counters = world.pinned("weft_counters");
    let key = |n: u32| {
        let key = abi::counter_key { link: 1 << 20 | n, direction: 0, reason: 0 };
        bytemuck::bytes_of(&key).to_vec()
    };
    let value = vec![vec![0; size_of::<abi::counter>()]; libbpf_rs::num_possible_cpus().unwrap()];
    for n in 0..abi::COUNTERS_MAX {
        counters.update_percpu(&key(n), &value, MapFlags::ANY).unwrap();
    }
    assert_eq!(world.dataplane.unseen().unwrap(), Unseen::default());
    assert_eq!(world.sends_uncounted(&udp(own, far)), PASSED);
    assert_eq!(world.sends_uncounted(&tcp(own, far, "A")), "dropped");
    assert_eq!(world.dataplane.unseen().unwrap(), Unseen { untold: 0, uncounted: 2 });
    counters.delete(&key(0)).unwrap();
    assert_eq!(world.sends(&udp(own, far)), PASSED, "counted again");
}
