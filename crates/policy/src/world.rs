//! All that is known of policies, namespaces and identities, and what it comes to.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use weft_model::{Labels, NamedPort, Namespaces, Policy, PolicyKey, PolicyMode, Protocol, Scope, Way};

use crate::decide::{Decision, decide};
use crate::origin::{Origins, RuleOrigin, places};
use crate::prefix::Prefix;
use crate::scope::{ScopeNumber, Scopes};
use crate::set::{Selected, Set, SetKey, SetNumber, own_ports, scopes};
use crate::table::{RuleNumber, Table, TableNumber, Verdict, flatten};

/// Number of an identity. 0 is nobody's.
pub type IdentityNumber = u32;

/// Sets that are kept for nobody, and what each may say at most.
const IDLE_MAX: usize = 32;
const IDLE_ENTRIES_MAX: usize = 1024;
/// The label that every namespace has, with its name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// What policies tell endpoints apart by.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// Their namespace.
    pub namespace: String,
    /// Their labels.
    pub labels: Labels,
    /// Their ports that have names.
    pub ports: Vec<NamedPort>,
}

/// Which policies count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum View {
    /// Those that are enforced.
    Enforced,
    /// Those in audit, too.
    Whole,
}

/// What holds for an identity, each way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sets {
    /// Of connections to it.
    pub ingress: SetNumber,
    /// Of connections by it.
    pub egress: SetNumber,
    /// A `NetworkPolicy` selects it for that way.
    pub is_ingress_isolated: bool,
    /// Likewise.
    pub is_egress_isolated: bool,
}

/// What of the programs' maps comes and goes: `None` goes. Tables are there before what names them, and gone after.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Tables, none of which changes while it is there.
    pub tables: BTreeMap<TableNumber, Option<Table>>,
    /// By set and the other end's identity.
    pub peers: BTreeMap<(SetNumber, IdentityNumber), Option<TableNumber>>,
    /// By set and the other end's address.
    pub blocks: BTreeMap<(SetNumber, Prefix), Option<TableNumber>>,
    /// Identities that have other sets than before.
    pub identities: BTreeSet<IdentityNumber>,
    /// Rules that are written nowhere any more.
    pub rules: BTreeSet<RuleNumber>,
    /// What it took.
    pub work: Work,
}

impl Changes {
    /// Whether nothing comes or goes.
    pub fn is_nothing(&self) -> bool {
        let Changes { tables, peers, blocks, identities, rules, work: _ } = self;
        (tables.is_empty() && peers.is_empty() && blocks.is_empty()) && identities.is_empty() && rules.is_empty()
    }
}

/// What changes took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// How often an identity was held against a selector.
    pub looked_at: u64,
    /// How often it was worked out what a set says about an identity, or about a prefix.
    pub worked_out: u64,
}

/// All that is known.
#[derive(Debug, Default)]
pub struct World {
    policies: BTreeMap<PolicyKey, Installed>,
    /// Policies by the scope that they are about.
    subjects: BTreeMap<ScopeNumber, BTreeSet<Selected>>,
    namespaces: BTreeMap<String, Labels>,
    identities: BTreeMap<IdentityNumber, Known>,
    identity_numbers: BTreeMap<Identity, IdentityNumber>,
    identities_in: BTreeMap<String, BTreeSet<IdentityNumber>>,
    scopes: Scopes,
    sets: BTreeMap<SetNumber, Set>,
    set_numbers: BTreeMap<SetKey, SetNumber>,
    /// Sets by the scopes that they look for others in.
    lookers: BTreeMap<ScopeNumber, BTreeSet<SetNumber>>,
    tables: Tables,
    origins: Origins,
    next_identity: IdentityNumber,
    next_set: SetNumber,
    revision: u64,
    /// Identities whose policies have changed, and that have their former sets still.
    dirty: BTreeSet<IdentityNumber>,
    /// Sets that nobody has, until policies change: who is born next will often have the policies of who died last.
    idle: BTreeSet<SetNumber>,
    changes: Changes,
}

#[derive(Debug)]
struct Installed {
    selected: Selected,
    subject: ScopeNumber,
}

#[derive(Debug)]
struct Known {
    identity: Arc<Identity>,
    holds: usize,
    /// Those that match it.
    scopes: BTreeSet<ScopeNumber>,
    /// By way; of the whole view only where that is another one.
    sets: BTreeMap<(Way, View), SetNumber>,
}

/// Tables by what is in them, as long as somebody holds them.
#[derive(Debug, Default)]
struct Tables {
    numbers: BTreeMap<Table, TableNumber>,
    kept: BTreeMap<TableNumber, (Table, usize)>,
    next: TableNumber,
}

impl Tables {
    fn hold(&mut self, table: Table, changes: &mut Changes) -> TableNumber {
        if table == Table::default() {
            return 0;
        }
        if let Some(number) = self.numbers.get(&table) {
            if let Some((_, holds)) = self.kept.get_mut(number) {
                *holds += 1;
            }
            return *number;
        }
        self.next += 1;
        self.numbers.insert(table.clone(), self.next);
        self.kept.insert(self.next, (table.clone(), 1));
        changes.tables.insert(self.next, Some(table));
        self.next
    }

    fn release(&mut self, number: TableNumber, changes: &mut Changes) {
        let Some((_, holds)) = self.kept.get_mut(&number) else { return };
        *holds -= 1;
        if *holds == 0
            && let Some((table, _)) = self.kept.remove(&number)
        {
            self.numbers.remove(&table);
            changes.tables.insert(number, None);
        }
    }

    fn find(&self, number: TableNumber, protocol: Protocol, port: u16) -> Verdict {
        self.kept.get(&number).map(|(table, _)| table.find(protocol, port)).unwrap_or_default()
    }
}

impl World {
    /// Puts a policy in force, in place of the one of that name. What it comes to is worked out with all else that
    /// changes until somebody asks.
    pub fn set_policy(&mut self, policy: Policy) {
        if self.policies.get(&policy.key).is_some_and(|installed| *installed.selected.policy == policy) {
            return;
        }
        self.forget_idle();
        let subject = self.hold_scope(&policy.subject);
        let mut affected: BTreeSet<_> = self.scopes.matched(subject).collect();
        let key = policy.key.clone();
        let former = self.policies.remove(&key);
        if let Some(former) = &former {
            affected.extend(self.scopes.matched(former.subject));
            self.forget_origins(&former.selected.policy);
            self.unlist(former);
        }
        self.note_origins(&policy);
        self.revision += 1;
        let selected = Selected { policy: Arc::new(policy), revision: self.revision };
        self.subjects.entry(subject).or_default().insert(selected.clone());
        self.policies.insert(key, Installed { selected, subject });
        self.dirty.extend(affected);
        if let Some(former) = former {
            self.release_scope(former.subject);
        }
    }

    /// Takes a policy out of force; gives back whether it was there.
    pub fn remove_policy(&mut self, key: &PolicyKey) -> bool {
        let Some(former) = self.policies.remove(key) else { return false };
        self.forget_idle();
        self.dirty.extend(self.scopes.matched(former.subject));
        self.forget_origins(&former.selected.policy);
        self.unlist(&former);
        self.release_scope(former.subject);
        true
    }

    /// Gives a namespace these labels; none if it is not written down any more.
    pub fn set_namespace(&mut self, name: &str, labels: Labels) {
        let former = self.namespaces.get(name).cloned().unwrap_or_default();
        if former == labels {
            return;
        }
        self.namespaces.insert(name.to_owned(), labels);
        let inside = self.identities_in.get(name).cloned().unwrap_or_default();
        inside.into_iter().for_each(|identity| self.note(identity));
    }

    /// Holds an identity: gives back its number, which it keeps as long as it is held.
    pub fn hold(&mut self, identity: Identity) -> IdentityNumber {
        if let Some(number) = self.identity_numbers.get(&identity) {
            if let Some(known) = self.identities.get_mut(number) {
                known.holds += 1;
            }
            return *number;
        }
        self.next_identity += 1;
        let number = self.next_identity;
        self.identity_numbers.insert(identity.clone(), number);
        self.identities_in.entry(identity.namespace.clone()).or_default().insert(number);
        let known = Known { identity: Arc::new(identity), holds: 1, scopes: BTreeSet::new(), sets: BTreeMap::new() };
        self.identities.insert(number, known);
        self.note(number);
        number
    }

    /// Holds an identity that had a number before, if that is still free. So whoever knows the number goes on to mean
    /// it.
    pub fn hold_as(&mut self, identity: Identity, number: IdentityNumber) -> IdentityNumber {
        let is_free = number != 0 && !self.identities.contains_key(&number);
        if !self.identity_numbers.contains_key(&identity) && is_free {
            let next = self.next_identity;
            self.next_identity = number - 1;
            let held = self.hold(identity);
            self.next_identity = next.max(number);
            return held;
        }
        self.hold(identity)
    }

    /// Gives new numbers above these from now on.
    pub fn reserve(&mut self, identity: IdentityNumber, set: SetNumber, table: TableNumber) {
        self.next_identity = self.next_identity.max(identity);
        self.next_set = self.next_set.max(set);
        self.tables.next = self.tables.next.max(table);
    }

    /// How much there is for the programs' maps: what is said about identities, about prefixes, and of ports.
    pub fn size(&mut self) -> [usize; 3] {
        self.settle();
        let peers = self.sets.values().map(|set| set.peers.len()).sum();
        let blocks = self.sets.values().map(|set| set.blocks.len()).sum();
        let ports = self.tables.kept.values().map(|(table, _)| table.0.len()).sum();
        [peers, blocks, ports]
    }

    /// Whether anything is said about anybody.
    pub fn is_silent(&self) -> bool {
        self.sets.len() == self.idle.len()
    }

    /// Lets go of an identity: of one that nobody holds nothing is left.
    pub fn release(&mut self, number: IdentityNumber) {
        let Some(known) = self.identities.get_mut(&number) else { return };
        known.holds -= 1;
        if known.holds > 0 {
            return;
        }
        let Some(known) = self.identities.remove(&number) else { return };
        self.identity_numbers.remove(&known.identity);
        if let Some(inside) = self.identities_in.get_mut(&known.identity.namespace) {
            inside.remove(&number);
        }
        self.scopes.forget(number, &known.scopes);
        for set in self.lookers_in(&known.scopes) {
            self.put_peer(set, number, None);
        }
        known.sets.into_values().for_each(|set| self.release_set(set));
        self.changes.identities.insert(number);
    }

    /// The number of one that somebody holds.
    pub fn number_of(&self, identity: &Identity) -> Option<IdentityNumber> {
        self.identity_numbers.get(identity).copied()
    }

    /// Which one has a number.
    pub fn identity(&self, number: IdentityNumber) -> Option<&Identity> {
        self.identities.get(&number).map(|known| &*known.identity)
    }

    /// What holds for an identity, in a view.
    pub fn sets(&self, number: IdentityNumber, view: View) -> Sets {
        let set = |way| {
            let number = self.set_of(number, way, view).unwrap_or(0);
            (number, self.sets.get(&number).is_some_and(Set::is_isolated))
        };
        let ((ingress, is_ingress_isolated), (egress, is_egress_isolated)) = (set(Way::Ingress), set(Way::Egress));
        Sets { ingress, egress, is_ingress_isolated, is_egress_isolated }
    }

    /// The set that was made last; those that are made later have higher numbers.
    pub fn newest_set(&self) -> SetNumber {
        self.next_set
    }

    /// Whether some identity has the set.
    pub fn is_held(&self, set: SetNumber) -> bool {
        self.sets.get(&set).is_some_and(|set| set.holds > 0)
    }

    fn set_of(&self, number: IdentityNumber, way: Way, view: View) -> Option<SetNumber> {
        let sets = &self.identities.get(&number)?.sets;
        sets.get(&(way, view)).or_else(|| sets.get(&(way, View::Enforced))).copied()
    }

    /// Decides as the programs do: whether `number` may have a connection with who is there.
    pub fn decide(
        &self,
        (number, view): (IdentityNumber, View),
        way: Way,
        other: Option<IdentityNumber>,
        address: IpAddr,
        (protocol, port): (Protocol, u16),
    ) -> Decision {
        let set = self.set_of(number, way, view).and_then(|set| self.sets.get(&set));
        let Some(set) = set else { return decide(&Verdict::default(), &Verdict::default(), false) };
        let by_identity = other.and_then(|other| set.peers.get(&other));
        let by_address = Prefix::of(address).and_above().find_map(|prefix| set.blocks.get(&prefix));
        let said = |table: Option<&TableNumber>| table.map(|table| self.tables.find(*table, protocol, port));
        decide(&said(by_identity).unwrap_or_default(), &said(by_address).unwrap_or_default(), set.is_isolated())
    }

    /// The policies that select an identity for a way, in the order in which they have their say.
    pub fn selecting(&self, number: IdentityNumber, way: Way) -> Vec<Arc<Policy>> {
        self.selected(number, way).into_iter().map(|selected| selected.policy).collect()
    }

    /// How many of those who hold identities a policy is about.
    pub fn selected_by(&self, key: &PolicyKey) -> usize {
        let Some(installed) = self.policies.get(key) else { return 0 };
        let holds = |number| self.identities.get(&number).map_or(0, |known| known.holds);
        self.scopes.matched(installed.subject).map(holds).sum()
    }

    /// The rules of a policy, both ways.
    pub fn rules_of(&self, key: &PolicyKey) -> impl Iterator<Item = RuleNumber> {
        let policy = self.policies.get(key).map(|installed| &*installed.selected.policy);
        policy.into_iter().flat_map(places).filter_map(|place| self.origins.number(place))
    }

    /// Where a rule is written.
    pub fn origin(&self, rule: RuleNumber) -> Option<&RuleOrigin> {
        self.origins.get(rule)
    }

    /// Gives identities the sets that their policies come to.
    fn settle(&mut self) {
        let dirty = std::mem::take(&mut self.dirty);
        if dirty.is_empty() {
            return;
        }
        dirty.into_iter().for_each(|identity| self.assign(identity));
        // They are of policies that are not there any more.
        self.forget_idle();
    }

    /// What has come and gone since this was asked last.
    pub fn take_changes(&mut self) -> Changes {
        self.settle();
        std::mem::take(&mut self.changes)
    }

    /// All that the programs' maps should have, as if it were new.
    pub fn everything(&self) -> Changes {
        let peers = self.sets.iter().flat_map(|(number, set)| {
            set.peers.iter().map(move |(identity, table)| ((*number, *identity), Some(*table)))
        });
        let blocks = self
            .sets
            .iter()
            .flat_map(|(number, set)| set.blocks.iter().map(move |(prefix, table)| ((*number, *prefix), Some(*table))));
        Changes {
            tables: self.tables.kept.iter().map(|(number, (table, _))| (*number, Some(table.clone()))).collect(),
            peers: peers.collect(),
            blocks: blocks.collect(),
            identities: self.identities.keys().copied().collect(),
            rules: BTreeSet::new(),
            work: Work::default(),
        }
    }

    fn labels_of(&self, namespace: &str) -> Labels {
        let mut labels = self.namespaces.get(namespace).cloned().unwrap_or_default();
        labels.insert(NAME_LABEL.to_owned(), namespace.to_owned());
        labels
    }

    /// Finds out anew what an identity is matched by, and what follows.
    fn note(&mut self, number: IdentityNumber) {
        let Some(known) = self.identities.get(&number) else { return };
        let identity = Arc::clone(&known.identity);
        let labels = self.labels_of(&identity.namespace);
        let former =
            self.identities.get_mut(&number).map(|known| std::mem::take(&mut known.scopes)).unwrap_or_default();
        let scopes = self.scopes.note(number, &identity, &labels, &former, &mut self.changes.work.looked_at);
        let Some(known) = self.identities.get_mut(&number) else { return };
        known.scopes.clone_from(&scopes);
        let changed: BTreeSet<_> = former.symmetric_difference(&scopes).copied().collect();
        self.assign(number);
        for set in self.lookers_in(&changed) {
            self.work_out_peer(set, number);
        }
    }

    /// Policies that select an identity for a way, those in audit among them, in their order, each as it is now.
    fn selected(&self, number: IdentityNumber, way: Way) -> Vec<Selected> {
        let scopes = self.identities.get(&number).into_iter().flat_map(|known| &known.scopes);
        let about = scopes.filter_map(|scope| self.subjects.get(scope)).flatten();
        let mut selected: Vec<_> = about.filter(|about| about.policy.rules(way).is_some()).cloned().collect();
        selected.sort();
        selected
    }

    /// Gives an identity the sets that it should have.
    fn assign(&mut self, number: IdentityNumber) {
        for way in Way::BOTH {
            let mut enforced = self.selected(number, way);
            let is_watched = enforced.iter().any(|selected| selected.policy.mode == PolicyMode::Audit);
            let whole = if is_watched { enforced.clone() } else { Vec::new() };
            enforced.retain(|selected| selected.policy.mode == PolicyMode::Enforce);
            self.assign_set(number, (way, View::Enforced), enforced);
            self.assign_set(number, (way, View::Whole), whole);
        }
    }

    fn assign_set(&mut self, number: IdentityNumber, place: (Way, View), policies: Vec<Selected>) {
        let set = if policies.is_empty() { None } else { Some(self.hold_set(number, place.0, policies)) };
        let Some(known) = self.identities.get_mut(&number) else { return };
        let former = match set {
            Some(set) => known.sets.insert(place, set),
            None => known.sets.remove(&place),
        };
        if former != set {
            self.changes.identities.insert(number);
        }
        if let Some(former) = former {
            self.release_set(former);
        }
    }

    /// Holds the set of these policies for an identity; one that nobody had is worked out.
    fn hold_set(&mut self, identity: IdentityNumber, way: Way, policies: Vec<Selected>) -> SetNumber {
        let ports = match (way, self.identities.get(&identity)) {
            (Way::Ingress, Some(known)) => {
                own_ports(policies.iter().map(|selected| &*selected.policy), &known.identity)
            }
            _ => Vec::new(),
        };
        let key = SetKey { way, policies, ports };
        let known = self.set_numbers.get(&key).copied();
        let number = known.unwrap_or_else(|| self.make_set(key));
        self.idle.remove(&number);
        if let Some(set) = self.sets.get_mut(&number) {
            set.holds += 1;
        }
        number
    }

    fn make_set(&mut self, key: SetKey) -> SetNumber {
        self.next_set += 1;
        let number = self.next_set;
        let rules = key.policies.iter().flat_map(|selected| selected.policy.rules(key.way).unwrap_or_default());
        let wanted: Vec<Vec<Scope>> = rules.map(|rule| scopes(rule, key.way)).collect();
        let held: Vec<Vec<ScopeNumber>> =
            wanted.iter().map(|scopes| scopes.iter().map(|scope| self.hold_scope(scope)).collect()).collect();
        let set = Set::new(key.clone(), held.into_iter(), &self.origins);
        let looked_in: BTreeSet<ScopeNumber> = set.scopes().collect();
        let others: BTreeSet<IdentityNumber> = looked_in.iter().flat_map(|scope| self.scopes.matched(*scope)).collect();
        for scope in looked_in {
            self.lookers.entry(scope).or_default().insert(number);
        }
        let about_addresses = set.about_addresses();
        self.set_numbers.insert(key, number);
        self.sets.insert(number, set);
        others.into_iter().for_each(|other| self.work_out_peer(number, other));
        self.put_blocks(number, about_addresses);
        number
    }

    /// Lets go of a set.
    fn release_set(&mut self, number: SetNumber) {
        let Some(set) = self.sets.get_mut(&number) else { return };
        set.holds -= 1;
        if set.holds > 0 {
            return;
        }
        if self.idle.len() < IDLE_MAX && set.peers.len() + set.blocks.len() <= IDLE_ENTRIES_MAX {
            self.idle.insert(number);
        } else {
            self.forget_set(number);
        }
    }

    /// Makes the room free that sets take which nobody has.
    pub fn forget_idle(&mut self) {
        std::mem::take(&mut self.idle).into_iter().for_each(|set| self.forget_set(set));
    }

    fn forget_set(&mut self, number: SetNumber) {
        let Some(set) = self.sets.remove(&number) else { return };
        self.set_numbers.remove(&set.key);
        for scope in set.scopes().collect::<BTreeSet<_>>() {
            if let Some(lookers) = self.lookers.get_mut(&scope) {
                lookers.remove(&number);
                if lookers.is_empty() {
                    self.lookers.remove(&scope);
                }
            }
        }
        for (identity, table) in &set.peers {
            self.changes.peers.insert((number, *identity), None);
            self.tables.release(*table, &mut self.changes);
        }
        for (prefix, table) in &set.blocks {
            self.changes.blocks.insert((number, *prefix), None);
            self.tables.release(*table, &mut self.changes);
        }
        set.scopes().for_each(|scope| self.release_scope(scope));
    }

    /// Works out what a set says about an identity.
    fn work_out_peer(&mut self, number: SetNumber, other: IdentityNumber) {
        let (Some(set), Some(known)) = (self.sets.get(&number), self.identities.get(&other)) else { return };
        self.changes.work.worked_out += 1;
        let layers = set.about(&known.identity, |scope| self.scopes.has(scope, other));
        let table = (!layers.is_empty()).then(|| flatten(&layers));
        self.put_peer(number, other, table);
    }

    fn put_peer(&mut self, number: SetNumber, other: IdentityNumber, table: Option<Table>) {
        let table = table.map(|table| self.tables.hold(table, &mut self.changes));
        let Some(set) = self.sets.get_mut(&number) else { return };
        let former = match table {
            Some(table) => set.peers.insert(other, table),
            None => set.peers.remove(&other),
        };
        if former != table {
            self.changes.peers.insert((number, other), table);
        }
        if let Some(former) = former {
            self.tables.release(former, &mut self.changes);
        }
    }

    /// Of a prefix in which the same holds as around it, nothing needs to be known.
    fn put_blocks(&mut self, number: SetNumber, about: Vec<(Prefix, Vec<crate::table::Layer>)>) {
        let mut around: Vec<(Prefix, TableNumber)> = Vec::new();
        for (prefix, layers) in about {
            self.changes.work.worked_out += 1;
            while around.last().is_some_and(|(outer, _)| !outer.contains(&prefix)) {
                around.pop();
            }
            let table = self.tables.hold(flatten(&layers), &mut self.changes);
            let outer = around.last().map_or(0, |(_, table)| *table);
            around.push((prefix, table));
            match self.sets.get_mut(&number).filter(|_| table != outer) {
                Some(set) => {
                    set.blocks.insert(prefix, table);
                    self.changes.blocks.insert((number, prefix), Some(table));
                }
                None => self.tables.release(table, &mut self.changes),
            }
        }
    }

    fn lookers_in(&self, scopes: &BTreeSet<ScopeNumber>) -> BTreeSet<SetNumber> {
        scopes.iter().filter_map(|scope| self.lookers.get(scope)).flatten().copied().collect()
    }

    fn hold_scope(&mut self, scope: &Scope) -> ScopeNumber {
        if let Some(number) = self.scopes.hold_again(scope) {
            return number;
        }
        let labels: BTreeMap<String, Labels> = match &scope.namespaces {
            Namespaces::Named(name) => BTreeMap::from([(name.clone(), self.labels_of(name))]),
            Namespaces::Matching(_) => {
                self.identities_in.keys().map(|name| (name.clone(), self.labels_of(name))).collect()
            }
        };
        let (identities, identities_in) = (&self.identities, &self.identities_in);
        let inside = labels.iter().flat_map(|(name, labels)| {
            let numbers = identities_in.get(name).into_iter().flatten();
            numbers.filter_map(move |number| Some((*number, &*identities.get(number)?.identity, labels)))
        });
        let number = self.scopes.hold_first(scope, inside, &mut self.changes.work.looked_at);
        for identity in self.scopes.matched(number) {
            if let Some(known) = self.identities.get_mut(&identity) {
                known.scopes.insert(number);
            }
        }
        number
    }

    fn release_scope(&mut self, number: ScopeNumber) {
        let matched: Vec<_> = self.scopes.matched(number).collect();
        if self.scopes.release(number) {
            for identity in matched {
                if let Some(known) = self.identities.get_mut(&identity) {
                    known.scopes.remove(&number);
                }
            }
        }
    }

    fn unlist(&mut self, former: &Installed) {
        if let Some(about) = self.subjects.get_mut(&former.subject) {
            about.remove(&former.selected);
            if about.is_empty() {
                self.subjects.remove(&former.subject);
            }
        }
    }

    fn note_origins(&mut self, policy: &Policy) {
        for way in Way::BOTH {
            for (place, rule) in policy.rules(way).unwrap_or_default().iter().enumerate() {
                let origin = RuleOrigin { policy: policy.key.clone(), way, place, name: rule.name.clone() };
                let number = self.origins.note(origin);
                self.changes.rules.remove(&number);
            }
        }
    }

    fn forget_origins(&mut self, policy: &Policy) {
        let gone = places(policy).filter_map(|place| self.origins.forget(place));
        self.changes.rules.extend(gone);
    }
}
