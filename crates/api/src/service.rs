//! Services and slices of their endpoints, in the shape in which Kubernetes has them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weft_model::{ServiceSpec, SliceEndpointSpec, SlicePortSpec};

use crate::policy::UpstreamMetadata;

/// Version of `Service`.
pub(crate) const SERVICE_VERSION: &str = "v1";
/// Group and version of `EndpointSlice`.
pub(crate) const SLICE_VERSION: &str = "discovery.k8s.io/v1";
/// By this label a slice names its service.
pub const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// A `Service`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceObject {
    /// `v1`.
    pub api_version: String,
    /// `Service`.
    pub kind: String,
    /// Namespace and name.
    pub metadata: UpstreamMetadata,
    /// Its addresses and ports, and who serves them.
    #[serde(default)]
    pub spec: ServiceSpec,
    /// What is; ignored in requests.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::policy::ignored")]
    pub status: Option<ServiceStatus>,
}

/// What a service is on this host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceStatus {
    /// Who serves it, port by port.
    pub backends: Vec<ServiceBackend>,
    /// Connections of this host that were led to one of them.
    pub connections: u64,
    /// Those that were refused, as there was none.
    pub refused: u64,
}

/// Somebody who serves a port of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceBackend {
    /// The service's namespace.
    pub namespace: String,
    /// Its name.
    pub service: String,
    /// Name of its port; empty of a single one without.
    pub port: String,
    /// `TCP` or `UDP`.
    pub protocol: String,
    /// Address and port to which connections are led.
    pub address: String,
    /// The endpoint of this host that has the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The network that it is on: clients there, and on those that reach it, are led to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// `ready`, `terminating`, or `not ready`.
    pub state: String,
}

/// An `EndpointSlice`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointSliceObject {
    /// `discovery.k8s.io/v1`.
    pub api_version: String,
    /// `EndpointSlice`.
    pub kind: String,
    /// Namespace and name; label `kubernetes.io/service-name` names its service.
    pub metadata: UpstreamMetadata,
    /// `IPv4` or `IPv6`.
    pub address_type: String,
    /// Who serves.
    #[serde(default, deserialize_with = "or_nothing")]
    pub endpoints: Vec<SliceEndpointSpec>,
    /// At which ports.
    #[serde(default, deserialize_with = "or_nothing")]
    pub ports: Vec<SlicePortSpec>,
}

/// Kubernetes writes `null` where there are none.
fn or_nothing<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Option::<Vec<T>>::deserialize(deserializer).map(Option::unwrap_or_default)
}
