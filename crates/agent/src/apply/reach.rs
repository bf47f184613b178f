//! How the host reaches endpoints that answer no question of whose an address is (ipvlan's modes `l3` and `l3s`): a
//! route and a permanent neighbour for each address, on the link to the outside, whose program hands over what is for
//! them.
//!
//! ```text
//!   10.7.0.5 dev eno1 scope link proto 119
//!   10.7.0.5 dev eno1 lladdr (eno1's own) PERMANENT
//! ```
//!
//! No neighbour is without its route, by which it is known as weft's.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use weft_kernel::neighbour::{self, Neighbour};
use weft_kernel::route::{self, Hop, PROTOCOL};
use weft_kernel::{KernelError, Netlink, Request, Snapshot};
use weft_model::{Endpoint, MacAddr};
use weft_reconcile::Target;

use crate::attach::Attacher;
use crate::attachment::parent;

/// Routes and neighbours of one host.
pub struct Reach<'a> {
    /// The host's socket.
    pub netlink: &'a mut Netlink,
    /// What the host had when the round began.
    pub snapshot: &'a Snapshot,
    /// The endpoints, which die and are born meanwhile.
    pub attacher: &'a Attacher,
}

impl Target for Reach<'_> {
    type Key = (IpAddr, u32);
    type Desired = (Arc<Endpoint>, Neighbour);
    type Actual = Option<MacAddr>;
    type Error = KernelError;

    fn read_back(&mut self) -> Result<BTreeMap<(IpAddr, u32), Option<MacAddr>>, KernelError> {
        let snapshot = self.snapshot;
        let own = snapshot.routes.iter().filter(|route| route.protocol == PROTOCOL);
        let key = own.filter_map(|route| match route.hop {
            Hop::Link(index) => Some((route.to.addr(), index)),
            _ => None,
        });
        let key = key.filter(|(_, index)| snapshot.link(*index).is_some_and(parent::may_be_outside));
        let mac = |(ip, index)| snapshot.neighbours.iter().find(|at| (at.ip, at.index) == (ip, index));
        Ok(key.map(|key| (key, mac(key).map(|neighbour| neighbour.mac))).collect())
    }

    fn is_settled(&self, _: &(IpAddr, u32), (_, wanted): &(Arc<Endpoint>, Neighbour), mac: &Option<MacAddr>) -> bool {
        *mac == Some(wanted.mac)
    }

    /// Only if the endpoint is still the one that was seen.
    fn update(&mut self, _: &(IpAddr, u32), wanted: &(Arc<Endpoint>, Neighbour)) -> Result<(), KernelError> {
        let (endpoint, neighbour) = wanted;
        let netlink = &mut *self.netlink;
        let set = self.attacher.alone(&endpoint.key, |entry| match entry {
            Some(entry) if Arc::ptr_eq(&entry.endpoint, endpoint) => netlink.run(&set(*neighbour)),
            _ => Ok(()),
        });
        // One that is busy is being born or dying.
        set.unwrap_or(Ok(()))
    }

    /// Not of an address that somebody has: that is a newborn's. The ledger is kept meanwhile.
    fn delete(&mut self, (ip, index): &(IpAddr, u32)) -> Result<(), KernelError> {
        let ledger = self.attacher.ledger();
        let has = |entry: &crate::ledger::Entry| entry.endpoint.addresses.iter().any(|net| net.addr() == *ip);
        if ledger.entries().any(has) {
            return Ok(());
        }
        self.netlink.run(&unset(Neighbour { index: *index, ip: *ip, mac: MacAddr::NONE }))
    }
}

/// What there must be for `endpoint`.
pub fn desired(
    endpoint: &Arc<Endpoint>,
    snapshot: &Snapshot,
) -> impl Iterator<Item = ((IpAddr, u32), (Arc<Endpoint>, Neighbour))> {
    let outside = endpoint.seat.as_ref().and_then(|seat| snapshot.links.get(parent::outside(seat).as_str()));
    let reached = outside.map_or_else(Vec::new, |outside| parent::reached_by(endpoint, outside));
    reached.into_iter().map(|at| ((at.ip, at.index), (Arc::clone(endpoint), at)))
}

/// The requests that make an endpoint's address reached.
pub fn set(neighbour: Neighbour) -> [Request; 2] {
    [route::set(IpNet::from(neighbour.ip), Hop::Link(neighbour.index)), neighbour::set(neighbour)]
}

/// Those that take that back.
pub fn unset(neighbour: Neighbour) -> [Request; 2] {
    [neighbour::delete(neighbour), route::delete(IpNet::from(neighbour.ip), Hop::Link(neighbour.index))]
}
