//! Everything that weft is built with may be given to everyone, under terms that ask for no more than a notice.

use super::Finding;
use super::spdx;
use super::tree::Tree;

/// Licences that weft, itself under Apache-2.0, can be built and shipped with.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let judge = |package: &crate::metadata::Package| {
        let problem = match package.license.as_deref().map(|licence| (licence, spdx::satisfied(licence, ALLOWED))) {
            Some((_, Some(true))) => return None,
            Some((licence, Some(false))) => format!("{} is under {licence}", package.name),
            Some((licence, None)) => format!("{} has a licence that cannot be read: {licence}", package.name),
            None => format!("{} names no licence", package.name),
        };
        let line = tree.line_of("Cargo.lock", &format!("name = \"{}\"", package.name));
        Some(Finding::new("Cargo.lock", line, problem, "another package, or its few lines written here"))
    };
    tree.metadata.packages.iter().filter_map(judge).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tree::fixture;
    use super::*;

    fn found(licence: &str) -> Vec<String> {
        let package = format!(
            r#"[{{ "name": "fog", "license": {licence}, "dependencies": [], "source": "registry",
                  "manifest_path": "/r/fog/Cargo.toml", "targets": [] }}]"#
        );
        let files = fixture::files(&[("Cargo.lock", "version = 4\n\n[[package]]\nname = \"fog\"\n")]);
        let tree = Tree { metadata: fixture::packages(&package), ..files };
        check(&tree).into_iter().map(|finding| format!("{}: {}", finding.line, finding.problem)).collect()
    }

    #[test]
    fn only_what_asks_for_a_notice_passes() {
        assert_eq!(found(r#""MIT OR LGPL-2.1-or-later""#), [""; 0]);
        assert_eq!(found(r#""MPL-2.0""#), ["4: fog is under MPL-2.0"]);
        assert_eq!(found(r#""see file""#), ["4: fog has a licence that cannot be read: see file"]);
        assert_eq!(found("null"), ["4: fog names no licence"]);
    }
}
