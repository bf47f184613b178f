//! Who may say what of itself.

use libbpf_rs::{MapCore as _, MapFlags};
use weft_dataplane::{Allowance, HostAddress, Peering, address_of};

use crate::frames::{arp, extended, icmpv6, neighbour, patched, too_large, udp, udp_by};
use crate::world::{FOREIGN, LINK, MAC, OTHER_MAC, OWN, World, admission, ip};

const OWN_V4: (&str, u16) = ("10.1.0.2", 40000);
const OWN_V6: (&str, u16) = ("fd61::2", 40000);
/// Link-local, of the endpoint's MAC address.
const OWN_LINK: &str = "fe80::ff:fe00:a";
const OUT_V4: (&str, u16) = ("198.51.100.1", 53);
const OUT_V6: (&str, u16) = ("2001:db8::1", 53);
/// Options of neighbour discovery.
const SOURCE: u8 = 1;
const TARGET: u8 = 2;
/// Offsets in frames.
const IPV4_FRAGMENT: usize = 20;
const IPV4_LENGTH: usize = 14;
const ICMPV4_TYPE: usize = 34;

fn told(stories: &[(&str, Vec<u8>, &str)]) {
    let world = World::new();
    for (story, frame, expected) in stories {
        assert_eq!(world.sends(frame), *expected, "{story}");
    }
}

#[test]
fn an_endpoint_sends_from_its_own_addresses_and_no_others() {
    told(&[
        ("IPv4", udp(OWN_V4, OUT_V4), "passed"),
        ("IPv6", udp(OWN_V6, OUT_V6), "passed"),
        ("link-local", udp((OWN_LINK, 1), ("ff02::fb", 5353)), "passed"),
        ("a neighbour's IPv4", udp(("10.1.0.3", 1), OUT_V4), "source_address"),
        ("a neighbour's IPv6", udp(("fd61::3", 1), OUT_V6), "source_address"),
        ("a neighbour's link-local", udp(("fe80::ff:fe00:b", 1), ("ff02::fb", 1)), "source_address"),
        ("nobody's IPv4", udp(("0.0.0.0", 68), ("255.255.255.255", 67)), "source_address"),
        ("nobody's IPv6", udp(("::", 546), ("ff02::1:2", 547)), "source_address"),
        ("IPv4 in IPv6", udp(("::ffff:10.1.0.2", 1), OUT_V6), "bogus_address"),
        ("to IPv4 in IPv6", udp(OWN_V6, ("::ffff:10.1.0.3", 1)), "bogus_address"),
        ("another MAC", udp_by(OTHER_MAC, OWN_V4, OUT_V4), "source_mac"),
        ("a DHCP server", udp(("10.1.0.2", 67), ("255.255.255.255", 68)), "dhcp_server"),
        ("a DHCPv6 server", udp(("fd61::2", 547), ("fe80::1", 546)), "dhcp_server"),
        ("port 67 is nothing in IPv6", udp(("fd61::2", 67), OUT_V6), "passed"),
    ]);
}

#[test]
fn neighbours_hear_of_an_endpoint_what_is_true() {
    told(&[
        ("a request", arp(1, (MAC, "10.1.0.2"), "10.1.0.1"), "passed"),
        ("an announcement", arp(2, (MAC, "10.1.0.2"), "10.1.0.2"), "passed"),
        ("a probe", arp(1, (MAC, "0.0.0.0"), "10.1.0.9"), "passed"),
        ("a reply from nowhere", arp(2, (MAC, "0.0.0.0"), "10.1.0.9"), "source_arp"),
        ("the gateway's", arp(2, (MAC, "10.1.0.1"), "10.1.0.3"), "source_arp"),
        ("asking as another", arp(1, (MAC, "10.1.0.3"), "10.1.0.1"), "source_arp"),
        ("another MAC inside", arp(2, (OTHER_MAC, "10.1.0.2"), "10.1.0.3"), "source_arp"),
        ("cut short", arp(1, (MAC, "10.1.0.2"), "10.1.0.1")[..30].to_vec(), "malformed"),
        ("for Chaosnet", patched(arp(1, (MAC, "10.1.0.2"), "10.1.0.1"), 16, &[0x08, 0x04]), "source_arp"),
        ("a solicitation", neighbour(135, "fd61::2", "fd61::1", Some((SOURCE, MAC))), "passed"),
        ("duplicate detection", neighbour(135, "::", "fd61::9", None), "passed"),
        (
            "a solicitation with another's MAC",
            neighbour(135, "fd61::2", "fd61::1", Some((SOURCE, OTHER_MAC))),
            "source_nd",
        ),
        ("a solicitation as another", neighbour(135, "fd61::3", "fd61::1", Some((SOURCE, MAC))), "source_address"),
        ("an advertisement", neighbour(136, "fd61::2", "fd61::2", Some((TARGET, MAC))), "passed"),
        ("of the link-local", neighbour(136, OWN_LINK, OWN_LINK, Some((TARGET, MAC))), "passed"),
        ("the gateway's", neighbour(136, "fd61::2", "fd61::1", Some((TARGET, MAC))), "source_nd"),
        ("with another MAC", neighbour(136, "fd61::2", "fd61::2", Some((TARGET, OTHER_MAC))), "source_nd"),
        ("from nowhere", neighbour(136, "::", "fd61::2", None), "source_address"),
        ("an option without end", neighbour(136, "fd61::2", "fd61::2", Some((9, MAC)))[..80].to_vec(), "malformed"),
        ("a router asked for", icmpv6(OWN_LINK, "ff02::2", 133, &[0; 4]), "passed"),
        ("a router", icmpv6(OWN_LINK, "ff02::1", 134, &[0; 12]), "router"),
        ("a redirect", icmpv6(OWN_LINK, "fd61::2", 137, &[0; 36]), "router"),
        ("one of IPv4", patched(too_large("10.1.0.2", OUT_V4.0, &udp(OUT_V4, OWN_V4)), ICMPV4_TYPE, &[5]), "router"),
        (
            "a router of IPv4",
            patched(too_large("10.1.0.2", OUT_V4.0, &udp(OUT_V4, OWN_V4)), ICMPV4_TYPE, &[9]),
            "router",
        ),
        ("listening to groups", icmpv6("::", "ff02::16", 143, &[0; 4]), "passed"),
        ("an echo from nowhere", icmpv6("::", "ff02::1", 128, &[0; 4]), "source_address"),
        ("an echo", icmpv6("fd61::2", "ff02::1", 128, &[0; 4]), "passed"),
    ]);
}

#[test]
fn headers_hide_nothing() {
    let advertisement = icmpv6(OWN_LINK, "ff02::1", 134, &[0; 12]);
    let hop_by_hop = [0, 0, 1, 4, 0, 0, 0, 0];
    let (first, whole, later) = ([0, 0, 0, 1, 0, 0, 0, 9], [0; 8], [0, 0, 0, 8, 0, 0, 0, 9]);
    let many = (0..9).fold(udp(OWN_V6, OUT_V6), |frame, _| extended(&frame, 60, &hop_by_hop));
    let solicitation = neighbour(135, "fd61::2", "fd61::1", Some((SOURCE, MAC)));
    told(&[
        ("a router behind options", extended(&advertisement, 0, &hop_by_hop), "router"),
        ("behind two", extended(&extended(&advertisement, 60, &hop_by_hop), 0, &hop_by_hop), "router"),
        ("in a first fragment", extended(&advertisement, 44, &first), "router"),
        ("in a fragment that is whole", extended(&advertisement, 44, &whole), "router"),
        ("a solicitation in fragments", extended(&solicitation, 44, &first), "malformed"),
        ("the middle of something", extended(&udp(OWN_V6, OUT_V6), 44, &later), "fragment"),
        ("the middle of somebody else's", extended(&udp(("fd61::3", 1), OUT_V6), 44, &later), "source_address"),
        (
            "the middle of something from nowhere",
            extended(&icmpv6("::", "ff02::16", 143, &[0; 4]), 44, &later),
            "source_address",
        ),
        ("options", extended(&udp(OWN_V6, OUT_V6), 0, &hop_by_hop), "passed"),
        ("options without end", many, "malformed"),
        ("an IPv4 fragment", patched(udp(OWN_V4, OUT_V4), IPV4_FRAGMENT, &[0x20, 0]), "passed"),
        ("a later one", patched(udp(("10.1.0.2", 67), OUT_V4), IPV4_FRAGMENT, &[0, 8]), "passed"),
        ("a server's first one", patched(udp(("10.1.0.2", 67), OUT_V4), IPV4_FRAGMENT, &[0x20, 0]), "dhcp_server"),
        ("cut short within UDP", udp(OWN_V4, OUT_V4)[..36].to_vec(), "malformed"),
        ("cut short within options", extended(&udp(OWN_V6, OUT_V6), 0, &hop_by_hop)[..56].to_vec(), "malformed"),
        ("a header of no length", patched(udp(OWN_V4, OUT_V4), IPV4_LENGTH, &[0x44]), "malformed"),
        ("version 5", patched(udp(OWN_V4, OUT_V4), IPV4_LENGTH, &[0x55]), "malformed"),
        ("spanning tree", patched(udp(OWN_V4, OUT_V4), 12, &[0, 39]), "ethertype"),
        ("a VLAN of its own", patched(udp(OWN_V4, OUT_V4), 12, &[0x81, 0]), "ethertype"),
        ("LLDP", patched(udp(OWN_V4, OUT_V4), 12, &[0x88, 0xcc]), "ethertype"),
    ]);
}

#[test]
fn more_is_allowed_where_it_is_said() {
    let world = World::empty();
    let (virtual_v4, virtual_v6) = (("10.1.0.100", 1), ("fd61:1::77", 1));
    let own = admission(&["10.1.0.2", "10.1.0.5", "fd61::2", "fd61::5"], MAC, OWN);
    world.dataplane.admit(LINK, &own).unwrap();
    world.dataplane.admit(9, &admission(&["10.1.0.3"], OTHER_MAC, OWN)).unwrap();
    for more in ["10.1.0.5", "fd61::5"] {
        let to = if more.contains(':') { OUT_V6 } else { OUT_V4 };
        assert_eq!(world.sends(&udp((more, 1), to)), "passed", "a second address of its own");
    }
    assert_eq!(world.sends(&udp(("10.1.0.3", 1), OUT_V4)), "source_address", "another's");
    let allowance = |network, net: &str| Allowance { network, prefix: net.parse().unwrap() };
    let nets = ["10.1.0.100/32", "fd61:1::/64"].map(|net| allowance(OWN, net));
    let foreign = allowance(FOREIGN, "10.1.0.101/32");
    for allowance in [nets[0], nets[1], foreign] {
        world.dataplane.allowances().insert(&allowance).unwrap();
    }
    assert_eq!(world.sends(&udp(virtual_v4, OUT_V4)), "passed");
    assert_eq!(world.sends(&udp(virtual_v6, OUT_V6)), "passed");
    assert_eq!(world.sends(&arp(2, (MAC, "10.1.0.100"), "10.1.0.100")), "passed");
    assert_eq!(world.sends(&udp(("10.1.0.101", 1), OUT_V4)), "source_address", "allowed to others");
    let mut allowed = world.dataplane.allowances().list();
    allowed.sort();
    assert_eq!(allowed, [nets[0], nets[1], foreign], "read back as written");

    world.dataplane.allowances().remove(&nets[0]).unwrap();
    assert_eq!(world.sends(&udp(virtual_v4, OUT_V4)), "source_address", "not any more");
    assert_eq!(world.sends(&udp(virtual_v6, OUT_V6)), "passed");
    world.dataplane.dismiss(LINK).unwrap();
    assert!(!world.dataplane.has_admitted(LINK, &own).unwrap());
    world.dataplane.admit(9, &admission(&["10.1.0.3", "10.1.0.5"], OTHER_MAC, FOREIGN)).unwrap();
    world.dataplane.admit(LINK, &admission(&["10.1.0.2"], MAC, OWN)).unwrap();
    assert_eq!(world.sends(&udp(("10.1.0.5", 1), OUT_V4)), "source_address", "given to another since");
    assert_eq!(world.sends(&udp(OWN_V4, ("10.1.0.5", 1))), "network");
}

#[test]
fn tunnels_to_hosts_are_not_for_endpoints() {
    let world = World::new();
    for host in ["192.0.2.1", "2001:db8:1::1"] {
        world.dataplane.hosts().insert(&HostAddress(crate::world::ip(host))).unwrap();
    }
    for (own, host, elsewhere) in [(OWN_V4, "192.0.2.1", "198.51.100.1"), (OWN_V6, "2001:db8:1::1", "2001:db8::1")] {
        for port in [4789, 8472, 6081] {
            assert_eq!(world.sends(&udp(own, (host, port))), "tunnel", "{port}");
            assert_eq!(world.sends(&udp(own, (elsewhere, port))), "passed", "{port} to a router of somebody's");
        }
        assert_eq!(world.sends(&udp((own.0, 4789), (host, 53))), "passed");
    }
    assert_eq!(world.sends(&udp(OWN_V4, ("239.1.1.1", 4789))), "tunnel", "a host may listen to the group");
    for protocol in [47, 4, 41] {
        let framed = |to| patched(udp(OWN_V4, (to, 9)), 23, &[protocol]);
        assert_eq!(world.sends(&framed("192.0.2.1")), "tunnel", "{protocol}");
        assert_eq!(world.sends(&framed("198.51.100.1")), "passed", "{protocol}");
    }
}

#[test]
fn networks_are_apart_unless_they_are_peers() {
    let world = World::new();
    world.dataplane.admit(9, &admission(&["10.1.0.3", "fd61::3"], OTHER_MAC, OWN)).unwrap();
    world.dataplane.admit(10, &admission(&["10.2.0.2", "fd62::2"], OTHER_MAC, FOREIGN)).unwrap();
    assert_eq!(world.sends(&udp(OWN_V4, ("10.1.0.3", 80))), "passed");
    assert_eq!(world.sends(&udp(OWN_V6, ("fd61::3", 80))), "passed");
    let (to_v4, to_v6) = (udp(OWN_V4, ("10.2.0.2", 80)), udp(OWN_V6, ("fd62::2", 80)));
    assert_eq!([world.sends(&to_v4), world.sends(&to_v6)], ["network"; 2]);
    world.dataplane.peerings().insert(&Peering { from: FOREIGN, to: OWN }).unwrap();
    assert_eq!([world.sends(&to_v4), world.sends(&to_v6)], ["network"; 2], "the other way only");
    world.dataplane.peerings().insert(&Peering { from: OWN, to: FOREIGN }).unwrap();
    assert_eq!([world.sends(&to_v4), world.sends(&to_v6)], ["passed"; 2]);
    world.dataplane.peerings().remove(&Peering { from: OWN, to: FOREIGN }).unwrap();
    assert_eq!(world.dataplane.peerings().list(), [Peering { from: FOREIGN, to: OWN }]);
    assert_eq!([world.sends(&to_v4), world.sends(&to_v6)], ["network"; 2]);
    world.dataplane.dismiss(10).unwrap();
    assert_eq!([world.sends(&to_v4), world.sends(&to_v6)], ["passed"; 2], "nobody is there any more");
}

#[test]
fn nothing_passes_before_birth_and_after_death() {
    let world = World::empty();
    let frame = udp(OWN_V4, OUT_V4);
    assert_eq!([world.sends(&frame), world.gets(&frame)], ["no_endpoint"; 2]);
    world.dataplane.admit(LINK, &admission(&["10.1.0.2"], MAC, OWN)).unwrap();
    assert_eq!([world.sends(&frame), world.gets(&frame)], ["passed"; 2]);
    world.dataplane.dismiss(LINK).unwrap();
    assert!(world.dataplane.counted(LINK).unwrap().is_empty(), "a later link of this number begins at nothing");
    assert!(world.dataplane.admitted().is_empty());
    assert_eq!([world.sends(&frame), world.gets(&frame)], ["no_endpoint"; 2]);
    world.dataplane.dismiss(LINK).unwrap();
}

#[test]
fn whoever_has_another_address_than_before_is_not_known_by_that_any_more() {
    let world = World::with_neighbour();
    let addresses = world.pinned("weft_addresses");
    let is_held = |text: &str| addresses.lookup(&address_of(ip(text)).bytes, MapFlags::ANY).unwrap().is_some();
    let sends_from = |text: &str| world.sends(&udp((text, 1), OUT_V4));
    let (first, several) = (["10.1.0.2", "fd61::2"], ["10.1.0.9", "10.1.0.10", "fd61::9"]);
    for (now, had) in [(&several[..], &first[..]), (&["10.1.0.8"], &several)] {
        let now = admission(now, MAC, OWN);
        world.dataplane.admit(LINK, &now).unwrap();
        assert!(world.dataplane.has_admitted(LINK, &now).unwrap());
        assert!(!had.iter().any(|address| is_held(address)), "{had:?}");
        assert_eq!(sends_from(had[0]), "source_address");
    }
    assert_eq!(sends_from("10.1.0.8"), "passed");
    assert!(is_held("10.1.0.3"), "its neighbour's");
}
