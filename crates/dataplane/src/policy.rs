//! What policies come to, in the programs' maps. Whoever writes keeps this order: what is named is there before what
//! names it, and goes after it.
//!
//! Subjects and what is said of peers are there twice. While packets are decided by the one half, the other one is
//! written; then they are turned, for all endpoints at once. So no connection is decided by a mix of what held before
//! and what holds now, which could let through what both forbid.

use std::path::Path;
use std::time::Duration;

use rustix::thread::{MembarrierCommand, membarrier};

use crate::settings::Settings;
use crate::{Dataplane, DataplaneError, Table, abi};

/// Far longer than a program runs.
const GRACE: Duration = Duration::from_millis(50);

/// The maps of policies.
#[derive(Debug)]
pub struct Policies {
    /// Endpoints, by the number of their link on the host.
    pub subjects: Table<u32, abi::subject>,
    /// The table for an identity.
    pub peers: Table<abi::policy_peer, abi::policy_said>,
    /// The table for a prefix.
    pub blocks: Table<abi::policy_block, u32>,
    /// What a table says of ports.
    pub ports: Table<abi::policy_port, abi::policy_verdict>,
    /// What rules have decided.
    pub counts: Table<u32, abi::policy_count>,
    settings: Settings,
}

impl Policies {
    pub(crate) fn open(directory: &Path, settings: &Settings) -> Result<Self, DataplaneError> {
        Ok(Self {
            subjects: Table::open(directory, "weft_subjects")?,
            peers: Table::open(directory, "weft_policy_peers")?,
            blocks: Table::open(directory, "weft_policy_blocks")?,
            ports: Table::open(directory, "weft_policy_ports")?,
            counts: Table::open(directory, "weft_policy_counts")?,
            settings: settings.clone(),
        })
    }

    /// Which half counts.
    pub fn half(&self) -> Result<usize, DataplaneError> {
        Ok(usize::from(self.settings.has(abi::SETTING_SECOND)?))
    }

    /// Whether connections are asked about.
    pub fn is_asked(&self) -> Result<bool, DataplaneError> {
        self.settings.has(abi::SETTING_POLICIES)
    }

    /// Has connections be asked about, or about none at all. Living ones are looked at again with their next packet.
    pub fn enforce(&self, is_asked: bool) -> Result<(), DataplaneError> {
        self.settings.set(abi::SETTING_POLICIES, is_asked)
    }

    /// Has the other half count, and connections be asked about, or about none at all. When this returns, no program
    /// decides by the former half any more.
    pub fn turn(&self, is_asked: bool) -> Result<(), DataplaneError> {
        self.settings.turn(abi::SETTING_SECOND, abi::SETTING_POLICIES, is_asked)?;
        grace();
        Ok(())
    }

    /// What was written since counts for living connections, too.
    pub fn renew(&self) -> Result<(), DataplaneError> {
        self.settings.renew()
    }
}

/// Waits until all programs that run now have ended.
fn grace() {
    // It waits for a grace period of RCU (kernel/sched/membarrier.c), within which programs run (kernel/bpf/core.c).
    if membarrier(MembarrierCommand::Global).is_err() {
        // Not where CPUs are free of the tick (nohz_full=). A program takes microseconds.
        std::thread::sleep(GRACE);
    }
}

impl Dataplane {
    /// What policies come to.
    pub fn policies(&self) -> &Policies {
        &self.policies
    }
}
