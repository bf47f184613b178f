//! Waiting for a condition, and how long a test goes on.

use std::time::{Duration, Instant};

/// Longer than anything on one machine takes, short enough to be noticed.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between looks.
const LOOK: Duration = Duration::from_millis(10);
/// Where `make soak` says how long tests of endurance go on, in seconds.
const SOAK_VARIABLE: &str = "WEFT_SOAK_S";

/// Waits until `look` gives something, and panics with what it was about if it never does.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + weft_lab::patience(PATIENCE);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(LOOK);
    }
}

/// Waits until `look` finds nothing, and panics with what it still finds after `patience`.
pub fn until_none(what: &str, patience: Duration, mut look: impl FnMut() -> Vec<String>) {
    let patience = weft_lab::patience(patience);
    let deadline = Instant::now() + patience;
    loop {
        let found = look();
        if found.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "{what}, still after {patience:?}:\n{}", found.join("\n"));
        std::thread::sleep(LOOK);
    }
}

/// How long a test of endurance goes on: `short`, unless `make soak` asks for more.
pub fn endurance(short: Duration) -> Duration {
    let Ok(seconds) = std::env::var(SOAK_VARIABLE) else { return short };
    let seconds = seconds.parse().unwrap_or_else(|e| panic!("{SOAK_VARIABLE}={seconds}: {e}"));
    Duration::from_secs(seconds)
}
