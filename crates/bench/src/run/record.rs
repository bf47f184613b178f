//! Everything that was measured, and the rows of a report. Pure.

use std::collections::BTreeMap;

use super::Contender;
use crate::measure::{Bound, Estimate, Point};
use crate::path::{self, Figure, Series};
use crate::report::Answer;

/// What is run.
const CASE: &str = "true";
/// By what `weft run` may exceed the least there is.
const TARGET: Bound = Bound::AtMost(3.0);

/// The book of one run.
#[derive(Debug, Default)]
pub(super) struct Record {
    series: BTreeMap<Contender, Series>,
}

impl Record {
    /// One turn: its commands' milliseconds, or what was wrong with it.
    pub(super) fn take(&mut self, contender: Contender, turn: path::Answer<Vec<f64>>) {
        let one = turn.and_then(|ms| Point::Median.of(&ms).ok_or_else(|| "no command ran".to_owned()));
        self.series.entry(contender).or_default().take(one);
    }

    /// What each network was measured to cost, paired by round.
    pub(super) fn answers(&self) -> Vec<Answer> {
        let Some(least) = self.series.get(&Contender::Unshare) else { return Vec::new() };
        let answer = |(contender, series): (&Contender, &Series)| {
            let (network, [above, below]) =
                (contender.network()?, [series, least].map(|one| one.rounds.iter().copied()));
            let ratio = Estimate::of_ratio(above, below)?;
            let question = format!("{} / {}", contender.title(), Contender::Unshare.title());
            Some(Answer::new(question, network, &ratio, "x", Some(TARGET)))
        };
        self.series.iter().filter_map(answer).collect()
    }

    /// One row for each contender.
    pub(super) fn figures(&self) -> Vec<Figure> {
        let figure = |(contender, series): (&Contender, &Series)| {
            Figure::new(CASE, contender.title(), contender.network(), series, "ms")
        };
        self.series.iter().map(figure).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_api::Row as _;
    use weft_model::Attachment;

    #[test]
    fn each_network_is_held_against_the_namespace_of_its_round() {
        let mut record = Record::default();
        for round in 0..8_u32 {
            let noise = f64::from(1 + round % 3);
            record.take(Contender::Weft(Attachment::Bridge), Ok(vec![5.0 * noise, 6.0 * noise, 90.0]));
            let failed = round == 3;
            record.take(Contender::Unshare, if failed { Err("no".to_owned()) } else { Ok(vec![2.0 * noise]) });
        }
        let answers: Vec<String> = record.answers().iter().map(|answer| answer.cells().join(" ")).collect();
        assert_eq!(answers, ["weft run / unshare -n bridge 3.00 x 3.00 to 3.00 <= 3 met"]);
        let rows: Vec<String> = record.figures().iter().map(|row| row.cells()[..5].join(" ")).collect();
        assert_eq!(rows, ["true weft run bridge 8 0", "true unshare -n - 8 1"]);
    }
}
