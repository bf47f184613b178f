//! Policies and the labels of namespaces.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use weft_api::{
    ClusterPolicyObject, Condition, List, NamespaceObject, NetworkPolicyObject, Object, PolicyRule, PolicyStatus,
    PolicySummary, Rehearsal,
};
use weft_dataplane::HostAddress;
use weft_model::{PolicyKey, PolicyKind};

use super::{Answer, Body, Refusal, Shared, decode, the_one};
use crate::apply::endpoints;
use crate::flows;
use crate::node::Node;
use crate::policies::{PoliciesError, Standing, shown};
use crate::shell::listener::uptime;

impl From<PoliciesError> for Refusal {
    fn from(error: PoliciesError) -> Self {
        let status = match &error {
            PoliciesError::Invalid(_) => StatusCode::BAD_REQUEST,
            PoliciesError::Absent { .. } => StatusCode::NOT_FOUND,
            PoliciesError::NoRoom { .. } => StatusCode::CONFLICT,
            PoliciesError::Commit(error) if error.is_too_large() => StatusCode::PAYLOAD_TOO_LARGE,
            PoliciesError::Commit(_) | PoliciesError::Store(_) | PoliciesError::Dataplane(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        match error {
            PoliciesError::Invalid(fields) => fields.into(),
            other => Self::new(status, other.to_string()),
        }
    }
}

/// What is true of a policy here.
fn status(standing: &Standing) -> PolicyStatus {
    let condition = |kind: &str, is_true: bool, message: String| Condition {
        kind: kind.to_owned(),
        status: if is_true { "True" } else { "False" }.to_owned(),
        message,
    };
    let refused = standing.refused.as_ref();
    let message = refused.map(|reason| format!("a change was refused, and what was before it holds: {reason}"));
    PolicyStatus {
        endpoints: standing.endpoints,
        accepted: standing.decided.accepted,
        denied: standing.decided.denied,
        audited: standing.decided.audited,
        conditions: vec![
            condition("Accepted", refused.is_none(), message.unwrap_or_default()),
            condition("Ready", true, String::new()),
        ],
    }
}

/// All of a kind, with what is true of them.
fn all<T>(node: &Node, pick: impl Fn(Object, &Standing) -> Option<T>) -> Answer<List<T>> {
    let objects = node.attacher.policies().objects(node.attacher.dataplane());
    let objects = objects.map_err(PoliciesError::from)?.into_iter();
    Ok(Json(List { items: objects.filter_map(|(object, standing)| pick(object, &standing)).collect() }))
}

fn namespaced(object: Object, standing: &Standing) -> Option<NetworkPolicyObject> {
    match object {
        Object::NetworkPolicy(policy) => Some(NetworkPolicyObject { status: Some(status(standing)), ..*policy }),
        _ => None,
    }
}

fn cluster(object: Object, standing: &Standing) -> Option<ClusterPolicyObject> {
    match object {
        Object::ClusterNetworkPolicy(policy) => Some(ClusterPolicyObject { status: Some(status(standing)), ..*policy }),
        _ => None,
    }
}

fn namespace(object: Object, _: &Standing) -> Option<NamespaceObject> {
    match object {
        Object::Namespace(namespace) => Some(*namespace),
        _ => None,
    }
}

pub(super) async fn network_policies(State(node): Shared) -> Answer<List<NetworkPolicyObject>> {
    all(&node, namespaced)
}

pub(super) async fn cluster_policies(State(node): Shared) -> Answer<List<ClusterPolicyObject>> {
    all(&node, cluster)
}

pub(super) async fn namespaces(State(node): Shared) -> Answer<List<NamespaceObject>> {
    all(&node, namespace)
}

pub(super) async fn policies(State(node): Shared) -> Answer<List<PolicySummary>> {
    all(&node, |object, standing| shown::summary(&object, standing))
}

pub(super) async fn delete_network_policy(
    State(node): Shared,
    Path((namespace, name)): Path<(String, String)>,
) -> Answer<NetworkPolicyObject> {
    let key = PolicyKey { kind: PolicyKind::Namespaced, namespace, name };
    let (policies, dataplane) = (node.attacher.policies(), node.attacher.dataplane());
    let deleted = node.workers.call(|_| policies.delete_policy(dataplane, &key)).await??;
    namespaced(deleted, &Standing::default()).map(Json).ok_or_else(other_kind)
}

pub(super) async fn delete_cluster_policy(
    State(node): Shared,
    Path(name): Path<String>,
) -> Answer<ClusterPolicyObject> {
    let key = PolicyKey { kind: PolicyKind::Cluster, namespace: String::new(), name };
    let (policies, dataplane) = (node.attacher.policies(), node.attacher.dataplane());
    let deleted = node.workers.call(|_| policies.delete_policy(dataplane, &key)).await??;
    cluster(deleted, &Standing::default()).map(Json).ok_or_else(other_kind)
}

pub(super) async fn delete_namespace(State(node): Shared, Path(name): Path<String>) -> Answer<NamespaceObject> {
    let (policies, dataplane) = (node.attacher.policies(), node.attacher.dataplane());
    let deleted = node.workers.call(|_| policies.delete_namespace(dataplane, &name)).await??;
    namespace(deleted, &Standing::default()).map(Json).ok_or_else(other_kind)
}

/// Keys tell kinds apart.
pub(super) fn other_kind() -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the object is of another kind than its key says")
}

/// Whose rules are asked for.
#[derive(Debug, Deserialize)]
pub(super) struct About {
    #[serde(rename = "match")]
    endpoint: String,
}

/// The rules that have a say about an endpoint.
pub(super) async fn rules(
    State(node): Shared,
    asked: Result<Query<About>, QueryRejection>,
) -> Answer<List<PolicyRule>> {
    let Query(asked) = asked.map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error.body_text()))?;
    let endpoint = the_one(&node, &asked.endpoint)?;
    let link = node.workers.call(|netlink| endpoints::number(netlink, &endpoint)).await?;
    let link = link.map_err(|error| super::refuse_kernel(&error))?;
    let selecting = link.map(|link| node.attacher.policies().selecting(link)).unwrap_or_default();
    Ok(Json(List { items: shown::rules(&endpoint.title(), &selecting) }))
}

/// What other policies would say about the connections that live, and those that were seen.
pub(super) async fn test(State(node): Shared, Body(body): Body) -> Answer<Rehearsal> {
    let list: List<Object> = decode(&body)?;
    let is_testable = |object: &Object| object.is_policy() || matches!(object, Object::Namespace(_));
    if let Some(other) = list.items.iter().find(|object| !is_testable(object)) {
        let (kind, name) = (other.kind(), other.name());
        let reason = format!("{kind} {name:?}: it is policies and labels of namespaces that can be tested");
        return Err(Refusal::new(StatusCode::BAD_REQUEST, reason));
    }
    let dataplane = node.attacher.dataplane();
    let tracked = node.workers.call(|_| dataplane.flows(uptime())).await?.map_err(PoliciesError::from)?;
    let mut openings = node.listener.openings();
    {
        let ledger = node.attacher.ledger();
        openings.extend(tracked.iter().map(|flow| flows::opening(flow, &ledger)));
    }
    let is_host = |address| dataplane.hosts().has(&HostAddress(address)).unwrap_or(false);
    let policies = node.attacher.policies();
    Ok(Json(node.workers.call(|_| policies.rehearse(list.items, &openings, is_host)).await??))
}
