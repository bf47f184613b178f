//! What the agent, the command line, the lab and people with curl say to each other: types, routes, client.
//!
//! [`ROUTES`] is the one table of the API: the agent serves it, [`openapi`] describes it, the tests hold every answer
//! against that description. HTTP/1.1 with JSON on a unix socket; nothing else is needed to speak it.

mod capture;
mod client;
mod cni;
mod flow;
mod judgement;
mod object;
mod openapi;
mod policy;
mod report;
mod route;
mod row;
mod service;

pub use capture::{Capture, CaptureWish, Packet, Packets};
pub use client::{CallError, Client, DEFAULT_SOCKET, OBJECTS_MAX, REQUEST_BYTES_MAX, SOCKET_VARIABLE};
pub use cni::{CniError, CniRequest};
pub use flow::{Connection, Flow, FlowEnd};
pub use judgement::{Judgement, Step};
pub use object::{
    API_VERSION, AllowanceRequest, AttachRequest, AttachmentDns, Condition, DeviceStatus, EndpointObject, EndpointSpec,
    EndpointStatus, LabelRequest, LeaseStatus, LimitRequest, List, Metadata, NetworkAttachment, NetworkObject,
    NetworkStatus, NodeObject, NodeStatus, PoolStatus,
};
pub use openapi::openapi;
pub use policy::{
    ClusterPolicyObject, NamespaceObject, NetworkPolicyObject, Object, PolicyRule, PolicyStatus, PolicySummary,
    Rehearsal, RehearsedFlow, UpstreamMetadata, WRITABLE,
};
pub use report::{
    Applied, ApplyAction, Availability, Counter, ErrorReply, Finding, ForeignRule, IpamCheck, Lease, Setting, Status,
    Version,
};
pub use route::{Method, ROUTES, Reply, Route};
pub use row::Row;
pub use service::{EndpointSliceObject, SERVICE_LABEL, ServiceBackend, ServiceObject, ServiceStatus};
