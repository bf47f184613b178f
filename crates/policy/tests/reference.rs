//! The world against a slow, obvious reference, which reads every policy for every question.

#![allow(clippy::unwrap_used, reason = "a test that fails there says enough")]

mod oracle;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use oracle::{Asked, NAMESPACES, PORTS, PROTOCOLS, Reference, Step, steps};
use proptest::prelude::*;
use weft_model::{Protocol, Way};
use weft_policy::{Changes, Identity, IdentityNumber, Prefix, SetNumber, Table, TableNumber, View, World};

const VIEWS: [View; 2] = [View::Enforced, View::Whole];
const ADDRESSES: [&str; 5] = ["10.1.0.2", "10.1.2.9", "10.9.0.1", "198.51.100.1", "fd61::2"];

/// What the programs' maps would have, if all changes were written there.
#[derive(Debug, Default, PartialEq)]
struct Maps {
    tables: BTreeMap<TableNumber, Table>,
    peers: BTreeMap<(SetNumber, IdentityNumber), TableNumber>,
    blocks: BTreeMap<(SetNumber, Prefix), TableNumber>,
}

impl Maps {
    fn write(&mut self, changes: Changes) {
        write(&mut self.tables, changes.tables);
        write(&mut self.peers, changes.peers);
        write(&mut self.blocks, changes.blocks);
        let named: BTreeSet<_> = self.peers.values().chain(self.blocks.values()).copied().filter(|n| *n != 0).collect();
        assert_eq!(
            named,
            self.tables.keys().copied().collect(),
            "each table is named, and each that is named is there"
        );
    }
}

fn write<K: Ord, V>(map: &mut BTreeMap<K, V>, changes: BTreeMap<K, Option<V>>) {
    for (key, value) in changes {
        match value {
            Some(value) => drop(map.insert(key, value)),
            None => drop(map.remove(&key)),
        }
    }
}

/// The world, what the reference was told, and what the maps came to.
#[derive(Default)]
struct Both {
    world: World,
    reference: Reference,
    held: Vec<(IdentityNumber, Identity)>,
    maps: Maps,
}

impl Both {
    fn take(&mut self, step: Step) {
        match step {
            Step::Policy(policy) => {
                self.reference.policies.insert(policy.key.clone(), policy.clone());
                self.world.set_policy(policy);
            }
            Step::NoPolicy(key) => {
                let was_there = self.reference.policies.remove(&key).is_some();
                assert_eq!(self.world.remove_policy(&key), was_there);
            }
            Step::Namespace(namespace, labels) => {
                let name = NAMESPACES[namespace];
                self.reference.namespaces.insert(name.to_owned(), labels.clone());
                self.world.set_namespace(name, labels);
            }
            Step::Hold(identity) => self.held.push((self.world.hold(identity.clone()), identity)),
            Step::Release(place) => {
                if !self.held.is_empty() {
                    let (number, _) = self.held.remove(place % self.held.len());
                    self.world.release(number);
                }
            }
        }
        self.maps.write(self.world.take_changes());
    }

    fn agree(&self) {
        let everybody = self.held.iter().map(|(number, identity)| (Some(*number), Some(identity)));
        let others: Vec<_> = everybody.chain([(None, None)]).collect();
        for (own, identity) in &self.held {
            for (other, of_other) in &others {
                for ((address, protocol, port, way), view) in
                    questions().flat_map(|asked| VIEWS.map(|view| (asked, view)))
                {
                    let (asked, told) = (*other, (protocol, port));
                    let decision = self.world.decide((*own, view), way, asked, address, told);
                    let asked = Asked { own: identity, view, way, other: *of_other, address, protocol, port };
                    let expected = self.reference.is_allowed(&asked);
                    assert_eq!(
                        decision.is_allowed, expected,
                        "{identity:?} {view:?} {way:?} {of_other:?} {address} {protocol} {port}: {decision:?}"
                    );
                    let origin =
                        decision.rule.map(|rule| self.world.origin(rule).expect("a rule is written somewhere"));
                    assert!(origin.is_none_or(|origin| self.reference.policies.contains_key(&origin.policy)));
                }
            }
        }
        let mut all = Maps::default();
        all.write(self.world.everything());
        assert_eq!(self.maps, all, "what was written bit by bit is what there should be");
    }
}

fn questions() -> impl Iterator<Item = (IpAddr, Protocol, u16, Way)> {
    let ports = PROTOCOLS.into_iter().flat_map(|protocol| {
        let ports: &[u16] = if protocol.has_ports() { &PORTS } else { &[0] };
        ports.iter().map(move |port| (protocol, *port))
    });
    ports.flat_map(|(protocol, port)| {
        let addresses = ADDRESSES.iter().map(|text| text.parse().unwrap());
        addresses.flat_map(move |address| Way::BOTH.map(|way| (address, protocol, port, way)))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_world_decides_as_the_reference_does(steps in steps()) {
        let mut both = Both::default();
        for step in steps {
            both.take(step);
        }
        both.agree();
        // Nothing is left behind when all that was told is taken back.
        for key in both.reference.policies.keys().cloned().collect::<Vec<_>>() {
            both.take(Step::NoPolicy(key));
        }
        assert_eq!(both.maps, Maps::default());
        both.agree();
    }
}
