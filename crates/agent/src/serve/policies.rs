//! Policies and the labels of namespaces.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use weft_api::{
    ClusterPolicyObject, Condition, List, NamespaceObject, NetworkPolicyObject, Object, PolicyRule, PolicyStatus,
    PolicySummary,
};
use weft_model::{PolicyKey, PolicyKind};

use super::{Answer, Refusal, Shared, the_one};
use crate::apply::endpoints;
use crate::node::Node;
use crate::policies::{PoliciesError, shown};

impl From<PoliciesError> for Refusal {
    fn from(error: PoliciesError) -> Self {
        let status = match &error {
            PoliciesError::Invalid(_) => StatusCode::BAD_REQUEST,
            PoliciesError::Absent { .. } => StatusCode::NOT_FOUND,
            PoliciesError::NoRoom { .. } => StatusCode::CONFLICT,
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
fn status(endpoints: usize) -> PolicyStatus {
    let ready = Condition { kind: "Ready".to_owned(), status: "True".to_owned(), message: String::new() };
    PolicyStatus { endpoints, conditions: vec![ready] }
}

/// All of a kind, with what is true of them.
fn all<T>(node: &Node, pick: impl Fn(Object, usize) -> Option<T>) -> Json<List<T>> {
    let objects = node.attacher.policies().objects().into_iter();
    Json(List { items: objects.filter_map(|(object, endpoints)| pick(object, endpoints)).collect() })
}

fn namespaced(object: Object, endpoints: usize) -> Option<NetworkPolicyObject> {
    match object {
        Object::NetworkPolicy(policy) => Some(NetworkPolicyObject { status: Some(status(endpoints)), ..*policy }),
        _ => None,
    }
}

fn cluster(object: Object, endpoints: usize) -> Option<ClusterPolicyObject> {
    match object {
        Object::ClusterNetworkPolicy(policy) => {
            Some(ClusterPolicyObject { status: Some(status(endpoints)), ..*policy })
        }
        _ => None,
    }
}

fn namespace(object: Object, _: usize) -> Option<NamespaceObject> {
    match object {
        Object::Namespace(namespace) => Some(*namespace),
        _ => None,
    }
}

pub(super) async fn network_policies(State(node): Shared) -> Json<List<NetworkPolicyObject>> {
    all(&node, namespaced)
}

pub(super) async fn cluster_policies(State(node): Shared) -> Json<List<ClusterPolicyObject>> {
    all(&node, cluster)
}

pub(super) async fn namespaces(State(node): Shared) -> Json<List<NamespaceObject>> {
    all(&node, namespace)
}

pub(super) async fn policies(State(node): Shared) -> Json<List<PolicySummary>> {
    all(&node, |object, endpoints| shown::summary(&object, endpoints))
}

pub(super) async fn delete_network_policy(
    State(node): Shared,
    Path((namespace, name)): Path<(String, String)>,
) -> Answer<NetworkPolicyObject> {
    let key = PolicyKey { kind: PolicyKind::Namespaced, namespace, name };
    let (policies, dataplane) = (node.attacher.policies(), node.attacher.dataplane());
    let deleted = node.workers.call(|_| policies.delete_policy(dataplane, &key)).await??;
    namespaced(deleted, 0).map(Json).ok_or_else(other_kind)
}

pub(super) async fn delete_cluster_policy(
    State(node): Shared,
    Path(name): Path<String>,
) -> Answer<ClusterPolicyObject> {
    let key = PolicyKey { kind: PolicyKind::Cluster, namespace: String::new(), name };
    let (policies, dataplane) = (node.attacher.policies(), node.attacher.dataplane());
    let deleted = node.workers.call(|_| policies.delete_policy(dataplane, &key)).await??;
    cluster(deleted, 0).map(Json).ok_or_else(other_kind)
}

pub(super) async fn delete_namespace(State(node): Shared, Path(name): Path<String>) -> Answer<NamespaceObject> {
    let (policies, dataplane) = (node.attacher.policies(), node.attacher.dataplane());
    let deleted = node.workers.call(|_| policies.delete_namespace(dataplane, &name)).await??;
    namespace(deleted, 0).map(Json).ok_or_else(other_kind)
}

/// Keys tell kinds apart.
fn other_kind() -> Refusal {
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
