//! What the programs at the endpoints' doors know: who is behind each link, and which networks are joined.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use weft_dataplane::{Admission, Allowance, Dataplane, DataplaneError, HostAddress, Member, Peering, Seat, Set};
use weft_kernel::link::{self, GROUP_LIVE, Link};
use weft_kernel::{Errno, KernelError, Netlink, Snapshot};
use weft_model::{Endpoint, IfName, MacAddr, Network, NetworkName, fnv32};
use weft_reconcile::Target;

use super::endpoints;
use crate::attach::Attacher;
use crate::attachment;
use crate::ledger::Entry;
use crate::policies::Policies;

/// What `endpoint` may do, with the numbers of the links it needs, as far as they are there.
pub fn admission(endpoint: &Endpoint, Detours { throttle, bridge, parent }: Detours) -> Option<Admission> {
    if !endpoint.attachment.has_door() {
        return None;
    }
    let seat = match &endpoint.seat {
        Some(seat) => Some(Seat {
            parent: parent?.index,
            segment: attachment::parent::segment(seat),
            is_station: endpoint.mac.is_some(),
            link_local: endpoint.link_local()?,
            by_switch: seat.by_switch,
            without_host: !seat.host_access,
            // Who has a link of its own is known by that. nsfs numbers by 32 bits.
            namespace: if seat.shares_mac { u32::try_from(endpoint.netns.inode).unwrap_or(0) } else { 0 },
        }),
        None => None,
    };
    Some(Admission {
        addresses: endpoint.addresses.iter().map(IpNet::addr).collect(),
        allowed: endpoint.allowed_addresses.iter().copied().collect(),
        mac: endpoint.mac.or_else(|| parent?.mac)?,
        network: number(&endpoint.network),
        mtu: endpoint.mtu,
        isolated: endpoint.isolated,
        // What is for an endpoint on a parent comes to it by the segment's switch.
        by_stack: !endpoint.limits.is_empty() || seat.is_some(),
        throttle,
        bridge,
        seat,
        leases: endpoint.asks_by_link(),
    })
}

/// Numbers of links by which packets of an endpoint go.
#[derive(Debug, Clone, Copy)]
pub struct Detours {
    /// The one that holds back what it sends.
    pub throttle: Option<u32>,
    /// The bridge that its link is a port of.
    pub bridge: Option<u32>,
    /// The link by which it is on its segment.
    pub parent: Option<ParentLink>,
}

/// The link by which an endpoint is on its segment.
#[derive(Debug, Clone, Copy)]
pub struct ParentLink {
    /// Its number.
    pub index: u32,
    /// Its Ethernet address.
    pub mac: Option<MacAddr>,
}

impl ParentLink {
    /// That of `endpoint`, if it is on a segment: its own, or the one that `find` has by its name.
    pub fn of(endpoint: &Endpoint, find: impl FnOnce(&IfName) -> Option<Self>) -> Option<Self> {
        match attachment::parent::stand_in(endpoint.seat.as_ref()?) {
            Some(stand_in) => find(&stand_in),
            None => Some(Self { index: endpoint.link?, mac: None }),
        }
    }
}

impl From<&Link> for ParentLink {
    fn from(link: &Link) -> Self {
        Self { index: link.index, mac: link.mac }
    }
}

impl Detours {
    /// Those of `endpoint` that `snapshot` has.
    pub fn of(endpoint: &Endpoint, snapshot: &Snapshot) -> Self {
        let number = |name: &IfName| snapshot.links.get(name.as_str()).map(|link| link.index);
        let throttle = endpoint.limits.egress.and_then(|_| number(&endpoint.key.throttle_link()));
        let stand_in = |name: &IfName| snapshot.links.get(name.as_str()).map(ParentLink::from);
        let parent = ParentLink::of(endpoint, stand_in);
        Self { throttle, bridge: attachment::bridge_name(endpoint).as_ref().and_then(number), parent }
    }
}

/// The programs' number for a network: the same after a restart, by which entries of an earlier agent stay right.
pub fn number(network: &NetworkName) -> u32 {
    fnv32(&["network", network.as_str()])
}

/// Which networks are joined: every pair, both ways.
pub fn peerings<'a>(networks: impl Iterator<Item = &'a Network> + Clone) -> BTreeMap<Peering, ()> {
    let pairs = networks.clone().flat_map(|from| networks.clone().map(move |to| (from, to)));
    let joined = pairs.filter(|(from, to)| from.name != to.name && from.is_joined_to(to));
    joined.map(|(from, to)| (Peering { from: number(&from.name), to: number(&to.name) }, ())).collect()
}

/// What endpoints of each network may send from besides their own addresses.
pub fn allowances<'a>(networks: impl Iterator<Item = &'a Network>) -> BTreeMap<Allowance, ()> {
    let of = |network: &'a Network| {
        let number = number(&network.name);
        network.allowed_addresses.iter().map(move |net| (Allowance { network: number, prefix: net.trunc() }, ()))
    };
    networks.flat_map(of).collect()
}

/// The host's own addresses: those on its links, and others that `also` are its own.
pub fn hosts(snapshot: &Snapshot, also: impl Iterator<Item = IpAddr>) -> BTreeMap<HostAddress, ()> {
    let on_links = snapshot.addresses.iter().map(|(_, net)| net.addr());
    on_links.chain(also).map(|address| (HostAddress(address), ())).collect()
}

/// The refusal in the words of the kernel's other ones.
pub fn refused(link: u32, error: &dyn Display) -> KernelError {
    KernelError {
        detail: error.to_string(),
        ..KernelError::new("admit what is behind link", link.to_string(), Errno::IO)
    }
}

/// Lets an endpoint in, with what policies say of it in force before that.
pub fn admit(
    dataplane: &Dataplane,
    policies: Option<&Policies>,
    link: u32,
    endpoint: &Endpoint,
    admission: &Admission,
) -> Result<(), KernelError> {
    let admitted = policies.map_or(Ok(()), |policies| policies.admit(dataplane, link, endpoint));
    admitted.map_err(|error| refused(link, &error))?;
    dataplane.admit(link, admission).map_err(|error| refused(link, &error))
}

/// Lets nothing of it pass any more, and forgets what policies say of it.
pub fn dismiss(dataplane: &Dataplane, policies: &Policies, link: u32) -> Result<(), KernelError> {
    let dismissed = dataplane.dismiss(link).and_then(|()| policies.dismiss(dataplane, link));
    dismissed.map_err(|error| refused(link, &error))
}

/// Endpoints of one host, by the number of their link.
pub struct Admissions<'a> {
    /// The host's socket.
    pub netlink: &'a mut Netlink,
    /// The endpoints, which die and are born meanwhile.
    pub attacher: &'a Attacher,
}

impl Target for Admissions<'_> {
    type Key = u32;
    type Desired = (Arc<Endpoint>, Admission);
    type Actual = ();
    type Error = KernelError;

    fn read_back(&mut self) -> Result<BTreeMap<u32, ()>, KernelError> {
        Ok(self.attacher.dataplane().admitted().into_iter().map(|link| (link, ())).collect())
    }

    fn is_settled(&self, link: &u32, (endpoint, admission): &(Arc<Endpoint>, Admission), (): &()) -> bool {
        let dataplane = self.attacher.dataplane();
        dataplane.has_admitted(*link, admission).unwrap_or(false)
            && self.attacher.policies().has_admitted(dataplane, *link, endpoint)
    }

    /// Only if the endpoint is still the one that was seen, behind the link that was seen: it may have died and been
    /// born again since, and its addresses be another's.
    fn update(&mut self, link: &u32, (endpoint, admission): &(Arc<Endpoint>, Admission)) -> Result<(), KernelError> {
        let (netlink, dataplane) = (&mut *self.netlink, self.attacher.dataplane());
        let admit = |entry: Option<Entry>| {
            let is_same = entry.is_some_and(|entry| Arc::ptr_eq(&entry.endpoint, endpoint));
            if !is_same || endpoints::number(netlink, endpoint)? != Some(*link) {
                return Ok(());
            }
            admit(dataplane, Some(self.attacher.policies()), *link, endpoint, admission)
        };
        // One that is busy is being born or dying.
        self.attacher.alone(&endpoint.key, admit).unwrap_or(Ok(()))
    }

    /// Not of a link that lives: that is a newborn's, whose record the round has not seen.
    fn delete(&mut self, link: &u32) -> Result<(), KernelError> {
        if self.attacher.ledger().entries().any(|entry| entry.endpoint.link == Some(*link)) {
            return Ok(());
        }
        match link::find_index(self.netlink, *link)? {
            Some(found) if found.group == GROUP_LIVE => Ok(()),
            _ => dismiss(self.attacher.dataplane(), self.attacher.policies(), *link),
        }
    }
}

/// What is in one of the programs' sets.
pub struct Members<'a, T: Member>(pub &'a Set<T>);

impl<T: Member> Target for Members<'_, T> {
    type Key = T;
    type Desired = ();
    type Actual = ();
    type Error = DataplaneError;

    fn read_back(&mut self) -> Result<BTreeMap<T, ()>, DataplaneError> {
        Ok(self.0.list().into_iter().map(|member| (member, ())).collect())
    }

    fn is_settled(&self, _: &T, (): &(), (): &()) -> bool {
        true
    }

    fn update(&mut self, member: &T, (): &()) -> Result<(), DataplaneError> {
        self.0.insert(member)
    }

    fn delete(&mut self, member: &T) -> Result<(), DataplaneError> {
        self.0.remove(member)
    }
}
