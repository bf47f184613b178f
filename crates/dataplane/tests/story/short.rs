//! Straight from door to door, past the host's stack.

use weft_dataplane::{Admission, Peering};

use crate::frames::{back, echo, tcp, udp};
use crate::world::{FOREIGN, HANDED_OVER, LINK, MAC, OTHER_LINK, OWN, PAIRS, THIRD_LINK, World, admission, neighbour};

const PASSED: &str = "passed";

#[test]
fn a_connection_among_endpoints_goes_the_short_way_from_its_first_packet_to_its_last() {
    for [a, b] in PAIRS {
        let world = World::with_neighbour();
        for (link, frame) in [
            (LINK, tcp(a, b, "S")),
            (OTHER_LINK, back(b, a, "SA")),
            (LINK, tcp(a, b, "A")),
            (OTHER_LINK, back(b, a, "FA")),
            (LINK, tcp(a, b, "FA")),
            (OTHER_LINK, back(b, a, "A")),
            (LINK, udp(a, b)),
            (LINK, echo(a.0, b.0, false, 1)),
        ] {
            assert_eq!(world.sends_by(link, &frame), HANDED_OVER);
        }
        assert!(world.dataplane.flows(std::time::Duration::ZERO).unwrap().iter().all(|flow| flow.is_short));
        let counted = world.dataplane.counted(OTHER_LINK).unwrap();
        assert_eq!(counted[&(1, 0)].packets, 5, "counted at the door that it did not pass, too");
        assert_eq!(world.sends(&tcp(a, (a.0, 1), "S")), PASSED, "to itself");
        let outside = if a.0.contains(':') { "2001:db8::1" } else { "198.51.100.1" };
        assert_eq!(world.sends(&udp(a, (outside, 53))), PASSED);
    }
}

#[test]
fn what_began_by_the_stack_stays_there() {
    for [a, b] in PAIRS {
        let world = World::with_neighbour();
        world.dataplane.set_short_way(false).unwrap();
        assert_eq!(world.carries(LINK, OTHER_LINK, &tcp(a, b, "S")), [PASSED; 2]);
        world.dataplane.set_short_way(true).unwrap();
        assert_eq!(world.carries(OTHER_LINK, LINK, &back(b, a, "SA")), [PASSED; 2]);
        assert_eq!(world.carries(LINK, OTHER_LINK, &tcp(a, b, "A")), [PASSED; 2]);
        // The host translated: it was sent to an address of the host's, and came from the sender's own.
        let translated = (b.0, 80);
        assert_eq!(world.gets_by(OTHER_LINK, &tcp(a, translated, "S")), PASSED);
        assert_eq!(world.sends_by(OTHER_LINK, &back(translated, a, "SA")), PASSED, "the host has to translate it back");
    }
}

#[test]
fn the_way_is_closed_at_once_to_living_connections() {
    for [a, b] in PAIRS {
        let world = World::with_neighbour();
        assert_eq!(world.sends(&tcp(a, b, "S")), HANDED_OVER);
        assert_eq!(world.sends_by(OTHER_LINK, &back(b, a, "SA")), HANDED_OVER);
        world.dataplane.set_short_way(false).unwrap();
        assert_eq!(world.carries(LINK, OTHER_LINK, &tcp(a, b, "A")), [PASSED; 2]);
        assert_eq!(world.carries(OTHER_LINK, LINK, &back(b, a, "A")), [PASSED; 2]);
    }
}

#[test]
fn the_short_way_is_not_for_everybody() {
    for [a, b] in PAIRS {
        let world = World::with_neighbour();
        world.dataplane.admit(OTHER_LINK, &Admission { mtu: 1400, ..neighbour() }).unwrap();
        assert_eq!(world.sends(&udp(a, b)), PASSED, "the stack must tell that it is too large");
        assert_eq!(world.sends_by(OTHER_LINK, &back(b, (a.0, 1), "S")), HANDED_OVER, "the other way round it never is");
        world.dataplane.admit(OTHER_LINK, &Admission { network: FOREIGN, ..neighbour() }).unwrap();
        assert_eq!(world.sends(&udp(a, (b.0, 444))), "network");
        for (from, to) in [(OWN, FOREIGN), (FOREIGN, OWN)] {
            world.dataplane.peerings().insert(&Peering { from, to }).unwrap();
        }
        assert_eq!(world.sends(&udp(a, (b.0, 444))), HANDED_OVER, "among peers");
        world.dataplane.dismiss(OTHER_LINK).unwrap();
        assert_eq!(world.sends(&udp(a, (b.0, 444))), PASSED, "nobody is there any more");
        world.dataplane.admit(THIRD_LINK, &neighbour()).unwrap();
        assert_eq!(world.sends(&udp(a, (b.0, 444))), HANDED_OVER, "somebody else is");
        let own = admission(&["10.1.0.2", "fd61::2"], MAC, OWN);
        world.dataplane.admit(LINK, &Admission { isolated: true, ..own }).unwrap();
        assert_eq!(world.sends(&udp(a, (b.0, 444))), "isolated");
    }
}
