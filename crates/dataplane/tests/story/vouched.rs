//! What a connection vouches for: packets like one that was looked at, until anything changes that is decided by.

use libbpf_rs::MapCore as _;
use weft_dataplane::{HostAddress, Peering};

use crate::frames::{back, echo, patched, tcp, udp};
use crate::world::{FOREIGN, HANDED_OVER, LINK, OTHER_LINK, OTHER_MAC, PAIRS, World, admission, ip};

/// With a connection of TCP from the endpoint to its neighbour, both ends of which have spoken.
fn connected([a, b]: [(&str, u16); 2]) -> World {
    let world = World::with_neighbour();
    assert_eq!(world.sends(&tcp(a, b, "S")), HANDED_OVER);
    assert_eq!(world.sends_by(OTHER_LINK, &back(b, a, "SA")), HANDED_OVER);
    assert_eq!(world.sends(&tcp(a, b, "A")), HANDED_OVER);
    world
}

#[test]
fn a_connection_is_looked_at_again_after_every_change_and_only_then() {
    for [a, b] in PAIRS {
        let world = connected([a, b]);
        // Behind the agent's back: nothing says that anything has changed.
        world.pinned("weft_endpoints").delete(&LINK.to_ne_bytes()).unwrap();
        assert_eq!(world.sends(&tcp(a, b, "A")), HANDED_OVER, "it is vouched for");
        assert_eq!(world.sends(&tcp(a, (b.0, 1), "S")), "no_endpoint", "another connection is not");
        world.dataplane.hosts().insert(&HostAddress(ip("192.0.2.1"))).unwrap();
        assert_eq!(world.sends(&tcp(a, b, "A")), "no_endpoint");
    }
}

#[test]
fn nobody_speaks_in_the_name_of_a_connection() {
    for [a, b] in PAIRS {
        let world = connected([a, b]);
        let segment = tcp(a, b, "A");
        assert_eq!(world.sends(&patched(segment.clone(), 6, &OTHER_MAC.0)), "source_mac");
        assert_eq!(world.sends(&back(b, a, "A")), "source_mac", "what the other end sends, at this door");
        assert_eq!(world.sends(&patched(tcp(b, a, "A"), 6, &crate::world::MAC.0)), "source_address");
        assert_eq!(world.sends(&segment), HANDED_OVER);
    }
}

#[test]
fn living_connections_hear_of_changes() {
    for [a, b] in PAIRS {
        let world = connected([a, b]);
        world.dataplane.dismiss(OTHER_LINK).unwrap();
        assert_eq!(world.sends(&tcp(a, b, "A")), "no_connection", "the other end is gone");

        let world = connected([a, b]);
        world.dataplane.dismiss(LINK).unwrap();
        assert_eq!(world.sends(&tcp(a, b, "A")), "no_endpoint");

        let world = World::with_neighbour();
        world.dataplane.admit(OTHER_LINK, &admission(&[b.0], OTHER_MAC, FOREIGN)).unwrap();
        let peering = Peering { from: crate::world::OWN, to: FOREIGN };
        world.dataplane.peerings().insert(&peering).unwrap();
        assert_eq!([world.sends(&tcp(a, b, "S")), world.sends(&udp(a, b))], [HANDED_OVER; 2]);
        world.dataplane.peerings().remove(&peering).unwrap();
        assert_eq!([world.sends(&tcp(a, b, "S")), world.sends(&udp(a, b))], ["network"; 2]);

        let world = World::new();
        let tunnel = if a.0.contains(':') { "2001:db8::9" } else { "198.51.100.9" };
        assert_eq!(world.sends(&udp(a, (tunnel, 4789))), "passed");
        world.dataplane.hosts().insert(&HostAddress(ip(tunnel))).unwrap();
        assert_eq!(world.sends(&udp(a, (tunnel, 4789))), "tunnel", "a host has that address now");
    }
}

#[test]
fn icmp_is_looked_at_packet_by_packet() {
    let world = World::with_neighbour();
    let [a, b] = PAIRS[0];
    // A timestamp request has no identifier that we read, nor has a redirect: they would be of one connection.
    let of_type = |kind: u8| patched(echo(a.0, b.0, false, 0), 34, &[kind]);
    assert_eq!(world.sends(&of_type(13)), HANDED_OVER);
    assert_eq!(world.sends(&of_type(13)), HANDED_OVER);
    assert_eq!([world.sends(&of_type(5)), world.sends(&of_type(9))], ["router"; 2]);
}
