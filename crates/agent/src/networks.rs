//! The networks that people wrote: kept in the store, checked on the way in, ready to be used.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use ipnet::{IpNet, Ipv6Net};
use weft_api::{ApplyAction, NetworkObject};
use weft_ipam::pick_subnet;
use weft_model::{Attachment, Family, InvalidFields, Labels, MacvlanMode, Network, NetworkName};
use weft_store::{CommitError, Expectation, Snapshot, Store, StoreError, Txn};

use crate::apply::admissions;
use crate::attachment::Built;
use crate::probe::Missing;

const KEY_PREFIX: &str = "networks/";

/// Why networks were not changed. Nothing was, then.
#[derive(Debug, thiserror::Error)]
pub enum NetworksError {
    /// The object is of another kind or version.
    #[error("object {name:?}: {field} {value:?}: this weft takes {expected}")]
    Kind {
        /// Its name.
        name: String,
        /// `apiVersion` or `kind`.
        field: &'static str,
        /// What it says there.
        value: String,
        /// What it should say.
        expected: &'static str,
    },
    /// The name is none.
    #[error("network: metadata.name {0}")]
    Name(#[from] weft_model::NameError),
    /// Fields are faulty.
    #[error(transparent)]
    Invalid(#[from] InvalidFields),
    /// Two networks would share addresses.
    #[error("network {name}: spec.pools \"{pool}\": overlaps {other_pool} of network {other}: choose another pool")]
    Overlap {
        /// The new one.
        name: NetworkName,
        /// Its pool.
        pool: IpNet,
        /// The one that is there.
        other: NetworkName,
        /// Its pool.
        other_pool: IpNet,
    },
    /// The programs would take two networks for one.
    #[error("network {name}: metadata.name: its number among the programs is that of network {other}: choose another")]
    SameNumber {
        /// The new one.
        name: NetworkName,
        /// The one that is there.
        other: NetworkName,
    },
    /// The pool is in use outside of weft.
    #[error(
        "network {name}: spec.pools \"{pool}\": the host has a route to {route}, which overlaps it: choose another pool"
    )]
    Routed {
        /// The network.
        name: NetworkName,
        /// Its pool.
        pool: IpNet,
        /// The host's route.
        route: IpNet,
    },
    /// The host's link will not do.
    #[error("network {name}: spec.parent \"{parent}\": {reason}")]
    Parent {
        /// The network.
        name: NetworkName,
        /// The link.
        parent: String,
        /// Why not.
        reason: String,
    },
    /// The kernel cannot do it.
    #[error("network {name}: spec.mode: attachment {attachment} cannot be served: {remedy}")]
    Missing {
        /// The network.
        name: NetworkName,
        /// How its containers would join.
        attachment: Attachment,
        /// What is missing.
        remedy: String,
    },
    /// The kernel has no VLANs.
    #[error("network {name}: spec.vlan: cannot be served: {remedy}")]
    Vlan {
        /// The network.
        name: NetworkName,
        /// What is missing.
        remedy: String,
    },
    /// weft found no free pool.
    #[error("network {name}: no free {family:?} subnet is left to pick: name one in spec.pools")]
    NoSubnet {
        /// The network.
        name: NetworkName,
        /// The family.
        family: Family,
    },
    /// It is there already.
    #[error("network {0} exists: change it with `weft apply`, or choose another name")]
    Exists(NetworkName),
    /// It is not there.
    #[error("network {0:?} does not exist: see `weft get networks`")]
    Absent(String),
    /// It has endpoints.
    #[error("network {name} is in use by {users}: stop those containers first")]
    InUse {
        /// The network.
        name: NetworkName,
        /// Some of its endpoints.
        users: String,
    },
    /// The store refused.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a change may not collide with, and what it may pick from.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Destinations of the host's own routes, default ones aside.
    pub routes: Vec<IpNet>,
    /// The host's own /48, from which IPv6 pools are picked.
    pub site: Ipv6Net,
    /// The host's links, with the reason for which one cannot be a parent.
    pub links: BTreeMap<String, Option<String>>,
    /// What the kernel lacks.
    pub missing: Missing,
}

#[derive(Debug, Clone)]
struct Stored {
    object: NetworkObject,
    network: Arc<Network>,
    revision: u64,
}

/// Reads are from memory; changes go through the store.
pub struct Networks {
    store: Arc<dyn Store>,
    by_name: RwLock<BTreeMap<NetworkName, Stored>>,
}

impl Networks {
    /// Reads what the store holds. An object that this weft cannot read is left where it is, and logged.
    pub fn open(store: Arc<dyn Store>) -> Result<Self, StoreError> {
        let mut by_name = BTreeMap::new();
        for (key, kept) in store.snapshot()?.objects {
            let Some(name) = key.strip_prefix(KEY_PREFIX) else { continue };
            match read(name, &kept.value) {
                Ok((object, network)) => {
                    let network = Arc::new(network);
                    by_name.insert(network.name.clone(), Stored { object, network, revision: kept.revision });
                }
                Err(error) => tracing::error!(network = name, error, "a network in the store cannot be read"),
            }
        }
        Ok(Self { store, by_name: RwLock::new(by_name) })
    }

    /// The network of that name.
    pub fn get(&self, name: &str) -> Option<Arc<Network>> {
        let name = NetworkName::parse(name).ok()?;
        self.read().get(&name).map(|stored| Arc::clone(&stored.network))
    }

    /// Every network.
    pub fn all(&self) -> BTreeMap<NetworkName, Network> {
        self.read().iter().map(|(name, stored)| (name.clone(), (*stored.network).clone())).collect()
    }

    /// Every network as it was written.
    pub fn objects(&self) -> Vec<NetworkObject> {
        self.read().values().map(|stored| stored.object.clone()).collect()
    }

    /// Creates or changes networks: all of them or none. `create` refuses those that are there.
    pub fn apply(
        &self,
        objects: Vec<NetworkObject>,
        create: Create,
        around: &Surroundings,
    ) -> Result<Vec<(NetworkName, ApplyAction)>, NetworksError> {
        let mut by_name = self.by_name.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut next = by_name.clone();
        let (mut txn, mut actions) = (Txn::new(), Vec::new());
        for object in objects {
            let name = check_head(&object)?;
            let old = next.get(&name).cloned();
            if old.is_some() && create == Create::New {
                return Err(NetworksError::Exists(name));
            }
            let (object, network) = admit(&name, object, old.as_ref(), &next, around)?;
            let action = match &old {
                Some(old) if old.object == object => ApplyAction::Unchanged,
                Some(_) => ApplyAction::Changed,
                None => ApplyAction::Created,
            };
            if action != ApplyAction::Unchanged {
                let expected = old.map_or(Expectation::Absent, |old| Expectation::Revision(old.revision));
                let value = serde_json::to_vec(&object).expect("objects have string keys only");
                txn = txn.put(format!("{KEY_PREFIX}{name}"), expected, value);
                next.insert(name.clone(), Stored { object, network: Arc::new(network), revision: 0 });
            }
            actions.push((name, action));
        }
        let revision = self.store.commit(txn)?;
        for stored in next.values_mut().filter(|stored| stored.revision == 0) {
            stored.revision = revision;
        }
        *by_name = next;
        Ok(actions)
    }

    /// Deletes a network; `users` names some of its endpoints, if it has any.
    pub fn delete(
        &self,
        name: &str,
        users: impl FnOnce(&NetworkName) -> String,
    ) -> Result<NetworkObject, NetworksError> {
        let absent = || NetworksError::Absent(name.to_owned());
        let parsed = NetworkName::parse(name).map_err(|_| absent())?;
        let mut by_name = self.by_name.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let stored = by_name.get(&parsed).ok_or_else(absent)?;
        let users = users(&parsed);
        if !users.is_empty() {
            return Err(NetworksError::InUse { name: parsed, users });
        }
        let key = format!("{KEY_PREFIX}{parsed}");
        self.store.commit(Txn::new().delete(key, Expectation::Revision(stored.revision)))?;
        let gone = by_name.remove(&parsed).ok_or_else(absent)?;
        Ok(gone.object)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<NetworkName, Stored>> {
        self.by_name.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Names of the networks in a store, whether or not this weft can read them.
pub fn names(snapshot: &Snapshot) -> Vec<String> {
    snapshot.objects.keys().filter_map(|key| key.strip_prefix(KEY_PREFIX)).map(str::to_owned).collect()
}

/// Whether a network that is there may be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Create {
    /// It must be new.
    New,
    /// It may be there.
    OrChange,
}

fn check_head(object: &NetworkObject) -> Result<NetworkName, NetworksError> {
    let wrong = |field, value: &str, expected| NetworksError::Kind {
        name: object.metadata.name.clone(),
        field,
        value: value.to_owned(),
        expected,
    };
    if object.api_version != weft_api::API_VERSION {
        return Err(wrong("apiVersion", &object.api_version, weft_api::API_VERSION));
    }
    if object.kind != "Network" {
        return Err(wrong("kind", &object.kind, "Network"));
    }
    Ok(NetworkName::parse(object.metadata.name.as_str())?)
}

/// Fills in what was left to weft, and checks the rest.
fn admit(
    name: &NetworkName,
    mut object: NetworkObject,
    old: Option<&Stored>,
    others: &BTreeMap<NetworkName, Stored>,
    around: &Surroundings,
) -> Result<(NetworkObject, Network), NetworksError> {
    object.status = None;
    let (attachment, _) = object.spec.pair(name)?;
    if attachment.has_pools() && !attachment.has_parent() {
        for family in object.spec.families_without_pool() {
            let kept = old.and_then(|old| pool_of(&old.network, family));
            let picked = kept.or_else(|| pick_subnet(family, around.site, &taken(others, around)));
            let subnet = picked.ok_or_else(|| NetworksError::NoSubnet { name: name.clone(), family })?;
            object.spec.pools.push(subnet.to_string());
        }
    }
    let labels: Labels = object.metadata.labels.clone();
    let network = object.spec.resolve(name, &labels, &Built)?;
    if let Some(remedy) = around.missing.attachments.get(&attachment).filter(|_| old.is_none()) {
        return Err(NetworksError::Missing { name: name.clone(), attachment, remedy: remedy.clone() });
    }
    if let Some(remedy) = around.missing.vlans().filter(|_| old.is_none() && network.vlan.is_some()) {
        return Err(NetworksError::Vlan { name: name.clone(), remedy: remedy.to_owned() });
    }
    if let Some(old) = old {
        object.spec.check_change(name, &old.object.spec)?;
    }
    if old.is_none() {
        let beside = others.values().map(|other| &*other.network);
        check_parent(&network, beside, around).map_err(|reason| NetworksError::Parent {
            name: name.clone(),
            parent: object.spec.parent.clone().unwrap_or_else(|| "auto".to_owned()),
            reason,
        })?;
    }
    for other in others.values().filter(|other| other.network.name != *name) {
        if let Some((pool, other_pool)) = network.overlap(&other.network) {
            let (name, other) = (name.clone(), other.network.name.clone());
            return Err(NetworksError::Overlap { name, pool, other, other_pool });
        }
        if admissions::number(name) == admissions::number(&other.network.name) {
            return Err(NetworksError::SameNumber { name: name.clone(), other: other.network.name.clone() });
        }
    }
    if old.is_none() {
        check_routes(&network, around)?;
    }
    Ok((object, network))
}

/// Whether the parent can carry the network beside those that it carries.
fn check_parent<'a>(
    network: &Network,
    others: impl Iterator<Item = &'a Network>,
    around: &Surroundings,
) -> Result<(), String> {
    if !network.attachment.sits_on_parent() {
        return Ok(());
    }
    if let Some(parent) = &network.parent {
        let known = around.links.get(parent.as_str());
        let known = known.ok_or("the host has no such link: `ip link` lists those that it has")?;
        known.clone().map_or(Ok(()), Err)?;
    }
    let is_beside = |other: &&Network| {
        let is_same = (&other.parent, other.vlan) == (&network.parent, network.vlan);
        is_same && other.attachment.sits_on_parent() && other.name != network.name
    };
    for other in others.filter(is_beside) {
        if [network, other].iter().any(|one| one.macvlan_mode == MacvlanMode::Passthru) {
            let name = &other.name;
            return Err(format!(
                "network {name} is on it, and macvlanMode passthru takes the whole: name another link"
            ));
        }
    }
    Ok(())
}

/// Pools on a parent are those of its own network, to which the host may well have a route.
fn check_routes(network: &Network, around: &Surroundings) -> Result<(), NetworksError> {
    if network.attachment.has_parent() {
        return Ok(());
    }
    for pool in network.pools.iter().map(|pool| pool.subnet) {
        if let Some(route) = around.routes.iter().find(|route| route.contains(&pool) || pool.contains(*route)) {
            return Err(NetworksError::Routed { name: network.name.clone(), pool, route: *route });
        }
    }
    Ok(())
}

fn pool_of(network: &Network, family: Family) -> Option<IpNet> {
    network.pools.iter().map(|pool| pool.subnet).find(|subnet| Family::of_net(subnet) == family)
}

fn taken(others: &BTreeMap<NetworkName, Stored>, around: &Surroundings) -> Vec<IpNet> {
    let pools = others.values().flat_map(|other| other.network.pools.iter().map(|pool| pool.subnet));
    pools.chain(around.routes.iter().copied()).collect()
}

fn read(name: &str, value: &[u8]) -> Result<(NetworkObject, Network), String> {
    let object: NetworkObject = serde_json::from_slice(value).map_err(|e| e.to_string())?;
    let name = NetworkName::parse(name).map_err(|e| e.to_string())?;
    let network = object.spec.resolve(&name, &object.metadata.labels, &Built).map_err(|e| e.to_string())?;
    Ok((object, network))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::json;
    use weft_model::{base32, fnv64};
    use weft_store::Memory;

    use super::*;

    /// Names whose networks have the same number: among 300,000 there are some.
    fn twins() -> [String; 2] {
        let mut seen = HashMap::new();
        for n in 0..300_000 {
            let name = format!("n{}", base32(fnv64(&[&n.to_string()]), 12));
            let number = admissions::number(&NetworkName::parse(name.as_str()).unwrap());
            if let Some(first) = seen.insert(number, name.clone()) {
                return [first, name];
            }
        }
        unreachable!("32 bits have room for fewer without two that are equal")
    }

    #[test]
    fn two_networks_never_have_one_number() {
        let networks = Networks::open(Arc::new(Memory::default())).unwrap();
        let site = "fd00::/48".parse().unwrap();
        let around = Surroundings { routes: Vec::new(), site, links: BTreeMap::new(), missing: Missing::default() };
        let object = |name: &str| {
            let object = json!({
                "apiVersion": weft_api::API_VERSION, "kind": "Network", "metadata": {"name": name},
                "spec": {"mode": "bridge"},
            });
            vec![serde_json::from_value(object).unwrap()]
        };
        let [first, second] = twins();
        networks.apply(object(&first), Create::New, &around).unwrap();
        let error = networks.apply(object(&second), Create::New, &around).unwrap_err().to_string();
        assert!(error.contains(&first) && error.contains(&second), "{error}");
        networks.apply(object("another"), Create::New, &around).unwrap();
    }
}
