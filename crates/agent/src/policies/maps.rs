//! The programs' maps of policies: what is written there, and in which order.
//!
//! ```text
//!   tables, blocks that come ─► the other half of peers and subjects ─► turn ─► the former half ─► what goes
//! ```
//!
//! All endpoints change at once, when the halves are turned. What is about newborns and dead ones alone is written to
//! both halves as it is: nobody's connections depend on it.

use std::collections::{BTreeMap, BTreeSet};

use weft_dataplane::{Dataplane, DataplaneError, abi};
use weft_model::{Action, PolicyMode};
use weft_policy::{
    Changes, IdentityNumber, PortPrefix, Prefix, Ranked, SetNumber, Sets, Table, TableNumber, Verdict, View, World,
};

/// Who is behind a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject {
    /// What policies tell him by.
    pub identity: IdentityNumber,
    /// That of his network.
    pub mode: PolicyMode,
}

/// What was written.
#[derive(Debug, Default)]
pub struct Maps {
    subjects: BTreeMap<u32, Subject>,
    /// The links of those with an identity.
    links: BTreeMap<IdentityNumber, BTreeSet<u32>>,
    tables: BTreeMap<TableNumber, Table>,
    /// The newest set at the last change: nobody stands on a newer one yet.
    last_set: SetNumber,
    /// The last change was not written whole.
    is_behind: bool,
}

impl Maps {
    /// Who is behind a link.
    pub fn subject(&self, link: u32) -> Option<Subject> {
        self.subjects.get(&link).copied()
    }

    /// Whether somebody is behind it.
    pub fn has(&self, link: u32) -> bool {
        self.subjects.contains_key(&link)
    }

    /// Takes note of who is behind a link, as an earlier agent wrote it. To be followed by [`Maps::write`] of
    /// everything.
    pub fn adopt(&mut self, link: u32, subject: Subject) {
        self.remove(link);
        self.subjects.insert(link, subject);
        self.links.entry(subject.identity).or_default().insert(link);
    }

    fn remove(&mut self, link: u32) -> Option<Subject> {
        let subject = self.subjects.remove(&link)?;
        if let Some(links) = self.links.get_mut(&subject.identity) {
            links.remove(&link);
            if links.is_empty() {
                self.links.remove(&subject.identity);
            }
        }
        Some(subject)
    }

    /// Writes what has changed; all of it, if the last change was not written whole.
    pub fn write(&mut self, dataplane: &Dataplane, world: &World, changes: Changes) -> Result<(), DataplaneError> {
        self.write_with(dataplane, world, changes, None)
    }

    /// The same, with who is behind a link from now on: a newborn, or somebody who was another before.
    pub fn admit(
        &mut self,
        dataplane: &Dataplane,
        world: &World,
        changes: Changes,
        (link, subject): (u32, Subject),
    ) -> Result<(), DataplaneError> {
        if self.subject(link).is_some_and(|former| former != subject) {
            self.adopt(link, subject);
            return self.write_with(dataplane, world, changes, Some(link));
        }
        self.write(dataplane, world, changes)?;
        self.adopt(link, subject);
        let standings = [standing(world, subject); 2];
        dataplane.policies().subjects.put(&link, &abi::subject { standings })
    }

    /// Nobody is behind a link any more; gives back who was.
    pub fn dismiss(&mut self, dataplane: &Dataplane, link: u32) -> Result<Option<Subject>, DataplaneError> {
        let gone = self.remove(link);
        dataplane.policies().subjects.remove(&link)?;
        Ok(gone)
    }

    fn write_with(
        &mut self,
        dataplane: &Dataplane,
        world: &World,
        changes: Changes,
        replaced: Option<u32>,
    ) -> Result<(), DataplaneError> {
        let changes = if self.is_behind { world.everything() } else { changes };
        if changes.is_nothing() && replaced.is_none() {
            return Ok(());
        }
        self.is_behind = true;
        let changed = changes.identities.iter().filter_map(|identity| self.links.get(identity)).flatten();
        let links: BTreeSet<u32> = changed.copied().chain(replaced).collect();
        let is_asked = !world.is_silent();
        self.write_tables(dataplane, &changes)?;
        if links.is_empty() && !self.is_about_somebody(world, &changes) {
            for (key, table) in &changes.peers {
                if let Some(table) = table {
                    put_peer(dataplane, *key, [*table; 2])?;
                }
            }
            if dataplane.policies().is_asked()? != is_asked {
                dataplane.policies().enforce(is_asked)?;
            }
        } else {
            self.turn(dataplane, world, &changes, &links, is_asked)?;
        }
        self.take_out_what_goes(dataplane, &changes)?;
        self.last_set = world.newest_set();
        self.is_behind = false;
        Ok(())
    }

    /// Whether somebody who is there hears something else than before about somebody who is there.
    fn is_about_somebody(&self, world: &World, changes: &Changes) -> bool {
        let is_heard = |set: SetNumber| set <= self.last_set && world.is_held(set);
        changes.peers.keys().any(|(set, identity)| self.links.contains_key(identity) && is_heard(*set))
    }

    /// Writes the half that does not count, has it count, and makes the former one the same.
    fn turn(
        &self,
        dataplane: &Dataplane,
        world: &World,
        changes: &Changes,
        links: &BTreeSet<u32>,
        is_asked: bool,
    ) -> Result<(), DataplaneError> {
        let maps = dataplane.policies();
        let next = 1 - maps.half()?;
        for (key, table) in &changes.peers {
            let mut tables = maps.peers.get(&peer_key(*key))?.unwrap_or_default().tables;
            tables[next] = table.unwrap_or(0);
            put_peer(dataplane, *key, tables)?;
        }
        let standings = || links.iter().filter_map(|link| Some((*link, standing(world, self.subject(*link)?))));
        for (link, standing) in standings() {
            let mut subject = maps.subjects.get(&link)?.unwrap_or_default();
            subject.standings[next] = standing;
            maps.subjects.put(&link, &subject)?;
        }
        maps.turn(is_asked)?;
        for (key, table) in &changes.peers {
            if let Some(table) = table {
                put_peer(dataplane, *key, [*table; 2])?;
            }
        }
        for (link, standing) in standings() {
            maps.subjects.put(&link, &abi::subject { standings: [standing; 2] })?;
        }
        Ok(())
    }

    fn write_tables(&mut self, dataplane: &Dataplane, changes: &Changes) -> Result<(), DataplaneError> {
        let maps = dataplane.policies();
        for (number, table) in &changes.tables {
            let Some(table) = table else { continue };
            for (prefix, verdict) in &table.0 {
                maps.ports.put(&port_key(*number, prefix), &verdict_of(verdict))?;
            }
            self.tables.insert(*number, table.clone());
        }
        for ((set, prefix), table) in &changes.blocks {
            if let Some(table) = table {
                maps.blocks.put(&block_key(*set, *prefix), table)?;
            }
        }
        Ok(())
    }

    fn take_out_what_goes(&mut self, dataplane: &Dataplane, changes: &Changes) -> Result<(), DataplaneError> {
        let maps = dataplane.policies();
        for (key, _) in changes.peers.iter().filter(|(_, table)| table.is_none()) {
            maps.peers.remove(&peer_key(*key))?;
        }
        for ((set, prefix), _) in changes.blocks.iter().filter(|(_, table)| table.is_none()) {
            maps.blocks.remove(&block_key(*set, *prefix))?;
        }
        for (number, _) in changes.tables.iter().filter(|(_, table)| table.is_none()) {
            for prefix in self.tables.remove(number).iter().flat_map(|table| table.0.keys()) {
                maps.ports.remove(&port_key(*number, prefix))?;
            }
        }
        changes.rules.iter().try_for_each(|rule| maps.counts.remove(rule))
    }
}

/// What the programs are to know of him.
pub fn standing(world: &World, subject: Subject) -> abi::standing {
    let Subject { identity, mode } = subject;
    let whole = world.sets(identity, View::Whole);
    let enforced = match mode {
        PolicyMode::Enforce => world.sets(identity, View::Enforced),
        PolicyMode::Audit => Sets::default(),
    };
    let audited = |enforced: u32, whole: u32| if whole == enforced { 0 } else { whole };
    let flag = |is_set: bool, flag: u32| if is_set { flag } else { 0 };
    abi::standing {
        identity,
        sets: [enforced.ingress, enforced.egress],
        flags: flag(enforced.is_ingress_isolated, abi::SUBJECT_INGRESS_ISOLATED)
            | flag(enforced.is_egress_isolated, abi::SUBJECT_EGRESS_ISOLATED)
            | flag(whole.is_ingress_isolated, abi::SUBJECT_INGRESS_ISOLATED_AUDITED)
            | flag(whole.is_egress_isolated, abi::SUBJECT_EGRESS_ISOLATED_AUDITED),
        audited: [audited(enforced.ingress, whole.ingress), audited(enforced.egress, whole.egress)],
    }
}

fn peer_key((set, identity): (u32, IdentityNumber)) -> abi::policy_peer {
    abi::policy_peer { set, identity }
}

fn put_peer(dataplane: &Dataplane, key: (u32, IdentityNumber), tables: [u32; 2]) -> Result<(), DataplaneError> {
    dataplane.policies().peers.put(&peer_key(key), &abi::policy_said { tables })
}

pub(super) fn block_key(set: u32, prefix: Prefix) -> abi::policy_block {
    abi::policy_block {
        length: abi::POLICY_SET_BITS + u32::from(prefix.bits()),
        set,
        prefix: abi::address { bytes: prefix.address() },
    }
}

fn port_key(table: TableNumber, prefix: &PortPrefix) -> abi::policy_port {
    let length = match prefix.protocol {
        Some(_) => abi::POLICY_PROTOCOL_BITS + u32::from(prefix.bits),
        None => abi::POLICY_TABLE_BITS,
    };
    let protocol = prefix.protocol.map_or(0, |protocol| protocol.0);
    abi::policy_port { length, table, protocol, port: prefix.port.to_be_bytes(), ..abi::policy_port::default() }
}

fn verdict_of(verdict: &Verdict) -> abi::policy_verdict {
    let action = |ranked: Option<Ranked>| match ranked.map(|ranked| ranked.action) {
        Some(Action::Deny) => abi::POLICY_DENY as u8,
        Some(Action::Pass) => abi::POLICY_PASS as u8,
        Some(Action::Accept) | None => abi::POLICY_ACCEPT as u8,
    };
    let rank = |ranked: Option<Ranked>| ranked.map_or(0, |ranked| ranked.rank + 1);
    let rule = |ranked: Option<Ranked>| ranked.map_or(0, |ranked| ranked.rule);
    abi::policy_verdict {
        admin_rank: rank(verdict.admin),
        admin_rule: rule(verdict.admin),
        network_rule: verdict.network.unwrap_or(0),
        baseline_rank: rank(verdict.baseline),
        baseline_rule: rule(verdict.baseline),
        admin_action: action(verdict.admin),
        baseline_action: action(verdict.baseline),
        ..abi::policy_verdict::default()
    }
}
