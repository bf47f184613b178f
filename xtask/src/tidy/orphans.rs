//! Rust files that nothing compiles: no target of a package, and named by no `mod`.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use super::tree::Tree;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let roots: BTreeSet<String> = tree.metadata.roots().collect();
    let texts: BTreeMap<&str, &str> = tree.rust().map(|(file, text)| (file.path.as_str(), text)).collect();
    let is_named = |path: &str| {
        let (directory, module) = place(path);
        let parents = parents(&roots, directory);
        parents.iter().filter_map(|parent| texts.get(parent.as_str())).any(|text| names(text, module))
    };
    let orphans = texts.keys().filter(|path| !roots.contains(**path) && !is_named(path));
    orphans.map(|path| Finding::new(path, 1, "no mod names this file", "name it, or delete it")).collect()
}

/// The directory whose module declares the file, and the name it is declared by.
fn place(path: &str) -> (&str, &str) {
    let (directory, file) = path.rsplit_once('/').unwrap_or(("", path));
    match file.strip_suffix(".rs") {
        Some("mod") => directory.rsplit_once('/').unwrap_or(("", directory)),
        module => (directory, module.unwrap_or(file)),
    }
}

/// The files that may declare modules in `directory`: `a.rs` and `a/mod.rs` for `a`, and the roots that lie in it.
fn parents(roots: &BTreeSet<String>, directory: &str) -> Vec<String> {
    let in_directory = |root: &&String| root.rsplit_once('/').is_some_and(|(parent, _)| parent == directory);
    let module = [format!("{directory}.rs"), format!("{directory}/mod.rs")];
    module.into_iter().chain(roots.iter().filter(in_directory).cloned()).collect()
}

/// Whether a line of `text` is `mod module;`, or leads to it with `#[path]`.
fn names(text: &str, module: &str) -> bool {
    let path = format!("{module}.rs\"]");
    let declares = |line: &str| {
        let declaration = line.split_once("mod ").filter(|(before, _)| before.is_empty() || before.starts_with("pub"));
        declaration.is_some_and(|(_, rest)| rest.strip_suffix(';') == Some(module))
            || (line.starts_with("#[path") && line.ends_with(&path))
    };
    text.lines().any(|line| declares(line.trim()))
}

#[cfg(test)]
mod tests {
    use super::super::tree::fixture;
    use super::*;

    fn orphans(files: &[(&str, &str)]) -> Vec<String> {
        let metadata = fixture::packages(&format!("[{}]", fixture::own("a", &[])));
        let tree = Tree { metadata, ..fixture::files(files) };
        check(&tree).into_iter().map(|finding| finding.path).collect()
    }

    #[test]
    fn a_module_is_named_beside_or_above_its_file() {
        let files = [
            ("a/src/lib.rs", "pub(crate) mod link;\nmod route;\n"),
            ("a/src/link.rs", "mod veth;\n"),
            ("a/src/link/veth.rs", ""),
            ("a/src/route/mod.rs", "    mod table;\n"),
            ("a/src/route/table.rs", ""),
        ];
        assert_eq!(orphans(&files), [""; 0]);
    }

    #[test]
    fn what_nobody_names_is_found() {
        let files = [
            ("a/src/lib.rs", "// mod lost;\nmod link {}\nmod links;\n"),
            ("a/src/links.rs", ""),
            ("a/src/link.rs", ""),
            ("a/src/lost.rs", ""),
            ("a/src/links/mod.rs", ""),
        ];
        assert_eq!(orphans(&files), ["a/src/link.rs", "a/src/lost.rs"]);
    }
}
