//! Runs the suites, and says at the end how much of them was really run.
//!
//! A test that cannot run here appends `SKIP <suite>::<test>: <reason>` to the file that [`SKIP_FILE`] names, and
//! passes: to the harness it is a success, so it is counted here.
//!
//! Where there is no cargo, as in a virtual machine, programs run that [`build`] has made before.

mod programs;
mod tally;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};

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
    let (names, for_tests) = split(arguments);
    let suites = select(names)?;
    let skips = empty_file(Metadata::read()?.target_directory)?;
    let mut tally = Tally::default();
    for suite in suites {
        println!("suite {}", suite.name);
        let mut cargo = cargo_test(suite);
        listen(cargo.arg("--").args(for_tests), &format!("suite {}", suite.name), &skips, &mut tally)?;
    }
    conclude(&skips, tally)
}

/// Builds the suites of those names, and prints for each of their programs where its source is and where it is itself.
pub(crate) fn build(names: &[String]) -> Result<ExitCode> {
    let metadata = Metadata::read()?;
    for suite in select(names)? {
        let mut cargo = cargo_test(suite);
        cargo.args(["--no-run", "--message-format", "json-render-diagnostics"]).stderr(Stdio::inherit());
        let output = cargo.output().context("run cargo test")?;
        ensure!(output.status.success(), "suite {}: it did not build", suite.name);
        for program in programs::parse(&String::from_utf8_lossy(&output.stdout))? {
            println!("{} {}", metadata.relative(&program.source), program.path.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs test programs that are there already, by their paths; what is after `--` goes to each of them.
pub(crate) fn run_built(arguments: &[String]) -> Result<ExitCode> {
    let (programs, for_tests) = split(arguments);
    let skips = empty_file(std::env::temp_dir())?;
    let mut tally = Tally::default();
    for program in programs {
        println!("program {program}");
        listen(Command::new(program).args(for_tests), &format!("program {program}"), &skips, &mut tally)?;
    }
    conclude(&skips, tally)
}

/// What is before `--`, and what is behind it.
fn split(arguments: &[String]) -> (&[String], &[String]) {
    let mut parts = arguments.splitn(2, |argument| argument == "--");
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
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

/// An empty file; in a directory that no test hides behind a mount of its own.
fn empty_file(directory: PathBuf) -> Result<PathBuf> {
    let path = directory.join(format!("skips-{}", std::process::id()));
    std::fs::write(&path, "").with_context(|| format!("make {}", path.display()))?;
    Ok(path)
}

fn cargo_test(suite: &Suite) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args(["test", "--locked", "--no-fail-fast"]).args(suite.selection);
    cargo
}

/// Runs `tests`, called `name`, and adds to the tally what it prints.
fn listen(tests: &mut Command, name: &str, skips: &Path, tally: &mut Tally) -> Result<()> {
    let mut tests =
        tests.env(SKIP_FILE, skips).stdout(Stdio::piped()).spawn().with_context(|| format!("start {name}"))?;
    let output = tests.stdout.take().with_context(|| format!("{name} has no output"))?;
    let failed_before = tally.failed();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.with_context(|| format!("read the output of {name}"))?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        tally.add_line(&line);
    }
    let status = tests.wait().with_context(|| format!("wait for {name}"))?;
    if !status.success() && tally.failed() == failed_before {
        tally.add_failure(format!("{name}: it did not build, or died before it could say what failed"));
    }
    Ok(())
}

/// Prints what became of all tests.
fn conclude(skips: &Path, mut tally: Tally) -> Result<ExitCode> {
    let reported = std::fs::read_to_string(skips).with_context(|| format!("read {}", skips.display()))?;
    std::fs::remove_file(skips).with_context(|| format!("remove {}", skips.display()))?;
    tally.add_skips(&reported);
    print!("{tally}");
    Ok(if tally.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
