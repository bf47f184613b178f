//! The table of routes.

use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::capture::{Capture, CaptureWish, Packets};
use crate::cni::{CniError, CniRequest};
use crate::flow::{Connection, Flow};
use crate::judgement::Judgement;
use crate::object::{
    AllowanceRequest, AttachRequest, EndpointObject, LabelRequest, LimitRequest, List, NetworkObject, NodeObject,
};
use crate::policy::{
    ClusterPolicyObject, NamespaceObject, NetworkPolicyObject, Object, PolicyRule, PolicySummary, Rehearsal,
};
use crate::report::{Applied, Counter, ErrorReply, IpamCheck, Lease, Status, Version};
use crate::service::{EndpointSliceObject, ServiceObject};

/// HTTP method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Does something, or makes something new.
    Post,
    /// Takes away.
    Delete,
}

impl Method {
    /// As HTTP writes it.
    pub fn word(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Delete => "DELETE",
        }
    }
}

type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// One kind of answer.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// When it is given.
    pub when: &'static str,
    /// Shape of its body; `None` if it has none, or one without a fixed shape.
    pub body: Option<SchemaOf>,
}

/// One route.
#[derive(Debug)]
pub struct Route {
    /// HTTP method.
    pub method: Method,
    /// Path, with `{name}` for what varies.
    pub path: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// Optional query parameters and what they mean.
    pub query: &'static [(&'static str, &'static str)],
    /// Shape of the request's body.
    pub request: Option<SchemaOf>,
    /// Its answers.
    pub replies: &'static [Reply],
}

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

const fn ok(body: SchemaOf) -> Reply {
    Reply { status: 200, when: "done", body: Some(body) }
}

const fn refused(status: u16, when: &'static str) -> Reply {
    Reply { status, when, body: Some(schema::<ErrorReply>) }
}

const BAD_REQUEST: Reply = refused(400, "the request is faulty; nothing was changed");
const TOO_LARGE: Reply = refused(413, "the request is too large; nothing was changed");
const BUSY: Reply = refused(503, "too much is waiting; nothing was changed");
const NOT_FOUND: Reply = refused(404, "there is no such object");
const CONFLICT: Reply = refused(409, "the present state does not allow it; nothing was changed");
const FAILED: Reply = refused(500, "the host refused");

/// How an endpoint is named.
const REFERENCE: &str =
    "[NAMESPACE/]NAME, a container id or 4 and more of its first characters, or an address; @INTERFACE";

type Parameter = (&'static str, &'static str);
const FROM: Parameter = ("from", "only those sent by this address, prefix or endpoint");
const TO: Parameter = ("to", "only those sent to this address, prefix or endpoint");
const PARTY: Parameter = ("match", "only those of this address, prefix or endpoint");
const PROTOCOL: Parameter = ("protocol", "only those of this protocol: TCP, UDP, SCTP, ICMP, ICMPv6 or a number");
const PORT: Parameter = ("port", "only those with this port at either end");

/// Every route.
pub const ROUTES: &[Route] = &[
    Route {
        method: Method::Get,
        path: "/v1/version",
        summary: "Who answers",
        query: &[],
        request: None,
        replies: &[ok(schema::<Version>)],
    },
    Route {
        method: Method::Get,
        path: "/v1/status",
        summary: "The agent's state: what it can serve, what it changed on the host, what is wrong",
        query: &[],
        request: None,
        replies: &[ok(schema::<Status>), FAILED],
    },
    Route {
        method: Method::Get,
        path: "/v1/openapi.json",
        summary: "This description",
        query: &[],
        request: None,
        replies: &[Reply { status: 200, when: "done", body: None }],
    },
    Route {
        method: Method::Get,
        path: "/v1/networks",
        summary: "Networks",
        query: &[],
        request: None,
        replies: &[ok(schema::<List<NetworkObject>>), FAILED],
    },
    Route {
        method: Method::Post,
        path: "/v1/networks",
        summary: "Creates a network",
        query: &[],
        request: Some(schema::<NetworkObject>),
        replies: &[ok(schema::<NetworkObject>), BAD_REQUEST, CONFLICT, TOO_LARGE, FAILED, BUSY],
    },
    Route {
        method: Method::Get,
        path: "/v1/networks/{name}",
        summary: "One network",
        query: &[],
        request: None,
        replies: &[ok(schema::<NetworkObject>), NOT_FOUND, FAILED],
    },
    Route {
        method: Method::Delete,
        path: "/v1/networks/{name}",
        summary: "Deletes a network that has no endpoints",
        query: &[],
        request: None,
        replies: &[ok(schema::<NetworkObject>), NOT_FOUND, CONFLICT, FAILED, BUSY],
    },
    Route {
        method: Method::Post,
        path: "/v1/apply",
        summary: "Creates or changes objects: all of them or none",
        query: &[],
        request: Some(schema::<List<Object>>),
        replies: &[ok(schema::<List<Applied>>), BAD_REQUEST, CONFLICT, TOO_LARGE, FAILED, BUSY],
    },
    Route {
        method: Method::Get,
        path: "/v1/networkpolicies",
        summary: "Policies of namespaces",
        query: &[],
        request: None,
        replies: &[ok(schema::<List<NetworkPolicyObject>>), FAILED],
    },
    Route {
        method: Method::Delete,
        path: "/v1/networkpolicies/{namespace}/{name}",
        summary: "Deletes a policy of a namespace",
        query: &[],
        request: None,
        replies: &[ok(schema::<NetworkPolicyObject>), NOT_FOUND, FAILED, BUSY],
    },
    Route {
        method: Method::Get,
        path: "/v1/clusternetworkpolicies",
        summary: "Policies of all namespaces",
        query: &[],
        request: None,
        replies: &[ok(schema::<List<ClusterPolicyObject>>), FAILED],
    },
    Route {
        method: Method::Delete,
        path: "/v1/clusternetworkpolicies/{name}",
        summary: "Deletes a policy of all namespaces",
        query: &[],
        request: None,
        replies: &[ok(schema::<ClusterPolicyObject>), NOT_FOUND, FAILED, BUSY],
    },
    Route {
        method: Method::Get,
        path: "/v1/namespaces",
        summary: "Namespaces that have labels",
        query: &[],
        request: None,
        replies: &[ok(schema::<List<NamespaceObject>>), FAILED],
    },
    Route {
        method: Method::Delete,
        path: "/v1/namespaces/{name}",
        summary: "Takes a namespace's labels away",
        query: &[],
        request: None,
        replies: &[ok(schema::<NamespaceObject>), NOT_FOUND, FAILED, BUSY],
    },
    Route {
        method: Method::Get,
        path: "/v1/services",
        summary: "Services, and who serves them",
        query: &[],
        request: None,
        replies: &[ok(schema::<List<ServiceObject>>), FAILED],
    },
    Route {
        method: Method::Delete,
        path: "/v1/services/{namespace}/{name}",
        summary: "Deletes a service; connections that it led to a backend stay",
        query: &[],
        request: None,
        replies: &[ok(schema::<ServiceObject>), NOT_FOUND, FAILED, BUSY],
    },
    Route {
        method: Method::Get,
        path: "/v1/endpointslices",
        summary: "Slices of those who serve services, by their addresses",
        query: &[],
        request: None,
        replies: &[ok(schema::<List<EndpointSliceObject>>), FAILED],
    },
    Route {
        method: Method::Delete,
        path: "/v1/endpointslices/{namespace}/{name}",
        summary: "Deletes a slice",
        query: &[],
        request: None,
        replies: &[ok(schema::<EndpointSliceObject>), NOT_FOUND, FAILED, BUSY],
    },
    Route {
        method: Method::Get,
        path: "/v1/policies",
        summary: "All policies, and how many endpoints of this host each is about",
        query: &[],
        request: None,
        replies: &[ok(schema::<List<PolicySummary>>), FAILED],
    },
    Route {
        method: Method::Get,
        path: "/v1/policies/rules",
        summary: "The rules that have a say about an endpoint, in the order in which they have it",
        query: &[("match", REFERENCE)],
        request: None,
        replies: &[ok(schema::<List<PolicyRule>>), BAD_REQUEST, NOT_FOUND, CONFLICT, FAILED, BUSY],
    },
    Route {
        method: Method::Post,
        path: "/v1/policies/test",
        summary: "What policies and labels of namespaces would have said about the connections that were seen",
        query: &[],
        request: Some(schema::<List<Object>>),
        replies: &[ok(schema::<Rehearsal>), BAD_REQUEST, TOO_LARGE, FAILED, BUSY],
    },
    Route {
        method: Method::Get,
        path: "/v1/endpoints",
        summary: "Endpoints",
        query: &[("match", REFERENCE), ("network", "only those on this network")],
        request: None,
        replies: &[ok(schema::<List<EndpointObject>>), BAD_REQUEST],
    },
    Route {
        method: Method::Post,
        path: "/v1/endpoints",
        summary: "Joins a container to a network, or to a further one",
        query: &[],
        request: Some(schema::<AttachRequest>),
        replies: &[ok(schema::<EndpointObject>), BAD_REQUEST, NOT_FOUND, CONFLICT, TOO_LARGE, FAILED, BUSY],
    },
    Route {
        method: Method::Delete,
        path: "/v1/endpoints",
        summary: "Takes a container out of a network that it was joined to by this route",
        query: &[("match", REFERENCE), ("force", "true: also of one that a runtime joined, which will not hear of it")],
        request: None,
        replies: &[ok(schema::<EndpointObject>), BAD_REQUEST, NOT_FOUND, CONFLICT, FAILED, BUSY],
    },
    Route {
        method: Method::Post,
        path: "/v1/endpoints/limits",
        summary: "Limits how fast an endpoint may be sent to, and may send, while its packets pass",
        query: &[],
        request: Some(schema::<LimitRequest>),
        replies: &[ok(schema::<EndpointObject>), BAD_REQUEST, NOT_FOUND, CONFLICT, TOO_LARGE, FAILED, BUSY],
    },
    Route {
        method: Method::Post,
        path: "/v1/endpoints/allowances",
        summary: "Allows an endpoint to send from addresses besides its own, or not any more, while its packets pass",
        query: &[],
        request: Some(schema::<AllowanceRequest>),
        replies: &[ok(schema::<EndpointObject>), BAD_REQUEST, NOT_FOUND, CONFLICT, TOO_LARGE, FAILED, BUSY],
    },
    Route {
        method: Method::Post,
        path: "/v1/endpoints/labels",
        summary: "Gives a container's endpoints other labels, and takes labels away; policies follow at once",
        query: &[],
        request: Some(schema::<LabelRequest>),
        replies: &[ok(schema::<List<EndpointObject>>), BAD_REQUEST, NOT_FOUND, CONFLICT, TOO_LARGE, FAILED, BUSY],
    },
    Route {
        method: Method::Get,
        path: "/v1/counters",
        summary: "What became of endpoints' packets",
        query: &[
            (
                "match",
                "[NAMESPACE/]NAME, a container id or 4 and more of its first characters, or an address; @INTERFACE",
            ),
            ("network", "only those on this network"),
        ],
        request: None,
        replies: &[ok(schema::<List<Counter>>), BAD_REQUEST, FAILED, BUSY],
    },
    Route {
        method: Method::Get,
        path: "/v1/flows",
        summary: "What happened at endpoints' doors last: connections that began and ended, packets that were dropped",
        query: &[
            FROM,
            TO,
            PARTY,
            ("network", "only those of which an end is on this network"),
            ("verdict", "only those that `passed`, were `dropped`, or would have been and were `audited`"),
            ("reason", "only those that were, or would have been, dropped for this"),
            PROTOCOL,
            PORT,
            ("after", "only those whose sequence number is higher"),
            ("last", "at most so many, the newest"),
            ("waitMs", "where there is none, wait for one for so many milliseconds, up to 2000"),
        ],
        request: None,
        replies: &[ok(schema::<List<Flow>>), BAD_REQUEST, CONFLICT],
    },
    Route {
        method: Method::Get,
        path: "/v1/connections",
        summary: "Connections that are tracked",
        query: &[FROM, TO, PARTY, ("network", "only those of which an end is on this network"), PROTOCOL, PORT],
        request: None,
        replies: &[ok(schema::<List<Connection>>), BAD_REQUEST, FAILED, BUSY],
    },
    Route {
        method: Method::Get,
        path: "/v1/why",
        summary: "Whether one may open a connection to another, and who says so: one answer per family they share",
        query: &[
            ("from", "an endpoint, or an address outside"),
            ("to", "an endpoint, or an address, a service's, too"),
            ("port", "of the other end; without one, an echo of ICMP is meant"),
            ("protocol", "TCP unless said otherwise: UDP, SCTP, ICMP or a number"),
        ],
        request: None,
        replies: &[ok(schema::<List<Judgement>>), BAD_REQUEST, FAILED, BUSY],
    },
    Route {
        method: Method::Post,
        path: "/v1/captures",
        summary: "Begins to capture whole packets at an endpoint's door; four may be under way at once",
        query: &[],
        request: Some(schema::<CaptureWish>),
        replies: &[ok(schema::<Capture>), BAD_REQUEST, NOT_FOUND, CONFLICT, TOO_LARGE, FAILED, BUSY],
    },
    Route {
        method: Method::Get,
        path: "/v1/captures/{id}",
        summary: "What was captured since it was asked for last",
        query: &[("waitMs", "where there is nothing, wait for something for so many milliseconds, up to 2000")],
        request: None,
        replies: &[ok(schema::<Packets>), BAD_REQUEST, NOT_FOUND, FAILED, BUSY],
    },
    Route {
        method: Method::Delete,
        path: "/v1/captures/{id}",
        summary: "Ends a capture, and gives what was not asked for yet",
        query: &[],
        request: None,
        replies: &[ok(schema::<Packets>), NOT_FOUND, FAILED, BUSY],
    },
    Route {
        method: Method::Get,
        path: "/metrics",
        summary: "Counters and gauges, as Prometheus reads them (OpenMetrics)",
        query: &[],
        request: None,
        replies: &[Reply { status: 200, when: "done; text", body: None }, FAILED, BUSY],
    },
    Route {
        method: Method::Get,
        path: "/v1/nodes",
        summary: "Hosts",
        query: &[],
        request: None,
        replies: &[ok(schema::<List<NodeObject>>), FAILED],
    },
    Route {
        method: Method::Get,
        path: "/v1/ipam/leases",
        summary: "Held addresses and their holders",
        query: &[("network", "only those of this network")],
        request: None,
        replies: &[ok(schema::<List<Lease>>), BAD_REQUEST, NOT_FOUND],
    },
    Route {
        method: Method::Get,
        path: "/v1/ipam/check",
        summary: "Compares ledger, kernel and namespaces",
        query: &[],
        request: None,
        replies: &[ok(schema::<IpamCheck>), FAILED, BUSY],
    },
    Route {
        method: Method::Post,
        path: "/v1/cni",
        summary: "One call of the CNI plugin; its result is the body, as CNI has it",
        query: &[],
        request: Some(schema::<CniRequest>),
        replies: &[
            Reply { status: 200, when: "done; empty where CNI wants no output", body: None },
            Reply { status: 422, when: "refused, with CNI's own code", body: Some(schema::<CniError>) },
        ],
    },
];
