//! The routes of the API, each a few lines over the parts of the [`Node`].

mod allowances;
mod attach;
mod capture;
mod labels;
mod limits;
mod policies;
mod services;
mod sight;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, FromRequest, Path, Query, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Extension, Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tracing::Instrument as _;
use weft_api::{
    API_VERSION, Applied, Availability, CniError, CniRequest, Condition, Counter, EndpointObject, ErrorReply,
    IpamCheck, Lease, List, NetworkObject, NodeObject, Object, REQUEST_BYTES_MAX, Status, Version, openapi,
};
use weft_dataplane::{FLOWS_MAX, Telling};
use weft_kernel::{KernelError, Netlink, link};
use weft_model::{Attachment, Availability as _, Endpoint, IfName, InvalidFields, Network, NetworkName, Transport};

use crate::apply::{admissions, endpoints};
use crate::attach::{AttachError, Attacher};
use crate::attachment::{Built, parent};
use crate::describe::{self, Reference};
use crate::faces::cni;
use crate::ledger::{Ledger, LedgerError};
use crate::networks::{Create, NetworksError};
use crate::node::Node;
use crate::policies::Policies;
use crate::probe::{self, Missing};
use crate::services::{Services, ServicesError};
use crate::shell::connection::{Descriptors, Peer};
use crate::shell::workers::Undone;
use crate::{check, devices, metrics, shell};

/// Endpoints named in a refusal.
const USERS_SHOWN: usize = 5;
/// Why nobody is told of flows, and what to do about it.
const SILENT: &str = "weftd's setting `flow-events` is off: start it with `--flow-events on`";

type Shared = State<Arc<Node>>;

/// The router of every route in [`weft_api::ROUTES`].
pub fn router(node: Arc<Node>) -> Router {
    Router::new()
        .route("/v1/version", get(version))
        .route("/v1/status", get(status))
        .route("/v1/openapi.json", get(|| async { Json(openapi()) }))
        .route("/v1/networks", get(networks).post(create_network))
        .route("/v1/networks/{name}", get(network).delete(delete_network))
        .route("/v1/apply", post(apply))
        .route("/v1/networkpolicies", get(policies::network_policies))
        .route("/v1/networkpolicies/{namespace}/{name}", delete(policies::delete_network_policy))
        .route("/v1/clusternetworkpolicies", get(policies::cluster_policies))
        .route("/v1/clusternetworkpolicies/{name}", delete(policies::delete_cluster_policy))
        .route("/v1/namespaces", get(policies::namespaces))
        .route("/v1/namespaces/{name}", delete(policies::delete_namespace))
        .route("/v1/services", get(services::services))
        .route("/v1/services/{namespace}/{name}", delete(services::delete_service))
        .route("/v1/endpointslices", get(services::slices))
        .route("/v1/endpointslices/{namespace}/{name}", delete(services::delete_slice))
        .route("/v1/policies", get(policies::policies))
        .route("/v1/policies/rules", get(policies::rules))
        .route("/v1/policies/test", post(policies::test))
        .route("/v1/endpoints", get(endpoints).post(attach::attach).delete(attach::detach))
        .route("/v1/endpoints/limits", post(limits::limit))
        .route("/v1/endpoints/allowances", post(allowances::allow))
        .route("/v1/endpoints/labels", post(labels::label))
        .route("/v1/counters", get(counters))
        .route("/v1/flows", get(sight::flows))
        .route("/v1/connections", get(sight::connections))
        .route("/v1/why", get(sight::why))
        .route("/v1/captures", post(capture::begin))
        .route("/v1/captures/{id}", get(capture::fetch).delete(capture::end))
        .route("/metrics", get(metrics))
        .route("/v1/nodes", get(nodes))
        .route("/v1/ipam/leases", get(leases))
        .route("/v1/ipam/check", get(ipam_check))
        .route("/v1/cni", post(cni))
        .fallback(|| async { Refusal::new(StatusCode::NOT_FOUND, "no such route: see /v1/openapi.json") })
        .method_not_allowed_fallback(|| async {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "the route has no such method: see /v1/openapi.json")
        })
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .layer(axum::middleware::from_fn(log))
        .with_state(node)
}

/// The router of metrics alone, for whoever may connect.
pub fn metrics_router(node: Arc<Node>) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state(node)
}

/// One line per request, with whose it was: what changes something where operators see it.
async fn log(Extension(peer): Extension<Peer>, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    let status = response.status().as_u16();
    let Peer { pid, uid, gid } = peer;
    if method == Method::GET || path == "/v1/cni" {
        tracing::debug!(%method, path, status, pid, uid, gid, "answered");
    } else {
        tracing::info!(%method, path, status, pid, uid, gid, "answered");
    }
    response
}

/// A request's body as bytes, or a refusal in the API's own shape.
struct Body(Bytes);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let refused = |rejection: BytesRejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                let limit = format!("the request is larger than {REQUEST_BYTES_MAX} bytes: send fewer objects at once");
                Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, limit)
            }
            _ => Refusal::new(StatusCode::BAD_REQUEST, rejection.body_text()),
        };
        Bytes::from_request(request, state).await.map(Body).map_err(refused)
    }
}

/// Anything but success.
struct Refusal {
    status: StatusCode,
    errors: Vec<String>,
}

impl Refusal {
    fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, errors: vec![error.into()] }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(ErrorReply { errors: self.errors })).into_response()
    }
}

impl From<NetworksError> for Refusal {
    fn from(error: NetworksError) -> Self {
        let status = match &error {
            NetworksError::Kind { .. } | NetworksError::Name(_) | NetworksError::Invalid(_) => StatusCode::BAD_REQUEST,
            NetworksError::Absent(_) => StatusCode::NOT_FOUND,
            NetworksError::Overlap { .. }
            | NetworksError::SameNumber { .. }
            | NetworksError::Routed { .. }
            | NetworksError::Parent { .. }
            | NetworksError::Missing { .. }
            | NetworksError::Vlan { .. }
            | NetworksError::NoSubnet { .. }
            | NetworksError::Exists(_)
            | NetworksError::InUse { .. } => StatusCode::CONFLICT,
            NetworksError::Commit(error) if error.is_too_large() => StatusCode::PAYLOAD_TOO_LARGE,
            NetworksError::Commit(_) | NetworksError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        match error {
            NetworksError::Invalid(fields) => fields.into(),
            other => Self::new(status, other.to_string()),
        }
    }
}

impl From<InvalidFields> for Refusal {
    fn from(fields: InvalidFields) -> Self {
        Self { status: StatusCode::BAD_REQUEST, errors: fields.0.iter().map(ToString::to_string).collect() }
    }
}

impl From<AttachError> for Refusal {
    fn from(error: AttachError) -> Self {
        let status = match &error {
            AttachError::Gone(_) => StatusCode::NOT_FOUND,
            AttachError::TooManyAllowed { .. } => StatusCode::BAD_REQUEST,
            AttachError::Unlimited { .. }
            | AttachError::Unchecked { .. }
            | AttachError::NotAllowed { .. }
            | AttachError::NotAdmitted { .. }
            | AttachError::NoDevice { .. }
            | AttachError::Ledger(LedgerError::Exists { .. } | LedgerError::Refused(_)) => StatusCode::CONFLICT,
            AttachError::Lease { .. } | AttachError::Lessor { .. } | AttachError::Busy(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            AttachError::Ledger(_)
            | AttachError::Journal(_)
            | AttachError::Endpoint { .. }
            | AttachError::Services { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

impl From<Undone> for Refusal {
    fn from(error: Undone) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

type Answer<T> = Result<Json<T>, Refusal>;

/// Decodes a body, with the path of the field at fault.
fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        Refusal::new(StatusCode::BAD_REQUEST, format!("{path}: {}", error.inner()))
    })
}

/// The one endpoint that `text` means.
fn the_one(node: &Node, text: &str) -> Result<Arc<Endpoint>, Refusal> {
    Reference::parse(text).one(&node.attacher.ledger()).map_err(|others| not_one(text, &others))
}

/// An endpoint of the one container that `text` means.
fn one_of_container(node: &Node, text: &str) -> Result<Arc<Endpoint>, Refusal> {
    Reference::parse(text).one_container(&node.attacher.ledger()).map_err(|others| not_one(text, &others))
}

fn not_one(text: &str, others: &[String]) -> Refusal {
    match others {
        [] => Refusal::new(StatusCode::NOT_FOUND, format!("there is no endpoint {text:?}: see `weft get endpoints`")),
        others => Refusal::new(
            StatusCode::CONFLICT,
            format!(
                "{text:?} may be any of {}: add @INTERFACE, or use the container's id or an address",
                others.join(", ")
            ),
        ),
    }
}

async fn version() -> Json<Version> {
    Json(Version { version: env!("CARGO_PKG_VERSION").to_owned(), api: API_VERSION.to_owned() })
}

async fn status(State(node): Shared) -> Answer<Status> {
    let missing = node.workers.call(probe::missing).await?;
    let missing = missing.map_err(|error| refuse_kernel(&error))?;
    let report = node.reconciler.report();
    let networks = node.networks.all().len();
    let endpoints = node.attacher.ledger().live().count();
    let config = &node.config;
    let is_there = |device: &IfName| report.facts.parents.contains_key(device);
    let losses = node.attacher.losses().condition(is_there);
    let of_devices = losses.into_iter().chain(devices::unenforced(&node.attacher.ledger()));
    let unserved = node.attacher.services().unserved().map(|message| Condition {
        kind: "ServicesLed".to_owned(),
        status: "False".to_owned(),
        message,
    });
    let conditions = report.conditions.into_iter().chain(tracking(node.listener.swept().living)).chain(of_devices);
    let conditions = conditions.chain(unserved);
    Ok(Json(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        node: node.name.clone(),
        pid: std::process::id(),
        resident_bytes: shell::resident_bytes(),
        map_bytes: node.attacher.dataplane().map_bytes(),
        socket: config.socket.display().to_string(),
        run_dir: config.run_dir.display().to_string(),
        state_dir: config.state_dir.display().to_string(),
        uplink: report.facts.uplink.map(|uplink| uplink.name),
        networks,
        endpoints,
        features: features(&missing, report.stack_has_say, config.telling()),
        settings: report.settings,
        accepts: report.accepts,
        conditions: conditions.collect(),
    }))
}

/// What is to be known of the table of connections when it is nearly full.
fn tracking(living: usize) -> Option<Condition> {
    let message = format!("{living} connections of {FLOWS_MAX} are tracked: more may be forgotten while they live");
    (living > FLOWS_MAX / 10 * 9).then(|| Condition {
        kind: "ConnectionsTracked".to_owned(),
        status: "False".to_owned(),
        message,
    })
}

/// `stack_has_say` tells why packets among endpoints go by the host's stack, if they must.
fn features(missing: &Missing, stack_has_say: Option<String>, telling: Telling) -> Vec<Availability> {
    let row = |feature: &str, name: &str, served: Result<(), String>| Availability {
        feature: feature.to_owned(),
        name: name.to_owned(),
        available: served.is_ok(),
        reason: served.err().unwrap_or_default(),
    };
    let served = |attachment: Attachment| {
        Built.attachment(attachment)?;
        missing.attachments.get(&attachment).cloned().map_or(Ok(()), Err)
    };
    let attachments = Attachment::ALL.iter().map(|a| row("attachment", a.word(), served(*a)));
    let transports = Transport::ALL.iter().filter(|t| **t != Transport::None);
    let transports = transports.map(|t| row("transport", t.word(), Built.transport(*t)));
    let short_way = row("path", "past the host's stack", stack_has_say.map_or(Ok(()), Err));
    let told = match telling {
        Telling::Flows => Ok(()),
        Telling::Nothing => Err(SILENT.to_owned()),
    };
    let further = missing.features.iter().map(|(name, lack)| row("links", name, lack.clone().map_or(Ok(()), Err)));
    attachments.chain(transports).chain(further).chain([short_way, row("flows", "told as they happen", told)]).collect()
}

async fn networks(State(node): Shared) -> Json<List<NetworkObject>> {
    Json(List { items: described(&node, |_| true) })
}

async fn network(State(node): Shared, Path(name): Path<String>) -> Answer<NetworkObject> {
    let found = described(&node, |object| object.metadata.name == name).pop();
    found.map(Json).ok_or_else(|| NetworksError::Absent(name).into())
}

/// Networks are locked before the ledger, never the other way round.
fn described(node: &Node, wanted: impl Fn(&NetworkObject) -> bool) -> Vec<NetworkObject> {
    let report = node.reconciler.report();
    let objects = node.networks.objects().into_iter().filter(wanted);
    let known = objects.filter_map(|object| Some((node.networks.get(&object.metadata.name)?, object)));
    let known: Vec<_> = known.collect();
    let ledger = node.attacher.ledger();
    let describe = |(network, object): (Arc<Network>, NetworkObject)| {
        describe::network(object, &network, &ledger, &report.facts, &report.conditions)
    };
    known.into_iter().map(describe).collect()
}

async fn create_network(State(node): Shared, Body(body): Body) -> Answer<NetworkObject> {
    let object: NetworkObject = decode(&body)?;
    let name = object.metadata.name.clone();
    commit(&node, vec![object], Create::New).await?;
    network(State(node), Path(name)).await
}

async fn apply(State(node): Shared, Body(body): Body) -> Answer<List<Applied>> {
    let list: List<Object> = decode(&body)?;
    let (mut networks, mut services, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for object in list.items {
        match object {
            Object::Network(network) => networks.push(*network),
            object if object.is_of_service() => services.push(object),
            other => others.push(other),
        }
    }
    Policies::check_all(&others)?;
    Services::check_all(&services)?;
    let mut applied = Vec::new();
    if !networks.is_empty() {
        let of_network =
            |(name, action): (NetworkName, _)| Applied { kind: "Network".to_owned(), name: name.into(), action };
        applied.extend(commit(&node, networks, Create::OrChange).await?.into_iter().map(of_network));
    }
    let (policies, dataplane) = (node.attacher.policies(), node.attacher.dataplane());
    let actions = node.workers.call(|_| policies.apply(dataplane, others)).await??;
    let of_object =
        |(object, action): (Object, _)| Applied { kind: object.kind().to_owned(), name: object.name(), action };
    applied.extend(actions.into_iter().map(of_object));
    if !services.is_empty() {
        let actions = node.workers.call(|_| node.attacher.services().apply(dataplane, services)).await??;
        applied.extend(actions.into_iter().map(of_object));
        // The first service of a pool has its addresses lead nowhere else.
        node.reconciler.settle().await;
    }
    Ok(Json(List { items: applied }))
}

/// Writes networks down and waits for the kernel to follow.
async fn commit(
    node: &Arc<Node>,
    objects: Vec<NetworkObject>,
    create: Create,
) -> Result<Vec<(NetworkName, weft_api::ApplyAction)>, Refusal> {
    let written = node.workers.call(|netlink| {
        let around = shell::surroundings(netlink).map_err(|e| refuse_kernel(&e))?;
        node.networks.apply(objects, create, &around).map_err(Refusal::from)
    });
    let actions = written.await??;
    node.attacher.watch_networks();
    node.reconciler.settle().await;
    Ok(actions)
}

fn refuse_kernel(error: &KernelError) -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

async fn delete_network(State(node): Shared, Path(name): Path<String>) -> Answer<NetworkObject> {
    let deleted = node.workers.call(|_| {
        let users = |network: &NetworkName| users(&node, network);
        node.networks.delete(&name, users)
    });
    let object = deleted.await??;
    node.attacher.watch_networks();
    node.reconciler.settle().await;
    Ok(Json(object))
}

/// Some of the endpoints on a network, in whatever phase.
fn users(node: &Node, network: &NetworkName) -> String {
    let ledger = node.attacher.ledger();
    let users: Vec<String> = ledger
        .entries()
        .map(|entry| &entry.endpoint)
        .filter(|endpoint| endpoint.network == *network)
        .map(|endpoint| format!("{}@{}", endpoint.title(), endpoint.key.ifname))
        .collect();
    let more = users.len().saturating_sub(USERS_SHOWN);
    let shown = users.into_iter().take(USERS_SHOWN).collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

#[derive(Debug, Default, Deserialize)]
struct Selection {
    #[serde(rename = "match")]
    reference: Option<String>,
    network: Option<String>,
}

type Selected = Result<Query<Selection>, QueryRejection>;

fn selection(wanted: Selected) -> Result<Selection, Refusal> {
    let refused = |rejection: QueryRejection| Refusal::new(StatusCode::BAD_REQUEST, rejection.body_text());
    wanted.map(|Query(selection)| selection).map_err(refused)
}

impl Selection {
    fn is_all(&self) -> bool {
        self.reference.is_none() && self.network.is_none()
    }

    /// The endpoints that are meant, by name.
    fn of(&self, ledger: &Ledger) -> Vec<Arc<Endpoint>> {
        let reference = self.reference.as_deref().map(Reference::parse);
        let is_meant = |endpoint: &&Arc<Endpoint>| {
            self.network.as_deref().is_none_or(|network| endpoint.network.as_str() == network)
                && reference.as_ref().is_none_or(|reference| reference.matches(endpoint))
        };
        let mut chosen: Vec<_> = ledger.live().filter(is_meant).cloned().collect();
        chosen.sort_by(|a, b| {
            let key = |e: &Endpoint| (e.namespace.clone(), e.name.clone(), e.key.ifname.clone());
            key(a).cmp(&key(b))
        });
        chosen
    }
}

async fn endpoints(State(node): Shared, wanted: Selected) -> Answer<List<EndpointObject>> {
    let wanted = selection(wanted)?;
    let ledger = node.attacher.ledger();
    let chosen = wanted.of(&ledger);
    Ok(Json(List { items: chosen.iter().map(|endpoint| describe::endpoint(endpoint, &ledger)).collect() }))
}

async fn counters(State(node): Shared, wanted: Selected) -> Answer<List<Counter>> {
    let counted = counted(&node, &selection(wanted)?).await?;
    Ok(Json(List { items: counted.into_iter().flat_map(|(_, counters)| counters).collect() }))
}

/// For Prometheus: every endpoint's counters, and what the ledger holds.
async fn metrics(State(node): Shared) -> Result<Response, Refusal> {
    let counted = counted(&node, &Selection::default()).await?;
    let unseen = node.attacher.dataplane().unseen();
    let unseen = unseen.map_err(|e| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))?;
    let tracking = metrics::Tracking { living: node.listener.swept().living, unseen };
    let map_bytes = node.attacher.dataplane().map_bytes();
    let memory = metrics::Memory { resident_bytes: shell::resident_bytes(), map_bytes };
    let policies = node.attacher.policies();
    let standings = policies.objects(node.attacher.dataplane());
    let standings = standings.map_err(|e| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))?;
    let decided = metrics::Decisions {
        decided: standings.into_iter().map(|(object, standing)| (object, standing.decided)).collect(),
        refusals: policies.refusals(),
    };
    let led = node.attacher.services().objects(node.attacher.dataplane()).map_err(ServicesError::from)?;
    let said = (&decided, &led[..]);
    let text = metrics::text(&node.networks.all(), &node.attacher.ledger(), &counted, said, tracking, memory);
    Ok(([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}

/// What was counted at the doors of the endpoints that are meant, each with its network. If all are meant, also what
/// was counted of senders that are none of them.
async fn counted(node: &Node, wanted: &Selection) -> Result<Vec<(String, Vec<Counter>)>, Refusal> {
    let chosen = wanted.of(&node.attacher.ledger());
    let dataplane = node.attacher.dataplane();
    let parents = if wanted.is_all() { dataplane.parents() } else { Vec::new() };
    let read = node.workers.call(|netlink| {
        let mut read = Vec::new();
        for endpoint in chosen {
            read.push((endpoint.network.to_string(), counted_at(netlink, &node.attacher, &endpoint)?));
        }
        for index in parents {
            let link = link::find_index(netlink, index)?.filter(|link| parent::is_stand_in(&link.name));
            let Some(link) = link else { continue };
            let counted = dataplane.counted(index).map_err(|e| admissions::refused(index, &e))?;
            read.push((String::new(), describe::strangers(&link.name, &counted)));
        }
        Ok::<_, KernelError>(read)
    });
    read.await?.map_err(|error| refuse_kernel(&error))
}

/// The same at one door; nothing if the endpoint has none, or has just died.
fn counted_at(netlink: &mut Netlink, attacher: &Attacher, endpoint: &Endpoint) -> Result<Vec<Counter>, KernelError> {
    let Some(link) = endpoints::number(netlink, endpoint)? else { return Ok(Vec::new()) };
    let counted = attacher.dataplane().counted(link).map_err(|e| admissions::refused(link, &e))?;
    Ok(describe::counters(endpoint, &counted))
}

async fn nodes(State(node): Shared) -> Json<List<NodeObject>> {
    let facts = node.reconciler.report().facts;
    let own = describe::node(&node.name, &node.attacher.ledger(), &facts);
    Json(List { items: vec![own] })
}

async fn leases(State(node): Shared, wanted: Selected) -> Answer<List<Lease>> {
    let wanted = selection(wanted)?;
    if let Some(name) = wanted.network.as_ref().filter(|name| node.networks.get(name).is_none()) {
        return Err(NetworksError::Absent(name.clone()).into());
    }
    let ledger = node.attacher.ledger();
    let on_network = |name: &NetworkName| wanted.network.as_deref().is_none_or(|wanted| wanted == name.as_str());
    let holders = ledger.entries().map(|entry| &entry.endpoint).filter(|endpoint| on_network(&endpoint.network));
    let mut held: Vec<_> = holders
        .flat_map(|endpoint| endpoint.addresses.iter().map(|net| net.addr()).zip(describe::leases(endpoint)))
        .collect();
    held.sort_by_key(|(address, _)| *address);
    Ok(Json(List { items: held.into_iter().map(|(_, lease)| lease).collect() }))
}

async fn ipam_check(State(node): Shared) -> Answer<IpamCheck> {
    let checked = node.workers.call(|netlink| check::all(&node.attacher, netlink)).await?;
    checked.map(Json).map_err(|error| refuse_kernel(&error))
}

async fn cni(
    State(node): Shared,
    Extension(passed): Extension<Descriptors>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return cni_refusal(cni_error(6, rejection.body_text())),
    };
    let request: CniRequest = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(error) => return cni_refusal(cni_error(6, format!("the shim's request cannot be read: {error}"))),
    };
    let span = tracing::info_span!("cni", command = request.command, container = request.container_id);
    let ifname = request.ifname.clone();
    let answered = async {
        let answer = cni::answer(node, request, passed.take()).await;
        match &answer {
            Ok(_) => tracing::info!(ifname, "done"),
            Err(error) => tracing::warn!(ifname, code = error.code, error = error.msg, "refused"),
        }
        answer
    };
    match answered.instrument(span).await {
        Ok(Some(result)) => Json(result).into_response(),
        Ok(None) => StatusCode::OK.into_response(),
        Err(error) => cni_refusal(error),
    }
}

fn cni_error(code: u32, msg: String) -> CniError {
    let cni_version = cni::VERSIONS.last().copied().unwrap_or_default().to_owned();
    CniError { cni_version, code, msg, details: String::new() }
}

fn cni_refusal(error: CniError) -> Response {
    (StatusCode::UNPROCESSABLE_ENTITY, Json(error)).into_response()
}
