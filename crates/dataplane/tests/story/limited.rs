//! Endpoints whose rate is limited: by the stack, and first by the link that holds them back.

use weft_dataplane::Admission;

use crate::frames::{back, tcp, udp};
use crate::world::{HANDED_OVER, HELD_BACK, LINK, MAC, OTHER_LINK, OWN, PAIRS, THIRD_LINK, World, admission};

const PASSED: &str = "passed";

fn own() -> Admission {
    admission(&["10.1.0.2", "fd61::2"], MAC, OWN)
}

#[test]
fn what_a_limited_endpoint_sends_goes_by_its_throttle_whoever_it_is_for() {
    for [a, b] in PAIRS {
        let world = World::with_neighbour();
        world.dataplane.admit(LINK, &Admission { by_stack: true, throttle: Some(THIRD_LINK), ..own() }).unwrap();
        let outside = if a.0.contains(':') { "2001:db8::1" } else { "198.51.100.1" };
        assert_eq!(world.sends(&udp(a, (outside, 53))), HELD_BACK);
        assert_eq!(world.sends(&tcp(a, b, "S")), HELD_BACK, "also to a neighbour");
        assert_eq!(world.gets_by(OTHER_LINK, &tcp(a, b, "S")), PASSED, "whose door it passes later");
        assert_eq!(world.carries(OTHER_LINK, LINK, &back(b, a, "SA")), [PASSED; 2], "the neighbour is free to send");
        assert_eq!(world.sends(&udp(("10.9.9.9", 1), ("10.1.0.3", 1))), "source_address", "doors are as they were");
        assert!(world.dataplane.flows(std::time::Duration::ZERO).unwrap().iter().all(|flow| !flow.is_short));
    }
}

#[test]
fn who_is_sent_to_slowly_alone_is_not_held_back() {
    for [a, b] in PAIRS {
        let world = World::with_neighbour();
        world.dataplane.admit(LINK, &Admission { by_stack: true, ..own() }).unwrap();
        assert_eq!(world.carries(LINK, OTHER_LINK, &tcp(a, b, "S")), [PASSED; 2]);
        assert_eq!(world.carries(OTHER_LINK, LINK, &back(b, a, "SA")), [PASSED; 2], "by the link that is slow");
    }
}

#[test]
fn limits_come_and_go_under_a_connection() {
    for [a, b] in PAIRS {
        let world = World::with_neighbour();
        let limited = Admission { by_stack: true, throttle: Some(THIRD_LINK), ..own() };
        assert_eq!(world.sends(&tcp(a, b, "S")), HANDED_OVER);
        assert_eq!(world.sends_by(OTHER_LINK, &back(b, a, "SA")), HANDED_OVER);
        world.dataplane.admit(LINK, &limited).unwrap();
        assert_eq!(world.sends(&tcp(a, b, "A")), HELD_BACK, "at once");
        assert_eq!(world.gets_by(OTHER_LINK, &tcp(a, b, "A")), PASSED);
        assert_eq!(world.carries(OTHER_LINK, LINK, &back(b, a, "A")), [PASSED; 2], "in both directions");
        world.dataplane.admit(LINK, &own()).unwrap();
        assert_eq!(world.sends(&tcp(a, b, "A")), HANDED_OVER);
    }
}
