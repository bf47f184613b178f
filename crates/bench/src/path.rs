//! `weft bench path`: what the way of a packet costs between two containers of one host.
//!
//! ```text
//!   conduct ── orders, tallies ──► weft bench perform path, one at each end
//!     case, cpus, stage              work::exchange, streams, connect, datagrams
//!     record, figure
//!   contender::weft       network, shim, weftd; also one that tells of no flows, for bench sight
//!   contender::empty      programs that carry and do nothing else
//!   contender::bridge     a Linux bridge, no program
//!   contender::macvlan    the kernel's own switch on a link of the host's
//!   contender::loopback   one namespace
//! ```
//!
//! Every contender has a host of the lab to itself, so that no rule or program of one is on the way of another. The
//! ends are processes of their own, as containers are. A turn is over in less than a second, and whatever is compared
//! was measured within seconds of each other.

mod case;
mod conduct;
mod contender;
mod cpus;
mod figure;
mod performer;
mod record;
mod stage;
mod work;

use std::process::ExitCode;

use anyhow::Result;
use clap::builder::PossibleValuesParser;
use weft_cli::Session;
use weft_model::Attachment;

use super::measure::ROUNDS_MIN;
use super::{Findings, Options};
use conduct::Plan;

pub(super) use case::{CONNECT, Case, DATAGRAMS, EXCHANGE, FLOW, STREAM, TURN, TURN_QUICK};
pub(super) use contender::Contender;
pub(super) use contender::weft::{CLIENT, SERVER};
pub(super) use cpus::Machine;
pub(super) use figure::{Figure, figures_of};
pub(super) use performer::{Answer, perform};
pub(super) use record::{Record, Series};
pub(super) use stage::Stage;

/// The attachments that there is something to hold against.
const MEASURED: [Attachment; 3] = [Attachment::Bridge, Attachment::Routed, Attachment::Macvlan];
/// What performers of this bench are told to be.
const BENCH: &str = "path";

/// Arguments of `weft bench path`.
#[derive(Debug, clap::Args)]
pub struct Path {
    #[command(flatten)]
    options: Options,
    /// Rounds
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Only this case; may be repeated
    #[arg(long, value_name = "CASE", value_parser = PossibleValuesParser::new(case::CASES.map(|case| case.name)))]
    case: Vec<String>,
}

impl Path {
    pub(super) fn run(&self, session: &mut Session<'_>) -> Result<ExitCode> {
        let (rounds, duration) = if self.options.quick { (ROUNDS_MIN as u32, TURN_QUICK) } else { (self.rounds, TURN) };
        self.options.publish(session, rounds, &MEASURED, |attachments, progress| {
            let plan = Plan { attachments, cases: self.cases(), rounds, duration };
            let record = conduct::conduct(&plan, progress)?;
            let answers = figure::answers_of(&record, attachments);
            Ok(Findings { answers, legend: &[], figures: figures_of(&record, Case::unit) })
        })
    }

    fn cases(&self) -> Vec<&'static Case> {
        let is_wanted = |case: &&Case| self.case.is_empty() || self.case.iter().any(|name| name == case.name);
        case::CASES.into_iter().filter(is_wanted).collect()
    }
}
