//! Policies and the labels of namespaces, as people wrote them, and what they come to for this host's endpoints.
//!
//! ```text
//!   apply, delete ─► resolved ─► world ─► is there room? ─► store ─► maps ─► the next generation
//!   births, deaths ───────────────┘
//! ```
//!
//! A policy that could not be written down is not in force either: the world takes back what it was told.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weft_api::{ApplyAction, Object, Rehearsal};
use weft_dataplane::{Dataplane, DataplaneError, abi};
use weft_model::{
    Endpoint, Invalid, InvalidFields, Name, NetworkName, Policy, PolicyKey, PolicyKind, PolicyMode, Protocol, Way,
};
use weft_policy::{Identity, View, World};
use weft_store::{CommitError, Expectation, Store, StoreError, Txn};

pub mod maps;
pub mod rehearsal;
pub mod shown;

use maps::{Maps, Subject, block_key, standing};
use rehearsal::{Court, Opening, rehearse};

/// Why policies were not changed. Nothing was, then.
#[derive(Debug, thiserror::Error)]
pub enum PoliciesError {
    /// Fields are faulty.
    #[error(transparent)]
    Invalid(#[from] InvalidFields),
    /// It is not there.
    #[error("{kind} {name:?} does not exist: see `weft get {plural}`")]
    Absent {
        /// Its kind.
        kind: &'static str,
        /// `[NAMESPACE/]NAME`.
        name: String,
        /// All of them.
        plural: &'static str,
    },
    /// The programs' maps have no room for what they come to.
    #[error("{object}: it would come to {count} entries of {what}, and there is room for {room}: {remedy}")]
    NoRoom {
        /// Which one.
        object: String,
        /// So many.
        count: usize,
        /// What of.
        what: &'static str,
        /// So many may be.
        room: u32,
        /// What to do.
        remedy: &'static str,
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

/// An object and the commit that wrote it.
#[derive(Debug, Clone)]
struct Stored {
    object: Object,
    revision: u64,
}

/// All policies of this host.
pub struct Policies {
    store: Arc<dyn Store>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    world: World,
    /// By the store's key.
    objects: BTreeMap<String, Stored>,
    maps: Maps,
    /// Networks in audit.
    watched: BTreeSet<NetworkName>,
    /// Why the last change of an object was not taken, by the store's key.
    refused: BTreeMap<String, String>,
    /// How often there was no room, for a change or for a newborn.
    refusals: u64,
}

/// What is true of a policy here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Endpoints that it is about.
    pub endpoints: usize,
    /// Of all of its rules.
    pub decided: Decided,
    /// Why the last change of it was not taken, if it was not.
    pub refused: Option<String>,
}

/// What rules have decided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Decided {
    /// Connections that they let begin.
    pub accepted: u64,
    /// Packets that they dropped.
    pub denied: u64,
    /// Packets that they would have dropped if nothing were in audit.
    pub audited: u64,
}

/// One policy that selects an endpoint.
#[derive(Debug, Clone)]
pub struct Selecting {
    /// The policy.
    pub policy: Arc<Policy>,
    /// For which way.
    pub way: Way,
}

impl Policies {
    /// Reads what the store holds. An object that this weft cannot read is left where it is, and logged.
    pub fn open(store: Arc<dyn Store>) -> Result<Self, StoreError> {
        let mut state = State::default();
        for (key, kept) in store.snapshot()?.objects {
            if !PREFIXES.iter().any(|prefix| key.starts_with(prefix)) {
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
        Ok(Self { store, state: Mutex::new(state) })
    }

    /// Takes over what an earlier agent wrote: identities keep their numbers, so that no connection is decided by half
    /// of the old and half of the new. `endpoints` are those that have a record, with the numbers of their links.
    pub fn adopt<'a>(
        &self,
        dataplane: &Dataplane,
        endpoints: impl Iterator<Item = (u32, &'a Endpoint)>,
    ) -> Result<(), DataplaneError> {
        let mut state = self.lock();
        let maps = dataplane.policies();
        let mut before: BTreeMap<u32, abi::subject> = BTreeMap::new();
        maps.subjects.each(|link, subject| {
            before.insert(link, subject);
        })?;
        let half = maps.half()?;
        let standings = || before.values().flat_map(|subject| &subject.standings);
        let (mut peers, blocks, ports) = (Vec::new(), maps.blocks.keys(), maps.ports.keys());
        maps.peers.each(|key, _| peers.push(key))?;
        let own = standings().flat_map(|standing| standing.sets.into_iter().chain(standing.audited));
        let sets = own.chain(peers.iter().map(|key| key.set));
        let set = sets.chain(blocks.iter().map(|key| key.set)).max().unwrap_or(0);
        let identities = standings().map(|standing| standing.identity);
        let identity = identities.chain(peers.iter().map(|key| key.identity)).max().unwrap_or(0);
        state.world.reserve(identity, set, ports.iter().map(|key| key.table).max().unwrap_or(0));
        for (link, endpoint) in endpoints {
            let number = before.get(&link).map_or(0, |subject| subject.standings[half].identity);
            let identity = state.world.hold_as(identity_of(endpoint), number);
            let mode = state.mode_of(endpoint);
            state.maps.adopt(link, Subject { identity, mode });
        }
        state.world.take_changes();
        let State { world, maps: written, .. } = &mut *state;
        written.write(dataplane, world, world.everything())?;
        // What nobody knows any more.
        for link in before.keys().filter(|link| !state.maps.has(**link)) {
            maps.subjects.remove(link)?;
        }
        let known = state.world.everything();
        let is_known = |key: &abi::policy_peer| known.peers.contains_key(&(key.set, key.identity));
        peers.iter().filter(|key| !is_known(key)).try_for_each(|key| maps.peers.remove(key))?;
        let of_world: HashSet<_> = known.blocks.keys().map(|(set, prefix)| block_key(*set, *prefix)).collect();
        blocks.iter().filter(|key| !of_world.contains(key)).try_for_each(|key| maps.blocks.remove(key))?;
        let stale = ports.iter().filter(|key| !known.tables.contains_key(&key.table));
        stale.into_iter().try_for_each(|key| maps.ports.remove(key))?;
        let counts = maps.counts.keys();
        let unwritten = counts.iter().filter(|rule| state.world.origin(**rule).is_none());
        unwritten.into_iter().try_for_each(|rule| maps.counts.remove(rule))?;
        maps.enforce(!state.world.is_silent())
    }

    /// Whether objects are sound: all faults of all of them.
    pub fn check_all(objects: &[Object]) -> Result<(), PoliciesError> {
        let faults = objects.iter().filter_map(|object| check(object).err()).flat_map(|InvalidFields(found)| found);
        let faults: Vec<_> = faults.collect();
        if faults.is_empty() { Ok(()) } else { Err(InvalidFields(faults).into()) }
    }

    /// Creates or changes objects: all of them or none. They are in force when this returns.
    pub fn apply(
        &self,
        dataplane: &Dataplane,
        objects: Vec<Object>,
    ) -> Result<Vec<(Object, ApplyAction)>, PoliciesError> {
        let mut state = self.lock();
        Self::check_all(&objects)?;
        let (mut txn, mut actions, mut former) = (Txn::new(), Vec::new(), Vec::new());
        let outcome: Result<(), PoliciesError> = objects.into_iter().map(without_status).try_for_each(|object| {
            let key = key_of(&object);
            let old = state.objects.get(&key).cloned();
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
        let outcome = outcome.and_then(|()| state.admit_room(&titles(former.iter().map(|(object, _)| object))));
        let committed = outcome.and_then(|()| Ok(self.store.commit(txn)?));
        match committed {
            Ok(revision) => {
                former.iter().for_each(|(object, _)| drop(state.refused.remove(&key_of(object))));
                state
                    .objects
                    .values_mut()
                    .filter(|stored| stored.revision == 0)
                    .for_each(|stored| stored.revision = revision);
                state.flush(dataplane)?;
                Ok(actions)
            }
            Err(error) => {
                state.note_refusal(&error, &former);
                state.take_back(former);
                state.flush(dataplane)?;
                Err(error)
            }
        }
    }

    /// Deletes an object, by the store's key. It is out of force when this returns.
    fn delete(&self, dataplane: &Dataplane, key: &str, absent: PoliciesError) -> Result<Object, PoliciesError> {
        let mut state = self.lock();
        let Some(stored) = state.objects.get(key).cloned() else { return Err(absent) };
        self.store.commit(Txn::new().delete(key, Expectation::Revision(stored.revision)))?;
        state.objects.remove(key);
        state.refused.remove(key);
        state.untell(&stored.object);
        state.flush(dataplane)?;
        Ok(stored.object)
    }

    /// Deletes a policy.
    pub fn delete_policy(&self, dataplane: &Dataplane, key: &PolicyKey) -> Result<Object, PoliciesError> {
        let (name, plural) = match key.kind {
            PolicyKind::Namespaced => (format!("{}/{}", key.namespace, key.name), "networkpolicies"),
            PolicyKind::Cluster => (key.name.clone(), "clusternetworkpolicies"),
        };
        self.delete(dataplane, &store_key(key), PoliciesError::Absent { kind: key.kind.word(), name, plural })
    }

    /// Deletes the labels of a namespace.
    pub fn delete_namespace(&self, dataplane: &Dataplane, name: &str) -> Result<Object, PoliciesError> {
        let absent = PoliciesError::Absent { kind: "Namespace", name: name.to_owned(), plural: "namespaces" };
        self.delete(dataplane, &format!("{NAMESPACES}{name}"), absent)
    }

    /// All objects, in the order of kinds and names, and what is true of each.
    pub fn objects(&self, dataplane: &Dataplane) -> Result<Vec<(Object, Standing)>, DataplaneError> {
        let state = self.lock();
        let standing = |(key, stored): (&String, &Stored)| {
            let refused = state.refused.get(key).cloned();
            let standing = match policy_key(&stored.object) {
                Some(policy) => Standing {
                    endpoints: state.world.selected_by(&policy),
                    decided: decided(dataplane, state.world.rules_of(&policy))?,
                    refused,
                },
                None => Standing { refused, ..Standing::default() },
            };
            Ok((stored.object.clone(), standing))
        };
        state.objects.iter().map(standing).collect()
    }

    /// What these objects, in place of those with their names and beside all others, would say about connections that
    /// were seen. They count as enforced, also those that are in audit. Nothing changes.
    pub fn rehearse(
        &self,
        objects: Vec<Object>,
        openings: &[Opening],
        is_host: impl Fn(IpAddr) -> bool,
    ) -> Result<Rehearsal, PoliciesError> {
        Self::check_all(&objects)?;
        let state = self.lock();
        let mut written: BTreeMap<_, _> =
            state.objects.iter().map(|(key, stored)| (key.clone(), stored.object.clone())).collect();
        written.extend(objects.into_iter().map(enforced).map(|object| (key_of(&object), object)));
        let mut other = State::default();
        written.values().try_for_each(|object| other.tell(object))?;
        let parties = openings.iter().flat_map(|opening| [&opening.opener, &opening.target]).flatten();
        let identities: BTreeSet<_> = parties.map(|endpoint| identity_of(endpoint)).collect();
        let numbers: BTreeMap<_, _> =
            identities.into_iter().map(|identity| (identity.clone(), other.world.hold(identity))).collect();
        let now = Court { world: &state.world, number: &|endpoint| state.world.number_of(&identity_of(endpoint)) };
        let then = Court { world: &other.world, number: &|endpoint| numbers.get(&identity_of(endpoint)).copied() };
        Ok(rehearse(&now, &then, openings, is_host))
    }

    /// How often there was no room, for a change or for a newborn.
    pub fn refusals(&self) -> u64 {
        self.lock().refusals
    }

    /// Which networks are in audit: of their endpoints nothing is dropped that policies forbid. Those that live follow
    /// in the reconciler's next round.
    pub fn watch(&self, networks: BTreeSet<NetworkName>) {
        self.lock().watched = networks;
    }

    /// The programs know what holds for an endpoint, from before its link is raised. One for which there is no room is
    /// refused, and nothing is known of it.
    pub fn admit(&self, dataplane: &Dataplane, link: u32, endpoint: &Endpoint) -> Result<(), PoliciesError> {
        let mut state = self.lock();
        let subject = Subject { identity: state.world.hold(identity_of(endpoint)), mode: state.mode_of(endpoint) };
        if let Err(error) = state.admit_room(&format!("endpoint {}", endpoint.title())) {
            state.refusals += 1;
            state.world.release(subject.identity);
            state.flush(dataplane)?;
            return Err(error);
        }
        let former = state.maps.subject(link);
        if former == Some(subject) {
            state.world.release(subject.identity);
        }
        let State { world, maps, .. } = &mut *state;
        let changes = world.take_changes();
        maps.admit(dataplane, world, changes, (link, subject))?;
        // What it was is forgotten when it is that no more.
        if let Some(former) = former.filter(|former| *former != subject) {
            state.world.release(former.identity);
            state.flush(dataplane)?;
        }
        Ok(())
    }

    /// Whether the programs know that.
    pub fn has_admitted(&self, dataplane: &Dataplane, link: u32, endpoint: &Endpoint) -> bool {
        let state = self.lock();
        let Some(subject) = state.maps.subject(link) else { return false };
        let is_same = state.world.identity(subject.identity).is_some_and(|known| *known == identity_of(endpoint));
        let entry = abi::subject { standings: [standing(&state.world, subject); 2] };
        (is_same && subject.mode == state.mode_of(endpoint))
            && dataplane.policies().subjects.get(&link).ok().flatten() == Some(entry)
    }

    /// Nothing is known of whoever was behind the link any more.
    pub fn dismiss(&self, dataplane: &Dataplane, link: u32) -> Result<(), DataplaneError> {
        let mut state = self.lock();
        let Some(subject) = state.maps.dismiss(dataplane, link)? else { return Ok(()) };
        state.world.release(subject.identity);
        state.flush(dataplane)
    }

    /// The policies that select the endpoint behind a link, in the order in which they have their say.
    pub fn selecting(&self, link: u32) -> Vec<Selecting> {
        let state = self.lock();
        let Some(subject) = state.maps.subject(link) else { return Vec::new() };
        let of =
            |way| state.world.selecting(subject.identity, way).into_iter().map(move |policy| Selecting { policy, way });
        Way::BOTH.into_iter().flat_map(of).collect()
    }

    /// What of policies decided that a packet was dropped for this reason, by the rule with this number; `None` if it
    /// was none of policies'.
    pub fn decider(&self, reason: u32, rule: u32) -> Option<String> {
        if ![abi::REASON_POLICY_INGRESS, abi::REASON_POLICY_EGRESS].contains(&reason) {
            return None;
        }
        Some(match self.lock().world.origin(rule) {
            Some(origin) => shown::origin(origin),
            None if rule == 0 => shown::NO_RULE.to_owned(),
            None => "a rule that is not there any more".to_owned(),
        })
    }

    /// What would deny a connection to or from `other`, that is, an endpoint of this host or an address, if nothing
    /// were in audit; `None` if nothing would.
    pub fn audited(
        &self,
        own: &Endpoint,
        way: Way,
        (other, address): (Option<&Endpoint>, IpAddr),
        port: (Protocol, u16),
    ) -> Option<String> {
        let state = self.lock();
        let number = |endpoint: &Endpoint| state.world.number_of(&identity_of(endpoint));
        let decision = state.world.decide((number(own)?, View::Whole), way, other.and_then(number), address, port);
        let denies = || shown::decision(&state.world, decision);
        (!decision.is_allowed).then(denies).flatten()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Tells the world of an object.
    fn tell(&mut self, object: &Object) -> Result<(), InvalidFields> {
        match object {
            Object::Namespace(namespace) => {
                self.world.set_namespace(&namespace.metadata.name, namespace.metadata.labels.clone());
            }
            object => {
                if let Some(policy) = resolve(object)? {
                    self.world.set_policy(policy);
                }
            }
        }
        Ok(())
    }

    fn untell(&mut self, object: &Object) {
        match object {
            Object::Namespace(namespace) => self.world.set_namespace(&namespace.metadata.name, BTreeMap::new()),
            object => {
                if let Some(key) = policy_key(object) {
                    self.world.remove_policy(&key);
                }
            }
        }
    }

    /// Makes objects be what they were.
    fn take_back(&mut self, former: Vec<(Object, Option<Stored>)>) {
        for (object, old) in former.into_iter().rev() {
            let key = key_of(&object);
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

    /// Whether there is room for what the world comes to with `object`.
    fn admit_room(&mut self, object: &str) -> Result<(), PoliciesError> {
        if lack(self.world.size()).is_some() {
            self.world.forget_idle();
        }
        match lack(self.world.size()) {
            Some((count, room, what, remedy)) => {
                Err(PoliciesError::NoRoom { object: object.to_owned(), count, what, room, remedy })
            }
            None => Ok(()),
        }
    }

    /// Of objects that are there, what they were stays in force, and they say so.
    fn note_refusal(&mut self, error: &PoliciesError, former: &[(Object, Option<Stored>)]) {
        if !matches!(error, PoliciesError::NoRoom { .. }) {
            return;
        }
        self.refusals += 1;
        for (object, _) in former.iter().filter(|(_, old)| old.is_some()) {
            self.refused.insert(key_of(object), error.to_string());
        }
    }

    /// That of an endpoint's network.
    fn mode_of(&self, endpoint: &Endpoint) -> PolicyMode {
        if self.watched.contains(&endpoint.network) { PolicyMode::Audit } else { PolicyMode::Enforce }
    }

    /// Writes what has changed.
    fn flush(&mut self, dataplane: &Dataplane) -> Result<(), DataplaneError> {
        let changes = self.world.take_changes();
        self.maps.write(dataplane, &self.world, changes)
    }
}

/// What of a world there is too much of: how much, the room for it, what it is, and what to do.
fn lack([peers, blocks, ports]: [usize; 3]) -> Option<(usize, u32, &'static str, &'static str)> {
    let rooms = [
        (peers, abi::POLICY_PEERS_MAX, "endpoints that rules are about", "select fewer by their labels"),
        (blocks, abi::POLICY_BLOCKS_MAX, "address blocks", "join some of them"),
        (ports, abi::POLICY_PORTS_MAX, "ports", "use ranges that begin and end at powers of two, or fewer"),
    ];
    rooms.into_iter().find(|(count, room, ..)| *count > *room as usize)
}

/// What these rules have decided, on all CPUs.
fn decided(dataplane: &Dataplane, rules: impl Iterator<Item = u32>) -> Result<Decided, DataplaneError> {
    let mut sum = Decided::default();
    for rule in rules {
        for count in dataplane.policies().counts.per_cpu(&rule)? {
            sum.accepted += count.accepted;
            sum.denied += count.denied;
            sum.audited += count.audited;
        }
    }
    Ok(sum)
}

/// What policies tell an endpoint by.
fn identity_of(endpoint: &Endpoint) -> Identity {
    let mut ports = endpoint.ports.clone();
    ports.sort();
    Identity { namespace: endpoint.namespace.to_string(), labels: endpoint.labels.clone(), ports }
}

/// Of a policy: `audit` for one of which it is only watched what it would drop.
const MODE_ANNOTATION: &str = "weft.dev/policy-mode";
const NETWORK_POLICIES: &str = "networkpolicies/";
const CLUSTER_POLICIES: &str = "clusternetworkpolicies/";
const NAMESPACES: &str = "namespaces/";
const PREFIXES: [&str; 3] = [NETWORK_POLICIES, CLUSTER_POLICIES, NAMESPACES];

fn store_key(key: &PolicyKey) -> String {
    match key.kind {
        PolicyKind::Namespaced => format!("{NETWORK_POLICIES}{}/{}", key.namespace, key.name),
        PolicyKind::Cluster => format!("{CLUSTER_POLICIES}{}", key.name),
    }
}

/// As it was written: what is true of it is for the agent to say.
fn without_status(mut object: Object) -> Object {
    match &mut object {
        Object::NetworkPolicy(policy) => policy.status = None,
        Object::ClusterNetworkPolicy(policy) => policy.status = None,
        _ => {}
    }
    object
}

/// Where an object is in the store.
fn key_of(object: &Object) -> String {
    match (policy_key(object), object) {
        (Some(key), _) => store_key(&key),
        (None, object) => format!("{NAMESPACES}{}", object.name()),
    }
}

/// The name of a policy; `None` of what is none.
fn policy_key(object: &Object) -> Option<PolicyKey> {
    let (kind, namespace, name) = match object {
        Object::NetworkPolicy(policy) => {
            (PolicyKind::Namespaced, policy.metadata.namespace_or_default().to_owned(), &policy.metadata.name)
        }
        Object::ClusterNetworkPolicy(policy) => (PolicyKind::Cluster, String::new(), &policy.metadata.name),
        _ => return None,
    };
    Some(PolicyKey { kind, namespace, name: name.clone() })
}

/// What a policy means; `None` of what is none.
fn resolve(object: &Object) -> Result<Option<Policy>, InvalidFields> {
    let Some(key) = policy_key(object) else { return Ok(None) };
    let (policy, metadata) = match object {
        Object::NetworkPolicy(policy) => (policy.spec.resolve(key), &policy.metadata),
        Object::ClusterNetworkPolicy(policy) => (policy.spec.resolve(key), &policy.metadata),
        _ => return Ok(None),
    };
    let mode = match metadata.annotations.get(MODE_ANNOTATION) {
        None => Ok(PolicyMode::default()),
        Some(text) => PolicyMode::ALL.into_iter().find(|mode| mode.word() == text).ok_or_else(|| Invalid {
            object: title(object),
            field: format!("metadata.annotations[{MODE_ANNOTATION}]"),
            value: text.clone(),
            remedy: "write enforce or audit".to_owned(),
        }),
    };
    match (policy, mode) {
        (Ok(policy), Ok(mode)) => Ok(Some(Policy { mode, ..policy })),
        (policy, mode) => {
            let faults = policy.err().map(|InvalidFields(found)| found).into_iter().flatten();
            Err(InvalidFields(faults.chain(mode.err()).collect()))
        }
    }
}

/// Whether an object is sound.
fn check(object: &Object) -> Result<(), InvalidFields> {
    let (metadata, has_namespace) = match object {
        Object::NetworkPolicy(policy) => (&policy.metadata, true),
        Object::ClusterNetworkPolicy(policy) => (&policy.metadata, false),
        Object::Namespace(namespace) => (&namespace.metadata, false),
        _ => return Ok(()),
    };
    let mut faults = Vec::new();
    let mut add = |field: &str, value: &str, remedy: &str| {
        let (object, remedy) = (title(object), remedy.to_owned());
        faults.push(Invalid { object, field: field.to_owned(), value: value.to_owned(), remedy });
    };
    if let Err(error) = metadata.name.parse::<Name>() {
        add("metadata.name", &metadata.name, &error.to_string());
    }
    match &metadata.namespace {
        Some(namespace) if !has_namespace => {
            add("metadata.namespace", namespace, "objects of this kind have no namespace: leave it out");
        }
        Some(namespace) => {
            if let Err(error) = namespace.parse::<Name>() {
                add("metadata.namespace", namespace, &error.to_string());
            }
        }
        None => {}
    }
    let resolved = resolve(object).err().map(|InvalidFields(found)| found);
    faults.extend(resolved.into_iter().flatten());
    if faults.is_empty() { Ok(()) } else { Err(InvalidFields(faults)) }
}

/// Not in audit, whatever it says.
fn enforced(mut object: Object) -> Object {
    match &mut object {
        Object::NetworkPolicy(policy) => drop(policy.metadata.annotations.remove(MODE_ANNOTATION)),
        Object::ClusterNetworkPolicy(policy) => drop(policy.metadata.annotations.remove(MODE_ANNOTATION)),
        _ => {}
    }
    object
}

/// Of what is changed at once.
fn titles<'a>(mut objects: impl Iterator<Item = &'a Object>) -> String {
    let first = objects.next().map(title).unwrap_or_default();
    match objects.count() {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

fn title(object: &Object) -> String {
    format!("{} {:?}", object.kind(), object.name())
}
