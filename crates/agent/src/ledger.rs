//! The ledger: which endpoints this host has, and what each of them holds.
//!
//! A record *is* the desired state of an endpoint. Its phases:
//!
//! ```text
//!   birth ──► live ──► death ──► (gone)
//!     └────────────────►┘
//! ```
//!
//! Whatever is found in `birth` or `death` when an agent starts was under way when the last one ended: it is taken
//! down. Every step is in the journal before it is in memory, and in memory before the kernel hears of it.

mod change;
mod journal;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use ipnet::IpNet;
use weft_ipam::{Held, Leases, Refusal, Request};
use weft_model::{ContainerId, Endpoint, EndpointKey, Family, IfName, Network, Pool};

use crate::defaults::has_default;
pub use change::{Change, Leased};
pub use journal::JournalError;
use journal::{Event, Journal};

/// How far an endpoint has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Being made.
    Birth,
    /// Made; its runtime was told so.
    Live,
    /// Being taken down.
    Death,
}

/// One record.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// How far it has come.
    pub phase: Phase,
}

/// Why a record was not written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The container has that interface already.
    #[error("endpoint {key} exists on network {network}")]
    Exists {
        /// Container and interface.
        key: EndpointKey,
        /// Its network.
        network: String,
    },
    /// No address was to be had.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The address is held in spite of the choice: two ledgers, or a bug.
    #[error(transparent)]
    Held(#[from] Held),
    /// The journal cannot be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// File of the journal, in the run directory.
pub const FILE: &str = "ledger";

/// The endpoints of which the ledger in `run_dir` knows, however far they have come; for who is not the agent: nothing
/// is written, and an agent may be at work.
pub fn read_endpoints(run_dir: &Path) -> Result<Vec<Endpoint>, JournalError> {
    let mut endpoints = BTreeMap::new();
    for event in Journal::read(&run_dir.join(FILE))? {
        match event {
            Event::Birth { endpoint } => drop(endpoints.insert(endpoint.key.clone(), *endpoint)),
            Event::Limits { key, limits } => {
                endpoints.entry(key).and_modify(|endpoint| Change::Limits(limits).write(endpoint));
            }
            Event::Allowed { key, addresses } => {
                endpoints.entry(key).and_modify(|endpoint| Change::Allowed(addresses).write(endpoint));
            }
            Event::Labels { key, labels } => {
                endpoints.entry(key).and_modify(|endpoint| Change::Labels(labels).write(endpoint));
            }
            Event::Routes { key, routes, source_routes } => {
                let change = Change::Routes { routes, source_routes };
                endpoints.entry(key).and_modify(|endpoint| change.write(endpoint));
            }
            Event::Lease { key, leased } => drop(endpoints.entry(key).and_modify(|endpoint| leased.write(endpoint))),
            Event::Gone { key } => drop(endpoints.remove(&key)),
            Event::Open { .. }
            | Event::Close { .. }
            | Event::Released { .. }
            | Event::Live { .. }
            | Event::Death { .. } => {}
        }
    }
    Ok(endpoints.into_values().collect())
}

/// The book itself.
#[derive(Debug)]
pub struct Ledger {
    entries: BTreeMap<EndpointKey, Entry>,
    by_host_link: BTreeMap<IfName, EndpointKey>,
    leases: Leases,
    journal: Journal,
    /// Something happened that the journal could not be told.
    is_behind: bool,
}

impl Ledger {
    /// Opens the ledger in `run_dir`, and reads what it holds.
    pub fn open(run_dir: &Path) -> Result<Self, JournalError> {
        let (journal, events) = Journal::open(run_dir.join(FILE))?;
        let (entries, by_host_link, leases) = (BTreeMap::new(), BTreeMap::new(), Leases::default());
        let mut ledger = Self { entries, by_host_link, leases, journal, is_behind: false };
        for event in events {
            ledger.replay(event);
        }
        Ok(ledger)
    }

    fn replay(&mut self, event: Event) {
        match event {
            Event::Open { pool } => self.leases.open(pool),
            Event::Close { pool } => self.leases.close(pool),
            Event::Released { address } => self.leases.note_released(address),
            Event::Birth { endpoint } => {
                let conflict = self.hold(&endpoint).err();
                match conflict {
                    Some(held) => tracing::error!(endpoint = %endpoint.key, %held, "a record of the ledger is dropped"),
                    None => self.insert(Arc::new(*endpoint)),
                }
            }
            Event::Live { key } => self.set_phase(&key, Phase::Live),
            Event::Limits { key, limits } => drop(self.write(&key, Change::Limits(limits))),
            Event::Allowed { key, addresses } => drop(self.write(&key, Change::Allowed(addresses))),
            Event::Labels { key, labels } => drop(self.write(&key, Change::Labels(labels))),
            Event::Routes { key, routes, source_routes } => {
                self.write(&key, Change::Routes { routes, source_routes });
            }
            Event::Lease { key, leased } => drop(self.write(&key, Change::Lease(leased))),
            Event::Death { key } => self.set_phase(&key, Phase::Death),
            Event::Gone { key } => self.forget(&key),
        }
    }

    /// Chooses addresses for a new endpoint of `network`, lets `complete` make the record of them, and writes it down.
    /// Nothing is kept if anything fails.
    pub fn begin_birth(
        &mut self,
        key: &EndpointKey,
        network: &Network,
        request: &Request,
        complete: impl FnOnce(&[(IpAddr, &Pool)], &[Family]) -> Endpoint,
    ) -> Result<Arc<Endpoint>, LedgerError> {
        let same_link = self.by_host_link.get(&key.host_link()).and_then(|other| self.entries.get(other));
        if let Some(entry) = same_link.or_else(|| self.entries.get(key)) {
            let network = entry.endpoint.network.to_string();
            return Err(LedgerError::Exists { key: entry.endpoint.key.clone(), network });
        }
        // An agent that reads of this birth must not think that the address is still another's.
        if self.is_behind {
            self.rewrite()?;
        }
        let chosen = self.leases.choose(network, request)?;
        let taken = self.default_families(&key.container);
        let endpoint = Arc::new(complete(&chosen, &taken));
        let live = self.entries.len() + 1;
        self.journal.append_reserving(&Event::Birth { endpoint: Box::new((*endpoint).clone()) }, live)?;
        self.hold(&endpoint)?;
        self.insert(Arc::clone(&endpoint));
        Ok(endpoint)
    }

    /// Families of which an interface of the container has the default route.
    pub fn default_families(&self, container: &ContainerId) -> Vec<Family> {
        let beside = self.of_container(container).filter(|entry| entry.phase != Phase::Death);
        let has = |family: &Family| {
            let is_had = |endpoint: &Endpoint| {
                has_default(&endpoint.routes, *family) || endpoint.foreign_defaults.contains(family)
            };
            beside.clone().any(|entry| is_had(&entry.endpoint))
        };
        Family::ALL.into_iter().filter(has).collect()
    }

    /// All that is known of a container, by interface.
    pub fn of_container<'a>(&'a self, container: &'a ContainerId) -> impl Iterator<Item = &'a Entry> + Clone {
        // No name of an interface comes before it.
        let ifname = IfName::parse("!").expect("a byte that is neither white nor refused");
        let first = EndpointKey { container: container.clone(), ifname };
        self.entries.range(first..).take_while(move |(key, _)| key.container == *container).map(|(_, entry)| entry)
    }

    /// The endpoint is made.
    pub fn finish_birth(&mut self, key: &EndpointKey) -> Result<(), JournalError> {
        self.journal.append(&Event::Live { key: key.clone() })?;
        self.set_phase(key, Phase::Live);
        Ok(())
    }

    /// A part of the endpoint is another from now on: gives back the new record, if there is one.
    pub fn change(&mut self, key: &EndpointKey, change: Change) -> Result<Option<Arc<Endpoint>>, JournalError> {
        self.journal.append_reserving(&change.event(key.clone()), self.entries.len())?;
        let written = self.write(key, change);
        self.compact_if_long();
        Ok(written)
    }

    /// The endpoint has other addresses from now on, which its LAN gave it: gives back the new record, if there is one.
    /// Refused while another has one of them.
    pub fn lease(&mut self, key: &EndpointKey, leased: Leased) -> Result<Option<Arc<Endpoint>>, LedgerError> {
        for address in leased.addresses.iter().map(IpNet::addr) {
            if let Some(holder) = self.leases.holder(address).filter(|holder| *holder != key) {
                return Err(Held { address, holder: holder.clone() }.into());
            }
        }
        Ok(self.change(key, Change::Lease(Box::new(leased)))?)
    }

    /// The endpoint will be taken down. A journal that fails does not keep it alive: an agent that starts later
    /// finds its link gone and comes to the same end, and nobody is born before the journal knows.
    pub fn begin_death(&mut self, key: &EndpointKey) {
        self.append_or_log(&Event::Death { key: key.clone() });
        self.set_phase(key, Phase::Death);
    }

    /// The endpoint is gone from the kernel: its addresses are free.
    pub fn finish_death(&mut self, key: &EndpointKey) {
        self.append_or_log(&Event::Gone { key: key.clone() });
        self.forget(key);
        self.compact_if_long();
    }

    /// Begins to lease from the pools of a network, and stops to lease from all others.
    pub fn set_pools(&mut self, pools: &[IpNet]) {
        let open: Vec<IpNet> = self.leases.open_pools().copied().collect();
        for pool in open.iter().filter(|pool| !pools.contains(pool)) {
            self.append_or_log(&Event::Close { pool: *pool });
            self.leases.close(*pool);
        }
        for pool in pools.iter().filter(|pool| !open.contains(pool)) {
            self.append_or_log(&Event::Open { pool: *pool });
            self.leases.open(*pool);
        }
    }

    /// The record of an endpoint.
    pub fn get(&self, key: &EndpointKey) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// The endpoint that has an address.
    pub fn at(&self, address: IpAddr) -> Option<&Arc<Endpoint>> {
        Some(&self.get(self.leases().holder(address)?)?.endpoint)
    }

    /// The endpoint whose link has this end on the host.
    pub fn by_host_link(&self, link: &IfName) -> Option<&Entry> {
        self.by_host_link.get(link).and_then(|key| self.entries.get(key))
    }

    /// Every record, by container and interface.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// Endpoints that are made.
    pub fn live(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.entries.values().filter(|entry| entry.phase == Phase::Live).map(|entry| &entry.endpoint)
    }

    /// The book of leases.
    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    fn hold(&mut self, endpoint: &Endpoint) -> Result<(), Held> {
        for (n, net) in endpoint.addresses.iter().enumerate() {
            if let Err(held) = self.leases.hold(net.addr(), &endpoint.key) {
                for earlier in &endpoint.addresses[..n] {
                    self.leases.release(earlier.addr(), &endpoint.key);
                }
                return Err(held);
            }
        }
        Ok(())
    }

    fn insert(&mut self, endpoint: Arc<Endpoint>) {
        self.by_host_link.insert(endpoint.key.host_link(), endpoint.key.clone());
        self.entries.insert(endpoint.key.clone(), Entry { endpoint, phase: Phase::Birth });
    }

    fn set_phase(&mut self, key: &EndpointKey, phase: Phase) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.phase = phase;
        }
    }

    fn write(&mut self, key: &EndpointKey, change: Change) -> Option<Arc<Endpoint>> {
        let mut endpoint = (*self.entries.get(key)?.endpoint).clone();
        let before = endpoint.addresses.clone();
        change.write(&mut endpoint);
        if endpoint.addresses != before {
            self.follow(&before, &mut endpoint);
        }
        let entry = self.entries.get_mut(key)?;
        entry.endpoint = Arc::new(endpoint);
        Some(Arc::clone(&entry.endpoint))
    }

    /// Has the book hold the addresses that `endpoint` has now, and no more those that it had `before`.
    fn follow(&mut self, before: &[IpNet], endpoint: &mut Endpoint) {
        let now: Vec<IpAddr> = endpoint.addresses.iter().map(IpNet::addr).collect();
        for gone in before.iter().map(IpNet::addr).filter(|gone| !now.contains(gone)) {
            self.leases.release(gone, &endpoint.key);
        }
        let (leases, key) = (&mut self.leases, &endpoint.key);
        endpoint.addresses.retain(|net| match leases.hold(net.addr(), key) {
            Ok(()) => true,
            Err(held) => {
                tracing::error!(endpoint = %key, %held, "an address of the ledger is dropped");
                false
            }
        });
    }

    fn forget(&mut self, key: &EndpointKey) {
        let Some(entry) = self.entries.remove(key) else { return };
        self.by_host_link.remove(&key.host_link());
        for net in &entry.endpoint.addresses {
            self.leases.release(net.addr(), key);
        }
    }

    fn append_or_log(&mut self, event: &Event) {
        if let Err(error) = self.journal.append(event) {
            self.is_behind = true;
            tracing::error!(%error, "the ledger on disk falls behind");
        }
    }

    fn compact_if_long(&mut self) {
        if !self.journal.is_long(self.entries.len()) {
            return;
        }
        if let Err(error) = self.rewrite() {
            tracing::warn!(%error, "the ledger cannot be shortened; it goes on as it is");
        }
    }

    /// Writes the present state anew: once history outweighs it, or if some of it is missing.
    fn rewrite(&mut self) -> Result<(), JournalError> {
        let pools: Vec<IpNet> = self.leases.open_pools().copied().collect();
        let mut events: Vec<Event> = Vec::new();
        for pool in pools {
            events.push(Event::Open { pool });
            events.extend(self.leases.recent_in(&pool).map(|address| Event::Released { address }));
        }
        for entry in self.entries.values() {
            let key = || entry.endpoint.key.clone();
            events.push(Event::Birth { endpoint: Box::new((*entry.endpoint).clone()) });
            match entry.phase {
                Phase::Birth => {}
                Phase::Live => events.push(Event::Live { key: key() }),
                Phase::Death => events.push(Event::Death { key: key() }),
            }
        }
        self.journal.rewrite(&events, self.entries.len())?;
        self.is_behind = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use weft_model::{
        Attachment, Availability, Dns, Duid, Grant, GrantedRoute, Labels, Lease, LeaseServer, LeaseTimes, Limit,
        Limits, Mode, NetworkName, NetworkSpec, Route, Transport,
    };

    struct Everything;

    impl Availability for Everything {
        fn attachment(&self, _: Attachment) -> Result<(), String> {
            Ok(())
        }

        fn transport(&self, _: Transport) -> Result<(), String> {
            Ok(())
        }
    }

    fn network() -> Network {
        let spec =
            NetworkSpec { mode: Some(Mode::Routed), pools: vec!["10.1.0.0/28".to_owned()], ..NetworkSpec::default() };
        spec.resolve(&NetworkName::parse("app").unwrap(), &Labels::new(), &Everything).unwrap()
    }

    fn key(n: u32) -> EndpointKey {
        EndpointKey { container: format!("c{n}").parse().unwrap(), ifname: "eth0".parse().unwrap() }
    }

    fn record(key: &EndpointKey, network: &Network, chosen: &[(IpAddr, &Pool)]) -> Endpoint {
        serde_json::from_value(serde_json::json!({
            "key": key, "network": network.name, "namespace": "default", "name": "x",
            "netns": {"path": "/x", "device": 1, "inode": 2}, "attachment": "routed",
            "addresses": chosen.iter().map(|(ip, _)| IpNet::from(*ip)).collect::<Vec<_>>(),
            "mtu": 1500, "born_s": 0,
        }))
        .unwrap()
    }

    fn birth(ledger: &mut Ledger, network: &Network, n: u32) -> Result<IpAddr, LedgerError> {
        let key = key(n);
        let born = ledger.begin_birth(&key, network, &Request::default(), |chosen, _| record(&key, network, chosen))?;
        ledger.finish_birth(&key)?;
        Ok(born.addresses[0].addr())
    }

    fn death(ledger: &mut Ledger, n: u32) {
        ledger.begin_death(&key(n));
        ledger.finish_death(&key(n));
    }

    /// Goes with the test.
    struct Directory(std::path::PathBuf);

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    impl std::ops::Deref for Directory {
        type Target = Path;

        fn deref(&self) -> &Path {
            &self.0
        }
    }

    fn directory(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("weft-ledger-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    fn open(path: &Path, network: &Network) -> Ledger {
        let mut ledger = Ledger::open(path).unwrap();
        ledger.set_pools(&network.pools.iter().map(|pool| pool.subnet).collect::<Vec<_>>());
        ledger
    }

    #[test]
    fn a_new_agent_finds_what_the_last_one_knew_also_the_order_of_release() {
        let (path, network) = (directory("reopen"), network());
        let mut ledger = open(&path, &network);
        for n in 0..14 {
            birth(&mut ledger, &network, n).unwrap();
        }
        for n in [5, 2, 9] {
            death(&mut ledger, n);
        }
        drop(ledger);
        let bytes = || std::fs::read(path.join(FILE)).unwrap();
        let before = bytes();
        assert_eq!(read_endpoints(&path).unwrap().len(), 11);
        assert_eq!(bytes(), before, "whoever only reads leaves it as it is");
        let mut ledger = open(&path, &network);
        assert_eq!(ledger.live().count(), 11);
        let again: Vec<_> = (20..23).map(|n| birth(&mut ledger, &network, n).unwrap().to_string()).collect();
        assert_eq!(again, ["10.1.0.6", "10.1.0.3", "10.1.0.10"]);
    }

    #[test]
    fn a_rewritten_ledger_says_the_same() {
        let (path, network) = (directory("rewrite"), network());
        let mut ledger = open(&path, &network);
        birth(&mut ledger, &network, 0).unwrap();
        for n in 0..20_000 {
            birth(&mut ledger, &network, 1 + n % 13).unwrap();
            death(&mut ledger, 1 + n % 13);
        }
        let size = std::fs::metadata(path.join("ledger")).unwrap().len();
        assert!(size < 4 << 20, "{size} bytes for one endpoint");
        let expected = birth(&mut ledger, &network, 77).unwrap();
        death(&mut ledger, 77);
        drop(ledger);
        let mut ledger = open(&path, &network);
        assert_eq!(ledger.live().count(), 1);
        for n in 0..12 {
            assert_ne!(birth(&mut ledger, &network, 100 + n).unwrap(), expected, "it was released last");
        }
        assert_eq!(birth(&mut ledger, &network, 200).unwrap(), expected);
    }

    #[test]
    fn what_was_under_way_is_seen_as_such() {
        let (path, network) = (directory("phases"), network());
        let mut ledger = open(&path, &network);
        let begun = key(1);
        ledger
            .begin_birth(&begun, &network, &Request::default(), |chosen, _| record(&begun, &network, chosen))
            .unwrap();
        birth(&mut ledger, &network, 2).unwrap();
        ledger.begin_death(&key(2));
        drop(ledger);
        let ledger = open(&path, &network);
        assert_eq!(ledger.get(&key(1)).map(|entry| entry.phase), Some(Phase::Birth));
        assert_eq!(ledger.get(&key(2)).map(|entry| entry.phase), Some(Phase::Death));
    }

    #[test]
    fn changes_are_remembered_as_they_were_made_last() {
        let limits =
            |rate| Change::Limits(Limits { egress: Some(Limit { rate, burst: 131_072 }), ..Limits::default() });
        let allowed = |n: u64| {
            let first = u32::try_from(n).unwrap();
            Change::Allowed((first..first + 3).map(|ip| IpNet::from(IpAddr::from(ip.to_be_bytes()))).collect())
        };
        let labels = |n: u64| Change::Labels(BTreeMap::from([("app".to_owned(), n.to_string())]));
        let routes = |n: u64| {
            let route = |third: u64| Route { to: format!("10.9.{}.0/24", third % 256).parse().unwrap(), via: None };
            Change::Routes { routes: vec![route(n), route(n + 1)], source_routes: vec![route(n + 2)] }
        };
        let lease = |n: u64| {
            let times = LeaseTimes {
                granted_s: n,
                granted_unix_s: 0,
                renew_s: 60,
                rebind_s: 105,
                preferred_s: Some(120),
                lifetime_s: Some(120),
            };
            let grant = Grant {
                address: format!("192.168.1.{}/24", n % 200).parse().unwrap(),
                gateways: vec!["192.168.1.1".parse().unwrap()],
                routes: vec![GrantedRoute { to: "10.0.0.0/8".parse().unwrap(), via: None }],
                dns: Vec::new(),
                domain: Some("lan".to_owned()),
                search: Vec::new(),
                mtu: None,
                server: LeaseServer::Duid(Duid::of(&[0, 4, 1]).unwrap()),
                times,
            };
            Change::Lease(Box::new(Leased {
                addresses: vec![grant.address],
                gateways: grant.gateways.clone(),
                routes: vec![Route { to: "0.0.0.0/0".parse().unwrap(), via: None }],
                source_routes: Vec::new(),
                mtu: 1400,
                dns: Dns { searches: vec!["lan".to_owned()], ..Dns::default() },
                lease: Lease { v4: Some(grant), ..Lease::default() },
            }))
        };
        let changes: [(Change, &dyn Fn(u64) -> Change); 5] = [
            (Change::Limits(Limits::default()), &limits),
            (Change::Allowed(BTreeSet::new()), &allowed),
            (Change::Labels(BTreeMap::new()), &labels),
            (Change::Routes { routes: Vec::new(), source_routes: Vec::new() }, &routes),
            (Change::Lease(Box::default()), &lease),
        ];
        for (n, (none, change)) in changes.into_iter().enumerate() {
            let (path, network) = (directory(&format!("changes-{n}")), network());
            let mut ledger = open(&path, &network);
            birth(&mut ledger, &network, 1).unwrap();
            birth(&mut ledger, &network, 2).unwrap();
            for n in 0..20_000 {
                ledger.change(&key(1), change(n)).unwrap();
            }
            ledger.change(&key(2), change(7)).unwrap();
            ledger.change(&key(2), none.clone()).unwrap();
            assert_eq!(ledger.change(&key(3), change(7)).unwrap(), None, "nobody");
            let size = std::fs::metadata(path.join("ledger")).unwrap().len();
            assert!(size < 2 << 20, "{size} bytes for two endpoints");
            drop(ledger);
            let expected = [change(19_999), none];
            let ledger = open(&path, &network);
            assert_eq!(ledger.live().map(|endpoint| expected[0].undo(endpoint)).collect::<Vec<_>>(), expected);
            let read = read_endpoints(&path).unwrap();
            assert_eq!(read.iter().map(|endpoint| expected[0].undo(endpoint)).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn the_book_follows_a_lease_and_lets_nobody_have_what_another_holds() {
        let (path, network) = (directory("lease"), network());
        let mut ledger = open(&path, &network);
        let first = birth(&mut ledger, &network, 1).unwrap();
        birth(&mut ledger, &network, 2).unwrap();
        let with = |text: &str| Leased { addresses: vec![text.parse().unwrap()], ..Leased::default() };
        let holder = |ledger: &Ledger, text: &str| ledger.leases().holder(text.parse().unwrap()).cloned();
        for n in [1, 2] {
            ledger.lease(&key(n), with(&format!("192.168.1.{n}/24"))).unwrap();
        }
        assert_eq!(ledger.leases().holder(first), None, "what it had before is free");
        let error = ledger.lease(&key(2), with("192.168.1.1/24")).unwrap_err().to_string();
        assert_eq!(error, "address 192.168.1.1 is held by c1@eth0");
        ledger.lease(&key(1), with("192.168.1.9/16")).unwrap();
        ledger.lease(&key(2), with("192.168.1.1/24")).unwrap();
        drop(ledger);
        let mut ledger = open(&path, &network);
        let held = ["192.168.1.9", "192.168.1.1", "192.168.1.2"].map(|ip| holder(&ledger, ip));
        assert_eq!(held, [Some(key(1)), Some(key(2)), None]);
        assert_eq!(ledger.lease(&key(3), with("192.168.1.3/24")).unwrap(), None, "nobody");
        death(&mut ledger, 1);
        assert_eq!(holder(&ledger, "192.168.1.9"), None);
    }

    #[test]
    fn a_clock_that_jumps_changes_nothing() {
        let (path, network) = (directory("clock"), network());
        let mut ledger = open(&path, &network);
        for (n, born_s) in [(1, u64::MAX), (2, 0), (3, 1 << 40)] {
            let key = key(n);
            let complete =
                |chosen: &[(IpAddr, &Pool)], _: &[Family]| Endpoint { born_s, ..record(&key, &network, chosen) };
            ledger.begin_birth(&key, &network, &Request::default(), complete).unwrap();
            ledger.finish_birth(&key).unwrap();
        }
        death(&mut ledger, 1);
        death(&mut ledger, 3);
        drop(ledger);
        let mut ledger = open(&path, &network);
        assert_eq!(ledger.live().map(|endpoint| endpoint.born_s).collect::<Vec<_>>(), [0]);
        let next: Vec<_> = (4..17).map(|n| birth(&mut ledger, &network, n).unwrap().to_string()).collect();
        assert_eq!(next[11..], ["10.1.0.1", "10.1.0.3"], "the longest free first");
    }

    #[test]
    fn a_second_endpoint_of_the_same_interface_is_refused() {
        let (path, network) = (directory("twice"), network());
        let mut ledger = open(&path, &network);
        birth(&mut ledger, &network, 1).unwrap();
        let error = birth(&mut ledger, &network, 1).unwrap_err();
        assert_eq!(error.to_string(), "endpoint c1@eth0 exists on network app");
        assert_eq!(ledger.leases().held_in(&network.pools[0].subnet).count(), 1);
    }

    #[test]
    fn a_torn_or_foreign_tail_is_cut_off_and_the_rest_is_kept() {
        let (path, network) = (directory("torn"), network());
        let mut ledger = open(&path, &network);
        birth(&mut ledger, &network, 1).unwrap();
        drop(ledger);
        let file = path.join("ledger");
        let whole = std::fs::read(&file).unwrap();
        for tail in [&b"0bad"[..], b"deadbeef {\"gone\":{}}\n", &[0xff, 0, 0x80, b'\n']] {
            std::fs::write(&file, [&whole, tail].concat()).unwrap();
            let mut ledger = open(&path, &network);
            assert_eq!(ledger.live().count(), 1);
            birth(&mut ledger, &network, 2).unwrap();
            drop(ledger);
            assert_eq!(open(&path, &network).live().count(), 2, "what was written behind the cut is read");
        }
    }
}
