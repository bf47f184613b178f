//! `weft bench attach`: what a container's birth and death cost.
//!
//! ```text
//!   conduct ── orders, outcomes ──► weft bench perform attach, one in each host of the lab
//!     case, script, stage             contender::weft       shim ──► weftd
//!     question, record, figure        contender::bare       netlink, exec
//!                                     contender::reference  bridge, macvlan, ipvlan, host-device, portmap, firewall
//! ```

mod case;
mod conduct;
mod contender;
mod figure;
mod performer;
mod question;
mod record;
mod script;
mod stage;

use std::process::ExitCode;

use anyhow::Result;
use clap::builder::PossibleValuesParser;
use weft_cli::Session;

use super::{BY_PAIR, Findings, Options, PHYSICAL};
use case::Case;
use conduct::Plan;

pub(super) use performer::perform;

/// Rounds of a quick run: every case has as few as it bears.
const QUICK_ROUNDS: u32 = 1;

/// Arguments of `weft bench attach`.
#[derive(Debug, clap::Args)]
pub struct Attach {
    #[command(flatten)]
    options: Options,
    /// Rounds; each case has its share of them
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Only this case; may be repeated
    #[arg(long, value_name = "CASE", value_parser = PossibleValuesParser::new(case::CASES.map(|case| case.name)))]
    case: Vec<String>,
}

impl Attach {
    pub(super) fn run(&self, session: &mut Session<'_>) -> Result<ExitCode> {
        let rounds = if self.options.quick { QUICK_ROUNDS } else { self.rounds };
        let measured = [&BY_PAIR[..], &PHYSICAL].concat();
        self.options.publish(session, rounds, &measured, |attachments, progress| {
            let record = conduct::conduct(&Plan { attachments, cases: self.cases(), rounds }, progress)?;
            let (answers, figures) = (figure::answers_of(&record), figure::figures_of(&record));
            Ok(Findings { answers, legend: &[question::LEGEND], figures })
        })
    }

    fn cases(&self) -> Vec<&'static Case> {
        let is_wanted = |case: &&Case| match self.case.as_slice() {
            [] => !(self.options.quick && case.slow),
            named => named.iter().any(|name| name == case.name),
        };
        case::CASES.into_iter().filter(is_wanted).collect()
    }
}
