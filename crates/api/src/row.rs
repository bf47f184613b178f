//! One line of a table per object: the same columns on every screen.

use std::collections::BTreeSet;

use weft_model::ServicePortSpec;

use crate::capture::Packet;
use crate::flow::{Connection, Flow, FlowEnd};
use crate::object::{
    Condition, DeviceStatus, EndpointObject, NetworkAttachment, NetworkObject, NodeObject, PoolStatus,
};
use crate::policy::{
    ClusterPolicyObject, NamespaceObject, NetworkPolicyObject, Object, PolicyRule, PolicyStatus, PolicySummary,
    RehearsedFlow,
};
use crate::report::{Applied, Availability, Counter, Finding, ForeignRule, Lease, Setting};
use crate::service::{EndpointSliceObject, SERVICE_LABEL, ServiceBackend, ServiceObject};

/// Something that is shown as a row.
pub trait Row {
    /// Names of the columns.
    const HEADER: &'static [&'static str];

    /// Its cells, as many as there are columns.
    fn cells(&self) -> Vec<String>;
}

fn or_dash(text: Option<&str>) -> String {
    text.filter(|t| !t.is_empty()).unwrap_or("-").to_owned()
}

fn joined(parts: &[String]) -> String {
    or_dash(Some(&parts.join(",")))
}

impl Row for NetworkObject {
    const HEADER: &'static [&'static str] =
        &["NAME", "ATTACHMENT", "TRANSPORT", "POOLS", "MTU", "ENDPOINTS", "LINK", "READY"];

    fn cells(&self) -> Vec<String> {
        let Some(status) = &self.status else {
            return vec![self.metadata.name.clone(); 1].into_iter().chain(vec!["-".to_owned(); 7]).collect();
        };
        let pools: Vec<_> = status.pools.iter().map(|pool| pool.subnet.clone()).collect();
        let ready = status.conditions.iter().find(|condition| condition.kind == "Ready");
        vec![
            self.metadata.name.clone(),
            status.attachment.clone(),
            status.transport.clone(),
            joined(&pools),
            status.mtu.to_string(),
            status.endpoints.to_string(),
            or_dash(status.link.as_deref()),
            or_dash(ready.map(|condition| condition.status.as_str())),
        ]
    }
}

impl Row for EndpointObject {
    const HEADER: &'static [&'static str] =
        &["NAMESPACE", "NAME", "INTERFACE", "NETWORK", "ADDRESSES", "MAC", "CONTAINER", "HOST-LINK"];

    fn cells(&self) -> Vec<String> {
        let bare: Vec<_> =
            self.status.addresses.iter().map(|a| a.split('/').next().unwrap_or_default().to_owned()).collect();
        vec![
            or_dash(self.metadata.namespace.as_deref()),
            self.metadata.name.clone(),
            self.spec.interface.clone(),
            self.spec.network.clone(),
            joined(&bare),
            or_dash(self.status.mac.as_deref()),
            self.spec.container_id.chars().take(12).collect(),
            or_dash(self.status.host_link.as_deref()),
        ]
    }
}

impl Row for DeviceStatus {
    const HEADER: &'static [&'static str] = &["NAME", "PCI", "DRIVER", "MAC", "STATE", "HOLDER", "REASON"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            or_dash(self.pci.as_deref()),
            or_dash(Some(&self.driver)),
            or_dash(self.mac.as_deref()),
            self.state.clone(),
            or_dash(self.holder.as_deref()),
            or_dash(Some(&self.reason)),
        ]
    }
}

impl Row for NodeObject {
    const HEADER: &'static [&'static str] = &["NAME", "ADDRESSES", "UPLINK", "ENDPOINTS", "KERNEL", "VERSION"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.metadata.name.clone(),
            joined(&self.status.addresses),
            or_dash(self.status.uplink.as_deref()),
            self.status.endpoints.to_string(),
            self.status.kernel.clone(),
            self.status.version.clone(),
        ]
    }
}

impl Row for Lease {
    const HEADER: &'static [&'static str] = &["ADDRESS", "NETWORK", "ENDPOINT", "INTERFACE", "CONTAINER"];

    fn cells(&self) -> Vec<String> {
        let container = self.container_id.chars().take(12).collect();
        vec![self.address.clone(), self.network.clone(), self.endpoint.clone(), self.interface.clone(), container]
    }
}

impl Row for Counter {
    const HEADER: &'static [&'static str] =
        &["ENDPOINT", "INTERFACE", "DIRECTION", "VERDICT", "PACKETS", "BYTES", "REASON", "MEANING"];

    fn cells(&self) -> Vec<String> {
        let Counter { endpoint, interface, direction, verdict, reason, meaning, packets, bytes } = self.clone();
        vec![endpoint, interface, direction, verdict, packets.to_string(), bytes.to_string(), reason, meaning]
    }
}

impl FlowEnd {
    /// The endpoint's name or the address, with the port.
    pub fn shown(&self) -> String {
        let address = || if self.address.contains(':') { format!("[{}]", self.address) } else { self.address.clone() };
        match (&self.endpoint, self.port) {
            (Some(endpoint), Some(port)) => format!("{endpoint}:{port}"),
            (Some(endpoint), None) => endpoint.clone(),
            (None, Some(port)) => format!("{}:{port}", address()),
            (None, None) => or_dash(Some(&self.address)),
        }
    }
}

/// Of seconds since 1970, in UTC.
fn time_of_day(second: u64) -> String {
    format!("{:02}:{:02}:{:02}", second / 3600 % 24, second / 60 % 60, second % 60)
}

impl Row for Flow {
    const HEADER: &'static [&'static str] =
        &["TIME", "EVENT", "FROM", "TO", "PROTOCOL", "FLAGS", "DOOR", "WAY", "REASON", "SERVICE"];

    fn cells(&self) -> Vec<String> {
        let time = format!("{}.{:03}", time_of_day(self.time_ms / 1000), self.time_ms % 1000);
        let door = self.door.as_ref().map(|door| format!("{door} {}", self.direction));
        vec![
            time,
            self.event.clone(),
            self.from.shown(),
            self.to.shown(),
            self.protocol.clone(),
            or_dash(Some(&self.flags)),
            or_dash(door.as_deref()),
            self.way.clone(),
            match &self.rule {
                Some(rule) => format!("{}: {rule}", self.reason),
                None => or_dash(Some(&self.reason)),
            },
            or_dash(self.service.as_deref()),
        ]
    }
}

impl Row for ServiceObject {
    const HEADER: &'static [&'static str] =
        &["NAMESPACE", "NAME", "ADDRESSES", "PORTS", "BACKENDS", "CONNECTIONS", "REFUSED"];

    fn cells(&self) -> Vec<String> {
        let port = |port: &ServicePortSpec| {
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            format!("{}/{protocol}", port.port)
        };
        let status = self.status.clone().unwrap_or_default();
        // One who serves in both families, or several ports, is one.
        let ready = status.backends.iter().filter(|backend| backend.state == "ready");
        let ready: BTreeSet<_> = ready.map(|backend| backend.endpoint.as_ref().unwrap_or(&backend.address)).collect();
        vec![
            self.metadata.namespace_or_default().to_owned(),
            self.metadata.name.clone(),
            joined(&self.spec.cluster_ips),
            joined(&self.spec.ports.iter().map(port).collect::<Vec<_>>()),
            ready.len().to_string(),
            status.connections.to_string(),
            status.refused.to_string(),
        ]
    }
}

impl Row for ServiceBackend {
    const HEADER: &'static [&'static str] =
        &["NAMESPACE", "SERVICE", "PORT", "PROTOCOL", "ADDRESS", "STATE", "ENDPOINT", "NETWORK"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.namespace.clone(),
            self.service.clone(),
            or_dash(Some(&self.port)),
            self.protocol.clone(),
            self.address.clone(),
            self.state.clone(),
            or_dash(self.endpoint.as_deref()),
            or_dash(self.network.as_deref()),
        ]
    }
}

impl Row for EndpointSliceObject {
    const HEADER: &'static [&'static str] = &["NAMESPACE", "NAME", "SERVICE", "ADDRESSES", "PORTS"];

    fn cells(&self) -> Vec<String> {
        let addresses = self.endpoints.iter().filter_map(|endpoint| endpoint.addresses.first().cloned());
        let ports = self.ports.iter().filter_map(|port| Some(port.port?.to_string()));
        vec![
            self.metadata.namespace_or_default().to_owned(),
            self.metadata.name.clone(),
            or_dash(self.metadata.labels.get(SERVICE_LABEL).map(String::as_str)),
            joined(&addresses.collect::<Vec<_>>()),
            joined(&ports.collect::<Vec<_>>()),
        ]
    }
}

impl Row for PolicySummary {
    const HEADER: &'static [&'static str] =
        &["KIND", "NAMESPACE", "NAME", "TIER", "PRIORITY", "MODE", "WAYS", "RULES", "ENDPOINTS", "DECIDED"];

    fn cells(&self) -> Vec<String> {
        let PolicySummary { kind, namespace, name, tier, mode, priority, ways, rules, endpoints, .. } = self.clone();
        let decided = [(self.accepted, "accepted"), (self.denied, "denied"), (self.audited, "audited")];
        let decided: Vec<_> = decided.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
        vec![
            kind,
            or_dash(namespace.as_deref()),
            name,
            tier,
            priority.to_string(),
            mode,
            joined(&ways),
            rules.to_string(),
            endpoints.to_string(),
            or_dash(Some(&decided.join(", "))),
        ]
    }
}

impl Row for PolicyRule {
    const HEADER: &'static [&'static str] =
        &["ENDPOINT", "WAY", "TIER", "ACTION", "MODE", "OTHER-END", "PORTS", "RULE"];

    fn cells(&self) -> Vec<String> {
        let PolicyRule { endpoint, way, tier, rule, action, mode, peers, ports } = self.clone();
        vec![endpoint, way, tier, action, mode, peers, ports, rule]
    }
}

impl Row for RehearsedFlow {
    const HEADER: &'static [&'static str] = &["FROM", "TO", "PROTOCOL", "SEEN", "NOW", "THEN", "BY"];

    fn cells(&self) -> Vec<String> {
        let by = if self.then == "dropped" {
            self.then_by.as_deref()
        } else {
            self.then_by.as_deref().or(self.now_by.as_deref())
        };
        vec![
            self.from.shown(),
            self.to.shown(),
            self.protocol.clone(),
            self.seen.to_string(),
            self.now.clone(),
            self.then.clone(),
            or_dash(by),
        ]
    }
}

impl Row for Object {
    const HEADER: &'static [&'static str] = &["KIND", "NAME"];

    fn cells(&self) -> Vec<String> {
        vec![self.kind().to_owned(), self.name()]
    }
}

fn standing(status: Option<&PolicyStatus>) -> [String; 2] {
    let ready = status.and_then(|status| status.conditions.iter().find(|condition| condition.kind == "Ready"));
    let endpoints = status.map(|status| status.endpoints.to_string());
    [or_dash(endpoints.as_deref()), or_dash(ready.map(|condition| condition.status.as_str()))]
}

impl Row for NetworkPolicyObject {
    const HEADER: &'static [&'static str] = &["NAMESPACE", "NAME", "ENDPOINTS", "READY"];

    fn cells(&self) -> Vec<String> {
        let [endpoints, ready] = standing(self.status.as_ref());
        vec![self.metadata.namespace_or_default().to_owned(), self.metadata.name.clone(), endpoints, ready]
    }
}

impl Row for ClusterPolicyObject {
    const HEADER: &'static [&'static str] = &["NAME", "TIER", "PRIORITY", "ENDPOINTS", "READY"];

    fn cells(&self) -> Vec<String> {
        let [endpoints, ready] = standing(self.status.as_ref());
        let (tier, priority) = (self.spec.tier.clone(), self.spec.priority.to_string());
        vec![self.metadata.name.clone(), tier, priority, endpoints, ready]
    }
}

impl Row for NamespaceObject {
    const HEADER: &'static [&'static str] = &["NAME", "LABELS"];

    fn cells(&self) -> Vec<String> {
        let labels: Vec<_> = self.metadata.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        vec![self.metadata.name.clone(), joined(&labels)]
    }
}

impl Row for Packet {
    const HEADER: &'static [&'static str] =
        &["TIME", "DIRECTION", "FROM", "TO", "PROTOCOL", "FLAGS", "BYTES", "VERDICT"];

    fn cells(&self) -> Vec<String> {
        let time = format!("{}.{:06}", time_of_day(self.time_us / 1_000_000), self.time_us % 1_000_000);
        let why = if self.reason.is_empty() { &self.way } else { &self.reason };
        vec![
            time,
            self.direction.clone(),
            self.from.shown(),
            self.to.shown(),
            self.protocol.clone(),
            or_dash(Some(&self.flags)),
            self.bytes.to_string(),
            format!("{}: {why}", self.verdict),
        ]
    }
}

impl Row for Connection {
    const HEADER: &'static [&'static str] = &["FROM", "TO", "PROTOCOL", "STATE", "WAY", "REMAINING", "SERVICE"];

    fn cells(&self) -> Vec<String> {
        let Connection { from, to, protocol, state, way, remaining_s, service } = self;
        let remaining = format!("{remaining_s} s");
        let service = or_dash(service.as_deref());
        vec![from.shown(), to.shown(), protocol.clone(), state.clone(), way.clone(), remaining, service]
    }
}

impl Row for Finding {
    const HEADER: &'static [&'static str] = &["OBJECT", "PROBLEM"];

    fn cells(&self) -> Vec<String> {
        vec![self.object.clone(), self.problem.clone()]
    }
}

impl Row for Applied {
    const HEADER: &'static [&'static str] = &["KIND", "NAME", "ACTION"];

    fn cells(&self) -> Vec<String> {
        vec![self.kind.clone(), self.name.clone(), format!("{:?}", self.action).to_lowercase()]
    }
}

impl Row for Availability {
    const HEADER: &'static [&'static str] = &["FEATURE", "NAME", "AVAILABLE", "REASON"];

    fn cells(&self) -> Vec<String> {
        let available = if self.available { "yes" } else { "no" };
        vec![self.feature.clone(), self.name.clone(), available.to_owned(), or_dash(Some(&self.reason))]
    }
}

impl Row for ForeignRule {
    const HEADER: &'static [&'static str] = &["CHAIN", "RULE"];

    fn cells(&self) -> Vec<String> {
        vec![self.chain.clone(), self.rule.clone()]
    }
}

impl Row for Setting {
    const HEADER: &'static [&'static str] = &["SETTING", "WAS", "NOW", "WHY"];

    fn cells(&self) -> Vec<String> {
        vec![self.name.clone(), self.was.clone(), self.now.clone(), self.why.clone()]
    }
}

impl Row for PoolStatus {
    const HEADER: &'static [&'static str] = &["SUBNET", "GATEWAY", "HELD", "CAPACITY"];

    fn cells(&self) -> Vec<String> {
        let gateway = or_dash(self.gateway.as_deref());
        vec![self.subnet.clone(), gateway, self.held.to_string(), self.capacity.to_string()]
    }
}

impl Row for NetworkAttachment {
    const HEADER: &'static [&'static str] = &["NAME", "INTERFACE", "IPS", "MAC", "GATEWAY", "DEFAULT-ROUTE"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.interface.clone(),
            joined(&self.ips),
            or_dash(self.mac.as_deref()),
            joined(&self.gateway),
            joined(&self.default_route),
        ]
    }
}

impl Row for Condition {
    const HEADER: &'static [&'static str] = &["TYPE", "STATUS", "MESSAGE"];

    fn cells(&self) -> Vec<String> {
        vec![self.kind.clone(), self.status.clone(), or_dash(Some(&self.message))]
    }
}
