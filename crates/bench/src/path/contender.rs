//! Whoever can join two ends on one host. One file each.
//!
//! ```text
//!   weft       client eth0 ══ wefte… ── programs, bridge or routes ── wefte… ══ eth0 server
//!   empty      client eth0 ══ door-client ──── redirect to peer ── door-server ══ eth0 server
//!   bridge     client eth0 ══ door-client ─────────── bench0 ───── door-server ══ eth0 server
//!   router     client eth0 ══ door-client ── routes, netfilter ── door-server ══ eth0 server
//!   macvlan    client eth0 (macvlan) ────────────── eth0 ────────────── (macvlan) eth0 server
//!   loopback   client ───────────────────────── lo ─────────────────────────────── server
//! ```

mod bridge;
mod empty;
mod loopback;
mod macvlan;
mod pair;
mod router;
pub(super) mod weft;

use std::net::IpAddr;

use anyhow::{Context as _, Result};
use ipnet::IpNet;
use weft_lab::{Daemon, Host, Netns};
use weft_model::{Attachment, Family};

use super::BENCH;
use crate::BY_PAIR;
use crate::network::MTU;
use crate::plugin::IFNAME;
use crate::prompter::Prompter;

/// Who carries packets from one end to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Contender {
    /// Containers of a network of weft's.
    Weft(Attachment),
    /// The same, of an agent that tells of no flows.
    Silent(Attachment),
    /// Two veth pairs, with programs that pass packets from one to the other and do nothing else.
    Empty,
    /// Two veth pairs and a Linux bridge, without any program.
    Bridge,
    /// Two veth pairs, and the host's routes between them; for bench policy.
    Router,
    /// One namespace.
    Loopback,
    /// Two macvlan links in the kernel's own bridge mode, without any program.
    Macvlan,
}

impl Contender {
    pub(super) fn title(self) -> &'static str {
        match self {
            Contender::Weft(_) => "weft",
            Contender::Silent(_) => "silent weft",
            Contender::Empty => "empty programs",
            Contender::Bridge => "plain bridge",
            Contender::Router => "plain routes",
            Contender::Loopback => "loopback",
            Contender::Macvlan => "macvlan bridge mode",
        }
    }

    /// How weft attaches the ends, if it does.
    pub(super) fn network(self) -> Option<Attachment> {
        match self {
            Contender::Weft(attachment) | Contender::Silent(attachment) => Some(attachment),
            Contender::Empty | Contender::Bridge | Contender::Router | Contender::Loopback | Contender::Macvlan => None,
        }
    }

    /// Whether it is, or is held against, weft on networks of that attachment: only what joins the ends by the same
    /// kind of link says something of weft.
    pub(super) fn is_beside(self, attachment: Attachment) -> bool {
        match self {
            Contender::Weft(own) | Contender::Silent(own) => own == attachment,
            Contender::Empty | Contender::Bridge | Contender::Router | Contender::Loopback => {
                BY_PAIR.contains(&attachment)
            }
            Contender::Macvlan => attachment == Attachment::Macvlan,
        }
    }

    /// All that the paths are compared of, with weft once for each attachment.
    pub(super) fn all(attachments: &[Attachment]) -> Vec<Self> {
        let weft = attachments.iter().copied().map(Contender::Weft);
        let rivals = [Contender::Empty, Contender::Bridge, Contender::Loopback, Contender::Macvlan];
        let is_rival = |rival: &Self| attachments.iter().any(|attachment| rival.is_beside(*attachment));
        weft.chain(rivals.into_iter().filter(is_rival)).collect()
    }

    /// Joins two ends on `host`, which is fresh.
    pub(super) fn join(self, host: &Host) -> Result<Joined> {
        match self {
            Contender::Weft(attachment) => weft::join(host, attachment, &[]),
            Contender::Silent(attachment) => weft::join(host, attachment, &["--flow-events", "off"]),
            Contender::Empty => empty::join(host),
            Contender::Bridge => bridge::join(host),
            Contender::Router => router::join(host),
            Contender::Loopback => loopback::join(host),
            Contender::Macvlan => macvlan::join(host),
        }
    }
}

/// What links made by hand have in common with weft's, as `ip` takes it: the MTU, and one queue per direction.
fn shape() -> String {
    format!("mtu {MTU} numtxqueues 1 numrxqueues 1")
}

/// Two ends that reach each other.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) client: End,
    pub(super) server: End,
    /// Whom weft's ends owe their network to.
    _weftd: Option<Daemon>,
}

/// A process of its own, in the namespace of its own container.
#[derive(Debug)]
pub(super) struct End {
    pub(super) performer: Prompter,
    addresses: Vec<IpAddr>,
}

impl End {
    fn new(netns: &Netns<'_>, addresses: Vec<IpAddr>) -> Result<Self> {
        Ok(Self { performer: Prompter::start(netns.command("weft"), BENCH)?, addresses })
    }

    /// In a namespace whose interface was made by hand, and is raised here.
    fn by_hand(netns: &Netns<'_>, nets: [&str; 2]) -> Result<Self> {
        let ip = |words: &[&str]| netns.run(&[&["ip"], words].concat());
        ip(&["link", "set", "lo", "up"])?;
        ip(&["link", "set", IFNAME, "up"])?;
        for net in nets {
            // Usable at once: nobody else is there to have it.
            ip(&["address", "add", net, "dev", IFNAME, "nodad"])?;
        }
        Self::new(netns, nets.iter().map(|net| Ok(net.parse::<IpNet>()?.addr())).collect::<Result<_>>()?)
    }

    /// Its own address.
    pub(super) fn address(&self, family: Family) -> Result<IpAddr> {
        let mut addresses = self.addresses.iter().copied();
        addresses.find(|address| Family::of(*address) == family).with_context(|| format!("an end without {family:?}"))
    }
}
