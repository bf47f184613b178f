//! The networks' bridges.

use std::collections::BTreeMap;

use ipnet::IpNet;
use weft_kernel::link::{self, Change, Link, bridge};
use weft_kernel::{Errno, KernelError, Netlink, Snapshot, address};
use weft_model::IfName;
use weft_reconcile::Target;

use super::Indexes;
use crate::graph::BridgePlan;

/// Bridges of one host.
pub struct Bridges<'a> {
    /// The host's socket.
    pub netlink: &'a mut Netlink,
    /// What the host had when the round began.
    pub snapshot: &'a Snapshot,
    /// Numbers for new ones.
    pub indexes: &'a Indexes,
}

impl Target for Bridges<'_> {
    type Key = IfName;
    type Desired = (BridgePlan, u32);
    type Actual = Link;
    type Error = KernelError;

    fn read_back(&mut self) -> Result<BTreeMap<IfName, Link>, KernelError> {
        Ok(super::ours(self.snapshot, |link| link.kind == "bridge"))
    }

    fn is_settled(&self, _: &IfName, (plan, mtu): &(BridgePlan, u32), link: &Link) -> bool {
        let present = |net: &IpNet| self.snapshot.addresses.contains(&(link.index, *net));
        link.up && link.mac == Some(plan.mac) && link.mtu == *mtu && plan.addresses.iter().all(present)
    }

    fn update(&mut self, name: &IfName, (plan, mtu): &(BridgePlan, u32)) -> Result<(), KernelError> {
        let index = match link::find(self.netlink, name.as_str())? {
            Some(link) if link.kind == "bridge" => link.index,
            Some(_) => return Err(KernelError::new("create link over the foreign", name.as_str(), Errno::EXIST)),
            None => super::create(self.netlink, self.indexes, name, |index| {
                bridge::create_bridge(index, name, plan.mac, *mtu)
            })?,
        };
        let change = Change { up: Some(true), mtu: Some(*mtu), no_automatic_address: true, ..Change::default() };
        let mut requests = vec![link::set(index, name.as_str(), change)];
        requests.extend(plan.addresses.iter().map(|net| address::add(index, *net)));
        self.netlink.run(&requests)
    }

    fn delete(&mut self, name: &IfName) -> Result<(), KernelError> {
        match link::find(self.netlink, name.as_str())? {
            Some(link) => self.netlink.run(&[link::delete(link.index, &link.name)]),
            None => Ok(()),
        }
    }
}
