//! Services and slices of their endpoints, as people wrote them, and what they come to for sockets of this host.
//!
//! ```text
//!   apply, delete ─────────────► resolved ─► catalogue ─► is there room? ─► store ─► maps
//!   births, deaths, networks ───────────────┘
//! ```
//!
//! A service that could not be written down is not led to either: the catalogue takes back what it was told. Sockets of
//! processes are led once there is a service; until then, the kernel does not ask anybody.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use weft_api::{ApplyAction, EndpointSliceObject, Object, SERVICE_LABEL, ServiceObject};
use weft_dataplane::{Dataplane, DataplaneError, abi};
use weft_model::{
    Endpoint, EndpointKey, Family, Invalid, InvalidFields, NO_ADDRESS, Name, Network, NetworkName, Service, ServiceKey,
    Slice, resolve_slice,
};
use weft_services::{Backend, Candidate, Catalog, Frontend, HOST, Reach, Served, Target, ViewNumber, choose};
use weft_store::{CommitError, Expectation, Store, StoreError, Txn};

mod maps;

/// The magic number of cgroup2 (include/uapi/linux/magic.h).
const CGROUP2_MAGIC: i64 = 0x6367_7270;
/// Where cgroup2 is on a host that has both (systemd.io/CGROUP_DELEGATION, "hybrid").
const HYBRID: &str = "unified";
const SERVICES: &str = "services/";
const SLICES: &str = "endpointslices/";

/// Why services were not changed. Nothing was, then.
#[derive(Debug, thiserror::Error)]
pub enum ServicesError {
    /// Fields are faulty.
    #[error(transparent)]
    Invalid(#[from] InvalidFields),
    /// It is not there.
    #[error("{kind} {name:?} does not exist: see `weft get {plural}`")]
    Absent {
        /// Its kind.
        kind: &'static str,
        /// `NAMESPACE/NAME`.
        name: String,
        /// All of them.
        plural: &'static str,
    },
    /// Another one has the address.
    #[error(
        "Service {service:?}: spec.clusterIPs {address}: {holder} has it: name another, or none to have one chosen"
    )]
    Taken {
        /// Which one wants it.
        service: String,
        /// What it wants.
        address: IpAddr,
        /// Who has it.
        holder: String,
    },
    /// There is no address to be chosen.
    #[error(
        "Service {service:?}: no {family:?} address is free in weftd's `service-pools` ({pools}): add a pool there, or \
         name spec.clusterIPs"
    )]
    NoAddress {
        /// Which one wants it.
        service: String,
        /// Of this family.
        family: Family,
        /// Where they are chosen.
        pools: String,
    },
    /// A pool of services is one of a network, too.
    #[error("service pool {pool} overlaps pool {other} of network {network}: change weftd's `service-pools`")]
    Overlap {
        /// That of services.
        pool: IpNet,
        /// That of the network.
        other: IpNet,
        /// Which network.
        network: NetworkName,
    },
    /// The programs' maps have no room for what they come to.
    #[error("{object}: it would come to {count} entries of {what}, and there is room for {room}: delete some")]
    NoRoom {
        /// Which one.
        object: String,
        /// So many.
        count: usize,
        /// What of.
        what: &'static str,
        /// So many may be.
        room: u32,
    },
    /// The store refused.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The kernel refused.
    #[error(transparent)]
    Dataplane(#[from] DataplaneError),
}

/// Written down, and led to.
pub struct Services {
    store: Arc<dyn Store>,
    /// The cgroup2 directory that the host's processes are below.
    cgroup: PathBuf,
    /// Where addresses are chosen.
    pools: Vec<IpNet>,
    state: Mutex<State>,
}

struct State {
    objects: BTreeMap<String, Stored>,
    catalog: Catalog,
    /// Cookie of the host's network namespace, whose view is [`HOST`]; 0 until it is known.
    host: u64,
    /// Other network namespaces by their cookies.
    namespaces: BTreeMap<u64, Inhabited>,
    /// Pools of networks.
    taken: BTreeMap<NetworkName, Vec<IpNet>>,
    maps: maps::Maps,
    /// Why this agent's programs are not at sockets, if they should be.
    unserved: Option<String>,
}

#[derive(Debug, Clone)]
struct Stored {
    object: Object,
    revision: u64,
}

/// A network namespace with endpoints.
#[derive(Debug)]
struct Inhabited {
    view: ViewNumber,
    /// Networks of its endpoints.
    endpoints: BTreeMap<EndpointKey, NetworkName>,
}

/// What is true of a service on this host.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// Who serves it.
    pub served: Vec<Served>,
    /// Connections that were led to a backend.
    pub connections: u64,
    /// Those that were refused.
    pub refused: u64,
}

/// What a client finds at a port of a service's address.
#[derive(Debug, Clone)]
pub struct Found {
    /// Which service.
    pub service: ServiceKey,
    /// Name of the port.
    pub port: String,
    /// What is behind it; `None` if the client reaches none of those who serve.
    pub target: Option<(Target, Vec<Backend>)>,
}

impl Services {
    /// Reads what the store holds. An object that this weft cannot read is left where it is, and logged.
    pub fn open(store: Arc<dyn Store>, node: &str, cgroup: &Path, pools: Vec<IpNet>) -> Result<Self, StoreError> {
        let mut state = State {
            objects: BTreeMap::new(),
            catalog: Catalog::new(node),
            host: 0,
            namespaces: BTreeMap::new(),
            taken: BTreeMap::new(),
            maps: maps::Maps::default(),
            unserved: None,
        };
        for (key, kept) in store.snapshot()?.objects {
            if ![SERVICES, SLICES].iter().any(|prefix| key.starts_with(prefix)) {
                continue;
            }
            let read = serde_json::from_slice::<Object>(&kept.value).map_err(|error| error.to_string());
            let told = read.and_then(|object| {
                state.tell(&object).map_err(|error| error.to_string())?;
                state.objects.insert(key.clone(), Stored { object, revision: kept.revision });
                Ok(())
            });
            if let Err(error) = told {
                tracing::error!(object = key, error, "an object in the store cannot be read");
            }
        }
        Ok(Self { store, cgroup: cgroup2(cgroup), pools, state: Mutex::new(state) })
    }

    /// Takes over what an earlier agent wrote, before anything else is told: `host` is the cookie of the host's
    /// namespace, `endpoints` are those that live, with the cookies of theirs.
    pub fn adopt<'a>(
        &self,
        dataplane: &Dataplane,
        host: u64,
        networks: impl Iterator<Item = &'a Network> + Clone,
        endpoints: impl Iterator<Item = (&'a Endpoint, u64)>,
    ) -> Result<(), ServicesError> {
        let mut state = self.lock();
        state.host = host;
        let State { catalog, maps, .. } = &mut *state;
        maps.reserve(dataplane, catalog)?;
        state.set_networks(networks);
        for (endpoint, cookie) in endpoints {
            let former = state.seat(endpoint, cookie);
            former.into_iter().for_each(|former| state.catalog.release_view(former));
        }
        let State { catalog, namespaces, maps, .. } = &mut *state;
        catalog.take_changes();
        let views = namespaces.iter().map(|(cookie, inhabited)| (*cookie, inhabited.view)).chain([(host, HOST)]);
        maps.adopt(dataplane, catalog, views.collect())?;
        if (!state.objects.is_empty() || dataplane.services().is_served())
            && let Err(error) = dataplane.services().serve(&self.cgroup)
        {
            // Networks do without.
            tracing::error!(%error, "sockets are not led to services by this agent");
            state.unserved = Some(error.to_string());
        }
        Ok(())
    }

    /// Why sockets are not led to the services that are there, if they are not.
    pub fn unserved(&self) -> Option<String> {
        self.lock().unserved.clone()
    }

    /// Whether objects are sound: all faults of all of them.
    pub fn check_all(objects: &[Object]) -> Result<(), ServicesError> {
        let faults = objects.iter().filter_map(|object| check(object).err()).flat_map(|InvalidFields(found)| found);
        let faults: Vec<_> = faults.collect();
        if faults.is_empty() { Ok(()) } else { Err(InvalidFields(faults).into()) }
    }

    /// Creates or changes objects: all of them or none. Sockets are led by them when this returns.
    pub fn apply(
        &self,
        dataplane: &Dataplane,
        objects: Vec<Object>,
    ) -> Result<Vec<(Object, ApplyAction)>, ServicesError> {
        let mut state = self.lock();
        Self::check_all(&objects)?;
        if objects.is_empty() {
            return Ok(Vec::new());
        }
        dataplane.services().serve(&self.cgroup)?;
        state.unserved = None;
        let (mut txn, mut actions, mut former) = (Txn::new(), Vec::new(), Vec::new());
        let outcome: Result<(), ServicesError> = objects.into_iter().map(without_status).try_for_each(|object| {
            let key = store_key(&object);
            let old = state.objects.get(&key).cloned();
            let object = self.addressed(&state, object, old.as_ref().map(|old| &old.object))?;
            let action = match &old {
                Some(old) if old.object == object => ApplyAction::Unchanged,
                Some(_) => ApplyAction::Changed,
                None => ApplyAction::Created,
            };
            if action != ApplyAction::Unchanged {
                let expected = old.as_ref().map_or(Expectation::Absent, |old| Expectation::Revision(old.revision));
                let value = serde_json::to_vec(&object).expect("objects have string keys only");
                txn = std::mem::take(&mut txn).put(key.clone(), expected, value);
                former.push((object.clone(), old));
                state.tell(&object)?;
                state.objects.insert(key, Stored { object: object.clone(), revision: 0 });
            }
            actions.push((object, action));
            Ok(())
        });
        let first = || former.first().map(|(object, _)| title(object)).unwrap_or_default();
        let outcome = outcome.and_then(|()| state.admit_room(first));
        let committed = outcome.and_then(|()| Ok(self.store.commit(txn)?));
        match committed {
            Ok(revision) => {
                let written = state.objects.values_mut().filter(|stored| stored.revision == 0);
                written.for_each(|stored| stored.revision = revision);
                state.flush(dataplane)?;
                Ok(actions)
            }
            Err(error) => {
                state.take_back(former);
                state.flush(dataplane)?;
                Err(error)
            }
        }
    }

    /// Deletes a service: nobody is led to it when this returns.
    pub fn delete_service(&self, dataplane: &Dataplane, key: &ServiceKey) -> Result<Object, ServicesError> {
        self.delete(dataplane, SERVICES, key, ("Service", "services"))
    }

    /// Deletes a slice.
    pub fn delete_slice(&self, dataplane: &Dataplane, key: &ServiceKey) -> Result<Object, ServicesError> {
        self.delete(dataplane, SLICES, key, ("EndpointSlice", "endpointslices"))
    }

    fn delete(
        &self,
        dataplane: &Dataplane,
        prefix: &str,
        key: &ServiceKey,
        (kind, plural): (&'static str, &'static str),
    ) -> Result<Object, ServicesError> {
        let mut state = self.lock();
        let at = format!("{prefix}{key}");
        let absent = || ServicesError::Absent { kind, name: key.to_string(), plural };
        let stored = state.objects.get(&at).cloned().ok_or_else(absent)?;
        self.store.commit(Txn::new().delete(&at, Expectation::Revision(stored.revision)))?;
        state.objects.remove(&at);
        state.untell(&stored.object);
        state.flush(dataplane)?;
        Ok(stored.object)
    }

    /// All objects, in the order of kinds and names, and what is true of each service.
    pub fn objects(&self, dataplane: &Dataplane) -> Result<Vec<(Object, Standing)>, DataplaneError> {
        let state = self.lock();
        let standing = |stored: &Stored| {
            let Object::Service(service) = &stored.object else { return Ok(Standing::default()) };
            let key = key_of(service.metadata.namespace_or_default(), &service.metadata.name);
            let mut standing = Standing { served: state.catalog.served(&key), ..Standing::default() };
            for port in state.catalog.service(&key).into_iter().flat_map(|service| &service.ports) {
                let Some(number) = state.catalog.number(&key, &port.name) else { continue };
                for count in dataplane.services().counts.per_cpu(&number)? {
                    standing.connections += count.connections;
                    standing.refused += count.refused;
                }
            }
            Ok(standing)
        };
        state.objects.values().map(|stored| Ok((stored.object.clone(), standing(stored)?))).collect()
    }

    /// What a client in the namespace with this cookie, or on the host if there is none, finds at an address; `None` if
    /// that is no service's.
    pub fn find(&self, cookie: Option<u64>, to: (IpAddr, weft_model::Protocol, u16)) -> Option<Found> {
        let (address, protocol, port) = to;
        let state = self.lock();
        let service = state.catalog.holder(address)?;
        let own = service.ports.iter().find(|own| (own.protocol, own.number) == (protocol, port))?;
        let view = match cookie {
            Some(cookie) if cookie != state.host => state.namespaces.get(&cookie)?.view,
            _ => HOST,
        };
        let found = state.catalog.find(&Frontend { view, address, protocol, port });
        Some(Found {
            service: service.key.clone(),
            port: own.name.clone(),
            target: found.map(|(target, backends)| (target, backends.to_vec())),
        })
    }

    /// `NAMESPACE/NAME`, and `:PORT` by its name, of the service's port with this number; `None` of 0.
    pub fn name_of(&self, number: u32) -> Option<String> {
        if number == 0 {
            return None;
        }
        Some(match self.lock().catalog.origin(number) {
            Some((service, port)) if port.is_empty() => service.to_string(),
            Some((service, port)) => format!("{service}:{port}"),
            None => "a service that is not there any more".to_owned(),
        })
    }

    /// An endpoint is there, or has changed: it is led to services, and serves those that select it.
    pub fn join(&self, dataplane: &Dataplane, endpoint: &Endpoint) -> Result<(), ServicesError> {
        let mut state = self.lock();
        let cookie = endpoint.netns.cookie;
        let former = state.seat(endpoint, cookie);
        state.follow(dataplane, cookie, former)
    }

    /// An endpoint is not there any more.
    pub fn leave(&self, dataplane: &Dataplane, endpoint: &Endpoint) -> Result<(), ServicesError> {
        let mut state = self.lock();
        let cookie = endpoint.netns.cookie;
        let former = state.unseat(&endpoint.key, cookie);
        state.follow(dataplane, cookie, former)
    }

    /// These are the networks now.
    pub fn set_networks<'a>(
        &self,
        dataplane: &Dataplane,
        networks: impl Iterator<Item = &'a Network> + Clone,
    ) -> Result<(), ServicesError> {
        let mut state = self.lock();
        state.set_networks(networks);
        state.flush(dataplane)
    }

    /// Pools that some service has an address of: nobody else has one, so nothing may stray to the outside.
    pub fn pools_in_use(&self) -> BTreeSet<IpNet> {
        let state = self.lock();
        let addresses: Vec<IpAddr> = state.catalog.services().flat_map(|service| service.addresses.clone()).collect();
        self.pools.iter().filter(|pool| addresses.iter().any(|address| pool.contains(address))).copied().collect()
    }

    /// The object with the addresses that its service has, or is to have.
    fn addressed(&self, state: &State, object: Object, old: Option<&Object>) -> Result<Object, ServicesError> {
        let Object::Service(mut service) = object else { return Ok(object) };
        let key = key_of(service.metadata.namespace_or_default(), &service.metadata.name);
        if service.spec.is_headless() {
            service.spec.cluster_ip = Some(NO_ADDRESS.to_owned());
            service.spec.cluster_ips = vec![NO_ADDRESS.to_owned()];
            return Ok(Object::Service(service));
        }
        let mut addresses = service.spec.resolve(key.clone())?.addresses;
        let former = match old {
            Some(Object::Service(old)) => old.spec.resolve(key.clone()).map(|old| old.addresses).unwrap_or_default(),
            _ => Vec::new(),
        };
        let (families, needs_all) = service.spec.wanted_families();
        if addresses.is_empty() {
            // It keeps what it has.
            addresses = former.into_iter().filter(|address| families.contains(&Family::of(*address))).collect();
            self.admit_pools(state)?;
            for family in families {
                if addresses.iter().any(|address| Family::of(*address) == family) {
                    continue;
                }
                let is_taken = |address: IpAddr| state.catalog.holder(address).is_some();
                let mut pools = self.pools.iter().filter(|pool| Family::of_net(pool) == family).peekable();
                let is_served = pools.peek().is_some();
                match pools.find_map(|pool| choose(pool, &key, is_taken)) {
                    Some(address) => addresses.push(address),
                    None if is_served || needs_all || self.pools.is_empty() => {
                        let pools = self.pools.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                        return Err(ServicesError::NoAddress { service: key.to_string(), family, pools });
                    }
                    None => {}
                }
            }
        }
        for address in &addresses {
            let network = state.taken.iter().find(|(_, pools)| pools.iter().any(|pool| pool.contains(address)));
            let holder = match (state.catalog.holder(*address), network) {
                (Some(other), _) if other.key != key => format!("Service {:?}", other.key.to_string()),
                (_, Some((network, _))) => format!("a pool of network {network}"),
                _ => continue,
            };
            return Err(ServicesError::Taken { service: key.to_string(), address: *address, holder });
        }
        service.spec.cluster_ip = addresses.first().map(ToString::to_string);
        service.spec.cluster_ips = addresses.iter().map(ToString::to_string).collect();
        Ok(Object::Service(service))
    }

    /// Addresses are chosen where no network has any.
    fn admit_pools(&self, state: &State) -> Result<(), ServicesError> {
        for (network, pools) in &state.taken {
            let overlap = self.pools.iter().find_map(|own| {
                let other = pools.iter().find(|other| own.contains(&other.network()) || other.contains(&own.network()));
                other.map(|other| (*own, *other))
            });
            if let Some((pool, other)) = overlap {
                return Err(ServicesError::Overlap { pool, other, network: network.clone() });
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tell(&mut self, object: &Object) -> Result<(), InvalidFields> {
        match object {
            Object::Service(service) => self.catalog.set_service(resolve_service(service)?),
            Object::EndpointSlice(slice) => self.catalog.set_slice(resolve(slice)?),
            _ => {}
        }
        Ok(())
    }

    fn untell(&mut self, object: &Object) {
        match object {
            Object::Service(service) => {
                let metadata = &service.metadata;
                self.catalog.remove_service(&key_of(metadata.namespace_or_default(), &metadata.name));
            }
            Object::EndpointSlice(slice) => {
                let metadata = &slice.metadata;
                self.catalog.remove_slice(&key_of(metadata.namespace_or_default(), &metadata.name));
            }
            _ => {}
        }
    }

    /// Makes objects be what they were.
    fn take_back(&mut self, former: Vec<(Object, Option<Stored>)>) {
        for (object, old) in former.into_iter().rev() {
            let key = store_key(&object);
            match old {
                Some(old) => {
                    // It was told before, so it is sound.
                    let _ = self.tell(&old.object);
                    self.objects.insert(key, old);
                }
                None => {
                    self.untell(&object);
                    self.objects.remove(&key);
                }
            }
        }
    }

    fn set_networks<'a>(&mut self, networks: impl Iterator<Item = &'a Network> + Clone) {
        let pools = |network: &Network| network.pools.iter().map(|pool| pool.subnet).collect();
        self.taken = networks.clone().map(|network| (network.name.clone(), pools(network))).collect();
        let all: BTreeMap<&NetworkName, &Network> = networks.map(|network| (&network.name, network)).collect();
        let is_peer = |of: &Network, other: &NetworkName| {
            of.peers.contains(other) && all.get(other).is_some_and(|other| other.peers.contains(&of.name))
        };
        let reach = |network: &&Network| Reach {
            peers: all.keys().filter(|other| is_peer(network, other)).map(|other| (*other).clone()).collect(),
            is_internal: network.internal,
        };
        self.catalog.set_networks(all.iter().map(|(name, network)| ((*name).clone(), reach(network))).collect());
    }

    /// An endpoint is in the namespace with this cookie, and serves whom it should. Gives back the view that who is in
    /// there had before, if it is another one now: it is to be let go of when nobody is led by it.
    fn seat(&mut self, endpoint: &Endpoint, cookie: u64) -> Option<ViewNumber> {
        let inhabited = self.namespaces.get(&cookie);
        let is_seated =
            inhabited.is_some_and(|inhabited| inhabited.endpoints.get(&endpoint.key) == Some(&endpoint.network));
        // Without a cookie, nobody knows whose a socket is; and who shares the host's namespace is the host.
        let mut former = None;
        if !is_seated && cookie != 0 && cookie != self.host {
            let mut endpoints = inhabited.map(|inhabited| inhabited.endpoints.clone()).unwrap_or_default();
            endpoints.insert(endpoint.key.clone(), endpoint.network.clone());
            former = self.inhabit(cookie, endpoints);
        }
        self.catalog.set_candidate(Candidate {
            key: endpoint.key.clone(),
            namespace: endpoint.namespace.to_string(),
            labels: endpoint.labels.clone(),
            ports: endpoint.ports.clone(),
            network: endpoint.network.clone(),
            addresses: endpoint.addresses.iter().map(IpNet::addr).collect(),
        });
        former
    }

    /// The contrary of [`State::seat`].
    fn unseat(&mut self, key: &EndpointKey, cookie: u64) -> Option<ViewNumber> {
        self.catalog.remove_candidate(key);
        let mut endpoints = self.namespaces.get(&cookie)?.endpoints.clone();
        endpoints.remove(key);
        self.inhabit(cookie, endpoints)
    }

    /// These are the endpoints in a namespace now; gives back its former view, which is held still.
    fn inhabit(&mut self, cookie: u64, endpoints: BTreeMap<EndpointKey, NetworkName>) -> Option<ViewNumber> {
        let former = self.namespaces.remove(&cookie);
        if !endpoints.is_empty() {
            let view = self.catalog.hold_view(endpoints.values().cloned().collect());
            self.namespaces.insert(cookie, Inhabited { view, endpoints });
        }
        former.map(|former| former.view)
    }

    /// Writes what has changed with who is in a namespace: a view is there before anybody has it, and goes after nobody
    /// has.
    fn follow(&mut self, dataplane: &Dataplane, cookie: u64, former: Option<ViewNumber>) -> Result<(), ServicesError> {
        self.flush(dataplane)?;
        if cookie != self.host {
            let view = self.namespaces.get(&cookie).map(|inhabited| inhabited.view);
            self.maps.set_namespace(dataplane, cookie, view)?;
        }
        let Some(former) = former else { return Ok(()) };
        self.catalog.release_view(former);
        self.flush(dataplane)
    }

    /// Whether there is room for what the catalogue comes to with an object.
    fn admit_room(&mut self, object: impl FnOnce() -> String) -> Result<(), ServicesError> {
        let [frontends, backends, members] = self.catalog.size();
        let rooms = [
            (frontends, abi::FRONTENDS_MAX, "services' ports"),
            (backends, abi::BACKENDS_MAX, "backends"),
            (members, abi::MEMBERS_MAX, "backends that clients stay with"),
        ];
        match rooms.into_iter().find(|(count, room, _)| *count > *room as usize) {
            Some((count, room, what)) => Err(ServicesError::NoRoom { object: object(), count, what, room }),
            None => Ok(()),
        }
    }

    /// Writes what has changed.
    fn flush(&mut self, dataplane: &Dataplane) -> Result<(), ServicesError> {
        let changes = self.catalog.take_changes();
        Ok(self.maps.write(dataplane, &mut self.catalog, changes)?)
    }
}

/// The cgroup2 directory that is meant: on a host that has both kinds, it is below.
fn cgroup2(root: &Path) -> PathBuf {
    let is_cgroup2 = |path: &Path| rustix::fs::statfs(path).is_ok_and(|found| found.f_type == CGROUP2_MAGIC);
    let hybrid = root.join(HYBRID);
    if !is_cgroup2(root) && is_cgroup2(&hybrid) { hybrid } else { root.to_owned() }
}

fn key_of(namespace: &str, name: &str) -> ServiceKey {
    ServiceKey { namespace: namespace.to_owned(), name: name.to_owned() }
}

fn store_key(object: &Object) -> String {
    let prefix = if matches!(object, Object::EndpointSlice(_)) { SLICES } else { SERVICES };
    format!("{prefix}{}", object.name())
}

/// As it was written: what is true of it is for the agent to say.
fn without_status(mut object: Object) -> Object {
    if let Object::Service(service) = &mut object {
        service.status = None;
    }
    object
}

fn resolve_service(service: &ServiceObject) -> Result<Service, InvalidFields> {
    service.spec.resolve(key_of(service.metadata.namespace_or_default(), &service.metadata.name))
}

fn resolve(slice: &EndpointSliceObject) -> Result<Slice, InvalidFields> {
    let EndpointSliceObject { metadata, address_type, endpoints, ports, .. } = slice;
    let service = metadata.labels.get(SERVICE_LABEL).map(String::as_str);
    resolve_slice(key_of(metadata.namespace_or_default(), &metadata.name), service, address_type, endpoints, ports)
}

/// Whether an object is sound.
fn check(object: &Object) -> Result<(), InvalidFields> {
    let (metadata, resolved) = match object {
        Object::Service(service) => (&service.metadata, resolve_service(service).map(drop)),
        Object::EndpointSlice(slice) => (&slice.metadata, resolve(slice).map(drop)),
        _ => return Ok(()),
    };
    let mut faults = Vec::new();
    for (field, text) in [("metadata.name", Some(&metadata.name)), ("metadata.namespace", metadata.namespace.as_ref())]
    {
        if let Some(Err(error)) = text.map(|text| text.parse::<Name>()) {
            let value = text.cloned().unwrap_or_default();
            faults.push(Invalid { object: title(object), field: field.to_owned(), value, remedy: error.to_string() });
        }
    }
    faults.extend(resolved.err().into_iter().flat_map(|InvalidFields(found)| found));
    if faults.is_empty() { Ok(()) } else { Err(InvalidFields(faults)) }
}

fn title(object: &Object) -> String {
    format!("{} {:?}", object.kind(), object.name())
}
