//! Debian's reference plugins, driven as libcni drives a list (CNI SPEC.md, section 3): ADD in order, each with the
//! result of the one before, DEL in reverse, each with the result of the last.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{Contender, Slot};
use crate::bench::plugin::{Operation, Plugin};

/// The first port of the host that leads to a container.
const HOST_PORT_FIRST: u32 = 20_000;

pub(super) struct Reference {
    plugins: Vec<Value>,
    /// By slot.
    results: Mutex<BTreeMap<u32, Value>>,
}

impl Reference {
    /// `bridge` with `host-local`.
    pub(super) fn bridge() -> Self {
        Self::list(vec![bridge(false)])
    }

    /// The list that most hosts have: translation, a published port, and a firewall.
    pub(super) fn chain() -> Self {
        let portmap = json!({"type": "portmap", "snat": true, "capabilities": {"portMappings": true}});
        let firewall = json!({"type": "firewall", "backend": "iptables"});
        Self::list(vec![bridge(true), portmap, firewall])
    }

    fn list(plugins: Vec<Value>) -> Self {
        Self { plugins, results: Mutex::default() }
    }

    fn results(&self) -> MutexGuard<'_, BTreeMap<u32, Value>> {
        self.results.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contender for Reference {
    fn add(&self, slot: &Slot) -> Result<Vec<u8>> {
        let (mut previous, mut result) = (None, Vec::new());
        for plugin in &self.plugins {
            result = call(plugin, Operation::Add, slot, previous)?;
            previous = Some(serde_json::from_slice(&result).context("a result that is not JSON")?);
        }
        self.results().extend(previous.map(|result| (slot.number, result)));
        Ok(result)
    }

    fn del(&self, slot: &Slot) -> Result<()> {
        let previous = self.results().remove(&slot.number);
        self.plugins.iter().rev().try_for_each(|plugin| call(plugin, Operation::Del, slot, previous.clone()).map(drop))
    }
}

/// Dual stack, as weft's networks are.
fn bridge(masquerade: bool) -> Value {
    json!({
        "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": masquerade,
        "ipam": {
            "type": "host-local", "dataDir": "/run/cni",
            "ranges": [[{"subnet": "10.81.0.0/16"}], [{"subnet": "fd81::/64"}]],
            "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
        },
    })
}

fn call(plugin: &Value, operation: Operation, slot: &Slot, previous: Option<Value>) -> Result<Vec<u8>> {
    let mut config = plugin.clone();
    config["cniVersion"] = json!("1.0.0");
    config["name"] = json!("bench");
    if plugin.get("capabilities").is_some() {
        let mapping = json!({"hostPort": HOST_PORT_FIRST + slot.number, "containerPort": 80, "protocol": "tcp"});
        config["runtimeConfig"] = json!({"portMappings": [mapping]});
    }
    if let Some(previous) = previous {
        config["prevResult"] = previous;
    }
    let kind = plugin["type"].as_str().context("a plugin without a type")?;
    Plugin::here(kind).call(operation, &slot.container, &serde_json::to_vec(&config)?)
}
