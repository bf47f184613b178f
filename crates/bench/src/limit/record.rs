//! Everything that was measured, and the rows of a report. Pure.

use std::collections::BTreeMap;

use serde::Serialize;
use weft_api::Row;
use weft_model::Attachment;

use super::Direction;
use crate::measure::Estimate;
use crate::path::Series;
use crate::report::{self, Answer, figures_or_dash, range};

/// Turns are told in Gbit/s.
const MEGABITS: f64 = 1000.0;

/// What is tried in each round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Trial {
    pub(super) network: Attachment,
    pub(super) direction: Direction,
    /// Mbit/s.
    pub(super) rate: u64,
}

/// The book of one run.
#[derive(Debug, Default)]
pub(super) struct Record {
    series: BTreeMap<Trial, Series>,
}

/// What one limit came to.
#[derive(Debug, Serialize)]
pub(super) struct Figure {
    direction: &'static str,
    /// Mbit/s.
    limit: u64,
    network: Attachment,
    turns: usize,
    failed: usize,
    /// Of the turns that did not fail, in Mbit/s.
    median: Option<f64>,
    /// Where the median lies with 95 % confidence.
    interval: Option<(f64, f64)>,
    /// What the first failure said.
    complaint: Option<String>,
}

impl Record {
    /// One turn, in Gbit/s, or what was wrong with it.
    pub(super) fn take(&mut self, trial: Trial, rate: Result<f64, String>) {
        self.series.entry(trial).or_default().take(rate.map(|rate| rate * MEGABITS));
    }

    /// What was measured, divided by the limit.
    pub(super) fn answers(&self) -> Vec<Answer> {
        let answer = |(trial, series): (&Trial, &Series)| {
            let ratio = scaled(series.estimate()?, 1.0 / trial.rate as f64);
            let question = format!("{}, {} Mbit/s: measured / limit", trial.direction.word(), trial.rate);
            Some(Answer::new(question, trial.network, &ratio, "x", None))
        };
        self.series.iter().filter_map(answer).collect()
    }

    /// One row for each limit.
    pub(super) fn figures(&self) -> Vec<Figure> {
        let figure = |(trial, series): (&Trial, &Series)| {
            let estimate = series.estimate();
            Figure {
                direction: trial.direction.word(),
                limit: trial.rate,
                network: trial.network,
                turns: series.rounds.len(),
                failed: series.failures(),
                median: estimate.map(|estimate| estimate.median),
                interval: estimate.and_then(|estimate| estimate.interval),
                complaint: series.complaint.clone(),
            }
        };
        self.series.iter().map(figure).collect()
    }
}

fn scaled(estimate: Estimate, by: f64) -> Estimate {
    let interval = estimate.interval.map(|(low, high)| (low * by, high * by));
    Estimate { median: estimate.median * by, interval }
}

impl report::Figure for Figure {
    fn failure(&self) -> Option<String> {
        let Figure { direction, limit, network, complaint, .. } = self;
        complaint.as_ref().map(|complaint| format!("{direction}, {limit} Mbit/s, {network}: {complaint}"))
    }
}

impl Row for Figure {
    const HEADER: &'static [&'static str] =
        &["DIRECTION", "LIMIT", "NETWORK", "TURNS", "FAILED", "MEDIAN", "95 % INTERVAL", "UNIT"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.direction.to_owned(),
            self.limit.to_string(),
            self.network.to_string(),
            self.turns.to_string(),
            self.failed.to_string(),
            figures_or_dash(self.median),
            range(self.interval),
            "Mbit/s".to_owned(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Figure as _;

    #[test]
    fn what_came_is_held_against_the_limit() {
        let mut record = Record::default();
        let trial = |direction| Trial { network: Attachment::Routed, direction, rate: 100 };
        for _ in 0..8 {
            record.take(trial(Direction::Ingress), Ok(0.095));
            record.take(trial(Direction::Egress), Err("no end after 5 s".to_owned()));
        }
        let answers: Vec<String> = record.answers().iter().map(|answer| answer.cells().join(" ")).collect();
        assert_eq!(answers, ["ingress, 100 Mbit/s: measured / limit routed 0.95 x 0.95 to 0.95 - -"]);
        let rows = record.figures();
        assert_eq!(rows[0].cells().join(" "), "ingress 100 routed 8 0 95.0 95.0 to 95.0 Mbit/s");
        assert_eq!(rows[1].failure().as_deref(), Some("egress, 100 Mbit/s, routed: no end after 5 s"));
    }
}
