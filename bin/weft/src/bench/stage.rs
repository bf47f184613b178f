//! A host of the lab with one contender, its containers, and those that are attached from the beginning.

use std::io::BufReader;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use anyhow::{Context as _, Result, ensure};
use weft_api::{Client, NetworkObject, Version};
use weft_lab::wire::{receive, send};
use weft_lab::{Daemon, Host};

use super::case::{BURST, Lane, SPARE_SLOTS, Who};
use super::network;
use super::performer::{Outcome, Part, Ready};
use super::script::{Operation, Order, deal};

/// weftd's socket, inside.
const SOCKET: &str = "/run/weft/weft.sock";
/// The unit of memory figures.
const KIB_PER_MB: f64 = 1e6 / 1024.0;

/// What is dropped first stands first: the performer, then the agent, then the host with all that is left.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) lane: Lane,
    performer: Performer,
    weftd: Option<Daemon>,
    _host: Host,
}

impl Stage {
    /// A host for `lane`, with its network and its containers, none of them attached.
    pub(super) fn set(lane: Lane) -> Result<Self> {
        let Lane { who, attachment, present } = lane;
        let host = Host::start(&format!("bench-{who:?}-{attachment}-{present}").to_lowercase())?;
        let mut weftd = match who {
            Who::Weft | Who::Bare => Some(start_weftd(&host, lane)?),
            Who::Bridge | Who::Chain => None,
        };
        if who == Who::Bare {
            // What it made stays.
            weftd.take().map_or(Ok(()), |mut weftd| weftd.terminate().map(drop))?;
        }
        let performer = Performer::start(&host, &Part { lane, slots: present + SPARE_SLOTS })?;
        Ok(Self { lane, performer, weftd, _host: host })
    }

    /// Attaches the endpoints that are present from the beginning. One outcome per burst.
    pub(super) fn fill(&mut self) -> Result<Vec<Outcome>> {
        let (at_once, present) = (self.lane.who.fills_at_once(), self.lane.present);
        let starts = (0..present).step_by(BURST as usize);
        starts
            .map(|start| self.play(&deal(Operation::Add, start..present.min(start + BURST), at_once)))
            .collect::<Result<_>>()
    }

    /// Has an order carried out.
    pub(super) fn play(&mut self, order: &Order) -> Result<Outcome> {
        self.performer.play(order).with_context(|| format!("lane {:?}", self.lane))
    }

    /// Resident memory of the agent, in MB; `None` without one.
    pub(super) fn resident_mb(&self) -> Result<Option<f64>> {
        let Some(weftd) = &self.weftd else { return Ok(None) };
        let status = std::fs::read_to_string(format!("/proc/{}/status", weftd.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("weftd has ended")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(Some(kib / KIB_PER_MB))
    }
}

fn start_weftd(host: &Host, lane: Lane) -> Result<Daemon> {
    let weftd = host.spawn("weftd", &["weftd"])?;
    let client = Client::new(host.path(SOCKET));
    weftd.wait_ready(|| client.get::<Version>("/v1/version").is_ok())?;
    client.post::<NetworkObject>("/v1/networks", &network::object(lane.attachment))?;
    Ok(weftd)
}

/// The process inside, from here.
#[derive(Debug)]
struct Performer {
    process: Child,
    orders: ChildStdin,
    outcomes: BufReader<ChildStdout>,
}

impl Performer {
    fn start(host: &Host, part: &Part) -> Result<Self> {
        let mut command = host.command("weft");
        command.args(["bench", "perform"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let orders = process.stdin.take().context("a pipe was asked for")?;
        let outcomes = BufReader::new(process.stdout.take().context("a pipe was asked for")?);
        let mut performer = Self { process, orders, outcomes };
        send(&mut performer.orders, part)?;
        let _: Ready = receive(&mut performer.outcomes).context("the performer did not come")?;
        Ok(performer)
    }

    fn play(&mut self, order: &Order) -> Result<Outcome> {
        send(&mut self.orders, order)?;
        let outcome: Outcome = receive(&mut self.outcomes)?;
        let steps: usize = order.iter().map(Vec::len).sum();
        ensure!(outcome.samples.len() == steps, "{} of {steps} steps were performed", outcome.samples.len());
        Ok(outcome)
    }
}

impl Drop for Performer {
    fn drop(&mut self) {
        // The host ends whatever does not end here.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
