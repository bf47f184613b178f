//! Services, and slices of those who serve them.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use weft_api::{EndpointSliceObject, List, Object, ServiceBackend, ServiceObject, ServiceStatus};
use weft_model::ServiceKey;

use super::{Answer, Refusal, Shared};
use crate::ledger::Ledger;
use crate::services::{ServicesError, Standing};

impl From<ServicesError> for Refusal {
    fn from(error: ServicesError) -> Self {
        let status = match &error {
            ServicesError::Invalid(_) => StatusCode::BAD_REQUEST,
            ServicesError::Absent { .. } => StatusCode::NOT_FOUND,
            ServicesError::Taken { .. }
            | ServicesError::NoAddress { .. }
            | ServicesError::Overlap { .. }
            | ServicesError::NoRoom { .. } => StatusCode::CONFLICT,
            ServicesError::Commit(error) if error.is_too_large() => StatusCode::PAYLOAD_TOO_LARGE,
            ServicesError::Commit(_) | ServicesError::Store(_) | ServicesError::Dataplane(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        match error {
            ServicesError::Invalid(fields) => fields.into(),
            other => Self::new(status, other.to_string()),
        }
    }
}

/// What is true of a service here.
fn status(service: &ServiceObject, standing: &Standing, ledger: &Ledger) -> ServiceStatus {
    let backends = standing.served.iter().map(|served| ServiceBackend {
        namespace: service.metadata.namespace_or_default().to_owned(),
        service: service.metadata.name.clone(),
        port: served.port.clone(),
        protocol: served.protocol.to_string(),
        address: std::net::SocketAddr::new(served.backend.address, served.backend.port).to_string(),
        endpoint: ledger.at(served.backend.address).map(|endpoint| endpoint.title()),
        network: served.network.as_ref().map(ToString::to_string),
        state: match (served.is_ready, served.is_terminating) {
            (true, _) => "ready",
            (false, true) => "terminating",
            (false, false) => "not ready",
        }
        .to_owned(),
    });
    ServiceStatus { backends: backends.collect(), connections: standing.connections, refused: standing.refused }
}

pub(super) async fn services(State(node): Shared) -> Answer<List<ServiceObject>> {
    let objects = node.attacher.services().objects(node.attacher.dataplane()).map_err(ServicesError::from)?;
    let ledger = node.attacher.ledger();
    let items = objects.into_iter().filter_map(|(object, standing)| match object {
        Object::Service(service) => {
            Some(ServiceObject { status: Some(status(&service, &standing, &ledger)), ..*service })
        }
        _ => None,
    });
    Ok(Json(List { items: items.collect() }))
}

pub(super) async fn slices(State(node): Shared) -> Answer<List<EndpointSliceObject>> {
    let objects = node.attacher.services().objects(node.attacher.dataplane()).map_err(ServicesError::from)?;
    let items = objects.into_iter().filter_map(|(object, _)| match object {
        Object::EndpointSlice(slice) => Some(*slice),
        _ => None,
    });
    Ok(Json(List { items: items.collect() }))
}

pub(super) async fn delete_service(
    State(node): Shared,
    Path((namespace, name)): Path<(String, String)>,
) -> Answer<ServiceObject> {
    let key = ServiceKey { namespace, name };
    let (services, dataplane) = (node.attacher.services(), node.attacher.dataplane());
    let deleted = node.workers.call(|_| services.delete_service(dataplane, &key)).await??;
    node.reconciler.settle().await;
    match deleted {
        Object::Service(service) => Ok(Json(*service)),
        _ => Err(super::policies::other_kind()),
    }
}

pub(super) async fn delete_slice(
    State(node): Shared,
    Path((namespace, name)): Path<(String, String)>,
) -> Answer<EndpointSliceObject> {
    let key = ServiceKey { namespace, name };
    let (services, dataplane) = (node.attacher.services(), node.attacher.dataplane());
    match node.workers.call(|_| services.delete_slice(dataplane, &key)).await?? {
        Object::EndpointSlice(slice) => Ok(Json(*slice)),
        _ => Err(super::policies::other_kind()),
    }
}
