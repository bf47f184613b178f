//! Policies as people write them: `networking.k8s.io/v1 NetworkPolicy` and `policy.networking.k8s.io/v1alpha2
//! ClusterNetworkPolicy`.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::invalid::{Invalid, InvalidFields};
use crate::policy::{
    Action, CLUSTER_RULES_MAX, Namespaces, PRIORITY_MAX, Peer, Policy, PolicyKey, PolicyKind, PolicyMode, Port,
    PortNumber, Rule, Scope, Tier,
};
use crate::protocol::Protocol;
use crate::selector::{Selector, SelectorSpec};

/// `spec` of a `NetworkPolicy`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct NetworkPolicySpec {
    /// Endpoints of its namespace that it is about; all if it says nothing.
    pub pod_selector: SelectorSpec,
    /// `Ingress`, `Egress`, or both; if absent, `Ingress`, and `Egress` if there are rules for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_types: Option<Vec<String>>,
    /// What may come in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Vec<IngressSpec>>,
    /// What may go out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<Vec<EgressSpec>>,
}

/// What may come in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IngressSpec {
    /// From whom; anybody if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Vec<PeerSpec>>,
    /// To which ports; any if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ports: Option<Vec<PortSpec>>,
}

/// What may go out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EgressSpec {
    /// To whom; anybody if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Vec<PeerSpec>>,
    /// To which ports; any if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ports: Option<Vec<PortSpec>>,
}

/// One kind of other ends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PeerSpec {
    /// Endpoints with these labels: of the policy's namespace, or of those selected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_selector: Option<SelectorSpec>,
    /// Endpoints of namespaces with these labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<SelectorSpec>,
    /// Addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_block: Option<BlockSpec>,
}

/// Addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BlockSpec {
    /// Those in this CIDR.
    pub cidr: String,
    /// But for those in these, which are parts of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub except: Option<Vec<String>>,
}

/// Ports.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PortSpec {
    /// `TCP` (if absent), `UDP` or `SCTP`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// A number, or the name that the endpoint has for one; any if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<PortValue>,
    /// The last of several, of which `port` is the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_port: Option<u32>,
}

/// A number or a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PortValue {
    /// A number.
    Number(u32),
    /// A name.
    Name(String),
}

/// `spec` of a `ClusterNetworkPolicy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterPolicySpec {
    /// `Admin` or `Baseline`.
    pub tier: String,
    /// 0 to 1000; the lowest goes first.
    pub priority: u32,
    /// Whom it is about.
    pub subject: ClusterPeerSpec,
    /// About what comes in: the first rule that matches decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Vec<ClusterRuleSpec>>,
    /// About what goes out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Vec<ClusterRuleSpec>>,
}

/// One rule of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterRuleSpec {
    /// Shown with what it decides.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// `Accept`, `Deny` or `Pass`.
    pub action: String,
    /// Of `ingress`: from whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Vec<ClusterPeerSpec>>,
    /// Of `egress`: to whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Vec<ClusterPeerSpec>>,
    /// To which ports; any if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocols: Option<Vec<ClusterPortSpec>>,
}

/// Some endpoints, or addresses: one of these.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ClusterPeerSpec {
    /// All endpoints of namespaces with these labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<SelectorSpec>,
    /// Endpoints with these labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods: Option<PodsSpec>,
    /// CIDRs; of `egress` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub networks: Option<Vec<String>>,
}

/// Endpoints by both kinds of labels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PodsSpec {
    /// Of namespaces with these.
    pub namespace_selector: SelectorSpec,
    /// With these.
    pub pod_selector: SelectorSpec,
}

/// Ports: one of these.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ClusterPortSpec {
    /// Of TCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<DestinationSpec>,
    /// Of UDP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub udp: Option<DestinationSpec>,
    /// Of SCTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sctp: Option<DestinationSpec>,
    /// The one that the endpoint there has this name for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_named_port: Option<String>,
}

/// Ports of one protocol.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct DestinationSpec {
    /// Which ones; any if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_port: Option<DestinationPortSpec>,
}

/// One port, or several.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DestinationPortSpec {
    /// One.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
    /// Several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<PortRangeSpec>,
}

/// From the first to the last of these.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PortRangeSpec {
    /// The first.
    pub start: u32,
    /// The last.
    pub end: u32,
}

/// What is wrong with one policy, so far.
struct Faults<'a> {
    key: &'a PolicyKey,
    found: Vec<Invalid>,
}

impl Faults<'_> {
    fn add(&mut self, field: impl Into<String>, value: impl Into<String>, remedy: impl Into<String>) {
        let object = match self.key.kind {
            PolicyKind::Namespaced => {
                format!("NetworkPolicy {:?}", format!("{}/{}", self.key.namespace, self.key.name))
            }
            PolicyKind::Cluster => format!("ClusterNetworkPolicy {:?}", self.key.name),
        };
        self.found.push(Invalid { object, field: field.into(), value: value.into(), remedy: remedy.into() });
    }

    fn selector(&mut self, field: &str, spec: &SelectorSpec) -> Selector {
        spec.resolve().unwrap_or_else(|faults| {
            faults.into_iter().for_each(|(below, value, remedy)| self.add(format!("{field}.{below}"), value, remedy));
            Selector::default()
        })
    }

    fn net(&mut self, field: &str, text: &str) -> Option<IpNet> {
        let net = text.parse::<IpNet>().ok();
        if net.is_none() {
            self.add(field, text, "write a CIDR, such as 10.0.0.0/8 or fd00::/8");
        }
        net.map(|net| net.trunc())
    }

    fn protocol(&mut self, field: &str, text: &str) -> Protocol {
        match text {
            "TCP" => Protocol::TCP,
            "UDP" => Protocol::UDP,
            "SCTP" => Protocol::SCTP,
            _ => {
                self.add(field, text, "use TCP, UDP or SCTP");
                Protocol::TCP
            }
        }
    }

    fn number(&mut self, field: &str, number: u32) -> u16 {
        match u16::try_from(number) {
            Ok(number) if number > 0 => number,
            _ => {
                self.add(field, number.to_string(), "use a port from 1 to 65535");
                1
            }
        }
    }

    /// IANA's service names (RFC 6335, section 5.1).
    fn name(&mut self, field: &str, name: &str) -> PortNumber {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let is_name = (1..=15).contains(&name.len())
            && name.bytes().all(inner)
            && name.bytes().any(|b| b.is_ascii_lowercase())
            && !name.starts_with('-')
            && !name.ends_with('-')
            && !name.contains("--");
        if !is_name {
            self.add(field, name, "a port's name has 1 to 15 lower-case letters, digits and '-', one letter at least");
        }
        PortNumber::Named(name.to_owned())
    }

    fn range(&mut self, field: &str, first: u16, end_field: &str, last: u16) -> PortNumber {
        if last < first {
            self.add(format!("{field}.{end_field}"), last.to_string(), format!("it is before the first one, {first}"));
        }
        PortNumber::Range(first, last.max(first))
    }

    fn into_result<T>(self, value: T) -> Result<T, InvalidFields> {
        if self.found.is_empty() { Ok(value) } else { Err(InvalidFields(self.found)) }
    }
}

impl NetworkPolicySpec {
    /// What it means, as the policy of that name.
    pub fn resolve(&self, key: PolicyKey) -> Result<Policy, InvalidFields> {
        let mut faults = Faults { key: &key, found: Vec::new() };
        let endpoints = faults.selector("spec.podSelector", &self.pod_selector);
        let (is_ingress, is_egress) = self.ways(&mut faults);
        let ingress = rules(&self.ingress, "spec.ingress", |rule, field| {
            self::rule(&mut faults, field, ("from", &rule.from), &rule.ports)
        });
        let egress = rules(&self.egress, "spec.egress", |rule, field| {
            self::rule(&mut faults, field, ("to", &rule.to), &rule.ports)
        });
        let policy = Policy {
            mode: PolicyMode::default(),
            tier: Tier::Network,
            priority: 0,
            subject: Scope { namespaces: Namespaces::Named(key.namespace.clone()), endpoints },
            ingress: is_ingress.then_some(ingress),
            egress: is_egress.then_some(egress),
            key: key.clone(),
        };
        faults.into_result(policy)
    }

    /// Whether it is about what comes in, and about what goes out.
    fn ways(&self, faults: &mut Faults<'_>) -> (bool, bool) {
        let Some(types) = self.policy_types.as_ref().filter(|types| !types.is_empty()) else {
            return (true, self.egress.as_ref().is_some_and(|rules| !rules.is_empty()));
        };
        for (place, text) in types.iter().enumerate() {
            if text != "Ingress" && text != "Egress" {
                faults.add(format!("spec.policyTypes[{place}]"), text, "use Ingress or Egress");
            }
        }
        let has = |wanted: &str| types.iter().any(|text| text == wanted);
        (has("Ingress"), has("Egress"))
    }
}

fn rules<S>(specs: &Option<Vec<S>>, field: &str, mut resolve: impl FnMut(&S, &str) -> Rule) -> Vec<Rule> {
    let specs = specs.as_deref().unwrap_or_default();
    specs.iter().enumerate().map(|(place, spec)| resolve(spec, &format!("{field}[{place}]"))).collect()
}

fn rule(
    faults: &mut Faults<'_>,
    field: &str,
    (peers_field, peers): (&str, &Option<Vec<PeerSpec>>),
    ports: &Option<Vec<PortSpec>>,
) -> Rule {
    let peers = peers.as_deref().unwrap_or_default().iter().enumerate();
    let ports = ports.as_deref().unwrap_or_default().iter().enumerate();
    Rule {
        name: String::new(),
        action: Action::Accept,
        peers: peers
            .filter_map(|(place, peer)| peer.resolve(faults, &format!("{field}.{peers_field}[{place}]")))
            .collect(),
        ports: ports.map(|(place, port)| port.resolve(faults, &format!("{field}.ports[{place}]"))).collect(),
    }
}

impl PeerSpec {
    fn resolve(&self, faults: &mut Faults<'_>, field: &str) -> Option<Peer> {
        let PeerSpec { pod_selector, namespace_selector, ip_block } = self;
        let mut selector = |name: &str, spec: &SelectorSpec| faults.selector(&format!("{field}.{name}"), spec);
        let endpoints = pod_selector.as_ref().map(|spec| selector("podSelector", spec));
        let namespaces = namespace_selector.as_ref().map(|spec| selector("namespaceSelector", spec));
        match (endpoints, namespaces, ip_block) {
            (None, None, Some(block)) => block.resolve(faults, &format!("{field}.ipBlock")),
            (None, None, None) => {
                faults.add(field, "", "name podSelector, namespaceSelector, both, or ipBlock");
                None
            }
            (endpoints, namespaces, None) => {
                let own = || Namespaces::Named(faults.key.namespace.clone());
                Some(Peer::Endpoints(Scope {
                    namespaces: namespaces.map_or_else(own, Namespaces::Matching),
                    endpoints: endpoints.unwrap_or_default(),
                }))
            }
            _ => {
                faults.add(format!("{field}.ipBlock"), "", "it stands alone: make selectors a peer of their own");
                None
            }
        }
    }
}

impl BlockSpec {
    fn resolve(&self, faults: &mut Faults<'_>, field: &str) -> Option<Peer> {
        let net = faults.net(&format!("{field}.cidr"), &self.cidr)?;
        let mut except = Vec::new();
        for (place, text) in self.except.as_deref().unwrap_or_default().iter().enumerate() {
            let field = format!("{field}.except[{place}]");
            let Some(part) = faults.net(&field, text) else { continue };
            if net.contains(&part) && part != net {
                except.push(part);
            } else {
                faults.add(field, text, format!("it must be a part of {net}, and not all of it"));
            }
        }
        Some(Peer::Block { net, except })
    }
}

impl PortSpec {
    fn resolve(&self, faults: &mut Faults<'_>, field: &str) -> Port {
        let protocol = self.protocol.as_deref().unwrap_or("TCP");
        let protocol = Some(faults.protocol(&format!("{field}.protocol"), protocol));
        let end_field = format!("{field}.endPort");
        let number = match (&self.port, self.end_port) {
            (None, None) => PortNumber::ANY,
            (Some(PortValue::Name(name)), None) => faults.name(&format!("{field}.port"), name),
            (Some(PortValue::Number(first)), last) => {
                let first = faults.number(&format!("{field}.port"), *first);
                let last = last.map_or(first, |last| faults.number(&end_field, last));
                faults.range(field, first, "endPort", last)
            }
            (None | Some(PortValue::Name(_)), Some(last)) => {
                faults.add(end_field, last.to_string(), "write the first port's number as `port`");
                PortNumber::ANY
            }
        };
        Port { protocol, number }
    }
}

impl ClusterPolicySpec {
    /// What it means, as the policy of that name.
    pub fn resolve(&self, key: PolicyKey) -> Result<Policy, InvalidFields> {
        let mut faults = Faults { key: &key, found: Vec::new() };
        let tier = match self.tier.as_str() {
            "Admin" => Tier::Admin,
            "Baseline" => Tier::Baseline,
            other => {
                faults.add("spec.tier", other, "use Admin or Baseline");
                Tier::Admin
            }
        };
        if self.priority > PRIORITY_MAX {
            faults.add("spec.priority", self.priority.to_string(), format!("use 0 to {PRIORITY_MAX}"));
        }
        let subject = self.subject.scope(&mut faults, "spec.subject");
        if self.subject.networks.is_some() {
            faults.add("spec.subject.networks", "", "a policy is about endpoints: name namespaces or pods");
        }
        let ingress = cluster_rules(&mut faults, &self.ingress, "spec.ingress", "from");
        let egress = cluster_rules(&mut faults, &self.egress, "spec.egress", "to");
        let nobody = Scope { namespaces: Namespaces::Named(String::new()), endpoints: Selector::default() };
        let policy = Policy {
            key: key.clone(),
            mode: PolicyMode::default(),
            tier,
            priority: self.priority,
            subject: subject.unwrap_or(nobody),
            ingress: self.ingress.as_ref().map(|_| ingress),
            egress: self.egress.as_ref().map(|_| egress),
        };
        faults.into_result(policy)
    }
}

fn cluster_rules(
    faults: &mut Faults<'_>,
    specs: &Option<Vec<ClusterRuleSpec>>,
    field: &str,
    peers_field: &str,
) -> Vec<Rule> {
    let count = specs.as_ref().map_or(0, Vec::len);
    if count > CLUSTER_RULES_MAX {
        faults.add(field, count.to_string(), format!("at most {CLUSTER_RULES_MAX} rules: make it several policies"));
    }
    rules(specs, field, |rule, field| rule.resolve(faults, field, peers_field))
}

impl ClusterRuleSpec {
    fn resolve(&self, faults: &mut Faults<'_>, field: &str, peers_field: &str) -> Rule {
        let action = match self.action.as_str() {
            "Accept" => Action::Accept,
            "Deny" => Action::Deny,
            "Pass" => Action::Pass,
            other => {
                faults.add(format!("{field}.action"), other, "use Accept, Deny or Pass");
                Action::Deny
            }
        };
        let (own, other, other_field) =
            if peers_field == "from" { (&self.from, &self.to, "to") } else { (&self.to, &self.from, "from") };
        if other.is_some() {
            faults.add(format!("{field}.{other_field}"), "", format!("rules of this way have `{peers_field}`"));
        }
        let own = own.as_deref().unwrap_or_default();
        if own.is_empty() {
            faults.add(format!("{field}.{peers_field}"), "", "name at least one; `namespaces: {}` is every endpoint");
        }
        let mut peers = Vec::new();
        for (place, peer) in own.iter().enumerate() {
            peer.resolve(faults, &format!("{field}.{peers_field}[{place}]"), peers_field == "to", &mut peers);
        }
        let protocols = self.protocols.as_deref().unwrap_or_default().iter().enumerate();
        let ports: Vec<_> = protocols
            .filter_map(|(place, port)| port.resolve(faults, &format!("{field}.protocols[{place}]")))
            .collect();
        let is_named = ports.iter().any(|port| matches!(port.number, PortNumber::Named(_)));
        if is_named && peers.iter().any(|peer| matches!(peer, Peer::Block { .. })) {
            faults.add(format!("{field}.protocols"), "", "addresses have no named ports: leave out networks, or names");
        }
        Rule { name: self.name.clone(), action, peers, ports }
    }
}

impl ClusterPeerSpec {
    fn scope(&self, faults: &mut Faults<'_>, field: &str) -> Option<Scope> {
        match (&self.namespaces, &self.pods) {
            (Some(namespaces), None) => Some(Scope {
                namespaces: Namespaces::Matching(faults.selector(&format!("{field}.namespaces"), namespaces)),
                endpoints: Selector::default(),
            }),
            (None, Some(PodsSpec { namespace_selector, pod_selector })) => Some(Scope {
                namespaces: Namespaces::Matching(
                    faults.selector(&format!("{field}.pods.namespaceSelector"), namespace_selector),
                ),
                endpoints: faults.selector(&format!("{field}.pods.podSelector"), pod_selector),
            }),
            _ => {
                faults.add(field, "", "name either namespaces or pods");
                None
            }
        }
    }

    fn resolve(&self, faults: &mut Faults<'_>, field: &str, may_be_networks: bool, peers: &mut Vec<Peer>) {
        let Some(networks) = &self.networks else {
            peers.extend(self.scope(faults, field).map(Peer::Endpoints));
            return;
        };
        if !may_be_networks || self.namespaces.is_some() || self.pods.is_some() {
            faults.add(format!("{field}.networks"), "", "it stands alone, as a peer of an egress rule");
        }
        for (place, text) in networks.iter().enumerate() {
            let net = faults.net(&format!("{field}.networks[{place}]"), text);
            peers.extend(net.map(|net| Peer::Block { net, except: Vec::new() }));
        }
    }
}

impl ClusterPortSpec {
    fn resolve(&self, faults: &mut Faults<'_>, field: &str) -> Option<Port> {
        let ClusterPortSpec { tcp, udp, sctp, destination_named_port } = self;
        let of_protocol = [(tcp, Protocol::TCP, "tcp"), (udp, Protocol::UDP, "udp"), (sctp, Protocol::SCTP, "sctp")];
        let mut given =
            of_protocol.iter().filter_map(|(spec, protocol, word)| Some((spec.as_ref()?, *protocol, *word)));
        match (given.next(), given.next(), destination_named_port) {
            (Some((spec, protocol, word)), None, None) => {
                let number = spec.resolve(faults, &format!("{field}.{word}.destinationPort"));
                Some(Port { protocol: Some(protocol), number })
            }
            (None, None, Some(name)) => {
                let number = faults.name(&format!("{field}.destinationNamedPort"), name);
                Some(Port { protocol: None, number })
            }
            _ => {
                faults.add(field, "", "name one of tcp, udp, sctp and destinationNamedPort");
                None
            }
        }
    }
}

impl DestinationSpec {
    fn resolve(&self, faults: &mut Faults<'_>, field: &str) -> PortNumber {
        let Some(port) = &self.destination_port else { return PortNumber::ANY };
        match (port.number, &port.range) {
            (Some(number), None) => {
                let number = faults.number(&format!("{field}.number"), number);
                PortNumber::Range(number, number)
            }
            (None, Some(PortRangeSpec { start, end })) => {
                let first = faults.number(&format!("{field}.range.start"), *start);
                let last = faults.number(&format!("{field}.range.end"), *end);
                faults.range(&format!("{field}.range"), first, "end", last)
            }
            _ => {
                faults.add(field, "", "name either number or range");
                PortNumber::ANY
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> PolicyKey {
        PolicyKey { kind: PolicyKind::Namespaced, namespace: "shop".to_owned(), name: "p".to_owned() }
    }

    fn policy(json: &str) -> Policy {
        serde_json::from_str::<NetworkPolicySpec>(json).expect(json).resolve(key()).expect(json)
    }

    fn cluster(json: &str) -> Result<Policy, InvalidFields> {
        let key = PolicyKey { kind: PolicyKind::Cluster, namespace: String::new(), name: "c".to_owned() };
        serde_json::from_str::<ClusterPolicySpec>(json).expect(json).resolve(key)
    }

    #[test]
    fn what_is_left_out_means_what_kubernetes_says() {
        for (json, ingress, egress) in [
            ("{}", Some(0), None),
            (r#"{"podSelector":{}}"#, Some(0), None),
            (r#"{"ingress":[{}]}"#, Some(1), None),
            (r#"{"egress":[]}"#, Some(0), None),
            (r#"{"egress":[{}]}"#, Some(0), Some(1)),
            (r#"{"policyTypes":["Egress"]}"#, None, Some(0)),
            (r#"{"policyTypes":["Egress"],"ingress":[{}]}"#, None, Some(0)),
            (r#"{"policyTypes":["Ingress","Egress"],"egress":[{"to":null,"ports":null}]}"#, Some(0), Some(1)),
        ] {
            let policy = policy(json);
            let count = |rules: Option<&[Rule]>| rules.map(<[_]>::len);
            let found = (count(policy.ingress.as_deref()), count(policy.egress.as_deref()));
            assert_eq!(found, (ingress, egress), "{json}");
        }
        let rule = &policy(r#"{"ingress":[{"ports":[{},{"protocol":"UDP","port":"dns"},{"port":80,"endPort":90}]}]}"#);
        let ports = &rule.ingress.as_ref().expect("rules")[0].ports;
        assert_eq!(ports[0], Port { protocol: Some(Protocol::TCP), number: PortNumber::ANY });
        assert_eq!(ports[1], Port { protocol: Some(Protocol::UDP), number: PortNumber::Named("dns".to_owned()) });
        assert_eq!(ports[2].number, PortNumber::Range(80, 90));
    }

    #[test]
    fn peers_are_of_the_policys_namespace_unless_it_names_others() {
        let json = r#"{"ingress":[{"from":[
            {"podSelector":{}}, {"namespaceSelector":{}}, {"podSelector":{},"namespaceSelector":{}},
            {"ipBlock":{"cidr":"10.0.0.0/8","except":["10.1.0.0/16"]}}]}]}"#;
        let peers = policy(json).ingress.expect("rules").remove(0).peers;
        let scope = |namespaces| Peer::Endpoints(Scope { namespaces, endpoints: Selector::default() });
        let everywhere = || Namespaces::Matching(Selector::default());
        assert_eq!(peers[0], scope(Namespaces::Named("shop".to_owned())));
        assert_eq!((&peers[1], &peers[2]), (&scope(everywhere()), &scope(everywhere())));
        assert!(matches!(&peers[3], Peer::Block { except, .. } if except.len() == 1));
    }

    #[test]
    fn faults_are_all_told_with_field_and_remedy() {
        let json = r#"{"policyTypes":["ingress"],"ingress":[
            {"from":[{},{"ipBlock":{"cidr":"10.0.0.0/8"},"podSelector":{}},{"ipBlock":{"cidr":"10.0.0.0/33"}},
                     {"ipBlock":{"cidr":"10.0.0.0/8","except":["10.0.0.0/8","11.0.0.0/9"]}}],
             "ports":[{"protocol":"ICMP"},{"port":0},{"port":"Http"},{"port":90,"endPort":80},{"endPort":80}]}]}"#;
        let spec: NetworkPolicySpec = serde_json::from_str(json).expect("a spec");
        let faults = spec.resolve(key()).expect_err("faults").0;
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        let expected = [
            "spec.policyTypes[0]",
            "spec.ingress[0].from[0]",
            "spec.ingress[0].from[1].ipBlock",
            "spec.ingress[0].from[2].ipBlock.cidr",
            "spec.ingress[0].from[3].ipBlock.except[0]",
            "spec.ingress[0].from[3].ipBlock.except[1]",
            "spec.ingress[0].ports[0].protocol",
            "spec.ingress[0].ports[1].port",
            "spec.ingress[0].ports[2].port",
            "spec.ingress[0].ports[3].endPort",
            "spec.ingress[0].ports[4].endPort",
        ];
        assert_eq!(fields, expected);
        assert!(faults[0].to_string().starts_with("NetworkPolicy \"shop/p\": spec.policyTypes[0] \"ingress\": use "));
        let unknown = serde_json::from_str::<NetworkPolicySpec>(r#"{"ingress":[{"form":[]}]}"#).expect_err("a typo");
        assert!(unknown.to_string().contains("form"), "{unknown}");
    }

    #[test]
    fn cluster_policies_have_ordered_rules_with_actions() {
        let json = r#"{"tier":"Admin","priority":7,"subject":{"namespaces":{}},
            "egress":[{"name":"no-metadata","action":"Deny",
                       "to":[{"networks":["169.254.169.254/32","fd00:ec2::254/128"]}]},
                      {"action":"Pass","to":[{"pods":{"namespaceSelector":{},"podSelector":{"matchLabels":{"a":"b"}}}}],
                       "protocols":[{"tcp":{"destinationPort":{"range":{"start":1,"end":9}}}},{"udp":{}},
                                    {"destinationNamedPort":"web"}]}]}"#;
        let policy = cluster(json).expect("a policy");
        assert_eq!((policy.tier, policy.priority, policy.ingress.as_ref()), (Tier::Admin, 7, None));
        let rules = policy.egress.expect("rules");
        assert_eq!((rules[0].action, rules[0].peers.len(), rules[0].ports.len()), (Action::Deny, 2, 0));
        assert_eq!((rules[1].action, rules[1].ports.len(), rules[1].ports[2].protocol), (Action::Pass, 3, None));
        let json = r#"{"tier":"Top","priority":1001,"subject":{},
            "ingress":[{"action":"Allow","from":[{"networks":["10.0.0.0/8"]}]},{"action":"Deny","to":[]}],
            "egress":[{"action":"Deny","to":[{"networks":["10.0.0.0/8"]}],
                       "protocols":[{"destinationNamedPort":"web"},{}]}]}"#;
        let faults = cluster(json).expect_err("faults").0;
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        let expected = [
            "spec.tier",
            "spec.priority",
            "spec.subject",
            "spec.ingress[0].action",
            "spec.ingress[0].from[0].networks",
            "spec.ingress[1].to",
            "spec.ingress[1].from",
            "spec.egress[0].protocols[1]",
            "spec.egress[0].protocols",
        ];
        assert_eq!(fields, expected);
    }
}
