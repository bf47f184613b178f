//! Waiting for a condition.

use std::time::{Duration, Instant};

/// Longer than anything on one machine takes, short enough to be noticed.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between looks.
const LOOK: Duration = Duration::from_millis(10);

/// Waits until `look` gives something, and panics with what it was about if it never does.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(LOOK);
    }
}
