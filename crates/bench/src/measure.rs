//! What figures come to: medians, percentiles, the interval of a median, and the verdict on it. Pure.

use super::chance::Chance;

/// Resamples of a bootstrap: the interval's own noise is then far below that of the figures.
const RESAMPLES: usize = 2000;
/// Percentiles of the resampled medians that hold 95 % of them.
const INTERVAL_PERCENT: (f64, f64) = (2.5, 97.5);
/// With fewer rounds, the interval of a median that holds 95 % reaches beyond the figures themselves (2 × 0.5^5 > 5 %).
pub(super) const ROUNDS_MIN: usize = 6;
const SEED: u64 = 0x7765_6674;

/// The value that `percent` of `values` do not exceed, by nearest rank; `None` of nothing.
fn percentile(values: &[f64], percent: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

/// The middle one of `values`, or the mean of the two in the middle; `None` of nothing.
fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let is_odd = sorted.len() % 2 == 1;
    Some(if is_odd { upper } else { f64::midpoint(sorted[sorted.len() / 2 - 1], upper) })
}

/// `None` of nothing.
fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// What the figures of one round come to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Point {
    Median,
    /// What tells more of calls that take either this long or that, and never in between.
    Mean,
    P99,
}

impl Point {
    /// `None` of nothing.
    pub(super) fn of(self, values: &[f64]) -> Option<f64> {
        match self {
            Point::Median => median(values),
            Point::Mean => mean(values),
            Point::P99 => percentile(values, 99.0),
        }
    }
}

/// A median, and between which values it lies with 95 % confidence, where that can be said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Estimate {
    pub(super) median: f64,
    pub(super) interval: Option<(f64, f64)>,
}

impl Estimate {
    /// From one value per round, by bootstrap over the rounds; `None` of nothing.
    pub(super) fn of(rounds: &[f64]) -> Option<Self> {
        let median = median(rounds)?;
        let interval = if rounds.len() < ROUNDS_MIN { None } else { bootstrap(rounds) };
        Some(Self { median, interval })
    }

    /// Of the ratio of two contenders, one figure of each per round; a round in which either has none does not count.
    pub(super) fn of_ratio(
        above: impl Iterator<Item = Option<f64>>,
        below: impl Iterator<Item = Option<f64>>,
    ) -> Option<Self> {
        Self::of(&above.zip(below).filter_map(|(above, below)| Some(above? / below?)).collect::<Vec<_>>())
    }

    /// The same of by how much one is more than the other.
    pub(super) fn of_difference(
        more: impl Iterator<Item = Option<f64>>,
        less: impl Iterator<Item = Option<f64>>,
    ) -> Option<Self> {
        Self::of(&more.zip(less).filter_map(|(more, less)| Some(more? - less?)).collect::<Vec<_>>())
    }

    /// Of what is counted, not sampled.
    pub(super) fn exact(value: f64) -> Self {
        Self { median: value, interval: Some((value, value)) }
    }
}

fn bootstrap(rounds: &[f64]) -> Option<(f64, f64)> {
    let mut chance = Chance::seeded(SEED);
    let mut resample = || {
        let drawn: Vec<f64> = rounds.iter().map(|_| rounds[chance.below(rounds.len())]).collect();
        median(&drawn)
    };
    let medians: Vec<f64> = (0..RESAMPLES).filter_map(|_| resample()).collect();
    let (low, high) = INTERVAL_PERCENT;
    Some((percentile(&medians, low)?, percentile(&medians, high)?))
}

/// A target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// Whether a target is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Met,
    Missed,
    NotResolved,
}

impl Verdict {
    pub(super) fn words(self) -> &'static str {
        match self {
            Verdict::Met => "met",
            Verdict::Missed => "missed",
            Verdict::NotResolved => "not resolved at this noise",
        }
    }
}

impl Bound {
    /// Met or missed if the whole interval says so.
    pub(super) fn judge(self, estimate: &Estimate) -> Verdict {
        let Some((low, high)) = estimate.interval else { return Verdict::NotResolved };
        let (worst_is_good, best_is_good) = match self {
            Bound::AtMost(most) => (high <= most, low <= most),
            Bound::AtLeast(least) => (low >= least, high >= least),
        };
        match (worst_is_good, best_is_good) {
            (true, _) => Verdict::Met,
            (false, false) => Verdict::Missed,
            (false, true) => Verdict::NotResolved,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(low: f64, high: f64) -> Estimate {
        Estimate { median: f64::midpoint(low, high), interval: Some((low, high)) }
    }

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        for (percent, expected) in [(0.0, 1.0), (1.0, 1.0), (50.0, 50.0), (99.0, 99.0), (99.1, 100.0), (100.0, 100.0)] {
            assert_eq!(percentile(&hundred, percent), Some(expected), "{percent}");
        }
        assert_eq!(percentile(&[3.0], 99.0), Some(3.0));
        assert_eq!(percentile(&[], 50.0), None);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_two() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn the_interval_holds_the_true_median_nineteen_times_of_twenty() {
        let mut chance = Chance::seeded(7);
        let mut uniform = || chance.below(1_000_000) as f64 / 1e6;
        let holds = |rounds: Vec<f64>| {
            let (low, high) = Estimate::of(&rounds).unwrap().interval.unwrap();
            (low..=high).contains(&0.5)
        };
        let held = (0..100).filter(|_| holds((0..25).map(|_| uniform()).collect())).count();
        assert!((88..=99).contains(&held), "{held} of 100");
    }

    #[test]
    fn too_few_rounds_have_no_interval() {
        assert_eq!(Estimate::of(&[]), None);
        let few = Estimate::of(&[1.0, 1.0, 1.0, 1.0, 1.0]).unwrap();
        assert_eq!((few.median, few.interval), (1.0, None));
        assert_eq!(Bound::AtMost(2.0).judge(&few), Verdict::NotResolved);
        assert_eq!(Estimate::of(&[2.0; ROUNDS_MIN]), Some(Estimate::exact(2.0)));
    }

    #[test]
    fn the_whole_interval_decides() {
        for (bound, low, high, verdict) in [
            (Bound::AtMost(1.5), 1.0, 1.5, Verdict::Met),
            (Bound::AtMost(1.5), 1.4, 1.6, Verdict::NotResolved),
            (Bound::AtMost(1.5), 1.6, 1.7, Verdict::Missed),
            (Bound::AtLeast(10.0), 10.0, 12.0, Verdict::Met),
            (Bound::AtLeast(10.0), 9.0, 11.0, Verdict::NotResolved),
            (Bound::AtLeast(10.0), 8.0, 9.0, Verdict::Missed),
        ] {
            assert_eq!(bound.judge(&estimate(low, high)), verdict, "{bound:?} {low}..{high}");
        }
    }
}
