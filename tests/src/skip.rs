//! Tests that cannot run here, counted at the end (xtask/src/test.rs).

#![expect(clippy::unwrap_used, reason = "a test that fails there says enough")]

use std::io::Write as _;

/// Says that `test` could not run, and for which reason a probe gave.
pub fn skip(test: &str, reason: &str) {
    let Some(list) = std::env::var_os("WEFT_SKIP_FILE") else { return };
    let mut list = std::fs::File::options().append(true).create(true).open(list).unwrap();
    writeln!(list, "SKIP lab::{test}: {reason}").unwrap();
}
