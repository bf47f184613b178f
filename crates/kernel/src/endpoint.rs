//! One endpoint's link, from nothing to usable and back.
//!
//! ```text
//!   host namespace                                   container namespace
//!   routes, neighbours ── host end ══ veth ══ inside ── addresses, neighbours, routes
//!                            │
//!                    (bridge, throttle)
//! ```
//!
//! Birth makes both ends down, then one batch per namespace. The end that is raised last works at once, the other only
//! when the kernel's link watch has told its namespace, which costs least where links are few: so the container's end
//! is raised first. Death takes both ends down and gives their names free; the deletion, which takes the kernel 16 ms,
//! is left to [`reap`].

use std::net::IpAddr;

use ipnet::IpNet;
use rustix::io::Errno;
use weft_model::{IfName, Limits, MacAddr};
use weft_netns::{Netns, NetnsError};

use crate::filter::{self, ProgramIds, Programs};
use crate::link::bridge::PORTS_MAX;
use crate::link::{self, Change, GROUP_DEAD, LOOPBACK, veth};
use crate::neighbour::{self, Neighbour};
use crate::netlink::{KernelError, Netlink, Request};
use crate::route::{self, Hop};
use crate::snapshot::Snapshot;
use crate::throttle::{self, Throttle};
use crate::{address, bucket, sysctl};

/// How many link numbers are tried when one is taken.
pub(crate) const INDEX_ROUNDS_MAX: u32 = 64;

/// Everything that an endpoint's link needs, on both sides. Says what must be, not how it comes about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkPlan {
    /// The host's end.
    pub host: IfName,
    /// Its Ethernet address.
    pub host_mac: MacAddr,
    /// Addresses on the host's end.
    pub host_addresses: Vec<IpNet>,
    /// Destinations that the host reaches through its end, or through the bridge that its end is a port of.
    pub host_routes: Vec<IpNet>,
    /// The bridge that the host's end is a port of.
    pub port: Option<Port>,
    /// The container's end.
    pub inside: IfName,
    /// Its Ethernet address.
    pub inside_mac: MacAddr,
    /// Addresses inside.
    pub addresses: Vec<IpNet>,
    /// Next hops inside, with their Ethernet addresses.
    pub gateways: Vec<(IpAddr, MacAddr)>,
    /// Routes inside: destination, and next hop where that is not the destination itself.
    pub routes: Vec<(IpNet, Option<IpAddr>)>,
    /// Bytes.
    pub mtu: u32,
    /// How fast the container may be sent to, and may send.
    pub limits: Limits,
    /// The link that holds back what it sends, where that is limited.
    pub throttle: IfName,
}

/// A port of a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port {
    /// Number of the bridge.
    pub bridge: u32,
    /// Parted from other isolated ports.
    pub isolated: bool,
}

/// Why an endpoint's link could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BirthError {
    /// The container has an interface of that name.
    #[error("the container already has an interface {0}: remove it, or choose another name")]
    IfNameTaken(IfName),
    /// The bridge has no port left.
    #[error("the bridge has all of its {PORTS_MAX} ports taken: use a `routed` network, or a second one")]
    BridgeFull,
    /// The container's namespace cannot be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// The kernel refused.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

/// What a birth needs that is not the kernel's: numbers, and the programs at the endpoint's door.
pub trait Door {
    /// A number for a link. One that is taken is skipped.
    fn next_index(&mut self) -> u32;

    /// The programs that see every packet at the host's end, if any do.
    fn programs(&self) -> Option<Programs<'_>>;

    /// The link has this number, and its throttle that one if it has one; nothing can pass yet: time to tell the
    /// programs of it.
    fn admit(&mut self, index: u32, throttle: Option<u32>) -> Result<(), KernelError>;
}

/// Numbers alone: no program is at the door.
impl<F: FnMut() -> u32> Door for F {
    fn next_index(&mut self) -> u32 {
        self()
    }

    fn programs(&self) -> Option<Programs<'_>> {
        None
    }

    fn admit(&mut self, _: u32, _: Option<u32>) -> Result<(), KernelError> {
        Ok(())
    }
}

/// Makes the link and everything on it. On failure something may be left: [`delete`] takes it away.
pub fn create(host: &mut Netlink, netns: &Netns, plan: &LinkPlan, door: &mut dyn Door) -> Result<(), BirthError> {
    let index = create_pair(host, netns, plan, door)?;
    let throttle = match plan.throttle() {
        Some(throttle) => Some(throttle::make(host, &throttle, || door.next_index())?),
        None => None,
    };
    door.admit(index, throttle)?;
    let mut inside = netns.within(|| prepare_inside(plan))??;
    match inside.run(&inside_requests(plan, index)) {
        // IPv6 is switched off in this namespace (Docker does that); the network says otherwise.
        Err(error) if error.errno == Errno::ACCESS => {
            netns.within(|| sysctl::write(&inet6(plan, "disable_ipv6"), "0"))??;
            inside.run(&inside_requests(plan, index))?;
        }
        other => other?,
    }
    host.run(&host_requests(plan, index, door.programs().as_ref()))?;
    link::wait_running(&mut inside, plan.inside.as_str())?;
    if plan.port.is_some() {
        // A bridge forwards to a port that the link watch has seen down between birth and rise only when it has looked
        // again.
        link::wait_running(host, plan.host.as_str())?;
    }
    Ok(())
}

/// Opens a socket inside and makes the link deaf to routers: weft alone says how the container is reached. A link that
/// listened would also ask for routers, and leave a learned neighbour on the host at every birth.
fn prepare_inside(plan: &LinkPlan) -> Result<Netlink, KernelError> {
    if plan.has_ipv6() {
        sysctl::write(&inet6(plan, "accept_ra"), "0")?;
    }
    Netlink::open()
}

fn inet6(plan: &LinkPlan, setting: &str) -> String {
    format!("net/ipv6/conf/{}/{setting}", plan.inside)
}

impl LinkPlan {
    /// The link by which the host's stack reaches the container: the bridge, or the host's end with this number.
    pub(crate) fn reached_by(&self, index: u32) -> u32 {
        self.port.map_or(index, |port| port.bridge)
    }

    fn hop(&self, index: u32) -> Hop {
        Hop::Link(self.reached_by(index))
    }

    /// The throttle that the limits ask for.
    pub fn throttle(&self) -> Option<Throttle<'_>> {
        Some(Throttle { link: &self.throttle, mtu: self.mtu, limit: self.limits.egress? })
    }

    fn has_ipv6(&self) -> bool {
        self.addresses.iter().any(|net| net.addr().is_ipv6())
    }
}

fn create_pair(host: &mut Netlink, netns: &Netns, plan: &LinkPlan, door: &mut dyn Door) -> Result<u32, BirthError> {
    use std::os::fd::AsFd as _;
    for _ in 0..INDEX_ROUNDS_MAX {
        let index = door.next_index();
        let pair = veth::Veth {
            index,
            host: &plan.host,
            host_mac: plan.host_mac,
            inside: &plan.inside,
            inside_mac: plan.inside_mac,
            mtu: plan.mtu,
            master: plan.port.map(|port| port.bridge),
            netns: netns.as_fd(),
        };
        match host.run(&[veth::create_pair(&pair)]) {
            Ok(()) => return Ok(index),
            Err(error) if error.errno == Errno::BUSY => {}
            Err(error) if error.errno == Errno::XFULL => return Err(BirthError::BridgeFull),
            Err(error) if error.is_present() => {
                let mut inside = netns.within(Netlink::open)??;
                if link::find(&mut inside, plan.inside.as_str())?.is_some() {
                    return Err(BirthError::IfNameTaken(plan.inside.clone()));
                }
                // Older kernels say so for a number that is taken, too; a host's end that is left over is not ours
                // to use.
                if link::find(host, plan.host.as_str())?.is_some() {
                    return Err(error.into());
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(KernelError::new("find a free number for link", plan.host.as_str(), Errno::BUSY).into())
}

/// What the host's side needs once the link is there. Each request may be run again.
fn host_requests(plan: &LinkPlan, index: u32, programs: Option<&Programs<'_>>) -> Vec<Request> {
    let attach = programs.map(|programs| filter::attach(index, plan.host.as_str(), programs));
    let mut requests: Vec<Request> = attach.into_iter().flatten().collect();
    requests.extend(plan.limits.ingress.map(|limit| bucket::set(index, plan.host.as_str(), limit)));
    requests.extend(veth::raise(index, plan.host.as_str(), plan.port.map(|port| port.isolated)));
    requests.extend(plan.host_addresses.iter().map(|net| address::add(index, *net)));
    if plan.has_ipv6() {
        requests.push(route::delete_multicast(index));
    }
    if plan.port.is_some() {
        requests.push(neighbour::set_forwarding(index, plan.inside_mac));
    }
    requests.extend(host_neighbours(plan, index).map(neighbour::set));
    requests.extend(plan.host_routes.iter().map(|net| route::set(*net, plan.hop(index))));
    requests
}

/// The container as the host's neighbour: on its link, or on the bridge.
fn host_neighbours(plan: &LinkPlan, index: u32) -> impl Iterator<Item = Neighbour> {
    let index = plan.reached_by(index);
    plan.addresses.iter().map(move |net| Neighbour { index, ip: net.addr(), mac: plan.inside_mac })
}

fn inside_requests(plan: &LinkPlan, index: u32) -> Vec<Request> {
    let mut requests = vec![raise_loopback()];
    requests.extend(veth::raise(index, plan.inside.as_str(), None));
    requests.extend(plan.addresses.iter().map(|net| address::add(index, *net)));
    let ipv6 = plan.addresses.iter().map(IpNet::addr).filter(IpAddr::is_ipv6);
    requests.extend(ipv6.map(|ip| route::set_local(ip, index)));
    if plan.has_ipv6() {
        requests.push(address::add(index, link_local(plan.inside_mac)));
    }
    requests.extend(plan.gateways.iter().map(|(ip, mac)| neighbour::set(Neighbour { index, ip: *ip, mac: *mac })));
    requests.extend(plan.gateways.iter().map(|(ip, _)| route::set(IpNet::from(*ip), Hop::Link(index))));
    requests.extend(plan.routes.iter().map(|(to, via)| route::set(*to, Hop::by(*via, index))));
    requests
}

fn link_local(mac: MacAddr) -> IpNet {
    IpNet::new(IpAddr::V6(mac.link_local()), 64).expect("64 is a length of IPv6 prefixes")
}

fn raise_loopback() -> Request {
    link::set(LOOPBACK, "lo", Change { up: Some(true), ..Change::default() })
}

/// Raises loopback in `netns`: all that an endpoint without a link needs.
pub fn create_loopback(netns: &Netns) -> Result<(), BirthError> {
    let mut inside = netns.within(Netlink::open)??;
    Ok(inside.run(&[raise_loopback()])?)
}

/// The requests that mend the host's side where `actual` falls short of `plan`; none if all is well, `None` if the link
/// itself is gone, which nobody can mend without the container's namespace.
pub fn repairs(
    plan: &LinkPlan,
    programs: Option<(&Programs<'_>, ProgramIds)>,
    actual: &Snapshot,
) -> Option<Vec<Request>> {
    let link = actual.links.get(plan.host.as_str())?;
    let index = link.index;
    let whole = link.up
        && programs.is_none_or(|(_, ids)| actual.filtered.get(&index) == Some(&ids))
        && link.master == plan.port.map(|port| port.bridge)
        && plan.host_addresses.iter().all(|net| actual.addresses.contains(&(index, *net)))
        && host_neighbours(plan, index).all(|neighbour| actual.neighbours.contains(&neighbour))
        && (plan.port.is_none() || actual.forwarding.contains(&(index, plan.inside_mac)))
        && plan.host_routes.iter().all(|net| actual.has_route(net, plan.hop(index)));
    let mut requests: Vec<_> = hold_to(plan, index, actual).into_iter().collect();
    if !whole {
        requests.extend(plan.port.map(|port| veth::enslave(index, plan.host.as_str(), port.bridge)));
        requests.extend(host_requests(plan, index, programs.map(|(programs, _)| programs)));
    }
    Some(requests)
}

/// Has the host's end hold to the limit of `plan`, if it does not.
fn hold_to(plan: &LinkPlan, index: u32, actual: &Snapshot) -> Option<Request> {
    let found = actual.buckets.get(&index).copied();
    match plan.limits.ingress {
        Some(limit) if found != Some(limit.into()) => Some(bucket::set(index, plan.host.as_str(), limit)),
        None if found.is_some() => Some(bucket::delete(index, plan.host.as_str())),
        _ => None,
    }
}

/// Whether `actual` has the throttle that `plan` asks for, and none that it does not.
pub fn is_throttled(plan: &LinkPlan, actual: &Snapshot) -> bool {
    let found = actual.links.get(plan.throttle.as_str());
    match (plan.limits.egress, found) {
        (None, None) => true,
        (Some(limit), Some(link)) => link.up && actual.buckets.get(&link.index) == Some(&limit.into()),
        _ => false,
    }
}

/// How a link is found again when it must go.
#[derive(Debug, Clone)]
pub struct Remains<'a> {
    /// The host's end.
    pub host: &'a IfName,
    /// On a bridge: its number, and the container as its neighbour. What hangs on the host's end goes with it.
    pub on_bridge: Vec<Neighbour>,
    /// The link that holds back what the container sends, if one may be there.
    pub throttle: Option<&'a IfName>,
}

/// Takes an endpoint's link away, whatever is left of it: when it returns, nothing works and no name is taken any more.
/// The links themselves wait for [`reap`], unless the container's namespace is out of reach: then the host's end is
/// deleted at once, which takes the other with it. Gives back the number of the link that was there.
pub fn delete(host: &mut Netlink, netns: Option<&Netns>, remains: &Remains<'_>) -> Result<Option<u32>, KernelError> {
    let mut requests = Vec::new();
    for neighbour in &remains.on_bridge {
        requests.push(route::delete(IpNet::from(neighbour.ip), Hop::Link(neighbour.index)));
        requests.push(neighbour::delete(*neighbour));
    }
    let found = link::find(host, remains.host.as_str())?;
    if let Some(found) = &found {
        match netns {
            Some(netns) => {
                bury_inside(netns, found.index)?;
                requests.extend(link::bury(found.index, &found.name));
            }
            None => requests.push(link::delete(found.index, &found.name)),
        }
    }
    if let Some(name) = remains.throttle
        && let Some(throttle) = link::find(host, name.as_str())?.filter(throttle::is_throttle)
    {
        requests.extend(link::bury(throttle.index, &throttle.name));
    }
    host.run(&requests)?;
    Ok(found.map(|found| found.index))
}

/// Buries the container's end, by whatever name the container knows it now. Both ends were given the same number, so no
/// other interface, of weft's or not, is taken for it.
fn bury_inside(netns: &Netns, index: u32) -> Result<(), KernelError> {
    let refused =
        |e: NetnsError| KernelError::new("enter", format!("the namespace of link {index}: {e}"), Errno::NODEV);
    let mut inside = netns.within(Netlink::open).map_err(refused)??;
    match link::find_index(&mut inside, index)? {
        Some(found) if found.group == link::GROUP_LIVE => inside.run(&link::bury(index, &found.name)),
        _ => Ok(()),
    }
}

/// Deletes every buried link. Takes some 16 ms, or 0.7 ms each if there are many; births go on meanwhile.
pub fn reap(host: &mut Netlink) -> Result<(), KernelError> {
    host.run(&[link::delete_group(GROUP_DEAD)])
}
