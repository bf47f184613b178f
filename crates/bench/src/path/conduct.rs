//! The run itself: a stage for every contender, and their turns, in an order that chance gives anew for every case of
//! every round.
//!
//! Stages are new in every round, and set in another order: what the order of setting decides lasts as long as they
//! live. Two networks of weft's that do the same came out 5 % apart on stages that stayed, and alike on these.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context as _, Result};
use weft_model::Attachment;

use super::case::Case;
use super::contender::Contender;
use super::cpus::Machine;
use super::record::Record;
use super::stage::Stage;
use crate::rounds;

/// The same order in every run, so that two runs differ by noise alone.
const SEED: u64 = 20_261_122;

/// What is to be measured.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) attachments: &'a [Attachment],
    pub(super) cases: Vec<&'static Case>,
    pub(super) rounds: u32,
    /// Of one turn.
    pub(super) duration: Duration,
}

/// Measures all of it; tells on `progress` how far it is.
pub(super) fn conduct(plan: &Plan<'_>, progress: &mut dyn Write) -> Result<Record> {
    let (machine, mut record) = (Machine::here()?, Record::default());
    let mut contenders = Contender::all(plan.attachments);
    let (cases, rounds) = (plan.cases.len(), plan.rounds);
    writeln!(progress, "{cases} cases, {} contenders, {rounds} rounds", contenders.len())?;
    let set = |contender: &Contender| {
        Stage::set(*contender, machine).with_context(|| format!("cannot set the stage for {contender:?}"))
    };
    rounds::play(rounds, SEED, progress, |chance| {
        chance.shuffle(&mut contenders);
        let mut stages = contenders.iter().map(set).collect::<Result<Vec<_>>>()?;
        for case in &plan.cases {
            chance.shuffle(&mut stages);
            for stage in stages.iter_mut().filter(|stage| case.has_turn_for(stage.contender)) {
                let rate = stage.take_turn(case, machine, plan.duration)?;
                record.take(case, stage.contender, rate);
            }
        }
        Ok(())
    })?;
    Ok(record)
}
