//! Everything that was measured, and the answers that follow from it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use weft_model::Attachment;

use super::case::{Lane, Turn};
use super::performer::{Outcome, Sample};
use super::question::{Asked, Fact, Question, Term};
use crate::measure::Estimate;
use crate::plugin::Operation;

/// What tells one series of figures from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) case: &'static str,
    pub(super) turn: Turn,
    pub(super) lane: Lane,
    pub(super) operation: Operation,
}

/// The same thing measured in every round.
#[derive(Debug, Default)]
pub(super) struct Series {
    /// Milliseconds of each call that succeeded, by round.
    pub(super) rounds: Vec<Vec<f64>>,
    /// Milliseconds by the clock on the wall, of each round.
    pub(super) wall_ms: Vec<f64>,
    pub(super) failures: usize,
    /// What the first failure said.
    pub(super) complaint: Option<String>,
}

impl Series {
    /// Every figure.
    pub(super) fn all(&self) -> Vec<f64> {
        self.rounds.concat()
    }

    fn add<'s>(&mut self, samples: impl Iterator<Item = &'s Sample>) {
        let mut round = Vec::new();
        for sample in samples {
            match &sample.end {
                Ok(_) => round.push(sample.ms),
                Err(complaint) => self.fail(complaint),
            }
        }
        self.rounds.push(round);
    }

    fn fail(&mut self, complaint: &str) {
        self.failures += 1;
        self.complaint.get_or_insert_with(|| complaint.to_owned());
    }
}

/// The book of one run.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) series: BTreeMap<Key, Series>,
    facts: BTreeMap<(Fact, Attachment), f64>,
}

impl Record {
    /// One round of what `outcome` tells.
    pub(super) fn take(&mut self, case: &'static str, lane: Lane, turn: Turn, outcome: &Outcome) {
        self.take_leftovers(case, lane, turn, outcome);
        for operation in [Operation::Add, Operation::Del] {
            let mut samples = outcome.samples.iter().filter(|sample| sample.operation == operation).peekable();
            if samples.peek().is_some() {
                let series = self.series.entry(Key { case, turn, lane, operation }).or_default();
                series.wall_ms.push(outcome.ms);
                series.add(samples);
            }
        }
    }

    /// Failures of what nobody measured.
    pub(super) fn take_failures(&mut self, case: &'static str, lane: Lane, turn: Turn, outcome: &Outcome) {
        self.take_leftovers(case, lane, turn, outcome);
        for sample in &outcome.samples {
            if let Err(complaint) = &sample.end {
                self.series.entry(Key { case, turn, lane, operation: sample.operation }).or_default().fail(complaint);
            }
        }
    }

    /// A DEL that left something failed, whatever it said.
    fn take_leftovers(&mut self, case: &'static str, lane: Lane, turn: Turn, outcome: &Outcome) {
        let key = Key { case, turn, lane, operation: Operation::Del };
        outcome.leftovers.iter().for_each(|leftover| self.series.entry(key).or_default().fail(leftover));
    }

    /// What bursts of ADDs on one host gave: failures, and addresses that were given twice.
    pub(super) fn take_bursts(&mut self, attachment: Attachment, bursts: &[Outcome]) {
        let samples = || bursts.iter().flat_map(|burst| &burst.samples);
        let given: Vec<_> = samples().filter_map(|sample| sample.end.as_ref().ok()).flatten().collect();
        let distinct: BTreeSet<_> = given.iter().collect();
        let failures = samples().filter(|sample| sample.end.is_err()).count();
        self.add(Fact::BurstFailures, attachment, failures as f64);
        self.add(Fact::BurstDuplicates, attachment, (given.len() - distinct.len()) as f64);
    }

    /// Adds to what is counted.
    pub(super) fn add(&mut self, fact: Fact, attachment: Attachment, value: f64) {
        *self.facts.entry((fact, attachment)).or_default() += value;
    }

    /// What the figures say to a question; `None` if it was not measured.
    pub(super) fn answer(&self, question: &Question, attachment: Attachment) -> Option<Estimate> {
        match question.asked {
            Asked::Fact(fact) => self.facts.get(&(fact, attachment)).copied().map(Estimate::exact),
            Asked::Milliseconds(term) => Estimate::of(&self.points(term, attachment).flatten().collect::<Vec<_>>()),
            Asked::Ratio(above, below) => {
                Estimate::of_ratio(self.points(above, attachment), self.points(below, attachment))
            }
            Asked::OverDoorless { weft, doors, bare } => {
                let added = self.paces(doors, attachment).zip(self.paces(bare, attachment));
                let rounds = self.paces(weft, attachment).zip(added);
                let ratio = |(weft, (doors, bare)): (Option<f64>, (Option<f64>, Option<f64>))| {
                    Some(over_doorless(weft?, doors? - bare?))
                };
                Estimate::of(&rounds.filter_map(ratio).collect::<Vec<_>>())
            }
        }
    }

    /// How long a round took for each call that succeeded, however many there were at once; `None` where all failed.
    fn paces(&self, term: Term, attachment: Attachment) -> impl Iterator<Item = Option<f64>> {
        let series = self.series.get(&key(term, attachment));
        let rounds = series.into_iter().flat_map(|series| series.rounds.iter().zip(&series.wall_ms));
        rounds.map(|(round, wall_ms)| (!round.is_empty()).then(|| wall_ms / round.len() as f64))
    }

    /// One figure per round; `None` where all calls of a round failed.
    fn points(&self, term: Term, attachment: Attachment) -> impl Iterator<Item = Option<f64>> {
        let rounds = self.series.get(&key(term, attachment)).map_or(&[][..], |series| &series.rounds);
        rounds.iter().map(move |round| term.point.of(round))
    }
}

fn key(term: Term, attachment: Attachment) -> Key {
    let lane = Lane::new(term.who, attachment, term.present);
    Key { case: term.case.name, turn: term.turn, lane, operation: term.operation }
}

/// Infinite where noise has programs add all that there is.
fn over_doorless(weft: f64, added: f64) -> f64 {
    if added < weft { weft / (weft - added) } else { f64::INFINITY }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attach::case::{CASES, DOORS, Who};
    use crate::attach::question::QUESTIONS;

    fn outcome(samples: &[(Operation, f64, Result<&str, &str>)]) -> Outcome {
        let sample = |(operation, ms, end): &(Operation, f64, Result<&str, &str>)| Sample {
            operation: *operation,
            ms: *ms,
            end: end.map(|address| vec![address.parse().unwrap()]).map_err(str::to_owned),
        };
        Outcome { ms: 1.0, samples: samples.iter().map(sample).collect(), leftovers: vec![] }
    }

    fn lane(who: Who) -> Lane {
        Lane::new(who, Attachment::Bridge, 1)
    }

    #[test]
    fn rounds_are_paired_also_where_one_side_failed() {
        let (case, turn) = (CASES[0].name, CASES[0].turns[0]);
        let mut record = Record::default();
        let ok = |ms| outcome(&[(Operation::Add, ms, Ok("10.0.0.1"))]);
        for round in 0..8_u32 {
            let noise = f64::from(1 + round % 3);
            let weft = if round == 3 { outcome(&[(Operation::Add, 9.0, Err("no"))]) } else { ok(1.2 * noise) };
            record.take(case, lane(Who::Weft), turn, &weft);
            record.take(case, lane(Who::Bare), turn, &ok(noise));
        }
        let estimate = record.answer(&QUESTIONS[0], Attachment::Bridge).unwrap();
        let (low, high) = estimate.interval.unwrap();
        assert!((low - 1.2).abs() < 1e-9 && (high - 1.2).abs() < 1e-9, "the noise is common to both: {estimate:?}");
        let series = &record.series[&Key { case, turn, lane: lane(Who::Weft), operation: Operation::Add }];
        assert_eq!((series.failures, series.complaint.as_deref(), series.all().len()), (1, Some("no"), 7));
        assert_eq!(record.answer(&QUESTIONS[0], Attachment::Routed), None);
    }

    #[test]
    fn what_programs_add_is_taken_from_who_can_do_without() {
        let mut record = Record::default();
        let question = QUESTIONS.iter().find(|question| matches!(question.asked, Asked::OverDoorless { .. })).unwrap();
        for round in 0..8_u32 {
            let noise = f64::from(round % 3);
            for (who, ms) in [(Who::Weft, 2.0), (Who::Doors, 1.9 + noise), (Who::Bare, 1.5 + noise)] {
                // Two at once, each of which took as long as both.
                let both = [(Operation::Add, 2.0 * ms, Ok("10.0.0.1")), (Operation::Add, 2.0 * ms, Ok("10.0.0.2"))];
                let outcome = Outcome { ms: 2.0 * ms, ..outcome(&both) };
                record.take(DOORS.name, lane(who), DOORS.turns[0], &outcome);
            }
        }
        let (low, high) = record.answer(question, Attachment::Bridge).unwrap().interval.unwrap();
        assert!((low - 1.25).abs() < 1e-9 && (high - 1.25).abs() < 1e-9, "2.0 of 1.6: {low} {high}");
        assert_eq!(over_doorless(2.0, 2.5), f64::INFINITY);
    }

    #[test]
    fn a_del_that_left_something_failed() {
        let (case, turn, lane) = (CASES[0].name, CASES[0].turns[0], lane(Who::Plugin));
        let mut record = Record::default();
        record.take_failures(case, lane, turn, &Outcome { leftovers: vec!["a link".to_owned()], ..outcome(&[]) });
        let series = &record.series[&Key { case, turn, lane, operation: Operation::Del }];
        assert_eq!((series.failures, series.complaint.as_deref()), (1, Some("a link")));
    }

    #[test]
    fn an_address_given_twice_is_seen_across_bursts() {
        let mut record = Record::default();
        let add = |address| outcome(&[(Operation::Add, 1.0, Ok(address))]);
        let failed = outcome(&[(Operation::Add, 1.0, Err("full"))]);
        record.take_bursts(Attachment::Routed, &[add("10.0.0.1"), add("10.0.0.2"), add("10.0.0.1"), failed]);
        record.take_bursts(Attachment::Routed, &[add("10.0.0.1")]);
        assert_eq!(record.facts[&(Fact::BurstFailures, Attachment::Routed)], 1.0);
        assert_eq!(record.facts[&(Fact::BurstDuplicates, Attachment::Routed)], 1.0, "another host has its own");
    }
}
