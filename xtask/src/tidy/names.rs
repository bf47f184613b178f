//! Names that say nothing, or say only when a thing was written.

use super::Finding;
use super::tree::{SourceFile, Tree, is_comment, numbered};

/// Words that a name must not be made of, each with what to do instead.
const EMPTY_WORDS: &[(&str, &str)] = &[
    ("util", "name the idea it holds, or write it where it is used"),
    ("utils", "name the idea it holds, or write it where it is used"),
    ("helper", "name what it does"),
    ("helpers", "name the idea they share, or write them where they are used"),
    ("misc", "one file for one idea"),
    ("experimental", "finish it, or leave it out"),
    ("legacy", "replace it in place"),
    ("manager2", "replace the old one in place"),
];

/// Names that are empty only when they stand alone: `common_prefix` says something.
const EMPTY_NAMES: &[(&str, &str)] = &[("common", "name the idea it holds"), ("core_utils", "name the idea it holds")];

/// A name that tells it from an older one tells nothing once the older one is gone.
const NEW: &str = "new_";
const NEW_INSTEAD: &str = "replace the old one in place, or say what sets this one apart";

/// Words that begin a definition.
const DEFINITIONS: &[&str] = &["fn", "mod", "struct", "enum", "trait", "type", "const", "static", "macro_rules!"];

/// Words that may come before those.
const QUALIFIERS: &[&str] = &["pub", "async", "unsafe", "const", "extern"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let paths = tree.files.iter().filter_map(check_path);
    let definitions = tree.rust().flat_map(|(file, text)| check_definitions(file, text));
    paths.chain(definitions).collect()
}

fn check_path(file: &SourceFile) -> Option<Finding> {
    let parts = file.path.rsplit('/').skip(1).chain([file.stem()]);
    let (part, instead) = parts.filter_map(|part| Some((part, refused(&part.replace('-', "_"))?))).next()?;
    Some(Finding::new(&file.path, 1, format!("the path has {part} in it"), instead))
}

fn check_definitions(file: &SourceFile, text: &str) -> Vec<Finding> {
    let code = numbered(text).filter(|(_, line)| !is_comment(line));
    let judge = |(number, line)| {
        let name = defined(line)?;
        Some(Finding::new(&file.path, number, format!("{name} says nothing"), refused(name)?))
    };
    code.filter_map(judge).collect()
}

/// The name that a line of Rust defines, if it begins a definition.
fn defined(line: &str) -> Option<&str> {
    let is_qualifier = |word: &str| QUALIFIERS.contains(&word) || word.starts_with("pub(") || word.starts_with('"');
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = words.iter().position(|word| !is_qualifier(word)).unwrap_or_default();
    // `const` both qualifies functions and defines constants.
    let at = if at > 0 && words[at - 1] == "const" && !DEFINITIONS.contains(&words[at]) { at - 1 } else { at };
    let name = words.get(at + 1).filter(|_| DEFINITIONS.contains(&words[at]))?;
    name.split(|c: char| !c.is_alphanumeric() && c != '_').next().filter(|name| !name.is_empty())
}

/// What to do instead of using `name`; `None` if it is a good one.
fn refused(name: &str) -> Option<&'static str> {
    if name.starts_with(NEW) {
        return Some(NEW_INSTEAD);
    }
    let snake = snake_case(name);
    let alone = EMPTY_NAMES.iter().find(|(empty, _)| snake == *empty);
    let part = || EMPTY_WORDS.iter().find(|(empty, _)| snake.split('_').any(|word| word == *empty));
    alone.or_else(part).map(|(_, instead)| *instead)
}

/// `HelperTable` and `HELPER_TABLE` to `helper_table`.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    let mut after_lower = false;
    for c in name.chars() {
        if c.is_uppercase() && after_lower {
            snake.push('_');
        }
        after_lower = c.is_lowercase();
        snake.extend(c.to_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::super::tree::fixture;
    use super::*;

    #[test]
    fn definitions_are_read() {
        let cases = [
            ("pub(crate) async fn route_choose<T>(", Some("route_choose")),
            ("    pub const fn max() -> u8 {", Some("max")),
            ("const LIMIT: usize = 1;", Some("LIMIT")),
            ("pub static TABLE: [u8; 1] = [0];", Some("TABLE")),
            ("unsafe extern \"C\" fn call() {}", Some("call")),
            ("macro_rules! table {", Some("table")),
            ("struct Row;", Some("Row")),
            ("let helper = 1;", None),
            ("pub", None),
            ("}", None),
        ];
        for (line, name) in cases {
            assert_eq!(defined(line), name, "{line}");
        }
    }

    #[test]
    fn empty_names_are_found_and_others_are_not() {
        for name in ["utils", "test_helpers", "HelperTable", "MISC", "legacy_routes", "new_plan", "common"] {
            assert!(refused(name).is_some(), "{name}");
        }
        for name in ["common_prefix", "new", "renew_lease", "NewNetwork", "utilisation", "manager"] {
            assert!(refused(name).is_none(), "{name}");
        }
    }

    #[test]
    fn a_path_is_judged_by_every_part() {
        let tree =
            fixture::files(&[("crates/a/src/utils.rs", ""), ("crates/weft-common/x", ""), ("a/common/b.rs", "")]);
        let found: Vec<_> = check(&tree).into_iter().map(|finding| finding.path).collect();
        assert_eq!(found, ["crates/a/src/utils.rs", "a/common/b.rs"]);
    }

    #[test]
    fn a_comment_defines_nothing() {
        let tree = fixture::files(&[("a/src/b.rs", "// fn helper() {}\nfn helper() {}\n")]);
        let expected = "a/src/b.rs:2: helper says nothing; do instead: name what it does";
        assert_eq!(check(&tree).iter().map(Finding::to_string).collect::<Vec<_>>(), [expected]);
    }
}
