//! The nouns of weft as plain data: parsed and validated once, at the edge, and trusted from there on.
//!
//! Pure: no I/O, no clock. [`NetworkSpec`] is what people write, [`Network`] what it means; an [`Endpoint`] is one
//! interface of one container and is also the record of the ledger.

mod device;
mod digest;
mod endpoint;
mod invalid;
mod lease;
mod limit;
mod mac;
mod name;
mod network;
mod policy;
mod policy_spec;
mod pool;
mod prefix;
mod protocol;
mod selector;
mod service;
mod service_spec;
mod spec;

pub use device::{
    Device, DeviceReference, DeviceSelector, DeviceSpec, Function, FunctionSettings, Loan, PciAddress, VfSpec,
};
pub use digest::{base32, fnv32, fnv64};
pub use endpoint::{CniCall, Delegation, Dns, Endpoint, EndpointKey, Enforcement, NetnsRecord, Route, Seat};
pub use invalid::{Invalid, InvalidFields};
pub use lease::{DUID_BYTES_MAX, Duid, Grant, GrantedRoute, Lease, LeaseServer, LeaseTimes};
pub use limit::{Limit, LimitFields, LimitSpec, Limits, QuantityError, Rate, Size};
pub use mac::MacAddr;
pub use name::{ContainerId, IfName, Labels, Name, NameError, NetworkName};
pub use network::{
    Attachment, Availability, Ipam, IpvlanMode, MODES, MacvlanMode, Masquerade, Mode, Network, Transport,
};
pub use policy::{
    Action, CLUSTER_RULES_MAX, NamedPort, NamedPortError, Namespaces, PRIORITY_MAX, Peer, Policy, PolicyKey,
    PolicyKind, PolicyMode, Port, PortNumber, Rule, Scope, Tier, Way,
};
pub use policy_spec::{ClusterPolicySpec, NetworkPolicySpec, PortValue};
pub use pool::{AddressRange, Family, Pool};
pub use prefix::{ALLOWED_PER_ENDPOINT_MAX, resolve_allowed};
pub use protocol::{Protocol, ProtocolError};
pub use selector::{Requirement, RequirementSpec, Selector, SelectorSpec, check_labels};
pub use service::{PortTarget, Service, ServiceKey, ServicePort, Slice, SliceEndpoint, SlicePort, TrafficPolicy};
pub use service_spec::{
    AffinitySpec, ClientAffinitySpec, NO_ADDRESS, ServicePortSpec, ServiceSpec, SliceConditions, SliceEndpointSpec,
    SlicePortSpec, resolve_slice,
};
pub use spec::{MasqueradeSpec, MtuSpec, NetworkSpec, RouteSpec};
