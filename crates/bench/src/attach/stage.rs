//! A host of the lab with one contender, its containers, and those that are attached from the beginning.

use anyhow::{Context as _, Result, ensure};
use weft_lab::{Daemon, Host};
use weft_model::Attachment;

use super::case::{BURST, Lane, SPARE_SLOTS, Who};
use super::performer::{Outcome, Part};
use super::script::{Order, deal};
use crate::network;
use crate::plugin::Operation;
use crate::prompter::{Prompter, Ready};

/// The unit of memory figures.
const KIB_PER_MB: f64 = 1e6 / 1024.0;
const BYTES_PER_MB: f64 = 1e6;

/// What is dropped first stands first: the performer, then the agent, then the host with all that is left.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) lane: Lane,
    performer: Prompter,
    weftd: Option<Daemon>,
    host: Host,
}

impl Stage {
    /// A host for `lane`, with its network and its containers, none of them attached.
    pub(super) fn set(lane: Lane) -> Result<Self> {
        let Lane { who, attachment, present } = lane;
        let host = Host::start(&format!("bench-{who:?}-{attachment}-{present}").to_lowercase())?;
        if attachment == Attachment::Device {
            network::plug(&host)?;
        }
        let mut weftd = match who {
            Who::Weft | Who::Bare | Who::Doors => Some(network::serve(&host, attachment, &[])?),
            Who::Plugin | Who::PluginIpv4 | Who::Chain => None,
        };
        if matches!(who, Who::Bare | Who::Doors) {
            // What it made stays.
            weftd.take().map_or(Ok(()), |mut weftd| weftd.terminate().map(drop))?;
        }
        let mut performer = Prompter::start(host.command("weft"), "attach")?;
        let part = Part { lane, slots: present + SPARE_SLOTS };
        let _: Ready = performer.ask(&part).context("the performer did not come")?;
        Ok(Self { lane, performer, weftd, host })
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
        let outcome: Outcome = self.performer.ask(order).with_context(|| format!("lane {:?}", self.lane))?;
        let (steps, samples) = (order.iter().map(Vec::len).sum::<usize>(), outcome.samples.len());
        ensure!(samples == steps, "lane {:?}: {samples} of {steps} steps were performed", self.lane);
        Ok(outcome)
    }

    /// Resident memory of the agent, in MB; `None` without one.
    pub(super) fn resident_mb(&self) -> Result<Option<f64>> {
        let Some(weftd) = &self.weftd else { return Ok(None) };
        let status = std::fs::read_to_string(format!("/proc/{}/status", weftd.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("weftd has ended")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(Some(kib / KIB_PER_MB))
    }

    /// Kernel memory of the programs' maps, in MB; `None` without an agent.
    pub(super) fn map_mb(&self) -> Result<Option<f64>> {
        let told = self.weftd.as_ref().map(|_| network::map_bytes(&self.host)).transpose()?;
        Ok(told.map(|bytes| bytes as f64 / BYTES_PER_MB))
    }
}
