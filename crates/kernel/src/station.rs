//! One endpoint's link on an Ethernet segment of the host's: a pair, of which one end is whole inside the container,
//! and the other for weft's programs alone.
//!
//! ```text
//!   container namespace                host namespace
//!   addresses, routes ── inside ══ host end, with weft's programs ┄┄ link to the outside
//! ```
//!
//! No device of the kernel's macvlan, though that is what it is for: all that such devices send leaves by the link they
//! share, where nobody can tell which of them sent it, and whoever is root over his own network namespace sets the mode
//! of his, and then reaches others there past every program (`macvlan_queue_xmit` in drivers/net/macvlan.c).

use std::os::fd::AsFd as _;

use weft_model::{IfName, MacAddr};
use weft_netns::Netns;

use crate::endpoint::{self, BirthError, Remains};
use crate::filter::{self, ProgramIds, Programs};
use crate::interior::Interior;
use crate::link::{self, Change, veth};
use crate::neighbour;
use crate::netlink::{KernelError, Netlink, Request};
use crate::route;
use crate::snapshot::Snapshot;

/// Bytes that the host's end passes: how large packets may be is for the other end to say.
const MTU: u32 = 65_535;

/// Everything that such a link needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StationPlan {
    /// The host's end.
    pub host: IfName,
    /// Number of the link to the outside, which has to take in frames to the endpoint's address.
    pub uplink: Option<u32>,
    /// The endpoint's Ethernet address.
    pub mac: MacAddr,
    /// Bytes.
    pub mtu: u32,
    /// What it is inside. The host's end has the same number.
    pub interior: Interior,
}

/// Makes the link and everything on it. The programs must know of the endpoint by then. On failure something may be
/// left: [`delete`] takes it away.
pub fn create(
    host: &mut Netlink,
    netns: &Netns,
    plan: &StationPlan,
    programs: &Programs<'_>,
) -> Result<(), BirthError> {
    let pair = veth::Veth {
        index: plan.interior.index,
        host: &plan.host,
        host_mac: MacAddr::derived(&["station", plan.host.as_str()]),
        inside: &plan.interior.name,
        inside_mac: plan.mac,
        mtu: plan.mtu,
        master: None,
        netns: netns.as_fd(),
    };
    if let Err(error) = host.run(&[veth::create_pair(&pair)]) {
        let mut inside = netns.within(Netlink::open)??;
        if error.is_present() && link::find(&mut inside, plan.interior.name.as_str())?.is_some() {
            return Err(BirthError::IfNameTaken(plan.interior.name.clone()));
        }
        return Err(error.into());
    }
    let mut inside = plan.interior.furnish(netns)?;
    let mut requests: Vec<_> = plan.uplink.map(|uplink| neighbour::take_in(uplink, plan.mac)).into_iter().collect();
    requests.extend(filter::attach(plan.interior.index, plan.host.as_str(), programs));
    requests.extend(raise(plan.interior.index, &plan.host));
    host.run(&requests)?;
    // The end that is raised last works at once.
    link::wait_running(&mut inside, plan.interior.name.as_str())?;
    Ok(())
}

fn raise(index: u32, host: &IfName) -> Vec<Request> {
    let mut requests = vec![link::set(index, host.as_str(), Change { mtu: Some(MTU), ..Change::default() })];
    requests.extend(veth::raise(index, host.as_str(), None));
    requests.push(route::delete_multicast(index));
    requests
}

/// The requests that mend the host's end where `actual` falls short; none if all is well, `None` if it is gone, which
/// nobody can mend without the container's namespace.
pub fn repairs(host: &IfName, (programs, ids): (&Programs<'_>, ProgramIds), actual: &Snapshot) -> Option<Vec<Request>> {
    let link = actual.links.get(host.as_str())?;
    if link.up && actual.filtered.get(&link.index) == Some(&ids) {
        return Some(Vec::new());
    }
    let mut requests: Vec<_> = filter::attach(link.index, host.as_str(), programs).into();
    requests.extend(raise(link.index, host));
    Some(requests)
}

/// Takes an endpoint's link away, whatever is left of it, as [`endpoint::delete`] does; `filter` is what the link to
/// the outside takes in for it.
pub fn delete(
    host: &mut Netlink,
    netns: Option<&Netns>,
    name: &IfName,
    filter: Option<(u32, MacAddr)>,
) -> Result<(), KernelError> {
    endpoint::delete(host, netns, &Remains { host: name, on_bridge: Vec::new(), throttle: None })?;
    let filter = filter.map(|(uplink, mac)| neighbour::leave_out(uplink, mac));
    host.run(&filter.into_iter().collect::<Vec<_>>())
}
