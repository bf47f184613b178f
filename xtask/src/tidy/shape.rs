//! The look of a file: how it opens, how wide it is, and no invisible rest at the end of a line.

use super::Finding;
use super::tree::{SourceFile, Tree, numbered};

/// Most characters in a line of code, as in rustfmt.toml; rustfmt leaves comments and strings alone.
const LINE_CHARS_MAX: usize = 120;

/// What people write by hand, beside scripts.
const WRITTEN: &[&str] = &["rs", "toml", "md", "yaml", "sh", "service"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.texts().filter(|(file, text)| is_written(file, text)).flat_map(|(file, text)| check_file(file, text)).collect()
}

fn is_written(file: &SourceFile, text: &str) -> bool {
    let by_name = file.extension().map_or(file.stem() == "Makefile", |extension| WRITTEN.contains(&extension));
    by_name || text.starts_with("#!/")
}

fn check_file(file: &SourceFile, text: &str) -> Vec<Finding> {
    let rust = file.path.ends_with(".rs");
    let mut findings = Vec::new();
    let mut find = |line, problem: &str, instead: &str| findings.push(Finding::new(&file.path, line, problem, instead));
    if rust && !text.starts_with("//! ") {
        find(1, "the file does not say what it is for", "open with `//! ` and one sentence");
    }
    for (number, line) in numbered(text) {
        if line.ends_with([' ', '\t']) {
            find(number, "white space at the end of the line", "remove it");
        }
        if rust && line.contains('\t') {
            find(number, "a tab", "spaces, or \\t in a string");
        }
        if rust && line.chars().count() > LINE_CHARS_MAX {
            find(number, "the line is longer than 120 characters", "break it");
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        find(text.lines().count(), "the last line has no end", "end it with a newline");
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::tree::fixture;
    use super::*;

    fn found(path: &str, text: &str) -> Vec<(usize, String)> {
        check(&fixture::files(&[(path, text)])).into_iter().map(|it| (it.line, it.problem)).collect()
    }

    #[test]
    fn a_tidy_file_has_no_findings() {
        assert_eq!(found("a/src/lib.rs", "//! What it is for.\n\nfn f() {}\n"), []);
        assert_eq!(found("Makefile", "all:\n\ttrue\n"), []);
        assert_eq!(found("golden.txt", "column  \n"), [], "only what people write by hand");
    }

    #[test]
    fn each_fault_is_found_at_its_line() {
        let faults = [
            ("a.rs", "fn f() {}\n", 1, "the file does not say what it is for"),
            ("a.rs", "//! A.\nfn f() {} \n", 2, "white space at the end of the line"),
            ("a.rs", "//! A.\n\tfn f() {}\n", 2, "a tab"),
            ("a.rs", "//! A.\nfn f() {}", 2, "the last line has no end"),
            ("scripts/a", "#!/bin/sh\ntrue \n", 2, "white space at the end of the line"),
            ("Makefile", "all: \n", 1, "white space at the end of the line"),
        ];
        for (path, text, line, problem) in faults {
            assert_eq!(found(path, text), [(line, problem.to_owned())]);
        }
        let long = format!("//! {}\n", "é".repeat(LINE_CHARS_MAX - 3));
        assert_eq!(found("a.rs", &long), [(1, "the line is longer than 120 characters".to_owned())]);
        assert_eq!(found("a.rs", &long.replacen('é', "", 1)), [], "characters are counted, not bytes");
    }
}
