//! Packets that somebody captures.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use weft_dataplane::{Captured, Packet, abi};

use crate::frames::{echo, patched, udp};
use crate::world::{HANDED_OVER, LINK, OTHER_LINK, OTHER_MAC, OWN, World, admission};

const ALL: u32 = abi::CAPTURE_OUT | abi::CAPTURE_IN | abi::CAPTURE_PASSED;
const PASSED: (u32, u32) = (abi::EVENT_PASSED, abi::REASON_PASSED);

/// Capture, direction, kind and reason, and bytes.
type Seen = (u64, u32, (u32, u32), Vec<u8>);

struct Captures {
    captured: Captured,
    heard: Receiver<Packet>,
}

impl Captures {
    fn of(world: &World) -> Self {
        let (hear, heard) = channel();
        let captured = world.dataplane.captured(move |packet| hear.send(packet).unwrap()).unwrap();
        Self { captured, heard }
    }

    /// What was captured since.
    fn read(&self) -> Vec<Seen> {
        self.captured.read(Duration::ZERO).unwrap();
        // Each CPU has its own buffer. Captures of one packet come in the order of their slots.
        let mut heard: Vec<_> = self.heard.try_iter().collect();
        heard.sort_by_key(|packet| packet.event.time);
        let tell = |Packet { capture, event, bytes }: Packet| {
            (capture, event.direction.into(), (event.kind.into(), event.reason.into()), bytes)
        };
        heard.into_iter().map(tell).collect()
    }
}

fn capture(id: u64, link: u32, wants: u32) -> abi::capture {
    abi::capture { id, link, wants, bytes_max: abi::CAPTURE_BYTES_MAX, ..abi::capture::default() }
}

fn other(world: &World) {
    world.dataplane.admit(OTHER_LINK, &admission(&["10.1.0.3", "fd61::3"], OTHER_MAC, OWN)).unwrap();
}

#[test]
fn a_captured_packet_has_its_verdict_and_nothing_comes_when_nobody_captures() {
    let world = World::new();
    let captures = Captures::of(&world);
    let honest = udp(("10.1.0.2", 1), ("198.51.100.1", 53));
    let forged = udp(("10.1.0.9", 1), ("198.51.100.1", 53));
    assert_eq!(world.sends(&honest), "passed");
    assert_eq!(captures.read(), []);

    world.dataplane.begin_capture(2, &capture(7, LINK, ALL)).unwrap();
    assert_eq!(world.sends(&honest), "passed");
    assert_eq!(world.sends(&forged), "source_address");
    let answer = udp(("198.51.100.1", 53), ("10.1.0.2", 1));
    assert_eq!(world.gets(&answer), "passed");
    let dropped = (abi::EVENT_DROPPED, abi::REASON_SOURCE_ADDRESS);
    let seen = captures.read();
    assert_eq!(
        seen,
        [
            (7, abi::DIRECTION_OUT, PASSED, honest.clone()),
            (7, abi::DIRECTION_OUT, dropped, forged.clone()),
            (7, abi::DIRECTION_IN, PASSED, answer.clone()),
        ]
    );

    world.dataplane.end_capture(2).unwrap();
    assert_eq!(world.sends(&honest), "passed");
    assert_eq!(captures.read(), []);
}

#[test]
fn each_capture_gets_what_it_wants_and_no_more() {
    let world = World::new();
    other(&world);
    let captures = Captures::of(&world);
    for (slot, wants) in [abi::CAPTURE_OUT, ALL & !abi::CAPTURE_OUT].into_iter().enumerate() {
        world.dataplane.begin_capture(slot as u32, &capture(slot as u64, LINK, wants)).unwrap();
    }
    let cut = abi::capture { bytes_max: 20, ..capture(2, LINK, ALL) };
    world.dataplane.begin_capture(2, &cut).unwrap();
    world.dataplane.begin_capture(3, &capture(3, OTHER_LINK, ALL)).unwrap();
    let to_it = |frame| world.gets(frame);
    for (frame, by) in [
        (udp(("10.1.0.2", 1), ("198.51.100.1", 53)), vec![2]),
        (udp(("10.1.0.9", 1), ("198.51.100.1", 53)), vec![0, 2]),
    ] {
        world.sends(&frame);
        assert_eq!(captures.read().iter().map(|(capture, ..)| *capture).collect::<Vec<_>>(), by);
    }
    let frame = echo("198.51.100.1", "10.1.0.2", false, 1);
    assert_eq!(to_it(&frame), "passed");
    let seen = captures.read();
    assert_eq!(
        seen,
        [(1, abi::DIRECTION_IN, PASSED, frame.clone()), (2, abi::DIRECTION_IN, PASSED, frame[..20].to_vec())]
    );
    world.dataplane.end_capture(0).unwrap();
    assert_eq!(to_it(&frame), "passed");
    assert_eq!(captures.read().len(), 2, "the others go on");
}

#[test]
fn what_goes_from_door_to_door_is_captured_at_both() {
    let world = World::new();
    other(&world);
    world.dataplane.set_short_way(true).unwrap();
    let captures = Captures::of(&world);
    world.dataplane.begin_capture(0, &capture(1, OTHER_LINK, ALL)).unwrap();
    world.dataplane.begin_capture(1, &capture(2, LINK, ALL)).unwrap();
    let frame = echo("10.1.0.2", "10.1.0.3", false, 1);
    assert_eq!(world.sends(&frame), HANDED_OVER);
    let arrived = patched(patched(frame, 0, &OTHER_MAC.0), 6, &OTHER_MAC.0);
    let seen = captures.read();
    let sides: Vec<_> = seen.iter().map(|(capture, direction, verdict, _)| (*capture, *direction, *verdict)).collect();
    assert_eq!(sides, [(1, abi::DIRECTION_IN, PASSED), (2, abi::DIRECTION_OUT, PASSED)]);
    assert!(seen.iter().all(|(.., bytes)| bytes[14..] == arrived[14..]));
    assert!(world.dataplane.has_short_way().unwrap(), "one setting does not touch the other");
    world.dataplane.set_short_way(false).unwrap();
    assert_eq!(world.sends(&udp(("10.1.0.2", 1), ("10.1.0.3", 2))), "passed");
    assert_eq!(captures.read().len(), 1, "by the stack it has not come to the other door yet");
}

#[test]
fn what_nobody_reads_is_counted_as_missed() {
    let world = World::new();
    world.dataplane.begin_capture(0, &capture(1, LINK, ALL)).unwrap();
    let frame = udp(("10.1.0.2", 1), ("198.51.100.1", 53));
    assert_eq!((world.sends(&frame), world.sends(&frame)), ("passed", "passed"));
    assert_eq!(world.dataplane.missed(0).unwrap(), 2);
    world.dataplane.end_capture(0).unwrap();
    assert_eq!(world.dataplane.missed(0).unwrap(), 0);
}
