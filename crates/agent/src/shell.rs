//! Threads, sockets and clocks: everything that waits.

pub mod catcher;
pub mod connection;
pub mod dhcp;
pub mod exporter;
pub mod lessee;
pub mod listener;
pub mod lock;
pub mod plugins;
pub mod reaper;
pub mod reconciler;
pub mod server;
pub mod watch;
pub mod workers;

use std::path::Path;

use ipnet::{IpNet, Ipv6Net};
use weft_kernel::link::{self, Link};
use weft_kernel::{KernelError, Netlink, route};
use weft_model::fnv64;

use crate::networks::Surroundings;
use crate::probe;

/// What this host is told apart by: systemd's machine id, else its name.
fn machine_id() -> String {
    let read = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    if read.trim().is_empty() { host_name() } else { read.trim().to_owned() }
}

/// The host's name.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Resident memory, in bytes (proc(5), statm).
pub fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

/// What new pools must keep clear of: the host's own routes, and the /48 that IPv6 pools are picked from (RFC 4193,
/// with the machine's id in place of a random number).
pub fn surroundings(netlink: &mut Netlink) -> Result<Surroundings, KernelError> {
    let routes = route::list(netlink)?;
    let foreign = routes.into_iter().filter(|route| route.protocol != route::PROTOCOL && route.to.prefix_len() > 0);
    let routes: Vec<IpNet> = foreign.map(|route| route.to).collect();
    let [a, b, c, d, e, ..] = fnv64(&["site", &machine_id()]).to_be_bytes();
    let site = Ipv6Net::new_assert(std::net::Ipv6Addr::from([0xfd, a, b, c, d, e, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), 48);
    let links = link::list(netlink)?;
    let unfit = |link: &Link| unfit(link, links.iter().find(|other| Some(other.index) == link.master));
    let links = links.iter().map(|link| (link.name.clone(), unfit(link))).collect();
    Ok(Surroundings { routes, site, links, missing: probe::missing(netlink)? })
}

/// Why a link of the host's, with the one that it is a port of, cannot be what others sit on.
fn unfit(link: &Link, master: Option<&Link>) -> Option<String> {
    let is_wireless = Path::new("/sys/class/net").join(&link.name).join("phy80211").exists();
    if link.is_ours() {
        Some("is weft's own: name one of the host's".to_owned())
    } else if let Some(master) = master {
        Some(format!(
            "is a port of {}, which has all that comes in: name that, or take the link out of it",
            master.name
        ))
    } else if !link.is_ethernet {
        Some("is no Ethernet link: name one that is".to_owned())
    } else if is_wireless {
        let remedy =
            "is wireless, and its access point drops frames of addresses that it does not know: use a routed network";
        Some(remedy.to_owned())
    } else {
        None
    }
}
