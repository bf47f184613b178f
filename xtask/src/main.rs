//! What the project does with itself: `cargo xtask tidy` and `cargo xtask test`.

mod metadata;
mod test;
mod tidy;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

const USAGE: &str = "usage: cargo xtask <verb>

  tidy                               check what the compiler and clippy cannot: layers, names, files, licences
  test [suite]... [-- argument]...   run suites (all that exist, if none is named) and count what was skipped
  test-build [suite]...              build suites, and print for each program its source and its path
  test-built PROGRAM... [-- argument]...
                                     run test programs that are built, without cargo, and count likewise";

fn main() -> ExitCode {
    run().unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}

fn run() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    std::env::set_current_dir(root()?).context("enter the project's root")?;
    let (verb, rest) = match arguments.split_first() {
        Some((verb, rest)) => (verb.as_str(), rest),
        None => ("help", [].as_slice()),
    };
    match verb {
        "tidy" => tidy::run(),
        "test" => test::run(rest),
        "test-build" => test::build(rest),
        "test-built" => test::run_built(rest),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        _ => bail!("no verb {verb}\n\n{USAGE}"),
    }
}

fn root() -> Result<PathBuf> {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    own.parent().map(PathBuf::from).context("xtask lies in the project's root")
}
