//! The programs' maps of policies: what is written there, and in which order.
//!
//! Whatever the maps have to say is there before what leads to it, and goes after that. A subject is written last, at
//! once for both ways: so no packet is decided by a half of what holds.

use std::collections::BTreeMap;

use weft_dataplane::{Dataplane, DataplaneError, abi};
use weft_model::{Action, PolicyMode};
use weft_policy::{
    Changes, IdentityNumber, PortPrefix, Prefix, Ranked, Sets, Table, TableNumber, Verdict, View, World,
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
    /// Who is behind a link.
    pub subjects: BTreeMap<u32, Subject>,
    tables: BTreeMap<TableNumber, Table>,
    /// The last change was not written whole.
    is_behind: bool,
}

impl Maps {
    /// Writes what has changed; all of it, if the last change was not written whole.
    pub fn write(&mut self, dataplane: &Dataplane, world: &World, changes: Changes) -> Result<(), DataplaneError> {
        let changes = if self.is_behind { world.everything() } else { changes };
        if changes.is_nothing() {
            return Ok(());
        }
        self.is_behind = true;
        let maps = dataplane.policies();
        self.write_what_comes(dataplane, &changes)?;
        let changed = self.subjects.iter().filter(|(_, subject)| changes.identities.contains(&subject.identity));
        changed
            .map(|(link, subject)| (*link, *subject))
            .try_for_each(|(link, subject)| put(dataplane, world, link, subject))?;
        maps.enforce(!world.is_silent())?;
        self.take_out_what_goes(dataplane, &changes)?;
        self.is_behind = false;
        Ok(())
    }

    fn write_what_comes(&mut self, dataplane: &Dataplane, changes: &Changes) -> Result<(), DataplaneError> {
        let maps = dataplane.policies();
        for (number, table) in &changes.tables {
            let Some(table) = table else { continue };
            for (prefix, verdict) in &table.0 {
                maps.ports.put(&port_key(*number, prefix), &verdict_of(verdict))?;
            }
            self.tables.insert(*number, table.clone());
        }
        for ((set, identity), table) in &changes.peers {
            if let Some(table) = table {
                maps.peers.put(&abi::policy_peer { set: *set, identity: *identity }, table)?;
            }
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
        for ((set, identity), _) in changes.peers.iter().filter(|(_, table)| table.is_none()) {
            maps.peers.remove(&abi::policy_peer { set: *set, identity: *identity })?;
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

/// Writes who is behind a link.
pub fn put(dataplane: &Dataplane, world: &World, link: u32, subject: Subject) -> Result<(), DataplaneError> {
    dataplane.policies().subjects.put(&link, &entry(world, subject))
}

/// What the programs are to know of him.
pub(super) fn entry(world: &World, subject: Subject) -> abi::subject {
    let Subject { identity, mode } = subject;
    let whole = world.sets(identity, View::Whole);
    let enforced = match mode {
        PolicyMode::Enforce => world.sets(identity, View::Enforced),
        PolicyMode::Audit => Sets::default(),
    };
    let audited = |enforced: u32, whole: u32| if whole == enforced { 0 } else { whole };
    let flag = |is_set: bool, flag: u32| if is_set { flag } else { 0 };
    abi::subject {
        identity,
        sets: [enforced.ingress, enforced.egress],
        flags: flag(enforced.is_ingress_isolated, abi::SUBJECT_INGRESS_ISOLATED)
            | flag(enforced.is_egress_isolated, abi::SUBJECT_EGRESS_ISOLATED)
            | flag(whole.is_ingress_isolated, abi::SUBJECT_INGRESS_ISOLATED_AUDITED)
            | flag(whole.is_egress_isolated, abi::SUBJECT_EGRESS_ISOLATED_AUDITED),
        audited: [audited(enforced.ingress, whole.ingress), audited(enforced.egress, whole.egress)],
    }
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
