//! Debian's reference plugins, driven as libcni drives a list (CNI SPEC.md, section 3): ADD in order, each with the
//! result of the one before, DEL in reverse, each with the result of the last.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use weft_model::{Attachment, Family};

use super::{Contender, Slot};
use crate::attach::case;
use crate::network::{UPLINK, UPLINK_POOLS, nic};
use crate::plugin::{Operation, Plugin};

/// The first port of the host that leads to a container.
const HOST_PORT_FIRST: u32 = 20_000;

pub(super) struct Reference {
    plugins: Vec<Value>,
    /// By slot.
    results: Mutex<BTreeMap<u32, Value>>,
}

impl Reference {
    /// The plugin that makes the links of such a network, with `host-local`.
    pub(super) fn plugin(attachment: Attachment, families: &[Family]) -> Self {
        let is_physical = attachment.has_parent();
        Self::list(vec![if is_physical { on_uplink(attachment, families) } else { bridge(false, families) }])
    }

    /// The list that most hosts have: translation, a published port, and a firewall.
    pub(super) fn chain() -> Self {
        let portmap = json!({"type": "portmap", "snat": true, "capabilities": {"portMappings": true}});
        let firewall = json!({"type": "firewall", "backend": "iptables"});
        Self::list(vec![bridge(true, &Family::ALL), portmap, firewall])
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

fn bridge(masquerade: bool, families: &[Family]) -> Value {
    let range = |family| match family {
        Family::IPv4 => json!({"subnet": "10.81.0.0/16"}),
        Family::IPv6 => json!({"subnet": "fd81::/64"}),
    };
    json!({
        "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": masquerade,
        "ipam": host_local(families, range),
    })
}

/// By the plugin that has the attachment's name, in the mode that weft's networks have if nobody says anything, with
/// addresses of the part of the network that weft leases from.
fn on_uplink(attachment: Attachment, families: &[Family]) -> Value {
    let [pool_v4, pool_v6] = UPLINK_POOLS;
    let range = |family| match family {
        Family::IPv4 => json!({"subnet": pool_v4, "rangeStart": "198.51.100.128"}),
        Family::IPv6 => json!({"subnet": pool_v6, "rangeStart": "2001:db8:100::1:0"}),
    };
    let mut config = json!({"type": case::plugin(attachment), "ipam": host_local(families, range)});
    if attachment.sits_on_parent() {
        config["master"] = json!(UPLINK);
        config["mode"] = json!(if attachment == Attachment::Ipvlan { "l2" } else { "bridge" });
    }
    config
}

fn host_local(families: &[Family], range: impl Fn(Family) -> Value) -> Value {
    let ranges: Vec<[Value; 1]> = families.iter().map(|family| [range(*family)]).collect();
    let routes: Vec<Value> = families.iter().map(|family| json!({"dst": family.everything().to_string()})).collect();
    json!({"type": "host-local", "dataDir": "/run/cni", "ranges": ranges, "routes": routes})
}

fn call(plugin: &Value, operation: Operation, slot: &Slot, previous: Option<Value>) -> Result<Vec<u8>> {
    let mut config = plugin.clone();
    config["cniVersion"] = json!("1.0.0");
    config["name"] = json!("bench");
    if plugin.get("capabilities").is_some() {
        let mapping = json!({"hostPort": HOST_PORT_FIRST + slot.number, "containerPort": 80, "protocol": "tcp"});
        config["runtimeConfig"] = json!({"portMappings": [mapping]});
    }
    if plugin["type"] == case::plugin(Attachment::Device) {
        config["device"] = json!(nic(slot.number));
    }
    if let Some(previous) = previous {
        config["prevResult"] = previous;
    }
    let kind = plugin["type"].as_str().context("a plugin without a type")?;
    Plugin::here(kind).call(operation, &slot.container, &serde_json::to_vec(&config)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_is_asked_for_what_weft_is_asked_for() {
        let both = on_uplink(Attachment::Macvlan, &Family::ALL);
        assert_eq!([&both["type"], &both["master"], &both["mode"]], ["macvlan", "eth0", "bridge"]);
        assert_eq!(both["ipam"]["ranges"][1][0]["subnet"], "2001:db8:100::/64");
        assert_eq!(both["ipam"]["routes"], json!([{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]));
        let one = on_uplink(Attachment::Ipvlan, &[Family::IPv4]);
        assert_eq!((&one["mode"], one["ipam"]["ranges"].as_array().map(Vec::len)), (&json!("l2"), Some(1)));
    }
}
