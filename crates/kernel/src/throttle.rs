//! What holds back what a container sends, where nothing inside reaches: a link on the host of its own, with a bucket.
//!
//! ```text
//!   host's end ── weft's program ── redirect ──► wefti… (ifb, bucket) ──► host's end, behind its filters ──► stack
//! ```

use rustix::io::Errno;
use weft_model::{IfName, Limit, MacAddr};

use crate::endpoint::INDEX_ROUNDS_MAX;
use crate::link::{self, Link, ifb, veth};
use crate::netlink::{KernelError, Netlink};
use crate::{bucket, route};

/// The kind of its link.
const KIND: &str = "ifb";

/// A throttle to be made.
#[derive(Debug)]
pub struct Throttle<'a> {
    /// Its link.
    pub link: &'a IfName,
    /// Bytes, as the container's link has them.
    pub mtu: u32,
    /// What it holds to.
    pub limit: Limit,
}

/// Makes the throttle, or the one that is there what it must be; gives back the number of its link, to which packets
/// may be sent from then on.
pub fn make(host: &mut Netlink, throttle: &Throttle<'_>, next_index: impl FnMut() -> u32) -> Result<u32, KernelError> {
    let name = throttle.link.as_str();
    let index = match link::find(host, name)? {
        Some(found) if is_throttle(&found) => found.index,
        Some(_) => return Err(KernelError::new("create link over the foreign", name, Errno::EXIST)),
        None => create(host, throttle, next_index)?,
    };
    let mut requests = vec![bucket::set(index, name, throttle.limit)];
    requests.extend(veth::raise(index, name, None));
    requests.push(route::delete_multicast(index));
    host.run(&requests)?;
    Ok(index)
}

/// Whether a link is one of weft's throttles.
pub fn is_throttle(link: &Link) -> bool {
    link.kind == KIND && link.is_ours()
}

fn create(
    host: &mut Netlink,
    throttle: &Throttle<'_>,
    mut next_index: impl FnMut() -> u32,
) -> Result<u32, KernelError> {
    let name = throttle.link;
    for _ in 0..INDEX_ROUNDS_MAX {
        let index = next_index();
        match host.run(&[ifb::create_ifb(index, name, MacAddr::derived(&["ifb", name.as_str()]), throttle.mtu)]) {
            Ok(()) => return Ok(index),
            Err(error) if error.errno == Errno::BUSY || error.is_present() => {}
            Err(error) if error.errno == Errno::OPNOTSUPP => {
                let detail = "egress limits need the kernel's module `ifb`: `modprobe ifb`".to_owned();
                return Err(KernelError { detail, ..error });
            }
            Err(error) => return Err(error),
        }
    }
    Err(KernelError::new("find a free number for link", name.as_str(), Errno::BUSY))
}
