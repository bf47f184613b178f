//! `weft bench policy`: what policies cost, and how soon they are in force.
//!
//! ```text
//!   guard     the same rules, one or ten thousand, by policies, by a set of nftables, by a chain of iptables
//!   change    a thousand endpoints, and how long it takes until a change holds for them
//!   birth     births with and without policies that are about the newborn
//! ```
//!
//! Rules accept senders by their addresses; the last one is the one that matters. Before them, nftables and iptables
//! accept what belongs to a connection, which weft's doors do by themselves.

mod birth;
mod change;
mod guard;

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use weft_cli::Session;
use weft_model::Attachment;

use super::measure::{Bound, Estimate, ROUNDS_MIN};
use super::path::{CONNECT, Case, EXCHANGE, Figure, STREAM, Series, TURN, TURN_QUICK};
use super::report::Answer;
use super::{Findings, Options};
use guard::{Guard, Rules};

/// What is guarded.
const NETWORK: Attachment = Attachment::Bridge;
/// In the order in which they are measured.
static CASES: [&Case; 3] = [&EXCHANGE, &STREAM, &CONNECT];
const LEGEND: &[&str] = &[
    "ns per packet: run_time_ns / run_cnt of the stubs at the doors, which have the time of programs they jump to, too",
    "apply: until it is answered, which is when it holds for every endpoint; of the changes of a round, the slowest",
];

/// Arguments of `weft bench policy`.
#[derive(Debug, clap::Args)]
pub struct Policy {
    #[command(flatten)]
    options: Options,
    /// Rounds
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Rules, and policies, that are held against one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=100_000))]
    rules: Option<u32>,
    /// Endpoints for which a change must hold
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4000))]
    endpoints: Option<u32>,
}

/// Rules and endpoints, where nobody says how many.
const USUAL: (u32, u32) = (10_000, 1000);
const USUAL_QUICK: (u32, u32) = (500, 20);

/// How much of all there is.
#[derive(Debug, Clone, Copy)]
struct Scale {
    rounds: u32,
    turn: Duration,
    /// Rules, where there are many.
    rules: usize,
    /// Endpoints for which something changes.
    endpoints: usize,
}

/// What is measured, besides the cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Measured {
    /// Work in a case: a rate.
    Work(&'static str, Guard, Rules),
    /// The same: nanoseconds of the programs' per packet.
    Programs(&'static str, Rules),
    /// Milliseconds until a policy about one endpoint of many holds, and about all of them.
    OneOfMany,
    All,
    /// Milliseconds of a birth, with policies about it, and without.
    Birth {
        is_selected: bool,
    },
}

/// The book of one run.
#[derive(Debug, Default)]
struct Record(BTreeMap<Measured, Series>);

impl Record {
    fn take(&mut self, measured: Measured, figure: Result<f64, String>) {
        self.0.entry(measured).or_default().take(figure);
    }

    fn rounds(&self, measured: Measured) -> Option<impl Iterator<Item = Option<f64>>> {
        self.0.get(&measured).map(|series| series.rounds.iter().copied())
    }

    fn ratio(&self, above: Measured, below: Measured) -> Option<Estimate> {
        Estimate::of_ratio(self.rounds(above)?, self.rounds(below)?)
    }

    fn difference(&self, more: Measured, less: Measured) -> Option<Estimate> {
        Estimate::of_difference(self.rounds(more)?, self.rounds(less)?)
    }
}

impl Policy {
    pub(super) fn run(&self, session: &mut Session<'_>) -> Result<ExitCode> {
        let (rounds, turn, (rules, endpoints)) =
            if self.options.quick { (ROUNDS_MIN as u32, TURN_QUICK, USUAL_QUICK) } else { (self.rounds, TURN, USUAL) };
        let (rules, endpoints) = (self.rules.unwrap_or(rules), self.endpoints.unwrap_or(endpoints));
        let scale = Scale { rounds, turn, rules: rules as usize, endpoints: endpoints as usize };
        self.options.publish(session, scale.rounds, &[NETWORK], |_, progress| {
            let record = conduct(scale, progress)?;
            Ok(Findings { answers: answers_of(&record, scale), legend: LEGEND, figures: figures_of(&record) })
        })
    }
}

fn conduct(scale: Scale, progress: &mut dyn Write) -> Result<Record> {
    let mut record = Record::default();
    guard::measure(scale, &mut record, progress)?;
    change::measure(scale, &mut record, progress)?;
    birth::measure(scale, &mut record, progress)?;
    Ok(record)
}

/// A `NetworkPolicy` of the namespace that containers are in if nobody says otherwise.
fn policy(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
           "metadata": {"namespace": "default", "name": name}, "spec": spec})
}

fn answers_of(record: &Record, scale: Scale) -> Vec<Answer> {
    let mut answers = Vec::new();
    let mut add = |question: String, estimate: Option<Estimate>, unit, target| {
        answers.extend(estimate.map(|estimate| Answer::new(question, NETWORK, &estimate, unit, target)));
    };
    let rules = scale.rules;
    for case in CASES {
        let of = |guard, rules| Measured::Work(case.name, guard, rules);
        let many = of(Guard::Policies, Rules::Many);
        let ratio = record.ratio(many, of(Guard::Policies, Rules::One));
        add(format!("{}: {rules} policies / one", case.title), ratio, "x", Some(Bound::AtLeast(0.95)));
        for rival in [Guard::Nftables, Guard::Iptables] {
            let ratio = record.ratio(many, of(rival, Rules::Many));
            add(format!("{}: weft / {}, {rules} rules each", case.title, rival.title()), ratio, "x", None);
        }
    }
    for case in [&EXCHANGE, &CONNECT] {
        let of = |rules| Measured::Programs(case.name, rules);
        let more = record.difference(of(Rules::Many), of(Rules::One));
        let question = format!("{}: {rules} policies - one", case.title);
        add(question, more, "ns per packet", Some(Bound::AtMost(50.0)));
    }
    let soon = Some(Bound::AtMost(100.0));
    let of = |measured| record.0.get(&measured).and_then(Series::estimate);
    let endpoints = scale.endpoints;
    add(format!("apply, about one of {endpoints} endpoints"), of(Measured::OneOfMany), "ms", soon);
    add(format!("apply, about all {endpoints} endpoints"), of(Measured::All), "ms", soon);
    let birth = |is_selected| Measured::Birth { is_selected };
    let ratio = record.ratio(birth(true), birth(false));
    add(format!("birth: {} policies about it / none", birth::POLICIES), ratio, "x", Some(Bound::AtMost(1.1)));
    answers
}

fn figures_of(record: &Record) -> Vec<Figure> {
    let figure = |(measured, series): (&Measured, &Series)| {
        let of_case = |name: &str| CASES.iter().find(|case| case.name == name).map_or("", |case| case.unit());
        let (case, contender, unit) = match *measured {
            Measured::Work(case, guard, rules) => (case, guard.row(rules), of_case(case)),
            Measured::Programs(case, rules) => (case, Guard::Policies.row(rules), "ns per packet"),
            Measured::OneOfMany => ("apply", "about one", "ms"),
            Measured::All => ("apply", "about all", "ms"),
            Measured::Birth { is_selected: true } => ("birth", "with policies", "ms"),
            Measured::Birth { is_selected: false } => ("birth", "without", "ms"),
        };
        Figure::new(case, contender, Some(NETWORK), series, unit)
    };
    record.0.iter().map(figure).collect()
}
