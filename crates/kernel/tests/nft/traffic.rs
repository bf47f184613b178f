//! What the rules do to packets.

use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};

use weft_kernel::nft::{Field, Match, Policy, Rule, State, Statement, Table};

use crate::world::*;

fn forwarding(policy: Policy, rules: Vec<Rule>) -> Table {
    table(vec![chain("forward", forward(policy), rules)])
}

fn address(text: &str) -> Option<IpAddr> {
    Some(text.parse().expect("an address"))
}

#[test]
fn masquerading_and_source_nat_change_the_source_of_both_families() {
    let world = World::new();
    let mut nft = world.nft();
    assert_eq!(world.seen_by_right(RIGHT_V4), address(LEFT_V4));
    assert_eq!(world.seen_by_right(RIGHT_V6), address("fd01::2"));
    let masquerade = |net| rule("out", vec![Match::Is(source(net))], vec![Statement::Masquerade]);
    let rules = vec![masquerade("10.1.0.0/16"), masquerade("fd01::/64")];
    nft.replace(&table(vec![chain("postrouting", postrouting(), rules)])).expect("replaced");
    assert_eq!(world.seen_by_right(RIGHT_V4), address("10.2.0.1"));
    assert_eq!(world.seen_by_right(RIGHT_V6), address("fd02::1"));
    let fixed = |to| rule("fixed", vec![], vec![Statement::SourceNat(to)]);
    let rules = vec![fixed([10, 2, 0, 9].into()), fixed("fd02::9".parse().expect("an address"))];
    nft.replace(&table(vec![chain("postrouting", postrouting(), rules)])).expect("replaced");
    assert_eq!(world.seen_by_right(RIGHT_V4), address("10.2.0.9"));
    assert_eq!(world.seen_by_right(RIGHT_V6), address("fd02::9"));
}

#[test]
fn a_masqueraded_connection_answers_and_outlives_replacing() {
    use std::io::{Read, Write};
    let world = World::new();
    let mut nft = world.nft();
    let masquerade = rule("out", vec![Match::Is(Field::Output(named("weft-r")))], vec![Statement::Masquerade]);
    let table = table(vec![chain("postrouting", postrouting(), vec![masquerade])]);
    nft.replace(&table).expect("replaced");
    let server = world.right.run(|| TcpListener::bind((RIGHT_V4, 0))).expect("enter").expect("bind");
    let to = server.local_addr().expect("bound");
    let mut client = world.left.run(|| TcpStream::connect(to)).expect("enter").expect("connected");
    let (mut accepted, from) = server.accept().expect("accepted");
    assert_eq!(Some(from.ip()), address("10.2.0.1"));
    for _ in 0..50 {
        nft.replace(&table).expect("replaced");
        client.write_all(b"?").expect("written");
        accepted.read_exact(&mut [0]).expect("asked");
        accepted.write_all(b"!").expect("written");
        client.read_exact(&mut [0]).expect("answered");
    }
}

#[test]
fn interfaces_match_by_name_by_prefix_and_by_neither() {
    let world = World::new();
    let mut nft = world.nft();
    let cases = [
        (Match::Is(Field::Input(named("weft-l"))), true),
        (Match::Is(Field::Input(named("weft"))), false),
        (Match::Is(Field::Input(prefixed("weft"))), true),
        (Match::Is(Field::Input(prefixed("weft-l"))), true),
        (Match::Is(Field::Input(prefixed("weft-r"))), false),
        (Match::Is(Field::Output(prefixed("weft-r"))), true),
        (Match::Not(Field::Output(prefixed("weft"))), false),
        (Match::Not(Field::Input(named("weft-r"))), true),
    ];
    for (condition, passes) in cases {
        let accept = rule("accept", vec![condition.clone()], vec![Statement::Accept]);
        nft.replace(&forwarding(Policy::Drop, vec![accept])).expect("replaced");
        assert_eq!(world.seen_by_right(RIGHT_V4).is_some(), passes, "{condition:?}");
    }
}

#[test]
fn addresses_match_by_prefix_and_negated_within_their_family() {
    let world = World::new();
    let mut nft = world.nft();
    let cases = [
        (Match::Is(source("10.1.0.0/16")), [true, false]),
        (Match::Is(source("10.1.0.2/32")), [true, false]),
        (Match::Is(source("10.1.0.4/30")), [false, false]),
        (Match::Not(destination("10.2.0.0/15")), [false, false]),
        (Match::Not(destination("10.4.0.0/15")), [true, false]),
        (Match::Is(destination("fd02::/63")), [false, true]),
        (Match::Not(source("fd01::2/128")), [false, false]),
        (Match::Not(source("fd01::3/128")), [false, true]),
        (Match::Is(Field::Protocol(17)), [true, true]),
        (Match::Not(Field::Protocol(17)), [false, false]),
    ];
    for (condition, passes) in cases {
        // Neighbour discovery is not forwarded, so nothing else needs to be let through.
        let accept = rule("accept", vec![condition.clone()], vec![Statement::Accept]);
        nft.replace(&forwarding(Policy::Drop, vec![accept])).expect("replaced");
        let seen = [RIGHT_V4, RIGHT_V6].map(|to| world.seen_by_right(to).is_some());
        assert_eq!(seen, passes, "{condition:?}");
    }
}

#[test]
fn answers_pass_where_questions_may_not() {
    let world = World::new();
    let rules = vec![
        rule("known", vec![Match::Is(Field::State(vec![State::Established]))], vec![Statement::Accept]),
        rule("out", vec![Match::Is(Field::Input(named("weft-l")))], vec![Statement::Jump("outward".to_owned())]),
    ];
    let outward = vec![rule("all", vec![], vec![Statement::Counter, Statement::Accept])];
    let chains = vec![chain("forward", forward(Policy::Drop), rules), chain("outward", None, outward)];
    world.nft().replace(&table(chains)).expect("replaced");
    assert_eq!(world.seen_by_left(LEFT_V4), None);
    let server = socket(&world.right, RIGHT_V4.parse().expect("an address"));
    let client = socket(&world.left, LEFT_V4.parse().expect("an address"));
    client.send_to(b"?", server.local_addr().expect("bound")).expect("sent");
    let (_, from) = server.recv_from(&mut [0]).expect("asked");
    server.send_to(b"!", from).expect("sent");
    client.recv_from(&mut [0]).expect("answered");
}

/// Under a flood, with the table replaced all the time: what is allowed always passes, what is not never does.
#[test]
fn no_packet_meets_a_gap_between_old_rules_and_new() {
    let allow = || rule("allow", vec![Match::Is(source("10.1.0.2/32"))], vec![Statement::Accept]);
    let forbid = || rule("forbid", vec![Match::Is(Field::Input(named("weft-l")))], vec![Statement::Drop]);
    let cases = [
        (forwarding(Policy::Drop, vec![allow()]), DATAGRAMS),
        (forwarding(Policy::Accept, vec![allow(), forbid()]), DATAGRAMS),
        (forwarding(Policy::Accept, vec![forbid()]), 0),
        (forwarding(Policy::Drop, vec![forbid()]), 0),
    ];
    for (table, expected) in cases {
        let (arrived, replaced) = flood(&table);
        assert!(replaced > 10, "replaced {replaced} times only");
        assert_eq!(arrived, expected, "replaced {replaced} times: {table:?}");
    }
}

const DATAGRAMS: usize = 20_000;

/// Sends datagrams from left to right and replaces the table meanwhile: how many arrived, how often it was replaced.
fn flood(table: &Table) -> (usize, usize) {
    let world = World::new();
    let mut nft = world.nft();
    nft.replace(table).expect("replaced");
    let server = socket(&world.right, RIGHT_V4.parse().expect("an address"));
    let client = socket(&world.left, LEFT_V4.parse().expect("an address"));
    client.connect(server.local_addr().expect("bound")).expect("connected");
    std::thread::scope(|scope| {
        let flood = scope.spawn(|| send_and_count(&client, &server));
        let mut replaced = 0;
        while !flood.is_finished() {
            nft.replace(table).expect("replaced");
            replaced += 1;
        }
        (flood.join().expect("flooded"), replaced)
    })
}

fn send_and_count(client: &UdpSocket, server: &UdpSocket) -> usize {
    /// Datagrams on their way at once: fewer than a socket's queue holds.
    const WINDOW: usize = 64;
    let mut arrived = 0;
    server.set_nonblocking(true).expect("set");
    for sent in 1..=DATAGRAMS {
        client.send(b"?").expect("sent");
        while sent % WINDOW == 0 && server.recv(&mut [0]).is_ok() {
            arrived += 1;
        }
    }
    server.set_nonblocking(false).expect("set");
    while arrived < DATAGRAMS && server.recv(&mut [0]).is_ok() {
        arrived += 1;
    }
    arrived
}
