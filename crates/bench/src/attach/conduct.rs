//! The run itself: hosts are set, filled, and measured by turns, every contender in every round, in an order that
//! chance gives anew.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Instant;

use anyhow::{Context as _, Result};
use weft_model::Attachment;

use super::case::{BURST, Case, FILL, Lane, Turn, Who};
use super::question::Fact;
use super::record::Record;
use super::script::Plot;
use super::stage::Stage;
use crate::chance::Chance;

/// The same order in every run, so that two runs differ by noise alone.
const SEED: u64 = 20_261_121;
/// Endpoints present when memory is weighed.
const PRESENT_MAX: u32 = 1000;

/// What is to be measured.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) attachments: &'a [Attachment],
    pub(super) cases: Vec<&'static Case>,
    pub(super) rounds: u32,
}

/// Measures all of it; tells on `progress` how far it is.
pub(super) fn conduct(plan: &Plan<'_>, progress: &mut dyn Write) -> Result<Record> {
    let mut run = Run { record: Record::default(), stages: BTreeMap::new(), chance: Chance::seeded(SEED), progress };
    for case in &plan.cases {
        run.measure(case, plan)?;
    }
    Ok(run.record)
}

struct Run<'a> {
    record: Record,
    stages: BTreeMap<Lane, Stage>,
    chance: Chance,
    progress: &'a mut dyn Write,
}

impl Run<'_> {
    fn measure(&mut self, case: &Case, plan: &Plan<'_>) -> Result<()> {
        let (lanes, rounds) = (case.lanes(plan.attachments), case.rounds(plan.rounds));
        if lanes.is_empty() {
            return Ok(());
        }
        writeln!(self.progress, "{}: {} contenders, {rounds} rounds", case.name, lanes.len())?;
        self.stages.retain(|lane, _| lanes.contains(lane));
        for lane in &lanes {
            self.set(*lane).with_context(|| format!("cannot set the stage for {lane:?}"))?;
        }
        let start = Instant::now();
        let mut entries: Vec<(Lane, Turn)> =
            lanes.iter().flat_map(|lane| case.turns.iter().map(|turn| (*lane, *turn))).collect();
        for _ in 0..rounds {
            self.chance.shuffle(&mut entries);
            for (lane, turn) in &entries {
                self.take_turn(case, *lane, *turn)?;
            }
        }
        Ok(writeln!(self.progress, "{}: {:.0} s", case.name, start.elapsed().as_secs_f64())?)
    }

    fn set(&mut self, lane: Lane) -> Result<()> {
        if self.stages.contains_key(&lane) {
            return Ok(());
        }
        let mut stage = Stage::set(lane)?;
        let bursts = stage.fill()?;
        let is_burst = lane.who == Who::Weft && lane.present >= BURST;
        if is_burst {
            let turn = Turn { at_once: BURST, steps: BURST, mixed: false };
            bursts.iter().for_each(|burst| self.record.take(FILL, lane, turn, burst));
            self.record.take_bursts(lane.attachment, &bursts);
        }
        if lane.present == PRESENT_MAX {
            for (fact, mb) in [(Fact::ResidentMb, stage.resident_mb()?), (Fact::MapMb, stage.map_mb()?)] {
                mb.into_iter().for_each(|mb| self.record.add(fact, lane.attachment, mb));
            }
        }
        self.stages.insert(lane, stage);
        Ok(())
    }

    fn take_turn(&mut self, case: &Case, lane: Lane, turn: Turn) -> Result<()> {
        let stage = self.stages.get_mut(&lane).context("a lane without a stage")?;
        let plot = Plot::of(turn, lane.present, &mut self.chance);
        for act in &plot.acts {
            self.record.take(case.name, lane, turn, &stage.play(act)?);
        }
        self.record.take_failures(case.name, lane, turn, &stage.play(&plot.epilogue)?);
        Ok(())
    }
}
