//! The price of the kernel objects alone: the agent's own plan of a link, made in this process, and one exec of a
//! static program. The host has the network that weft made on it, and no agent any more.
//!
//! With doors, it puts weft's own programs on each link, too, and lets the endpoint in as the agent does.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use weft_agent::apply::Indexes;
use weft_agent::apply::endpoints::Doorway;
use weft_agent::attachment::{self, Built};
use weft_dataplane::{Dataplane, Loaded, Telling};
use weft_kernel::endpoint::{self, LinkPlan, Remains};
use weft_kernel::neighbour::Neighbour;
use weft_kernel::{Netlink, link};
use weft_model::{Attachment, Dns, Endpoint, EndpointKey, Labels, Limits, Network, NetworkName, Pool};
use weft_model::{Name, NetnsRecord};
use weft_netns::Netns;

use super::{Contender, Slot};
use crate::network::{BPF_DIR, MTU, NAME, spec};
use crate::plugin::{self, IFNAME};

/// Does nothing, and needs no dynamic linker for it (package busybox-static).
const STATIC_TRUE: [&str; 2] = ["/bin/busybox", "true"];
/// The first address of a pool that a container may have: before it are the pool's own and the gateway's.
const ADDRESS_FIRST: u128 = 2;

pub(super) struct Bare {
    network: Network,
    /// Number of the network's bridge, where it has one.
    bridge: Option<u32>,
    indexes: Indexes,
    /// The programs, where links get any.
    doors: Option<Dataplane>,
    /// Sockets that nobody uses just now: a thread that finds none opens another.
    idle: Mutex<Vec<Netlink>>,
}

impl Bare {
    pub(super) fn new(attachment: Attachment) -> Result<Self> {
        let network = spec(attachment).resolve(&NetworkName::parse(NAME)?, &Labels::new(), &Built)?;
        let kind = attachment::kind(attachment).context("an attachment that is not built")?;
        let mut netlink = Netlink::open()?;
        let bridge = match kind.bridge(&network) {
            Some((name, _)) => link::find(&mut netlink, name.as_str())?.map(|link| link.index),
            None => None,
        };
        Ok(Self { network, bridge, indexes: Indexes::default(), doors: None, idle: Mutex::new(vec![netlink]) })
    }

    /// Over the maps that weft left on the host.
    pub(super) fn with_doors(attachment: Attachment) -> Result<Self> {
        let doors = Loaded::load(Path::new(BPF_DIR), Telling::Flows)?.enforce()?;
        Ok(Self { doors: Some(doors), ..Self::new(attachment)? })
    }

    fn with_netlink<T>(&self, work: impl FnOnce(&mut Netlink) -> Result<T>) -> Result<T> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = idle().pop();
        let mut netlink = taken.map_or_else(Netlink::open, Ok)?;
        let done = work(&mut netlink)?;
        idle().push(netlink);
        Ok(done)
    }

    /// The endpoint, and its link.
    fn plan(&self, slot: &Slot) -> Result<(Endpoint, LinkPlan)> {
        let kind = attachment::kind(self.network.attachment).context("an attachment that is not built")?;
        let chosen: Vec<(IpAddr, &Pool)> =
            self.network.pools.iter().map(|pool| (address(pool, slot.number), pool)).collect();
        let mut record = record(&self.network, slot)?;
        kind.endow(&self.network, &chosen, &mut record);
        let plan = kind.link(&record, self.bridge).context("an attachment without a link")?;
        Ok((record, plan))
    }
}

impl Contender for Bare {
    fn add(&self, slot: &Slot) -> Result<Vec<u8>> {
        let ((endpoint, plan), netns) = (self.plan(slot)?, Netns::open(&slot.container.netns)?);
        self.with_netlink(|netlink| match &self.doors {
            None => Ok(endpoint::create(netlink, &netns, &plan, &mut || self.indexes.next())?),
            Some(dataplane) => {
                let mut doorway = Doorway {
                    indexes: &self.indexes,
                    dataplane,
                    policies: None,
                    endpoint: &endpoint,
                    bridge: self.bridge,
                };
                Ok(endpoint::create(netlink, &netns, &plan, &mut doorway)?)
            }
        })?;
        exec_static()
    }

    fn del(&self, slot: &Slot) -> Result<()> {
        let ((_, plan), netns) = (self.plan(slot)?, Netns::open(&slot.container.netns)?);
        let neighbour = |index| {
            plan.addresses.iter().map(move |net| Neighbour { index, ip: net.addr(), mac: plan.inside_mac }).collect()
        };
        let on_bridge = self.bridge.map_or_else(Vec::new, neighbour);
        let remains = Remains { host: &plan.host, on_bridge, throttle: None };
        let link = self.with_netlink(|netlink| Ok(endpoint::delete(netlink, Some(&netns), &remains)?))?;
        if let (Some(dataplane), Some(link)) = (&self.doors, link) {
            dataplane.dismiss(link)?;
        }
        exec_static().map(drop)
    }

    fn settle(&self) -> Result<()> {
        self.with_netlink(|netlink| Ok(endpoint::reap(netlink)?))
    }
}

fn exec_static() -> Result<Vec<u8>> {
    let [program, argument] = STATIC_TRUE;
    let output = plugin::run(Command::new(program).arg(argument).env_clear(), &[]);
    let output = output.with_context(|| format!("cannot run {program}"))?;
    ensure!(output.status.success(), "{program} {argument}: {}", output.status);
    Ok(output.stdout)
}

fn address(pool: &Pool, number: u32) -> IpAddr {
    let place = ADDRESS_FIRST + u128::from(number);
    match pool.subnet.network() {
        IpAddr::V4(first) => IpAddr::V4((u32::from(first) + place as u32).into()),
        IpAddr::V6(first) => IpAddr::V6((u128::from(first) + place).into()),
    }
}

/// What the agent knows of a container before its network endows it.
fn record(network: &Network, slot: &Slot) -> Result<Endpoint> {
    Ok(Endpoint {
        key: EndpointKey { container: slot.container.id.parse()?, ifname: IFNAME.parse()? },
        network: network.name.clone(),
        namespace: Name::parse("default")?,
        name: Name::parse(slot.container.id.as_str())?,
        labels: Labels::new(),
        ports: Vec::new(),
        aliases: Vec::new(),
        cni_name: None,
        cni_call: None,
        delegation: None,
        cgroup_path: None,
        netns: NetnsRecord { path: slot.container.netns.display().to_string(), device: 0, inode: 0, cookie: 0 },
        attachment: network.attachment,
        link: None,
        seat: None,
        loan: None,
        mac: None,
        addresses: Vec::new(),
        gateways: Vec::new(),
        routes: Vec::new(),
        source_routes: Vec::new(),
        foreign_defaults: Vec::new(),
        mtu: MTU,
        isolated: false,
        limits: Limits::default(),
        allowed_addresses: BTreeSet::new(),
        dns: Dns::default(),
        asked_families: Vec::new(),
        lease: Default::default(),
        mark: None,
        born_s: 0,
    })
}
