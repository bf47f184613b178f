//! The process inside a host that does as a container runtime does. It hears an order, carries it out against the
//! clock, and answers with what it measured.

use std::collections::BTreeMap;
use std::io::{BufReader, stdin, stdout};
use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use serde::{Deserialize, Serialize};
use weft_kernel::link::{Change, LOOPBACK};
use weft_kernel::{Netlink, link};
use weft_lab::wire::{receive, send};
use weft_netns::Netns;

use super::case::Lane;
use super::contender::{self, Contender, Slot};
use super::script::{Order, Script, Step};
use crate::plugin::{Container, Operation, addresses};
use crate::prompter::Ready;

/// Where a runtime pins namespaces, inside a host.
const NETNS_DIRECTORY: &str = "/run/netns";
/// For what DEL left to be done, which takes the kernel 20 ms or some more.
const SETTLE_MAX: Duration = Duration::from_secs(2);
/// Time between two looks at that.
const SETTLE_LOOK: Duration = Duration::from_millis(1);

/// What a performer is to be.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) lane: Lane,
    /// Containers to make, without a network.
    pub(super) slots: u32,
}

/// How one step went.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Sample {
    pub(super) operation: Operation,
    /// Wall clock, from before the call to after it.
    pub(super) ms: f64,
    /// What was wrong, or the addresses that ADD gave.
    pub(super) end: Result<Vec<IpAddr>, String>,
}

/// How an order went.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Outcome {
    /// Wall clock of all of it.
    pub(super) ms: f64,
    pub(super) samples: Vec<Sample>,
    /// What DEL left, one line per container.
    pub(super) leftovers: Vec<String>,
}

/// Performs until nobody has orders any more.
pub(crate) fn perform() -> Result<ExitCode> {
    let mut orders = BufReader::new(stdin());
    let part: Part = receive(&mut orders)?;
    let contender = contender::of(part.lane)?;
    let slots: Vec<Slot> = (0..part.slots).map(make).collect::<Result<_>>()?;
    send(&mut stdout(), &Ready)?;
    while let Ok(order) = receive::<Order>(&mut orders) {
        let outcome = carry_out(contender.as_ref(), &slots, &order)?;
        send(&mut stdout(), &outcome)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn make(number: u32) -> Result<Slot> {
    let netns = Path::new(NETNS_DIRECTORY).join(format!("bench-{number}"));
    Netns::create()?.pin(&netns)?;
    // As long as the ids of runtimes.
    Ok(Slot { number, container: Container { id: format!("{number:064x}"), netns } })
}

fn carry_out(contender: &dyn Contender, slots: &[Slot], order: &Order) -> Result<Outcome> {
    let touched = |script: &Script| script.iter().all(|(_, slot)| (*slot as usize) < slots.len());
    ensure!(order.iter().all(touched), "an order for slots that are not there");
    let gate = Barrier::new(order.len() + 1);
    let run = |script| {
        gate.wait();
        play(contender, slots, script)
    };
    let (ms, samples) = std::thread::scope(|scope| {
        let threads: Vec<_> = order.iter().map(|script| scope.spawn(|| run(script))).collect();
        gate.wait();
        let start = Instant::now();
        let samples: Result<Vec<_>, _> = threads.into_iter().map(|thread| thread.join()).collect();
        (milliseconds(start), samples)
    });
    let samples = samples.map_err(|_| anyhow!("a thread panicked"))?.into_iter().flatten().collect();
    let leftovers = settle(contender, slots, order)?;
    Ok(Outcome { ms, samples, leftovers })
}

fn play(contender: &dyn Contender, slots: &[Slot], script: &Script) -> Vec<Sample> {
    let step = |&(operation, slot): &Step| {
        let slot = &slots[slot as usize];
        let start = Instant::now();
        let end = match operation {
            Operation::Add => contender.add(slot),
            Operation::Del => contender.del(slot).map(|()| Vec::new()),
        };
        let ms = milliseconds(start);
        Sample { operation, ms, end: end.and_then(|result| addresses(&result)).map_err(|e| format!("{e:#}")) }
    };
    script.iter().map(step).collect()
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

/// Waits until nothing is left of the links that went, so that nobody measures the work that another caused, and makes
/// their containers as new. Says where something was left.
fn settle(contender: &dyn Contender, slots: &[Slot], order: &Order) -> Result<Vec<String>> {
    let steps = order.iter().flatten().map(|(operation, slot)| (*slot, *operation));
    let last: BTreeMap<u32, Operation> = steps.collect();
    let gone: Vec<u32> = last.into_iter().filter(|(_, last)| *last == Operation::Del).map(|(slot, _)| slot).collect();
    if !gone.is_empty() {
        contender.settle()?;
    }
    let deadline = Instant::now() + SETTLE_MAX;
    let renewed = gone.into_iter().map(|slot| renew(&slots[slot as usize], deadline));
    renewed.filter_map(Result::transpose).collect()
}

fn renew(slot: &Slot, deadline: Instant) -> Result<Option<String>> {
    let mut netlink = Netns::open(&slot.container.netns)?.within(Netlink::open)??;
    while link::list(&mut netlink)?.len() > 1 {
        if Instant::now() > deadline {
            Netns::unpin(&slot.container.netns)?;
            make(slot.number)?;
            return Ok(Some(format!("{} had a link {SETTLE_MAX:?} after DEL", slot.container.netns.display())));
        }
        std::thread::sleep(SETTLE_LOOK);
    }
    let down = Change { up: Some(false), ..Change::default() };
    netlink.run(&[link::set(LOOPBACK, "lo", down)])?;
    Ok(None)
}
