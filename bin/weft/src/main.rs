//! The command `weft`: the verbs over the agent's API, and those that call the agent's parts or the lab.

mod bench;
mod demo;
mod uninstall;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser};
use weft_cli::Global;

/// Networks for containers
#[derive(Debug, Parser)]
#[command(name = "weft", version)]
struct Weft {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

/// Every verb, whatever it needs to do its work.
#[derive(Debug, clap::Subcommand)]
enum Verb {
    #[command(flatten)]
    Agent(weft_cli::Verb),
    /// Take weft off this host, or a part of it
    Uninstall(weft_cli::Uninstall),
    /// Measure what weft costs on this machine, beside the bare kernel and the reference (root)
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Show weft at work on a private host of its own (root)
    Demo,
}

fn main() -> ExitCode {
    let Weft { global, verb } = Weft::parse();
    weft_cli::run(&global, Weft::command(), |session| match verb {
        Verb::Agent(verb) => verb.run(session),
        Verb::Uninstall(uninstall) => uninstall::run(&uninstall, session),
        Verb::Bench(bench) => bench.run(session),
        Verb::Demo => demo::run().map(|()| ExitCode::SUCCESS),
    })
}
