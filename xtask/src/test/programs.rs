//! Reads in cargo's messages which test programs it made.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Deserialize;

/// A test program.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Program {
    /// The root of its source.
    pub(super) source: PathBuf,
    pub(super) path: PathBuf,
}

/// One line of what cargo says with `--message-format json`, as far as it is used here.
#[derive(Debug, Deserialize)]
struct Message {
    target: Option<Target>,
    /// What a library or a build script has not.
    executable: Option<PathBuf>,
    profile: Option<Profile>,
}

#[derive(Debug, Deserialize)]
struct Target {
    src_path: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Profile {
    test: bool,
}

/// The programs with tests. Cargo also says which others it built, because tests start them.
pub(super) fn parse(messages: &str) -> Result<Vec<Program>> {
    let mut programs = Vec::new();
    for line in messages.lines().filter(|line| line.starts_with('{')) {
        let message: Message = serde_json::from_str(line).context("read the output of cargo test")?;
        if let Message { target: Some(target), executable: Some(path), profile: Some(Profile { test: true }) } = message
        {
            programs.push(Program { source: target.src_path, path });
        }
    }
    Ok(programs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_programs_with_tests_are_found() {
        let of = |path: &str, executable: &str, test: bool| {
            let (target, profile) = (format!(r#""target":{{"src_path":"{path}"}}"#), format!(r#"{{"test":{test}}}"#));
            format!(r#"{{"reason":"compiler-artifact",{target},"profile":{profile},"executable":{executable}}}"#)
        };
        let messages = [
            of("/w/a/src/lib.rs", "null", false),
            of("/w/a/src/lib.rs", "\"/w/target/debug/deps/a-1\"", true),
            of("/w/a/src/main.rs", "\"/w/target/debug/a\"", false),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
        ];
        let found = Program { source: "/w/a/src/lib.rs".into(), path: "/w/target/debug/deps/a-1".into() };
        assert_eq!(parse(&messages.join("\n")).unwrap(), [found]);
    }
}
