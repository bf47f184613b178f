//! What policies say, at the doors.

use std::sync::mpsc::channel;
use std::time::Duration;

use weft_dataplane::{HostAddress, abi, address_of};
use weft_model::Protocol;

use crate::frames::{back, patched, tcp, udp};
use crate::world::{HANDED_OVER, LINK, MAC, OTHER_LINK, OTHER_MAC, PAIRS, World, ip};

/// Numbers of identities and of sets.
const OWN: u32 = 11;
const OTHER: u32 = 12;
const INGRESS: u32 = 21;
const EGRESS: u32 = 22;
/// Numbers of tables.
const HTTPS: u32 = 31;
const ALL: u32 = 32;
/// A rule's.
const RULE: u32 = 41;
const OUTSIDE: &str = "198.51.100.1";

/// In both halves.
fn both(standing: abi::standing) -> abi::subject {
    abi::subject { standings: [standing; 2] }
}

fn accepted() -> abi::policy_verdict {
    abi::policy_verdict { network_rule: RULE, ..abi::policy_verdict::default() }
}

/// The first endpoint has both sets, and gets nothing but what these accept; the second one is known.
fn populated() -> World {
    let world = World::with_neighbour();
    let policies = world.dataplane.policies();
    let flags = abi::SUBJECT_INGRESS_ISOLATED | abi::SUBJECT_EGRESS_ISOLATED;
    let own = both(abi::standing { identity: OWN, sets: [INGRESS, EGRESS], flags, ..abi::standing::default() });
    policies.subjects.put(&LINK, &own).unwrap();
    policies.subjects.put(&OTHER_LINK, &both(abi::standing { identity: OTHER, ..abi::standing::default() })).unwrap();
    let port = 443u16.to_be_bytes();
    let https = abi::policy_port {
        length: abi::POLICY_PORT_BITS,
        table: HTTPS,
        protocol: Protocol::TCP.0,
        port,
        ..abi::policy_port::default()
    };
    policies.ports.put(&https, &accepted()).unwrap();
    let all = abi::policy_port { length: abi::POLICY_TABLE_BITS, table: ALL, ..abi::policy_port::default() };
    policies.ports.put(&all, &accepted()).unwrap();
    policies.enforce(true).unwrap();
    world
}

fn about_other(world: &World, set: u32, table: u32) {
    let policies = world.dataplane.policies();
    policies.peers.put(&abi::policy_peer { set, identity: OTHER }, &abi::policy_said { tables: [table; 2] }).unwrap();
    policies.renew().unwrap();
}

fn about_block(world: &World, set: u32, address: &str, bits: u32, table: u32) {
    let length = abi::POLICY_SET_BITS + bits;
    let key = abi::policy_block { length, set, prefix: address_of(ip(address)) };
    world.dataplane.policies().blocks.put(&key, &table).unwrap();
    world.dataplane.policies().renew().unwrap();
}

/// From the neighbour, whose frames have its Ethernet address.
fn by_other(frame: Vec<u8>) -> Vec<u8> {
    patched(patched(frame, 0, &MAC.0), 6, &OTHER_MAC.0)
}

#[test]
fn a_sender_reaches_whom_its_policies_accept_at_the_ports_they_name() {
    for [own, other] in PAIRS {
        let world = populated();
        assert_eq!(world.sends(&tcp(own, other, "S")), "policy_egress");
        about_other(&world, EGRESS, HTTPS);
        assert_eq!(world.sends(&tcp(own, other, "S")), HANDED_OVER, "at once, without a new program");
        assert_eq!(world.sends(&tcp(own, (other.0, 80), "S")), "policy_egress", "another port");
        assert_eq!(world.sends(&udp(own, other)), "policy_egress", "another protocol");
        about_other(&world, EGRESS, ALL);
        assert_eq!(world.sends(&udp(own, (other.0, 53))), HANDED_OVER);
        world.dataplane.policies().enforce(false).unwrap();
        assert_eq!(world.sends(&tcp(own, (other.0, 80), "S")), HANDED_OVER, "nobody is asked");
    }
}

#[test]
fn what_is_let_through_is_answered_and_ends_when_it_is_not_any_more() {
    let world = populated();
    let [own, other] = PAIRS[0];
    about_other(&world, EGRESS, HTTPS);
    assert_eq!(world.sends(&tcp(own, other, "S")), HANDED_OVER);
    let answer = patched(back(other, own, "SA"), 0, &MAC.0);
    assert_eq!(world.sends_by(OTHER_LINK, &answer), HANDED_OVER, "its ingress accepts nothing: an answer is none");
    for _ in 0..2 {
        assert_eq!(world.sends(&tcp(own, other, "A")), HANDED_OVER);
    }
    about_other(&world, EGRESS, 0);
    assert_eq!(world.sends(&tcp(own, other, "A")), "policy_egress");
    assert_eq!(world.sends_by(OTHER_LINK, &answer), "policy_egress", "from either end");
    about_other(&world, EGRESS, HTTPS);
    assert_eq!(world.sends(&tcp(own, other, "A")), HANDED_OVER, "the connection is known still");
}

#[test]
fn past_the_stack_the_senders_door_asks_for_the_receiver() {
    let [own, other] = PAIRS[0];
    let world = populated();
    let opened = by_other(udp((other.0, 5000), (own.0, 443)));
    assert_eq!(world.sends_by(OTHER_LINK, &opened), "policy_ingress");
    about_other(&world, INGRESS, ALL);
    assert_eq!(world.sends_by(OTHER_LINK, &opened), HANDED_OVER);
    // By the stack, each door asks for its own; whose a packet is that comes, the sender's has said.
    world.dataplane.set_short_way(false).unwrap();
    let by_stack = by_other(udp((other.0, 5001), (own.0, 443)));
    assert_eq!(world.carries(OTHER_LINK, LINK, &by_stack), ["passed"; 2]);
    about_other(&world, INGRESS, 0);
    assert_eq!(world.carries(OTHER_LINK, LINK, &by_stack), ["passed", "policy_ingress"]);
}

#[test]
fn an_address_is_looked_for_by_the_longest_prefix() {
    let world = populated();
    let own = PAIRS[0][0];
    let to = |address: &str| world.sends(&udp(own, (address, 53)));
    about_block(&world, EGRESS, "198.51.0.0", 96 + 16, ALL);
    assert_eq!([to(OUTSIDE), to("203.0.113.1")], ["passed", "policy_egress"]);
    about_block(&world, EGRESS, "198.51.100.0", 96 + 24, 0);
    assert_eq!([to(OUTSIDE), to("198.51.1.1")], ["policy_egress", "passed"], "but for a part of it");
    about_block(&world, EGRESS, OUTSIDE, 128, ALL);
    assert_eq!(to(OUTSIDE), "passed");
    about_block(&world, EGRESS, "10.1.0.3", 128, ALL);
    assert_eq!(to("10.1.0.3"), HANDED_OVER, "who has it here makes no difference");
}

#[test]
fn the_host_reaches_its_own_by_where_it_sends_from_and_not_by_its_address() {
    let world = populated();
    world.dataplane.hosts().insert(&HostAddress(ip("10.1.0.1"))).unwrap();
    let own = PAIRS[0][0];
    let from_host = udp(("10.1.0.1", 53), (own.0, 9));
    assert_eq!(world.gets_forwarded(&from_host), "policy_ingress", "whoever has its address");
    assert_eq!(world.gets(&from_host), "passed", "from its own stack");
    assert_eq!(world.sends(&udp((own.0, 9), ("10.1.0.1", 53))), "passed", "and is answered");
    assert_eq!(world.sends(&udp(own, ("10.1.0.1", 7))), "passed");
    assert_eq!(world.gets_forwarded(&udp((OUTSIDE, 1), (own.0, 9))), "policy_ingress");
    // An address that an endpoint of this host has makes nobody that endpoint.
    about_other(&world, INGRESS, ALL);
    assert_eq!(world.gets_forwarded(&udp((PAIRS[0][1].0, 1), (own.0, 9))), "policy_ingress");
}

#[test]
fn the_first_of_the_admin_tier_decides_before_all_others() {
    let world = populated();
    let [own, other] = PAIRS[0];
    let policies = world.dataplane.policies();
    let ports = |table| abi::policy_port { length: abi::POLICY_TABLE_BITS, table, ..abi::policy_port::default() };
    let verdict = |rank: u32, action: u32| abi::policy_verdict {
        admin_rank: rank,
        admin_rule: RULE + rank,
        admin_action: action as u8,
        baseline_rank: 1,
        baseline_action: abi::POLICY_DENY as u8,
        ..abi::policy_verdict::default()
    };
    let (identity, block) = (51, 52);
    about_other(&world, EGRESS, identity);
    about_block(&world, EGRESS, "10.1.0.0", 96 + 24, block);
    let mut port = 1;
    for (own_rank, own_action, block_rank, block_action, expected) in [
        (1, abi::POLICY_ACCEPT, 2, abi::POLICY_DENY, HANDED_OVER),
        (2, abi::POLICY_ACCEPT, 1, abi::POLICY_DENY, "policy_egress"),
        (1, abi::POLICY_PASS, 2, abi::POLICY_ACCEPT, "policy_egress"),
        (2, abi::POLICY_DENY, 1, abi::POLICY_ACCEPT, HANDED_OVER),
        (0, abi::POLICY_ACCEPT, 0, abi::POLICY_ACCEPT, "policy_egress"),
    ] {
        policies.ports.put(&ports(identity), &verdict(own_rank, own_action)).unwrap();
        policies.ports.put(&ports(block), &verdict(block_rank, block_action)).unwrap();
        policies.renew().unwrap();
        port += 1;
        let story = format!("{own_rank} {own_action}, {block_rank} {block_action}");
        assert_eq!(world.sends(&udp((own.0, port), other)), expected, "{story}");
    }
    // Whom no NetworkPolicy selects, the baseline tier is about.
    let open = both(abi::standing { identity: OWN, sets: [INGRESS, EGRESS], ..abi::standing::default() });
    policies.subjects.put(&LINK, &open).unwrap();
    policies.renew().unwrap();
    assert_eq!(world.sends(&udp((own.0, 99), other)), "policy_egress");
    policies.ports.put(&ports(identity), &abi::policy_verdict::default()).unwrap();
    policies.ports.put(&ports(block), &abi::policy_verdict::default()).unwrap();
    policies.renew().unwrap();
    assert_eq!(world.sends(&udp((own.0, 99), other)), HANDED_OVER, "nobody says anything");
}

/// What was counted of the rule: connections accepted, packets denied, packets audited.
fn counted(world: &World) -> [u64; 3] {
    let each = world.dataplane.policies().counts.per_cpu(&RULE).unwrap();
    each.iter().fold([0; 3], |[accepted, denied, audited], count| {
        [accepted + count.accepted, denied + count.denied, audited + count.audited]
    })
}

#[test]
fn what_audit_would_drop_passes_and_is_told_of_with_its_rule() {
    for [own, other] in PAIRS {
        let world = populated();
        let policies = world.dataplane.policies();
        // Nothing is enforced; if it were, its egress would be denied by a rule, and its ingress by none.
        let flags = abi::SUBJECT_INGRESS_ISOLATED_AUDITED;
        let watched =
            both(abi::standing { identity: OWN, flags, audited: [INGRESS, EGRESS], ..abi::standing::default() });
        policies.subjects.put(&LINK, &watched).unwrap();
        let deny = abi::policy_verdict {
            admin_rank: 1,
            admin_rule: RULE,
            admin_action: abi::POLICY_DENY as u8,
            ..abi::policy_verdict::default()
        };
        let all = abi::policy_port { length: abi::POLICY_TABLE_BITS, table: ALL, ..abi::policy_port::default() };
        policies.ports.put(&all, &deny).unwrap();
        about_other(&world, EGRESS, ALL);
        let (hear, heard) = channel();
        let events = world.dataplane.events(hear).unwrap();
        assert_eq!(world.sends(&udp(own, other)), HANDED_OVER);
        assert_eq!(world.sends(&udp(own, other)), HANDED_OVER, "once for a connection");
        assert_eq!(world.sends_by(OTHER_LINK, &by_other(udp((other.0, 7), (own.0, 8)))), HANDED_OVER);
        events.read(Duration::ZERO).unwrap();
        let told: Vec<_> = heard
            .try_iter()
            .filter(|event| u32::from(event.kind) == abi::EVENT_AUDITED)
            .map(|event| (u32::from(event.reason), event.rule))
            .collect();
        assert_eq!(told, [(abi::REASON_POLICY_EGRESS, RULE), (abi::REASON_POLICY_INGRESS, 0)]);
        assert_eq!(counted(&world), [0, 0, 1]);
        assert_eq!(world.dataplane.counted(LINK).unwrap().keys().filter(|(_, reason)| *reason != 0).count(), 0);
    }
}

#[test]
fn rules_count_connections_that_they_accept_and_packets_that_they_deny() {
    for is_short in [true, false] {
        let [own, other] = PAIRS[0];
        let world = populated();
        world.dataplane.set_short_way(is_short).unwrap();
        about_other(&world, EGRESS, ALL);
        for port in [1, 1, 2] {
            world.carries(LINK, OTHER_LINK, &udp((own.0, port), other));
        }
        world.dataplane.policies().renew().unwrap();
        world.carries(LINK, OTHER_LINK, &udp((own.0, 2), other));
        assert_eq!(counted(&world), [2, 0, 0], "not what is looked at again");
        about_other(&world, INGRESS, ALL);
        let opened = by_other(udp((other.0, 5000), (own.0, 443)));
        world.carries(OTHER_LINK, LINK, &opened);
        world.carries(OTHER_LINK, LINK, &opened);
        let answer = udp((own.0, 443), (other.0, 5000));
        world.carries(LINK, OTHER_LINK, &answer);
        assert_eq!(counted(&world), [3, 0, 0], "at one door of the two, and not its answers");
    }
}

#[test]
fn all_endpoints_change_at_once_when_the_halves_are_turned() {
    let [own, other] = PAIRS[0];
    let world = populated();
    let policies = world.dataplane.policies();
    // Now the first endpoint may send, and the second gets nothing; then it is the other way round.
    let sender =
        |sets| abi::standing { identity: OWN, sets, flags: abi::SUBJECT_EGRESS_ISOLATED, ..Default::default() };
    let receiver = |sets| {
        let flags = abi::SUBJECT_INGRESS_ISOLATED;
        abi::standing { identity: OTHER, sets, flags, ..Default::default() }
    };
    const CLOSED: u32 = 23;
    let halves = |standing: &dyn Fn([u32; 2]) -> abi::standing, sets: [[u32; 2]; 2]| abi::subject {
        standings: sets.map(standing),
    };
    policies.subjects.put(&LINK, &halves(&sender, [[0, EGRESS], [0, CLOSED]])).unwrap();
    policies.subjects.put(&OTHER_LINK, &halves(&receiver, [[CLOSED, 0], [INGRESS, 0]])).unwrap();
    about_other(&world, EGRESS, ALL);
    policies
        .peers
        .put(&abi::policy_peer { set: INGRESS, identity: OWN }, &abi::policy_said { tables: [ALL; 2] })
        .unwrap();
    assert_eq!(world.sends(&udp((own.0, 1), other)), "policy_ingress");
    policies.turn(true).unwrap();
    assert_eq!(world.sends(&udp((own.0, 2), other)), "policy_egress");

    // A packet that was let through before, and comes to its receiver after, is asked about by what holds now.
    world.dataplane.set_short_way(false).unwrap();
    policies.turn(true).unwrap();
    let between = udp((own.0, 3), other);
    assert_eq!(world.sends(&between), "passed");
    policies.turn(true).unwrap();
    assert_eq!(world.gets_by(OTHER_LINK, &between), "policy_egress");

    // What is said of an identity is turned along.
    policies
        .peers
        .put(&abi::policy_peer { set: CLOSED, identity: OTHER }, &abi::policy_said { tables: [ALL, 0] })
        .unwrap();
    policies.renew().unwrap();
    assert_eq!(world.sends(&udp((own.0, 4), other)), "policy_egress");
}
