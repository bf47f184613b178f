//! Words that have no place in a finished file.

use super::Finding;
use super::tree::{SourceFile, Tree, is_comment, numbered};

/// This file has to spell what it forbids.
const OWN: &str = "xtask/src/tidy/words.rs";

/// In any text.
const ANYWHERE: &[(&str, &str)] = &[
    ("TODO", "do it, or leave it out"),
    ("FIXME", "fix it"),
    ("XXX", "say what is the matter, or fix it"),
    ("HACK", "say why it has to be so"),
];

/// In Rust, tests included.
const IN_RUST: &[(&str, &str)] = &[
    ("dbg!(", "an event of tracing, or nothing"),
    ("todo!(", "write it, or leave the way to it out"),
    ("unimplemented!(", "write it, or return an error that says so"),
];

/// In Rust that is shipped.
const IN_PRODUCTION: &[(&str, &str)] = &[(".unwrap()", "return the error, or expect(\"why it cannot fail\")")];

/// Attributes that silence the compiler.
const SILENCERS: &[&str] = &["#[allow(", "#![allow(", "#[expect(", "#![expect("];

/// An attribute with a reason fits in so many lines.
const ATTRIBUTE_LINES_MAX: usize = 8;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let texts = tree.texts().filter(|(file, _)| file.path != OWN && file.path != "LICENSE");
    texts.flat_map(|(file, text)| check_file(file, text)).collect()
}

fn check_file(file: &SourceFile, text: &str) -> Vec<Finding> {
    let mut findings: Vec<_> = find(file, numbered(text), ANYWHERE, is_whole_word).collect();
    if file.path.ends_with(".rs") {
        let code = || numbered(text).filter(|(_, line)| !is_comment(line));
        let always = |_: &str, _: &str| true;
        findings.extend(find(file, code(), IN_RUST, always));
        findings.extend(find(file, file.production(), IN_PRODUCTION, always));
        findings.extend(code().filter(|(number, line)| is_silenced_without_reason(text, *number, line)).map(
            |(number, _)| {
                Finding::new(&file.path, number, "a lint is silenced without a reason", "add reason = \"...\"")
            },
        ));
    }
    findings
}

fn find<'a>(
    file: &'a SourceFile,
    lines: impl Iterator<Item = (usize, &'a str)>,
    words: &'static [(&str, &str)],
    counts: fn(&str, &str) -> bool,
) -> impl Iterator<Item = Finding> {
    lines.flat_map(move |(number, line)| {
        let found = words.iter().filter(move |(word, _)| line.contains(word) && counts(line, word));
        found.map(move |(word, instead)| {
            Finding::new(&file.path, number, format!("{word} in a finished file"), *instead)
        })
    })
}

fn is_whole_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.split(|c| !is_part(c)).any(|found| found == word)
}

fn is_silenced_without_reason(text: &str, number: usize, line: &str) -> bool {
    let starts = SILENCERS.iter().any(|silencer| line.trim_start().starts_with(silencer));
    let attribute = || {
        let lines: String = text.lines().skip(number - 1).take(ATTRIBUTE_LINES_MAX).collect();
        lines.split(")]").next().unwrap_or_default().to_owned()
    };
    starts && !attribute().contains("reason =")
}

#[cfg(test)]
mod tests {
    use super::super::tree::fixture;
    use super::*;

    fn found(path: &str, text: &str) -> Vec<usize> {
        check(&fixture::files(&[(path, text)])).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn unfinished_work_is_found_in_any_text() {
        assert_eq!(found("a.sh", "ok\n# TODO: more\nmktemp /tmp/XXXXXX\nFIXME\n"), [2, 4]);
        assert_eq!(found("a/src/b.rs", "/// HACK\n"), [1]);
    }

    #[test]
    fn macros_are_found_in_code_alone() {
        assert_eq!(found("a/src/b.rs", "// dbg!(x)\nfn f() { dbg!(x); }\nfn g() { todo!() }\n"), [2, 3]);
    }

    #[test]
    fn an_unwrap_is_found_outside_of_tests() {
        let text = "fn f() { a().unwrap(); }\n#[cfg(test)]\nfn g() { a().unwrap(); }\n";
        assert_eq!(found("a/src/b.rs", text), [1]);
        assert_eq!(found("a/tests/b.rs", text), [0; 0]);
    }

    #[test]
    fn a_silenced_lint_needs_a_reason() {
        assert_eq!(found("a/src/b.rs", "#[allow(dead_code)]\n#![expect(unused)]\n"), [1, 2]);
        let reasoned = "#[allow(\n    clippy::x,\n    reason = \"the kernel's own name\"\n)]\n";
        assert_eq!(found("a/src/b.rs", reasoned), [0; 0]);
    }
}
