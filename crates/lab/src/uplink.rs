//! The host's way out.
//!
//! ```text
//!  host                                   outside
//!  eth0 198.51.100.2/24  ─────veth─────►  eth0 198.51.100.1/24
//!       2001:db8:100::2/64                     2001:db8:100::1/64
//!  default route ──►                      no route back to any container
//! ```

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::Result;

use crate::Host;

/// The namespace at the far end.
pub const OUTSIDE: &str = "outside";

/// The host's IPv4 address, from a range reserved for documentation (RFC 5737).
pub const HOST_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
/// The outside's IPv4 address, the host's gateway.
pub const OUTSIDE_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// The host's IPv6 address, from a range reserved for documentation (RFC 3849).
pub const HOST_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x100, 0, 0, 0, 0, 2);
/// The outside's IPv6 address, the host's gateway.
pub const OUTSIDE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x100, 0, 0, 0, 0, 1);

/// How often it is asked whether a link passes packets, every 10 ms: ten times as long as it may take.
const RUNNING_LOOKS_MAX: u32 = 1000;

/// Makes the outside and the link to it.
pub(crate) fn lay(host: &Host, mtu: u32) -> Result<()> {
    host.netns(OUTSIDE)?;
    let ends = format!(
        "link set lo up\n\
         link add eth0 mtu {mtu} type veth peer name eth0 mtu {mtu} netns {OUTSIDE}\n\
         addr add {HOST_V4}/24 dev eth0\n\
         addr add {HOST_V6}/64 dev eth0 nodad\n\
         link set eth0 up\n\
         route add default via {OUTSIDE_V4}\n\
         route add default via {OUTSIDE_V6}\n"
    );
    let outside = format!(
        "link set lo up\n\
         addr add {OUTSIDE_V4}/24 dev eth0\n\
         addr add {OUTSIDE_V6}/64 dev eth0 nodad\n\
         link set eth0 up\n"
    );
    host.write("/run/lab/uplink.ip", ends)?;
    host.write("/run/lab/outside.ip", outside)?;
    host.run(&["ip", "-batch", "/run/lab/uplink.ip"])?;
    host.outside().run(&["ip", "-batch", "/run/lab/outside.ip"])?;
    // The kernel tells a link by a work queue that it has a carrier, up to a second later (net/core/link_watch.c), and
    // IPv6 and servers wait for that. Since Linux 6.8 the question itself runs that work.
    let running = format!(
        "n=0; until ip -o link show eth0 | grep -q 'state UP'; do \
         n=$((n+1)); [ $n -lt {RUNNING_LOOKS_MAX} ] || exit 1; sleep 0.01; done"
    );
    host.run(&["sh", "-c", &running])?;
    host.outside().run(&["sh", "-c", &running]).map(drop)
}
