//! Ethernet segments: parents, by which endpoints are there, and the links to the outside.

use std::collections::BTreeSet;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;
use std::sync::{MutexGuard, PoisonError};

use weft_model::MacAddr;

use crate::hold::{Held, Hold};
use crate::load::{Telling, load_segments};
use crate::{Dataplane, DataplaneError, abi};

/// What the names of pins begin with that hold the programs of parents, and of links to the outside.
const PARENT_PIN: &str = "weft_parent_";
const UPLINK_PIN: &str = "weft_uplink_";

/// A link of weft's own by which endpoints are on a segment: one endpoint's, or what many sit on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// Number of the segment that it is part of.
    pub segment: u32,
    /// Number of the link to the outside, while there is one.
    pub uplink: Option<u32>,
    /// Of one endpoint's: number of the parent on the segment that many sit on, if these hear what is for many.
    pub sibling: Option<u32>,
    /// The host's Ethernet address on the segment.
    pub mac: MacAddr,
    /// Its endpoints are told apart by their IP addresses.
    pub by_address: bool,
    /// What they send goes by the host's routes.
    pub routed: bool,
}

/// A link to the outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uplink {
    /// Number of its segment.
    pub segment: u32,
    /// Number of the parent whose endpoints are told apart by their IP addresses.
    pub by_address: Option<u32>,
    /// Its Ethernet address.
    pub mac: MacAddr,
}

/// Whether the programs of segments are in force. Loading takes the kernel longer than that of all others together, so
/// a host without segments does without.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Segments {
    /// Not those of this agent, which would tell so much.
    Unserved(Telling),
    /// They are.
    Served,
}

impl Parent {
    fn entry(&self) -> abi::parent {
        abi::parent {
            segment: self.segment,
            uplink: self.uplink.unwrap_or(0),
            sibling: self.sibling.unwrap_or(0),
            flags: u32::from(self.by_address) * abi::PARENT_BY_ADDRESS + u32::from(self.routed) * abi::PARENT_ROUTED,
            mac: self.mac.0,
            ..abi::parent::default()
        }
    }
}

impl Uplink {
    fn entry(&self) -> abi::uplink {
        abi::uplink {
            segment: self.segment,
            by_address: self.by_address.unwrap_or(0),
            mac: self.mac.0,
            ..abi::uplink::default()
        }
    }
}

impl Dataplane {
    /// Has what endpoints send by the link with this number be switched so.
    pub fn set_parent(&self, link: u32, parent: &Parent) -> Result<(), DataplaneError> {
        self.serve_segments()?;
        self.parents.put(&link, &parent.entry())?;
        self.settings.renew()
    }

    /// Puts the programs on the parent, if they are not there. It must be in the calling thread's namespace.
    pub fn hold_parent(&self, link: u32) -> Result<Hold, DataplaneError> {
        self.held_parents().put(link, [&self.stub_parent_in, &self.stub_parent_out])
    }

    /// Whether the programs know the parent just so, and are this agent's.
    pub fn has_parent(&self, link: u32, parent: &Parent) -> Result<bool, DataplaneError> {
        Ok(self.are_segments_served() && self.parents.get(&link)? == Some(parent.entry()))
    }

    fn are_segments_served(&self) -> bool {
        matches!(*self.segments(), Segments::Served)
    }

    /// Puts the programs of segments in force, before the first of them is needed, or in place of an earlier agent's.
    fn serve_segments(&self) -> Result<(), DataplaneError> {
        let mut segments = self.segments();
        if let Segments::Unserved(telling) = *segments {
            load_segments(&self.root, telling)?.put()?;
            *segments = Segments::Served;
        }
        Ok(())
    }

    fn segments(&self) -> MutexGuard<'_, Segments> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Numbers of all parents that the programs know or hold.
    pub fn parents(&self) -> Vec<u32> {
        with_held(self.parents.keys(), self.held_parents())
    }

    /// Nothing passes by the parent any more, which is gone.
    pub fn forget_parent(&self, link: u32) -> Result<(), DataplaneError> {
        self.held_parents().remove(link)?;
        self.parents.remove(&link)?;
        self.settings.renew()
    }

    /// The programs for filters on a parent, where it cannot hold them otherwise: of what endpoints send, and of what
    /// they get.
    pub fn parent_stubs(&self) -> [BorrowedFd<'_>; 2] {
        [self.stub_parent_out.as_fd(), self.stub_parent_in.as_fd()]
    }

    /// The kernel's numbers of [`Dataplane::parent_stubs`].
    pub fn parent_stub_ids(&self) -> [u32; 2] {
        [self.stub_parent_out.id(), self.stub_parent_in.id()]
    }

    /// The programs for filters on a link to the outside, where it cannot hold them otherwise: of what comes in, and of
    /// what the host sends.
    pub fn uplink_stubs(&self) -> [BorrowedFd<'_>; 2] {
        [self.stub_uplink_in.as_fd(), self.stub_uplink_out.as_fd()]
    }

    /// The kernel's numbers of [`Dataplane::uplink_stubs`].
    pub fn uplink_stub_ids(&self) -> [u32; 2] {
        [self.stub_uplink_in.id(), self.stub_uplink_out.id()]
    }

    /// Has what comes in by the link with this number, and what the host sends by it, be given to endpoints. The link
    /// must be in the calling thread's namespace. No birth has to wait for the programs of segments afterwards.
    pub fn set_uplink(&self, link: u32, uplink: &Uplink) -> Result<Hold, DataplaneError> {
        self.serve_segments()?;
        self.uplinks.put(&link, &uplink.entry())?;
        self.held_uplinks().put(link, [&self.stub_uplink_in, &self.stub_uplink_out])
    }

    /// Whether the programs know the link to the outside just so, are this agent's, and are held in front of it.
    pub fn has_uplink(&self, link: u32, uplink: &Uplink) -> Result<bool, DataplaneError> {
        let is_known = self.uplinks.get(&link)? == Some(uplink.entry());
        Ok(is_known && self.are_segments_served() && self.held_uplinks().has(link))
    }

    /// Numbers of all links to the outside that the programs know or hold.
    pub fn uplinks(&self) -> Vec<u32> {
        with_held(self.uplinks.keys(), self.held_uplinks())
    }

    /// Leaves a link to the outside alone.
    pub fn forget_uplink(&self, link: u32) -> Result<(), DataplaneError> {
        self.held_uplinks().remove(link)?;
        self.uplinks.remove(&link)
    }

    fn held_parents(&self) -> Held<'_> {
        Held { root: &self.root, prefix: PARENT_PIN }
    }

    fn held_uplinks(&self) -> Held<'_> {
        Held { root: &self.root, prefix: UPLINK_PIN }
    }
}

/// Numbers of links to the outside that hold programs, without an agent: of what an earlier one pinned in `root`. Where
/// they are held by filters (before Linux 6.6), there is none to be found.
pub fn uplinks_held(root: &Path) -> Vec<u32> {
    Held { root, prefix: UPLINK_PIN }.links().collect()
}

/// Numbers of links that the programs know, or hold.
fn with_held(known: Vec<u32>, held: Held<'_>) -> Vec<u32> {
    let all: BTreeSet<u32> = known.into_iter().chain(held.links()).collect();
    all.into_iter().collect()
}
