//! The pools' unreachable routes: an address that is not leased leads nowhere.

use std::collections::BTreeMap;

use ipnet::IpNet;
use weft_kernel::route::{self, Hop, PROTOCOL};
use weft_kernel::{KernelError, Netlink, Snapshot};
use weft_reconcile::Target;

/// Routes of one host.
pub struct Pools<'a> {
    /// The host's socket.
    pub netlink: &'a mut Netlink,
    /// What the host had when the round began.
    pub snapshot: &'a Snapshot,
}

impl Target for Pools<'_> {
    type Key = IpNet;
    type Desired = ();
    type Actual = ();
    type Error = KernelError;

    fn read_back(&mut self) -> Result<BTreeMap<IpNet, ()>, KernelError> {
        let ours = self.snapshot.routes.iter().filter(|route| route.protocol == PROTOCOL);
        Ok(ours.filter(|route| route.hop == Hop::Unreachable).map(|route| (route.to, ())).collect())
    }

    fn is_settled(&self, _: &IpNet, (): &(), (): &()) -> bool {
        true
    }

    fn update(&mut self, to: &IpNet, (): &()) -> Result<(), KernelError> {
        self.netlink.run(&[route::set(*to, Hop::Unreachable)])
    }

    fn delete(&mut self, to: &IpNet) -> Result<(), KernelError> {
        match self.netlink.run(&[route::delete(*to, Hop::Unreachable)]) {
            Err(error) if error.is_absent() => Ok(()),
            other => other,
        }
    }
}
