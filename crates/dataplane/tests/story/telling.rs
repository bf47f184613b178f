//! What the programs tell of connections and drops, and what they do where nobody is to be told.

use std::sync::mpsc::channel;
use std::time::Duration;

use weft_dataplane::{Telling, abi};

use crate::frames::{tcp, udp};
use crate::world::{LINK, MAC, OWN, World, admission};

const CLIENT: (&str, u16) = ("10.1.0.2", 40000);
const SERVER: (&str, u16) = ("198.51.100.1", 443);

/// A connection from its first packet to its last, and a drop.
fn live(world: &World) {
    world.dataplane.admit(LINK, &admission(&["10.1.0.2", "fd61::2"], MAC, OWN)).unwrap();
    let sent = |flags| world.sends(&tcp(CLIENT, SERVER, flags));
    let got = |flags| world.gets(&tcp(SERVER, CLIENT, flags));
    assert_eq!([sent("S"), got("SA"), sent("A"), sent("R")], ["passed"; 4]);
    assert_eq!(world.sends(&udp(("10.1.0.9", 1), SERVER)), "source_address");
}

fn kinds_told(telling: Telling) -> (World, Vec<u32>) {
    let world = World::of(telling);
    let (hear, heard) = channel();
    let events = world.dataplane.events(hear).unwrap();
    live(&world);
    events.read(Duration::ZERO).unwrap();
    (world, heard.try_iter().map(|event| event.kind.into()).collect())
}

#[test]
fn a_connection_is_told_of_three_times_and_a_drop_once() {
    let (_, kinds) = kinds_told(Telling::Flows);
    assert_eq!(kinds, [abi::EVENT_OPENED, abi::EVENT_ESTABLISHED, abi::EVENT_ENDED, abi::EVENT_DROPPED]);
}

#[test]
fn programs_that_tell_nothing_count_and_track_all_the_same() {
    let (world, kinds) = kinds_told(Telling::Nothing);
    assert!(kinds.is_empty(), "{kinds:?}");
    assert_eq!(world.dataplane.unseen().unwrap().untold, 0, "none is missing that was to be told");
    let counted = world.dataplane.counted(LINK).unwrap();
    let packets = |reason: u32| counted[&(abi::DIRECTION_OUT as u16, reason as u16)].packets;
    assert_eq!((packets(abi::REASON_PASSED), packets(abi::REASON_SOURCE_ADDRESS)), (3, 1));
    let flows = world.dataplane.flows(Duration::ZERO).unwrap();
    assert_eq!((flows.len(), u32::from(flows[0].state)), (1, abi::FLOW_RESET));
}
