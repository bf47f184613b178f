//! The host's own stack: it routes between the ends, and answers for each of them to the other one.

use anyhow::Result;
use weft_lab::Host;

use super::{Joined, pair};

/// In the host: it forwards, and tells either end at once that the way to the other one is by it.
const FORWARD: &str = "echo 1 > /proc/sys/net/ipv4/ip_forward && echo 1 > /proc/sys/net/ipv6/conf/all/forwarding";

pub(super) fn join(host: &Host) -> Result<Joined> {
    let joined = pair::lay(host)?;
    host.run(&["sh", "-c", FORWARD])?;
    let [client, server] = pair::DOORS;
    for (door, own, other) in [(client, pair::CLIENT, pair::SERVER), (server, pair::SERVER, pair::CLIENT)] {
        let [v4, v6] = own.map(address);
        let other_v6 = address(other[1]);
        let script = format!(
            "cd /proc/sys/net && ip route add {v4} dev {door} && ip -6 route add {v6} dev {door} && \
             echo 1 > ipv4/conf/{door}/proxy_arp && echo 0 > ipv4/neigh/{door}/proxy_delay && \
             echo 1 > ipv6/conf/{door}/proxy_ndp && echo 0 > ipv6/neigh/{door}/proxy_delay && \
             ip -6 neigh add proxy {other_v6} dev {door}"
        );
        host.run(&["sh", "-c", &script])?;
    }
    Ok(joined)
}

fn address(net: &str) -> &str {
    net.split('/').next().unwrap_or(net)
}
