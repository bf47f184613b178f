//! What the kernel has, read in one go, so that desired and actual state can be compared without a system call each.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use weft_model::MacAddr;

use crate::address;
use crate::bucket::{self, Bucket};
use crate::endpoint::LinkPlan;
use crate::filter::{self, ProgramIds};
use crate::link::{self, GROUP_LIVE, Link};
use crate::neighbour::{self, Neighbour};
use crate::netlink::{KernelError, Netlink};
use crate::route::{self, Hop, Route};

/// Links, addresses, routes and neighbours of one namespace.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// By name.
    pub links: BTreeMap<String, Link>,
    /// Their names by number.
    names: BTreeMap<u32, String>,
    /// Number of the link, address with its length.
    pub addresses: BTreeSet<(u32, IpNet)>,
    /// Routes of the main table, and weft's own of the local table.
    pub routes: BTreeSet<Route>,
    /// Permanent neighbours.
    pub neighbours: BTreeSet<Neighbour>,
    /// The programs in weft's two filters, of links that have both, by the link's number; [`Snapshot::read_filters`]
    /// fills it.
    pub filtered: BTreeMap<u32, ProgramIds>,
    /// What links hold to, by their number; [`Snapshot::read_filters`] fills it.
    pub buckets: BTreeMap<u32, Bucket>,
    /// Static entries of bridges: port, address behind it.
    pub forwarding: BTreeSet<(u32, MacAddr)>,
}

impl Snapshot {
    /// Reads everything in the socket's namespace.
    pub fn read(netlink: &mut Netlink) -> Result<Self, KernelError> {
        // Links first: whatever is read of a link that is here is then no older than the link.
        let links = link::list(netlink)?;
        let mut snapshot = Self {
            addresses: address::list(netlink)?.into_iter().collect(),
            routes: route::list(netlink)?.into_iter().collect(),
            neighbours: neighbour::list(netlink)?.into_iter().collect(),
            forwarding: neighbour::list_forwarding(netlink)?.into_iter().collect(),
            ..Self::default()
        };
        links.into_iter().for_each(|link| snapshot.add(link));
        Ok(snapshot)
    }

    /// Reads which of weft's endpoint links have its filters, two requests for each, and what links hold to: so only
    /// who compares endpoints asks.
    pub fn read_filters(&mut self, netlink: &mut Netlink) -> Result<(), KernelError> {
        self.buckets = bucket::list(netlink)?.into_iter().collect();
        self.read_filtered(netlink)
    }

    /// Reads which of the links that are known have weft's filters.
    pub fn read_filtered(&mut self, netlink: &mut Netlink) -> Result<(), KernelError> {
        for link in self.links.values().filter(|link| link.kind == "veth" && link.group == GROUP_LIVE) {
            self.filtered.extend(filter::attached(netlink, link.index)?.map(|ids| (link.index, ids)));
        }
        Ok(())
    }

    /// What concerns one endpoint on the host, at a cost that does not grow with the others.
    pub fn read_endpoint(netlink: &mut Netlink, plan: &LinkPlan) -> Result<Self, KernelError> {
        let mut snapshot = Self::default();
        let Some(link) = link::find(netlink, plan.host.as_str())? else { return Ok(snapshot) };
        snapshot.addresses = address::list_of(netlink, link.index)?.into_iter().collect();
        let reached_by = plan.reached_by(link.index);
        for ip in plan.addresses.iter().map(IpNet::addr) {
            snapshot.neighbours.extend(neighbour::find(netlink, reached_by, ip)?);
        }
        for net in &plan.host_routes {
            snapshot.routes.extend(route::find(netlink, net.addr())?);
        }
        if plan.port.is_some() && neighbour::has_forwarding(netlink, link.index, plan.inside_mac)? {
            snapshot.forwarding.insert((link.index, plan.inside_mac));
        }
        let throttle = link::find(netlink, plan.throttle.as_str())?;
        for link in throttle.into_iter().chain([link]) {
            snapshot.buckets.extend(bucket::find(netlink, link.index)?.map(|bucket| (link.index, bucket)));
            snapshot.add(link);
        }
        snapshot.read_filtered(netlink)?;
        Ok(snapshot)
    }

    /// Adds a link.
    pub fn add(&mut self, link: Link) {
        self.names.insert(link.index, link.name.clone());
        self.links.insert(link.name.clone(), link);
    }

    /// The link with this number.
    pub fn link(&self, index: u32) -> Option<&Link> {
        self.links.get(self.names.get(&index)?)
    }

    /// Whether a usable route leads to `to` by `hop`, whoever set it.
    pub fn has_route(&self, to: &IpNet, hop: Hop) -> bool {
        let least = Route { to: *to, hop, metric: 0, protocol: 0, is_usable: false };
        self.routes.range(least..).next().is_some_and(|route| route.to == *to && route.hop == hop)
    }
}
