//! What belongs together, and what comes out of nowhere.

use libbpf_rs::{MapCore as _, MapFlags};
use weft_dataplane::abi;

use crate::frames::{echo, extended, patched, tcp, too_large, udp};
use crate::world::{LINK, MAC, OTHER_LINK, OTHER_MAC, OWN, World, admission};

/// The endpoint, and somebody far away, in either family.
pub(crate) const ENDS: [[(&str, u16); 2]; 2] =
    [[("10.1.0.2", 40000), ("198.51.100.1", 443)], [("fd61::2", 40000), ("2001:db8::1", 443)]];
/// Another endpoint.
const OTHERS: [(&str, u16); 2] = [("10.1.0.3", 443), ("fd61::3", 443)];
/// Offset in an IPv4 frame.
const IPV4_FRAGMENT: usize = 20;
const PASSED: &str = "passed";
const NO_CONNECTION: &str = "no_connection";

/// The states of all connections, oldest life first.
fn states(world: &World) -> Vec<u32> {
    let flows = world.dataplane.flows(uptime()).unwrap();
    flows.iter().map(|flow| u32::from(flow.state)).collect()
}

fn uptime() -> std::time::Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    std::time::Duration::new(now.tv_sec.unsigned_abs(), 0)
}

/// As if every connection had been silent for longer than it is remembered.
fn expire(world: &World) {
    for name in ["weft_flows", "weft_openings"] {
        let map = world.pinned(name);
        for key in map.keys() {
            let mut value = map.lookup(&key, MapFlags::ANY).unwrap().unwrap();
            value[..4].copy_from_slice(&0_u32.to_ne_bytes());
            map.update(&key, &value, MapFlags::ANY).unwrap();
        }
    }
}

/// A handshake that the endpoint begins.
pub(crate) fn connect(world: &World, [own, far]: [(&str, u16); 2]) {
    assert_eq!(world.sends(&tcp(own, far, "S")), PASSED);
    assert_eq!(world.gets(&tcp(far, own, "SA")), PASSED);
    assert_eq!(world.sends(&tcp(own, far, "A")), PASSED);
}

#[test]
fn tcp_begins_with_a_handshake_and_ends() {
    for [own, far] in ENDS {
        let world = World::new();
        for stray in ["A", "SA", "F", "R", "FA", "SF", ""] {
            assert_eq!(world.sends(&tcp(own, far, stray)), NO_CONNECTION, "{stray} out of nowhere");
            assert_eq!(world.gets(&tcp(far, own, stray)), NO_CONNECTION, "{stray} out of nowhere");
        }
        assert_eq!(world.sends(&tcp(own, far, "S")), PASSED);
        assert_eq!(states(&world), [abi::FLOW_OPENING]);
        assert_eq!(world.sends(&tcp(own, far, "S")), PASSED, "again, since nobody answered");
        assert_eq!(world.gets(&tcp(far, own, "A")), PASSED, "an old end that wonders (RFC 9293, section 3.5.1)");
        assert_eq!(states(&world), [abi::FLOW_OPENING]);
        assert_eq!(world.gets(&tcp(far, own, "SA")), PASSED);
        assert_eq!(states(&world), [abi::FLOW_ANSWERED]);
        assert_eq!(world.sends(&tcp(own, far, "A")), PASSED);
        assert_eq!(states(&world), [abi::FLOW_ESTABLISHED]);
        assert_eq!(world.pinned("weft_openings").keys().count(), 0, "it is kept where nothing pushes it out");
        assert_eq!(world.sends(&tcp(own, (far.0, 444), "A")), NO_CONNECTION, "another one");
        assert_eq!(world.gets(&tcp(far, own, "A")), PASSED);
        assert_eq!(world.gets(&tcp(far, own, "FA")), PASSED);
        assert_eq!(states(&world), [abi::FLOW_CLOSING]);
        assert_eq!(world.sends(&tcp(own, far, "A")), PASSED, "half of it is open");
        assert_eq!(world.sends(&tcp(own, far, "FA")), PASSED);
        assert_eq!(states(&world), [abi::FLOW_FINISHED]);
        assert_eq!(world.gets(&tcp(far, own, "A")), PASSED, "the last word");
        assert_eq!(world.gets(&tcp(far, own, "S")), PASSED, "the same ports again, the other way round");
        assert_eq!(states(&world), [abi::FLOW_OPENING]);
        assert_eq!(world.sends(&tcp(own, far, "RA")), PASSED, "refused");
        assert_eq!(states(&world), [abi::FLOW_RESET]);
        assert_eq!(world.gets(&tcp(far, own, "S")), PASSED, "and again");
        expire(&world);
        assert_eq!(world.sends(&tcp(own, far, "SA")), NO_CONNECTION, "too late");
    }
}

#[test]
fn silence_ends_a_connection() {
    for [own, far] in ENDS {
        let world = World::new();
        connect(&world, [own, far]);
        expire(&world);
        assert!(states(&world).is_empty());
        assert_eq!(world.sends(&tcp(own, far, "A")), NO_CONNECTION);
        connect(&world, [own, far]);
        assert_eq!(states(&world), [abi::FLOW_ESTABLISHED]);
        assert_eq!(world.dataplane.sweep(uptime()).unwrap(), weft_dataplane::Swept { living: 1, forgotten: 0 });
        expire(&world);
        assert_eq!(world.dataplane.sweep(uptime()).unwrap(), weft_dataplane::Swept { living: 0, forgotten: 1 });
        assert_eq!(world.pinned("weft_flows").keys().count(), 0);
    }
}

#[test]
fn datagrams_and_echoes_are_answered() {
    for [own, far] in ENDS {
        let world = World::new();
        assert_eq!(world.gets(&udp(far, own)), PASSED, "either may begin");
        assert_eq!(states(&world), [abi::FLOW_OPENING]);
        assert_eq!(world.gets(&udp(far, own)), PASSED);
        assert_eq!(states(&world), [abi::FLOW_OPENING], "saying it twice is no answer");
        assert_eq!(world.sends(&udp(own, far)), PASSED);
        assert_eq!(states(&world), [abi::FLOW_ESTABLISHED]);
        let [own, far] = [own.0, far.0];
        assert_eq!(world.gets(&echo(far, own, true, 7)), NO_CONNECTION, "nobody asked");
        assert_eq!(world.sends(&echo(own, far, false, 7)), PASSED);
        assert_eq!(world.gets(&echo(far, own, true, 8)), NO_CONNECTION, "somebody else did");
        assert_eq!(world.gets(&echo(far, own, true, 7)), PASSED);
    }
}

#[test]
fn errors_are_about_something_that_passed() {
    let router = ["203.0.113.9", "2001:db8:9::1"];
    for ([own, far], router) in ENDS.into_iter().zip(router) {
        let world = World::new();
        let (sent, got) = (udp(own, far), udp(far, own));
        let (about_sent, about_got) = (too_large(router, own.0, &sent), too_large(own.0, far.0, &got));
        assert_eq!(world.gets(&about_sent), "unrelated", "nothing was sent yet");
        assert_eq!(world.sends(&about_got), "unrelated", "nothing was got yet");
        assert_eq!(world.sends(&sent), PASSED);
        assert_eq!(world.gets(&about_sent), PASSED, "from one on the way");
        assert_eq!(world.sends(&about_got), PASSED);
        let reflected = too_large(own.0, router, &got);
        assert_eq!(world.sends(&reflected), "unrelated", "sent to one who has nothing to do with it");
        assert_eq!(world.gets(&too_large(router, own.0, &udp(own, (far.0, 444)))), "unrelated", "another port");
        assert_eq!(world.gets(&about_sent[..60]), "unrelated", "cut short");
        let syn = tcp(own, far, "S");
        assert_eq!(world.sends(&syn), PASSED);
        assert_eq!(world.gets(&too_large(router, own.0, &syn)), PASSED);
        expire(&world);
        assert_eq!(world.gets(&about_sent), "unrelated", "long ago");
    }
}

#[test]
fn fragments_belong_to_the_first_one() {
    let [[own4, far4], [own6, far6]] = ENDS;
    let v4 = |from, to, at: [u8; 2]| patched(udp(from, to), IPV4_FRAGMENT, &at);
    let v6 = |from, to, at: u8| extended(&udp(from, to), 44, &[0, 0, 0, at, 0, 0, 0, 9]);
    let datagrams = [
        [v4(own4, far4, [0x20, 0]), v4(own4, far4, [0, 8]), v4(far4, own4, [0, 8])],
        [v6(own6, far6, 1), v6(own6, far6, 8), v6(far6, own6, 8)],
    ];
    for [first, later, back] in datagrams {
        let world = World::new();
        assert_eq!(world.sends(&later), "fragment", "its beginning never passed");
        assert_eq!(world.sends(&first), PASSED);
        assert_eq!(world.sends(&later), PASSED);
        assert_eq!(world.gets(&back), "fragment", "of another datagram");
        assert_eq!(states(&world), [abi::FLOW_OPENING], "all of it is one connection");
    }
    let world = World::new();
    let segment = |flags, at: [u8; 2]| patched(tcp(own4, far4, flags), IPV4_FRAGMENT, &at);
    assert_eq!(world.sends(&segment("A", [0x20, 0])), NO_CONNECTION);
    assert_eq!(world.sends(&segment("A", [0, 8])), "fragment", "what was not let through has no more parts");
}

#[test]
fn many_at_once_and_neighbours_have_no_connections() {
    let world = World::new();
    for [own, _] in ENDS {
        let group = if own.0.contains(':') { "ff02::fb" } else { "224.0.0.251" };
        assert_eq!(world.sends(&udp(own, (group, 5353))), PASSED);
    }
    assert_eq!(world.sends(&udp(ENDS[0][0], ("255.255.255.255", 9))), PASSED);
    assert_eq!(world.gets(&crate::frames::neighbour(136, "fe80::1", "fd61::1", None)), PASSED);
    assert!(states(&world).is_empty());
}

#[test]
fn a_connection_ends_with_the_endpoint_that_had_it() {
    for ([own, _], other) in ENDS.into_iter().zip(OTHERS) {
        let world = World::new();
        world.dataplane.admit(OTHER_LINK, &admission(&["10.1.0.3", "fd61::3"], OTHER_MAC, OWN)).unwrap();
        let by = |from, to, flags| crate::frames::patched(tcp(from, to, flags), 6, &OTHER_MAC.0);
        assert_eq!(world.carries(LINK, OTHER_LINK, &tcp(own, other, "S")), [PASSED; 2]);
        assert_eq!(world.carries(OTHER_LINK, LINK, &by(other, own, "SA")), [PASSED; 2]);
        assert_eq!(world.carries(LINK, OTHER_LINK, &tcp(own, other, "A")), [PASSED; 2]);
        assert_eq!(states(&world), [abi::FLOW_ESTABLISHED], "one, though two doors saw it");
        world.dataplane.dismiss(LINK).unwrap();
        world.dataplane.admit(3, &admission(&["10.1.0.2", "fd61::2"], MAC, OWN)).unwrap();
        assert_eq!(world.sends_by(3, &tcp(own, other, "A")), NO_CONNECTION, "another one has the address");
        assert_eq!(world.gets_by(3, &by(other, own, "A")), NO_CONNECTION);
        assert_eq!(world.sends_by(OTHER_LINK, &by(other, own, "A")), NO_CONNECTION, "not with that one");
        assert_eq!(world.carries(3, OTHER_LINK, &tcp(own, other, "S")), [PASSED; 2], "a new one");
        world.dataplane.dismiss(3).unwrap();
        let swept = world.dataplane.sweep(uptime()).unwrap();
        assert_eq!(swept.living, 0);
    }
}
