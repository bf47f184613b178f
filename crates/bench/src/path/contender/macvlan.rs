//! What people make by hand on a link of the host's: two macvlan links, between which the kernel switches by itself.

use anyhow::Result;
use weft_lab::Host;

use super::{End, Joined, shape};
use crate::network::UPLINK;
use crate::plugin::IFNAME;

/// Addresses of the uplink's network that nobody else has.
const CLIENT: [&str; 2] = ["198.51.100.11/24", "2001:db8:100::11/64"];
const SERVER: [&str; 2] = ["198.51.100.12/24", "2001:db8:100::12/64"];

pub(super) fn join(host: &Host) -> Result<Joined> {
    let (client, server) = (lay_one(host, "client", CLIENT)?, lay_one(host, "server", SERVER)?);
    Ok(Joined { client, server, _weftd: None })
}

fn lay_one(host: &Host, name: &str, nets: [&str; 2]) -> Result<End> {
    let (netns, shape) = (host.netns(name)?, shape());
    let make = format!("ip link add link {UPLINK} name {IFNAME} {shape} netns {name} type macvlan mode bridge");
    host.run(&make.split(' ').collect::<Vec<_>>())?;
    End::by_hand(&netns, nets)
}
