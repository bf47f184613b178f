//! The same rules by three who guard: what is on the way of a packet then.

use std::fmt::Write as _;
use std::io::Write;

use anyhow::{Context as _, Result};
use serde_json::json;
use weft_lab::Host;
use weft_model::Family;

use super::{CASES, CONNECT, EXCHANGE, Measured, NETWORK, Record, Scale, policy};
use crate::gauge::{self, Gauge};
use crate::network;
use crate::path::{Case, Contender, Machine, Stage};
use crate::rounds;

/// The same order in every run, so that two runs differ by noise alone.
const SEED: u64 = 20_261_130;
/// Stages live for so many rounds: longer than it takes to set them, and not for all of the run.
const ROUNDS_PER_STAGE: u32 = 5;
/// Where the host reads rules from, inside.
const RULES: &str = "/run/rules";

/// Who guards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Guard {
    Policies,
    /// By a set.
    Nftables,
    /// By a chain, of its nft flavour.
    Iptables,
}

/// How many rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rules {
    One,
    Many,
}

impl Guard {
    const ALL: [Guard; 3] = [Guard::Policies, Guard::Nftables, Guard::Iptables];

    pub(super) fn title(self) -> &'static str {
        match self {
            Guard::Policies => "policies",
            Guard::Nftables => "nftables set",
            Guard::Iptables => "iptables chain",
        }
    }

    /// What a row says of it.
    pub(super) fn row(self, rules: Rules) -> &'static str {
        match (self, rules) {
            (Guard::Policies, Rules::One) => "weft, one policy",
            (Guard::Policies, Rules::Many) => "weft, many policies",
            (Guard::Nftables, Rules::One) => "nftables set, one",
            (Guard::Nftables, Rules::Many) => "nftables set, many",
            (Guard::Iptables, Rules::One) => "iptables, one",
            (Guard::Iptables, Rules::Many) => "iptables, many",
        }
    }
}

/// A stage with somebody who guards it. What is dropped first stands first.
struct Guarded {
    guard: Guard,
    rules: Rules,
    gauge: Option<Gauge>,
    stage: Stage,
}

impl Guarded {
    fn set(guard: Guard, rules: Rules, count: usize, machine: Machine) -> Result<Self> {
        let contender = if guard == Guard::Policies { Contender::Weft(NETWORK) } else { Contender::Router };
        let stage = Stage::set(contender, machine)?;
        let client = stage.client(Family::IPv4)?.to_string();
        // Decoys, and the one that matters, behind them.
        let decoys = (1..count).map(|n| format!("198.{}.{}.{}", 18 + (n >> 16), n >> 8 & 255, n & 255));
        let senders: Vec<String> = decoys.chain([client]).collect();
        guard_by(guard, stage.host(), &senders).with_context(|| format!("{} with {count} rules", guard.title()))?;
        let gauge = if guard == Guard::Policies { Some(Gauge::of(stage.host())?) } else { None };
        Ok(Self { guard, rules, gauge, stage })
    }

    /// A turn in which the kernel counts what the programs take.
    fn watch(&mut self, case: &Case, machine: Machine, scale: Scale) -> Result<Option<Result<f64, String>>> {
        let Some(gauge) = &self.gauge else { return Ok(None) };
        let statistics = gauge::statistics()?;
        let before = gauge.read()?;
        let came = self.stage.take_turn(case, machine, scale.turn)?;
        let spent = gauge.read()?.since(before);
        drop(statistics);
        Ok(Some(came.and_then(|_| spent.ns_per_run().ok_or_else(|| "no program ran".to_owned()))))
    }
}

fn guard_by(guard: Guard, host: &Host, senders: &[String]) -> Result<()> {
    match guard {
        Guard::Policies => {
            let accept = |(n, sender): (usize, &String)| {
                let from = json!([{"ipBlock": {"cidr": format!("{sender}/32")}}]);
                policy(&format!("guard-{n}"), json!({"podSelector": {}, "ingress": [{"from": from}]}))
            };
            network::apply(host, &senders.iter().enumerate().map(accept).collect::<Vec<_>>())
        }
        Guard::Nftables => {
            let elements = senders.join(", ");
            let rules = format!(
                "table ip guard {{\n set senders {{\n type ipv4_addr\n elements = {{ {elements} }}\n }}\n\
                 chain forward {{\n type filter hook forward priority 0; policy drop;\n\
                 ct state established,related accept\n ip saddr @senders accept\n }}\n}}\n"
            );
            host.write(RULES, rules)?;
            host.run(&["nft", "-f", RULES]).map(drop)
        }
        Guard::Iptables => {
            let mut rules = String::from("*filter\n:FORWARD DROP [0:0]\n");
            rules += "-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n";
            for sender in senders {
                let _ = writeln!(rules, "-A FORWARD -s {sender}/32 -j ACCEPT");
            }
            rules += "COMMIT\n";
            host.write(RULES, rules)?;
            host.run(&["sh", "-c", &format!("iptables-restore < {RULES}")]).map(drop)
        }
    }
}

/// Measures what each costs in every case.
pub(super) fn measure(scale: Scale, record: &mut Record, progress: &mut dyn Write) -> Result<()> {
    let machine = Machine::here()?;
    let mut stages: Vec<Guarded> = Vec::new();
    let mut round = 0;
    rounds::play(scale.rounds, SEED, progress, |chance| {
        if round % ROUNDS_PER_STAGE == 0 {
            stages.clear();
            let mut wanted: Vec<_> = Guard::ALL
                .into_iter()
                .flat_map(|guard| [Rules::One, Rules::Many].map(|rules| (guard, rules)))
                .collect();
            chance.shuffle(&mut wanted);
            for (guard, rules) in wanted {
                let count = if rules == Rules::One { 1 } else { scale.rules };
                stages.push(Guarded::set(guard, rules, count, machine)?);
            }
        }
        round += 1;
        for case in CASES {
            chance.shuffle(&mut stages);
            for guarded in &mut stages {
                let rate = guarded.stage.take_turn(case, machine, scale.turn)?;
                record.take(Measured::Work(case.name, guarded.guard, guarded.rules), rate);
            }
        }
        for case in [&EXCHANGE, &CONNECT] {
            chance.shuffle(&mut stages);
            for guarded in &mut stages {
                if let Some(spent) = guarded.watch(case, machine, scale)? {
                    record.take(Measured::Programs(case.name, guarded.rules), spent);
                }
            }
        }
        Ok(())
    })
}
