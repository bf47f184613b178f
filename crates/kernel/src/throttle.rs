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

/// The first Linux of which it was seen that an ifb takes what a program sends to it: 6.1 drops it all, since the
/// packet bears no mark of a redirection (`ifb_xmit` in drivers/net/ifb.c).
const RELEASE_MIN: (u32, u32) = (6, 12);

/// Why this kernel holds nothing back, if so.
pub fn lack() -> Option<String> {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    is_older(&release).then(|| {
        let (major, minor) = RELEASE_MIN;
        format!("this kernel ({release}) drops what a program sends to an ifb: use Linux {major}.{minor} or newer")
    })
}

fn is_older(release: &str) -> bool {
    let mut numbers = release.split(['.', '-', '+']).map(|part| part.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < RELEASE_MIN
}

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
    if let Some(detail) = lack() {
        return Err(KernelError { detail, ..KernelError::new("hold back by link", name, Errno::OPNOTSUPP) });
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_by_their_numbers() {
        assert!(["6.1.0-56-amd64", "5.15.0", "6.11-rc1"].iter().all(|release| is_older(release)));
        assert!(!["6.12.117+deb12-amd64", "6.18.44", "7.3.4+deb13-amd64"].iter().any(|release| is_older(release)));
    }
}
