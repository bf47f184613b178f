//! `weft bench limit`: what a limited endpoint really gets and gives.
//!
//! One TCP stream from one container to the other; either the one that gets it is limited, or the one that sends it.
//! What is counted are the bytes of the stream, so that headers are part of what is missing: 4.4 % of full frames. The
//! burst that the limit allows is part of what there is: at 10 Mbit/s, 1 Mbit at once.

mod record;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use weft_cli::Session;
use weft_model::{Attachment, LimitSpec};

use super::measure::ROUNDS_MIN;
use super::network;
use super::path::{CLIENT, Contender, FLOW, Machine, SERVER, Stage};
use super::rounds;
use super::{BY_PAIR, Findings, Options};
use record::{Record, Trial};

/// The same order in every run, so that two runs differ by noise alone.
const SEED: u64 = 20_261_121;
/// How long one turn lasts.
const TURN: Duration = Duration::from_secs(3);
/// The same in a quick run.
const TURN_QUICK: Duration = Duration::from_millis(800);
/// Mbit/s.
const RATES: [u64; 3] = [10, 100, 1000];
/// Bits per second of one of those.
const MEGA: u64 = 1_000_000;

/// Arguments of `weft bench limit`.
#[derive(Debug, clap::Args)]
pub struct Limit {
    #[command(flatten)]
    options: Options,
    /// Rounds
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

/// Which way packets of a limited endpoint go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Direction {
    Ingress,
    Egress,
}

impl Direction {
    fn word(self) -> &'static str {
        match self {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        }
    }

    /// Limits the end of a stream that this is about, or lifts its limit.
    fn limit(self, stage: &Stage, megabits: u64) -> Result<()> {
        let spec = Some(LimitSpec { rate: megabits * MEGA, burst: None });
        match self {
            Direction::Ingress => network::limit(stage.host(), SERVER, spec, None),
            Direction::Egress => network::limit(stage.host(), CLIENT, None, spec),
        }
    }
}

impl Limit {
    pub(super) fn run(&self, session: &mut Session<'_>) -> Result<ExitCode> {
        let (rounds, turn) = if self.options.quick { (ROUNDS_MIN as u32, TURN_QUICK) } else { (self.rounds, TURN) };
        self.options.publish(session, rounds, &BY_PAIR, |attachments, progress| {
            let record = conduct(attachments, rounds, turn, progress)?;
            Ok(Findings { answers: record.answers(), legend: &[], figures: record.figures() })
        })
    }
}

/// Measures all of it, on stages that are set anew in every round; tells on `progress` how far it is.
fn conduct(attachments: &[Attachment], rounds: u32, turn: Duration, progress: &mut dyn Write) -> Result<Record> {
    let (machine, mut record) = (Machine::here()?, Record::default());
    let mut attachments = attachments.to_vec();
    rounds::play(rounds, SEED, progress, |chance| {
        chance.shuffle(&mut attachments);
        for network in &attachments {
            let mut stage = Stage::set(Contender::Weft(*network), machine)?;
            let mut turns: Vec<(Direction, u64)> = [Direction::Ingress, Direction::Egress]
                .into_iter()
                .flat_map(|direction| RATES.map(|rate| (direction, rate)))
                .collect();
            chance.shuffle(&mut turns);
            for (direction, rate) in turns {
                direction.limit(&stage, rate)?;
                let came = stage.take_turn(&FLOW, machine, turn)?;
                direction.limit(&stage, 0)?;
                record.take(Trial { network: *network, direction, rate }, came);
            }
        }
        Ok(())
    })?;
    Ok(record)
}
