//! What a run comes to, as text and as JSON, from the same rows.

use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;
use weft_api::Row;
use weft_model::Attachment;

use super::case::CASES;
use super::measure::{Bound, Point};
use super::question::{QUESTIONS, Question};
use super::record::{Key, Record, Series};

/// Spaces between columns.
const GAP: &str = "  ";

/// Where and when it was measured.
#[derive(Debug, Serialize)]
pub(super) struct Circumstances {
    /// weft's version, and how it was built.
    pub(super) weft: String,
    /// How the shim is linked: a dynamic one starts later.
    pub(super) shim: &'static str,
    /// Release of the kernel.
    pub(super) kernel: String,
    pub(super) cpu: String,
    pub(super) cores: usize,
    pub(super) date: String,
    /// How many were asked for; each case has its share.
    pub(super) rounds: u32,
}

/// The answer to one question.
#[derive(Debug, Serialize)]
struct Answer {
    question: &'static str,
    network: Attachment,
    median: f64,
    /// Where the median lies with 95 % confidence.
    interval: Option<(f64, f64)>,
    unit: &'static str,
    target: String,
    verdict: &'static str,
}

/// What one contender did at one load.
#[derive(Debug, Serialize)]
struct Figure {
    case: &'static str,
    contender: &'static str,
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

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    circumstances: Circumstances,
    answers: Vec<Answer>,
    figures: Vec<Figure>,
}

impl Report {
    pub(super) fn new(circumstances: Circumstances, record: &Record) -> Self {
        let mut figures: Vec<Figure> = record.series.iter().map(|(key, series)| figure(key, series)).collect();
        figures.sort_by_key(|figure| CASES.iter().position(|case| case.name == figure.case));
        let asked = QUESTIONS.iter().flat_map(|question| question.attachments.iter().map(move |on| (question, *on)));
        Self {
            circumstances,
            answers: asked.filter_map(|(question, on)| answer(question, on, record)).collect(),
            figures,
        }
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let Circumstances { weft, shim, kernel, cpu, cores, date, rounds } = &self.circumstances;
        let mut text =
            format!("weft {weft}, {shim} shim, Linux {kernel}, {cores} cores of {cpu}, {date}, {rounds} rounds\n\n");
        text += &table(&self.answers);
        text.push('\n');
        text += &table(&self.figures);
        for figure in &self.figures {
            if let Some(complaint) = &figure.complaint {
                let Figure { case, contender, network, call, .. } = figure;
                let _ = writeln!(text, "\nfailed: {case}, {contender}, {network}, {call}: {complaint}");
            }
        }
        text
    }

    /// For programs.
    pub(super) fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

fn answer(question: &Question, network: Attachment, record: &Record) -> Option<Answer> {
    let estimate = record.answer(question, network)?;
    let target = match question.target {
        Bound::AtMost(most) => format!("<= {most}"),
        Bound::AtLeast(least) => format!(">= {least}"),
    };
    Some(Answer {
        question: question.text,
        network,
        median: estimate.median,
        interval: estimate.interval,
        unit: question.asked.unit(),
        target,
        verdict: question.target.judge(&estimate).words(),
    })
}

fn figure(key: &Key, series: &Series) -> Figure {
    let all = series.all();
    Figure {
        case: key.case,
        contender: key.lane.who.title(),
        network: key.lane.attachment,
        present: key.lane.present,
        at_once: key.turn.at_once,
        mixed: key.turn.mixed,
        call: key.operation.word(),
        succeeded: all.len(),
        failed: series.failures,
        p50_ms: Point::Median.of(&all),
        p99_ms: Point::P99.of(&all),
        per_second: all.len() as f64 / (series.wall_ms / 1e3).max(f64::MIN_POSITIVE),
        complaint: series.complaint.clone(),
    }
}

impl Row for Answer {
    const HEADER: &'static [&'static str] = &["QUESTION", "NETWORK", "MEDIAN", "95 % INTERVAL", "TARGET", "VERDICT"];

    fn cells(&self) -> Vec<String> {
        let interval = self.interval.map(|(low, high)| format!("{} to {}", figures(low), figures(high)));
        vec![
            self.question.to_owned(),
            self.network.to_string(),
            format!("{} {}", figures(self.median), self.unit),
            interval.unwrap_or_else(|| "-".to_owned()),
            self.target.clone(),
            self.verdict.to_owned(),
        ]
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
        let milliseconds = |ms: Option<f64>| ms.map_or_else(|| "-".to_owned(), figures);
        vec![
            self.case.to_owned(),
            self.contender.to_owned(),
            self.network.to_string(),
            self.present.to_string(),
            self.at_once.to_string(),
            if self.mixed { "mixed" } else { "-" }.to_owned(),
            self.call.to_owned(),
            (self.succeeded + self.failed).to_string(),
            self.failed.to_string(),
            milliseconds(self.p50_ms),
            milliseconds(self.p99_ms),
            figures(self.per_second),
        ]
    }
}

/// Three figures that count; more would be noise.
fn figures(value: f64) -> String {
    let decimals = match value.abs() {
        v if v < 1e-9 => 0,
        v if v < 10.0 => 2,
        v if v < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

/// A line of headers and a line for each row, in columns.
fn table<T: Row>(rows: &[T]) -> String {
    let header = T::HEADER.iter().map(|cell| (*cell).to_owned()).collect();
    let lines: Vec<Vec<String>> = std::iter::once(header).chain(rows.iter().map(Row::cells)).collect();
    let width = |column: usize| lines.iter().map(|cells| cells[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..T::HEADER.len()).map(width).collect();
    let line = |cells: &Vec<String>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect::<Vec<_>>();
        padded.join(GAP).trim_end().to_owned() + "\n"
    };
    lines.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::case::{CASES, Lane, Who};
    use crate::bench::performer::{Outcome, Sample};
    use crate::bench::script::Operation;

    fn report() -> Report {
        let (case, mut record) = (CASES[0], Record::default());
        for (who, ms) in [(Who::Weft, 1.5), (Who::Bare, 1.25), (Who::Bridge, 18.0)] {
            let lane = Lane::new(who, Attachment::Routed, 1);
            let add = || Sample { operation: Operation::Add, ms, end: Ok(vec![]) };
            let samples = vec![add(), add(), Sample { end: Err("no room".to_owned()), ..add() }];
            let outcome = Outcome { ms: 4.0, samples, leftovers: vec![] };
            (0..8).for_each(|_| record.take(case.name, lane, case.turns[0], &outcome));
        }
        let circumstances = Circumstances {
            weft: "0.1.0".to_owned(),
            shim: "static",
            kernel: "6.18".to_owned(),
            cpu: "EPYC".to_owned(),
            cores: 2,
            date: "2026-11-21".to_owned(),
            rounds: 8,
        };
        Report::new(circumstances, &record)
    }

    #[test]
    fn the_text_has_circumstances_answers_figures_and_failures() {
        let text = report().text();
        let lines: Vec<String> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        for line in [
            "weft 0.1.0, static shim, Linux 6.18, 2 cores of EPYC, 2026-11-21, 8 rounds",
            "ADD: weft / bare netlink + exec routed 1.20 x 1.20 to 1.20 <= 1.5 met",
            "mean ADD: bridge+host-local / weft routed 12.0 x 12.0 to 12.0 >= 10 met",
            "alone weft routed 1 1 - ADD 24 8 1.50 1.50 500",
            "failed: alone, weft, routed, ADD: no room",
        ] {
            assert!(lines.iter().any(|shown| shown == line), "{line} is not in:\n{text}");
        }
    }

    #[test]
    fn json_says_the_same() {
        let json: serde_json::Value = serde_json::from_str(&report().json().unwrap()).unwrap();
        assert_eq!(json["answers"][0]["verdict"], "met");
        assert_eq!(json["answers"].as_array().unwrap().len(), 2, "what was not measured is not answered");
        assert_eq!(json["figures"][0]["per_second"], 500.0);
        assert_eq!(json["figures"][0]["failed"], 8);
    }

    #[test]
    fn three_figures_are_shown() {
        let shown: Vec<_> = [0.0, 0.012, 1.234, 12.34, 123.4, 12_345.6].into_iter().map(figures).collect();
        assert_eq!(shown, ["0", "0.01", "1.23", "12.3", "123", "12346"]);
    }
}
