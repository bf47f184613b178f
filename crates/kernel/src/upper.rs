//! One endpoint's link that sits on another: an upper device of a parent, made directly inside the container.
//!
//! ```text
//!   container namespace                    host namespace
//!   addresses, routes ── macvlan, ipvlan ── parent, with weft's programs ── link to the outside
//! ```
//!
//! There is no end of it on the host. So it is known by its number alone, which weft chooses, and its death is not
//! heard of: who wants to know looks whether its namespace is still there.

use std::net::IpAddr;
use std::os::fd::AsFd as _;

use ipnet::IpNet;
use rustix::io::Errno;
use weft_model::{IfName, MacAddr};
use weft_netns::{Netns, NetnsError};

use crate::endpoint::BirthError;
use crate::link::{self, GROUP_DEAD, LOOPBACK, Link, ipvlan, macvlan};
use crate::netlink::{KernelError, Netlink, Request};
use crate::route::{self, Hop};
use crate::{address, neighbour, sysctl};

/// What kind of device it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpperKind {
    /// With an Ethernet address of its own.
    Macvlan,
    /// With its parent's.
    Ipvlan,
}

/// Everything that such a link needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpperPlan {
    /// Its kind.
    pub kind: UpperKind,
    /// Number of the parent.
    pub parent: u32,
    /// Number of the link to the outside, which has to take in frames to the endpoint's address.
    pub uplink: Option<u32>,
    /// Its own number.
    pub index: u32,
    /// Its name inside.
    pub inside: IfName,
    /// Its Ethernet address, where it has not its parent's.
    pub inside_mac: Option<MacAddr>,
    /// Its link-local address.
    pub link_local: IpAddr,
    /// Addresses inside.
    pub addresses: Vec<IpNet>,
    /// Routes inside: destination, and next hop where that is not the destination itself.
    pub routes: Vec<(IpNet, Option<IpAddr>)>,
    /// Bytes.
    pub mtu: u32,
    /// Routers on the segment say which addresses and routes there are (RFC 4862).
    pub listens_to_routers: bool,
}

impl UpperPlan {
    fn has_ipv6(&self) -> bool {
        self.listens_to_routers || self.addresses.iter().any(|net| net.addr().is_ipv6())
    }

    /// The address that the link to the outside has to take in besides its own.
    fn filter(&self) -> Option<(u32, MacAddr)> {
        Some((self.uplink?, self.inside_mac?))
    }
}

/// Makes the link and everything on it. The programs must know of the endpoint by then. On failure something may be
/// left: [`delete`] takes it away.
pub fn create(host: &mut Netlink, netns: &Netns, plan: &UpperPlan) -> Result<(), BirthError> {
    let make = match plan.kind {
        UpperKind::Macvlan => macvlan::create_macvlan(plan.index, plan, netns.as_fd()),
        UpperKind::Ipvlan => ipvlan::create_ipvlan(plan.index, plan, netns.as_fd()),
    };
    if let Err(error) = host.run(&[make]) {
        let mut inside = netns.within(Netlink::open)??;
        if error.is_present() && link::find(&mut inside, plan.inside.as_str())?.is_some() {
            return Err(BirthError::IfNameTaken(plan.inside.clone()));
        }
        return Err(error.into());
    }
    let filter = plan.filter().map(|(uplink, mac)| neighbour::take_in(uplink, mac));
    host.run(&filter.into_iter().collect::<Vec<_>>())?;
    let mut inside = netns.within(|| prepare(plan))??;
    match inside.run(&requests(plan)) {
        // IPv6 is switched off in this namespace; the network says otherwise.
        Err(error) if error.errno == Errno::ACCESS => {
            netns.within(|| sysctl::write(&inet6(plan, "disable_ipv6"), "0"))??;
            inside.run(&requests(plan))?;
        }
        other => other?,
    }
    link::wait_running(&mut inside, plan.inside.as_str())?;
    Ok(())
}

/// Opens a socket inside, and says whether routers are listened to.
fn prepare(plan: &UpperPlan) -> Result<Netlink, KernelError> {
    if plan.has_ipv6() {
        sysctl::write(&inet6(plan, "accept_ra"), if plan.listens_to_routers { "2" } else { "0" })?;
    }
    Netlink::open()
}

fn inet6(plan: &UpperPlan, setting: &str) -> String {
    format!("net/ipv6/conf/{}/{setting}", plan.inside)
}

fn requests(plan: &UpperPlan) -> Vec<Request> {
    let index = plan.index;
    // First what an agent that died has left buried here.
    let raise_loopback = link::set(LOOPBACK, "lo", link::Change { up: Some(true), ..Default::default() });
    let mut requests = vec![link::delete_group(GROUP_DEAD), raise_loopback];
    requests.extend(link::veth::raise(index, plan.inside.as_str(), None));
    requests.extend(plan.addresses.iter().map(|net| address::add(index, *net)));
    let ipv6 = plan.addresses.iter().map(IpNet::addr).filter(IpAddr::is_ipv6);
    requests.extend(ipv6.map(|ip| route::set_local(ip, index)));
    if plan.has_ipv6() {
        let link_local = IpNet::new(plan.link_local, 64).expect("64 is a length of IPv6 prefixes");
        requests.push(address::add(index, link_local));
    }
    requests.extend(plan.routes.iter().map(|(to, via)| route::set(*to, Hop::by(*via, index))));
    requests
}

/// How such a link is found again when it must go.
#[derive(Debug, Clone, Copy)]
pub struct UpperRemains {
    /// Its number.
    pub index: u32,
    /// What the link to the outside takes in for it.
    pub filter: Option<(u32, MacAddr)>,
}

/// Takes an endpoint's link away, whatever is left of it: when it returns, nothing works and its name is free. The link
/// itself waits in the container's namespace for [`reap`], or for the namespace's end.
pub fn delete(host: &mut Netlink, netns: Option<&Netns>, remains: UpperRemains) -> Result<(), KernelError> {
    if let Some(netns) = netns {
        let mut inside = enter(netns, remains.index)?;
        if let Some(found) = find_live(&mut inside, remains.index)? {
            inside.run(&link::bury(found.index, &found.name))?;
        }
    }
    let filter = remains.filter.map(|(uplink, mac)| neighbour::leave_out(uplink, mac));
    host.run(&filter.into_iter().collect::<Vec<_>>())
}

/// Deletes what was buried in `netns`.
pub fn reap(netns: &Netns) -> Result<(), KernelError> {
    enter(netns, 0)?.run(&[link::delete_group(GROUP_DEAD)])
}

fn enter(netns: &Netns, index: u32) -> Result<Netlink, KernelError> {
    let refused =
        |e: NetnsError| KernelError::new("enter", format!("the namespace of link {index}: {e}"), Errno::NODEV);
    netns.within(Netlink::open).map_err(refused)?
}

fn find_live(inside: &mut Netlink, index: u32) -> Result<Option<Link>, KernelError> {
    Ok(link::find_index(inside, index)?.filter(|found| found.group == link::GROUP_LIVE))
}
