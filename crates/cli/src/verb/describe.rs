//! `weft describe`: all there is to know about an object, as text.

use anyhow::Result;
use weft_api::{
    EndpointObject, EndpointSpec, EndpointStatus, LeaseStatus, Metadata, NetworkObject, NetworkStatus, NodeObject,
    NodeStatus, ServiceObject,
};
use weft_model::{
    DeviceSpec, Dns, Limits, MasqueradeSpec, MtuSpec, NetworkSpec, PolicyMode, PortValue, RouteSpec, ServicePortSpec,
    VfSpec,
};

use crate::resource::Resource;
use crate::session::Session;
use crate::sheet::Sheet;
use crate::{date, fetch};

/// Arguments of `weft describe`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What it is
    #[arg(value_name = "KIND")]
    resource: Resource,
    /// Which one; an endpoint is [NAMESPACE/]NAME, a container id or 4 and more of its first characters, or an address,
    /// and @INTERFACE picks one of several
    name: String,
}

impl Args {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<()> {
        let client = session.client.clone();
        match self.resource {
            Resource::Networks => session.show_text(&fetch::network(&client, &self.name)?, network),
            Resource::Endpoints => session.show_text(&fetch::endpoint(&client, &self.name, None)?, endpoint),
            Resource::NetworkPolicies => session.show_text(&fetch::network_policy(&client, &self.name, None)?, as_yaml),
            Resource::Services => session.show_text(&fetch::service(&client, &self.name, None)?, service),
            Resource::EndpointSlices => session.show_text(&fetch::slice(&client, &self.name, None)?, as_yaml),
            Resource::ClusterNetworkPolicies => {
                session.show_text(&fetch::cluster_policy(&client, &self.name)?, as_yaml)
            }
            Resource::Namespaces => session.show_text(&fetch::namespace(&client, &self.name)?, as_yaml),
            Resource::Nodes => session.show_text(&fetch::node(&client, &self.name)?, node),
        }
    }
}

/// What Kubernetes has no other words for.
fn as_yaml<T: serde::Serialize>(object: &T) -> String {
    serde_saphyr::to_string(object).unwrap_or_else(|error| format!("cannot be shown: {error}\n"))
}

/// Of a service: where it is, what it is by, and who serves it.
pub(super) fn service(object: &ServiceObject) -> String {
    let ServiceObject { metadata, spec, status, .. } = object;
    let selector: Vec<_> = spec.selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let port = |port: &ServicePortSpec| {
        let target = match &port.target_port {
            Some(PortValue::Number(number)) => number.to_string(),
            Some(PortValue::Name(name)) => name.clone(),
            None => port.port.to_string(),
        };
        let name = port.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
        format!("{}/{} -> {target}{name}", port.port, port.protocol.as_deref().unwrap_or("TCP"))
    };
    let status = status.clone().unwrap_or_default();
    Sheet::default()
        .field("Service", metadata.title())
        .list("Addresses", &spec.cluster_ips)
        .list("Ports", &spec.ports.iter().map(port).collect::<Vec<_>>())
        .list("Selector", &selector)
        .optional("Session affinity", spec.session_affinity.as_ref())
        .optional("Internal traffic", spec.internal_traffic_policy.as_ref())
        .field("Connections", status.connections)
        .field("Refused", status.refused)
        .section("Backends", &status.backends)
        .into_text()
}

// Patterns are exhaustive where they can be: a field that is added to an object must find its place here.

fn network(object: &NetworkObject) -> String {
    let NetworkObject { api_version: _, kind: _, metadata, spec, status } = object;
    let sheet = self::metadata(metadata).optional("Mode", spec.mode.as_ref());
    let sheet = match status {
        Some(status) => state(sheet, status),
        None => sheet,
    };
    wishes(sheet, spec).into_text()
}

fn state(sheet: Sheet, status: &NetworkStatus) -> Sheet {
    let NetworkStatus { attachment, transport, pools, mtu, link, endpoints, devices, conditions } = status;
    sheet
        .field("Attachment", attachment)
        .field("Transport", transport)
        .field("MTU", mtu)
        .optional("Link", link.as_ref())
        .field("Endpoints", endpoints)
        .section("Pools", pools)
        .section("Devices", devices)
        .section("Conditions", conditions)
}

/// What was wished beyond what the state shows.
fn wishes(sheet: Sheet, spec: &NetworkSpec) -> Sheet {
    let NetworkSpec { mode: _, attachment: _, transport: _, pools: _, gateways: _, families, ranges, exclude, .. } =
        spec;
    let NetworkSpec { device, vf, .. } = spec;
    let NetworkSpec { mtu, parent, routes, internal, isolated, peers, allowed_addresses, masquerade, dns, .. } = spec;
    let policies = spec.policy_mode.filter(|mode| *mode == PolicyMode::Audit);
    let families: Vec<_> = families.iter().map(|family| format!("{family:?}")).collect();
    let routes: Vec<_> = routes.iter().map(route).collect();
    let sheet = sheet
        .list("Families", &families)
        .list("Ranges", ranges)
        .list("Excluded", exclude)
        .optional("Wished MTU", mtu.as_ref().map(self::mtu))
        .optional("Parent", parent.as_ref())
        .optional("Wished devices", device.as_ref().map(self::device))
        .optional("Virtual functions", vf.as_ref().map(self::vf))
        .list("Routes", &routes)
        .field("Internal", yes(*internal))
        .field("Isolated", yes(*isolated))
        .optional("Policies", policies.map(|_| "in audit: what they forbid passes"))
        .list("Peers", peers)
        .list("Allowed addresses", allowed_addresses)
        .optional("Masquerade", masquerade.as_ref().map(self::masquerade));
    resolver(sheet, dns)
}

fn resolver(sheet: Sheet, dns: &Dns) -> Sheet {
    let Dns { servers, searches, options } = dns;
    sheet.list("DNS servers", servers).list("DNS searches", searches).list("DNS options", options)
}

fn endpoint(object: &EndpointObject) -> String {
    let EndpointObject { api_version: _, kind: _, metadata, spec, status } = object;
    let EndpointSpec { network, container_id, interface, aliases, cni_name } = spec;
    let EndpointStatus { attachment, addresses, gateways, mac, mtu, dns, limits, allowed_addresses, .. } = status;
    let EndpointStatus { enforcement, device, pci, host_link, netns, network_status, leases, born, .. } = status;
    let leases: Vec<String> = leases.iter().map(lease).collect();
    let Limits { ingress, egress } = limits;
    let sheet = self::metadata(metadata)
        .field("Network", network)
        .field("Container", container_id)
        .field("Interface", interface)
        .list("Aliases", aliases)
        .optional("CNI name", cni_name.as_ref())
        .field("Attachment", attachment)
        .list("Addresses", addresses)
        .list("Allowed addresses", allowed_addresses)
        .list("Gateways", gateways)
        .list("Leases", &leases)
        .optional("MAC", mac.as_ref())
        .field("MTU", mtu);
    resolver(sheet, dns)
        .optional("Ingress limit", ingress.as_ref())
        .optional("Egress limit", egress.as_ref())
        .optional("Enforcement", enforcement.as_ref())
        .optional("Device", device.as_ref())
        .optional("PCI address", pci.as_ref())
        .optional("Host link", host_link.as_ref())
        .field("Namespace file", netns)
        .field("Born", date::utc(*born))
        .section("Network status", network_status)
        .into_text()
}

fn lease(lease: &LeaseStatus) -> String {
    let LeaseStatus { address, server, renews, expires } = lease;
    match (renews, expires) {
        (Some(renews), Some(expires)) => {
            format!("{address} of {server} (renews {}, expires {})", date::utc(*renews), date::utc(*expires))
        }
        _ => format!("{address} of {server} (without end)"),
    }
}

fn node(object: &NodeObject) -> String {
    let NodeObject { api_version: _, kind: _, metadata, status } = object;
    let NodeStatus { addresses, uplink, kernel, version, endpoints } = status;
    self::metadata(metadata)
        .list("Addresses", addresses)
        .optional("Uplink", uplink.as_ref())
        .field("Kernel", kernel)
        .field("weft", version)
        .field("Endpoints", endpoints)
        .into_text()
}

fn metadata(metadata: &Metadata) -> Sheet {
    let Metadata { name, namespace, labels, annotations } = metadata;
    Sheet::default()
        .field("Name", name)
        .optional("Namespace", namespace.as_ref())
        .pairs("Labels", labels)
        .pairs("Annotations", annotations)
}

fn yes(value: bool) -> &'static str {
    if value { "yes" } else { "" }
}

fn mtu(spec: &MtuSpec) -> String {
    match spec {
        MtuSpec::Bytes(bytes) => bytes.to_string(),
        MtuSpec::Word(word) => word.clone(),
    }
}

fn route(spec: &RouteSpec) -> String {
    match &spec.via {
        Some(via) => format!("{} via {via}", spec.to),
        None => spec.to.clone(),
    }
}

fn device(spec: &DeviceSpec) -> String {
    let DeviceSpec { names, macs, pci, driver, pf } = spec;
    let any = [names, macs, pci].into_iter().flatten().cloned().collect::<Vec<_>>().join(" or ");
    let parts = [("", Some(any)), ("driver ", driver.clone()), ("of ", pf.clone())];
    let said = parts.into_iter().filter_map(|(word, part)| Some(format!("{word}{}", part.filter(|p| !p.is_empty())?)));
    said.collect::<Vec<_>>().join(", ")
}

fn vf(spec: &VfSpec) -> String {
    let VfSpec { spoof_check, trust, rate, vlan } = spec;
    let switch = |word: &str, is_on: &bool| format!("{word} {}", if *is_on { "on" } else { "off" });
    let parts = [
        spoof_check.as_ref().map(|is_on| switch("spoof check", is_on)),
        trust.as_ref().map(|is_on| switch("trust", is_on)),
        rate.map(|rate| format!("{rate} Mbit/s")),
        vlan.map(|vlan| format!("VLAN {vlan}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn masquerade(spec: &MasqueradeSpec) -> String {
    match spec {
        MasqueradeSpec::Switch(true) => "yes".to_owned(),
        MasqueradeSpec::Switch(false) => "no".to_owned(),
        MasqueradeSpec::Details { except, source } => {
            let part = |word: &str, list: &[String]| {
                if list.is_empty() { String::new() } else { format!(", {word} {}", list.join(" ")) }
            };
            format!("yes{}{}", part("except towards", except), part("as", source))
        }
    }
}
