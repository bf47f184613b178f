//! The agent's API, each answer checked against the description that the agent itself gives.

use serde_json::{Value, json};
use weft_api::{Client, Method, ROUTES, openapi};
use weft_lab::Host;

/// Where the agent of a lab host listens, inside.
pub(crate) const SOCKET: &str = "/run/weft/weft.sock";

/// A client that trusts nothing.
pub struct Api {
    client: Client,
    description: Value,
}

impl Api {
    /// Of the agent on `host`.
    pub fn of(host: &Host) -> Self {
        Self { client: Client::new(host.path(SOCKET)), description: openapi() }
    }

    /// Reads.
    pub fn get(&self, path: &str) -> (u16, Value) {
        self.call(Method::Get, path, &Value::Null)
    }

    /// Sends.
    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.call(Method::Post, path, body)
    }

    /// Deletes.
    pub fn delete(&self, path: &str) -> (u16, Value) {
        self.call(Method::Delete, path, &Value::Null)
    }

    /// Creates a network, which must succeed, and gives it back with its status.
    pub fn network(&self, name: &str, spec: Value) -> Value {
        let (status, network) = self.try_network(name, spec);
        assert_eq!(status, 200, "{network}");
        network
    }

    /// Changes a network.
    pub fn change(&self, name: &str, spec: Value) {
        let object = json!({
            "apiVersion": weft_api::API_VERSION, "kind": "Network", "metadata": {"name": name}, "spec": spec,
        });
        let (status, applied) = self.post("/v1/apply", &json!({"items": [object]}));
        assert_eq!((status, &applied["items"][0]["action"]), (200, &json!("changed")), "{applied}");
    }

    /// Creates a network, or not.
    pub fn try_network(&self, name: &str, spec: Value) -> (u16, Value) {
        let object = json!({
            "apiVersion": weft_api::API_VERSION, "kind": "Network", "metadata": {"name": name}, "spec": spec,
        });
        self.post("/v1/networks", &object)
    }

    /// The endpoints that `reference` means.
    pub fn endpoints(&self, reference: &str) -> Vec<Value> {
        let query = if reference.is_empty() { String::new() } else { format!("?match={reference}") };
        let (_, list) = self.get(&format!("/v1/endpoints{query}"));
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// An endpoint's address: the first one is that of IPv4.
    pub fn address(&self, endpoint: &str, family: usize) -> String {
        let found = &self.endpoints(endpoint)[0];
        let address = found["status"]["addresses"][family].as_str().expect("an address");
        address.split('/').next().unwrap_or_default().to_owned()
    }

    /// Packets of an endpoint that were dropped for `reason`, or that passed where there is none.
    pub fn counted(&self, endpoint: &str, direction: &str, reason: &str) -> u64 {
        let is_meant =
            |row: &&Value| row["direction"] == direction && row["reason"].as_str().unwrap_or_default() == reason;
        let counters = self.items(&format!("/v1/counters?match={endpoint}"));
        counters.iter().find(is_meant).map_or(0, |row| row["packets"].as_u64().expect("a number"))
    }

    /// The items of a list.
    pub fn items(&self, path: &str) -> Vec<Value> {
        let (status, list) = self.get(path);
        assert_eq!(status, 200, "{list}");
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// What the kernel lacks for a feature of `weft status`, if it does.
    pub fn lack(&self, name: &str) -> Option<String> {
        let (_, status) = self.get("/v1/status");
        let row = status["features"].as_array()?.iter().find(|row| row["name"] == name).cloned();
        let row = row.unwrap_or_else(|| panic!("{name} is none of {}", status["features"]));
        (row["available"] == false).then(|| row["reason"].as_str().unwrap_or_default().to_owned())
    }

    /// What ledger, kernel and namespaces do not agree on.
    pub fn findings(&self) -> Vec<Value> {
        let (status, check) = self.get("/v1/ipam/check");
        assert_eq!(status, 200, "{check}");
        check["findings"].as_array().cloned().unwrap_or_default()
    }

    /// Everything must agree.
    pub fn assert_clean(&self) {
        let findings = self.findings();
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// Has the agent look at everything.
    pub fn round(&self) {
        self.network("round", json!({"mode": "routed", "pools": ["10.99.0.0/24"]}));
        let (status, answer) = self.delete("/v1/networks/round");
        assert_eq!(status, 200, "{answer}");
    }

    fn call(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.call_raw(method, path, bytes)
    }

    /// Sends bytes as they are.
    pub fn call_raw(&self, method: Method, path: &str, body: Vec<u8>) -> (u16, Value) {
        let (status, bytes) = self.client.exchange(method, path, body).unwrap_or_else(|e| panic!("{path}: {e}"));
        let answer: Value = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes)
                .unwrap_or_else(|e| panic!("{path}: {e}: {}", String::from_utf8_lossy(&bytes)))
        };
        self.check(method, path, status, &answer);
        (status, answer)
    }

    /// The text at `/metrics`.
    pub fn metrics(&self) -> String {
        let (status, bytes) = self.client.exchange(Method::Get, "/metrics", Vec::new()).expect("the agent answers");
        let text = String::from_utf8(bytes).expect("metrics are text");
        assert_eq!(status, 200, "{text}");
        text
    }

    fn check(&self, method: Method, path: &str, status: u16, answer: &Value) {
        let bare = path.split('?').next().unwrap_or_default();
        let Some(route) = ROUTES.iter().find(|route| route.method == method && is_like(route.path, bare)) else {
            return;
        };
        let operation = &self.description["paths"][route.path][method.word().to_lowercase()];
        let reply = &operation["responses"][status.to_string()];
        assert!(!reply.is_null(), "{} {path} answered {status}, which is not described: {answer}", method.word());
        let Some(schema) = reply.pointer("/content/application~1json/schema") else { return };
        let mut whole = schema.clone();
        whole["components"] = self.description["components"].clone();
        let validator = jsonschema::validator_for(&whole).expect("the description is a schema");
        let faults: Vec<String> = validator.iter_errors(answer).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{} {path} {status}: {faults:?}\n{answer}", method.word());
    }
}

fn is_like(template: &str, path: &str) -> bool {
    let (mut template, mut path) = (template.split('/'), path.split('/'));
    loop {
        match (template.next(), path.next()) {
            (None, None) => return true,
            (Some(part), Some(actual)) if part == actual || part.starts_with('{') => {}
            _ => return false,
        }
    }
}
