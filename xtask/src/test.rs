//! Runs the suites, and says at the end how much of them was really run.
//!
//! A test that cannot run here appends `SKIP <suite>::<test>: <reason>` to the file that [`SKIP_FILE`] names, and
//! passes: to the harness it is a success, so it is counted here.

mod tally;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use self::tally::Tally;
use crate::metadata::Metadata;

/// The environment variable that tells tests where to report that they were skipped.
const SKIP_FILE: &str = "WEFT_SKIP_FILE";

/// A set of tests that is run by itself.
struct Suite {
    name: &'static str,
    /// What `cargo test` is told to run.
    selection: &'static [&'static str],
    /// Its root; absent if it has none of its own.
    root: Option<&'static str>,
}

const SUITES: &[Suite] = &[
    Suite {
        name: "unit",
        selection: &["--workspace", "--exclude", "weft-tests", "--lib", "--bins", "--tests"],
        root: None,
    },
    Suite { name: "lab", selection: &["--package", "weft-tests", "--test", "lab"], root: Some("tests/lab/main.rs") },
    Suite {
        name: "conformance",
        selection: &["--package", "weft-tests", "--test", "conformance"],
        root: Some("tests/conformance/main.rs"),
    },
];

/// Runs the suites named in `arguments`; those after `--` go to the tests.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let mut parts = arguments.splitn(2, |argument| argument == "--");
    let suites = select(parts.next().unwrap_or_default())?;
    let for_tests = parts.next().unwrap_or_default();

    let skips = skip_file()?;
    let mut tally = Tally::default();
    for suite in suites {
        println!("suite {}", suite.name);
        run_suite(suite, for_tests, &skips, &mut tally)?;
    }
    let reported = std::fs::read_to_string(&skips).with_context(|| format!("read {}", skips.display()))?;
    std::fs::remove_file(&skips).with_context(|| format!("remove {}", skips.display()))?;
    tally.add_skips(&reported);
    print!("{tally}");
    Ok(if tally.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The suites of those names; all, if there are no names.
fn select(names: &[String]) -> Result<Vec<&'static Suite>> {
    let there: Vec<_> = SUITES.iter().filter(|suite| suite.root.is_none_or(|root| Path::new(root).exists())).collect();
    let find = |name: &String| match there.iter().find(|suite| suite.name == name) {
        Some(suite) => Ok(*suite),
        None => bail!("no suite {name}: there are {}", there.iter().map(|it| it.name).collect::<Vec<_>>().join(", ")),
    };
    if names.is_empty() { Ok(there) } else { names.iter().map(find).collect() }
}

/// An empty file outside of anything that a test could hide behind a mount of its own.
fn skip_file() -> Result<PathBuf> {
    let path = Metadata::read()?.target_directory.join(format!("skips-{}", std::process::id()));
    std::fs::write(&path, "").with_context(|| format!("make {}", path.display()))?;
    Ok(path)
}

fn run_suite(suite: &Suite, for_tests: &[String], skips: &Path, tally: &mut Tally) -> Result<()> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(["test", "--locked", "--no-fail-fast"])
        .args(suite.selection)
        .arg("--")
        .args(for_tests)
        .env(SKIP_FILE, skips)
        .stdout(Stdio::piped())
        .spawn()
        .context("run cargo test")?;
    let output = cargo.stdout.take().context("cargo test has no output")?;
    let failed_before = tally.failed();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("read the output of cargo test")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        tally.add_line(&line);
    }
    let status = cargo.wait().context("wait for cargo test")?;
    if !status.success() && tally.failed() == failed_before {
        tally.add_failure(format!("suite {}: it did not build, or died before it could say what failed", suite.name));
    }
    Ok(())
}
