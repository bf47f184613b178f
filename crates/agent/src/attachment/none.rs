//! `none`: loopback only.

use std::net::IpAddr;

use weft_kernel::endpoint::LinkPlan;
use weft_model::{Attachment, Endpoint, Network, Pool};

use super::{Ground, Kind, admit_own_namespace};

pub(super) struct None;

impl Kind for None {
    fn attachment(&self) -> Attachment {
        Attachment::None
    }

    fn admit(&self, ground: &Ground) -> Result<(), String> {
        admit_own_namespace(ground)
    }

    fn endow(&self, _: &Network, _: &[(IpAddr, &Pool)], _: &mut Endpoint) {}

    fn link(&self, _: &Endpoint, _: Option<u32>) -> Option<LinkPlan> {
        Option::None
    }
}
