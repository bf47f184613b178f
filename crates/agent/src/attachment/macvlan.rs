//! `macvlan`: a link with an Ethernet address of its own on the segment of a link of the host's.

use std::net::IpAddr;

use weft_kernel::endpoint::LinkPlan;
use weft_model::{Attachment, Endpoint, Network, Pool};

use super::{Ground, Kind, admit_own_namespace, parent};

pub(super) struct Macvlan;

impl Kind for Macvlan {
    fn attachment(&self) -> Attachment {
        Attachment::Macvlan
    }

    fn admit(&self, ground: &Ground) -> Result<(), String> {
        admit_own_namespace(ground)
    }

    fn endow(&self, network: &Network, chosen: &[(IpAddr, &Pool)], endpoint: &mut Endpoint) {
        parent::endow(network, chosen, endpoint);
    }

    /// None of its ends is on the host: see [`parent::upper`].
    fn link(&self, _: &Endpoint, _: Option<u32>) -> Option<LinkPlan> {
        None
    }
}
