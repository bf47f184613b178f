//! What the node must be, made true: one [`Target`](weft_reconcile::Target) per kind of kernel object.

pub mod admissions;
pub mod bridges;
pub mod endpoints;
pub mod forward;
pub mod lanes;
pub mod parents;
pub mod reach;
pub mod routes;
pub mod settings;
pub mod short_way;
pub mod sources;
pub mod stations;
pub mod table;
pub mod uplinks;
pub mod vlans;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use weft_kernel::link::{self, GROUP_LIVE, Link};
use weft_kernel::{Errno, KernelError, Netlink, Request, Snapshot};
use weft_model::IfName;

/// The first number that weft gives its links: far above what the kernel counts up to.
const INDEX_FIRST: u32 = 1 << 20;
/// How many numbers are used before they begin anew.
const INDEX_SPAN: u32 = 1 << 28;
/// How many numbers are tried when one is taken.
const INDEX_ROUNDS_MAX: u32 = 64;

/// weft's own links that `snapshot` has and that are meant.
fn ours(snapshot: &Snapshot, is_meant: impl Fn(&Link) -> bool) -> BTreeMap<IfName, Link> {
    let ours = snapshot.links.values().filter(|link| link.group == GROUP_LIVE && is_meant(link));
    ours.filter_map(|link| Some((IfName::parse(link.name.as_str()).ok()?, link.clone()))).collect()
}

/// Makes a link on the host with a number that is free; gives back that number.
fn create(
    netlink: &mut Netlink,
    indexes: &Indexes,
    name: &IfName,
    request: impl Fn(u32) -> Request,
) -> Result<u32, KernelError> {
    for _ in 0..INDEX_ROUNDS_MAX {
        let index = indexes.next();
        match netlink.run(&[request(index)]) {
            Ok(()) => return Ok(index),
            Err(error) if error.errno == Errno::BUSY => {}
            // Older kernels say so for a number that is taken, too.
            Err(error) if error.is_present() && link::find_index(netlink, index)?.is_some() => {}
            Err(error) => return Err(error),
        }
    }
    Err(KernelError::new("find a free number for link", name.as_str(), Errno::BUSY))
}

/// Numbers for new links. The kernel refuses one that is taken, and then the next is tried.
#[derive(Debug, Default)]
pub struct Indexes(AtomicU32);

impl Indexes {
    /// Goes on behind `index`, which an earlier agent gave.
    pub fn skip(&self, index: u32) {
        if Self::is_ours(index) {
            self.0.fetch_max(index - INDEX_FIRST + 1, Ordering::Relaxed);
        }
    }

    /// Whether a link of this number is one of weft's.
    pub fn is_ours(index: u32) -> bool {
        (INDEX_FIRST..INDEX_FIRST + INDEX_SPAN).contains(&index)
    }

    /// The next number.
    pub fn next(&self) -> u32 {
        INDEX_FIRST + self.0.fetch_add(1, Ordering::Relaxed) % INDEX_SPAN
    }
}
