//! How long to wait for what must come, on a machine of whatever speed.

use std::sync::LazyLock;
use std::time::Duration;

/// Where slow machines, such as emulated ones, say how many times as long everything takes.
const VARIABLE: &str = "WEFT_TEST_PATIENCE";

static FACTOR: LazyLock<u32> = LazyLock::new(|| {
    let Ok(factor) = std::env::var(VARIABLE) else { return 1 };
    factor.parse().unwrap_or_else(|e| panic!("{VARIABLE}={factor}: {e}"))
});

/// The longest wait here for what takes at most `usual` on a machine of usual speed.
pub fn patience(usual: Duration) -> Duration {
    usual * *FACTOR
}
