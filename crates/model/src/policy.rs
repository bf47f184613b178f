//! Policies: who may open connections to whom. What they mean, whichever kind they were written as.

use std::fmt;
use std::str::FromStr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::protocol::Protocol;
use crate::selector::Selector;

/// Rules per direction of one `ClusterNetworkPolicy`, as upstream has it.
pub const CLUSTER_RULES_MAX: usize = 25;
/// Highest priority of a `ClusterNetworkPolicy`; the lowest number goes first.
pub const PRIORITY_MAX: u32 = 1000;

/// A kind of policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PolicyKind {
    /// `networking.k8s.io/v1 NetworkPolicy`.
    Namespaced,
    /// `policy.networking.k8s.io/v1alpha2 ClusterNetworkPolicy`.
    Cluster,
}

impl PolicyKind {
    /// As manifests have it.
    pub fn word(self) -> &'static str {
        match self {
            PolicyKind::Namespaced => "NetworkPolicy",
            PolicyKind::Cluster => "ClusterNetworkPolicy",
        }
    }
}

/// What tells one policy from another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyKey {
    /// Its kind.
    pub kind: PolicyKind,
    /// Its namespace; empty of one that has none.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for PolicyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            PolicyKind::Namespaced => write!(f, "{} {}/{}", self.kind.word(), self.namespace, self.name),
            PolicyKind::Cluster => write!(f, "{} {}", self.kind.word(), self.name),
        }
    }
}

/// Which policies have their say first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Before all others, by priority: the first rule that matches decides.
    Admin,
    /// `NetworkPolicy`: whoever is selected gets what some rule accepts, and nothing else.
    Network,
    /// About who is selected by none of those, by priority.
    Baseline,
}

/// Whether what policies forbid is dropped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PolicyMode {
    /// It is.
    #[default]
    Enforce,
    /// It passes, and is told of.
    Audit,
}

impl PolicyMode {
    /// Both.
    pub const ALL: [PolicyMode; 2] = [PolicyMode::Enforce, PolicyMode::Audit];

    /// As people write it.
    pub fn word(self) -> &'static str {
        match self {
            PolicyMode::Enforce => "enforce",
            PolicyMode::Audit => "audit",
        }
    }
}

/// What becomes of a connection that a rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// It may be opened; lower tiers are not asked.
    Accept,
    /// It may not.
    Deny,
    /// The next tier has its say.
    Pass,
}

/// Which way a connection is opened, as an endpoint sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// To it.
    Ingress,
    /// By it.
    Egress,
}

impl Way {
    /// Both.
    pub const BOTH: [Way; 2] = [Way::Ingress, Way::Egress];
}

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Kind and name.
    pub key: PolicyKey,
    /// Whether it is only watched what it would drop.
    pub mode: PolicyMode,
    /// When it has its say.
    pub tier: Tier,
    /// Among those of its tier: the lowest first, and by name where they are equal.
    pub priority: u32,
    /// Whom it is about.
    pub subject: Scope,
    /// About connections to these; `None` if it says nothing of them.
    pub ingress: Option<Vec<Rule>>,
    /// About connections by these.
    pub egress: Option<Vec<Rule>>,
}

impl Policy {
    /// What it says about one way.
    pub fn rules(&self, way: Way) -> Option<&[Rule]> {
        match way {
            Way::Ingress => self.ingress.as_deref(),
            Way::Egress => self.egress.as_deref(),
        }
    }
}

/// Some endpoints, by the labels of their namespaces and their own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope {
    /// Their namespaces.
    pub namespaces: Namespaces,
    /// Their own labels.
    pub endpoints: Selector,
}

/// Some namespaces.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Namespaces {
    /// One.
    Named(String),
    /// By labels.
    Matching(Selector),
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// As its author calls it, if he does.
    pub name: String,
    /// What becomes of what it matches.
    pub action: Action,
    /// The connection's other end is one of these; anybody if there are none.
    pub peers: Vec<Peer>,
    /// The connection is to one of these; to any if there are none.
    pub ports: Vec<Port>,
}

/// Some possible other ends of a connection.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// Endpoints.
    Endpoints(Scope),
    /// Addresses, whoever has them.
    Block {
        /// Those in here.
        net: IpNet,
        /// But for these.
        except: Vec<IpNet>,
    },
}

/// Where a connection is opened to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    /// TCP, UDP or SCTP; any of them if absent.
    pub protocol: Option<Protocol>,
    /// Which of its ports.
    pub number: PortNumber,
}

/// Ports of one protocol.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PortNumber {
    /// From the first to the last of these, both included.
    Range(u16, u16),
    /// The one that the endpoint there calls so.
    Named(String),
}

impl PortNumber {
    /// Every one.
    pub const ANY: PortNumber = PortNumber::Range(0, u16::MAX);
}

/// A port that an endpoint has a name for. As text: `NAME=PORT[/PROTOCOL]`, TCP if none is named.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NamedPort {
    /// The name.
    pub name: String,
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// The port.
    pub number: u16,
}

/// A text that is no named port: why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NamedPortError(&'static str);

impl FromStr for NamedPort {
    type Err = NamedPortError;

    fn from_str(text: &str) -> Result<Self, NamedPortError> {
        let (name, port) = text.split_once('=').ok_or(NamedPortError("write NAME=PORT[/PROTOCOL]"))?;
        let (number, protocol) = port.split_once('/').unwrap_or((port, "TCP"));
        let protocol = protocol.trim().parse::<Protocol>().ok().filter(|protocol| protocol.has_ports());
        let number = number.trim().parse::<u16>().ok().filter(|number| *number > 0);
        Ok(Self {
            name: Some(name.trim().to_owned()).filter(|name| !name.is_empty()).ok_or(NamedPortError("name it"))?,
            protocol: protocol.ok_or(NamedPortError("the protocol is TCP, UDP or SCTP"))?,
            number: number.ok_or(NamedPortError("a port is a number from 1 to 65535"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_ports_are_read_and_what_is_none_is_told() {
        let port = |name: &str, protocol, number| NamedPort { name: name.to_owned(), protocol, number };
        for (text, expected) in [
            ("web=80", port("web", Protocol::TCP, 80)),
            (" dns = 53/udp", port("dns", Protocol::UDP, 53)),
            ("m3ua=2905/SCTP", port("m3ua", Protocol::SCTP, 2905)),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for (text, reason) in [
            ("web", "NAME=PORT"),
            ("=80", "name it"),
            ("web=0", "1 to 65535"),
            ("web=65536", "1 to 65535"),
            ("web=80/icmp", "TCP, UDP or SCTP"),
        ] {
            let error = text.parse::<NamedPort>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
