//! The host's links to the outside, as far as endpoints' links sit on them: the programs there, and the frames that
//! they take in besides those to the host's own address.

use std::collections::{BTreeMap, BTreeSet};

use weft_dataplane::{Hold, Uplink};
use weft_kernel::filter::{self, Programs};
use weft_kernel::link::{self, Change, Link};
use weft_kernel::{Errno, KernelError, Netlink, neighbour};
use weft_model::{IfName, MacAddr};
use weft_reconcile::Target;

use super::admissions;
use crate::attach::Attacher;
use crate::attachment::parent;
use crate::graph::UplinkPlan;

/// Links to the outside of one host.
pub struct Uplinks<'a> {
    /// The host's socket.
    pub netlink: &'a mut Netlink,
    /// The endpoints, which die and are born meanwhile.
    pub attacher: &'a Attacher,
}

impl Target for Uplinks<'_> {
    type Key = IfName;
    type Desired = UplinkPlan;
    type Actual = Link;
    type Error = KernelError;

    fn read_back(&mut self) -> Result<BTreeMap<IfName, Link>, KernelError> {
        let mut found = BTreeMap::new();
        for index in self.attacher.dataplane().uplinks() {
            match link::find_index(self.netlink, index)? {
                Some(link) => found.extend(IfName::parse(link.name.as_str()).ok().map(|name| (name, link))),
                None => self
                    .attacher
                    .dataplane()
                    .forget_uplink(index)
                    .map_err(|error| admissions::refused(index, &error))?,
            }
        }
        Ok(found)
    }

    /// Asked for by [`Uplinks::update`], link by link: they are few.
    fn is_settled(&self, _: &IfName, _: &UplinkPlan, _: &Link) -> bool {
        false
    }

    fn update(&mut self, name: &IfName, plan: &UplinkPlan) -> Result<(), KernelError> {
        let absent = || KernelError {
            detail: "endpoints of its networks reach each other only, until it is there".to_owned(),
            ..KernelError::new("find parent", name.as_str(), Errno::NODEV)
        };
        let link = link::find(self.netlink, name.as_str())?.ok_or_else(absent)?;
        self.tell_programs(&link, plan)?;
        let mut requests = Vec::new();
        if !link.takes_all_groups {
            let change = Change { takes_all_groups: Some(true), ..Change::default() };
            requests.push(link::set(link.index, &link.name, change));
        }
        // Read before the ledger: what is taken in and has no record then is nobody's.
        let taken: BTreeSet<_> = neighbour::list_taken_in(self.netlink, link.index)?.into_iter().collect();
        let stations = self.stations(name);
        let missing = stations.difference(&taken).filter(|mac| Some(**mac) != link.mac);
        requests.extend(missing.map(|mac| neighbour::take_in(link.index, *mac)));
        let left = taken.difference(&stations).filter(|mac| mac.is_of_address());
        requests.extend(left.map(|mac| neighbour::leave_out(link.index, *mac)));
        self.netlink.run(&requests)?;
        if link.up {
            return Ok(());
        }
        let detail = "endpoints of its networks reach each other only, until it is up".to_owned();
        Err(KernelError { detail, ..KernelError::new("send by parent", name.as_str(), Errno::NETDOWN) })
    }

    fn delete(&mut self, name: &IfName) -> Result<(), KernelError> {
        let Some(link) = link::find(self.netlink, name.as_str())? else { return Ok(()) };
        self.attacher.dataplane().forget_uplink(link.index).map_err(|error| admissions::refused(link.index, &error))?;
        let requests = leave(self.netlink, &link)?;
        self.netlink.run(&requests)
    }
}

/// The requests that leave a link to the outside as it was before it was a parent.
pub fn leave(netlink: &mut Netlink, link: &Link) -> Result<Vec<weft_kernel::Request>, KernelError> {
    let taken = neighbour::list_taken_in(netlink, link.index)?;
    let own = taken.into_iter().filter(|mac| mac.is_of_address());
    let mut requests: Vec<_> = own.map(|mac| neighbour::leave_out(link.index, mac)).collect();
    let change = Change { takes_all_groups: Some(false), ..Change::default() };
    requests.push(link::set(link.index, &link.name, change));
    if filter::attached(netlink, link.index)?.is_some() {
        requests.extend(filter::detach(link.index, &link.name));
    }
    Ok(requests)
}

impl Uplinks<'_> {
    /// Ethernet addresses of all endpoints that sit there.
    fn stations(&self, outside: &IfName) -> BTreeSet<MacAddr> {
        let ledger = self.attacher.ledger();
        let here = ledger
            .entries()
            .map(|entry| &entry.endpoint)
            .filter(|endpoint| endpoint.seat.as_ref().is_some_and(|seat| parent::outside(seat) == *outside));
        here.filter_map(|endpoint| endpoint.mac).collect()
    }

    fn tell_programs(&mut self, link: &Link, plan: &UplinkPlan) -> Result<(), KernelError> {
        let mut number = |name: &Option<IfName>| match name {
            Some(name) => Ok(link::find(self.netlink, name.as_str())?.map(|link| link.index)),
            None => Ok(None),
        };
        let uplink = Uplink {
            segment: parent::segment(&plan.seat),
            by_address: number(&plan.by_address)?,
            mac: link.mac.unwrap_or(MacAddr::NONE),
        };
        let refused = |error| admissions::refused(link.index, &error);
        if self.attacher.dataplane().has_uplink(link.index, &uplink).map_err(refused)? {
            return Ok(());
        }
        if self.attacher.dataplane().set_uplink(link.index, &uplink).map_err(refused)? == Hold::InFront {
            return Ok(());
        }
        let [from_wire, from_host] = self.attacher.dataplane().uplink_stubs();
        let programs = Programs { out: from_wire, into: from_host };
        let ids = self.attacher.dataplane().uplink_stub_ids();
        let missing = filter::missing(self.netlink, link.index, &link.name, &programs, ids)?;
        self.netlink.run(&missing)
    }
}
