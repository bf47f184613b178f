//! All that is known of services, and what it comes to.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use weft_model::{
    EndpointKey, Family, Labels, NamedPort, NetworkName, PortTarget, Protocol, Service, ServiceKey, ServicePort, Slice,
    fnv32,
};

use crate::serve::{Answer, Nearness, Server, answer};

/// Number of a service's port: no two have the same, and one that is taken away and comes again often has it again.
pub type PortNumber = u32;
/// Number of a set of backends; 0 is that of none.
pub type SetNumber = u32;
/// Number of a view.
pub type ViewNumber = u32;
/// The view of the host's own processes, who reach everybody.
pub const HOST: ViewNumber = 1;

/// An endpoint of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Container and interface.
    pub key: EndpointKey,
    /// Its namespace.
    pub namespace: String,
    /// Its labels.
    pub labels: Labels,
    /// Its ports that have names.
    pub ports: Vec<NamedPort>,
    /// The network it is on.
    pub network: NetworkName,
    /// Its addresses: the first of each family serves.
    pub addresses: Vec<IpAddr>,
}

/// Whom endpoints of a network reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// Networks besides their own.
    pub peers: BTreeSet<NetworkName>,
    /// They reach nobody outside.
    pub is_internal: bool,
}

/// Where a client is led.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Backend {
    /// Whose address.
    pub address: IpAddr,
    /// The port there.
    pub port: u16,
}

/// A port of a service's address, as a view has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Frontend {
    /// Whose.
    pub view: ViewNumber,
    /// The service's address.
    pub address: IpAddr,
    /// By which protocol.
    pub protocol: Protocol,
    /// The port there.
    pub port: u16,
}

/// What is behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Number of the service's port.
    pub service: PortNumber,
    /// The backends; 0 if there are none.
    pub set: SetNumber,
    /// How many they are.
    pub count: u32,
    /// There are some elsewhere that may not serve here.
    pub is_elsewhere: bool,
    /// How long a client stays with one, in seconds.
    pub affinity_s: Option<u32>,
}

/// Backends that are chosen among.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Set {
    /// In the order of their addresses.
    pub backends: Vec<Backend>,
    /// Clients stay with one: it has to be found in the set.
    pub is_sticky: bool,
}

/// What comes and goes. What is gone is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Sets that are new.
    pub sets: BTreeMap<SetNumber, Set>,
    /// Ports of addresses.
    pub frontends: BTreeMap<Frontend, Option<Target>>,
    /// Sets that nobody has any more.
    pub gone: BTreeMap<SetNumber, Set>,
    /// Ports of services that are not there any more.
    pub ports: BTreeSet<PortNumber>,
    /// How often somebody was asked whom a view reaches: what the change cost.
    pub asked: u64,
}

/// Somebody who serves a port of a service, whoever reaches him.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// Name of the service's port.
    pub port: String,
    /// By which protocol.
    pub protocol: Protocol,
    /// Where.
    pub backend: Backend,
    /// The network, of an endpoint of this host.
    pub network: Option<NetworkName>,
    /// It gets new connections, if who wants them reaches it.
    pub is_ready: bool,
    /// It is about to end.
    pub is_terminating: bool,
}

/// All that is known.
#[derive(Debug, Default)]
pub struct Catalog {
    /// What this host is called, by which slices tell where somebody is.
    node: String,
    services: BTreeMap<ServiceKey, Service>,
    addresses: BTreeMap<IpAddr, ServiceKey>,
    /// Services that select by labels: by namespace and one label that they ask for.
    selecting: BTreeMap<String, BTreeMap<(String, String), BTreeSet<ServiceKey>>>,
    numbers: BTreeMap<(ServiceKey, String), PortNumber>,
    origins: BTreeMap<PortNumber, (ServiceKey, String)>,
    slices: BTreeMap<ServiceKey, Slice>,
    slices_of: BTreeMap<ServiceKey, BTreeSet<ServiceKey>>,
    /// Services of which slices name an address.
    named: BTreeMap<IpAddr, BTreeSet<ServiceKey>>,
    candidates: BTreeMap<EndpointKey, Candidate>,
    candidates_in: BTreeMap<String, BTreeSet<EndpointKey>>,
    holders: BTreeMap<IpAddr, EndpointKey>,
    networks: BTreeMap<NetworkName, Reach>,
    views: BTreeMap<ViewNumber, View>,
    view_numbers: BTreeMap<BTreeSet<NetworkName>, ViewNumber>,
    dirty: BTreeSet<ServiceKey>,
    written: BTreeMap<ServiceKey, BTreeMap<Frontend, Target>>,
    sets: Sets,
    next_view: ViewNumber,
    changes: Changes,
}

#[derive(Debug)]
struct View {
    networks: BTreeSet<NetworkName>,
    holds: usize,
}

/// Sets by what is in them, as long as somebody has them.
#[derive(Debug, Default)]
struct Sets {
    numbers: BTreeMap<Set, SetNumber>,
    kept: BTreeMap<SetNumber, (Set, usize)>,
    next: SetNumber,
}

impl Sets {
    fn hold(&mut self, set: Set, changes: &mut Changes) -> SetNumber {
        if let Some(number) = self.numbers.get(&set) {
            if let Some((_, holds)) = self.kept.get_mut(number) {
                *holds += 1;
            }
            return *number;
        }
        self.next += 1;
        self.numbers.insert(set.clone(), self.next);
        self.kept.insert(self.next, (set.clone(), 1));
        changes.sets.insert(self.next, set);
        self.next
    }

    fn release(&mut self, number: SetNumber, changes: &mut Changes) {
        let Some((_, holds)) = self.kept.get_mut(&number) else { return };
        *holds -= 1;
        if *holds > 0 {
            return;
        }
        let Some((set, _)) = self.kept.remove(&number) else { return };
        self.numbers.remove(&set);
        if changes.sets.remove(&number).is_none() {
            changes.gone.insert(number, set);
        }
    }
}

impl Catalog {
    /// For the host of this name.
    pub fn new(node: &str) -> Self {
        let host = View { networks: BTreeSet::new(), holds: 1 };
        Self { node: node.to_owned(), views: [(HOST, host)].into(), next_view: HOST, ..Self::default() }
    }

    /// Numbers up to these are of sets and views that an earlier catalogue had.
    pub fn reserve(&mut self, set: SetNumber, view: ViewNumber) {
        self.sets.next = self.sets.next.max(set);
        self.next_view = self.next_view.max(view);
    }

    /// Puts a service in place of the one of that name.
    pub fn set_service(&mut self, service: Service) {
        if self.services.get(&service.key) == Some(&service) {
            return;
        }
        let key = service.key.clone();
        self.unlist(&key);
        if let Some((name, value)) = service.selector.first_key_value() {
            let by_label = self.selecting.entry(key.namespace.clone()).or_default();
            by_label.entry((name.clone(), value.clone())).or_default().insert(key.clone());
        }
        for address in &service.addresses {
            self.addresses.insert(*address, key.clone());
        }
        self.services.insert(key.clone(), service);
        self.dirty.insert(key);
    }

    /// Takes a service away.
    pub fn remove_service(&mut self, key: &ServiceKey) {
        self.unlist(key);
        if self.services.remove(key).is_some() {
            self.dirty.insert(key.clone());
        }
    }

    fn unlist(&mut self, key: &ServiceKey) {
        let Some(former) = self.services.get(key) else { return };
        for address in &former.addresses {
            if self.addresses.get(address) == Some(key) {
                self.addresses.remove(address);
            }
        }
        let Some((name, value)) = former.selector.first_key_value() else { return };
        let Some(by_label) = self.selecting.get_mut(&key.namespace) else { return };
        let label = (name.clone(), value.clone());
        if let Some(services) = by_label.get_mut(&label) {
            services.remove(key);
            if services.is_empty() {
                by_label.remove(&label);
            }
        }
        if by_label.is_empty() {
            self.selecting.remove(&key.namespace);
        }
    }

    /// Puts a slice in place of the one of that name.
    pub fn set_slice(&mut self, slice: Slice) {
        if self.slices.get(&slice.key) == Some(&slice) {
            return;
        }
        self.remove_slice(&slice.key.clone());
        if let Some(service) = service_of(&slice) {
            self.slices_of.entry(service.clone()).or_default().insert(slice.key.clone());
            for endpoint in &slice.endpoints {
                self.named.entry(endpoint.address).or_default().insert(service.clone());
            }
            self.dirty.insert(service);
        }
        self.slices.insert(slice.key.clone(), slice);
    }

    /// Takes a slice away.
    pub fn remove_slice(&mut self, key: &ServiceKey) {
        let Some(former) = self.slices.remove(key) else { return };
        let Some(service) = service_of(&former) else { return };
        if let Some(slices) = self.slices_of.get_mut(&service) {
            slices.remove(key);
            if slices.is_empty() {
                self.slices_of.remove(&service);
            }
        }
        let rest: Vec<_> = self.slices_of.get(&service).into_iter().flatten().cloned().collect();
        for endpoint in &former.endpoints {
            let is_named = |slice: &ServiceKey| {
                self.slices
                    .get(slice)
                    .is_some_and(|slice| slice.endpoints.iter().any(|e| e.address == endpoint.address))
            };
            if rest.iter().any(is_named) {
                continue;
            }
            if let Some(services) = self.named.get_mut(&endpoint.address) {
                services.remove(&service);
                if services.is_empty() {
                    self.named.remove(&endpoint.address);
                }
            }
        }
        self.dirty.insert(service);
    }

    /// An endpoint is there, or has changed.
    pub fn set_candidate(&mut self, candidate: Candidate) {
        if self.candidates.get(&candidate.key) == Some(&candidate) {
            return;
        }
        self.remove_candidate(&candidate.key.clone());
        self.touch(&candidate);
        self.candidates_in.entry(candidate.namespace.clone()).or_default().insert(candidate.key.clone());
        for address in &candidate.addresses {
            self.holders.insert(*address, candidate.key.clone());
        }
        self.candidates.insert(candidate.key.clone(), candidate);
    }

    /// An endpoint is not there any more.
    pub fn remove_candidate(&mut self, key: &EndpointKey) {
        let Some(former) = self.candidates.remove(key) else { return };
        if let Some(inside) = self.candidates_in.get_mut(&former.namespace) {
            inside.remove(key);
            if inside.is_empty() {
                self.candidates_in.remove(&former.namespace);
            }
        }
        for address in &former.addresses {
            if self.holders.get(address) == Some(key) {
                self.holders.remove(address);
            }
        }
        self.touch(&former);
    }

    /// Services that an endpoint serves have to be looked at again.
    fn touch(&mut self, candidate: &Candidate) {
        let selected = self.selected_by(candidate);
        self.dirty.extend(selected);
        for address in &candidate.addresses {
            self.dirty.extend(self.named.get(address).into_iter().flatten().cloned());
        }
    }

    /// Services that select an endpoint by its labels.
    fn selected_by(&self, candidate: &Candidate) -> Vec<ServiceKey> {
        let Some(by_label) = self.selecting.get(&candidate.namespace) else { return Vec::new() };
        let labels = candidate.labels.iter().map(|(name, value)| (name.clone(), value.clone()));
        let asked = labels.filter_map(|label| by_label.get(&label)).flatten();
        asked.filter(|key| self.services.get(key).is_some_and(|service| selects(service, candidate))).cloned().collect()
    }

    /// These are the networks, and whom their endpoints reach.
    pub fn set_networks(&mut self, networks: BTreeMap<NetworkName, Reach>) {
        if self.networks == networks {
            return;
        }
        // Each has the view of who is on it alone, before anybody is: so that no birth has to make it.
        let former: Vec<_> = self.networks.keys().filter(|name| !networks.contains_key(*name)).cloned().collect();
        for name in networks.keys().filter(|name| !self.networks.contains_key(*name)).cloned().collect::<Vec<_>>() {
            self.hold_view([name].into());
        }
        for name in former {
            let number = self.view_numbers.get(&BTreeSet::from([name])).copied();
            number.into_iter().for_each(|number| self.release_view(number));
        }
        self.networks = networks;
        self.dirty.extend(self.services.keys().cloned());
    }

    /// The view of clients on these networks, which stays until it is released.
    pub fn hold_view(&mut self, networks: BTreeSet<NetworkName>) -> ViewNumber {
        if let Some(number) = self.view_numbers.get(&networks) {
            if let Some(view) = self.views.get_mut(number) {
                view.holds += 1;
            }
            return *number;
        }
        self.next_view += 1;
        self.view_numbers.insert(networks.clone(), self.next_view);
        self.views.insert(self.next_view, View { networks, holds: 1 });
        self.dirty.extend(self.services.keys().cloned());
        self.next_view
    }

    /// Lets go of a view.
    pub fn release_view(&mut self, number: ViewNumber) {
        let Some(view) = self.views.get_mut(&number) else { return };
        view.holds -= 1;
        if view.holds == 0
            && let Some(view) = self.views.remove(&number)
        {
            self.view_numbers.remove(&view.networks);
            self.dirty.extend(self.services.keys().cloned());
        }
    }

    /// What has come and gone since this was asked last.
    pub fn take_changes(&mut self) -> Changes {
        self.settle();
        std::mem::take(&mut self.changes)
    }

    /// All that there is, as if it had come now.
    pub fn everything(&mut self) -> Changes {
        self.settle();
        let frontends = self.written.values().flatten().map(|(frontend, target)| (*frontend, Some(*target)));
        Changes {
            sets: self.sets.kept.iter().map(|(number, (set, _))| (*number, set.clone())).collect(),
            frontends: frontends.collect(),
            ..Changes::default()
        }
    }

    /// Frontends, backends, and backends of sets that clients stay with.
    pub fn size(&mut self) -> [usize; 3] {
        self.settle();
        let count = |is_wanted: fn(&Set) -> bool| -> usize {
            self.sets.kept.values().filter(|(set, _)| is_wanted(set)).map(|(set, _)| set.backends.len()).sum()
        };
        [self.written.values().map(BTreeMap::len).sum(), count(|_| true), count(|set| set.is_sticky)]
    }

    /// A service.
    pub fn service(&self, key: &ServiceKey) -> Option<&Service> {
        self.services.get(key)
    }

    /// All services.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.values()
    }

    /// The service that has an address.
    pub fn holder(&self, address: IpAddr) -> Option<&Service> {
        self.services.get(self.addresses.get(&address)?)
    }

    /// The number of a service's port, once it has one.
    pub fn number(&self, key: &ServiceKey, port: &str) -> Option<PortNumber> {
        self.numbers.get(&(key.clone(), port.to_owned())).copied()
    }

    /// Service and port's name of a number.
    pub fn origin(&self, number: PortNumber) -> Option<&(ServiceKey, String)> {
        self.origins.get(&number)
    }

    /// All who serve a service, of whom a client gets those that it reaches.
    pub fn served(&self, key: &ServiceKey) -> Vec<Served> {
        let Some(service) = self.services.get(key) else { return Vec::new() };
        let of_port = |port: &ServicePort| -> Vec<Served> {
            let servers = self.servers(service, port).into_iter();
            let served = servers.map(|server| Served {
                port: port.name.clone(),
                protocol: port.protocol,
                backend: server.backend,
                network: server.endpoint.map(|(network, _)| network),
                is_ready: server.is_ready,
                is_terminating: server.is_terminating,
            });
            served.collect()
        };
        service.ports.iter().flat_map(of_port).collect()
    }

    /// What a client of a view finds at a port of an address, and the backends; `None` if that is no service's that it
    /// reaches.
    pub fn find(&self, frontend: &Frontend) -> Option<(Target, &[Backend])> {
        let target = *self.written.get(self.addresses.get(&frontend.address)?)?.get(frontend)?;
        let backends = self.sets.kept.get(&target.set).map(|(set, _)| set.backends.as_slice());
        Some((target, backends.unwrap_or_default()))
    }

    fn settle(&mut self) {
        for key in std::mem::take(&mut self.dirty) {
            self.work_out(&key);
        }
    }

    fn work_out(&mut self, key: &ServiceKey) {
        let former = self.written.remove(key).unwrap_or_default();
        let mut now = BTreeMap::new();
        if let Some(service) = self.services.get(key).cloned() {
            for port in &service.ports {
                let number = self.number_port(key, &port.name);
                let servers = self.servers(&service, port);
                for address in &service.addresses {
                    let of_family: Vec<_> = servers
                        .iter()
                        .filter(|server| server.backend.address.is_ipv4() == address.is_ipv4())
                        .cloned()
                        .collect();
                    self.lead(&service, port, number, (*address, &of_family), &mut now);
                }
            }
        }
        let ports: BTreeSet<&str> =
            self.services.get(key).map(|s| s.ports.iter().map(|port| port.name.as_str()).collect()).unwrap_or_default();
        let gone: Vec<_> = self
            .numbers
            .range((key.clone(), String::new())..)
            .take_while(|((service, _), _)| service == key)
            .filter(|((_, name), _)| !ports.contains(name.as_str()))
            .map(|(port, number)| (port.clone(), *number))
            .collect();
        for (port, number) in gone {
            self.numbers.remove(&port);
            self.origins.remove(&number);
            self.changes.ports.insert(number);
        }
        for (frontend, target) in &now {
            if former.get(frontend) != Some(target) {
                self.changes.frontends.insert(*frontend, Some(*target));
            }
        }
        for (frontend, target) in former {
            if !now.contains_key(&frontend) {
                self.changes.frontends.insert(frontend, None);
            }
            self.sets.release(target.set, &mut self.changes);
        }
        if !now.is_empty() {
            self.written.insert(key.clone(), now);
        }
    }

    /// What all views have at a port of an address.
    fn lead(
        &mut self,
        service: &Service,
        port: &ServicePort,
        number: PortNumber,
        (address, servers): (IpAddr, &[Server]),
        now: &mut BTreeMap<Frontend, Target>,
    ) {
        for (view, known) in &self.views {
            self.changes.asked += servers.len() as u64;
            let reaches = |network: Option<&NetworkName>| match *view {
                HOST => Some(Nearness::Same),
                _ => self.reach(&known.networks, network),
            };
            let answer = answer(servers, service.internal_policy, reaches);
            let is_sticky = service.affinity_s.is_some() || port.protocol == Protocol::UDP;
            let (backends, is_elsewhere) = match answer {
                Answer::Backends(backends) => (backends, false),
                Answer::Nobody => (Vec::new(), false),
                Answer::Elsewhere => (Vec::new(), true),
                Answer::Hidden => continue,
            };
            let count = u32::try_from(backends.len()).unwrap_or(u32::MAX);
            let set = match count {
                0 => 0,
                _ => self.sets.hold(Set { backends, is_sticky }, &mut self.changes),
            };
            let frontend = Frontend { view: *view, address, protocol: port.protocol, port: port.number };
            let target = Target { service: number, set, count, is_elsewhere, affinity_s: service.affinity_s };
            now.insert(frontend, target);
        }
    }

    /// How clients on some networks reach somebody; `None` if they do not.
    fn reach(&self, own: &BTreeSet<NetworkName>, other: Option<&NetworkName>) -> Option<Nearness> {
        let Some(other) = other else {
            let leads_out = |name: &NetworkName| self.networks.get(name).is_some_and(|reach| !reach.is_internal);
            return own.iter().any(leads_out).then_some(Nearness::Outside);
        };
        if own.contains(other) {
            return Some(Nearness::Same);
        }
        let has_peer = |name: &NetworkName| self.networks.get(name).is_some_and(|reach| reach.peers.contains(other));
        own.iter().any(has_peer).then_some(Nearness::Peer)
    }

    fn number_port(&mut self, key: &ServiceKey, port: &str) -> PortNumber {
        let place = (key.clone(), port.to_owned());
        if let Some(number) = self.numbers.get(&place) {
            return *number;
        }
        // It follows from the names, so that the next agent gives the same one, but where two have it.
        let mut number = fnv32(&[&key.namespace, &key.name, port]);
        while number == 0 || self.origins.contains_key(&number) {
            number = number.wrapping_add(1);
        }
        self.origins.insert(number, place.clone());
        self.numbers.insert(place, number);
        number
    }

    /// All who serve a port.
    fn servers(&self, service: &Service, port: &ServicePort) -> Vec<Server> {
        let mut servers: BTreeMap<Backend, Server> = BTreeMap::new();
        if !service.selector.is_empty() {
            let inside = self.candidates_in.get(&service.key.namespace).into_iter().flatten();
            let candidates = inside.filter_map(|key| self.candidates.get(key));
            for candidate in candidates.filter(|candidate| selects(service, candidate)) {
                let Some(number) = port_of(candidate, port) else { continue };
                for address in first_of_each(&candidate.addresses) {
                    let backend = Backend { address, port: number };
                    servers.insert(
                        backend,
                        Server {
                            backend,
                            endpoint: Some((candidate.network.clone(), candidate.key.container.clone())),
                            is_local: true,
                            is_ready: true,
                            is_serving: true,
                            is_terminating: false,
                        },
                    );
                }
            }
        }
        let slices = self.slices_of.get(&service.key).into_iter().flatten();
        for slice in slices.filter_map(|key| self.slices.get(key)) {
            let of_port = slice.ports.iter().find(|of| of.name == port.name && of.protocol == port.protocol);
            let Some(number) = of_port.and_then(|of| of.number) else { continue };
            for endpoint in &slice.endpoints {
                let backend = Backend { address: endpoint.address, port: number };
                let here = self.holders.get(&endpoint.address).and_then(|key| self.candidates.get(key));
                let server = Server {
                    backend,
                    endpoint: here.map(|here| (here.network.clone(), here.key.container.clone())),
                    is_local: here.is_some() || endpoint.node.as_deref() == Some(self.node.as_str()),
                    is_ready: endpoint.is_ready,
                    is_serving: endpoint.is_serving,
                    is_terminating: endpoint.is_terminating,
                };
                // One may be in two slices for a moment: what is better of him counts.
                let known = servers.entry(backend).or_insert_with(|| server.clone());
                known.is_ready |= server.is_ready;
                known.is_serving |= server.is_serving;
                known.is_terminating &= server.is_terminating;
                known.is_local |= server.is_local;
            }
        }
        servers.into_values().collect()
    }
}

fn service_of(slice: &Slice) -> Option<ServiceKey> {
    let name = slice.service.clone()?;
    Some(ServiceKey { namespace: slice.key.namespace.clone(), name })
}

fn selects(service: &Service, candidate: &Candidate) -> bool {
    !service.selector.is_empty()
        && service.key.namespace == candidate.namespace
        && service.selector.iter().all(|(name, value)| candidate.labels.get(name) == Some(value))
}

/// Where an endpoint serves a port: `None` if it has none of that name.
fn port_of(candidate: &Candidate, port: &ServicePort) -> Option<u16> {
    match &port.target {
        PortTarget::Number(number) => Some(*number),
        PortTarget::Named(name) => {
            let is_it = |own: &&NamedPort| own.name == *name && own.protocol == port.protocol;
            candidate.ports.iter().find(is_it).map(|own| own.number)
        }
    }
}

fn first_of_each(addresses: &[IpAddr]) -> impl Iterator<Item = IpAddr> {
    let first = |family: Family| addresses.iter().copied().find(|address| Family::of(*address) == family);
    Family::ALL.into_iter().filter_map(first)
}
