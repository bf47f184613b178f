//! Services: addresses that are nobody's, and who answers for them. What they mean, however they were written.

use std::fmt;
use std::net::IpAddr;

use crate::name::Labels;
use crate::protocol::Protocol;

/// Which service, or which slice of one's endpoints.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name there.
    pub name: String,
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// `v1 Service`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Which.
    pub key: ServiceKey,
    /// Its addresses, at most one of each family; none of a headless one.
    pub addresses: Vec<IpAddr>,
    /// Labels that endpoints of its namespace have that serve it; none do by their labels if it is empty.
    pub selector: Labels,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// How long a client stays with a backend after its last connection, in seconds; not at all if absent.
    pub affinity_s: Option<u32>,
    /// Who may serve clients of this host.
    pub internal_policy: TrafficPolicy,
}

/// One port of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// Its name; empty of a single one without.
    pub name: String,
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// The port of its addresses.
    pub number: u16,
    /// The port of those who serve it by their labels.
    pub target: PortTarget,
}

/// A port of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortTarget {
    /// By its number.
    Number(u16),
    /// By the name that the endpoint has for one.
    Named(String),
}

/// Who may serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TrafficPolicy {
    /// Whoever can.
    #[default]
    Cluster,
    /// Those on the client's host.
    Local,
}

/// `discovery.k8s.io/v1 EndpointSlice`: some of those who serve a service, by their addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// Which.
    pub key: ServiceKey,
    /// Name of the service in its namespace; `None` if it is no service's.
    pub service: Option<String>,
    /// Who.
    pub endpoints: Vec<SliceEndpoint>,
    /// At which ports: by the names of the service's. One without a number is none that could be reached.
    pub ports: Vec<SlicePort>,
}

/// One who serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceEndpoint {
    /// Where.
    pub address: IpAddr,
    /// It may be sent new connections.
    pub is_ready: bool,
    /// It answers, also while it ends.
    pub is_serving: bool,
    /// It is about to end.
    pub is_terminating: bool,
    /// The host that it is on, if that is told.
    pub node: Option<String>,
}

/// One port of those who serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlicePort {
    /// That of the service's port.
    pub name: String,
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// The port.
    pub number: Option<u16>,
}
