//! `weft bench run`: what a command on weft's networks costs, from its start to its end.
//!
//! ```text
//!   conduct ── orders, milliseconds ──► weft bench perform run, one in each host of the lab
//!                                         weft run --network bench -- true   where weftd serves
//!                                         unshare -n true                    on a host without weft
//! ```
//!
//! A namespace without a network is the least that a command apart from the host's costs. `weft run` has besides it
//! mounts, processes and a process 1 of its own, an address, and a link, and none of that is left when it returns.

mod performer;
mod record;

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow};
use weft_cli::Session;
use weft_lab::{Daemon, Host};
use weft_model::Attachment;

use super::measure::ROUNDS_MIN;
use super::path::Answer;
use super::prompter::Prompter;
use super::{BY_PAIR, Findings, ON_UPLINK, Options, network, rounds};
use performer::Order;
use record::Record;

pub(super) use performer::perform;

/// The same order in every run, so that two runs differ by noise alone.
const SEED: u64 = 20_261_124;
/// Commands of one turn, one after the other.
const COMMANDS: u32 = 4;

/// Arguments of `weft bench run`.
#[derive(Debug, clap::Args)]
pub struct Run {
    #[command(flatten)]
    options: Options,
    /// Rounds
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

/// Who has `true` run apart from the host's network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Contender {
    /// On a network of weft's.
    Weft(Attachment),
    /// In a namespace with nothing in it.
    Unshare,
}

impl Contender {
    fn title(self) -> &'static str {
        match self {
            Contender::Weft(_) => "weft run",
            Contender::Unshare => "unshare -n",
        }
    }

    fn network(self) -> Option<Attachment> {
        match self {
            Contender::Weft(attachment) => Some(attachment),
            Contender::Unshare => None,
        }
    }

    fn command(self) -> &'static [&'static str] {
        match self {
            Contender::Weft(_) => &["weft", "run", "--network", network::NAME, "--", "true"],
            Contender::Unshare => &["unshare", "-n", "true"],
        }
    }
}

impl Run {
    pub(super) fn run(&self, session: &mut Session<'_>) -> Result<ExitCode> {
        let rounds = if self.options.quick { ROUNDS_MIN as u32 } else { self.rounds };
        let measured = [&BY_PAIR[..], &ON_UPLINK].concat();
        self.options.publish(session, rounds, &measured, |attachments, progress| {
            let record = conduct(attachments, rounds, progress)?;
            Ok(Findings { answers: record.answers(), legend: &[], figures: record.figures() })
        })
    }
}

/// Measures all of it, on one stage for each contender; tells on `progress` how far it is.
fn conduct(attachments: &[Attachment], rounds: u32, progress: &mut dyn Write) -> Result<Record> {
    let mut record = Record::default();
    let contenders = attachments.iter().copied().map(Contender::Weft).chain([Contender::Unshare]);
    let mut stages = contenders.map(Stage::set).collect::<Result<Vec<_>>>()?;
    rounds::play(rounds, SEED, progress, |chance| {
        chance.shuffle(&mut stages);
        for stage in &mut stages {
            record.take(stage.contender, stage.play(COMMANDS)?);
        }
        Ok(())
    })?;
    Ok(record)
}

/// A host of the lab with one contender. What is dropped first stands first.
struct Stage {
    contender: Contender,
    performer: Prompter,
    _weftd: Option<Daemon>,
    _host: Host,
}

impl Stage {
    /// A host on which the command has run once.
    fn set(contender: Contender) -> Result<Self> {
        let name = contender.network().map_or("unshare", Attachment::word);
        let host = Host::start(&format!("bench-run-{name}"))?;
        let weftd = contender.network().map(|attachment| network::serve(&host, attachment, &[])).transpose()?;
        let performer = Prompter::start(host.command("weft"), "run")?;
        let mut stage = Self { contender, performer, _weftd: weftd, _host: host };
        let first = stage.play(1)?;
        first.map_err(|complaint| anyhow!(complaint)).with_context(|| format!("the first of {contender:?}"))?;
        Ok(stage)
    }

    /// One turn: how long each command took, in milliseconds.
    fn play(&mut self, times: u32) -> Result<Answer<Vec<f64>>> {
        let command = self.contender.command().iter().copied().map(str::to_owned).collect();
        self.performer.ask(&Order { command, times })
    }
}
