//! What would become of packets that nobody sends.

use std::time::Duration;

use weft_dataplane::{Door, Opening, Verdict, abi};
use weft_model::Protocol;

use crate::world::{FOREIGN, LINK, MAC, OTHER_LINK, OTHER_MAC, OWN, World, admission, ip};

fn opening(from: &str, to: &str, protocol: Protocol) -> Opening {
    Opening { from: ip(from), mac: MAC, to_mac: OTHER_MAC, to: (ip(to), 80).into(), protocol }
}

#[test]
fn a_trial_says_what_a_packet_would_hear_and_changes_nothing() {
    let world = World::new();
    world.dataplane.set_short_way(true).unwrap();
    world.dataplane.admit(OTHER_LINK, &admission(&["10.1.0.3", "fd61::3"], OTHER_MAC, OWN)).unwrap();
    world.dataplane.admit(3, &admission(&["10.2.0.2"], OTHER_MAC, FOREIGN)).unwrap();
    let trial = world.dataplane.trial().unwrap();
    let before = world.dataplane.counted(LINK).unwrap();
    for protocol in [Protocol::TCP, Protocol::UDP, Protocol::ICMP, Protocol::SCTP, Protocol(47)] {
        let sent = |from, to| trial.sent_by(Door::Link(LINK), &opening(from, to, protocol)).unwrap();
        assert_eq!(sent("10.1.0.2", "10.1.0.3"), Verdict::Short, "{protocol}");
        assert_eq!(sent("fd61::2", "fd61::3"), Verdict::Short, "{protocol}");
        assert_eq!(sent("10.1.0.2", "198.51.100.1"), Verdict::Passed, "{protocol}");
        assert_eq!(
            sent("10.1.0.2", "10.2.0.2"),
            Verdict::Dropped { reason: abi::REASON_NETWORK, rule: 0 },
            "{protocol}"
        );
        assert_eq!(
            sent("10.1.0.7", "10.1.0.3"),
            Verdict::Dropped { reason: abi::REASON_SOURCE_ADDRESS, rule: 0 },
            "{protocol}"
        );
        let got = trial.sent_to(Door::Link(LINK), &opening("198.51.100.1", "10.1.0.2", protocol), false).unwrap();
        assert_eq!(got, Verdict::Passed, "{protocol}");
    }
    assert_eq!(world.dataplane.counted(LINK).unwrap(), before, "nothing was counted");
    assert!(world.dataplane.flows(Duration::ZERO).unwrap().is_empty(), "nothing was remembered");
    world.dataplane.dismiss(LINK).unwrap();
    let gone = trial.sent_by(Door::Link(LINK), &opening("10.1.0.2", "10.1.0.3", Protocol::TCP)).unwrap();
    assert_eq!(
        gone,
        Verdict::Dropped { reason: abi::REASON_NO_ENDPOINT, rule: 0 },
        "it reads the entries that are in force"
    );
}
