//! What a run comes to, as text and as JSON, from the same rows.

use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;
use weft_api::Row;
use weft_model::Attachment;

use super::measure::{Bound, Estimate};

/// Spaces between columns.
const GAP: &str = "  ";
/// Where there is nothing to say.
const NOTHING: &str = "-";

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
pub(super) struct Answer {
    question: String,
    network: Attachment,
    median: f64,
    /// Where the median lies with 95 % confidence.
    interval: Option<(f64, f64)>,
    unit: &'static str,
    target: String,
    verdict: &'static str,
}

impl Answer {
    /// Judged by `target`, where there is one to reach.
    pub(super) fn new(
        question: String,
        network: Attachment,
        estimate: &Estimate,
        unit: &'static str,
        target: Option<Bound>,
    ) -> Self {
        let words = match target {
            Some(Bound::AtMost(most)) => format!("<= {most}"),
            Some(Bound::AtLeast(least)) => format!(">= {least}"),
            None => NOTHING.to_owned(),
        };
        Self {
            question,
            network,
            median: estimate.median,
            interval: estimate.interval,
            unit,
            target: words,
            verdict: target.map_or(NOTHING, |target| target.judge(estimate).words()),
        }
    }
}

/// What one contender did in one case.
pub(super) trait Figure: Row + Serialize {
    /// Which one it is, and what its first failure said.
    fn failure(&self) -> Option<String>;
}

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Report<F> {
    pub(super) circumstances: Circumstances,
    pub(super) answers: Vec<Answer>,
    /// How an answer comes about, where its question does not say it all: a line each.
    pub(super) legend: &'static [&'static str],
    /// What would have been measured, had the kernel such links.
    pub(super) absent: Vec<Attachment>,
    pub(super) figures: Vec<F>,
}

impl<F: Figure> Report<F> {
    /// For people.
    pub(super) fn text(&self) -> String {
        let Circumstances { weft, shim, kernel, cpu, cores, date, rounds } = &self.circumstances;
        let mut text =
            format!("weft {weft}, {shim} shim, Linux {kernel}, {cores} cores of {cpu}, {date}, {rounds} rounds\n\n");
        text += &table(&self.answers);
        text.push('\n');
        for line in self.legend {
            let _ = writeln!(text, "{line}\n");
        }
        for attachment in &self.absent {
            let _ = writeln!(text, "{attachment}: not measured, the kernel has no such links\n");
        }
        text += &table(&self.figures);
        for failure in self.figures.iter().filter_map(Figure::failure) {
            let _ = writeln!(text, "\nfailed: {failure}");
        }
        text
    }

    /// For programs.
    pub(super) fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

impl Row for Answer {
    const HEADER: &'static [&'static str] = &["QUESTION", "NETWORK", "MEDIAN", "95 % INTERVAL", "TARGET", "VERDICT"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.question.clone(),
            self.network.to_string(),
            format!("{} {}", figures(self.median), self.unit),
            range(self.interval),
            self.target.clone(),
            self.verdict.to_owned(),
        ]
    }
}

/// What may be unknown, in three figures.
pub(super) fn figures_or_dash(value: Option<f64>) -> String {
    value.map_or_else(|| NOTHING.to_owned(), figures)
}

/// From one to the other, where that is known.
pub(super) fn range(interval: Option<(f64, f64)>) -> String {
    interval.map_or_else(|| NOTHING.to_owned(), |(low, high)| format!("{} to {}", figures(low), figures(high)))
}

/// Three figures that count; more would be noise.
pub(super) fn figures(value: f64) -> String {
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

    #[derive(Serialize)]
    struct Sprint(f64, Option<&'static str>);

    impl Row for Sprint {
        const HEADER: &'static [&'static str] = &["RUNNER", "S"];

        fn cells(&self) -> Vec<String> {
            vec!["weft".to_owned(), figures(self.0)]
        }
    }

    impl Figure for Sprint {
        fn failure(&self) -> Option<String> {
            self.1.map(|complaint| format!("weft: {complaint}"))
        }
    }

    fn report() -> Report<Sprint> {
        let answer = |question: &str, estimate, target| {
            Answer::new(question.to_owned(), Attachment::Routed, &estimate, "x", target)
        };
        let unsure = Estimate { median: 1.2, interval: None };
        Report {
            circumstances: Circumstances {
                weft: "0.1.0".to_owned(),
                shim: "static",
                kernel: "6.18".to_owned(),
                cpu: "EPYC".to_owned(),
                cores: 2,
                date: "2026-11-21".to_owned(),
                rounds: 8,
            },
            answers: vec![
                answer("is it fast", Estimate::exact(1.2), Some(Bound::AtMost(1.5))),
                answer("is it faster", unsure, Some(Bound::AtLeast(1.0))),
                answer("how fast is it", unsure, None),
            ],
            legend: &["fast: less than 1.5 x"],
            absent: vec![Attachment::Ipvlan],
            figures: vec![Sprint(9.58, None), Sprint(12.0, Some("false start"))],
        }
    }

    #[test]
    fn the_text_has_circumstances_answers_figures_and_failures() {
        let text = report().text();
        let lines: Vec<String> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        for line in [
            "weft 0.1.0, static shim, Linux 6.18, 2 cores of EPYC, 2026-11-21, 8 rounds",
            "QUESTION NETWORK MEDIAN 95 % INTERVAL TARGET VERDICT",
            "is it fast routed 1.20 x 1.20 to 1.20 <= 1.5 met",
            "is it faster routed 1.20 x - >= 1 not resolved at this noise",
            "how fast is it routed 1.20 x - - -",
            "fast: less than 1.5 x",
            "ipvlan: not measured, the kernel has no such links",
            "RUNNER S",
            "weft 9.58",
            "failed: weft: false start",
        ] {
            assert!(lines.iter().any(|shown| shown == line), "{line} is not in:\n{text}");
        }
    }

    #[test]
    fn json_says_the_same() {
        let json: serde_json::Value = serde_json::from_str(&report().json().unwrap()).unwrap();
        assert_eq!(json["answers"][0]["verdict"], "met");
        assert_eq!(json["answers"][2]["target"], "-");
        assert_eq!(json["absent"][0], "ipvlan");
        assert_eq!(json["figures"][1][1], "false start");
    }

    #[test]
    fn three_figures_are_shown() {
        let shown: Vec<_> = [0.0, 0.012, 1.234, 12.34, 123.4, 12_345.6].into_iter().map(figures).collect();
        assert_eq!(shown, ["0", "0.01", "1.23", "12.3", "123", "12346"]);
    }
}
