//! Sub-interfaces of the host's links, for networks that are on a VLAN.

use std::collections::BTreeMap;

use weft_kernel::link::{self, Change, Link, vlan};
use weft_kernel::{Errno, KernelError, Netlink, Snapshot};
use weft_model::IfName;
use weft_reconcile::Target;

use super::Indexes;
use crate::attachment::parent;
use crate::graph::VlanPlan;

/// Sub-interfaces of one host.
pub struct Vlans<'a> {
    /// The host's socket.
    pub netlink: &'a mut Netlink,
    /// What the host had when the round began.
    pub snapshot: &'a Snapshot,
    /// Numbers for new ones.
    pub indexes: &'a Indexes,
}

impl Target for Vlans<'_> {
    type Key = IfName;
    type Desired = VlanPlan;
    type Actual = Link;
    type Error = KernelError;

    fn read_back(&mut self) -> Result<BTreeMap<IfName, Link>, KernelError> {
        Ok(super::ours(self.snapshot, |link| parent::is_vlan(&link.name)))
    }

    fn is_settled(&self, _: &IfName, plan: &VlanPlan, link: &Link) -> bool {
        let parent = self.snapshot.links.get(plan.parent.as_str()).map(|parent| parent.index);
        link.up && link.lower == parent && link.vlan == Some(plan.vlan)
    }

    fn update(&mut self, name: &IfName, plan: &VlanPlan) -> Result<(), KernelError> {
        let absent = || KernelError {
            detail: "the VLAN is made when the link is there".to_owned(),
            ..KernelError::new("find parent", plan.parent.as_str(), Errno::NODEV)
        };
        let parent = link::find(self.netlink, plan.parent.as_str())?.ok_or_else(absent)?.index;
        if let Some(stale) = link::find(self.netlink, name.as_str())?.filter(|link| link.lower != Some(parent)) {
            self.netlink.run(&[link::delete(stale.index, &stale.name)])?;
        }
        let index = match link::find(self.netlink, name.as_str())? {
            Some(link) => link.index,
            None => super::create(self.netlink, self.indexes, name, |index| {
                vlan::create_vlan(index, name, parent, plan.vlan)
            })
            .map_err(|error| explain(error, plan))?,
        };
        let change = Change { up: Some(true), no_automatic_address: true, ..Change::default() };
        self.netlink.run(&[link::set(index, name.as_str(), change)])
    }

    fn delete(&mut self, name: &IfName) -> Result<(), KernelError> {
        match link::find(self.netlink, name.as_str())? {
            Some(link) => self.netlink.run(&[link::delete(link.index, &link.name)]),
            None => Ok(()),
        }
    }
}

fn explain(error: KernelError, plan: &VlanPlan) -> KernelError {
    let (parent, vlan) = (&plan.parent, plan.vlan);
    let detail = match error.errno {
        Errno::OPNOTSUPP => "VLANs need the kernel's module `8021q`: `modprobe 8021q`".to_owned(),
        Errno::EXIST => format!("link {parent} has a sub-interface for VLAN {vlan} already: name that as spec.parent"),
        _ => return error,
    };
    KernelError { detail, ..error }
}
