//! Both ends in one namespace.

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::Result;
use weft_lab::Host;

use super::{End, Joined};

pub(super) fn join(host: &Host) -> Result<Joined> {
    let netns = host.netns("both")?;
    netns.run(&["ip", "link", "set", "lo", "up"])?;
    let end = || End::new(&netns, vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    Ok(Joined { client: end()?, server: end()?, _weftd: None })
}
