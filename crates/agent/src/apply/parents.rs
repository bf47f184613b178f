//! Links that stand in for those to the outside: what ipvlan endpoints' own links sit on.

use std::collections::BTreeMap;

use weft_dataplane::{Dataplane, Hold, Parent};
use weft_kernel::filter::{self, Programs};
use weft_kernel::link::{self, Change, Link, ifb, veth};
use weft_kernel::{Errno, KernelError, Netlink, Request, Snapshot};
use weft_model::{IfName, MacAddr, Seat};
use weft_reconcile::Target;

use super::{Indexes, admissions};
use crate::attachment::parent;
use crate::graph::ParentPlan;

/// As much as any link to the outside passes: how large packets may be is for endpoints' own links to say.
const MTU: u32 = 65_535;

/// Stand-ins of one host.
pub struct Parents<'a> {
    /// The host's socket.
    pub netlink: &'a mut Netlink,
    /// What the host had when the round began.
    pub snapshot: &'a Snapshot,
    /// Numbers for new ones.
    pub indexes: &'a Indexes,
    /// The programs that switch between them.
    pub dataplane: &'a Dataplane,
}

impl Target for Parents<'_> {
    type Key = IfName;
    type Desired = ParentPlan;
    type Actual = Link;
    type Error = KernelError;

    fn read_back(&mut self) -> Result<BTreeMap<IfName, Link>, KernelError> {
        for index in self.dataplane.parents() {
            // Asked of the kernel what is not known: births make new ones meanwhile.
            if self.snapshot.link(index).is_none() && link::find_index(self.netlink, index)?.is_none() {
                self.forget(index)?;
            }
        }
        Ok(super::ours(self.snapshot, |link| parent::is_stand_in(&link.name)))
    }

    /// Programs are asked for by [`Parents::update`] alone, which is cheap to run again: parents are few.
    fn is_settled(&self, _: &IfName, _: &ParentPlan, _: &Link) -> bool {
        false
    }

    fn update(&mut self, name: &IfName, plan: &ParentPlan) -> Result<(), KernelError> {
        let outside = link::find(self.netlink, plan.outside.as_str())?;
        // The host's, which is that of all endpoints there.
        let mac = outside.as_ref().and_then(|link| link.mac).unwrap_or(MacAddr::NONE);
        let found = link::find(self.netlink, name.as_str())?;
        let index = match &found {
            Some(link) if link.is_ours() => link.index,
            Some(_) => return Err(KernelError::new("create link over the foreign", name.as_str(), Errno::EXIST)),
            None => super::create(self.netlink, self.indexes, name, |index| ifb::create_ifb(index, name, mac, MTU))
                .map_err(explain)?,
        };
        self.tell_programs(index, plan, outside.as_ref())?;
        let mut requests = Vec::new();
        let held = self.dataplane.hold_parent(index).map_err(|error| admissions::refused(index, &error))?;
        if held == Hold::ByFilters {
            requests.extend(self.filters(index, name)?);
        }
        if found.as_ref().is_some_and(|link| link.mac != Some(mac)) && outside.is_some() {
            requests.push(link::set(index, name.as_str(), Change { mac: Some(mac), ..Change::default() }));
        }
        if found.is_none_or(|link| !link.up) {
            requests.extend(veth::raise(index, name.as_str(), None));
        }
        self.netlink.run(&requests)
    }

    fn delete(&mut self, name: &IfName) -> Result<(), KernelError> {
        let Some(link) = link::find(self.netlink, name.as_str())? else { return Ok(()) };
        self.netlink.run(&[link::delete(link.index, &link.name)])?;
        self.forget(link.index)
    }
}

impl Parents<'_> {
    fn forget(&self, index: u32) -> Result<(), KernelError> {
        self.dataplane.forget_parent(index).map_err(|error| admissions::refused(index, &error))
    }

    /// The requests that put the filters there, if they are not.
    fn filters(&mut self, index: u32, name: &IfName) -> Result<Vec<Request>, KernelError> {
        let [out, into] = self.dataplane.parent_stubs();
        // What endpoints send leaves by it, and what they get comes in.
        let programs = Programs { out: into, into: out };
        let [out, into] = self.dataplane.parent_stub_ids();
        filter::missing(self.netlink, index, name.as_str(), &programs, [into, out])
    }

    fn tell_programs(&mut self, index: u32, plan: &ParentPlan, outside: Option<&Link>) -> Result<(), KernelError> {
        tell(self.dataplane, index, &entry(&plan.seat, outside, None))
    }
}

/// What the programs are to know of a link by which endpoints with this seat are on their segment. `listening` is the
/// number of the stand-in whose endpoints hear what is for many.
pub fn entry(seat: &Seat, outside: Option<&Link>, listening: Option<u32>) -> Parent {
    Parent {
        segment: parent::segment(seat),
        uplink: outside.filter(|link| link.up).map(|link| link.index),
        sibling: listening,
        mac: outside.and_then(|link| link.mac).unwrap_or(MacAddr::NONE),
        by_address: seat.shares_mac,
        routed: seat.is_routed(),
    }
}

/// Has the programs know it, if they do not.
pub fn tell(dataplane: &Dataplane, index: u32, parent: &Parent) -> Result<(), KernelError> {
    let refused = |error| admissions::refused(index, &error);
    if dataplane.has_parent(index, parent).map_err(refused)? {
        return Ok(());
    }
    dataplane.set_parent(index, parent).map_err(refused)
}

fn explain(error: KernelError) -> KernelError {
    if error.errno != Errno::OPNOTSUPP {
        return error;
    }
    KernelError { detail: "ipvlan networks need the kernel's module `ifb`: `modprobe ifb`".to_owned(), ..error }
}
