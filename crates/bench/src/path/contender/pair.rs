//! Two ends on veth pairs made by hand, alike in all that does not follow from how the host joins them.

use anyhow::Result;
use weft_lab::Host;

use super::{End, Joined, shape};
use crate::plugin::IFNAME;

/// The host's ends of both pairs.
pub(super) const DOORS: [&str; 2] = ["door-client", "door-server"];
pub(super) const CLIENT: [&str; 2] = ["10.82.0.1/24", "fd82::1/64"];
pub(super) const SERVER: [&str; 2] = ["10.82.0.2/24", "fd82::2/64"];

/// Both pairs, raised, with nothing that joins them on the host.
pub(super) fn lay(host: &Host) -> Result<Joined> {
    let [client, server] = DOORS;
    Ok(Joined {
        client: lay_one(host, "client", client, CLIENT)?,
        server: lay_one(host, "server", server, SERVER)?,
        _weftd: None,
    })
}

fn lay_one(host: &Host, name: &str, door: &str, nets: [&str; 2]) -> Result<End> {
    let (netns, shape) = (host.netns(name)?, shape());
    let make = format!("ip link add {door} {shape} type veth peer name {IFNAME} {shape} netns {name}");
    host.run(&make.split(' ').collect::<Vec<_>>())?;
    host.run(&["ip", "link", "set", door, "up"])?;
    End::by_hand(&netns, nets)
}
