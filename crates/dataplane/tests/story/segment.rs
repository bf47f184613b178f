//! Endpoints on a segment: who speaks there, and to whom.
//!
//! Link 1, by which a test run's packets come in unless told otherwise, is the first endpoint's own, or what both sit
//! on; link 2 is the second one's; the link to the outside is link 3.

use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use weft_dataplane::{
    Admission, Hold, HostAddress, Parent, Peering, Seat, Told, Uplink, abi, has_programs_in_front, told,
};
use weft_model::MacAddr;

use crate::frames::{arp, back, neighbour as nd, patched, tcp, udp, udp_by};
use crate::world::{
    FOREIGN, HANDED_OVER, HEARD, LINK, MAC, OTHER_LINK, OTHER_MAC, OWN, REDIRECTED, THIRD_LINK, World, admission, ip,
    skip,
};

const SEGMENT: u32 = 5;
/// Numbers of endpoints' links that sit on a parent: no link on the host has these.
const OWN_LINK: u32 = 1 << 20;
const NEIGHBOUR_LINK: u32 = OWN_LINK + 1;
/// The host's own address on the segment, and somebody's on the wire.
const HOST_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x1]);
const WIRE_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xee]);
const OWN_V4: (&str, u16) = ("10.1.0.2", 40000);
const NEIGHBOUR_V4: (&str, u16) = ("10.1.0.3", 443);
/// Where a frame names for whom it is.
const DESTINATION: usize = 0;

fn parent(by_address: bool) -> Parent {
    Parent { segment: SEGMENT, uplink: Some(THIRD_LINK), sibling: None, mac: HOST_MAC, by_address, routed: false }
}

fn seat() -> Seat {
    let link_local = ip("fe80::ff:fe00:a");
    let (is_station, by_switch, without_host, namespace) = (true, false, false, 0);
    Seat { parent: LINK, segment: SEGMENT, is_station, link_local, by_switch, without_host, namespace }
}

fn own(seat: Seat) -> Admission {
    Admission { seat: Some(seat), by_stack: true, ..admission(&["10.1.0.2", "fd61::2"], MAC, OWN) }
}

fn neighbour(network: u32) -> Admission {
    let seat = Seat { parent: OTHER_LINK, link_local: ip("fe80::ff:fe00:b"), ..seat() };
    Admission { seat: Some(seat), by_stack: true, ..admission(&["10.1.0.3", "fd61::3"], OTHER_MAC, network) }
}

fn neighbour_at(seat: Seat) -> Admission {
    Admission { seat: Some(seat), ..neighbour(OWN) }
}

/// Both endpoints, by links of their own.
fn populated() -> World {
    let world = World::empty();
    [LINK, OTHER_LINK].iter().for_each(|link| world.dataplane.set_parent(*link, &parent(false)).unwrap());
    world.dataplane.admit(LINK, &own(seat())).unwrap();
    world.dataplane.admit(OTHER_LINK, &neighbour(OWN)).unwrap();
    world
}

fn to(mac: MacAddr, frame: Vec<u8>) -> Vec<u8> {
    patched(frame, DESTINATION, &mac.0)
}

/// What the endpoint with this link sends by link 1.
fn sent(world: &World, link: u32, stories: &[(&str, Vec<u8>, &str)]) {
    for (story, frame, expected) in stories {
        assert_eq!(world.sends_by_parent(link, frame), *expected, "{story}");
    }
}

#[test]
fn what_an_endpoint_sends_goes_on_if_it_is_its_own() {
    let world = populated();
    let outside = ("198.51.100.1", 53);
    sent(
        &world,
        LINK,
        &[
            ("to a neighbour", to(OTHER_MAC, udp(OWN_V4, NEIGHBOUR_V4)), REDIRECTED),
            ("to the host", to(HOST_MAC, udp(OWN_V4, ("10.1.0.1", 53))), REDIRECTED),
            ("to the wire", to(WIRE_MAC, udp(OWN_V4, outside)), REDIRECTED),
            ("to everybody", arp(1, (MAC, "10.1.0.2"), "10.1.0.1"), REDIRECTED),
            ("as a neighbour", to(WIRE_MAC, udp(("10.1.0.3", 1), outside)), "source_address"),
            ("as the host", to(WIRE_MAC, udp(("10.1.0.1", 1), outside)), "source_address"),
            ("as a DHCP server", to(WIRE_MAC, udp(("10.1.0.2", 67), ("255.255.255.255", 68))), "dhcp_server"),
            ("nobody's", to(WIRE_MAC, udp(("0.0.0.0", 68), ("255.255.255.255", 67))), "source_address"),
            ("another's ARP", arp(2, (MAC, "10.1.0.3"), "10.1.0.1"), "source_arp"),
            ("another's advertisement", nd(136, "fd61::2", "fd61::3", Some((2, MAC))), "source_nd"),
            ("in the middle of nothing", to(WIRE_MAC, tcp(OWN_V4, outside, "A")), "no_connection"),
        ],
    );
    // Not even a neighbour's, with all that he has: by which link it came does nobody write into a frame.
    for mac in [HOST_MAC, WIRE_MAC, MacAddr([2, 9, 9, 9, 9, 9]), OTHER_MAC] {
        assert_eq!(world.sends_by_parent(LINK, &udp_by(mac, OWN_V4, outside)), "source_mac", "{mac}");
    }
    world.dataplane.dismiss(LINK).unwrap();
    assert_eq!(world.sends_by_parent(LINK, &udp(OWN_V4, outside)), "no_endpoint", "of one that is gone");
    world.dataplane.forget_parent(LINK).unwrap();
    assert_eq!(world.sends_by_parent(LINK, &udp_by(OTHER_MAC, NEIGHBOUR_V4, outside)), "no_endpoint");
}

#[test]
fn what_has_an_endpoint_s_addresses_is_its_own_only_if_it_was_sent_where_that_is() {
    let test = "what_has_an_endpoint_s_addresses_is_its_own_only_if_it_was_sent_where_that_is";
    if told() != Told::All {
        return skip(&format!("segment::{test}"), "this kernel does not tell whose socket sent a packet");
    }
    let world = populated();
    // What a test run sends is sent by a socket of this thread's namespace.
    let here = u32::try_from(std::fs::metadata("/proc/thread-self/ns/net").unwrap().ino()).unwrap();
    let (elsewhere, outside) = (here ^ 1, ("198.51.100.1", 53));
    world.dataplane.set_parent(LINK, &parent(true)).unwrap();
    let own = |namespace| {
        let seat = Seat { namespace, is_station: false, ..seat() };
        Admission { mac: HOST_MAC, ..own(seat) }
    };
    let frame = to(WIRE_MAC, udp_by(HOST_MAC, OWN_V4, outside));
    // The second time by what is vouched for.
    for (namespace, expected) in [(here, REDIRECTED), (elsewhere, "source_namespace")] {
        world.dataplane.admit(OWN_LINK, &own(namespace)).unwrap();
        for _ in 0..2 {
            assert_eq!(world.sends_by_parent(OWN_LINK, &frame), expected);
        }
    }
}

#[test]
fn a_connection_vouches_for_its_packets_but_not_for_whom_they_are() {
    for [a, b] in [[OWN_V4, NEIGHBOUR_V4], [("fd61::2", 40000), ("fd61::3", 443)]] {
        let world = populated();
        let frames = [tcp(a, b, "S"), tcp(a, b, "A")].map(|frame| to(OTHER_MAC, frame));
        let answers = [back(b, a, "SA"), back(b, a, "A")].map(|frame| to(MAC, frame));
        let wire = to(WIRE_MAC, tcp(a, b, "A"));
        assert_eq!(world.sends_by_own(LINK, &frames[0]), REDIRECTED);
        assert_eq!(world.gets_by_own(OTHER_LINK, &frames[0]), "passed");
        assert_eq!(world.sends_by_own(OTHER_LINK, &answers[0]), REDIRECTED);
        assert_eq!(world.gets_by_own(LINK, &answers[0]), "passed");
        assert_eq!(world.sends_by_own(LINK, &frames[1]), HANDED_OVER, "vouched for: past the other's door");
        assert_eq!(world.sends_by_own(OTHER_LINK, &answers[1]), HANDED_OVER);
        assert_eq!(world.sends_by_own(LINK, &wire), REDIRECTED, "vouched for: to the wire");
        // The neighbour is on another network now: the same connection, the same frames.
        world.dataplane.dismiss(OTHER_LINK).unwrap();
        world.dataplane.admit(OTHER_LINK, &neighbour(FOREIGN)).unwrap();
        assert_eq!(world.sends_by_own(LINK, &frames[1]), "network");
        assert_eq!(world.sends_by_own(OTHER_LINK, &answers[1]), "network");
        world.dataplane.peerings().insert(&Peering { from: OWN, to: FOREIGN }).unwrap();
        world.dataplane.peerings().insert(&Peering { from: FOREIGN, to: OWN }).unwrap();
        assert_eq!(world.sends_by_own(LINK, &frames[1]), REDIRECTED, "looked at again");
        assert_eq!(world.sends_by_own(LINK, &frames[1]), HANDED_OVER);
        world.dataplane.dismiss(OTHER_LINK).unwrap();
        assert_eq!(world.sends_by_own(LINK, &frames[1]), "no_connection", "with one that is gone");
    }
}

#[test]
fn a_door_is_passed_with_anothers_only_if_the_frame_is_for_who_is_behind_it() {
    let world = populated();
    // The connection is another's that is not on the segment, and the neighbour is on the way there.
    let outside = ("198.51.100.1", 443);
    let by_neighbour = to(OTHER_MAC, udp(OWN_V4, outside));
    for _ in 0..2 {
        assert_eq!(world.sends_by_own(LINK, &by_neighbour), REDIRECTED, "to be looked at by the neighbour's door");
    }
    // What is opened to a neighbour by way of another stays there, as long as it is sent so.
    let roundabout = to(WIRE_MAC, udp(OWN_V4, NEIGHBOUR_V4));
    let straight = to(OTHER_MAC, udp(OWN_V4, NEIGHBOUR_V4));
    for frame in [&roundabout, &roundabout, &straight, &straight] {
        assert_eq!(world.sends_by_own(LINK, frame), REDIRECTED);
    }
    // A switch has a say, and an endpoint may have got one since.
    let opened = to(OTHER_MAC, udp(("10.1.0.2", 1), NEIGHBOUR_V4));
    assert_eq!(world.sends_by_own(LINK, &opened), REDIRECTED);
    assert_eq!(world.sends_by_own(LINK, &opened), HANDED_OVER);
    world.dataplane.admit(LINK, &own(Seat { by_switch: true, ..seat() })).unwrap();
    for _ in 0..2 {
        assert_eq!(world.sends_by_own(LINK, &opened), REDIRECTED, "by the switch");
    }
    // By another link, nobody speaks in the name of the connection.
    assert_eq!(world.sends_by_own(OTHER_LINK, &opened), "source_mac");
    world.dataplane.admit(LINK, &own(Seat { parent: OTHER_LINK, ..seat() })).unwrap();
    assert_eq!(world.sends_by_parent(LINK, &opened), "no_endpoint");
}

#[test]
fn to_another_segment_there_is_no_way_but_by_the_wire() {
    let world = populated();
    world.dataplane.set_parent(OTHER_LINK, &Parent { segment: SEGMENT + 1, ..parent(false) }).unwrap();
    let there = Seat { parent: OTHER_LINK, segment: SEGMENT + 1, ..seat() };
    world.dataplane.dismiss(OTHER_LINK).unwrap();
    world.dataplane.admit(OTHER_LINK, &neighbour_at(there)).unwrap();
    let opened = to(OTHER_MAC, udp(OWN_V4, NEIGHBOUR_V4));
    for _ in 0..3 {
        assert_eq!(world.sends_by_own(LINK, &opened), REDIRECTED);
    }
}

#[test]
fn a_network_says_whom_its_endpoints_reach() {
    let world = populated();
    let to_neighbour = to(OTHER_MAC, udp(OWN_V4, NEIGHBOUR_V4));
    let to_host = to(HOST_MAC, udp(OWN_V4, ("10.1.0.1", 53)));
    world.dataplane.admit(LINK, &Admission { isolated: true, ..own(seat()) }).unwrap();
    sent(&world, LINK, &[("isolated", to_neighbour.clone(), "isolated"), ("to the host", to_host.clone(), REDIRECTED)]);
    world.dataplane.admit(LINK, &own(Seat { without_host: true, ..seat() })).unwrap();
    sent(
        &world,
        LINK,
        &[("beside the host", to_neighbour.clone(), REDIRECTED), ("without it", to_host.clone(), "host")],
    );
    // Nothing is left of the link to the outside but neighbours.
    world.dataplane.admit(LINK, &own(seat())).unwrap();
    world.dataplane.set_parent(LINK, &Parent { uplink: None, ..parent(false) }).unwrap();
    sent(
        &world,
        LINK,
        &[
            ("to a neighbour", to_neighbour, REDIRECTED),
            ("to everybody", arp(1, (MAC, "10.1.0.2"), "10.1.0.3"), HEARD),
            ("to the host", to_host, "no_parent"),
            ("to the wire", to(WIRE_MAC, udp(OWN_V4, ("198.51.100.1", 53))), "no_parent"),
        ],
    );
    world.dataplane.admit(LINK, &own(Seat { by_switch: true, ..seat() })).unwrap();
    sent(&world, LINK, &[("by a switch that is out of reach", to(OTHER_MAC, udp(OWN_V4, NEIGHBOUR_V4)), "no_parent")]);
}

#[test]
fn who_leases_an_address_may_ask_for_one_from_none() {
    let world = populated();
    let asks = |from| to(MacAddr([0xff; 6]), udp(from, ("255.255.255.255", 67)));
    world.dataplane.admit(LINK, &Admission { leases: true, ..own(seat()) }).unwrap();
    sent(
        &world,
        LINK,
        &[
            ("from its client's port", asks(("0.0.0.0", 68)), REDIRECTED),
            ("from another", asks(("0.0.0.0", 67)), "source_address"),
            ("as another", asks(("10.1.0.3", 68)), "source_address"),
            ("of one server", to(WIRE_MAC, udp(("0.0.0.0", 68), ("10.1.0.1", 67))), "source_address"),
        ],
    );
}

#[test]
fn where_the_host_routes_the_address_alone_says_for_whom_a_packet_is() {
    let world = World::empty();
    world.dataplane.set_parent(LINK, &Parent { routed: true, ..parent(true) }).unwrap();
    let seat = |link_local| Seat { is_station: false, link_local: ip(link_local), ..seat() };
    world.dataplane.admit(OWN_LINK, &Admission { mac: HOST_MAC, ..own(seat("fe80::2")) }).unwrap();
    world.dataplane.admit(NEIGHBOUR_LINK, &Admission { mac: HOST_MAC, ..neighbour_at(seat("fe80::3")) }).unwrap();
    world.dataplane.hosts().insert(&HostAddress(ip("10.1.0.1"))).unwrap();
    world.dataplane.hosts().insert(&HostAddress(ip("fd61::1"))).unwrap();
    // The kernel writes the same two Ethernet addresses into all of them.
    let frame = |from, destination| to(HOST_MAC, udp_by(HOST_MAC, from, destination));
    const OWN_V6: (&str, u16) = ("fd61::2", 40000);
    let stories = [
        ("to a neighbour", frame(OWN_V4, NEIGHBOUR_V4), REDIRECTED),
        ("to a neighbour", frame(OWN_V6, ("fd61::3", 443)), REDIRECTED),
        ("to the host", frame(OWN_V4, ("10.1.0.1", 53)), REDIRECTED),
        ("to the host", frame(OWN_V6, ("fd61::1", 53)), REDIRECTED),
        ("to the wire", frame(OWN_V4, ("198.51.100.1", 53)), REDIRECTED),
        ("to the wire", frame(OWN_V6, ("2001:db8::1", 53)), REDIRECTED),
        ("to everybody", frame(OWN_V4, ("255.255.255.255", 53)), "group"),
        ("to a group", frame(OWN_V4, ("224.0.0.251", 5353)), "group"),
        ("to a group", frame(OWN_V6, ("ff02::fb", 5353)), "group"),
        ("to no group", frame(OWN_V4, ("223.255.255.255", 53)), REDIRECTED),
    ];
    sent(&world, OWN_LINK, &stories);
    for from in [("10.1.0.1", 1), ("198.51.100.1", 1)] {
        assert_eq!(world.sends_by_parent(LINK, &frame(from, NEIGHBOUR_V4)), "source_address", "{from:?}");
    }
    world.dataplane.set_parent(LINK, &Parent { routed: true, uplink: None, ..parent(true) }).unwrap();
    for (story, frame, expected) in &stories {
        let without = if story.contains("neighbour") || *expected == "group" { expected } else { &"no_parent" };
        assert_eq!(world.sends_by_parent(OWN_LINK, frame), *without, "{story}, without a link to the outside");
    }
    world.dataplane.set_parent(LINK, &Parent { routed: true, ..parent(true) }).unwrap();
    let apart = Seat { without_host: true, ..seat("fe80::2") };
    world.dataplane.admit(OWN_LINK, &Admission { mac: HOST_MAC, ..own(apart) }).unwrap();
    assert_eq!(world.sends_by_parent(OWN_LINK, &frame(OWN_V4, ("10.1.0.1", 53))), "host");
    assert_eq!(world.sends_by_parent(OWN_LINK, &frame(OWN_V4, ("198.51.100.1", 53))), REDIRECTED);
}

#[test]
fn what_comes_by_the_uplink_is_handed_to_whom_it_is_for() {
    let world = populated();
    let uplink = Uplink { segment: SEGMENT, by_address: None, mac: HOST_MAC };
    world.dataplane.set_uplink(THIRD_LINK, &uplink).unwrap();
    let frame = |mac| to(mac, udp_by(WIRE_MAC, ("198.51.100.1", 53), OWN_V4));
    for hook in [abi::HOOK_UPLINK_IN, abi::HOOK_UPLINK_OUT] {
        assert_eq!(world.at_uplink(hook, &frame(MAC)), REDIRECTED, "to an endpoint");
        for mac in [HOST_MAC, WIRE_MAC, MacAddr([0xff; 6])] {
            assert_eq!(world.at_uplink(hook, &frame(mac)), "on", "{mac}");
        }
        assert_eq!(world.at_uplink(hook, &frame(MAC)[..36]), REDIRECTED, "cut short: its door says so");
    }
    world.dataplane.admit(LINK, &own(Seat { without_host: true, ..seat() })).unwrap();
    assert_eq!(world.at_uplink(abi::HOOK_UPLINK_IN, &frame(MAC)), REDIRECTED, "from the wire");
    assert_eq!(world.at_uplink(abi::HOOK_UPLINK_OUT, &frame(MAC)), "dropped", "from the host");
    world.dataplane.forget_uplink(THIRD_LINK).unwrap();
    assert_eq!(world.at_uplink(abi::HOOK_UPLINK_IN, &frame(MAC)), "on");
    assert!(world.dataplane.uplinks().is_empty());
}

#[test]
fn endpoints_without_ethernet_addresses_are_known_by_their_ip_addresses() {
    let world = World::empty();
    world.dataplane.set_parent(LINK, &parent(true)).unwrap();
    let shared = |link_local| Seat { is_station: false, link_local: ip(link_local), ..seat() };
    let first = Admission { mac: HOST_MAC, ..own(shared("fe80::2")) };
    world.dataplane.admit(OWN_LINK, &first).unwrap();
    let second = Seat { link_local: ip("fe80::3"), ..shared("fe80::3") };
    world.dataplane.admit(NEIGHBOUR_LINK, &Admission { mac: HOST_MAC, seat: Some(second), ..neighbour(OWN) }).unwrap();
    let frame = |from, destination| to(HOST_MAC, udp_by(HOST_MAC, from, destination));
    let outside = ("198.51.100.1", 53);
    sent(
        &world,
        OWN_LINK,
        &[
            ("to a neighbour", frame(OWN_V4, NEIGHBOUR_V4), REDIRECTED),
            ("to the wire", to(WIRE_MAC, udp_by(HOST_MAC, OWN_V4, outside)), REDIRECTED),
            ("from its link-local address", to(WIRE_MAC, udp_by(HOST_MAC, ("fe80::2", 1), ("fe80::9", 1))), REDIRECTED),
            ("by an Ethernet address of its own", to(WIRE_MAC, udp_by(MAC, OWN_V4, outside)), "source_mac"),
            ("ARP", patched(arp(1, (HOST_MAC, "10.1.0.2"), "10.1.0.1"), 6, &HOST_MAC.0), REDIRECTED),
        ],
    );
    let stranger = to(WIRE_MAC, udp_by(HOST_MAC, ("10.1.0.9", 1), outside));
    assert_eq!(world.sends_by_parent(LINK, &stranger), "source_address", "nobody's address");
    let uplink = Uplink { segment: SEGMENT, by_address: Some(LINK), mac: HOST_MAC };
    world.dataplane.set_uplink(THIRD_LINK, &uplink).unwrap();
    let comes = |destination| to(HOST_MAC, udp_by(WIRE_MAC, outside, destination));
    assert_eq!(world.at_uplink(abi::HOOK_UPLINK_IN, &comes(OWN_V4)), REDIRECTED);
    assert_eq!(world.at_uplink(abi::HOOK_UPLINK_IN, &comes(("10.1.0.1", 22))), "on", "the host's");
    assert_eq!(world.gets_by_parent(OWN_LINK, &comes(OWN_V4)), "passed");
    world.dataplane.dismiss(OWN_LINK).unwrap();
    assert_eq!(world.at_uplink(abi::HOOK_UPLINK_IN, &comes(OWN_V4)), "on", "nobody is there any more");
}

#[test]
fn what_holds_the_programs_of_a_parent_goes_with_it() {
    let world = World::empty();
    world.dataplane.set_parent(LINK, &parent(true)).unwrap();
    if world.dataplane.hold_parent(LINK).unwrap() == Hold::ByFilters {
        return skip("segment::what_holds_the_programs_of_a_parent_goes_with_it", "no tcx before Linux 6.6");
    }
    assert_eq!((world.dataplane.parents(), has_programs_in_front(LINK)), (vec![LINK], true));
    world.dataplane.forget_parent(LINK).unwrap();
    assert!(world.dataplane.parents().is_empty());
    let since = Instant::now();
    while has_programs_in_front(LINK) {
        assert!(since.elapsed() < Duration::from_secs(10), "the kernel lets go of them when it has time");
        std::thread::yield_now();
    }
}
