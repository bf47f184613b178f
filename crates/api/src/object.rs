//! Objects in the shape of Kubernetes: apiVersion, kind, metadata, spec, status.

use std::collections::BTreeMap;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weft_model::{Dns, LimitSpec, Limits, NetworkSpec};

/// Group and version of weft's own kinds.
pub const API_VERSION: &str = "weft.dev/v1alpha1";

/// Who an object is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// Its name.
    pub name: String,
    /// Namespace of its name, for kinds that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Notes of other tools; kept, not read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What is true of an object, in words that programs and people read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Condition {
    /// Such as `Ready`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True` or `False`.
    pub status: String,
    /// Why, if not as wished.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// Several objects of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct List<T> {
    /// In the order of their names.
    pub items: Vec<T>,
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkObject {
    /// `weft.dev/v1alpha1`.
    pub api_version: String,
    /// `Network`.
    pub kind: String,
    /// Name and labels.
    pub metadata: Metadata,
    /// What is wished.
    pub spec: NetworkSpec,
    /// What is; ignored in requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<NetworkStatus>,
}

/// What a network is on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkStatus {
    /// How containers join.
    pub attachment: String,
    /// How hosts are joined.
    pub transport: String,
    /// Its pools and how full they are.
    pub pools: Vec<PoolStatus>,
    /// Bytes, for endpoints born now.
    pub mtu: u32,
    /// The link that stands for the network on the host, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Endpoints on this host.
    pub endpoints: usize,
    /// Devices that its endpoints have, or may get.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceStatus>,
    /// `Ready`, and what else is to be known.
    pub conditions: Vec<Condition>,
}

/// A device of the host's, and who has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceStatus {
    /// Its name on the host.
    pub name: String,
    /// Its PCI address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pci: Option<String>,
    /// Its driver; of a virtual link, its kind.
    pub driver: String,
    /// Its own Ethernet address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Of a virtual function, the physical one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pf: Option<String>,
    /// `held`, `free`, or `unfit`: nobody gets it.
    pub state: String,
    /// The endpoint that has it: `NAMESPACE/NAME@INTERFACE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// Why nobody gets it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// How full a pool is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PoolStatus {
    /// CIDR.
    pub subnet: String,
    /// The host's address in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// Addresses held.
    pub held: u64,
    /// Addresses that may be held; of huge pools, 2^63 - 1.
    pub capacity: u64,
}

/// An endpoint: one interface of one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointObject {
    /// `weft.dev/v1alpha1`.
    pub api_version: String,
    /// `Endpoint`.
    pub kind: String,
    /// Namespace, name and labels, as the runtime gave them.
    pub metadata: Metadata,
    /// What was asked for.
    pub spec: EndpointSpec,
    /// What it got.
    pub status: EndpointStatus,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointSpec {
    /// Its network.
    pub network: String,
    /// The runtime's id of the container.
    pub container_id: String,
    /// The interface inside.
    pub interface: String,
    /// Other names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Name of the CNI configuration that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cni_name: Option<String>,
}

/// What it got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointStatus {
    /// How it joins.
    pub attachment: String,
    /// Addresses with their length, IPv4 first.
    pub addresses: Vec<String>,
    /// Next hops.
    pub gateways: Vec<String>,
    /// MAC address inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Bytes.
    pub mtu: u32,
    /// Name servers: those that were asked for, of its network, or of its LAN.
    #[serde(default, skip_serializing_if = "Dns::is_empty")]
    pub dns: Dns,
    /// How fast it may be sent to (`ingress`), and may send (`egress`).
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
    /// CIDRs that it may send from besides its own addresses, whatever its network says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_addresses: Vec<String>,
    /// Who keeps it from sending as somebody else: `door` (weft's programs), `vf` (the virtual function's spoof check),
    /// or `advisory` (nobody).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforcement: Option<String>,
    /// The device of the host's that it has, by its name there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The PCI address of that device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pci: Option<String>,
    /// The host's end of its link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_link: Option<String>,
    /// The runtime's path to its namespace at birth.
    pub netns: String,
    /// All interfaces that came of the same call of its runtime, if those are several: what Multus writes to the pod's
    /// annotation `k8s.v1.cni.cncf.io/network-status`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub network_status: Vec<NetworkAttachment>,
    /// What servers of its LAN granted it, where those give it its addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leases: Vec<LeaseStatus>,
    /// Seconds since 1970 at birth.
    pub born: u64,
}

/// An address that a DHCP server granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeaseStatus {
    /// The address with the length of its subnet.
    pub address: String,
    /// The server's address, or its DUID for IPv6.
    pub server: String,
    /// When the server is asked for more time, in seconds since 1970; absent of one without end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renews: Option<u64>,
    /// When it ends unless it is extended; absent of one without end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
}

/// One interface of a pod, in the shape of the Network Attachment Definition specification (v1.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct NetworkAttachment {
    /// Of the first network, the name of the runtime's configuration; of one that the pod's annotation selected,
    /// `NAMESPACE/NETWORK`.
    pub name: String,
    /// The interface inside.
    pub interface: String,
    /// Addresses without their length.
    #[serde(default)]
    pub ips: Vec<String>,
    /// Its MAC address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Bytes.
    pub mtu: u32,
    /// It is the pod's own network: true of one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub default: bool,
    /// What its runtime is told about name servers.
    pub dns: AttachmentDns,
    /// Next hops.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gateway: Vec<String>,
    /// Those by which the pod's default routes go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub default_route: Vec<String>,
}

/// Name servers, as that specification has them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AttachmentDns {
    /// Addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<String>,
    /// Search domains.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
}

/// A container that is to join a network: one that has an endpoint already, or whoever is in a namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AttachRequest {
    /// The network.
    pub network: String,
    /// An endpoint of the container: `[NAMESPACE/]NAME`, a container id or 4 and more of its first characters, or an
    /// address; `@INTERFACE`. Either this or `netns`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Path of the namespace, as weftd sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<String>,
    /// The interface inside; the first of eth0, eth1 … that the container does not have on a network if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Namespace of its name: `default`, or that of the container's other endpoint, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name: that of the container's other endpoint, or of the namespace's file, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Ports that policies and services may call by a name: `NAME=PORT[/PROTOCOL]`, TCP if none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
    /// Addresses that it asks for, at most one of each pool; any free ones if none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// The MAC address that it asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// The device that it asks for, of those that the network has, by name, PCI address or MAC address: for `device`
    /// alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The container's default routes go by this network from now on; otherwise they stay with the interface that has
    /// them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub default_route: bool,
}

/// How an endpoint is to be limited from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LimitRequest {
    /// `[NAMESPACE/]NAME`, a container id or 4 and more of its first characters, or an address; `@INTERFACE`.
    pub endpoint: String,
    /// What is sent to the container; as it is if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<LimitSpec>,
    /// What the container sends; as it is if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<LimitSpec>,
}

/// What an endpoint is to be allowed to send from besides its own addresses, from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AllowanceRequest {
    /// `[NAMESPACE/]NAME`, a container id or 4 and more of its first characters, or an address; `@INTERFACE`.
    pub endpoint: String,
    /// CIDRs and addresses that it is allowed now, and is not to be any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
    /// All that it is allowed now is not to be any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub remove_all: bool,
    /// CIDRs and addresses that it is to be allowed besides what is left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<String>,
}

/// What an endpoint is to be selected by, from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelRequest {
    /// `[NAMESPACE/]NAME`, a container id or 4 and more of its first characters, or an address. All interfaces of the
    /// container are meant.
    pub endpoint: String,
    /// Keys that it is not to have any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
    /// Labels that it is to have besides what is left, in place of those with the same keys.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub add: BTreeMap<String, String>,
}

/// A host of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeObject {
    /// `weft.dev/v1alpha1`.
    pub api_version: String,
    /// `Node`.
    pub kind: String,
    /// Its host name.
    pub metadata: Metadata,
    /// What it is.
    pub status: NodeStatus,
}

/// What a host is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Its addresses on the uplink.
    pub addresses: Vec<String>,
    /// The link by which it reaches the outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uplink: Option<String>,
    /// Kernel release.
    pub kernel: String,
    /// weft's version.
    pub version: String,
    /// Endpoints on it.
    pub endpoints: usize,
}
