//! Two ends on veth pairs made by hand, alike in all that does not follow from how the host joins them.

use std::net::IpAddr;

use anyhow::Result;
use ipnet::IpNet;
use weft_lab::{Host, Netns};

use super::{End, Joined};
use crate::bench::network::MTU;
use crate::bench::plugin::IFNAME;

/// The host's ends of both pairs.
pub(super) const DOORS: [&str; 2] = ["door-client", "door-server"];
const CLIENT: [&str; 2] = ["10.82.0.1/24", "fd82::1/64"];
const SERVER: [&str; 2] = ["10.82.0.2/24", "fd82::2/64"];

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
    let netns = host.netns(name)?;
    let mtu = MTU.to_string();
    // One queue per direction, as weft's links have.
    let shape = ["mtu", &mtu, "numtxqueues", "1", "numrxqueues", "1"];
    let (own, peer) = (["ip", "link", "add", door], ["type", "veth", "peer", "name", IFNAME]);
    host.run(&[&own[..], &shape, &peer, &shape, &["netns", name]].concat())?;
    host.run(&["ip", "link", "set", door, "up"])?;
    inside(&netns, &["link", "set", "lo", "up"])?;
    inside(&netns, &["link", "set", IFNAME, "up"])?;
    for net in nets {
        // Usable at once: nobody else is there to have it.
        inside(&netns, &["address", "add", net, "dev", IFNAME, "nodad"])?;
    }
    let addresses = nets.iter().map(|net| Ok(net.parse::<IpNet>()?.addr())).collect::<Result<Vec<IpAddr>>>()?;
    End::new(&netns, addresses)
}

fn inside(netns: &Netns<'_>, words: &[&str]) -> Result<()> {
    netns.run(&[&["ip"], words].concat()).map(drop)
}
