//! What policies come to, in the programs' maps. Whoever writes keeps this order: what is named is there before what
//! names it, and goes after it.

use std::path::Path;

use crate::settings::Settings;
use crate::{Dataplane, DataplaneError, Table, abi};

/// The maps of policies.
#[derive(Debug)]
pub struct Policies {
    /// Endpoints, by the number of their link on the host.
    pub subjects: Table<u32, abi::subject>,
    /// The table for an identity.
    pub peers: Table<abi::policy_peer, u32>,
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

    /// Has connections be asked about, or about none at all. Living ones are looked at again with their next packet.
    pub fn enforce(&self, is_asked: bool) -> Result<(), DataplaneError> {
        self.settings.set(abi::SETTING_POLICIES, is_asked)
    }

    /// What was written since counts for living connections, too.
    pub fn renew(&self) -> Result<(), DataplaneError> {
        self.settings.renew()
    }
}

impl Dataplane {
    /// What policies come to.
    pub fn policies(&self) -> &Policies {
        &self.policies
    }
}
