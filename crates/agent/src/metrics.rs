//! The agent's state as Prometheus reads it. Pure: from what was read to text.

use std::collections::BTreeMap;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use weft_api::{Counter as Counted, Object};
use weft_dataplane::{FLOWS_MAX, Unseen};
use weft_model::{Network, NetworkName};

use crate::ledger::Ledger;
use crate::policies::Decided;
use crate::services::Standing;

/// The content type of what [`text`] gives (OpenMetrics, section 4.1).
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPackets {
    network: String,
    endpoint: String,
    interface: String,
    direction: String,
    verdict: String,
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfNetwork {
    network: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPool {
    network: String,
    pool: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfBuild {
    version: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPolicy {
    kind: &'static str,
    policy: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfService {
    service: String,
}

/// What policies have decided.
#[derive(Debug, Clone, Default)]
pub struct Decisions {
    /// By each of them.
    pub decided: Vec<(Object, Decided)>,
    /// How often there was no room for more.
    pub refusals: u64,
}

/// What weft takes of the host's memory.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// Of the agent, in bytes.
    pub resident_bytes: u64,
    /// Of the kernel for the programs' maps, in bytes.
    pub map_bytes: u64,
}

/// What is known of connections.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tracking {
    /// Those that both ends spoke on and that are not over, when they were looked at last.
    pub living: usize,
    /// What the programs had to leave out.
    pub unseen: Unseen,
}

/// Everything, in the OpenMetrics text format. `counted` has what was counted at each endpoint's door, with its
/// network; without one, what was counted of others.
pub fn text(
    networks: &BTreeMap<NetworkName, Network>,
    ledger: &Ledger,
    counted: &[(String, Vec<Counted>)],
    (decisions, led): (&Decisions, &[(Object, Standing)]),
    tracking: Tracking,
    memory: Memory,
) -> String {
    let mut registry = Registry::with_prefix("weft");
    build(&mut registry, memory);
    connections(&mut registry, tracking);
    leases(&mut registry, networks, ledger);
    packets(&mut registry, counted);
    policies(&mut registry, decisions);
    services(&mut registry, led);
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = encode(&mut text, &registry);
    text
}

fn build(registry: &mut Registry, memory_of: Memory) {
    let info = Family::<OfBuild, Gauge>::default();
    info.get_or_create(&OfBuild { version: env!("CARGO_PKG_VERSION") }).set(1);
    registry.register("build_info", "Version of weftd", info);
    let memory: Gauge = Gauge::default();
    memory.set(bounded(memory_of.resident_bytes.into()));
    registry.register_with_unit("resident_memory", "Memory of weftd", Unit::Bytes, memory);
    let maps: Gauge = Gauge::default();
    maps.set(bounded(memory_of.map_bytes.into()));
    registry.register_with_unit("map_memory", "Memory of the kernel for the programs' maps", Unit::Bytes, maps);
}

fn connections(registry: &mut Registry, tracking: Tracking) {
    let (living, capacity, untold, uncounted): (Gauge, Gauge, Counter, Counter) = Default::default();
    living.set(bounded(tracking.living as u128));
    capacity.set(bounded(FLOWS_MAX as u128));
    untold.inc_by(tracking.unseen.untold);
    uncounted.inc_by(tracking.unseen.uncounted);
    registry.register("connections", "Connections that both ends spoke on", living);
    registry.register("connections_capacity", "Connections of which none is pushed out by others", capacity);
    registry.register("flows_untold", "Flows that nobody was told of: too many at once", untold);
    registry.register("packets_uncounted", "Packets that were not counted: no room for a counter", uncounted);
}

fn leases(registry: &mut Registry, networks: &BTreeMap<NetworkName, Network>, ledger: &Ledger) {
    let (endpoints, held, capacity) =
        (Family::<OfNetwork, Gauge>::default(), Family::<OfPool, Gauge>::default(), Family::<OfPool, Gauge>::default());
    for network in networks.values() {
        let name = network.name.to_string();
        let born = ledger.live().filter(|endpoint| endpoint.network == network.name).count();
        endpoints.get_or_create(&OfNetwork { network: name.clone() }).set(bounded(born as u128));
        for pool in &network.pools {
            let of_pool = OfPool { network: name.clone(), pool: pool.subnet.to_string() };
            let usage = ledger.leases().usage(pool);
            held.get_or_create(&of_pool).set(bounded(usage.held));
            capacity.get_or_create(&of_pool).set(bounded(usage.capacity));
        }
    }
    registry.register("endpoints", "Endpoints of a network", endpoints);
    registry.register("addresses_held", "Leased addresses of a pool", held);
    registry.register("addresses_capacity", "Addresses that a pool can lease", capacity);
}

fn packets(registry: &mut Registry, counted: &[(String, Vec<Counted>)]) {
    let (packets, bytes) = (Family::<OfPackets, Counter>::default(), Family::<OfPackets, Counter>::default());
    for (network, counters) in counted {
        for counter in counters {
            let labels = OfPackets {
                network: network.clone(),
                endpoint: counter.endpoint.clone(),
                interface: counter.interface.clone(),
                direction: counter.direction.clone(),
                verdict: counter.verdict.clone(),
                reason: counter.reason.clone(),
            };
            packets.get_or_create(&labels).inc_by(counter.packets);
            bytes.get_or_create(&labels).inc_by(counter.bytes);
        }
    }
    registry.register("packets", "Packets at endpoints' doors, since their birth", packets);
    registry.register_with_unit("packets", "Bytes at endpoints' doors, since their birth", Unit::Bytes, bytes);
}

fn policies(registry: &mut Registry, decisions: &Decisions) {
    let (accepted, denied, audited) = <(Family<OfPolicy, Counter>, Family<_, Counter>, Family<_, Counter>)>::default();
    for (object, decided) in decisions.decided.iter().filter(|(object, _)| object.is_policy()) {
        let labels = OfPolicy { kind: object.kind(), policy: object.name() };
        accepted.get_or_create(&labels).inc_by(decided.accepted);
        denied.get_or_create(&labels).inc_by(decided.denied);
        audited.get_or_create(&labels).inc_by(decided.audited);
    }
    let refusals: Counter = Counter::default();
    refusals.inc_by(decisions.refusals);
    registry.register("policy_connections_accepted", "Connections that a policy's rules let begin", accepted);
    registry.register("policy_packets_denied", "Packets that a policy's rules dropped", denied);
    registry.register("policy_packets_audited", "Packets that a policy's rules would drop, but for audit", audited);
    registry.register("policy_refusals", "Changes and births for which policies' maps had no room", refusals);
}

fn services(registry: &mut Registry, led: &[(Object, Standing)]) {
    let (connections, refused) = <(Family<OfService, Counter>, Family<_, Counter>)>::default();
    let backends = Family::<OfService, Gauge>::default();
    for (object, standing) in led.iter().filter(|(object, _)| matches!(object, Object::Service(_))) {
        let labels = OfService { service: object.name() };
        connections.get_or_create(&labels).inc_by(standing.connections);
        refused.get_or_create(&labels).inc_by(standing.refused);
        let ready = standing.served.iter().filter(|served| served.is_ready).count();
        backends.get_or_create(&labels).set(bounded(ready as u128));
    }
    registry.register("service_connections", "Connections that a service led to a backend", connections);
    registry.register("service_connections_refused", "Connections to a service that nobody served", refused);
    registry.register("service_backends", "Ready backends of a service, for each of its ports and families", backends);
}

/// Pools of IPv6 hold more than any counter.
fn bounded(number: u128) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
