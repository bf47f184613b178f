//! Taste, as far as a program can check it. Every finding says what to do instead.

mod files;
mod generated;
mod layering;
mod licences;
mod names;
mod orphans;
mod purity;
mod shape;
mod spdx;
mod tree;
mod words;

use std::fmt;
use std::process::ExitCode;

use anyhow::Result;

use self::tree::Tree;

/// The checks. Each goes through the whole tree and knows nothing of the others.
const CHECKS: &[fn(&Tree) -> Vec<Finding>] = &[
    layering::check,
    purity::check,
    names::check,
    words::check,
    shape::check,
    files::check,
    orphans::check,
    licences::check,
    generated::check,
];

/// Runs all checks and prints what they found.
pub(crate) fn run() -> Result<ExitCode> {
    let tree = Tree::read()?;
    let mut findings: Vec<_> = CHECKS.iter().flat_map(|check| check(&tree)).collect();
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    println!("tidy: {} findings in {} files", findings.len(), tree.files.len());
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    /// Counted from 1.
    line: usize,
    problem: String,
    instead: String,
}

impl Finding {
    fn new(path: &str, line: usize, problem: impl Into<String>, instead: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, problem: problem.into(), instead: instead.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; do instead: {}", self.path, self.line, self.problem, self.instead)
    }
}
