//! What the checks look at: every file git knows or would take, and the packages.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::metadata::Metadata;

/// How much of a file is searched for a zero byte, which no text has: as much as git itself does, in bytes.
const BINARY_SEARCH_BYTES: usize = 8000;

/// All of it.
pub(super) struct Tree {
    pub(super) files: Vec<SourceFile>,
    pub(super) metadata: Metadata,
}

/// One file.
pub(super) struct SourceFile {
    /// Seen from the root.
    pub(super) path: String,
    pub(super) bytes: usize,
    pub(super) executable: bool,
    /// Absent if it is binary.
    pub(super) text: Option<String>,
}

impl Tree {
    pub(super) fn read() -> Result<Self> {
        let output = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .output()
            .context("run git ls-files")?;
        ensure!(output.status.success(), "git ls-files failed: {}", String::from_utf8_lossy(&output.stderr));
        let listing = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
        let files = listing.split_terminator('\0').filter_map(|path| SourceFile::read(path).transpose());
        Ok(Self { files: files.collect::<Result<_>>()?, metadata: Metadata::read()? })
    }

    /// The Rust files with their text.
    pub(super) fn rust(&self) -> impl Iterator<Item = (&SourceFile, &str)> {
        self.texts().filter(|(file, _)| file.path.ends_with(".rs"))
    }

    /// All files that are text.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&SourceFile, &str)> {
        self.files.iter().filter_map(|file| Some((file, file.text.as_deref()?)))
    }

    /// The line of `path`, from 1, that starts with `start`; the first if none does.
    pub(super) fn line_of(&self, path: &str, start: &str) -> usize {
        let text = self.files.iter().find(|file| file.path == path).and_then(|file| file.text.as_deref());
        let found = text.and_then(|text| text.lines().position(|line| line.starts_with(start)));
        found.map_or(1, |index| index + 1)
    }
}

impl SourceFile {
    /// Nothing if it is not there any more, or no regular file.
    fn read(path: &str) -> Result<Option<Self>> {
        let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(None) };
        if !metadata.is_file() {
            return Ok(None);
        }
        let content = fs::read(path).with_context(|| format!("read {path}"))?;
        let executable = metadata.permissions().mode() & 0o111 != 0;
        Ok(Some(Self::new(path, content, executable)))
    }

    fn new(path: &str, content: Vec<u8>, executable: bool) -> Self {
        let bytes = content.len();
        let binary = content.iter().take(BINARY_SEARCH_BYTES).any(|byte| *byte == 0);
        let text = if binary { None } else { String::from_utf8(content).ok() };
        Self { path: path.to_owned(), bytes, executable, text }
    }

    /// The last part of the path, without its extension.
    pub(super) fn stem(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or(&self.path);
        name.split_once('.').map_or(name, |(stem, _)| stem)
    }

    /// What comes after the last dot of the path, if it has one.
    pub(super) fn extension(&self) -> Option<&str> {
        Path::new(&self.path).extension()?.to_str()
    }

    /// Whether all of it is test code, wherever it says so itself.
    fn is_test(&self) -> bool {
        self.path.split('/').any(|part| matches!(part, "tests" | "benches" | "examples" | "tests.rs"))
    }

    /// The lines of code that end up in a product, with their numbers from 1: no tests, no comments.
    pub(super) fn production(&self) -> impl Iterator<Item = (usize, &str)> {
        let text = if self.is_test() { "" } else { self.text.as_deref().unwrap_or_default() };
        let tested = |(_, line): &(usize, &str)| !line.trim_start().starts_with("#[cfg(test)]");
        numbered(text).take_while(tested).filter(|(_, line)| !is_comment(line))
    }
}

/// The lines of `text`, with their numbers from 1.
pub(super) fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines())
}

/// Whether a line of Rust is nothing but a comment.
pub(super) fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

#[cfg(test)]
pub(super) mod fixture {
    //! Small trees, written where they are used.

    use super::*;

    /// A tree of text files and no packages.
    pub(in crate::tidy) fn files(files: &[(&str, &str)]) -> Tree {
        let files = files.iter().map(|(path, text)| SourceFile::new(path, text.as_bytes().to_vec(), false));
        Tree { files: files.collect(), metadata: packages("[]") }
    }

    /// What cargo would say of a workspace at `/w` with these packages.
    pub(in crate::tidy) fn packages(json: &str) -> Metadata {
        let json = format!(r#"{{"packages": {json}, "target_directory": "/w/target", "workspace_root": "/w"}}"#);
        Metadata::parse(json.as_bytes()).expect("metadata")
    }

    /// One package of the workspace, in JSON, with its dependencies as (name, kind).
    pub(in crate::tidy) fn own(name: &str, dependencies: &[(&str, Option<&str>)]) -> String {
        let dependencies: Vec<_> =
            dependencies.iter().map(|(name, kind)| serde_json::json!({ "name": name, "kind": kind })).collect();
        serde_json::json!({
            "name": name, "license": "Apache-2.0", "dependencies": dependencies, "source": null,
            "manifest_path": format!("/w/{name}/Cargo.toml"),
            "targets": [{ "src_path": format!("/w/{name}/src/lib.rs") }],
        })
        .to_string()
    }

    #[test]
    fn production_ends_where_the_tests_begin_and_has_no_comments() {
        let tree = files(&[("a/src/lib.rs", "//! Doc.\nfn a() {}\n    // why\n#[cfg(test)]\nmod tests {}\n")]);
        assert_eq!(tree.files[0].production().collect::<Vec<_>>(), [(2, "fn a() {}")]);
        for path in ["a/tests/b.rs", "a/src/b/tests.rs", "tests/src/lib.rs"] {
            assert_eq!(files(&[(path, "fn a() {}\n")]).files[0].production().count(), 0, "{path}");
        }
    }

    #[test]
    fn a_file_with_a_zero_byte_has_no_text() {
        assert!(SourceFile::new("a.bin", vec![b'a', 0], false).text.is_none());
    }
}
