//! The host's own routes for the networks: an address of a pool that is not leased leads nowhere, and gateways that
//! many links share lead to the host.

use std::collections::BTreeMap;

use ipnet::IpNet;
use weft_kernel::route::{self, Hop, PROTOCOL};
use weft_kernel::{KernelError, Netlink, Snapshot};
use weft_reconcile::Target;

/// Routes of one host.
pub struct Routes<'a> {
    /// The host's socket.
    pub netlink: &'a mut Netlink,
    /// What the host had when the round began.
    pub snapshot: &'a Snapshot,
}

impl Target for Routes<'_> {
    type Key = (IpNet, Hop);
    type Desired = ();
    type Actual = ();
    type Error = KernelError;

    /// Those with weft's mark, but for routes to endpoints, which belong to these.
    fn read_back(&mut self) -> Result<BTreeMap<(IpNet, Hop), ()>, KernelError> {
        let ours = self.snapshot.routes.iter().filter(|route| route.protocol == PROTOCOL);
        let own = ours.filter(|route| matches!(route.hop, Hop::Unreachable | Hop::Host));
        Ok(own.map(|route| ((route.to, route.hop), ())).collect())
    }

    fn is_settled(&self, _: &(IpNet, Hop), (): &(), (): &()) -> bool {
        true
    }

    fn update(&mut self, (to, hop): &(IpNet, Hop), (): &()) -> Result<(), KernelError> {
        self.netlink.run(&[route::set(*to, *hop)])
    }

    fn delete(&mut self, (to, hop): &(IpNet, Hop)) -> Result<(), KernelError> {
        self.netlink.run(&[route::delete(*to, *hop)])
    }
}
