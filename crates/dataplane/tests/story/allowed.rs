//! What one endpoint is allowed, and nobody else.

use libbpf_rs::{MapCore as _, MapFlags, MapHandle};
use weft_dataplane::{Admission, abi, address_of};
use weft_model::MacAddr;

use crate::frames::{arp, back, neighbour as discovery, tcp, udp, udp_by};
use crate::world::{LINK, MAC, OTHER_LINK, OTHER_MAC, OWN, World, admission, ip, neighbour};

/// Of neighbour discovery: advertisements, and their option.
const ADVERTISEMENT: u8 = 136;
const TARGET: u8 = 2;
/// Of either family: an address that is allowed by itself, one of a prefix, one of neither, and one outside.
const FAMILIES: [[&str; 4]; 2] = [
    ["10.1.0.100", "10.9.255.255", "10.10.0.0", "198.51.100.1"],
    ["fd61::77", "fd61:1::ffff", "fd61:2::", "2001:db8::1"],
];

fn own(allowed: &[&str]) -> Admission {
    let allowed = allowed.iter().map(|net| net.parse().unwrap()).collect();
    Admission { allowed, ..admission(&["10.1.0.2", "fd61::2"], MAC, OWN) }
}

/// The endpoint is allowed more, its neighbour of the same network is not.
fn world() -> World {
    let world = World::with_neighbour();
    world.dataplane.admit(LINK, &own(&["10.1.0.100/32", "10.9.0.0/16", "fd61::77/128", "fd61:1::/64"])).unwrap();
    world
}

fn map(world: &World) -> MapHandle {
    world.pinned("weft_endpoint_allowed")
}

#[test]
fn an_endpoint_sends_from_what_it_is_allowed_and_its_neighbour_does_not() {
    let world = world();
    for [single, of_prefix, neither, outside] in FAMILIES {
        let out = (outside, 53);
        for allowed in [single, of_prefix] {
            assert_eq!(world.sends(&udp((allowed, 1), out)), "passed", "{allowed}");
            let by_neighbour = udp_by(OTHER_MAC, (allowed, 2), out);
            assert_eq!(world.sends_by(OTHER_LINK, &by_neighbour), "source_address", "{allowed}");
        }
        assert_eq!(world.sends(&udp((neither, 1), out)), "source_address", "{neither}");
    }
    assert_eq!(world.sends(&udp(("0.0.0.0", 68), ("255.255.255.255", 67))), "source_address");
    assert_eq!(world.sends(&udp(("::", 546), ("ff02::1:2", 547))), "source_address", "the map's front is no allowance");
    assert_eq!(world.sends(&udp_by(OTHER_MAC, ("10.1.0.100", 1), ("198.51.100.1", 53))), "source_mac");

    for allowed in ["10.1.0.100", "10.9.0.1"] {
        assert_eq!(world.sends(&arp(2, (MAC, allowed), allowed)), "passed", "{allowed}");
        assert_eq!(world.sends_by(OTHER_LINK, &by_other(arp(2, (OTHER_MAC, allowed), allowed))), "source_arp");
    }
    for allowed in ["fd61::77", "fd61:1::1"] {
        for from in ["fd61::2", allowed] {
            let advertisement = discovery(ADVERTISEMENT, from, allowed, Some((TARGET, MAC)));
            assert_eq!(world.sends(&advertisement), "passed", "{allowed} from {from}");
        }
        let by_neighbour = by_other(discovery(ADVERTISEMENT, "fd61::3", allowed, Some((TARGET, OTHER_MAC))));
        assert_eq!(world.sends_by(OTHER_LINK, &by_neighbour), "source_nd", "{allowed}");
    }
    assert_eq!(world.sends(&arp(2, (MAC, "10.10.0.0"), "10.10.0.0")), "source_arp");
    assert_eq!(world.sends(&discovery(ADVERTISEMENT, "fd61::2", "fd61:2::", Some((TARGET, MAC)))), "source_nd");
}

/// The frame, sent by the neighbour.
fn by_other(frame: Vec<u8>) -> Vec<u8> {
    crate::frames::patched(frame, 6, &OTHER_MAC.0)
}

#[test]
fn what_is_taken_back_ends_with_the_next_packet_and_the_rest_goes_on() {
    for [single, of_prefix, _, outside] in FAMILIES {
        let world = world();
        let out = (outside, 443);
        for from in [single, of_prefix] {
            assert_eq!(world.sends(&tcp((from, 1), out, "S")), "passed");
            assert_eq!(world.gets(&back(out, (from, 1), "SA")), "passed");
            assert_eq!(world.sends(&tcp((from, 1), out, "A")), "passed");
        }
        let less = own(&["10.9.0.0/16", "fd61:1::/64"]);
        world.dataplane.admit(LINK, &less).unwrap();
        assert_eq!(world.sends(&tcp((single, 1), out, "A")), "source_address");
        assert_eq!(world.sends(&tcp((of_prefix, 1), out, "A")), "passed");
        assert!(world.dataplane.has_admitted(LINK, &less).unwrap());
        world.dataplane.admit(LINK, &own(&[])).unwrap();
        assert_eq!(world.sends(&tcp((of_prefix, 1), out, "A")), "source_address");
        assert_eq!(map(&world).keys().count(), 0, "and nothing is left");
    }
}

#[test]
fn a_later_link_of_the_number_begins_with_no_allowance() {
    let world = world();
    let both = ["10.1.0.100/32", "fd61::77/128"];
    let theirs = Admission { allowed: own(&both).allowed, ..neighbour() };
    world.dataplane.admit(OTHER_LINK, &theirs).unwrap();
    world.dataplane.dismiss(LINK).unwrap();
    assert!(!world.dataplane.has_admitted(LINK, &own(&[])).unwrap());
    world.dataplane.admit(LINK, &own(&[])).unwrap();
    assert!(world.dataplane.has_admitted(LINK, &own(&[])).unwrap());
    for [single, of_prefix, _, outside] in FAMILIES {
        for from in [single, of_prefix] {
            assert_eq!(world.sends(&udp((from, 1), (outside, 53))), "source_address", "{from}");
        }
        let by_neighbour = udp_by(OTHER_MAC, (single, 1), (outside, 53));
        assert_eq!(world.sends_by(OTHER_LINK, &by_neighbour), "passed", "others keep theirs");
    }
    assert!(world.dataplane.has_admitted(OTHER_LINK, &theirs).unwrap());
    world.dataplane.dismiss(OTHER_LINK).unwrap();
    assert_eq!(map(&world).keys().count(), 0);
}

#[test]
fn what_somebody_else_wrote_or_took_away_is_noticed_and_mended() {
    let world = world();
    let mine = own(&["10.1.0.100/32", "10.9.0.0/16", "fd61::77/128", "fd61:1::/64"]);
    world.dataplane.admit(OTHER_LINK, &Admission { allowed: mine.allowed.clone(), ..neighbour() }).unwrap();
    let key = |length, address| abi::endpoint_allowed_key { length, link: LINK, prefix: address_of(ip(address)) };
    let value = [abi::ENDPOINT_ALLOWED_PREFIX as u8];
    let put = |key: &abi::endpoint_allowed_key| {
        map(&world).update(bytemuck::bytes_of(key), &value, MapFlags::ANY).unwrap();
    };
    let delete = |key: &abi::endpoint_allowed_key| map(&world).delete(bytemuck::bytes_of(key)).unwrap();
    let before = map(&world).keys().count();
    let spoils: [(&str, &dyn Fn()); 7] = [
        ("an address is gone", &|| delete(&key(32 + 128, "10.1.0.100"))),
        ("a prefix is gone", &|| delete(&key(32 + 64, "fd61:1::"))),
        ("the front is gone", &|| delete(&key(32 + 128, "::"))),
        ("the front is an allowance", &|| put(&key(32 + 128, "::"))),
        ("the least is allowed", &|| put(&key(32 + 128, "::1"))),
        ("everything is allowed", &|| put(&key(32, "::"))),
        ("the greatest is allowed", &|| put(&key(32 + 128, "ffff::ffff"))),
    ];
    for (story, spoil) in spoils {
        assert!(world.dataplane.has_admitted(LINK, &mine).unwrap());
        spoil();
        assert!(!world.dataplane.has_admitted(LINK, &mine).unwrap(), "{story}");
        world.dataplane.admit(LINK, &mine).unwrap();
        assert_eq!(map(&world).keys().count(), before, "{story}");
    }
    assert!(world.dataplane.has_admitted(LINK, &mine).unwrap());
    assert!(!world.dataplane.has_admitted(LINK, &own(&[])).unwrap());
}

#[test]
fn a_full_map_refuses_by_name_and_lets_in_again_what_left() {
    let world = World::empty();
    let allowed: Vec<_> = (0..64).map(|n| format!("10.9.{n}.0/24").parse().unwrap()).collect();
    let one = |link: u32| {
        let mac = MacAddr([2, 0, 0, 0, (link >> 8) as u8, link as u8]);
        world.dataplane.admit(link, &Admission { allowed: allowed.clone(), ..admission(&[], mac, OWN) })
    };
    // Each takes one entry more than it has prefixes.
    let room = abi::ENDPOINT_ALLOWED_MAX / (allowed.len() as u32 + 1);
    (0..room).for_each(|link| one(link).unwrap());
    let error = one(room).unwrap_err().to_string();
    assert!(error.contains("weft_endpoint_allowed: all of its 65536 entries are taken"), "{error}");
    world.dataplane.dismiss(5).unwrap();
    one(room).unwrap();
}
