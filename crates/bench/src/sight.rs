//! `weft bench sight`: what it costs that the programs tell of connections and drops.
//!
//! Two hosts do the same work by turns. One has an agent that tells of flows, and somebody who follows them; the other
//! one's agent has `flow-events` off. What is compared is the time that the programs took per packet, so that nothing
//! else of the machine's counts. An exchange by an established connection has no event: what it pays is that one might
//! come. Each new connection has three.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::builder::PossibleValuesParser;
use weft_cli::Session;
use weft_lab::Daemon;
use weft_model::Attachment;

use super::gauge::{self, Gauge};
use super::measure::{Bound, ROUNDS_MIN};
use super::network;
use super::path::{
    CONNECT, Case, Contender, DATAGRAMS, EXCHANGE, Figure, Machine, Record, Stage, TURN, TURN_QUICK, figures_of,
};
use super::report::Answer;
use super::rounds;
use super::{BY_PAIR, Findings, Options};

/// The same order in every run, so that two runs differ by noise alone.
const SEED: u64 = 20_261_123;
/// In the order in which they are measured.
static CASES: [&Case; 3] = [&EXCHANGE, &CONNECT, &DATAGRAMS];
/// What telling may cost, in nanoseconds per packet.
const TARGET: Bound = Bound::AtMost(50.0);
const LEGEND: &str = "ns per packet: run_time_ns / run_cnt of the stubs at the doors, which have the time of the \
                      programs that they jump to, too";
const FOLLOW: [&str; 3] = ["sh", "-c", "exec weft observe --follow --last 0 > /dev/null"];

/// Arguments of `weft bench sight`.
#[derive(Debug, clap::Args)]
pub struct Sight {
    #[command(flatten)]
    options: Options,
    /// Rounds
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Only this case; may be repeated
    #[arg(long, value_name = "CASE", value_parser = PossibleValuesParser::new(CASES.map(|case| case.name)))]
    case: Vec<String>,
}

impl Sight {
    pub(super) fn run(&self, session: &mut Session<'_>) -> Result<ExitCode> {
        let (rounds, turn) = if self.options.quick { (ROUNDS_MIN as u32, TURN_QUICK) } else { (self.rounds, TURN) };
        self.options.publish(session, rounds, &BY_PAIR, |attachments, progress| {
            let record = conduct(attachments, &self.cases(), rounds, turn, progress)?;
            let figures: Vec<Figure> = figures_of(&record, |_| "ns per packet");
            Ok(Findings { answers: answers_of(&record, attachments), legend: &[LEGEND], figures })
        })
    }

    fn cases(&self) -> Vec<&'static Case> {
        let is_wanted = |case: &&Case| self.case.is_empty() || self.case.iter().any(|name| name == case.name);
        CASES.into_iter().filter(is_wanted).collect()
    }
}

/// Measures all of it, on stages that are set anew in every round; tells on `progress` how far it is.
fn conduct(
    attachments: &[Attachment],
    cases: &[&Case],
    rounds: u32,
    turn: Duration,
    progress: &mut dyn Write,
) -> Result<Record> {
    let (machine, mut record) = (Machine::here()?, Record::default());
    let mut attachments = attachments.to_vec();
    rounds::play(rounds, SEED, progress, |chance| {
        chance.shuffle(&mut attachments);
        for network in &attachments {
            let mut contenders = [Contender::Weft(*network), Contender::Silent(*network)];
            chance.shuffle(&mut contenders);
            let mut lookouts =
                contenders.into_iter().map(|who| Lookout::set(who, machine)).collect::<Result<Vec<_>>>()?;
            for case in cases {
                chance.shuffle(&mut lookouts);
                for lookout in &mut lookouts {
                    let spent = lookout.take_turn(case, machine, turn)?;
                    record.take(case, lookout.stage.contender, spent);
                }
            }
        }
        Ok(())
    })?;
    Ok(record)
}

/// A stage whose programs are watched. What is dropped first stands first.
struct Lookout {
    follower: Option<Daemon>,
    gauge: Gauge,
    stage: Stage,
}

impl Lookout {
    /// With somebody who follows flows, where there are any.
    fn set(contender: Contender, machine: Machine) -> Result<Self> {
        let stage = Stage::set(contender, machine)?;
        let follower = match contender {
            Contender::Weft(_) => Some(stage.host().spawn("follower", &FOLLOW)?),
            _ => None,
        };
        let gauge = Gauge::of(stage.host()).with_context(|| format!("the programs of {contender:?}"))?;
        Ok(Self { follower, gauge, stage })
    }

    /// One turn: nanoseconds per packet, or what was wrong with it. Flows for which the ring had no room cost less than
    /// those that are told.
    fn take_turn(&mut self, case: &Case, machine: Machine, turn: Duration) -> Result<Result<f64, String>> {
        let untold_before = network::flows_untold(self.stage.host())?;
        let statistics = gauge::statistics()?;
        let before = self.gauge.read()?;
        let came = self.stage.take_turn(case, machine, turn)?;
        let spent = self.gauge.read()?.since(before);
        drop(statistics);
        if let Some(follower) = &self.follower {
            ensure!(!follower.has_ended(), "nobody follows any more: {}", follower.log());
        }
        let untold = network::flows_untold(self.stage.host())? - untold_before;
        Ok(match came {
            Ok(_) if untold > 0 => Err(format!("{untold} flows went untold")),
            Ok(_) => spent.ns_per_run().ok_or_else(|| "no program ran".to_owned()),
            Err(complaint) => Err(complaint),
        })
    }
}

/// What one agent's programs take more than the other's, per packet.
fn answers_of(record: &Record, attachments: &[Attachment]) -> Vec<Answer> {
    let asked = CASES.into_iter().flat_map(|case| attachments.iter().map(move |network| (case, *network)));
    let answer = |(case, network): (&Case, Attachment)| {
        let more = record.difference(case, Contender::Weft(network), Contender::Silent(network))?;
        let question = format!("{}: with flow events - without", case.title);
        Some(Answer::new(question, network, &more, "ns per packet", Some(TARGET)))
    };
    asked.filter_map(answer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_api::Row as _;

    #[test]
    fn what_telling_costs_is_paired_by_round() {
        let mut record = Record::default();
        for round in 0..8_u32 {
            let noise = f64::from(round % 3) * 100.0;
            record.take(&CONNECT, Contender::Weft(Attachment::Bridge), Ok(400.0 + noise));
            let silent = if round == 3 { Err("no program ran".to_owned()) } else { Ok(360.0 + noise) };
            record.take(&CONNECT, Contender::Silent(Attachment::Bridge), silent);
        }
        let answers: Vec<String> =
            answers_of(&record, Attachment::ALL).iter().map(|answer| answer.cells().join(" ")).collect();
        let question = "connect rate, one CPU: with flow events - without";
        assert_eq!(answers, [format!("{question} bridge 40.0 ns per packet 40.0 to 40.0 <= 50 met")]);
    }
}
