//! What people make by hand: a Linux bridge. No program, no rule, no address on the host.

use anyhow::Result;
use weft_lab::Host;

use super::{Joined, pair};

const BRIDGE: &str = "bench0";

pub(super) fn join(host: &Host) -> Result<Joined> {
    let joined = pair::lay(host)?;
    host.run(&["ip", "link", "add", BRIDGE, "type", "bridge"])?;
    for door in pair::DOORS {
        host.run(&["ip", "link", "set", door, "master", BRIDGE])?;
    }
    host.run(&["ip", "link", "set", BRIDGE, "up"])?;
    Ok(joined)
}
