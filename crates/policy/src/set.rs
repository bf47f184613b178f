//! Sets: the rules of all policies that select the same endpoints for one way, made into tables.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weft_model::{NamedPort, Namespaces, Peer, Policy, Port, PortNumber, Protocol, Rule, Scope, Selector, Tier, Way};

use crate::origin::Origins;
use crate::prefix::Prefix;
use crate::scope::ScopeNumber;
use crate::table::{Layer, Ranked};
use crate::world::{Identity, IdentityNumber};

/// Number of a set. 0 is the one without rules, of which nothing is asked.
pub type SetNumber = u32;

/// A policy of a set, as it was at some time: no two have one revision.
#[derive(Debug, Clone)]
pub(crate) struct Selected {
    pub(crate) policy: Arc<Policy>,
    pub(crate) revision: u64,
}

/// In the order in which policies have their say.
impl Ord for Selected {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.revision == other.revision {
            return Ordering::Equal;
        }
        let place = |selected: &Self| (selected.policy.tier, selected.policy.priority);
        let order = place(self).cmp(&place(other)).then_with(|| self.policy.key.cmp(&other.policy.key));
        order.then(self.revision.cmp(&other.revision))
    }
}

impl PartialOrd for Selected {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Selected {
    fn eq(&self, other: &Self) -> bool {
        self.revision == other.revision
    }
}

impl Eq for Selected {}

/// What makes two sets the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SetKey {
    pub(crate) way: Way,
    /// In their order.
    pub(crate) policies: Vec<Selected>,
    /// Of ingress: the endpoint's own ports that rules have a name of.
    pub(crate) ports: Vec<NamedPort>,
}

/// A set, and what it came to.
#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) key: SetKey,
    /// How many identities have it.
    pub(crate) holds: usize,
    rules: Vec<Ruled>,
    /// What holds for the other end's identity.
    pub(crate) peers: BTreeMap<IdentityNumber, u32>,
    /// What holds for its address.
    pub(crate) blocks: BTreeMap<Prefix, u32>,
}

/// One rule of a set.
#[derive(Debug)]
struct Ruled {
    policy: Arc<Policy>,
    place: usize,
    tier: Tier,
    ranked: Ranked,
    /// Whom it matches by labels.
    scopes: Vec<ScopeNumber>,
}

impl Ruled {
    fn rule(&self, way: Way) -> &Rule {
        // The policy was asked for its rules when this was made.
        &self.policy.rules(way).unwrap_or_default()[self.place]
    }
}

/// The scopes that a rule looks for identities in. Everybody is in a scope only as far as somebody else's names for
/// ports count: the rest goes by address, which everybody has.
pub(crate) fn scopes(rule: &Rule, way: Way) -> Vec<Scope> {
    let has_names = rule.ports.iter().any(|port| matches!(port.number, PortNumber::Named(_)));
    if rule.peers.is_empty() && way == Way::Egress && has_names {
        let everywhere = Namespaces::Matching(Selector::default());
        return vec![Scope { namespaces: everywhere, endpoints: Selector::default() }];
    }
    let endpoints = rule.peers.iter().filter_map(|peer| match peer {
        Peer::Endpoints(scope) => Some(scope.clone()),
        Peer::Block { .. } => None,
    });
    endpoints.collect()
}

/// The endpoint's own ports that policies have a name of.
pub(crate) fn own_ports<'a>(policies: impl Iterator<Item = &'a Policy>, identity: &Identity) -> Vec<NamedPort> {
    let mut names = BTreeSet::new();
    for rule in policies.flat_map(|policy| policy.rules(Way::Ingress).unwrap_or_default()) {
        names.extend(rule.ports.iter().filter_map(|port| match &port.number {
            PortNumber::Named(name) => Some(name.as_str()),
            PortNumber::Range(..) => None,
        }));
    }
    identity.ports.iter().filter(|port| names.contains(port.name.as_str())).cloned().collect()
}

/// Who a connection's other end is.
enum Other<'a> {
    Identity(&'a Identity),
    /// Whoever has an address there.
    Address,
}

impl Set {
    /// A set without tables. `scopes` has those of each rule, in the order of policies and rules.
    pub(crate) fn new(key: SetKey, mut scopes: impl Iterator<Item = Vec<ScopeNumber>>, origins: &Origins) -> Self {
        let mut rules = Vec::new();
        for Selected { policy, .. } in &key.policies {
            for (place, rule) in policy.rules(key.way).unwrap_or_default().iter().enumerate() {
                let rank = u32::try_from(rules.len()).unwrap_or(u32::MAX);
                let number = origins.number((&policy.key, key.way, place)).unwrap_or_default();
                let ranked = Ranked { rank, action: rule.action, rule: number };
                let scopes = scopes.next().unwrap_or_default();
                rules.push(Ruled { policy: Arc::clone(policy), place, tier: policy.tier, ranked, scopes });
            }
        }
        Self { key, holds: 0, rules, peers: BTreeMap::new(), blocks: BTreeMap::new() }
    }

    /// Whether a `NetworkPolicy` selects those who have it: they get what some rule accepts, and nothing else.
    pub(crate) fn is_isolated(&self) -> bool {
        self.key.policies.iter().any(|selected| selected.policy.tier == Tier::Network)
    }

    /// All scopes of its rules, as often as they have them.
    pub(crate) fn scopes(&self) -> impl Iterator<Item = ScopeNumber> {
        self.rules.iter().flat_map(|rule| rule.scopes.iter().copied())
    }

    /// What its rules say about an identity, that is in just these scopes.
    pub(crate) fn about(&self, identity: &Identity, is_in: impl Fn(ScopeNumber) -> bool) -> Vec<Layer> {
        let matching = self.rules.iter().filter(|rule| rule.scopes.iter().any(|scope| is_in(*scope)));
        matching.filter_map(|rule| self.layer(rule, &Other::Identity(identity))).collect()
    }

    /// What its rules say about addresses: for each prefix whose addresses they tell from those around it.
    pub(crate) fn about_addresses(&self) -> Vec<(Prefix, Vec<Layer>)> {
        let mut edges: BTreeMap<Prefix, Edges> = BTreeMap::new();
        edges.entry(Prefix::ALL).or_default();
        for (place, rule) in self.rules.iter().enumerate() {
            let peers = &rule.rule(self.key.way).peers;
            if peers.is_empty() {
                edges.entry(Prefix::ALL).or_default().begin.push((place, usize::MAX));
            }
            for (block, peer) in peers.iter().enumerate() {
                let Peer::Block { net, except } = peer else { continue };
                edges.entry((*net).into()).or_default().begin.push((place, block));
                for part in except {
                    edges.entry((*part).into()).or_default().end.push((place, block));
                }
            }
        }
        self.nested(edges)
    }

    /// Goes through prefixes, each of which inherits what holds in the one around it.
    fn nested(&self, edges: BTreeMap<Prefix, Edges>) -> Vec<(Prefix, Vec<Layer>)> {
        let mut around: Vec<(Prefix, BTreeSet<(usize, usize)>)> = Vec::new();
        let mut found = Vec::new();
        for (prefix, Edges { begin, end }) in edges {
            while around.last().is_some_and(|(outer, _)| !outer.contains(&prefix)) {
                around.pop();
            }
            let mut here = around.last().map(|(_, blocks)| blocks.clone()).unwrap_or_default();
            here.extend(begin);
            end.iter().for_each(|block| {
                here.remove(block);
            });
            let rules: BTreeSet<usize> = here.iter().map(|(rule, _)| *rule).collect();
            let layers = rules.iter().filter_map(|rule| self.layer(&self.rules[*rule], &Other::Address));
            found.push((prefix, layers.collect()));
            around.push((prefix, here));
        }
        found
    }

    /// A rule as it holds for somebody; `None` if it is about ports that he has not.
    fn layer(&self, ruled: &Ruled, other: &Other<'_>) -> Option<Layer> {
        let rule = ruled.rule(self.key.way);
        let by_name: &[NamedPort] = match (self.key.way, other) {
            (Way::Ingress, _) => &self.key.ports,
            (Way::Egress, Other::Identity(identity)) => &identity.ports,
            (Way::Egress, Other::Address) => &[],
        };
        let ports: Vec<_> = rule.ports.iter().flat_map(|port| numbers(port, by_name)).collect();
        let is_about_him = rule.ports.is_empty() || !ports.is_empty();
        is_about_him.then_some(Layer { tier: ruled.tier, ranked: ruled.ranked, ports })
    }
}

/// The blocks of rules that begin to hold at a prefix, and that cease to.
#[derive(Debug, Default)]
struct Edges {
    begin: Vec<(usize, usize)>,
    end: Vec<(usize, usize)>,
}

/// What a port of a rule is, for who calls his ports so.
fn numbers(port: &Port, by_name: &[NamedPort]) -> Vec<(Protocol, u16, u16)> {
    let is_its = |protocol: Protocol| port.protocol.is_none_or(|own| own == protocol);
    match &port.number {
        PortNumber::Range(first, last) => port.protocol.map(|protocol| (protocol, *first, *last)).into_iter().collect(),
        PortNumber::Named(name) => {
            let named = by_name.iter().filter(|own| own.name == *name && is_its(own.protocol));
            named.map(|own| (own.protocol, own.number, own.number)).collect()
        }
    }
}
