//! `host`: the container is in the host's own namespace, and has what the host has.

use std::net::IpAddr;

use weft_kernel::endpoint::LinkPlan;
use weft_model::{Attachment, Endpoint, Network, Pool};

use super::{Ground, Kind};

pub(super) struct Host;

impl Kind for Host {
    fn attachment(&self) -> Attachment {
        Attachment::Host
    }

    fn admit(&self, ground: &Ground) -> Result<(), String> {
        if ground.host == ground.container {
            Ok(())
        } else {
            Err("the container has a namespace of its own: start it with its runtime's host networking".to_owned())
        }
    }

    /// The addresses are the host's: told to the runtime, never leased.
    fn endow(&self, _: &Network, _: &[(IpAddr, &Pool)], _: &mut Endpoint) {}

    fn link(&self, _: &Endpoint, _: Option<u32>) -> Option<LinkPlan> {
        None
    }
}
