//! The rows of a report: what each contender came to in each case, and what that says of weft.

use serde::Serialize;
use weft_api::Row;
use weft_model::Attachment;

use super::case::{CASES, Case};
use super::contender::Contender;
use super::record::{Record, Series};
use crate::report::{self, Answer, figures_or_dash, range};

/// What one contender came to in one case.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    case: &'static str,
    contender: &'static str,
    /// How weft attaches the ends, where it does.
    network: Option<Attachment>,
    turns: usize,
    failed: usize,
    /// Of the turns that did not fail.
    median: Option<f64>,
    /// Where the median lies with 95 % confidence.
    interval: Option<(f64, f64)>,
    unit: &'static str,
    /// What the first failure said.
    complaint: Option<String>,
}

/// One row for each contender of each case, whose figures are in `unit`.
pub(crate) fn figures_of(record: &Record, unit: fn(&Case) -> &'static str) -> Vec<Figure> {
    let of_case = |case: &&'static Case| {
        let case = *case;
        record
            .of_case(case)
            .map(move |(contender, series)| {
                Figure::new(case.name, contender.title(), contender.network(), series, unit(case))
            })
            .collect::<Vec<_>>()
    };
    CASES.iter().flat_map(of_case).collect()
}

impl Figure {
    /// Of a contender's turns in a case, whose figures are in `unit`.
    pub(crate) fn new(
        case: &'static str,
        contender: &'static str,
        network: Option<Attachment>,
        series: &Series,
        unit: &'static str,
    ) -> Self {
        let (turns, failed, complaint) = (series.rounds.len(), series.failures(), series.complaint.clone());
        let estimate = series.estimate();
        let (median, interval) =
            (estimate.map(|estimate| estimate.median), estimate.and_then(|estimate| estimate.interval));
        Self { case, contender, network, turns, failed, median, interval, unit, complaint }
    }
}

/// What was measured of what is asked, on networks of these attachments.
pub(super) fn answers_of(record: &Record, attachments: &[Attachment]) -> Vec<Answer> {
    let asked = CASES.into_iter().flat_map(|case| case.rivals.iter().map(move |rival| (case, rival)));
    let asked = asked.flat_map(|question| attachments.iter().map(move |network| (question, *network)));
    let asked = asked.filter(|((_, (rival, _)), network)| rival.is_beside(*network));
    let answer = |((case, (rival, target)), network): ((&Case, &(Contender, Option<_>)), _)| {
        let ratio = record.ratio(case, Contender::Weft(network), *rival)?;
        Some(Answer::new(format!("{}: weft / {}", case.title, rival.title()), network, &ratio, "x", *target))
    };
    asked.filter_map(answer).collect()
}

impl report::Figure for Figure {
    fn failure(&self) -> Option<String> {
        let Figure { case, contender, network, complaint, .. } = self;
        let network = network.map_or_else(String::new, |network| format!(", {network}"));
        complaint.as_ref().map(|complaint| format!("{case}, {contender}{network}: {complaint}"))
    }
}

impl Row for Figure {
    const HEADER: &'static [&'static str] =
        &["CASE", "CONTENDER", "NETWORK", "TURNS", "FAILED", "MEDIAN", "95 % INTERVAL", "UNIT"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.case.to_owned(),
            self.contender.to_owned(),
            self.network.map_or_else(|| "-".to_owned(), |network| network.to_string()),
            self.turns.to_string(),
            self.failed.to_string(),
            figures_or_dash(self.median),
            range(self.interval),
            self.unit.to_owned(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Figure as _;

    fn record() -> Record {
        let (case, mut record) = (CASES[0], Record::default());
        for _ in 0..8 {
            record.take(case, Contender::Weft(Attachment::Routed), Ok(57_000.0));
            record.take(case, Contender::Empty, Ok(60_000.0));
            record.take(case, Contender::Bridge, Err("server: no end after 5 s".to_owned()));
            record.take(case, Contender::Weft(Attachment::Macvlan), Ok(50_000.0));
            record.take(case, Contender::Macvlan, Ok(52_000.0));
        }
        record
    }

    #[test]
    fn what_was_measured_is_answered_and_nothing_else() {
        let answers: Vec<String> =
            answers_of(&record(), Attachment::ALL).iter().map(|answer| answer.cells().join(" ")).collect();
        let expected = [
            "request/response, one CPU: weft / empty programs routed 0.95 x 0.95 to 0.95 >= 0.95 met",
            "request/response, one CPU: weft / macvlan bridge mode macvlan 0.96 x 0.96 to 0.96 >= 0.9 met",
        ];
        assert_eq!(answers, expected);
    }

    #[test]
    fn a_row_counts_turns_and_names_the_first_failure() {
        let rows = figures_of(&record(), |case| case.work.unit());
        assert_eq!(rows[0].cells().join(" "), "exchange weft routed 8 0 57000 57000 to 57000 transactions/s");
        let bridge = rows.iter().find(|row| row.contender == "plain bridge").unwrap();
        assert_eq!(bridge.cells().join(" "), "exchange plain bridge - 8 8 - - transactions/s");
        assert_eq!(bridge.failure().as_deref(), Some("exchange, plain bridge: server: no end after 5 s"));
    }
}
