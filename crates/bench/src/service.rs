//! `weft bench service`: what it costs to go by a service, and how soon a change of one is in force.
//!
//! ```text
//!   lead      the same service, alone or among ten thousand: by weft, by a map of nftables, by chains of iptables
//!   change    ten thousand services with ten backends each: one that changes, and all of them from nothing
//! ```
//!
//! Chains are those that kube-proxy makes in its mode `iptables`, without what marks packets; the service that is asked
//! for comes last.

mod change;
mod lead;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use weft_cli::Session;
use weft_model::Attachment;

use super::measure::{Bound, Estimate, ROUNDS_MIN};
use super::path::{CONNECT, Case, EXCHANGE, Figure, Series, TURN, TURN_QUICK};
use super::report::Answer;
use super::{Findings, Options};
use lead::{Leader, Number};

/// Where containers are.
const NETWORK: Attachment = Attachment::Bridge;
/// In the order in which they are measured.
static CASES: [&Case; 2] = [&EXCHANGE, &CONNECT];
/// Backends of each service.
const BACKENDS: usize = 10;
const LEGEND: &[&str] = &[
    "direct: to the backend's own address, on the host that has the services",
    "ns per connection: run_time_ns / run_cnt of the program at connect",
    "change: until it is answered, which is when sockets are led so; of the changes of a round, the slowest",
    "from nothing: from weftd's start, with all services in its store and nothing in the kernel, until it serves",
];

/// Arguments of `weft bench service`.
#[derive(Debug, clap::Args)]
pub struct Service {
    #[command(flatten)]
    options: Options,
    /// Rounds
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Services that are held against one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=10_000))]
    services: Option<u32>,
}

/// Services, where nobody says how many.
const USUAL: u32 = 10_000;
const USUAL_QUICK: u32 = 500;

/// How much of all there is.
#[derive(Debug, Clone, Copy)]
struct Scale {
    rounds: u32,
    turn: Duration,
    /// Services, where there are many.
    services: usize,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Measured {
    /// Work in a case, by a service: a rate.
    Led(&'static str, Leader, Number),
    /// The same by the backend's own address, where weft has so many services.
    Direct(&'static str, Number),
    /// Nanoseconds of the program at connect.
    Program(Number),
    /// Milliseconds until a backend's change is in force.
    Change,
    /// Milliseconds until all are.
    All,
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
}

impl Service {
    pub(super) fn run(&self, session: &mut Session<'_>) -> Result<ExitCode> {
        let (rounds, turn, services) =
            if self.options.quick { (ROUNDS_MIN as u32, TURN_QUICK, USUAL_QUICK) } else { (self.rounds, TURN, USUAL) };
        let scale = Scale { rounds, turn, services: self.services.unwrap_or(services) as usize };
        self.options.publish(session, scale.rounds, &[NETWORK], |_, progress| {
            let mut record = Record::default();
            lead::measure(scale, &mut record, progress)?;
            change::measure(scale, &mut record, progress)?;
            Ok(Findings { answers: answers_of(&record, scale), legend: LEGEND, figures: figures_of(&record) })
        })
    }
}

/// A service of this name at port 80 of `address`, or of one that is chosen.
fn service(name: &str, address: Option<&str>) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
           "spec": {"clusterIP": address, "ports": [{"port": 80}]}})
}

/// Who serves it, all at this port.
fn slice(name: &str, addresses: &[String], port: u16) -> Value {
    let endpoints: Vec<_> = addresses.iter().map(|address| json!({"addresses": [address]})).collect();
    json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
           "metadata": {"name": format!("{name}-1"), "labels": {"kubernetes.io/service-name": name}},
           "endpoints": endpoints, "ports": [{"port": port}]})
}

/// Backends of a service that nobody asks for, which are nowhere.
fn nowhere(number: usize) -> Vec<String> {
    let at = |backend: usize| {
        let n = number * BACKENDS + backend;
        format!("198.{}.{}.{}", 18 + (n >> 16), n >> 8 & 255, n & 255)
    };
    (0..BACKENDS).map(at).collect()
}

/// Such services, with their backends.
fn decoys(count: usize) -> Vec<Value> {
    let one = |n: usize| [service(&format!("s{n}"), None), slice(&format!("s{n}"), &nowhere(n), 8080)];
    (0..count).flat_map(one).collect()
}

fn answers_of(record: &Record, scale: Scale) -> Vec<Answer> {
    let mut answers = Vec::new();
    let mut add = |question: String, estimate: Option<Estimate>, unit, target| {
        answers.extend(estimate.map(|estimate| Answer::new(question, NETWORK, &estimate, unit, target)));
    };
    let services = scale.services;
    for case in CASES {
        let led = |leader, number| Measured::Led(case.name, leader, number);
        for number in [Number::One, Number::Many] {
            let count = if number == Number::One { 1 } else { services };
            let ratio = record.ratio(led(Leader::Weft, number), Measured::Direct(case.name, number));
            let question = format!("{}: by a service of {count} / direct", case.title);
            add(question, ratio, "x", Some(Bound::AtLeast(0.95)));
        }
        for rival in [Leader::Nftables, Leader::Iptables] {
            let ratio = record.ratio(led(Leader::Weft, Number::Many), led(rival, Number::Many));
            add(format!("{}: weft / {}, {services} services", case.title, rival.title()), ratio, "x", None);
        }
    }
    let program = |number| record.rounds(Measured::Program(number));
    let more = program(Number::Many).zip(program(Number::One));
    let more = more.and_then(|(many, one)| Estimate::of_difference(many, one));
    add(format!("connect: {services} services - one"), more, "ns per connection", Some(Bound::AtMost(50.0)));
    let of = |measured| record.0.get(&measured).and_then(Series::estimate);
    add(format!("a change of one of {services} services"), of(Measured::Change), "ms", Some(Bound::AtMost(50.0)));
    let question = format!("{services} services of {BACKENDS} backends, from nothing");
    add(question, of(Measured::All), "ms", Some(Bound::AtMost(2000.0)));
    answers
}

fn figures_of(record: &Record) -> Vec<Figure> {
    let figure = |(measured, series): (&Measured, &Series)| {
        let unit_of = |name: &str| CASES.iter().find(|case| case.name == name).map_or("", |case| case.unit());
        let (case, contender, unit) = match *measured {
            Measured::Led(case, leader, number) => (case, leader.row(number), unit_of(case)),
            Measured::Direct(case, Number::One) => (case, "weft, direct, one", unit_of(case)),
            Measured::Direct(case, Number::Many) => (case, "weft, direct, many", unit_of(case)),
            Measured::Program(number) => ("connect", Leader::Weft.row(number), "ns per connection"),
            Measured::Change => ("change", "one of many", "ms"),
            Measured::All => ("change", "from nothing", "ms"),
        };
        Figure::new(case, contender, Some(NETWORK), series, unit)
    };
    record.0.iter().map(figure).collect()
}
