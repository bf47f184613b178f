//! The DHCPv6 client against a server told line by line.

#![allow(clippy::unwrap_used, reason = "a test that fails there says enough")]

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use weft_dhcp::v6::{Client, Kind, Message, code};
use weft_dhcp::{Effect, Event, Held, Identity, Loss, Moment};
use weft_model::{Grant, MacAddr};

const SERVER: &[u8] = &[0, 3, 0, 1, 9];
const ADDRESS: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 7);

struct World {
    client: Client,
    identity: Identity,
    now: Duration,
    random: u64,
}

impl World {
    fn new() -> Self {
        let identity = Identity::derived(&["machine", "web", "eth0"], MacAddr([2, 0, 0, 0, 0, 1]));
        let client = Client::fresh(identity.clone(), Some("web"));
        Self { client, identity, now: Duration::from_secs(1000), random: 7 }
    }

    fn step(&mut self, event: Event<'_>) -> Vec<Effect> {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.client.step(event, Moment { now: self.now, unix_s: 0, random: self.random })
    }

    fn wake(&mut self) -> Vec<Effect> {
        self.now = self.client.wake_at().expect("it waits for something");
        self.step(Event::Wake)
    }

    fn hear(&mut self, message: &Message) -> Vec<Effect> {
        self.step(Event::Received(&message.encode()))
    }

    /// What a server says to `question`: an address for so long, and these options besides.
    fn answer(&self, question: &Message, kind: Kind, valid: u32, more: &[(u16, &[u8])]) -> Message {
        let address = [&ADDRESS.octets()[..], &valid.to_be_bytes(), &valid.to_be_bytes()].concat();
        let within = [&[0, 5, 0, 24][..], &address].concat();
        self.answer_with(question, kind, &within, more)
    }

    fn answer_with(&self, question: &Message, kind: Kind, within: &[u8], more: &[(u16, &[u8])]) -> Message {
        let association = [&self.identity.iaid().to_be_bytes()[..], &[0; 8], within].concat();
        let mut options: Vec<(u16, Vec<u8>)> = more.iter().map(|(code, value)| (*code, value.to_vec())).collect();
        options.push((code::CLIENT_ID, self.identity.duid().to_vec()));
        options.push((code::SERVER_ID, SERVER.to_vec()));
        options.push((code::IA_NA, association));
        Message { kind, xid: question.xid, options }
    }

    fn soliciting(&mut self) -> Message {
        self.step(Event::Start);
        sent(&self.wake())
    }

    fn requesting(&mut self) -> Message {
        let solicit = self.soliciting();
        assert_eq!(self.hear(&self.answer(&solicit, Kind::Advertise, 1000, &[])), [], "others may be better");
        sent(&self.wake())
    }

    fn bound(&mut self) -> Grant {
        let request = self.requesting();
        let effects = self.hear(&self.answer(&request, Kind::Reply, 1000, &[]));
        assert_eq!(effects, [Effect::Probe(ADDRESS.into())]);
        self.wake();
        self.wake();
        let effects = self.wake();
        let [Effect::Hold(grant, Held::Anew)] = effects.as_slice() else { panic!("{effects:?}") };
        grant.clone()
    }
}

fn sent(effects: &[Effect]) -> Message {
    let sent = effects.iter().find_map(|effect| match effect {
        Effect::Send(outgoing) => Some(outgoing),
        _ => None,
    });
    Message::decode(&sent.unwrap_or_else(|| panic!("nothing is sent: {effects:?}")).message).unwrap()
}

#[test]
fn an_address_is_asked_for_probed_and_held() {
    let mut world = World::new();
    let request = world.requesting();
    assert_eq!((request.kind, request.option(code::SERVER_ID)), (Kind::Request, Some(SERVER)));
    let mut world = World::new();
    let grant = world.bound();
    assert_eq!(grant.address.to_string(), "fd00::7/128");
    assert_eq!((grant.times.renew_s, grant.times.rebind_s), (500, 800));
    assert_eq!(world.client.wake_at(), Some(Duration::from_secs(grant.times.granted_s + 500)));
}

#[test]
fn two_messages_are_enough_if_the_server_wants() {
    let mut world = World::new();
    let solicit = world.soliciting();
    let slow = world.answer(&solicit, Kind::Reply, 1000, &[]);
    assert_eq!(world.hear(&slow), [], "not without rapid commit");
    let rapid = world.answer(&solicit, Kind::Reply, 1000, &[(code::RAPID_COMMIT, &[])]);
    assert_eq!(world.hear(&rapid), [Effect::Probe(ADDRESS.into())]);
}

#[test]
fn the_most_preferred_server_is_chosen() {
    let mut world = World::new();
    let solicit = world.soliciting();
    let mut better = world.answer(&solicit, Kind::Advertise, 1000, &[(code::PREFERENCE, &[9])]);
    better.options.iter_mut().filter(|(code, _)| *code == code::SERVER_ID).for_each(|(_, duid)| *duid = vec![8, 8]);
    world.hear(&world.answer(&solicit, Kind::Advertise, 1000, &[]));
    world.hear(&better);
    world.hear(&world.answer(&solicit, Kind::Advertise, 1000, &[(code::PREFERENCE, &[3])]));
    assert_eq!(sent(&world.wake()).option(code::SERVER_ID), Some(&[8, 8][..]));

    let mut world = World::new();
    let solicit = world.soliciting();
    let best = world.answer(&solicit, Kind::Advertise, 1000, &[(code::PREFERENCE, &[255])]);
    assert_eq!(sent(&world.hear(&best)).kind, Kind::Request, "at once");
}

#[test]
fn a_server_without_addresses_is_not_chosen() {
    let mut world = World::new();
    let solicit = world.soliciting();
    world.hear(&world.answer_with(&solicit, Kind::Advertise, &[0, 13, 0, 2, 0, 2], &[]));
    world.hear(&world.answer(&solicit, Kind::Advertise, 1000, &[(code::STATUS, &[0, 2])]));
    world.hear(&world.answer(&solicit, Kind::Advertise, 1, &[]));
    assert_eq!(sent(&world.wake()).kind, Kind::Solicit);
    let late = world.answer(&solicit, Kind::Advertise, 1000, &[]);
    assert_eq!(sent(&world.hear(&late)).kind, Kind::Request, "the first wait is over");
}

#[test]
fn messages_are_repeated_as_often_as_they_may_be() {
    let mut world = World::new();
    world.requesting();
    for _ in 1..10 {
        assert_eq!(sent(&world.wake()).kind, Kind::Request);
    }
    assert_eq!(sent(&world.wake()).kind, Kind::Solicit);
}

#[test]
fn its_server_and_then_all_are_asked_for_more_time_until_it_is_over() {
    let mut world = World::new();
    let grant = world.bound();
    let (mut renewals, mut rebinds) = (0, 0);
    let lost = loop {
        let effects = world.wake();
        let into = world.now.as_secs() - grant.times.granted_s;
        if effects.iter().any(|effect| matches!(effect, Effect::Lose(..))) {
            break effects;
        }
        let message = sent(&effects);
        match message.kind {
            Kind::Renew => {
                assert!((500..800).contains(&into) && message.option(code::SERVER_ID) == Some(SERVER));
                renewals += 1;
            }
            Kind::Rebind => {
                assert!((800..1000).contains(&into) && message.option(code::SERVER_ID).is_none());
                rebinds += 1;
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(lost, [Effect::Lose(grant.address, Loss::Expired)]);
    assert_eq!(world.now.as_secs(), grant.times.granted_s + 1000);
    assert!((3..7).contains(&renewals) && (3..7).contains(&rebinds), "{renewals} {rebinds}");
}

#[test]
fn an_extension_is_taken_from_its_server() {
    let mut world = World::new();
    let grant = world.bound();
    let renew = sent(&world.wake());
    let mut stranger = world.answer(&renew, Kind::Reply, 1000, &[]);
    stranger.options.iter_mut().filter(|(code, _)| *code == code::SERVER_ID).for_each(|(_, duid)| *duid = vec![8, 8]);
    assert_eq!(world.hear(&stranger), []);
    assert_eq!(world.hear(&world.answer(&renew, Kind::Reply, 1000, &[(code::STATUS, &[0, 1])])), [], "it failed");
    let effects = world.hear(&world.answer(&renew, Kind::Reply, 1000, &[]));
    let [Effect::Hold(extended, Held::Longer)] = effects.as_slice() else { panic!("{effects:?}") };
    assert!(extended.times.end_s() > grant.times.end_s());
}

#[test]
fn a_server_that_forgot_is_asked_anew_and_one_that_ends_it_is_heard() {
    let mut world = World::new();
    let grant = world.bound();
    let renew = sent(&world.wake());
    let effects = world.hear(&world.answer_with(&renew, Kind::Reply, &[0, 13, 0, 2, 0, 3], &[]));
    assert_eq!(effects[0], Effect::Lose(grant.address, Loss::Refused));
    assert_eq!(sent(&effects).kind, Kind::Request);

    let mut world = World::new();
    let grant = world.bound();
    let renew = sent(&world.wake());
    assert_eq!(world.hear(&world.answer(&renew, Kind::Reply, 0, &[])), [Effect::Lose(grant.address, Loss::Refused)]);
    assert_eq!(sent(&world.wake()).kind, Kind::Solicit);
}

#[test]
fn an_address_that_another_has_is_declined_and_another_is_looked_for() {
    let mut world = World::new();
    let request = world.requesting();
    world.hear(&world.answer(&request, Kind::Reply, 1000, &[]));
    assert_eq!(world.step(Event::Claimed("fd00::8".parse().unwrap())), []);
    let decline = sent(&world.step(Event::Claimed(IpAddr::V6(ADDRESS))));
    assert_eq!((decline.kind, decline.option(code::SERVER_ID)), (Kind::Decline, Some(SERVER)));
    world.hear(&world.answer_with(&decline, Kind::Reply, &[], &[]));
    assert_eq!(sent(&world.wake()).kind, Kind::Solicit);
}

#[test]
fn an_address_is_given_back_until_its_server_knows_or_four_times() {
    let mut world = World::new();
    let grant = world.bound();
    let effects = world.step(Event::Release);
    assert_eq!(effects[0], Effect::Lose(grant.address, Loss::Released));
    let release = sent(&effects);
    assert_eq!(release.kind, Kind::Release);
    world.hear(&world.answer_with(&release, Kind::Reply, &[], &[]));
    assert_eq!(world.client.wake_at(), None);

    let mut world = World::new();
    world.bound();
    world.step(Event::Release);
    for _ in 1..4 {
        assert_eq!(sent(&world.wake()).kind, Kind::Release);
    }
    assert_eq!((world.wake(), world.client.wake_at()), (vec![], None));
}
