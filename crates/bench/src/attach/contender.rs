//! Whoever can join a container to its host, and part it again. One file each.

mod bare;
mod reference;
mod weft;

use anyhow::Result;
use weft_model::Family;

use super::case::{Lane, Who};
use crate::plugin::Container;

/// Room for a container: a namespace made before anything is measured.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) number: u32,
    pub(super) container: Container,
}

/// What is measured is the time that these calls take.
pub(super) trait Contender: Sync {
    /// Joins the container; the result of CNI, where there is one.
    fn add(&self, slot: &Slot) -> Result<Vec<u8>>;

    /// Parts it.
    fn del(&self, slot: &Slot) -> Result<()>;

    /// Does what DEL left for later, where nobody else does.
    fn settle(&self) -> Result<()> {
        Ok(())
    }
}

/// The contender of `lane`, in the host of the calling process.
pub(super) fn of(lane: Lane) -> Result<Box<dyn Contender>> {
    Ok(match lane.who {
        Who::Weft => Box::new(weft::Weft),
        Who::Bare => Box::new(bare::Bare::new(lane.attachment)?),
        Who::Doors => Box::new(bare::Bare::with_doors(lane.attachment)?),
        Who::Plugin => Box::new(reference::Reference::plugin(lane.attachment, &Family::ALL)),
        Who::PluginIpv4 => Box::new(reference::Reference::plugin(lane.attachment, &[Family::IPv4])),
        Who::Chain => Box::new(reference::Reference::chain()),
    })
}
