//! A slow, obvious reference for what policies say, which reads every one of them for every question; and worlds to ask
//! it about.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use proptest::prelude::*;
use weft_model::{
    Action, Labels, NamedPort, Namespaces, Peer, Policy, PolicyKey, PolicyKind, PolicyMode, Port, PortNumber, Protocol,
    Requirement, Rule, Scope, Selector, Tier, Way,
};
use weft_policy::{Identity, View};

pub(crate) const NAMESPACES: [&str; 3] = ["a", "b", "c"];
pub(crate) const KEYS: [&str; 2] = ["app", "tier"];
pub(crate) const VALUES: [&str; 2] = ["x", "y"];
pub(crate) const NETS: [&str; 6] = ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.0.2/32", "fd00::/8", "10.1.2.0/24"];
pub(crate) const PORTS: [u16; 4] = [53, 80, 81, 443];
pub(crate) const PROTOCOLS: [Protocol; 3] = [Protocol::TCP, Protocol::UDP, Protocol::ICMP];
pub(crate) const NAMES: [&str; 2] = ["web", "dns"];

/// What is known, as it was told.
#[derive(Debug, Default)]
pub(crate) struct Reference {
    pub(crate) policies: BTreeMap<PolicyKey, Policy>,
    pub(crate) namespaces: BTreeMap<String, Labels>,
}

/// One question.
pub(crate) struct Asked<'a> {
    pub(crate) own: &'a Identity,
    pub(crate) view: View,
    pub(crate) way: Way,
    pub(crate) other: Option<&'a Identity>,
    pub(crate) address: IpAddr,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
}

impl Reference {
    pub(crate) fn is_allowed(&self, asked: &Asked<'_>) -> bool {
        let mut selecting: Vec<_> = self
            .policies
            .values()
            .filter(|policy| asked.view == View::Whole || policy.mode == PolicyMode::Enforce)
            .filter(|policy| policy.rules(asked.way).is_some() && self.is_in(&policy.subject, asked.own))
            .collect();
        selecting.sort_by_key(|policy| (policy.priority, policy.key.clone()));
        let of = |tier| selecting.iter().filter(move |policy| policy.tier == tier);
        let first = |tier| {
            let rules = of(tier).flat_map(|policy| policy.rules(asked.way).unwrap());
            rules.filter(|rule| self.matches(rule, asked)).map(|rule| rule.action).next()
        };
        match first(Tier::Admin) {
            Some(Action::Accept) => return true,
            Some(Action::Deny) => return false,
            Some(Action::Pass) | None => {}
        }
        if of(Tier::Network).next().is_some() {
            let mut rules = of(Tier::Network).flat_map(|policy| policy.rules(asked.way).unwrap());
            return rules.any(|rule| self.matches(rule, asked));
        }
        first(Tier::Baseline) != Some(Action::Deny)
    }

    fn is_in(&self, scope: &Scope, identity: &Identity) -> bool {
        let is_there = match &scope.namespaces {
            Namespaces::Named(name) => *name == identity.namespace,
            Namespaces::Matching(selector) => {
                let mut labels = self.namespaces.get(&identity.namespace).cloned().unwrap_or_default();
                labels.insert("kubernetes.io/metadata.name".to_owned(), identity.namespace.clone());
                selector.matches(&labels)
            }
        };
        is_there && scope.endpoints.matches(&identity.labels)
    }

    fn matches(&self, rule: &Rule, asked: &Asked<'_>) -> bool {
        if rule.peers.is_empty() {
            return is_to(rule, asked, asked.other);
        }
        rule.peers.iter().any(|peer| match peer {
            Peer::Endpoints(scope) => {
                asked.other.is_some_and(|other| self.is_in(scope, other)) && is_to(rule, asked, asked.other)
            }
            // Whoever has an address there has no names for his ports.
            Peer::Block { net, except } => {
                net.contains(&asked.address)
                    && !except.iter().any(|part| part.contains(&asked.address))
                    && is_to(rule, asked, None)
            }
        })
    }
}

/// Whether a connection is to one of the rule's ports.
fn is_to(rule: &Rule, asked: &Asked<'_>, other: Option<&Identity>) -> bool {
    let named = match asked.way {
        Way::Ingress => Some(asked.own),
        Way::Egress => other,
    };
    let is_it = |port: &Port| match &port.number {
        PortNumber::Range(first, last) => {
            port.protocol == Some(asked.protocol) && (*first..=*last).contains(&asked.port)
        }
        PortNumber::Named(name) => named.is_some_and(|named| {
            named.ports.iter().any(|own| {
                own.name == *name
                    && port.protocol.is_none_or(|protocol| protocol == own.protocol)
                    && (own.protocol, own.number) == (asked.protocol, asked.port)
            })
        }),
    };
    rule.ports.is_empty() || rule.ports.iter().any(is_it)
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Policy(Policy),
    NoPolicy(PolicyKey),
    Namespace(usize, Labels),
    Hold(Identity),
    Release(usize),
}

pub(crate) fn labels() -> impl Strategy<Value = Labels> {
    let pair = (prop::sample::select(&KEYS[..]), prop::sample::select(&VALUES[..]));
    prop::collection::btree_map(pair.0.prop_map(str::to_owned), pair.1.prop_map(str::to_owned), 0..=2)
}

fn selector() -> impl Strategy<Value = Selector> {
    let key = || prop::sample::select(&KEYS[..]).prop_map(str::to_owned);
    let values = || prop::collection::btree_set(prop::sample::select(&VALUES[..]).prop_map(str::to_owned), 1..=2);
    let requirement = prop_oneof![
        3 => (key(), values()).prop_map(|(key, values)| Requirement::In(key, values)),
        1 => (key(), values()).prop_map(|(key, values)| Requirement::NotIn(key, values)),
        1 => key().prop_map(Requirement::Exists),
        1 => key().prop_map(Requirement::DoesNotExist),
    ];
    prop::collection::vec(requirement, 0..=1).prop_map(|requirements| requirements.into_iter().collect())
}

fn scope(namespace: Option<&'static str>) -> impl Strategy<Value = Scope> {
    let own = prop::sample::select(&NAMESPACES[..]).prop_map(move |name| namespace.unwrap_or(name));
    let namespaces = prop_oneof![
        own.prop_map(|name| Namespaces::Named(name.to_owned())),
        selector().prop_map(Namespaces::Matching),
    ];
    (namespaces, selector()).prop_map(|(namespaces, endpoints)| Scope { namespaces, endpoints })
}

fn peer() -> impl Strategy<Value = Peer> {
    let net = || prop::sample::select(&NETS[..]).prop_map(|net| net.parse::<IpNet>().unwrap());
    let block = (net(), prop::collection::vec(net(), 0..=2)).prop_map(|(net, except)| {
        let except = except.into_iter().filter(|part| net.contains(part) && *part != net).collect();
        Peer::Block { net, except }
    });
    prop_oneof![scope(None).prop_map(Peer::Endpoints), block]
}

fn port() -> impl Strategy<Value = Port> {
    let number = || prop::sample::select(&PORTS[..]);
    let protocol = || prop::sample::select(&PROTOCOLS[..2]);
    prop_oneof![
        (protocol(), number(), number()).prop_map(|(protocol, one, other)| Port {
            protocol: Some(protocol),
            number: PortNumber::Range(one.min(other), one.max(other)),
        }),
        protocol().prop_map(|protocol| Port { protocol: Some(protocol), number: PortNumber::ANY }),
        (prop::option::of(protocol()), prop::sample::select(&NAMES[..]))
            .prop_map(|(protocol, name)| Port { protocol, number: PortNumber::Named(name.to_owned()) }),
    ]
}

fn rules(actions: &'static [Action], peers_min: usize) -> impl Strategy<Value = Option<Vec<Rule>>> {
    let parts = (
        prop::sample::select(actions),
        prop::collection::vec(peer(), peers_min..=2),
        prop::collection::vec(port(), 0..=2),
    );
    let rule = parts.prop_map(|(action, peers, ports)| Rule { name: String::new(), action, peers, ports });
    prop::option::of(prop::collection::vec(rule, 0..=3))
}

pub(crate) fn policy() -> impl Strategy<Value = Policy> {
    let mode = || prop::sample::select(&[PolicyMode::Enforce, PolicyMode::Enforce, PolicyMode::Audit][..]);
    let place = (prop::sample::select(&NAMESPACES[..]), 0..3u8, selector(), mode());
    let both = |actions, peers_min| (rules(actions, peers_min), rules(actions, peers_min));
    let namespaced =
        (place, both(&[Action::Accept], 0)).prop_map(|((namespace, name, endpoints, mode), (ingress, egress))| {
            let key =
                PolicyKey { kind: PolicyKind::Namespaced, namespace: namespace.to_owned(), name: name.to_string() };
            let subject = Scope { namespaces: Namespaces::Named(namespace.to_owned()), endpoints };
            Policy { key, mode, tier: Tier::Network, priority: 0, subject, ingress, egress }
        });
    let order = (prop::sample::select(&[Tier::Admin, Tier::Baseline][..]), 0..3u32, 0..4u8, mode());
    let actions = both(&[Action::Accept, Action::Deny, Action::Pass], 1);
    let cluster =
        (order, scope(None), actions).prop_map(|((tier, priority, name, mode), subject, (ingress, egress))| {
            let key = PolicyKey { kind: PolicyKind::Cluster, namespace: String::new(), name: name.to_string() };
            Policy { key, mode, tier, priority, subject, ingress, egress }
        });
    prop_oneof![namespaced, cluster]
}

pub(crate) fn identity() -> impl Strategy<Value = Identity> {
    let named =
        (prop::sample::select(&NAMES[..]), prop::sample::select(&PROTOCOLS[..2]), prop::sample::select(&PORTS[..]));
    let named = named.prop_map(|(name, protocol, number)| NamedPort { name: name.to_owned(), protocol, number });
    (prop::sample::select(&NAMESPACES[..]), labels(), prop::collection::vec(named, 0..=1))
        .prop_map(|(namespace, labels, ports)| Identity { namespace: namespace.to_owned(), labels, ports })
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => policy().prop_map(Step::Policy),
        2 => policy().prop_map(|policy| Step::NoPolicy(policy.key)),
        1 => (0..NAMESPACES.len(), labels()).prop_map(|(namespace, labels)| Step::Namespace(namespace, labels)),
        4 => identity().prop_map(Step::Hold),
        2 => (0..8usize).prop_map(Step::Release),
    ];
    prop::collection::vec(step, 1..24)
}
