//! Everything that was measured. Pure.

use std::collections::BTreeMap;

use super::case::Case;
use super::contender::Contender;
use super::performer::Answer;
use crate::measure::Estimate;

/// The turns of one contender in one case.
#[derive(Debug, Default)]
pub(crate) struct Series {
    /// A figure per round, of most benches a rate; none where it failed.
    pub(crate) rounds: Vec<Option<f64>>,
    /// What the first failure said.
    pub(crate) complaint: Option<String>,
}

impl Series {
    /// One turn.
    pub(crate) fn take(&mut self, rate: Answer<f64>) {
        match rate {
            Ok(rate) => self.rounds.push(Some(rate)),
            Err(complaint) => {
                self.rounds.push(None);
                self.complaint.get_or_insert(complaint);
            }
        }
    }

    /// How many turns failed.
    pub(crate) fn failures(&self) -> usize {
        self.rounds.iter().filter(|rate| rate.is_none()).count()
    }

    /// The rate that it comes to.
    pub(crate) fn estimate(&self) -> Option<Estimate> {
        Estimate::of(&self.rounds.iter().copied().flatten().collect::<Vec<_>>())
    }
}

/// The book of one run.
#[derive(Debug, Default)]
pub(crate) struct Record {
    series: BTreeMap<(&'static str, Contender), Series>,
}

impl Record {
    /// One turn.
    pub(crate) fn take(&mut self, case: &Case, contender: Contender, rate: Answer<f64>) {
        self.series.entry((case.name, contender)).or_default().take(rate);
    }

    /// Those who did their turns in `case`.
    pub(super) fn of_case(&self, case: &Case) -> impl Iterator<Item = (Contender, &Series)> {
        let name = case.name;
        let found = self.series.iter().filter(move |((series_case, _), _)| *series_case == name);
        found.map(|((_, contender), series)| (*contender, series))
    }

    /// By what one outdoes the other, paired by round; `None` if it was not measured.
    pub(super) fn ratio(&self, case: &Case, above: Contender, below: Contender) -> Option<Estimate> {
        Estimate::of_ratio(self.rounds(case, above)?, self.rounds(case, below)?)
    }

    /// How much more of it one has than the other, paired by round; `None` if it was not measured.
    pub(crate) fn difference(&self, case: &Case, more: Contender, less: Contender) -> Option<Estimate> {
        Estimate::of_difference(self.rounds(case, more)?, self.rounds(case, less)?)
    }

    fn rounds(&self, case: &Case, contender: Contender) -> Option<impl Iterator<Item = Option<f64>>> {
        self.series.get(&(case.name, contender)).map(|series| series.rounds.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::case::CASES;
    use weft_model::Attachment;

    const WEFT: Contender = Contender::Weft(Attachment::Routed);

    #[test]
    fn rounds_are_paired_also_where_one_side_failed() {
        let (case, mut record) = (CASES[0], Record::default());
        for round in 0..8_u32 {
            let noise = f64::from(1 + round % 3);
            record.take(case, WEFT, if round == 3 { Err("no answer".to_owned()) } else { Ok(1.2 * noise) });
            record.take(case, Contender::Empty, Ok(noise));
        }
        let (low, high) = record.ratio(case, WEFT, Contender::Empty).unwrap().interval.unwrap();
        assert!((low - 1.2).abs() < 1e-9 && (high - 1.2).abs() < 1e-9, "the noise is common to both: {low} {high}");
        let (_, series) = record.of_case(case).find(|(contender, _)| *contender == WEFT).unwrap();
        assert_eq!((series.failures(), series.complaint.as_deref()), (1, Some("no answer")));
        assert_eq!(record.ratio(case, WEFT, Contender::Bridge), None);
        assert_eq!(record.ratio(CASES[1], WEFT, Contender::Empty), None);
    }
}
