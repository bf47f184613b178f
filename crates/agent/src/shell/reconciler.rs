//! The thread that makes true what the node must be: noted cheaply, flushed late, tried again when it failed.
//!
//! ```text
//!   api ───────┐ note
//!   watch ─────┼──────► (gathered) ──► snapshot ─► facts ─► graph::plan ─► apply::* ─► report
//!   every 60 s ┘                                              ▲
//!                                      networks, ledger ──────┘
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use weft_api::{Condition, ForeignRule, Setting};
use weft_dataplane::has_programs_in_front;
use weft_kernel::nft::{Nft, xtables};
use weft_kernel::route::{self, Hop, PROTOCOL};
use weft_kernel::{KernelError, Netlink, Snapshot, device, link, neighbour, uplink};
use weft_model::{Attachment, Endpoint, IfName, Seat};
use weft_netns::Netns;
use weft_reconcile::{Backoff, Delta, Target, reconcile};

use crate::apply::admissions::{self, Admissions, Detours, Members};
use crate::apply::bridges::Bridges;
use crate::apply::endpoints::EndpointError;
use crate::apply::forward::{self, Accepts};
use crate::apply::lanes::Lanes;
use crate::apply::parents::Parents;
use crate::apply::reach::{self, Reach};
use crate::apply::routes::Routes;
use crate::apply::settings::{Changed, Settings};
use crate::apply::short_way::ShortWay;
use crate::apply::stations::{self, Stations};
use crate::apply::table::OwnTable;
use crate::apply::uplinks::Uplinks;
use crate::apply::vlans::Vlans;
use crate::attach::{Attacher, is_same};
use crate::devices;
use crate::graph::{self, HostFacts, NodePlan, Uplink};
use crate::ledger::Phase;
use crate::networks::Networks;

/// How long notes are gathered that nobody waits for.
const GATHER: Duration = Duration::from_millis(200);
/// A round happens at least this often, in case something changed without news.
const ROUND_MAX: Duration = Duration::from_secs(60);
/// Endpoints without a link on the host have nothing there that vanishes with their namespace: it is looked for.
const LOOK: Duration = Duration::from_secs(2);
/// Of programs that weft cannot answer for.
const PROGRAMS_IN_FRONT: &str = "somebody's programs (tcx) see its packets first, and what they let pass need not come \
    by weft's: take them away (`bpftool net` lists them)";
/// Of rules that weft cannot read.
const UNSEEN_RULES: &str = "iptables-legacy has a filter table here, which nobody but itself can read: if its FORWARD \
    chain drops, let containers pass with `iptables-legacy -I FORWARD -i weft+ -j ACCEPT` and `-o weft+`, both for \
    ip6tables-legacy too, or move its rules to iptables-nft";
/// Notes that may wait; one more is the same as those.
const NOTES_MAX: usize = 64;

/// What the last round found and left.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The host as it was.
    pub facts: HostFacts,
    /// Settings that weft changed.
    pub settings: Vec<Setting>,
    /// Why packets among endpoints go by the host's stack, if they must.
    pub stack_has_say: Option<String>,
    /// weft's rules in the forward chains of others.
    pub accepts: Vec<ForeignRule>,
    /// What failed, and what else is to be known.
    pub conditions: Vec<Condition>,
}

type Waiter = tokio::sync::oneshot::Sender<Report>;

/// Tells the thread that something changed.
#[derive(Clone)]
pub struct Reconciler {
    notes: SyncSender<Option<Waiter>>,
    report: Arc<RwLock<Report>>,
}

impl Reconciler {
    /// Something changed; nobody waits.
    pub fn note(&self) {
        let _ = self.notes.try_send(None);
    }

    /// Something changed; returns when the kernel has followed, or could not.
    pub async fn settle(&self) -> Report {
        let (waiter, done) = tokio::sync::oneshot::channel();
        let notes = self.notes.clone();
        let sent = tokio::task::spawn_blocking(move || notes.send(Some(waiter))).await;
        match sent {
            Ok(Ok(())) => done.await.unwrap_or_else(|_| self.report()),
            _ => self.report(),
        }
    }

    /// What the last round found.
    pub fn report(&self) -> Report {
        self.report.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

/// Everything that a round works with.
pub struct Round {
    netlink: Netlink,
    nft: Nft,
    networks: Arc<Networks>,
    attacher: Arc<Attacher>,
    uplink: Option<String>,
    changed: Changed,
    report: Arc<RwLock<Report>>,
}

impl Round {
    /// For the host of the calling thread's namespace; `uplink` names the link to the outside, if it is not to be
    /// found.
    pub fn new(
        networks: Arc<Networks>,
        attacher: Arc<Attacher>,
        uplink: Option<String>,
        changed: Changed,
    ) -> anyhow::Result<Self> {
        let (netlink, nft) = (Netlink::open()?, Nft::open()?);
        Ok(Self { netlink, nft, networks, attacher, uplink, changed, report: Arc::default() })
    }

    /// Finishes what an earlier agent began, and has a first round. Before this, no request may be served.
    pub fn adopt(&mut self) {
        if let Ok(links) = link::list(&mut self.netlink) {
            links.iter().for_each(|link| self.attacher.indexes().skip(link.index));
        }
        self.attacher.ledger().entries().filter_map(|entry| entry.endpoint.link).for_each(|link| {
            self.attacher.indexes().skip(link);
        });
        self.attacher.ledger().set_pools(&self.pools());
        self.bury(|phase| phase != Phase::Live);
        self.run();
    }

    /// Starts the thread.
    pub fn start(self) -> std::io::Result<Reconciler> {
        let (notes, noted) = sync_channel(NOTES_MAX);
        let reconciler = Reconciler { notes, report: Arc::clone(&self.report) };
        std::thread::Builder::new().name("reconciler".to_owned()).spawn(move || follow(self, &noted))?;
        Ok(reconciler)
    }

    /// One round. True if everything is as it must be.
    fn run(&mut self) -> bool {
        let mut findings = Findings::default();
        let snapshot = findings.take("links, addresses and routes", Snapshot::read(&mut self.netlink));
        if let Some(snapshot) = snapshot {
            let facts = self.facts(&snapshot);
            self.make_node(&snapshot, &facts, &mut findings);
            self.make_endpoints(&mut findings);
            self.publish(|report| report.facts = facts);
        }
        self.bury(|phase| phase == Phase::Death);
        self.bury_linkless();
        let settled = findings.0.is_empty();
        self.publish(|report| report.conditions = findings.conditions());
        settled
    }

    fn pools(&self) -> Vec<ipnet::IpNet> {
        self.networks.all().values().flat_map(|network| &network.pools).map(|pool| pool.subnet).collect()
    }

    fn facts(&self, snapshot: &Snapshot) -> HostFacts {
        let uplink = uplink::choose(snapshot, self.uplink.as_deref());
        let advertised = snapshot.routes.iter().filter(|route| route.protocol == route::PROTOCOL_RA);
        let advertised = advertised.filter_map(|route| match route.hop {
            Hop::Via(_, index) | Hop::Link(index) => snapshot.link(index).map(|link| link.name.clone()),
            Hop::Unreachable | Hop::Host => None,
        });
        let networks = self.networks.all();
        let lends = networks.values().any(|network| network.attachment == Attachment::Device);
        HostFacts {
            uplink: uplink.map(|link| Uplink {
                name: link.name.clone(),
                mtu: link.mtu,
                mac: link.mac,
                addresses: uplink::addresses(snapshot, link),
            }),
            advertised: advertised.collect(),
            parents: snapshot.links.values().filter_map(|link| Some((link.name.parse().ok()?, link.mtu))).collect(),
            devices: if lends { devices::survey(snapshot, &devices::parents(networks.values())) } else { Vec::new() },
        }
    }

    /// Everything but endpoints, referenced things first.
    fn make_node(&mut self, snapshot: &Snapshot, facts: &HostFacts, findings: &mut Findings) {
        let networks = self.networks.all();
        let mut plan = graph::plan(&networks, facts, &self.seats());
        plan.pools.extend(self.attacher.services().pools_in_use());
        self.attacher.ledger().set_pools(&self.pools());
        self.attacher.set_uplink(facts.uplink.as_ref().and_then(|uplink| uplink.name.parse().ok()));

        // One by one: their order matters.
        for setting in &plan.settings {
            let mut target = Settings { name: &setting.name, changed: &mut self.changed };
            let desired = BTreeMap::from([(setting.name.clone(), setting.clone())]);
            findings.round(&mut target, &desired);
        }
        self.publish(|report| report.settings = self.changed.list());

        let indexes = self.attacher.indexes();
        findings.round(&mut Bridges { netlink: &mut self.netlink, snapshot, indexes }, &plan.bridges);
        self.make_parents(snapshot, &plan, findings);
        findings.round(&mut Routes { netlink: &mut self.netlink, snapshot }, &plan.routes());
        let own = plan.host_addresses.iter().copied();
        let gateways = plan.bridges.values().flat_map(|(bridge, _)| bridge.addresses.iter().map(ipnet::IpNet::addr));
        let hosts = admissions::hosts(snapshot, own.chain(gateways));
        findings.round(&mut Members(self.attacher.dataplane().hosts()), &hosts);
        let table = plan.table.map(|table| ((), table)).into_iter().collect();
        findings.round(&mut OwnTable { nft: &mut self.nft }, &table);
        let chains = if networks.is_empty() {
            Some(Vec::new())
        } else {
            findings.take("foreign forward chains", self.nft.forward_chains())
        };
        if let Some(chains) = chains {
            let desired = forward::desired(&chains);
            findings.round(&mut Accepts { nft: &mut self.nft }, &desired);
            let shown =
                desired.keys().map(|(at, way)| ForeignRule { chain: at.to_string(), rule: way.comment().to_owned() });
            self.publish(|report| report.accepts = shown.collect());
        }
        self.make_way(findings);
    }

    /// By what endpoints are on segments, and what stands behind it: the link before what is on it.
    fn make_parents(&mut self, snapshot: &Snapshot, plan: &NodePlan, findings: &mut Findings) {
        let attacher = Arc::clone(&self.attacher);
        let (indexes, dataplane) = (attacher.indexes(), attacher.dataplane());
        findings.round(&mut Vlans { netlink: &mut self.netlink, snapshot, indexes }, &plan.vlans);
        findings.round(&mut Parents { netlink: &mut self.netlink, snapshot, indexes, dataplane }, &plan.parents);
        findings.round(&mut Lanes { netlink: &mut self.netlink }, &plan.lanes());
        findings.round(&mut Uplinks { netlink: &mut self.netlink, attacher: &attacher }, &plan.uplinks);
        let endpoints: Vec<_> = attacher.ledger().live().cloned().collect();
        if let Some(desired) = findings.take("links", stations::desired(&mut self.netlink, &endpoints)) {
            findings.round(&mut Stations { attacher: &attacher }, &desired);
        }
    }

    /// Where endpoints sit.
    fn seats(&self) -> BTreeSet<Seat> {
        self.attacher.ledger().entries().filter_map(|entry| entry.endpoint.seat.clone()).collect()
    }

    /// Opens or closes the way past the host's stack.
    fn make_way(&mut self, findings: &mut Findings) {
        let say = match findings.take("rules that have a say about packets", self.nft.chain_with_a_say()) {
            Some(chain) => chain.map(|chain| format!("{chain} has a say about their packets")),
            None => Some("the host's rules cannot be read".to_owned()),
        };
        let unseen = || Some(format!("iptables-legacy has a table {}, which weft cannot read", xtables().first()?));
        let say = say.or_else(unseen);
        let desired = if say.is_none() { BTreeMap::from([((), ())]) } else { BTreeMap::new() };
        findings.round(&mut ShortWay { dataplane: self.attacher.dataplane() }, &desired);
        self.publish(|report| report.stack_has_say = say);
    }

    /// Endpoints whose host side drifted are mended, those whose link vanished are buried, leftovers are deleted. The
    /// kernel is read before the ledger: a record is written before its link is made, so a link without one is a
    /// leftover.
    fn make_endpoints(&mut self, findings: &mut Findings) {
        let Some(mut snapshot) = findings.take("links", Snapshot::read(&mut self.netlink)) else { return };
        if findings.take("filters", snapshot.read_filters(&mut self.netlink)).is_none() {
            return;
        }
        let desired = self.linked_endpoints();
        let known = self.known_links();
        for link in desired.keys().filter_map(|host| snapshot.links.get(host.as_str())) {
            if has_programs_in_front(link.index) {
                findings.add(&format_args!("link {}", link.name), &PROGRAMS_IN_FRONT);
            }
        }
        let attacher = Arc::clone(&self.attacher);
        self.make_admissions(&snapshot, &desired, findings);
        let mut target = attacher.endpoints_as(&mut self.netlink, &snapshot, None);
        let Some(actual) = findings.take("links", target.read_back()) else { return };
        let delta = Delta::between(&desired, &actual, |key, wanted, found| target.is_settled(key, wanted, found));
        for host in delta.delete.iter().filter(|host| !known.contains(*host)) {
            findings.take(host, target.delete(host));
        }
        for host in &delta.update {
            let Some(endpoint) = desired.get(host) else { continue };
            let mended = attacher.alone(&endpoint.key, |entry| match entry {
                Some(entry) if Arc::ptr_eq(&entry.endpoint, endpoint) => target.update(host, endpoint),
                _ => Ok(()),
            });
            match mended {
                Ok(Err(EndpointError::LinkGone(_))) => {
                    let buried = attacher.detach_if_gone(target.netlink, endpoint);
                    log_buried(endpoint, &buried);
                    findings.take(host, buried);
                }
                Ok(other) => drop(findings.take(host, other)),
                Err(error) => drop(findings.take::<(), _>(host, Err(error))),
            }
        }
        findings.take("routes and neighbours", self.sweep_addresses(&snapshot));
    }

    /// What the programs know of the endpoints whose links are there, before any link is given filters: they would drop
    /// what they know nothing of.
    fn make_admissions(
        &mut self,
        snapshot: &Snapshot,
        endpoints: &BTreeMap<IfName, Arc<Endpoint>>,
        findings: &mut Findings,
    ) {
        let networks = self.networks.all();
        let linked = endpoints
            .iter()
            .filter_map(|(host, endpoint)| Some((snapshot.links.get(host.as_str())?.index, Arc::clone(endpoint))));
        let seated: Vec<_> = {
            let ledger = self.attacher.ledger();
            ledger.live().filter_map(|endpoint| Some((endpoint.link?, Arc::clone(endpoint)))).collect()
        };
        let attacher = Arc::clone(&self.attacher);
        let reached = seated.iter().flat_map(|(_, endpoint)| reach::desired(endpoint, snapshot)).collect();
        findings.round(&mut Reach { netlink: &mut self.netlink, snapshot, attacher: &attacher }, &reached);
        let desired = linked.chain(seated).filter_map(|(link, endpoint)| {
            let admission = admissions::admission(&endpoint, Detours::of(&endpoint, snapshot))?;
            Some((link, (endpoint, admission)))
        });
        let attacher = &self.attacher;
        findings.round(&mut Admissions { netlink: &mut self.netlink, attacher }, &desired.collect());
        let dataplane = attacher.dataplane();
        findings.round(&mut Members(dataplane.allowances()), &admissions::allowances(networks.values()));
        findings.round(&mut Members(dataplane.peerings()), &admissions::peerings(networks.values()));
    }

    /// Routes and neighbours of addresses that nobody holds. The ledger is kept meanwhile, so that nobody comes to hold
    /// one.
    fn sweep_addresses(&mut self, snapshot: &Snapshot) -> Result<(), KernelError> {
        let ledger = self.attacher.ledger();
        let is_free = |ip| ledger.leases().holder(ip).is_none();
        let mut requests = Vec::new();
        for route in snapshot.routes.iter().filter(|route| route.protocol == PROTOCOL) {
            if matches!(route.hop, Hop::Link(_) | Hop::Via(..)) && is_free(route.to.addr()) {
                requests.push(route::delete(route.to, route.hop));
            }
        }
        let is_ours = |index| snapshot.link(index).is_some_and(link::Link::is_ours);
        for neighbour in snapshot.neighbours.iter().filter(|neighbour| is_ours(neighbour.index)) {
            if is_free(neighbour.ip) {
                requests.push(neighbour::delete(*neighbour));
            }
        }
        self.netlink.run(&requests)
    }

    /// Names of links that a record names: of the host's ends, and of throttles that there may be.
    fn known_links(&self) -> BTreeSet<IfName> {
        let ledger = self.attacher.ledger();
        let keys = ledger.entries().map(|entry| &entry.endpoint.key);
        keys.flat_map(|key| [key.host_link(), key.throttle_link()]).collect()
    }

    fn linked_endpoints(&self) -> BTreeMap<IfName, Arc<Endpoint>> {
        let ledger = self.attacher.ledger();
        let linked = ledger.live().filter(|endpoint| endpoint.attachment.has_host_link());
        linked.map(|endpoint| (endpoint.key.host_link(), Arc::clone(endpoint))).collect()
    }

    /// Endpoints in such a phase are taken down: their birth or death was cut short.
    fn bury(&mut self, wanted: impl Fn(Phase) -> bool) {
        let entries: Vec<_> = self.attacher.ledger().entries().filter(|entry| wanted(entry.phase)).cloned().collect();
        for entry in entries {
            let endpoint = &entry.endpoint;
            let netns = Netns::open(&endpoint.netns.path).ok().filter(|netns| is_same(&endpoint.netns, netns.id()));
            let buried = self.attacher.detach_found(&mut self.netlink, endpoint, netns.as_ref());
            log_buried(endpoint, &buried.map(|()| true));
        }
    }

    /// Endpoints whose namespace or device is gone, and that have nothing on the host that would have told.
    fn bury_linkless(&mut self) {
        let linkless: Vec<_> = {
            let ledger = self.attacher.ledger();
            ledger.live().filter(|endpoint| !endpoint.attachment.has_host_link()).cloned().collect()
        };
        for endpoint in linkless {
            let alive = match Netns::open(&endpoint.netns.path) {
                Ok(netns) => is_same(&endpoint.netns, netns.id()) && has_device(&endpoint, &netns),
                Err(error) => !error.is_gone(),
            };
            if !alive {
                let buried = self.attacher.detach_if_gone(&mut self.netlink, &endpoint);
                log_buried(&endpoint, &buried);
            }
        }
    }

    fn report(&self) -> Report {
        self.report.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn publish(&self, change: impl FnOnce(&mut Report)) {
        change(&mut self.report.write().unwrap_or_else(std::sync::PoisonError::into_inner));
    }
}

/// Whether the container has all that was lent to it; a doubt is no death.
fn has_device(endpoint: &Endpoint, netns: &Netns) -> bool {
    match (endpoint.link, &endpoint.loan) {
        (Some(index), Some(loan)) => device::is_inside(netns, index, &loan.device).unwrap_or(true),
        _ => true,
    }
}

fn log_buried<E: Display>(endpoint: &Endpoint, buried: &Result<bool, E>) {
    match buried {
        Ok(true) => tracing::info!(endpoint = %endpoint.key, "took down an endpoint that was dead"),
        Ok(false) => {}
        Err(error) => tracing::warn!(endpoint = %endpoint.key, %error, "a dead endpoint is not taken down yet"),
    }
}

fn follow(mut round: Round, noted: &Receiver<Option<Waiter>>) {
    let mut backoff = Backoff::default();
    let mut next = Instant::now() + ROUND_MAX;
    loop {
        let wait = next.saturating_duration_since(Instant::now()).min(LOOK);
        let mut waiters = Vec::new();
        match noted.recv_timeout(wait) {
            Ok(note) => {
                waiters.extend(note);
                gather(noted, &mut waiters);
            }
            Err(RecvTimeoutError::Timeout) if Instant::now() < next => {
                round.bury_linkless();
                continue;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if round.run() {
            backoff.succeed();
            next = Instant::now() + ROUND_MAX;
        } else {
            next = Instant::now() + backoff.fail();
        }
        for waiter in waiters {
            let _ = waiter.send(round.report());
        }
    }
}

/// Takes further notes along. Somebody who waits ends the gathering.
fn gather(noted: &Receiver<Option<Waiter>>, waiters: &mut Vec<Waiter>) {
    let until = Instant::now() + GATHER;
    while waiters.is_empty() {
        match noted.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(note) => waiters.extend(note),
            Err(_) => return,
        }
    }
}

/// What went wrong in a round.
#[derive(Default)]
struct Findings(Vec<String>);

impl Findings {
    fn take<T, E: Display>(&mut self, what: impl Display, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(&what, &error)).ok()
    }

    fn round<T>(&mut self, target: &mut T, desired: &BTreeMap<T::Key, T::Desired>)
    where
        T: Target,
        T::Key: std::fmt::Debug,
        T::Error: Display,
    {
        match reconcile(target, desired) {
            Ok(outcome) => outcome.failed.iter().for_each(|(key, error)| self.add(&format_args!("{key:?}"), error)),
            Err(error) => self.add(&"reading back", &error),
        }
    }

    fn add(&mut self, what: &dyn Display, error: &dyn Display) {
        tracing::warn!(object = %what, %error, "the kernel is not as it must be");
        self.0.push(format!("{what}: {error}"));
    }

    fn conditions(&self) -> Vec<Condition> {
        let status = if self.0.is_empty() { "True" } else { "False" };
        let settled =
            Condition { kind: "KernelSettled".to_owned(), status: status.to_owned(), message: self.0.join("; ") };
        let unseen = xtables().iter().any(|table| table == "filter").then(|| Condition {
            kind: "ForeignRulesSeen".to_owned(),
            status: "Unknown".to_owned(),
            message: UNSEEN_RULES.to_owned(),
        });
        [settled].into_iter().chain(unseen).collect()
    }
}
