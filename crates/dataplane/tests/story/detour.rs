//! Packets that go by the stack, and by another link first: one that holds them back, or the bridge.

use weft_dataplane::Admission;

use crate::frames::{back, icmpv6, neighbour, tcp, udp};
use crate::world::{HANDED_OVER, LINK, MAC, OTHER_LINK, OWN, PAIRS, REDIRECTED, THIRD_LINK, World, admission};

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
        assert_eq!(world.sends(&udp(a, (outside, 53))), REDIRECTED);
        assert_eq!(world.sends(&tcp(a, b, "S")), REDIRECTED, "also to a neighbour");
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
        assert_eq!(world.sends(&tcp(a, b, "A")), REDIRECTED, "at once");
        assert_eq!(world.gets_by(OTHER_LINK, &tcp(a, b, "A")), PASSED);
        assert_eq!(world.carries(OTHER_LINK, LINK, &back(b, a, "A")), [PASSED; 2], "in both directions");
        world.dataplane.admit(LINK, &own()).unwrap();
        assert_eq!(world.sends(&tcp(a, b, "A")), HANDED_OVER);
    }
}

#[test]
fn what_an_endpoint_listens_to_is_for_the_host_alone_to_hear() {
    let world = World::new();
    let reports = [131, 132, 143].map(|kind| icmpv6("::", "ff02::16", kind, &[0; 20]));
    for report in &reports {
        assert_eq!(world.sends(report), PASSED);
    }
    for admission in [
        Admission { bridge: Some(OTHER_LINK), ..own() },
        Admission { bridge: Some(OTHER_LINK), throttle: Some(THIRD_LINK), by_stack: true, ..own() },
    ] {
        world.dataplane.admit(LINK, &admission).unwrap();
        for report in &reports {
            assert_eq!(world.sends(report), REDIRECTED);
        }
    }
    world.dataplane.admit(LINK, &Admission { bridge: Some(OTHER_LINK), ..own() }).unwrap();
    let solicitation = neighbour(135, "fd61::2", "fd61::9", Some((1, MAC)));
    assert_eq!(world.sends(&solicitation), PASSED, "what neighbours must hear");
}
