//! weft itself: the shim, which asks the host's agent.

use anyhow::Result;

use super::plugin;
use super::{Contender, Slot};
use crate::bench::script::Operation;

/// The host's agent is at its usual socket.
const CONFIG: &[u8] = br#"{"cniVersion":"1.0.0","name":"bench","type":"weft-cni"}"#;

pub(super) struct Weft;

impl Contender for Weft {
    fn add(&self, slot: &Slot) -> Result<Vec<u8>> {
        plugin::call("weft-cni", Operation::Add, slot, CONFIG)
    }

    fn del(&self, slot: &Slot) -> Result<()> {
        plugin::call("weft-cni", Operation::Del, slot, CONFIG).map(drop)
    }
}
