//! The model as the API shows it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use weft_api::{
    API_VERSION, AttachmentDns, Condition, Counter, EndpointObject, EndpointSpec, EndpointStatus, Lease, LeaseStatus,
    Metadata, NetworkAttachment, NetworkObject, NetworkStatus, NodeObject, NodeStatus, PoolStatus,
};
use weft_dataplane::abi;
use weft_model::{Endpoint, Family, Grant, LeaseServer, LeaseTimes, Network};

use crate::attachment::leased::in_force;
use crate::defaults::has_default;
use crate::graph::HostFacts;
use crate::ledger::Ledger;
use crate::{attachment, devices};

/// A network with its state.
pub fn network(
    object: NetworkObject,
    network: &Network,
    ledger: &Ledger,
    facts: &HostFacts,
    conditions: &[Condition],
) -> NetworkObject {
    let bounded = |number: u128| i64::try_from(number).map_or(i64::MAX as u64, |number| number.unsigned_abs());
    let pools = network.pools.iter().map(|pool| {
        let usage = ledger.leases().usage(pool);
        PoolStatus {
            subnet: pool.subnet.to_string(),
            gateway: pool.gateway.map(|gateway| gateway.to_string()),
            held: bounded(usage.held),
            capacity: bounded(usage.capacity),
        }
    });
    let failed: Vec<&str> =
        conditions.iter().filter(|condition| condition.status == "False").map(|c| c.message.as_str()).collect();
    let ready = Condition {
        kind: "Ready".to_owned(),
        status: if failed.is_empty() { "True" } else { "False" }.to_owned(),
        message: failed.join("; "),
    };
    let status = NetworkStatus {
        attachment: network.attachment.to_string(),
        transport: network.transport.to_string(),
        pools: pools.collect(),
        mtu: facts.mtu_of(network),
        link: attachment::kind(network.attachment)
            .and_then(|kind| kind.bridge(network))
            .map(|(name, _)| name.to_string()),
        endpoints: ledger.live().filter(|endpoint| endpoint.network == network.name).count(),
        devices: devices::of_network(network, &facts.devices, ledger),
        conditions: vec![ready],
    };
    NetworkObject { status: Some(status), ..object }
}

/// An endpoint, with what came of the same call.
pub fn endpoint(endpoint: &Endpoint, ledger: &Ledger) -> EndpointObject {
    EndpointObject {
        api_version: API_VERSION.to_owned(),
        kind: "Endpoint".to_owned(),
        metadata: Metadata {
            name: endpoint.name.to_string(),
            namespace: Some(endpoint.namespace.to_string()),
            labels: endpoint.labels.clone(),
            ..Metadata::default()
        },
        spec: EndpointSpec {
            network: endpoint.network.to_string(),
            container_id: endpoint.key.container.to_string(),
            interface: endpoint.key.ifname.to_string(),
            aliases: endpoint.aliases.clone(),
            cni_name: endpoint.cni_name.clone(),
        },
        status: EndpointStatus {
            attachment: endpoint.attachment.to_string(),
            addresses: endpoint.addresses.iter().map(ToString::to_string).collect(),
            gateways: endpoint.gateways.iter().map(ToString::to_string).collect(),
            mac: endpoint.mac.map(|mac| mac.to_string()),
            mtu: endpoint.mtu,
            dns: endpoint.dns.clone(),
            limits: endpoint.limits,
            allowed_addresses: endpoint.allowed_addresses.iter().map(ToString::to_string).collect(),
            enforcement: endpoint.enforcement().map(|enforcement| enforcement.word().to_owned()),
            device: endpoint.loan.as_ref().map(|loan| loan.device.name.to_string()),
            pci: endpoint.loan.as_ref().and_then(|loan| Some(loan.device.pci.as_ref()?.to_string())),
            host_link: endpoint.attachment.has_host_link().then(|| endpoint.key.host_link().to_string()),
            netns: endpoint.netns.path.clone(),
            network_status: network_status(endpoint, ledger),
            leases: in_force(endpoint).grants().map(grant).collect(),
            born: endpoint.born_s,
        },
    }
}

/// One that the endpoint has lost is not shown.
fn grant(grant: &Grant) -> LeaseStatus {
    let LeaseTimes { granted_unix_s, renew_s, lifetime_s, .. } = grant.times;
    let after = |seconds: u32| granted_unix_s.saturating_add(seconds.into());
    LeaseStatus {
        address: grant.address.to_string(),
        server: match &grant.server {
            LeaseServer::Address(address) => address.to_string(),
            LeaseServer::Duid(duid) => duid.to_string(),
        },
        renews: lifetime_s.map(|_| after(renew_s)),
        expires: lifetime_s.map(after),
    }
}

/// The endpoints that one call made, if it made several.
fn network_status(endpoint: &Endpoint, ledger: &Ledger) -> Vec<NetworkAttachment> {
    if endpoint.cni_call.is_none() {
        return Vec::new();
    }
    let beside = ledger.of_container(&endpoint.key.container).map(|entry| &entry.endpoint);
    let of_call = beside.filter(|other| {
        (&other.cni_name, other.cni_ifname()) == (&endpoint.cni_name, endpoint.cni_ifname()) && other.cni_call.is_some()
    });
    let mut made: Vec<&Endpoint> = of_call.map(|other| &**other).collect();
    made.sort_by_key(|other| other.cni_position());
    if made.len() > 1 { made.into_iter().map(network_attachment).collect() } else { Vec::new() }
}

fn network_attachment(endpoint: &Endpoint) -> NetworkAttachment {
    let text = |ip: &IpAddr| ip.to_string();
    let is_first = endpoint.cni_position() == 0;
    let name = match (&endpoint.cni_call, &endpoint.cni_name) {
        (_, Some(name)) if is_first => name.clone(),
        (Some(call), _) if call.by_annotation => format!("{}/{}", endpoint.namespace, endpoint.network),
        _ => endpoint.network.to_string(),
    };
    let has_default = |gateway: &&IpAddr| has_default(&endpoint.routes, Family::of(**gateway));
    NetworkAttachment {
        name,
        interface: endpoint.key.ifname.to_string(),
        ips: endpoint.addresses.iter().map(|net| net.addr().to_string()).collect(),
        mac: endpoint.mac.map(|mac| mac.to_string()),
        mtu: endpoint.mtu,
        default: is_first,
        dns: AttachmentDns {
            nameservers: endpoint.dns.servers.iter().map(text).collect(),
            search: endpoint.dns.searches.clone(),
        },
        gateway: endpoint.gateways.iter().map(text).collect(),
        default_route: endpoint.gateways.iter().filter(has_default).map(text).collect(),
    }
}

/// The addresses of an endpoint.
pub fn leases(endpoint: &Endpoint) -> impl Iterator<Item = Lease> {
    endpoint.addresses.iter().map(|net| Lease {
        address: net.addr().to_string(),
        network: endpoint.network.to_string(),
        endpoint: endpoint.title(),
        container_id: endpoint.key.container.to_string(),
        interface: endpoint.key.ifname.to_string(),
    })
}

/// In place of an endpoint's title, where there is none.
const NOBODY: &str = "-";

/// What was counted of an endpoint's packets, by direction and reason.
pub fn counters(endpoint: &Endpoint, counted: &BTreeMap<(u16, u16), abi::counter>) -> Vec<Counter> {
    counters_at(&endpoint.title(), endpoint.key.ifname.as_str(), counted)
}

/// The same of those of nobody that weft knows, at a link of the host's that containers' links sit on.
pub fn strangers(parent: &str, counted: &BTreeMap<(u16, u16), abi::counter>) -> Vec<Counter> {
    counters_at(NOBODY, parent, counted)
}

fn counters_at(title: &str, interface: &str, counted: &BTreeMap<(u16, u16), abi::counter>) -> Vec<Counter> {
    let row = |((direction, reason), counter): (&(u16, u16), &abi::counter)| {
        let passed = u32::from(*reason) == abi::REASON_PASSED;
        let (word, meaning) = if passed { ("", "") } else { abi::REASONS.get(usize::from(*reason)).copied()? };
        Some(Counter {
            endpoint: title.to_owned(),
            interface: interface.to_owned(),
            direction: if u32::from(*direction) == abi::DIRECTION_OUT { "out" } else { "in" }.to_owned(),
            verdict: if passed { "passed" } else { "dropped" }.to_owned(),
            reason: word.to_owned(),
            meaning: meaning.to_owned(),
            packets: counter.packets,
            bytes: counter.bytes,
        })
    };
    counted.iter().filter_map(row).collect()
}

/// This host.
pub fn node(name: &str, ledger: &Ledger, facts: &HostFacts) -> NodeObject {
    let uplink = facts.uplink.as_ref();
    let addresses = uplink.into_iter().flat_map(|uplink| &uplink.addresses).map(|net| net.addr().to_string());
    NodeObject {
        api_version: API_VERSION.to_owned(),
        kind: "Node".to_owned(),
        metadata: Metadata { name: name.to_owned(), ..Metadata::default() },
        status: NodeStatus {
            addresses: addresses.collect(),
            uplink: uplink.map(|uplink| uplink.name.clone()),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            endpoints: ledger.live().count(),
        },
    }
}

/// A reference to endpoints, as people type it: `[NAMESPACE/]NAME`, a container id or its beginning, or an address,
/// each with `@INTERFACE` if one of several is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference<'a> {
    who: &'a str,
    ifname: Option<&'a str>,
}

/// A container id is told from a name by at least this many of its characters.
const ID_CHARACTERS_MIN: usize = 4;

impl<'a> Reference<'a> {
    /// Any text is a reference; most refer to nothing.
    pub fn parse(text: &'a str) -> Self {
        match text.rsplit_once('@') {
            Some((who, ifname)) => Self { who, ifname: Some(ifname) },
            None => Self { who: text, ifname: None },
        }
    }

    /// Whether `endpoint` is meant.
    pub fn matches(&self, endpoint: &Endpoint) -> bool {
        self.ifname.is_none_or(|ifname| endpoint.key.ifname.as_str() == ifname) && self.names(endpoint)
    }

    /// The one endpoint that is meant; else what all are called that may be.
    pub fn one(&self, ledger: &Ledger) -> Result<Arc<Endpoint>, Vec<String>> {
        self.first_if(ledger, |_, _| false)
    }

    /// Any endpoint of the one container that is meant; else what all are called that may be.
    pub fn one_container(&self, ledger: &Ledger) -> Result<Arc<Endpoint>, Vec<String>> {
        self.first_if(ledger, |first, other| other.key.container == first.key.container)
    }

    /// The first that is meant, if all others are as good.
    fn first_if(
        &self,
        ledger: &Ledger,
        is_as_good: impl Fn(&Endpoint, &Endpoint) -> bool,
    ) -> Result<Arc<Endpoint>, Vec<String>> {
        let found: Vec<_> = ledger.live().filter(|endpoint| self.matches(endpoint)).collect();
        match found.as_slice() {
            [first, others @ ..] if others.iter().all(|other| is_as_good(first, other)) => Ok(Arc::clone(first)),
            others => Err(others.iter().map(|e| format!("{}@{}", e.title(), e.key.ifname)).collect()),
        }
    }

    fn names(&self, endpoint: &Endpoint) -> bool {
        if let Ok(address) = self.who.parse::<std::net::IpAddr>() {
            return endpoint.addresses.iter().any(|net| net.addr() == address);
        }
        if let Some((namespace, name)) = self.who.split_once('/') {
            return endpoint.namespace.as_str() == namespace && endpoint.name.as_str() == name;
        }
        let by_id = self.who.len() >= ID_CHARACTERS_MIN && endpoint.key.container.as_str().starts_with(self.who);
        by_id || endpoint.key.container.as_str() == self.who || endpoint.name.as_str() == self.who
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sample() -> Endpoint {
        serde_json::from_value(json!({
            "key": {"container": "20cc94cc30ad", "ifname": "eth1"},
            "network": "app", "namespace": "shop",
            "name": "web", "netns": {"path": "/x", "device": 4, "inode": 5}, "attachment": "routed",
            "addresses": ["10.1.0.5/32", "fd64::5/128"], "mtu": 1450, "born_s": 0,
        }))
        .unwrap()
    }

    #[test]
    fn references_are_names_ids_and_addresses() {
        let meant = "web shop/web 20cc 20cc94cc30ad 10.1.0.5 fd64:0::5 web@eth1 10.1.0.5@eth1";
        for text in meant.split(' ') {
            assert!(Reference::parse(text).matches(&sample()), "{text}");
        }
        for text in ["", "we", "other/web", "20c", "10.1.0.6", "web@eth0", "shop/", "/web"] {
            assert!(!Reference::parse(text).matches(&sample()), "{text}");
        }
    }
}
