//! Taking weft off a host: whatever carries its mark is found, shown, and taken away.
//!
//! ```text
//!   devices given back ─► links down ─► links deleted ─► rules, routes ─► parents ─► accepts, table ─► settings
//!       ─► pins ─► run directory ─► store
//! ```
//!
//! A link has its filters for as long as it is up, and rules are there for as long as links are: so links go first, and
//! if they cannot, the rest stays. Neighbours, addresses and filters go with their links, which is why none is named
//! here, but for neighbours on links of the host's. The parts behind the links do not need each other: what fails is
//! told, and the rest goes.

mod files;

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use weft_api::Setting;
use weft_dataplane::uplinks_held;
use weft_kernel::device::{self, Whereabouts};
use weft_kernel::link::{self, Link};
use weft_kernel::neighbour::Neighbour;
use weft_kernel::nft::Nft;
use weft_kernel::route::{self, Hop, PROTOCOL, Route};
use weft_kernel::rule::{Front, LinkRule};
use weft_kernel::{Netlink, endpoint, filter, sysctl};
use weft_model::{Endpoint, MacAddr};
use weft_netns::Netns;
use weft_reconcile::Target as _;
use weft_store::Embedded;

use crate::apply::endpoints::EndpointError;
use crate::apply::forward::{self, Accepts};
use crate::apply::settings::Changed;
use crate::apply::table::OwnTable;
use crate::apply::{lanes, reach, uplinks};
use crate::attach::is_same;
use crate::attachment::parent;
use crate::config::Config;
use crate::shell::lock::{self, Lock};
use crate::{ledger, networks};

/// Everything of weft's on a host, as far as it is there.
#[derive(Debug, Default)]
pub struct Estate {
    /// Names of the networks in the store.
    pub networks: Vec<String>,
    /// Endpoints whose link is there: their containers lose it.
    pub endpoints: Vec<String>,
    /// Endpoints that have a device of the host's: it is given back.
    pub lent: Vec<Endpoint>,
    /// Links: host ends of endpoints and their throttles, bridges, and what waits for the reaper.
    pub links: Vec<Link>,
    /// The host's own links that containers' links sat on: they are left as they were.
    pub uplinks: Vec<Link>,
    /// Routes of weft's protocol number.
    pub routes: Vec<Route>,
    /// Routing rules that led to parents what was sent there.
    pub rules: Vec<LinkRule>,
    /// Whether weft's table of nftables is there.
    pub has_table: bool,
    /// weft's accepts in the chains of others.
    pub accepts: BTreeSet<forward::Key>,
    /// Pinned programs and maps.
    pub pins: Vec<PathBuf>,
    /// What the agent wrote into its run directory.
    pub run_files: Vec<PathBuf>,
    /// The store.
    pub state_files: Vec<PathBuf>,
    /// Settings of the host that agents changed, as they were and as they are.
    pub settings: Vec<Setting>,
    /// What could not be read, and why: it is taken away unread.
    pub unread: Vec<String>,
}

/// What becomes of the settings of the host that weft changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settings {
    /// They stay: others may have come to rely on them.
    Leave,
    /// They are as they were, unless somebody else has changed them since.
    Restore,
}

/// Keeps agents from starting for as long as the result lives; refuses if one runs.
pub fn keep_out(config: &Config) -> anyhow::Result<Lock> {
    lock::keep_out(&config.run_dir).context(
        "stop weftd first, by `systemctl disable --now weftd` or by SIGTERM (containers keep their network meanwhile)",
    )
}

impl Estate {
    /// Looks for it, in the network namespace of the calling thread and where `config` says; changes nothing.
    pub fn find(config: &Config) -> anyhow::Result<Self> {
        let (mut netlink, mut nft) = (Netlink::open()?, Nft::open()?);
        let mut links = link::list(&mut netlink)?;
        let uplinks = uplinks_of(&mut netlink, config, &links)?;
        links.retain(Link::is_ours);
        let mut routes = route::list(&mut netlink)?;
        routes.retain(|route| route.protocol == PROTOCOL);
        let mut unread = Vec::new();
        let endpoints = ledger::read_endpoints(&config.run_dir).unwrap_or_else(|error| {
            unread.push(error.to_string());
            Vec::new()
        });
        Ok(Self {
            networks: read_networks(config, &mut unread),
            endpoints: endpoints.iter().filter(|endpoint| has_link(endpoint, &links)).map(name).collect(),
            lent: endpoints.into_iter().filter(|endpoint| endpoint.loan.is_some()).collect(),
            links,
            uplinks,
            routes,
            rules: Front::read(&mut netlink)?.rules,
            has_table: !OwnTable { nft: &mut nft }.read_back()?.is_empty(),
            accepts: Accepts { nft: &mut nft }.read_back()?.into_keys().collect(),
            pins: files::pins(&config.bpf_dir)?,
            run_files: files::of_run(config),
            state_files: files::of_state(config),
            settings: Changed::open(&config.run_dir).list(),
            unread,
        })
    }

    /// The same without the store, which then stays.
    pub fn without_state(self) -> Self {
        Self { networks: Vec::new(), state_files: Vec::new(), ..self }
    }

    /// Whether there is nothing to take away.
    pub fn is_empty(&self) -> bool {
        let files = [&self.pins, &self.run_files, &self.state_files];
        self.links.is_empty()
            && self.uplinks.is_empty()
            && self.lent.is_empty()
            && self.routes.is_empty()
            && self.rules.is_empty()
            && !self.has_table
            && self.accepts.is_empty()
            && files.iter().all(|files| files.is_empty())
    }

    /// Takes it away; `tell` hears of every step that is done. The error names all that failed.
    pub fn remove(&self, config: &Config, settings: Settings, tell: &mut dyn FnMut(&str)) -> anyhow::Result<()> {
        let (mut netlink, mut nft) = (Netlink::open()?, Nft::open()?);
        if !self.lent.is_empty() {
            self.give_back(&mut netlink).context("devices are left in containers, so everything else is, too")?;
            tell(&format!("gave back {}", count(self.lent.len(), "device")));
        }
        if !self.links.is_empty() {
            self.remove_links(&mut netlink).context("links are left, so everything else is, too")?;
            tell(&format!("removed {}", count(self.links.len(), "link")));
        }
        let mut rest = Rest { tell, faults: Vec::new() };
        rest.part(self.rules.len(), "routing rule", || self.remove_rules(&mut netlink));
        rest.part(self.routes.len(), "route", || self.remove_routes(&mut netlink));
        rest.part(self.uplinks.len(), "link's settings as a parent", || self.leave_uplinks(&mut netlink));
        rest.part(self.accepts.len(), "rule in chains of others", || self.remove_accepts(&mut nft));
        rest.part(self.has_table.into(), "nftables table", || Ok(OwnTable { nft: &mut nft }.delete(&())?));
        if settings == Settings::Restore {
            self.settings.iter().for_each(|setting| rest.restore(setting));
        }
        rest.part(self.pins.len(), "BPF pin", || files::remove_pins(&self.pins, config));
        rest.part(self.run_files.len(), "file of the run directory", || {
            files::remove(&self.run_files, &[&config.run_dir])
        });
        rest.part(self.state_files.len(), "file of the state directory", || {
            files::remove(&self.state_files, &[&config.state_dir])
        });
        if rest.faults.is_empty() { Ok(()) } else { bail!(rest.faults.join("\n")) }
    }

    /// A device that is gone for good keeps nobody up.
    fn give_back(&self, netlink: &mut Netlink) -> anyhow::Result<()> {
        for endpoint in &self.lent {
            let (Some(index), Some(loan)) = (endpoint.link, &endpoint.loan) else { continue };
            let netns = Netns::open(&endpoint.netns.path).ok().filter(|netns| is_same(&endpoint.netns, netns.id()));
            if device::give_back(netlink, netns.as_ref(), index, loan)? == Whereabouts::Elsewhere {
                bail!(EndpointError::DeviceAway(loan.device.name.clone()));
            }
        }
        Ok(())
    }

    /// All are down before the first one goes.
    fn remove_links(&self, netlink: &mut Netlink) -> anyhow::Result<()> {
        let buried: Vec<_> = self.links.iter().flat_map(|link| link::bury(link.index, &link.name)).collect();
        netlink.run(&buried)?;
        Ok(endpoint::reap(netlink)?)
    }

    /// Those to endpoints went with their links, but for those by a link to the outside, which have a neighbour there.
    fn remove_routes(&self, netlink: &mut Netlink) -> anyhow::Result<()> {
        let is_left = |index: &u32| self.uplinks.iter().any(|link| link.index == *index);
        let requests = self.routes.iter().flat_map(|route| match route.hop {
            Hop::Link(index) if is_left(&index) => {
                reach::unset(Neighbour { index, ip: route.to.addr(), mac: MacAddr::NONE }).to_vec()
            }
            _ => vec![route::delete(route.to, route.hop)],
        });
        Ok(netlink.run(&requests.collect::<Vec<_>>())?)
    }

    fn remove_rules(&self, netlink: &mut Netlink) -> anyhow::Result<()> {
        let requests = self.rules.iter().flat_map(|rule| lanes::clear(&rule.link, rule.table));
        Ok(netlink.run(&requests.collect::<Vec<_>>())?)
    }

    fn leave_uplinks(&self, netlink: &mut Netlink) -> anyhow::Result<()> {
        for link in &self.uplinks {
            let requests = uplinks::leave(netlink, link)?;
            netlink.run(&requests)?;
        }
        Ok(())
    }

    fn remove_accepts(&self, nft: &mut Nft) -> anyhow::Result<()> {
        let mut accepts = Accepts { nft };
        Ok(self.accepts.iter().try_for_each(|key| accepts.delete(key))?)
    }
}

/// The host's own links that hold programs of weft's: by pins, or by filters.
fn uplinks_of(netlink: &mut Netlink, config: &Config, links: &[Link]) -> anyhow::Result<Vec<Link>> {
    let held = uplinks_held(&config.bpf_dir);
    let mut uplinks = Vec::new();
    for link in links.iter().filter(|link| !link.is_ours()) {
        if held.contains(&link.index) || filter::attached(netlink, link.index)?.is_some() {
            uplinks.push(link.clone());
        }
    }
    Ok(uplinks)
}

fn read_networks(config: &Config, unread: &mut Vec<String>) -> Vec<String> {
    let store = config.store();
    if !store.exists() {
        return Vec::new();
    }
    match Embedded::read_copy(&store) {
        Ok(snapshot) => networks::names(&snapshot),
        Err(error) => {
            unread.push(error.to_string());
            Vec::new()
        }
    }
}

/// An endpoint without an end on the host has its link while there is what that sits on.
fn has_link(endpoint: &Endpoint, links: &[Link]) -> bool {
    let stand_in = endpoint.seat.as_ref().and_then(parent::stand_in);
    let host = stand_in.unwrap_or_else(|| endpoint.key.host_link());
    endpoint.loan.is_some() || links.iter().any(|link| link.name == host.as_str())
}

fn name(endpoint: &Endpoint) -> String {
    let Endpoint { namespace, name, key, network, .. } = endpoint;
    format!("{namespace}/{name}@{} on {network}", key.ifname)
}

/// `1 link`, `2 links`; of `2 rules in chains of others`, the first word.
fn count(number: usize, what: &str) -> String {
    let end = [" of ", " in "].iter().filter_map(|word| what.find(word)).min();
    let (noun, rest) = what.split_at(end.unwrap_or(what.len()));
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}{rest}")
}

/// What is taken away behind the links.
struct Rest<'a> {
    tell: &'a mut dyn FnMut(&str),
    faults: Vec<String>,
}

impl Rest<'_> {
    fn part(&mut self, number: usize, what: &str, remove: impl FnOnce() -> anyhow::Result<()>) {
        if number == 0 {
            return;
        }
        match remove() {
            Ok(()) => (self.tell)(&format!("removed {}", count(number, what))),
            Err(error) => self.faults.push(format!("{}: {error:#}", count(number, what))),
        }
    }

    /// What is not as weft made it is somebody else's by now.
    fn restore(&mut self, setting: &Setting) {
        let Setting { name, was, now, .. } = setting;
        let found = sysctl::read(name);
        let said = match found {
            Ok(Some(found)) if found == *now => sysctl::write(name, was).map(|()| format!("{name} is {was} again")),
            Ok(Some(found)) => Ok(format!("{name} stays: somebody made it {found} since")),
            Ok(None) => Ok(format!("{name} is gone")),
            Err(error) => Err(error),
        };
        match said {
            Ok(said) => (self.tell)(&said),
            Err(error) => self.faults.push(format!("{name} was {was}: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_agree_with_their_nouns() {
        assert_eq!(count(1, "link"), "1 link");
        assert_eq!(count(2, "nftables table"), "2 nftables tables");
        assert_eq!(count(0, "rule in chains of others"), "0 rules in chains of others");
        assert_eq!(count(3, "file of the run directory"), "3 files of the run directory");
    }
}
