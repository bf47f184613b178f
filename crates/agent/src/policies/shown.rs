//! Policies and their rules in words.

use weft_api::{Object, PolicyRule, PolicySummary};
use weft_model::{Action, Namespaces, Peer, Policy, PolicyKind, Port, PortNumber, Rule, Scope, Selector, Tier, Way};
use weft_policy::{Decision, RuleOrigin, World};

use super::{Selecting, Standing, resolve};

/// Why what no rule is about is dropped.
pub const NO_RULE: &str = "no rule of the policies that select it accepts it";

/// A rule, by where it is written.
pub fn origin(origin: &RuleOrigin) -> String {
    let RuleOrigin { policy, way, place, name } = origin;
    let named = if name.is_empty() { String::new() } else { format!(" ({name})") };
    format!("{policy}, {} rule {}{named}", word(*way), place + 1)
}

/// Who decides; `None` if nobody says anything.
pub fn decision(world: &World, decision: Decision) -> Option<String> {
    match decision.rule.and_then(|rule| world.origin(rule)) {
        Some(rule) => Some(origin(rule)),
        None if decision.is_allowed => None,
        None => Some(NO_RULE.to_owned()),
    }
}

/// A policy as a table has it; `None` of what is none.
pub fn summary(object: &Object, standing: &Standing) -> Option<PolicySummary> {
    let policy = resolve(object).ok().flatten()?;
    let ways = Way::BOTH.into_iter().filter(|way| policy.rules(*way).is_some());
    Some(PolicySummary {
        kind: policy.key.kind.word().to_owned(),
        namespace: (policy.key.kind == PolicyKind::Namespaced).then(|| policy.key.namespace.clone()),
        name: policy.key.name.clone(),
        tier: tier(policy.tier).to_owned(),
        mode: policy.mode.word().to_owned(),
        priority: policy.priority,
        ways: ways.map(|way| title(way).to_owned()).collect(),
        rules: Way::BOTH.into_iter().map(|way| policy.rules(way).map_or(0, <[_]>::len)).sum(),
        endpoints: standing.endpoints,
        accepted: standing.decided.accepted,
        denied: standing.decided.denied,
        audited: standing.decided.audited,
    })
}

/// The rules that have a say about an endpoint, in the order in which they have it. Behind those of `NetworkPolicy`
/// comes what these mean for all else.
pub fn rules(endpoint: &str, selecting: &[Selecting]) -> Vec<PolicyRule> {
    let mut rules = Vec::new();
    for way in Way::BOTH {
        let of_way: Vec<_> = selecting.iter().filter(|selecting| selecting.way == way).collect();
        let in_tier = |wanted: Tier| of_way.iter().filter(move |selecting| selecting.policy.tier == wanted);
        for wanted in [Tier::Admin, Tier::Network, Tier::Baseline] {
            let policies = in_tier(wanted).map(|selecting| &*selecting.policy);
            rules.extend(policies.flat_map(|policy| of_policy(endpoint, policy, way)));
            if wanted == Tier::Network && in_tier(wanted).next().is_some() {
                rules.push(PolicyRule {
                    endpoint: endpoint.to_owned(),
                    way: word(way).to_owned(),
                    tier: tier(wanted).to_owned(),
                    rule: "what no rule of them accepts".to_owned(),
                    action: action(Action::Deny).to_owned(),
                    mode: in_tier(wanted)
                        .map(|selecting| selecting.policy.mode)
                        .min()
                        .unwrap_or_default()
                        .word()
                        .to_owned(),
                    peers: "any".to_owned(),
                    ports: "any".to_owned(),
                });
            }
        }
    }
    rules
}

fn of_policy(endpoint: &str, policy: &Policy, way: Way) -> Vec<PolicyRule> {
    let written = policy.rules(way).unwrap_or_default().iter().enumerate();
    let row = |(place, rule): (usize, &Rule)| PolicyRule {
        endpoint: endpoint.to_owned(),
        way: word(way).to_owned(),
        tier: tier(policy.tier).to_owned(),
        rule: origin(&RuleOrigin { policy: policy.key.clone(), way, place, name: rule.name.clone() }),
        action: action(rule.action).to_owned(),
        mode: policy.mode.word().to_owned(),
        peers: list(&rule.peers, peer),
        ports: list(&rule.ports, port),
    };
    written.map(row).collect()
}

fn list<T>(all: &[T], one: impl Fn(&T) -> String) -> String {
    if all.is_empty() { "any".to_owned() } else { all.iter().map(one).collect::<Vec<_>>().join("; ") }
}

fn peer(peer: &Peer) -> String {
    match peer {
        Peer::Endpoints(scope) => self::scope(scope),
        Peer::Block { net, except } if except.is_empty() => net.to_string(),
        Peer::Block { net, except } => {
            let parts: Vec<_> = except.iter().map(ToString::to_string).collect();
            format!("{net} but {}", parts.join(", "))
        }
    }
}

fn scope(scope: &Scope) -> String {
    let namespaces = match &scope.namespaces {
        Namespaces::Named(name) => format!("namespace {name}"),
        Namespaces::Matching(selector) if selector.is_everything() => "any namespace".to_owned(),
        Namespaces::Matching(selector) => format!("namespaces with {selector}"),
    };
    format!("{} of {namespaces}", endpoints(&scope.endpoints))
}

fn endpoints(selector: &Selector) -> String {
    if selector.is_everything() { "endpoints".to_owned() } else { format!("endpoints with {selector}") }
}

fn port(port: &Port) -> String {
    let protocol = port.protocol.map_or_else(|| "any protocol".to_owned(), |protocol| protocol.to_string());
    match &port.number {
        PortNumber::Range(0, u16::MAX) => protocol,
        PortNumber::Range(first, last) if first == last => format!("{first}/{protocol}"),
        PortNumber::Range(first, last) => format!("{first}-{last}/{protocol}"),
        PortNumber::Named(name) => format!("{name}/{protocol}"),
    }
}

fn word(way: Way) -> &'static str {
    match way {
        Way::Ingress => "ingress",
        Way::Egress => "egress",
    }
}

fn title(way: Way) -> &'static str {
    match way {
        Way::Ingress => "Ingress",
        Way::Egress => "Egress",
    }
}

fn tier(tier: Tier) -> &'static str {
    match tier {
        Tier::Admin => "Admin",
        Tier::Network => "Network",
        Tier::Baseline => "Baseline",
    }
}

fn action(action: Action) -> &'static str {
    match action {
        Action::Accept => "Accept",
        Action::Deny => "Deny",
        Action::Pass => "Pass",
    }
}
