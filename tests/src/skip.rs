//! Tests that cannot run here say so (CONTRIBUTING.md, "Tests").

use std::io::Write as _;

/// The lab's test `test` does not run, for `reason`.
pub fn skip(test: &str, reason: &str) {
    let Some(list) = std::env::var_os("WEFT_SKIP_FILE") else { return };
    let list = std::fs::File::options().append(true).create(true).open(list);
    let told = list.and_then(|mut list| writeln!(list, "SKIP lab::{test}: {reason}"));
    told.unwrap_or_else(|e| panic!("{test} is skipped, and nobody is told: {e}"));
}
