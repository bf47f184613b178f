//! Adds up what the test harness and the tests say.

use std::fmt;

/// What became of all tests.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// As the harness sees it: with those that skipped themselves.
    succeeded: usize,
    failed: usize,
    /// The names of those that failed.
    failures: Vec<String>,
    /// Tests that ran and found that they could not, one `name: reason` each.
    skipped: Vec<String>,
    /// Tests that the harness was told not to run, likewise.
    ignored: Vec<String>,
}

impl Tally {
    /// Takes note of one line of the harness's output.
    pub(super) fn add_line(&mut self, line: &str) {
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.succeeded += count(counts, "passed");
            self.failed += count(counts, "failed");
        } else if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            self.failures.push(name.to_owned());
        } else if let Some((name, reason)) = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... ignored"))
        {
            let reason = reason.strip_prefix(", ").unwrap_or("ignored without a reason");
            self.ignored.push(format!("{name}: {reason}"));
        }
    }

    /// Takes note of what tests wrote about themselves, a line for each.
    pub(super) fn add_skips(&mut self, reported: &str) {
        self.skipped.extend(reported.lines().filter_map(|line| line.strip_prefix("SKIP ")).map(str::to_owned));
    }

    /// Takes note of a failure that the harness did not count.
    pub(super) fn add_failure(&mut self, what: String) {
        self.failed += 1;
        self.failures.push(what);
    }

    pub(super) fn failed(&self) -> usize {
        self.failed
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let skips: Vec<_> = self.skipped.iter().chain(&self.ignored).collect();
        list(f, "skipped", &skips)?;
        list(f, "failed", &self.failures.iter().collect::<Vec<_>>())?;
        let passed = self.succeeded.saturating_sub(self.skipped.len());
        writeln!(f, "\n{passed} passed, {} failed, {} skipped", self.failed, skips.len())
    }
}

fn list(f: &mut fmt::Formatter<'_>, what: &str, tests: &[&String]) -> fmt::Result {
    if !tests.is_empty() {
        writeln!(f, "\n{} {what}:", tests.len())?;
    }
    tests.iter().try_for_each(|test| writeln!(f, "  {test}"))
}

/// The number before `what` in `ok. 12 passed; 0 failed; 1 ignored; ...`.
fn count(counts: &str, what: &str) -> usize {
    let words: Vec<&str> = counts.split([' ', ';']).collect();
    let pair = words.windows(2).find(|pair| pair[1] == what);
    pair.and_then(|pair| pair[0].parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_binaries_add_up() {
        let mut tally = Tally::default();
        tally.add_line("test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.1s");
        tally.add_line("test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out");
        tally.add_line("test a::b ... ok");
        tally.add_line("test a::c ... FAILED");
        assert_eq!(tally.to_string(), "\n1 failed:\n  a::c\n\n14 passed, 1 failed, 0 skipped\n");
    }

    #[test]
    fn skipped_tests_are_listed_and_do_not_count_as_passed() {
        let mut tally = Tally::default();
        tally.add_line("test slow ... ignored, takes an hour");
        tally.add_line("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out");
        tally.add_skips("SKIP netns::netkit_pair: the kernel has no netkit\n");
        let expected = "\n2 skipped:\n  netns::netkit_pair: the kernel has no netkit\n  slow: takes an hour\n\
                        \n2 passed, 0 failed, 2 skipped\n";
        assert_eq!(tally.to_string(), expected);
    }
}
