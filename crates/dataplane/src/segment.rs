//! Ethernet segments: parents, on which endpoints' links sit, and the links to the outside that they stand in for.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{MutexGuard, PoisonError};

use libbpf_rs::libbpf_sys::{self, BPF_TCX_EGRESS, BPF_TCX_INGRESS};
use libbpf_rs::{Link, ProgramHandle};
use rustix::io::Errno;
use weft_model::MacAddr;

use crate::load::{Telling, layout, load_segments};
use crate::{Dataplane, DataplaneError, Table, abi};

/// What the names of pins begin with that hold the programs of links to the outside; a number and a side follow.
const PIN: &str = "weft_uplink_";
/// The map of links to the outside.
pub(crate) const UPLINKS: &str = "weft_uplinks";

/// A link of weft's own that endpoints' links sit on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// Number of the segment that it is part of.
    pub segment: u32,
    /// Number of the link to the outside, while there is one.
    pub uplink: Option<u32>,
    /// Number of the other parent of the segment.
    pub sibling: Option<u32>,
    /// The host's Ethernet address on the segment.
    pub mac: MacAddr,
    /// Its endpoints are told apart by their IP addresses.
    pub by_address: bool,
}

/// A link to the outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uplink {
    /// Number of its segment.
    pub segment: u32,
    /// Number of the parent whose endpoints have Ethernet addresses of their own.
    pub by_mac: Option<u32>,
    /// Number of the parent whose endpoints are told apart by their IP addresses.
    pub by_address: Option<u32>,
    /// Its Ethernet address.
    pub mac: MacAddr,
}

/// Whether the programs of segments are in force. Loading takes the kernel longer than that of all others together, so
/// a host without parents does without.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Segments {
    /// Not those of this agent, which would tell so much.
    Unserved(Telling),
    /// They are.
    Served,
}

/// How the programs of a link to the outside are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// In front of those of others (tcx).
    InFront,
    /// Not at all: this kernel, before Linux 6.6, has filters only.
    ByFilters,
}

impl Parent {
    fn entry(&self) -> abi::parent {
        abi::parent {
            segment: self.segment,
            uplink: self.uplink.unwrap_or(0),
            sibling: self.sibling.unwrap_or(0),
            flags: if self.by_address { abi::PARENT_BY_ADDRESS } else { 0 },
            mac: self.mac.0,
            ..abi::parent::default()
        }
    }
}

impl Uplink {
    fn entry(&self) -> abi::uplink {
        abi::uplink {
            segment: self.segment,
            by_mac: self.by_mac.unwrap_or(0),
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

    /// Whether the programs know the parent just so, and are this agent's.
    pub fn has_parent(&self, link: u32, parent: &Parent) -> Result<bool, DataplaneError> {
        let is_served = matches!(*self.segments(), Segments::Served);
        Ok(is_served && self.parents.get(&link)? == Some(parent.entry()))
    }

    /// Puts the programs of segments in force, before the first parent is there, or in place of an earlier agent's.
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

    /// Numbers of all parents.
    pub fn parents(&self) -> Vec<u32> {
        self.parents.keys()
    }

    /// Lets nothing pass by the parent any more.
    pub fn forget_parent(&self, link: u32) -> Result<(), DataplaneError> {
        self.parents.remove(&link)?;
        self.settings.renew()
    }

    /// The programs for filters on a parent: of what endpoints send, and of what they get.
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
    /// must be in the calling thread's namespace.
    pub fn set_uplink(&self, link: u32, uplink: &Uplink) -> Result<Hold, DataplaneError> {
        self.uplinks.put(&link, &uplink.entry())?;
        let held = self.hold(link, BPF_TCX_INGRESS, &self.stub_uplink_in)?;
        if held == Hold::InFront {
            self.hold(link, BPF_TCX_EGRESS, &self.stub_uplink_out)?;
        }
        Ok(held)
    }

    /// Whether the programs know the link to the outside just so, and are held in front of it.
    pub fn has_uplink(&self, link: u32, uplink: &Uplink) -> Result<bool, DataplaneError> {
        let is_known = self.uplinks.get(&link)? == Some(uplink.entry());
        let hooks = [BPF_TCX_INGRESS, BPF_TCX_EGRESS];
        Ok(is_known && hooks.iter().all(|hook| is_held(&self.pin(link, *hook))))
    }

    /// Numbers of all links to the outside that the programs know or hold.
    pub fn uplinks(&self) -> Vec<u32> {
        uplinks(&self.root, self.uplinks.keys())
    }

    /// Leaves a link to the outside alone.
    pub fn forget_uplink(&self, link: u32) -> Result<(), DataplaneError> {
        for hook in [BPF_TCX_INGRESS, BPF_TCX_EGRESS] {
            let pin = self.pin(link, hook);
            match std::fs::remove_file(&pin) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(DataplaneError::new("remove", pin.display().to_string(), &error));
                }
                _ => {}
            }
        }
        self.uplinks.remove(&link)
    }

    fn pin(&self, link: u32, hook: u32) -> PathBuf {
        let side = if hook == BPF_TCX_INGRESS { "in" } else { "out" };
        self.root.join(format!("{PIN}{link}_{side}"))
    }

    /// Pins `program` to the link's hook, in front of what others put there, if it is not there.
    fn hold(&self, link: u32, hook: u32, program: &ProgramHandle) -> Result<Hold, DataplaneError> {
        let pin = self.pin(link, hook);
        if is_held(&pin) {
            return Ok(Hold::InFront);
        }
        let refused = |error: &dyn std::fmt::Display| DataplaneError::new("hold", format!("link {link}"), error);
        let options = libbpf_sys::bpf_link_create_opts {
            sz: size_of::<libbpf_sys::bpf_link_create_opts>() as u64,
            flags: libbpf_sys::BPF_F_BEFORE,
            ..libbpf_sys::bpf_link_create_opts::default()
        };
        let fd = program.as_fd().as_raw_fd();
        // SAFETY: the options live through the call; what is relative to no other program is in front of all.
        let held = unsafe { libbpf_sys::bpf_link_create(fd, link.cast_signed(), hook, &raw const options) };
        if held < 0 {
            return match Errno::from_raw_os_error(-held) {
                Errno::INVAL | Errno::OPNOTSUPP => Ok(Hold::ByFilters),
                error => Err(refused(&error)),
            };
        }
        // SAFETY: the kernel has just made it, for nobody else.
        let held = unsafe { OwnedFd::from_raw_fd(held) };
        keep(&held, &pin).map_err(|error| refused(&error))?;
        Ok(Hold::InFront)
    }
}

/// Pins what holds a program: it outlives the agent.
fn keep(held: &OwnedFd, pin: &Path) -> std::io::Result<()> {
    // One that holds nothing any more.
    let _ = std::fs::remove_file(pin);
    let path = std::ffi::CString::new(pin.as_os_str().as_encoded_bytes())?;
    // SAFETY: the path is a string that lives through the call.
    let pinned = unsafe { libbpf_sys::bpf_obj_pin(held.as_raw_fd(), path.as_ptr()) };
    if pinned < 0 { Err(std::io::Error::from_raw_os_error(-pinned)) } else { Ok(()) }
}

/// The same without an agent: of what an earlier one pinned in `root`.
pub fn uplinks_left(root: &Path) -> Vec<u32> {
    let maps = Table::<u32, abi::uplink>::open(&layout(root), UPLINKS);
    uplinks(root, maps.map_or_else(|_| Vec::new(), |table| table.keys()))
}

fn uplinks(root: &Path, known: Vec<u32>) -> Vec<u32> {
    let pins = std::fs::read_dir(root).into_iter().flatten().flatten();
    let held = pins.filter_map(|pin| pin.file_name().to_str()?.strip_prefix(PIN)?.split('_').next()?.parse().ok());
    let mut all: Vec<u32> = known.into_iter().chain(held).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Whether what is pinned there holds a program to a link that lives.
fn is_held(pin: &Path) -> bool {
    if !pin.exists() {
        return false;
    }
    let info = Link::open(pin).and_then(|link| link.info());
    info.is_ok_and(|info| matches!(info.info, libbpf_rs::query::LinkTypeInfo::Tcx(tcx) if tcx.ifindex != 0))
}
