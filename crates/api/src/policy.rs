//! Policies and namespaces, in the shape in which Kubernetes has them; and any object that people write.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use weft_model::{ClusterPolicySpec, NetworkPolicySpec};

use crate::flow::FlowEnd;
use crate::object::{API_VERSION, Condition, NetworkObject};
use crate::service::{EndpointSliceObject, SERVICE_VERSION, SLICE_VERSION, ServiceObject};

/// Group and version of `NetworkPolicy`.
const NETWORK_POLICY_VERSION: &str = "networking.k8s.io/v1";
/// Group and version of `ClusterNetworkPolicy`.
const CLUSTER_POLICY_VERSION: &str = "policy.networking.k8s.io/v1alpha2";
/// Version of `Namespace`.
const NAMESPACE_VERSION: &str = "v1";
/// Kinds that people may write, each with its version.
pub const WRITABLE: [(&str, &str); 6] = [
    (API_VERSION, "Network"),
    (NETWORK_POLICY_VERSION, "NetworkPolicy"),
    (CLUSTER_POLICY_VERSION, "ClusterNetworkPolicy"),
    (NAMESPACE_VERSION, "Namespace"),
    (SERVICE_VERSION, "Service"),
    (SLICE_VERSION, "EndpointSlice"),
];

/// Who an object of Kubernetes is. What its servers add is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UpstreamMetadata {
    /// Its name.
    pub name: String,
    /// Its namespace, for kinds that have one: `default` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Notes of other tools; kept, not read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A `NetworkPolicy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicyObject {
    /// `networking.k8s.io/v1`.
    pub api_version: String,
    /// `NetworkPolicy`.
    pub kind: String,
    /// Namespace and name.
    pub metadata: UpstreamMetadata,
    /// Who may open connections to whom.
    #[serde(default)]
    pub spec: NetworkPolicySpec,
    /// What is; ignored in requests.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "ignored")]
    pub status: Option<PolicyStatus>,
}

/// A `ClusterNetworkPolicy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterPolicyObject {
    /// `policy.networking.k8s.io/v1alpha2`.
    pub api_version: String,
    /// `ClusterNetworkPolicy`.
    pub kind: String,
    /// Its name.
    pub metadata: UpstreamMetadata,
    /// Who may open connections to whom.
    pub spec: ClusterPolicySpec,
    /// What is; ignored in requests.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "ignored")]
    pub status: Option<PolicyStatus>,
}

/// A `Namespace`, of which the labels count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceObject {
    /// `v1`.
    pub api_version: String,
    /// `Namespace`.
    pub kind: String,
    /// Its name and labels.
    pub metadata: UpstreamMetadata,
}

/// What a policy is on this host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStatus {
    /// Endpoints of this host that it is about.
    pub endpoints: usize,
    /// Connections that its rules let begin.
    #[serde(default)]
    pub accepted: u64,
    /// Packets that its rules dropped.
    #[serde(default)]
    pub denied: u64,
    /// Packets that its rules would have dropped if nothing were in audit.
    #[serde(default)]
    pub audited: u64,
    /// `Accepted`: its last change was taken. `Ready`: it is in force.
    pub conditions: Vec<Condition>,
}

/// Whatever a request says there.
pub(crate) fn ignored<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    // What the agent itself answers is read; what else anybody wrote there is nobody's business.
    Ok(serde_json::from_value(Value::deserialize(deserializer)?).ok())
}

/// An object that people write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Object {
    /// A network.
    Network(Box<NetworkObject>),
    /// A policy of a namespace.
    NetworkPolicy(Box<NetworkPolicyObject>),
    /// A policy of all of them.
    ClusterNetworkPolicy(Box<ClusterPolicyObject>),
    /// A namespace's labels.
    Namespace(Box<NamespaceObject>),
    /// A service.
    Service(Box<ServiceObject>),
    /// Some of those who serve one.
    EndpointSlice(Box<EndpointSliceObject>),
}

impl Object {
    /// Its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Object::Network(_) => "Network",
            Object::NetworkPolicy(_) => "NetworkPolicy",
            Object::ClusterNetworkPolicy(_) => "ClusterNetworkPolicy",
            Object::Namespace(_) => "Namespace",
            Object::Service(_) => "Service",
            Object::EndpointSlice(_) => "EndpointSlice",
        }
    }

    /// Whether it is a service, or a part of one.
    pub fn is_of_service(&self) -> bool {
        matches!(self, Object::Service(_) | Object::EndpointSlice(_))
    }

    /// Whether it is a policy.
    pub fn is_policy(&self) -> bool {
        matches!(self, Object::NetworkPolicy(_) | Object::ClusterNetworkPolicy(_))
    }

    /// Its name, with the namespace of one that has one.
    pub fn name(&self) -> String {
        match self {
            Object::Network(network) => network.metadata.name.clone(),
            Object::NetworkPolicy(policy) => policy.metadata.title(),
            Object::ClusterNetworkPolicy(policy) => policy.metadata.name.clone(),
            Object::Namespace(namespace) => namespace.metadata.name.clone(),
            Object::Service(service) => service.metadata.title(),
            Object::EndpointSlice(slice) => slice.metadata.title(),
        }
    }
}

impl UpstreamMetadata {
    /// Its namespace.
    pub fn namespace_or_default(&self) -> &str {
        self.namespace.as_deref().unwrap_or("default")
    }

    /// `NAMESPACE/NAME`.
    pub fn title(&self) -> String {
        format!("{}/{}", self.namespace_or_default(), self.name)
    }
}

/// By its version and kind, so that what is wrong is told of that kind.
impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (version, kind) = (text("apiVersion"), text("kind"));
        if !WRITABLE.contains(&(version.as_str(), kind.as_str())) {
            let known: Vec<_> = WRITABLE.iter().map(|(version, kind)| format!("{kind} of {version}")).collect();
            let known = known.join(", ");
            return Err(D::Error::custom(format!("unknown kind {kind:?} of apiVersion {version:?}: write {known}")));
        }
        let read = match kind.as_str() {
            "NetworkPolicy" => serde_json::from_value(value).map(Object::NetworkPolicy),
            "ClusterNetworkPolicy" => serde_json::from_value(value).map(Object::ClusterNetworkPolicy),
            "Namespace" => serde_json::from_value(value).map(Object::Namespace),
            "Service" => serde_json::from_value(value).map(Object::Service),
            "EndpointSlice" => serde_json::from_value(value).map(Object::EndpointSlice),
            _ => serde_json::from_value(value).map(Object::Network),
        };
        read.map_err(D::Error::custom)
    }
}

/// A policy as a table has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicySummary {
    /// `NetworkPolicy` or `ClusterNetworkPolicy`.
    pub kind: String,
    /// Its namespace; absent of one that has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// `Admin`, `Network` or `Baseline`: which policies have their say first.
    pub tier: String,
    /// `enforce`, or `audit` if it is only watched what it would drop.
    pub mode: String,
    /// Among those of its tier.
    pub priority: u32,
    /// `Ingress`, `Egress`, or both.
    pub ways: Vec<String>,
    /// Rules.
    pub rules: usize,
    /// Endpoints of this host that it is about.
    pub endpoints: usize,
    /// Connections that its rules let begin.
    pub accepted: u64,
    /// Packets that its rules dropped.
    pub denied: u64,
    /// Packets that its rules would have dropped if nothing were in audit.
    pub audited: u64,
}

/// One rule that has a say about an endpoint, in the order in which rules have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRule {
    /// The endpoint.
    pub endpoint: String,
    /// `ingress` or `egress`.
    pub way: String,
    /// `Admin`, `Network` or `Baseline`.
    pub tier: String,
    /// Kind and name of the policy, and the rule's place in it.
    pub rule: String,
    /// `Accept`, `Deny` or `Pass`.
    pub action: String,
    /// `enforce`, or `audit` if it is only watched what it would drop.
    pub mode: String,
    /// Who the other end is.
    pub peers: String,
    /// Where the connection is opened to.
    pub ports: String,
}

/// What policies that are not in force would say about connections that were seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rehearsal {
    /// Connections from one to the same port of another are one.
    pub flows: Vec<RehearsedFlow>,
}

/// Connections from one end to a port of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RehearsedFlow {
    /// Who opened them.
    pub from: FlowEnd,
    /// Whom they were opened to.
    pub to: FlowEnd,
    /// `TCP`, `UDP`, `ICMP`, `ICMPv6`, `SCTP`, or a number.
    pub protocol: String,
    /// How many were seen.
    pub seen: u64,
    /// What the policies that are in force say: `passed` or `dropped`.
    pub now: String,
    /// By which rule, where one decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now_by: Option<String>,
    /// What the others would say.
    pub then: String,
    /// By which rule, where one would decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then_by: Option<String>,
}
