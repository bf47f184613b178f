//! The DHCPv4 client against a server told line by line.

#![allow(clippy::unwrap_used, reason = "a test that fails there says enough")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use weft_dhcp::v4::{Client, Kind, Message, Op, code};
use weft_dhcp::{Effect, Event, Held, Identity, Loss, Moment, Outgoing};
use weft_model::{Grant, MacAddr};

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const SERVER: [u8; 4] = [10, 0, 0, 1];
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 7);

/// A client and a clock that only goes when it is told to.
struct World {
    client: Client,
    now: Duration,
    random: u64,
}

impl World {
    fn new() -> Self {
        let identity = Identity::derived(&["machine", "web", "eth0"], MAC);
        Self { client: Client::fresh(identity, Some("web.example.org")), now: Duration::from_secs(1000), random: 7 }
    }

    fn step(&mut self, event: Event<'_>) -> Vec<Effect> {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.client.step(event, Moment { now: self.now, unix_s: 0, random: self.random })
    }

    /// Lets time pass until the client wants to be woken.
    fn wake(&mut self) -> Vec<Effect> {
        self.now = self.client.wake_at().expect("it waits for something");
        self.step(Event::Wake)
    }

    fn hear(&mut self, message: &Message) -> Vec<Effect> {
        self.step(Event::Received(&message.encode()))
    }

    /// Up to the request for what was offered.
    fn requesting(&mut self) -> Message {
        self.step(Event::Start);
        let discover = sent(&self.wake());
        sent(&self.hear(&answer(&discover, Kind::Offer, &[])))
    }

    fn bound(&mut self) -> Grant {
        let request = self.requesting();
        assert_eq!(self.hear(&answer(&request, Kind::Ack, &[])), [Effect::Probe(ADDRESS.into())]);
        assert_eq!(self.wake(), [Effect::Probe(ADDRESS.into())]);
        assert_eq!(self.wake(), [Effect::Probe(ADDRESS.into())]);
        let effects = self.wake();
        let [Effect::Announce(ADDRESS), Effect::Hold(grant, Held::Anew)] = effects.as_slice() else {
            panic!("{effects:?}")
        };
        grant.clone()
    }
}

fn outgoing(effects: &[Effect]) -> &Outgoing {
    let sent = effects.iter().find_map(|effect| match effect {
        Effect::Send(outgoing) => Some(outgoing),
        _ => None,
    });
    sent.unwrap_or_else(|| panic!("nothing is sent: {effects:?}"))
}

fn sent(effects: &[Effect]) -> Message {
    Message::decode(&outgoing(effects).message).unwrap()
}

fn kind(effects: &[Effect]) -> Option<Kind> {
    sent(effects).kind()
}

/// What a server says to `question`, with these options instead of the usual ones.
fn answer(question: &Message, kind: Kind, options: &[(u8, &[u8])]) -> Message {
    let usual: [(u8, &[u8]); 4] = [
        (code::SUBNET_MASK, &[255, 255, 255, 0]),
        (code::LEASE_TIME, &[0, 0, 3, 0xe8]),
        (code::SERVER_ID, &SERVER),
        (code::ROUTER, &SERVER),
    ];
    let all = usual.iter().chain(options).map(|(code, value)| (*code, value.to_vec()));
    let mut options: BTreeMap<u8, Vec<u8>> = all.collect();
    options.insert(code::MESSAGE_TYPE, vec![kind as u8]);
    Message { op: Op::Reply, yiaddr: ADDRESS, ciaddr: Ipv4Addr::UNSPECIFIED, options, ..question.clone() }
}

#[test]
fn an_address_is_asked_for_probed_and_held() {
    let mut world = World::new();
    world.step(Event::Start);
    let discover = sent(&world.wake());
    assert_eq!(discover.kind(), Some(Kind::Discover));
    assert!(discover.broadcast, "an ipvlan link would not hear unicast");
    assert_eq!(discover.options[&code::HOST_NAME], b"web");
    let request = sent(&world.hear(&answer(&discover, Kind::Offer, &[])));
    assert_eq!(request.kind(), Some(Kind::Request));
    assert_eq!(request.address(code::REQUESTED_ADDRESS), Some(ADDRESS));
    assert_eq!(request.address(code::SERVER_ID), Some(SERVER.into()));
    assert_eq!(request.options[&code::CLIENT_ID], discover.options[&code::CLIENT_ID]);
    let asked = world.now;
    let mut world = World::new();
    let grant = world.bound();
    assert_eq!(grant.address.to_string(), "10.0.0.7/24");
    assert_eq!(grant.times.granted_s, asked.as_secs());
    assert_eq!(world.client.wake_at(), Some(Duration::from_secs(grant.times.granted_s + 500)));
    assert_eq!(world.client.grant(), Some(&grant));
}

#[test]
fn questions_are_repeated_ever_slower_without_end() {
    let mut world = World::new();
    world.step(Event::Start);
    let first = sent(&world.wake());
    let mut waits = Vec::new();
    for _ in 0..8 {
        let before = world.now;
        let again = sent(&world.wake());
        assert_eq!(again.xid, first.xid);
        waits.push((world.now - before).as_secs_f64());
    }
    for (wait, usual) in waits.iter().zip([4.0, 8.0, 16.0, 32.0, 64.0, 64.0, 64.0, 64.0]) {
        assert!((wait - usual).abs() <= 1.0, "{waits:?}");
    }
}

#[test]
fn a_server_that_offers_and_then_is_silent_is_left() {
    let mut world = World::new();
    world.requesting();
    for _ in 1..4 {
        assert_eq!(kind(&world.wake()), Some(Kind::Request));
    }
    assert_eq!(kind(&world.wake()), Some(Kind::Discover));
}

#[test]
fn its_server_and_then_all_are_asked_for_more_time() {
    let mut world = World::new();
    let grant = world.bound();
    let effects = world.wake();
    assert_eq!(world.now.as_secs(), grant.times.granted_s + 500);
    assert_eq!((outgoing(&effects).from, outgoing(&effects).to), (Some(ADDRESS), Some(SERVER.into())));
    let request = sent(&effects);
    assert_eq!((request.kind(), request.ciaddr), (Some(Kind::Request), ADDRESS));
    assert!(!request.options.contains_key(&code::SERVER_ID) && !request.broadcast);
    while world.now.as_secs() < grant.times.granted_s + 875 {
        assert_eq!(outgoing(&world.wake()).to, if world.now.as_secs() < 1875 { Some(SERVER.into()) } else { None });
    }
    let effects = world.hear(&answer(&request, Kind::Ack, &[]));
    assert_eq!(effects, [], "that question is over");
    let rebind = sent(&world.wake());
    let other = answer(&rebind, Kind::Ack, &[(code::SERVER_ID, &[10, 0, 0, 2]), (code::ROUTER, &[10, 0, 0, 2])]);
    let effects = world.hear(&other);
    let [Effect::Hold(extended, Held::Changed)] = effects.as_slice() else { panic!("{effects:?}") };
    assert!(extended.times.end_s() > grant.times.end_s());
}

#[test]
fn an_extension_counts_from_its_question() {
    let mut world = World::new();
    world.bound();
    let request = sent(&world.wake());
    let asked = world.now;
    world.now += Duration::from_secs(30);
    let effects = world.hear(&answer(&request, Kind::Ack, &[]));
    let [Effect::Hold(extended, Held::Longer)] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!(extended.times.granted_s, asked.as_secs());
}

#[test]
fn nobody_answers_and_the_address_is_lost_in_time() {
    let mut world = World::new();
    let grant = world.bound();
    let end = Duration::from_secs(grant.times.end_s().unwrap());
    let lost = [Effect::Lose(grant.address, Loss::Expired)];
    let mut sent = 0;
    loop {
        let effects = world.wake();
        if effects == lost {
            break;
        }
        sent += 1;
        assert!(world.now < end && world.client.grant().is_some());
    }
    assert_eq!(world.now, end);
    assert!(sent < 12, "{sent} questions in 1,000 s");
    assert_eq!(world.client.grant(), None);
    assert_eq!(kind(&world.wake()), Some(Kind::Discover));
}

#[test]
fn a_host_that_slept_past_the_end_holds_nothing() {
    let mut world = World::new();
    let grant = world.bound();
    world.now += Duration::from_secs(100_000);
    assert_eq!(world.step(Event::Wake), [Effect::Lose(grant.address, Loss::Expired)]);
}

#[test]
fn a_lease_without_end_is_never_extended() {
    let mut world = World::new();
    let request = world.requesting();
    world.hear(&answer(&request, Kind::Ack, &[(code::LEASE_TIME, &[255; 4]), (code::RENEWAL_TIME, &[0, 0, 0, 1])]));
    (0..3).for_each(|_| drop(world.wake()));
    assert_eq!(world.client.grant().unwrap().times.lifetime_s, None);
    assert_eq!(world.client.wake_at(), None);
}

#[test]
fn a_refusal_is_heard_from_who_may_refuse() {
    let mut world = World::new();
    let request = world.requesting();
    let stranger = [(code::SERVER_ID, &[10, 0, 0, 66][..])];
    assert_eq!(world.hear(&answer(&request, Kind::Nak, &stranger)), []);
    assert!(world.client.is_listening(), "it still waits for the server it chose");
    assert_eq!(world.hear(&answer(&request, Kind::Nak, &[])), []);
    assert!(!world.client.is_listening());
    assert_eq!(kind(&world.wake()), Some(Kind::Discover));

    let mut world = World::new();
    let grant = world.bound();
    let renewal = sent(&world.wake());
    assert_eq!(world.hear(&answer(&renewal, Kind::Nak, &stranger)), []);
    assert_eq!(world.hear(&answer(&renewal, Kind::Nak, &[])), [Effect::Lose(grant.address, Loss::Refused)]);
}

#[test]
fn refusals_in_a_row_make_slow() {
    let mut world = World::new();
    world.step(Event::Start);
    let began = world.now;
    for _ in 0..20 {
        let discover = sent(&world.wake());
        let request = sent(&world.hear(&answer(&discover, Kind::Offer, &[])));
        world.hear(&answer(&request, Kind::Nak, &[]));
    }
    assert!(world.now - began > Duration::from_secs(600), "{:?}", world.now - began);
}

#[test]
fn answers_to_others_are_not_heard() {
    let mut world = World::new();
    world.step(Event::Start);
    let discover = sent(&world.wake());
    let good = answer(&discover, Kind::Offer, &[]);
    let bad = [
        Message { xid: good.xid ^ 1, ..good.clone() },
        Message { chaddr: MacAddr([2, 0, 0, 0, 0, 2]), ..good.clone() },
        Message { op: Op::Request, ..good.clone() },
        Message { yiaddr: Ipv4Addr::UNSPECIFIED, ..good.clone() },
        answer(&discover, Kind::Ack, &[]),
        answer(&discover, Kind::Nak, &[]),
        answer(&discover, Kind::Offer, &[(code::CLIENT_ID, b"another")]),
        answer(&discover, Kind::Offer, &[(code::LEASE_TIME, &[0; 4])]),
        answer(&discover, Kind::Offer, &[(code::LEASE_TIME, &[0, 0, 0, 1])]),
        answer(&discover, Kind::Offer, &[(code::SUBNET_MASK, &[0, 255, 0, 255])]),
    ];
    for message in bad {
        assert_eq!(world.hear(&message), [], "{message:?}");
    }
    assert_eq!(kind(&world.hear(&good)), Some(Kind::Request));
}

#[test]
fn another_address_than_the_one_asked_for_is_not_taken() {
    let mut world = World::new();
    let request = world.requesting();
    let other = Message { yiaddr: Ipv4Addr::new(10, 0, 0, 9), ..answer(&request, Kind::Ack, &[]) };
    assert_eq!(world.hear(&other), []);
    let stranger = answer(&request, Kind::Ack, &[(code::SERVER_ID, &[10, 0, 0, 66])]);
    assert_eq!(world.hear(&stranger), []);
    assert_eq!(world.hear(&answer(&request, Kind::Ack, &[])), [Effect::Probe(ADDRESS.into())]);
}

#[test]
fn an_address_that_another_has_is_declined_and_another_is_looked_for() {
    let mut world = World::new();
    let request = world.requesting();
    world.hear(&answer(&request, Kind::Ack, &[]));
    assert_eq!(world.step(Event::Claimed("10.0.0.8".parse().unwrap())), [], "not that one");
    let effects = world.step(Event::Claimed(IpAddr::V4(ADDRESS)));
    let decline = sent(&effects);
    assert_eq!(decline.kind(), Some(Kind::Decline));
    assert_eq!(decline.address(code::REQUESTED_ADDRESS), Some(ADDRESS));
    assert_eq!(decline.address(code::SERVER_ID), Some(SERVER.into()));
    assert_eq!(decline.ciaddr, Ipv4Addr::UNSPECIFIED);
    let before = world.now;
    assert_eq!(kind(&world.wake()), Some(Kind::Discover));
    assert!(world.now - before < Duration::from_secs(2), "a birth waits for it");
}

#[test]
fn an_address_is_given_back_to_its_server() {
    let mut world = World::new();
    let grant = world.bound();
    let effects = world.step(Event::Release);
    assert_eq!(effects[1..], [Effect::Lose(grant.address, Loss::Released)]);
    assert_eq!(outgoing(&effects).to, Some(SERVER.into()));
    let release = sent(&effects);
    assert_eq!((release.kind(), release.ciaddr), (Some(Kind::Release), ADDRESS));
    assert_eq!((world.client.wake_at(), world.step(Event::Release)), (None, vec![]));
}

#[test]
fn a_client_that_resumes_goes_on_where_the_other_ended() {
    let mut world = World::new();
    let grant = world.bound();
    let mut resumed = World::new();
    resumed.client = Client::resume(Identity::derived(&["machine", "web", "eth0"], MAC), None, grant.clone());
    resumed.now = world.now;
    assert_eq!(resumed.client.wake_at(), world.client.wake_at());
    let (there, here) = (sent(&world.wake()), sent(&resumed.wake()));
    assert_eq!((there.kind(), there.ciaddr), (here.kind(), here.ciaddr));
    assert_eq!(there.options[&code::CLIENT_ID], here.options[&code::CLIENT_ID]);
}
