//! When to try again what failed: soon at first, then ever less often.

use std::time::Duration;

/// Before the second try.
const FIRST: Duration = Duration::from_millis(100);
/// Between later tries, at most.
const LAST: Duration = Duration::from_secs(30);

/// Counts failures in a row.
#[derive(Debug, Clone, Copy, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Notes a failure; says how long to wait before the next try.
    pub fn fail(&mut self) -> Duration {
        let wait = FIRST.saturating_mul(1 << self.failures.min(16)).min(LAST);
        self.failures = self.failures.saturating_add(1);
        wait
    }

    /// Notes a success.
    pub fn succeed(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit_and_start_anew_after_success() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..12).map(|_| backoff.fail()).collect();
        assert_eq!(waits[0], FIRST);
        assert!(waits.is_sorted());
        assert_eq!(waits[11], LAST);
        backoff.succeed();
        assert_eq!(backoff.fail(), FIRST);
    }
}
