//! weft itself: the shim, which asks the host's agent.

use anyhow::Result;

use super::{Contender, Slot};
use crate::network::{CONFIG, PLUGIN};
use crate::plugin::{Operation, Plugin};

pub(super) struct Weft;

impl Contender for Weft {
    fn add(&self, slot: &Slot) -> Result<Vec<u8>> {
        Plugin::here(PLUGIN).call(Operation::Add, &slot.container, CONFIG)
    }

    fn del(&self, slot: &Slot) -> Result<()> {
        Plugin::here(PLUGIN).call(Operation::Del, &slot.container, CONFIG).map(drop)
    }
}
