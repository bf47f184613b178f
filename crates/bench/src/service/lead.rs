//! The same services by three who lead to them.

use std::fmt::Write as _;
use std::io::Write;
use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use weft_lab::Host;

use super::{BACKENDS, CASES, Measured, NETWORK, Record, Scale, decoys, nowhere, service, slice};
use crate::gauge::{self, Gauge};
use crate::network;
use crate::path::{CONNECT, Contender, Machine, Stage};
use crate::plugin::IFNAME;
use crate::rounds;

/// The same order in every run, so that two runs differ by noise alone.
const SEED: u64 = 20_261_203;
/// Stages live for so many rounds: longer than it takes to set them, and not for all of the run.
const ROUNDS_PER_STAGE: u32 = 10;
/// The service that is asked for.
const NAME: &str = "asked";
const ADDRESS: &str = "192.0.2.80";
const PORT: u16 = 80;
/// Where the host reads rules from, inside.
const RULES: &str = "/run/rules";

/// Who leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Leader {
    Weft,
    /// By a map from address and port to a chain.
    Nftables,
    /// By a chain of all services, of its nft flavour.
    Iptables,
}

/// How many services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Number {
    One,
    Many,
}

impl Leader {
    const ALL: [Leader; 3] = [Leader::Weft, Leader::Nftables, Leader::Iptables];

    pub(super) fn title(self) -> &'static str {
        match self {
            Leader::Weft => "weft",
            Leader::Nftables => "nftables map",
            Leader::Iptables => "iptables chains",
        }
    }

    /// What a row says of it.
    pub(super) fn row(self, number: Number) -> &'static str {
        match (self, number) {
            (Leader::Weft, Number::One) => "weft, one service",
            (Leader::Weft, Number::Many) => "weft, many services",
            (Leader::Nftables, Number::One) => "nftables map, one",
            (Leader::Nftables, Number::Many) => "nftables map, many",
            (Leader::Iptables, Number::One) => "iptables, one",
            (Leader::Iptables, Number::Many) => "iptables, many",
        }
    }
}

/// A stage with somebody who leads. What is dropped first stands first.
struct Led {
    leader: Leader,
    number: Number,
    gauge: Option<Gauge>,
    stage: Stage,
}

impl Led {
    fn set(leader: Leader, number: Number, count: usize, machine: Machine) -> Result<Self> {
        let contender = if leader == Leader::Weft { Contender::Weft(NETWORK) } else { Contender::Router };
        let stage = Stage::set(contender, machine)?;
        let host = stage.host();
        if leader != Leader::Weft {
            // The host answers for it there, as for all that it has a route to.
            host.run(&["ip", "-n", "client", "route", "add", ADDRESS, "dev", IFNAME])?;
        }
        let others = count - 1;
        let set = match leader {
            Leader::Weft => {
                network::apply(host, &decoys(others))?;
                network::apply(host, &[service(NAME, Some(ADDRESS))])
            }
            Leader::Nftables => by_map(host, others),
            Leader::Iptables => by_chains(host, others),
        };
        set.with_context(|| format!("{} with {count} services", leader.title()))?;
        let gauge = if leader == Leader::Weft { Some(Gauge::of_connect(host)?) } else { None };
        Ok(Self { leader, number, gauge, stage })
    }
}

/// The address of a service that nobody asks for.
fn decoy(number: usize) -> String {
    format!("10.99.{}.{}", number >> 8, number & 255)
}

/// As kube-proxy has it in its mode `nftables`: one look-up, then one of the service's backends.
fn by_map(host: &Host, others: usize) -> Result<()> {
    let mut rules = String::from("table ip services {\n");
    let mut elements = Vec::new();
    for n in 0..others {
        let backends = nowhere(n).into_iter().enumerate().map(|(place, address)| format!("{place} : {address}"));
        let backends = backends.collect::<Vec<_>>().join(", ");
        let _ = writeln!(rules, "chain s{n} {{\n dnat to numgen random mod {BACKENDS} map {{ {backends} }}\n}}");
        elements.push(format!("{} . tcp . {PORT} : goto s{n}", decoy(n)));
    }
    let _ = writeln!(rules, "chain {NAME} {{ }}");
    elements.push(format!("{ADDRESS} . tcp . {PORT} : goto {NAME}"));
    let _ = writeln!(
        rules,
        "map addresses {{ type ipv4_addr . inet_proto . inet_service : verdict; elements = {{ {} }} }}\n\
         chain prerouting {{ type nat hook prerouting priority -100;\n\
         ip daddr . meta l4proto . th dport vmap @addresses\n}}\n}}\n",
        elements.join(", ")
    );
    host.write(RULES, rules)?;
    host.run(&["nft", "-f", RULES]).map(drop)
}

fn by_chains(host: &Host, others: usize) -> Result<()> {
    let mut chains = format!("*nat\n:SERVICES - [0:0]\n:{NAME} - [0:0]\n");
    let mut rules = String::from("-A PREROUTING -j SERVICES\n");
    for n in 0..others {
        let _ = writeln!(chains, ":s{n} - [0:0]");
        let _ = writeln!(rules, "-A SERVICES -d {}/32 -p tcp -m tcp --dport {PORT} -j s{n}", decoy(n));
        for (place, address) in nowhere(n).into_iter().enumerate() {
            let left = BACKENDS - place;
            let chance = match left {
                1 => String::new(),
                _ => format!("-m statistic --mode random --probability {:.6} ", 1.0 / left as f64),
            };
            let _ = writeln!(rules, "-A s{n} {chance}-p tcp -j DNAT --to-destination {address}:8080");
        }
    }
    let _ = writeln!(rules, "-A SERVICES -d {ADDRESS}/32 -p tcp -m tcp --dport {PORT} -j {NAME}\nCOMMIT");
    host.write(RULES, chains + &rules)?;
    host.run(&["sh", "-c", &format!("iptables-restore < {RULES}")]).map(drop)
}

/// Has the service be served there, and says where clients go.
fn front(leader: Leader, host: &Host, to: SocketAddr) -> Result<SocketAddr> {
    match leader {
        Leader::Weft => network::apply(host, &[slice(NAME, &[to.ip().to_string()], to.port())])?,
        Leader::Nftables => {
            let rules =
                format!("flush chain ip services {NAME}; add rule ip services {NAME} ip protocol tcp dnat to {to}");
            host.run(&["nft", &rules])?;
        }
        Leader::Iptables => {
            let rules =
                format!("iptables -t nat -F {NAME} && iptables -t nat -A {NAME} -p tcp -j DNAT --to-destination {to}");
            host.run(&["sh", "-c", &rules])?;
        }
    }
    Ok(SocketAddr::new(ADDRESS.parse()?, PORT))
}

/// Measures what each costs in every case.
pub(super) fn measure(scale: Scale, record: &mut Record, progress: &mut dyn Write) -> Result<()> {
    let machine = Machine::here()?;
    let mut stages: Vec<Led> = Vec::new();
    let mut round = 0;
    rounds::play(scale.rounds, SEED, progress, |chance| {
        if round % ROUNDS_PER_STAGE == 0 {
            stages.clear();
            let numbers = |leader| [Number::One, Number::Many].map(|number| (leader, number));
            let mut wanted: Vec<_> = Leader::ALL.into_iter().flat_map(numbers).collect();
            chance.shuffle(&mut wanted);
            for (leader, number) in wanted {
                let count = if number == Number::One { 1 } else { scale.services };
                stages.push(Led::set(leader, number, count, machine)?);
            }
        }
        round += 1;
        for case in CASES {
            // Who is asked directly, and by a service, one right after the other.
            chance.shuffle(&mut stages);
            for Led { leader, number, stage, .. } in &mut stages {
                if *leader == Leader::Weft {
                    let direct = stage.take_turn(case, machine, scale.turn)?;
                    record.take(Measured::Direct(case.name, *number), direct);
                }
                let led = stage.take_turn_by(case, machine, scale.turn, |host, to| front(*leader, host, to))?;
                record.take(Measured::Led(case.name, *leader, *number), led);
            }
        }
        chance.shuffle(&mut stages);
        for Led { leader, number, gauge, stage } in &mut stages {
            let Some(gauge) = gauge else { continue };
            let statistics = gauge::statistics()?;
            let before = gauge.read()?;
            let came = stage.take_turn_by(&CONNECT, machine, scale.turn, |host, to| front(*leader, host, to))?;
            let spent = gauge.read()?.since(before);
            drop(statistics);
            let spent = came.and_then(|_| spent.ns_per_run().ok_or_else(|| "no program ran".to_owned()));
            record.take(Measured::Program(*number), spent);
        }
        Ok(())
    })
}
