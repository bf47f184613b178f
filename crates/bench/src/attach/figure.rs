//! The rows of a report: what each contender did at each load, and what that says to the questions.

use serde::Serialize;
use weft_api::Row;
use weft_model::Attachment;

use super::case::CASES;
use super::question::{QUESTIONS, Question};
use super::record::{Key, Record, Series};
use crate::measure::Point;
use crate::report::{self, Answer, figures, figures_or_dash};

/// What one contender did at one load.
#[derive(Debug, Serialize)]
pub(super) struct Figure {
    case: &'static str,
    contender: String,
    network: Attachment,
    present: u32,
    at_once: u32,
    /// Whether ADD and DEL came together.
    mixed: bool,
    call: &'static str,
    succeeded: usize,
    failed: usize,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    per_second: f64,
    /// What the first failure said.
    complaint: Option<String>,
}

/// One row for each series, in the order in which cases are measured.
pub(super) fn figures_of(record: &Record) -> Vec<Figure> {
    let mut rows: Vec<Figure> = record.series.iter().map(|(key, series)| figure(key, series)).collect();
    rows.sort_by_key(|row| CASES.iter().position(|case| case.name == row.case));
    rows
}

/// What was measured of what is asked.
pub(super) fn answers_of(record: &Record) -> Vec<Answer> {
    let asked = QUESTIONS.iter().flat_map(|question| question.attachments.iter().map(move |on| (question, *on)));
    let answer = |(question, network): (&Question, Attachment)| {
        let estimate = record.answer(question, network)?;
        let (text, unit) = (question.text.to_owned(), question.asked.unit());
        Some(Answer::new(text, network, &estimate, unit, Some(question.target)))
    };
    asked.filter_map(answer).collect()
}

fn figure(key: &Key, series: &Series) -> Figure {
    let all = series.all();
    Figure {
        case: key.case,
        contender: key.lane.title(),
        network: key.lane.attachment,
        present: key.lane.present,
        at_once: key.turn.at_once,
        mixed: key.turn.mixed,
        call: key.operation.word(),
        succeeded: all.len(),
        failed: series.failures,
        p50_ms: Point::Median.of(&all),
        p99_ms: Point::P99.of(&all),
        per_second: all.len() as f64 / (series.wall_ms.iter().sum::<f64>() / 1e3).max(f64::MIN_POSITIVE),
        complaint: series.complaint.clone(),
    }
}

impl report::Figure for Figure {
    fn failure(&self) -> Option<String> {
        let Figure { case, contender, network, call, complaint, .. } = self;
        complaint.as_ref().map(|complaint| format!("{case}, {contender}, {network}, {call}: {complaint}"))
    }
}

impl Row for Figure {
    const HEADER: &'static [&'static str] = &[
        "CASE",
        "CONTENDER",
        "NETWORK",
        "PRESENT",
        "AT-ONCE",
        "LOAD",
        "CALL",
        "CALLS",
        "FAILED",
        "P50-MS",
        "P99-MS",
        "PER-S",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.case.to_owned(),
            self.contender.clone(),
            self.network.to_string(),
            self.present.to_string(),
            self.at_once.to_string(),
            if self.mixed { "mixed" } else { "-" }.to_owned(),
            self.call.to_owned(),
            (self.succeeded + self.failed).to_string(),
            self.failed.to_string(),
            figures_or_dash(self.p50_ms),
            figures_or_dash(self.p99_ms),
            figures(self.per_second),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attach::case::{Lane, Who};
    use crate::attach::performer::{Outcome, Sample};
    use crate::plugin::Operation;
    use crate::report::Figure as _;

    fn record() -> Record {
        let (case, mut record) = (CASES[0], Record::default());
        for (who, ms) in [(Who::Weft, 1.5), (Who::Bare, 1.25), (Who::Plugin, 18.0)] {
            let lane = Lane::new(who, Attachment::Routed, 1);
            let add = || Sample { operation: Operation::Add, ms, end: Ok(vec![]) };
            let samples = vec![add(), add(), Sample { end: Err("no room".to_owned()), ..add() }];
            let outcome = Outcome { ms: 4.0, samples, leftovers: vec![] };
            (0..8).for_each(|_| record.take(case.name, lane, case.turns[0], &outcome));
        }
        record
    }

    #[test]
    fn what_was_measured_is_answered_and_nothing_else() {
        let answers: Vec<String> = answers_of(&record()).iter().map(|answer| answer.cells().join(" ")).collect();
        assert_eq!(
            answers,
            [
                "ADD: weft / bare netlink + exec routed 1.20 x 1.20 to 1.20 <= 1.5 met",
                "mean ADD: bridge+host-local / weft routed 12.0 x 12.0 to 12.0 >= 10 met",
            ]
        );
    }

    #[test]
    fn a_row_counts_calls_and_names_the_first_failure() {
        let rows = figures_of(&record());
        assert_eq!(rows[0].cells().join(" "), "alone weft routed 1 1 - ADD 24 8 1.50 1.50 500");
        assert_eq!(rows[0].failure().as_deref(), Some("alone, weft, routed, ADD: no room"));
    }
}
