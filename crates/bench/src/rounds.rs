//! Rounds, in each of which everybody has his turns, in an order that chance gives.

use std::io::Write;
use std::time::Instant;

use anyhow::Result;

use super::chance::Chance;

/// So many times it is told how far a run is.
const NOTES: u32 = 10;

/// Plays so many rounds; tells on `progress` how far it is. One `seed` has one order, so that two runs differ by noise
/// alone.
pub(super) fn play(
    rounds: u32,
    seed: u64,
    progress: &mut dyn Write,
    mut play_one: impl FnMut(&mut Chance) -> Result<()>,
) -> Result<()> {
    let (start, mut chance) = (Instant::now(), Chance::seeded(seed));
    for round in 1..=rounds {
        play_one(&mut chance)?;
        if round % rounds.div_ceil(NOTES) == 0 || round == rounds {
            writeln!(progress, "round {round} of {rounds}: {:.0} s", start.elapsed().as_secs_f64())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    #[test]
    fn every_round_is_played_and_ten_are_told_of() {
        let (mut played, mut told) = (0, Vec::new());
        let count = |_: &mut Chance| {
            played += 1;
            Ok(())
        };
        play(40, 1, &mut told, count).unwrap();
        let told = String::from_utf8(told).unwrap();
        assert_eq!((played, told.lines().count()), (40, 10), "{told}");
        assert!(told.lines().last().unwrap().starts_with("round 40 of 40: "), "{told}");
    }

    #[test]
    fn the_first_fault_ends_it() {
        let mut played = 0;
        let fail = |_: &mut Chance| {
            played += 1;
            bail!("no host")
        };
        assert!(play(3, 1, &mut Vec::new(), fail).is_err());
        assert_eq!(played, 1);
    }
}
