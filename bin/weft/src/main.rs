//! The command `weft`: the verbs over the agent's API, and those that call the agent's parts or the lab.

mod demo;
mod uninstall;

use std::env;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use clap::{CommandFactory as _, Parser};
use weft_bench::Bench;
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
    Bench(Bench),
    /// Show weft at work on a private host of its own (root)
    Demo,
}

fn main() -> ExitCode {
    let Weft { global, verb } = Weft::parse();
    weft_cli::run(&global, Weft::command, |session| match verb {
        Verb::Agent(verb) => verb.run(session),
        Verb::Uninstall(uninstall) => uninstall::run(&uninstall, session),
        Verb::Bench(_) => bench(),
        Verb::Demo => demo::run().map(|()| ExitCode::SUCCESS),
    })
}

/// Becomes the program that measures, with the same command line. It has libraries for the kernel's programs, which
/// would be loaded at the start of every other verb, too.
fn bench() -> Result<ExitCode> {
    let program = weft_lab::programs::find("weft-bench")?;
    let error = Command::new(&program).args(env::args_os().skip(1)).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}
