//! One endpoint's link that sits on another: an upper device of a parent, made directly inside the container.
//!
//! ```text
//!   container namespace                    host namespace
//!   addresses, routes ── macvlan, ipvlan ── parent, with weft's programs ── link to the outside
//! ```
//!
//! There is no end of it on the host. So it is known by its number alone, which weft chooses, and its death is not
//! heard of: who wants to know looks whether its namespace is still there.

use std::os::fd::AsFd as _;
use std::sync::mpsc::{TryRecvError, sync_channel};

use rustix::io::Errno;
use weft_model::{IpvlanMode, MacAddr};
use weft_netns::Netns;

use crate::endpoint::BirthError;
use crate::interior::{Interior, enter};
use crate::link::{self, Link, ipvlan, macvlan};
use crate::neighbour;
use crate::netlink::{KernelError, Netlink};

/// What kind of device it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpperKind {
    /// With an Ethernet address of its own.
    Macvlan,
    /// With its parent's. All of one parent are of one mode: the kernel has that for them all.
    Ipvlan(IpvlanMode),
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
    /// Its Ethernet address, where it has not its parent's.
    pub inside_mac: Option<MacAddr>,
    /// Bytes.
    pub mtu: u32,
    /// What it is inside.
    pub interior: Interior,
}

impl UpperPlan {
    /// The address that the link to the outside has to take in besides its own.
    fn filter(&self) -> Option<(u32, MacAddr)> {
        Some((self.uplink?, self.inside_mac?))
    }
}

/// Makes the link and everything on it. The programs must know of the endpoint by then. On failure something may be
/// left: [`delete`] takes it away.
pub fn create(host: &mut Netlink, netns: &Netns, plan: &UpperPlan) -> Result<(), BirthError> {
    let make = match plan.kind {
        UpperKind::Macvlan => macvlan::create_macvlan(plan, netns.as_fd()),
        UpperKind::Ipvlan(mode) => ipvlan::create_ipvlan(plan, mode, netns.as_fd()),
    };
    if let Err(error) = host.run(&[make]) {
        let mut inside = netns.within(Netlink::open)??;
        if error.is_present() && link::find(&mut inside, plan.interior.name.as_str())?.is_some() {
            return Err(BirthError::IfNameTaken(plan.interior.name.clone()));
        }
        return Err(error.into());
    }
    let filter = plan.filter().map(|(uplink, mac)| neighbour::take_in(uplink, mac));
    host.run(&filter.into_iter().collect::<Vec<_>>())?;
    let mut inside = plan.interior.furnish(netns)?;
    // An ipvlan link has no state of its own, and passes packets as soon as it is up.
    if plan.kind == UpperKind::Macvlan {
        link::wait_running(&mut inside, plan.interior.name.as_str())?;
    }
    Ok(())
}

/// How such a link is found again when it must go.
#[derive(Debug, Clone, Copy)]
pub struct UpperRemains {
    /// Its number.
    pub index: u32,
    /// What the link to the outside takes in for it.
    pub filter: Option<(u32, MacAddr)>,
}

/// Takes an endpoint's link away, whatever is left of it: when it returns, nothing works, and its name is free.
pub fn delete(host: &mut Netlink, netns: Option<&Netns>, remains: UpperRemains) -> Result<(), KernelError> {
    if let Some(netns) = netns {
        let mut inside = enter(netns, remains.index)?;
        if let Some(found) = find_live(&mut inside, remains.index)? {
            vanish(netns, &found)?;
        }
    }
    let filter = remains.filter.map(|(uplink, mac)| neighbour::leave_out(uplink, mac));
    host.run(&filter.into_iter().collect::<Vec<_>>())
}

/// Deletes a link, and waits until it is out of sight, a millisecond or so. The kernel takes it down and off its lists,
/// and answers 10 to 20 ms later, when nobody can have seen it there (net/core/dev.c, `netdev_run_todo`). To take a
/// macvlan down first would last as long (drivers/net/macvlan.c, `macvlan_hash_del`), with all others who change links
/// waiting.
fn vanish(netns: &Netns, found: &Link) -> Result<(), KernelError> {
    let [mut deleting, mut looking] = [enter(netns, found.index)?, enter(netns, found.index)?];
    let (said, answer) = sync_channel(1);
    let request = link::delete(found.index, &found.name);
    let delete = move || {
        // Nobody waits for it any more, if all goes well.
        let _ = said.send(deleting.run(&[request]));
    };
    let started = std::thread::Builder::new().name("deletion".to_owned()).spawn(delete);
    started.map_err(|e| KernelError::io("start thread", "deletion", &e))?;
    // Who looks waits for the kernel's lock on links, so this goes round as often as it takes the thread to begin.
    while find_live(&mut looking, found.index)?.is_some() {
        match answer.try_recv() {
            Ok(answer) => return answer,
            Err(TryRecvError::Empty) => std::thread::yield_now(),
            Err(TryRecvError::Disconnected) => {
                return Err(KernelError::new("delete link", &found.name, Errno::CANCELED));
            }
        }
    }
    Ok(())
}

fn find_live(inside: &mut Netlink, index: u32) -> Result<Option<Link>, KernelError> {
    Ok(link::find_index(inside, index)?.filter(|found| found.group == link::GROUP_LIVE))
}
