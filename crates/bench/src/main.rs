//! The program that measures: what `weft bench` becomes, with the same command line.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser};
use weft_bench::Bench;
use weft_cli::Global;

/// Networks for containers: what they cost
#[derive(Debug, Parser)]
#[command(name = "weft", version)]
struct Weft {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

/// The one verb that this program has.
#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Measure what weft costs on this machine, beside the bare kernel and the reference (root)
    #[command(subcommand)]
    Bench(Bench),
}

fn main() -> ExitCode {
    let Weft { global, verb: Verb::Bench(bench) } = Weft::parse();
    weft_cli::run(&global, Weft::command, |session| bench.run(session))
}
