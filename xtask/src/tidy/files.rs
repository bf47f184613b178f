//! Files as git keeps them: small, readable, and executable only when they can be run.

use super::Finding;
use super::tree::{SourceFile, Tree};

/// Largest file, in bytes: what is larger is either several ideas or not source.
const FILE_BYTES_MAX: usize = 100_000;

/// Written by programs, and as long as they have to be.
const GENERATED: &[&str] = &["Cargo.lock", "openapi.json"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.files.iter().flat_map(check_file).collect()
}

fn check_file(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |problem: &str, instead: &str| findings.push(Finding::new(&file.path, 1, problem, instead));
    if file.bytes > FILE_BYTES_MAX && !GENERATED.contains(&file.path.as_str()) {
        find("the file is larger than 100 kB", "split it by idea, or make it when it is needed");
    }
    match &file.text {
        None => find("the file is binary", "keep its source, and build it"),
        Some(text) => match (text.starts_with("#!/"), file.executable) {
            (true, false) => find("the script cannot be run", "chmod +x"),
            (false, true) => find("the file is executable but names no interpreter", "chmod -x, or begin with #!"),
            _ => {}
        },
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, bytes: usize, executable: bool, text: Option<&str>) -> Vec<String> {
        let file = SourceFile { path: path.into(), bytes, executable, text: text.map(str::to_owned) };
        check_file(&file).into_iter().map(|finding| finding.problem).collect()
    }

    #[test]
    fn scripts_and_only_scripts_are_executable() {
        assert_eq!(found("a", 1, true, Some("#!/bin/sh\n")), [""; 0]);
        assert_eq!(found("a", 1, false, Some("#!/bin/sh\n")), ["the script cannot be run"]);
        assert_eq!(found("a.rs", 1, true, Some("#![no_std]\n")), ["the file is executable but names no interpreter"]);
    }

    #[test]
    fn large_and_binary_files_are_found() {
        assert_eq!(found("a.rs", FILE_BYTES_MAX + 1, false, Some("")), ["the file is larger than 100 kB"]);
        assert_eq!(found("Cargo.lock", FILE_BYTES_MAX + 1, false, Some("")), [""; 0]);
        assert_eq!(found("a.o", 1, false, None), ["the file is binary"]);
    }
}
