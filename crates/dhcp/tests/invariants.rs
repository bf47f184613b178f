//! What holds whatever the network says: nothing panics, nothing is held past its end, nothing is sent too often.

#![allow(clippy::unwrap_used, reason = "a test that fails there says enough")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use weft_dhcp::packet::{Checksums, arp, icmp6, udp4};
use weft_dhcp::{Client, Effect, Event, Identity, Moment, v4, v6};
use weft_model::{Family, MacAddr};

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

fn identity() -> Identity {
    Identity::derived(&["machine", "web", "eth0"], MAC)
}

fn read_all(bytes: &[u8]) {
    for checksums in [Checksums::Filled, Checksums::Pending] {
        let _ = udp4::decode(bytes, checksums);
        let _ = icmp6::advertisement(bytes, checksums);
        let _ = icmp6::claimed(bytes, checksums);
    }
    let _ = arp::claimed(bytes, MAC);
    if let Ok(message) = v4::Message::decode(bytes) {
        let _ = v4::Terms::read(&message);
    }
    if let Ok(message) = v6::Message::decode(bytes) {
        let _ = v6::Reply::read(&message, &identity());
    }
}

/// A DHCPv4 header before whatever follows, an ICMPv6 one, and so on: deeper than mere noise comes.
fn dressed(mut bytes: Vec<u8>) -> [Vec<u8>; 3] {
    let mut v4 = vec![2, 1, 6, 0];
    v4.resize(236, 0);
    v4[28..34].copy_from_slice(&MAC.0);
    v4[16..20].copy_from_slice(&[10, 0, 0, 7]);
    v4.extend([99, 130, 83, 99, 52, 1, 3]);
    v4[44..108].iter_mut().zip(&bytes).for_each(|(to, from)| *to = *from);
    v4[108..236].iter_mut().zip(bytes.iter().rev()).for_each(|(to, from)| *to = *from);
    v4.extend(&bytes);
    let mut ra = vec![0x60, 0, 0, 0, 0, 0, 58, 255, 0xfe, 0x80];
    ra.resize(40, 0);
    let body = [&[134, 0, 0, 0, 64, 0xc0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0][..], &bytes].concat();
    ra[4..6].copy_from_slice(&u16::try_from(body.len()).unwrap().to_be_bytes());
    ra.extend(body);
    bytes.splice(..0, [7, 0, 0, 1]);
    [v4, ra, bytes]
}

/// Options of which the numbers are known and the values are not.
fn options_v4() -> impl Strategy<Value = BTreeMap<u8, Vec<u8>>> {
    let codes = prop::sample::select(vec![1_u8, 3, 6, 15, 26, 51, 54, 58, 59, 61, 119, 121]);
    let value = prop_oneof![
        vec(any::<u8>(), 0..40),
        any::<[u8; 4]>().prop_map(|value| value.to_vec()),
        (0_u32..40).prop_map(|seconds| seconds.to_be_bytes().to_vec()),
        Just(vec![255; 4]),
        Just(vec![10, 0, 0, 1]),
        Just(vec![255, 255, 255, 0]),
    ];
    btree_map(codes, value, 0..8)
}

/// Any options at all; that of an overload would lead elsewhere.
fn all_options() -> impl Strategy<Value = BTreeMap<u8, Vec<u8>>> {
    btree_map((1_u8..255).prop_filter("overload", |code| *code != v4::code::OVERLOAD), vec(any::<u8>(), 0..600), 0..6)
}

/// What the network and the clock do next.
#[derive(Debug, Clone)]
enum Turn {
    /// The clock goes on to when the client wants to be woken.
    Wake,
    /// It goes on by so much.
    Pass(Duration),
    /// The server answers to what was sent last: message type, seconds of the lease, and options it need not have sent.
    Answer(u8, u32, BTreeMap<u8, Vec<u8>>),
    /// The server answers, and one byte is another.
    Mangle(u8, usize, u8),
    /// The address that is probed is somebody's.
    Claim,
    Noise(Vec<u8>),
}

fn turn() -> impl Strategy<Value = Turn> {
    let lifetime = prop_oneof![Just(0), Just(1), 2_u32..20, 20_u32..5000, Just(u32::MAX)];
    prop_oneof![
        6 => Just(Turn::Wake),
        1 => (0_u64..3_000).prop_map(|seconds| Turn::Pass(Duration::from_secs(seconds))),
        2 => (0_u64..3_000).prop_map(|ms| Turn::Pass(Duration::from_millis(ms))),
        8 => (prop::sample::select(vec![2_u8, 5, 5, 5, 6, 7]), lifetime, options_v4())
            .prop_map(|(kind, lifetime, options)| Turn::Answer(kind, lifetime, options)),
        2 => (prop::sample::select(vec![2_u8, 5, 6, 7]), 0_usize..400, any::<u8>())
            .prop_map(|(kind, at, byte)| Turn::Mangle(kind, at, byte)),
        1 => Just(Turn::Claim),
        1 => vec(any::<u8>(), 0..300).prop_map(Turn::Noise),
    ]
}

/// A server that says anything, but to the right client.
fn answer(question: &[u8], kind: u8, lifetime: u32, options: &BTreeMap<u8, Vec<u8>>) -> Vec<u8> {
    if let Ok(question) = v4::Message::decode(question) {
        let mut all = BTreeMap::from([
            (1, vec![255, 255, 255, 0]),
            (51, lifetime.to_be_bytes().to_vec()),
            (54, vec![10, 0, 0, 1]),
        ]);
        all.extend(options.iter().filter(|(code, _)| **code != 61).map(|(code, value)| (*code, value.clone())));
        all.insert(53, vec![kind]);
        let yiaddr = Ipv4Addr::new(10, 0, 0, 7);
        return v4::Message { op: v4::Op::Reply, yiaddr, options: all, ..question }.encode();
    }
    let question = v6::Message::decode(question).unwrap();
    let address = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 7).octets();
    let number = |code: u8| options.get(&code).and_then(|value| Some(u32::from_be_bytes(*value.first_chunk::<4>()?)));
    let times = [number(58).unwrap_or(0), number(59).unwrap_or(0)].map(u32::to_be_bytes).concat();
    let within = [&[0, 5, 0, 24][..], &address, &lifetime.to_be_bytes(), &lifetime.to_be_bytes()].concat();
    let within = if kind == 6 { vec![0, 13, 0, 2, 0, 3] } else { within };
    let association = [&identity().iaid().to_be_bytes()[..], &times, &within].concat();
    let options = vec![(1, identity().duid().to_vec()), (2, vec![0, 1]), (3, association), (14, vec![])];
    let kind = if kind == 2 { v6::Kind::Advertise } else { v6::Kind::Reply };
    v6::Message { kind, xid: question.xid, options }.encode()
}

/// A client, the clock, and what an onlooker would write down.
struct World {
    client: Client,
    now: Duration,
    random: u64,
    last: Option<Vec<u8>>,
    probed: Option<IpAddr>,
    /// When messages were sent.
    sent: Vec<Duration>,
    /// The address that is held, and until when: by the effects alone.
    held: Option<(ipnet::IpNet, Option<Duration>)>,
}

impl World {
    fn step(&mut self, event: Event<'_>) {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let effects = self.client.step(event, Moment { now: self.now, unix_s: 0, random: self.random });
        for effect in effects {
            match effect {
                Effect::Send(outgoing) => {
                    self.sent.push(self.now);
                    self.last = Some(outgoing.message);
                }
                Effect::Probe(address) => self.probed = Some(address),
                Effect::Announce(_) => {}
                Effect::Hold(grant, how) => {
                    let before = self.held.map(|(address, _)| address.addr());
                    let expected = (how != weft_dhcp::Held::Anew).then_some(grant.address.addr());
                    assert_eq!(before, expected, "{how:?}");
                    let times = grant.times;
                    assert!(times.lifetime_s.is_none_or(|end| times.renew_s < times.rebind_s && times.rebind_s < end));
                    self.held = Some((grant.address, times.end_s().map(Duration::from_secs)));
                }
                Effect::Lose(address, _) => {
                    assert_eq!(self.held.take().map(|(held, _)| held), Some(address));
                }
            }
        }
        // Whoever is woken when it asked to be holds nothing past its end.
        assert_eq!(self.client.grant().map(|grant| grant.address), self.held.map(|(address, _)| address));
        assert!(self.held.is_none_or(|(_, end)| end.is_none_or(|end| self.now < end)));
        let end = self.held.and_then(|(_, end)| end);
        assert!(end.is_none_or(|end| self.client.wake_at().is_some_and(|at| at <= end)), "it would sleep past the end");
    }

    /// No more than so many in any minute: a server that gives out leases of four seconds is asked every two; one that
    /// only refuses, ever less.
    fn check_rate(&self) {
        const PER_MINUTE_MAX: usize = 150;
        for (n, at) in self.sent.iter().enumerate() {
            let within = self.sent[n..].iter().take_while(|other| **other - *at < Duration::from_secs(60)).count();
            assert!(within <= PER_MINUTE_MAX, "{within} messages in a minute");
        }
    }
}

fn live(family: Family, turns: Vec<Turn>, seed: u64) {
    let client = Client::fresh(family, identity(), Some("web"));
    let now = Duration::from_secs(1000);
    let mut world = World { client, now, random: seed, last: None, probed: None, sent: Vec::new(), held: None };
    world.step(Event::Start);
    for turn in turns {
        match turn {
            Turn::Wake => {
                if let Some(at) = world.client.wake_at() {
                    world.now = world.now.max(at);
                    world.step(Event::Wake);
                }
            }
            Turn::Pass(time) => {
                world.now += time;
                world.step(Event::Wake);
            }
            Turn::Answer(kind, lifetime, options) => {
                if let Some(last) = &world.last {
                    let bytes = answer(last, kind, lifetime, &options);
                    world.step(Event::Received(&bytes));
                }
            }
            Turn::Mangle(kind, at, byte) => {
                if let Some(last) = &world.last {
                    let mut bytes = answer(last, kind, 600, &BTreeMap::new());
                    let at = at % bytes.len();
                    bytes[at] = byte;
                    world.step(Event::Received(&bytes));
                }
            }
            Turn::Claim => {
                if let Some(address) = world.probed {
                    world.step(Event::Claimed(address));
                }
            }
            Turn::Noise(bytes) => world.step(Event::Received(&bytes)),
        }
    }
    world.step(Event::Release);
    // Whatever state it was in, it comes to rest.
    for _ in 0..8 {
        if let Some(at) = world.client.wake_at() {
            world.now = world.now.max(at);
            world.step(Event::Wake);
        }
    }
    assert_eq!(world.client.wake_at(), None);
    world.check_rate();
}

/// Failures are printed, not kept beside the source.
fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_bytes_are_too_bad(bytes in vec(any::<u8>(), 0..600)) {
        read_all(&bytes);
        dressed(bytes).iter().for_each(|bytes| read_all(bytes));
    }

    #[test]
    fn messages_come_back_as_they_were(
        xid: u32, secs: u16, broadcast: bool, addresses: [[u8; 4]; 2], mac: [u8; 6],
        options in all_options(),
        options_v6 in vec((any::<u16>(), vec(any::<u8>(), 0..600)), 0..6),
    ) {
        let [ciaddr, yiaddr] = addresses.map(Ipv4Addr::from);
        let message =
            v4::Message { op: v4::Op::Reply, xid, secs, broadcast, ciaddr, yiaddr, chaddr: MacAddr(mac), options };
        prop_assert_eq!(v4::Message::decode(&message.encode()), Ok(message));
        let message = v6::Message { kind: v6::Kind::Reply, xid: xid & 0xff_ffff, options: options_v6 };
        prop_assert_eq!(v6::Message::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn whatever_is_granted_makes_sense(options in options_v4()) {
        let options = options.into_iter().collect();
        let message = v4::Message {
            op: v4::Op::Reply, xid: 0, secs: 0, broadcast: false, ciaddr: Ipv4Addr::UNSPECIFIED,
            yiaddr: Ipv4Addr::new(10, 0, 0, 7), chaddr: MAC, options,
        };
        if let Ok(terms) = v4::Terms::read(&message) {
            prop_assert!(terms.address.prefix_len() > 0);
            let end = terms.lifetime_s.unwrap_or(u32::MAX);
            prop_assert!(0 < terms.renew_s && terms.renew_s < terms.rebind_s && terms.rebind_s < end);
        }
    }

    #[test]
    fn a_v4_client_keeps_its_promises(turns in vec(turn(), 0..120), seed: u64) {
        live(Family::IPv4, turns, seed);
    }

    #[test]
    fn a_v6_client_keeps_its_promises(turns in vec(turn(), 0..120), seed: u64) {
        live(Family::IPv6, turns, seed);
    }
}
