//! One endpoint's link that sits on another: an upper device of a parent, made directly inside the container.
//!
//! ```text
//!   container namespace                    host namespace
//!   addresses, routes ── ipvlan ── parent, with weft's programs ── link to the outside
//! ```
//!
//! There is no end of it on the host. So it is known by its number alone, which weft chooses, and its death is not
//! heard of: who wants to know looks whether its namespace is still there.

use std::os::fd::AsFd as _;
use std::sync::mpsc::{TryRecvError, sync_channel};

use rustix::io::Errno;
use weft_model::IpvlanMode;
use weft_netns::Netns;

use crate::endpoint::BirthError;
use crate::interior::{Interior, enter};
use crate::link::{self, Link, ipvlan};
use crate::netlink::{KernelError, Netlink};

/// Everything that such a link needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpperPlan {
    /// What its container's stack leaves to the host's. All of one parent have one: the kernel has that for them all.
    pub mode: IpvlanMode,
    /// Number of the parent.
    pub parent: u32,
    /// Bytes.
    pub mtu: u32,
    /// What it is inside.
    pub interior: Interior,
}

/// Makes the link and everything on it. The programs must know of the endpoint by then. On failure something may be
/// left: [`delete`] takes it away.
pub fn create(host: &mut Netlink, netns: &Netns, plan: &UpperPlan) -> Result<(), BirthError> {
    let make = ipvlan::create_ipvlan(plan, netns.as_fd());
    if let Err(error) = host.run(&[make]) {
        let mut inside = netns.within(Netlink::open)??;
        if error.is_present() && link::find(&mut inside, plan.interior.name.as_str())?.is_some() {
            return Err(BirthError::IfNameTaken(plan.interior.name.clone()));
        }
        return Err(error.into());
    }
    // It has no state of its own, and passes packets as soon as it is up.
    plan.interior.furnish(netns)?;
    Ok(())
}

/// Takes an endpoint's link away, if it is there: when it returns, nothing works, and its name is free.
pub fn delete(netns: &Netns, index: u32) -> Result<(), KernelError> {
    let mut inside = enter(netns, index)?;
    match find_live(&mut inside, index)? {
        Some(found) => vanish(netns, &found),
        None => Ok(()),
    }
}

/// Deletes a link, and waits until it is out of sight, a millisecond or so. The kernel takes it down and off its lists,
/// and answers 10 to 20 ms later, when nobody can have seen it there (net/core/dev.c, `netdev_run_todo`).
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
