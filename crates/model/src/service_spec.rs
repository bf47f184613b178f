//! Services as people and Kubernetes write them: `v1 Service` and `discovery.k8s.io/v1 EndpointSlice`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::invalid::{Invalid, InvalidFields};
use crate::name::Labels;
use crate::policy_spec::PortValue;
use crate::pool::Family;
use crate::protocol::Protocol;
use crate::selector::check_labels;
use crate::service::{PortTarget, Service, ServiceKey, ServicePort, Slice, SliceEndpoint, SlicePort, TrafficPolicy};

/// Of a headless service: `clusterIP`.
pub const NO_ADDRESS: &str = "None";
/// How long a client stays with its backend, if nothing else is said, in seconds; and at most.
const AFFINITY_S: u32 = 10_800;
const AFFINITY_MAX_S: u32 = 86_400;
/// Endpoints of one slice, as upstream has it.
const SLICE_ENDPOINTS_MAX: usize = 1000;

/// `spec` of a `Service`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ServiceSpec {
    /// `ClusterIP`, also if absent.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Labels of the endpoints that serve it; those of its slices alone if it names none.
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub selector: Labels,
    /// Its ports.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<ServicePortSpec>,
    /// Its first address; `None` if it is to have none. Chosen from the agent's `service-pools` if absent.
    #[serde(rename = "clusterIP", skip_serializing_if = "Option::is_none")]
    pub cluster_ip: Option<String>,
    /// Its addresses, at most one of each family.
    #[serde(rename = "clusterIPs", skip_serializing_if = "Vec::is_empty")]
    pub cluster_ips: Vec<String>,
    /// `IPv4`, `IPv6`: of these families its addresses are chosen, in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ip_families: Vec<String>,
    /// `SingleStack`, `PreferDualStack` (if absent) or `RequireDualStack`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_family_policy: Option<String>,
    /// `Cluster` (if absent), or `Local`: only who is on the client's host serves it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internal_traffic_policy: Option<String>,
    /// `None` (if absent), or `ClientIP`: a client stays with its backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_affinity: Option<String>,
    /// For how long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_affinity_config: Option<AffinitySpec>,
    /// Who is not ready is named, too. Endpoints of weft's are always ready.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub publish_not_ready_addresses: bool,
    /// Taken, and heeded by whoever writes slices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic_distribution: Option<String>,
}

/// How long a client stays with its backend.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AffinitySpec {
    /// Of `ClientIP`.
    #[serde(rename = "clientIP", skip_serializing_if = "Option::is_none")]
    pub client_ip: Option<ClientAffinitySpec>,
}

/// The same, of `ClientIP`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ClientAffinitySpec {
    /// After its last connection, 1 to 86400; 10800 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u32>,
}

/// One port of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ServicePortSpec {
    /// Needed where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `TCP` (if absent) or `UDP`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// The port of its addresses.
    pub port: u32,
    /// The port of those who serve it, by number or by the name that they have for it; the same if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_port: Option<PortValue>,
    /// Kept, not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_protocol: Option<String>,
}

/// One who serves, in a slice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SliceEndpointSpec {
    /// Where: the first one counts.
    pub addresses: Vec<String>,
    /// Whether it may be sent to.
    pub conditions: SliceConditions,
    /// The host that it is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
}

/// Whether one may be sent to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SliceConditions {
    /// It may be sent new connections; yes if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
    /// It answers; as `ready` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serving: Option<bool>,
    /// It is about to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminating: Option<bool>,
}

/// One port, in a slice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SlicePortSpec {
    /// That of the service's port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `TCP` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// The port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u32>,
    /// Kept, not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_protocol: Option<String>,
}

/// What is wrong with one object.
struct Faults {
    object: String,
    found: Vec<Invalid>,
}

impl Faults {
    fn add(&mut self, field: impl Into<String>, value: impl Into<String>, remedy: impl Into<String>) {
        let object = self.object.clone();
        self.found.push(Invalid { object, field: field.into(), value: value.into(), remedy: remedy.into() });
    }

    fn address(&mut self, field: &str, text: &str) -> Option<IpAddr> {
        let address = text.parse::<IpAddr>().ok();
        if address.is_none() {
            self.add(field, text, "write an IP address");
        }
        address.filter(|address| {
            let fits = !(address.is_unspecified() || address.is_loopback() || address.is_multicast());
            if !fits {
                self.add(field, text, "it is the address of no single host: write another");
            }
            fits
        })
    }

    fn port(&mut self, field: &str, number: u32) -> u16 {
        u16::try_from(number).ok().filter(|number| *number > 0).unwrap_or_else(|| {
            self.add(field, number.to_string(), "use a port from 1 to 65535");
            1
        })
    }

    fn protocol(&mut self, field: &str, text: Option<&str>) -> Protocol {
        match text.unwrap_or("TCP") {
            "TCP" => Protocol::TCP,
            "UDP" => Protocol::UDP,
            "SCTP" => Protocol::SCTP,
            other => {
                self.add(field, other, "use TCP, UDP or SCTP");
                Protocol::TCP
            }
        }
    }

    /// One of some words; the first if absent.
    fn word<T: Copy>(&mut self, field: &str, text: Option<&str>, words: &[(&str, T)]) -> T {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return words[0].1 };
        let found = words.iter().find(|(word, _)| *word == text);
        found.map_or_else(
            || {
                let known = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(" or ");
                self.add(field, text, format!("use {known}"));
                words[0].1
            },
            |(_, meaning)| *meaning,
        )
    }

    fn into_result<T>(self, value: T) -> Result<T, InvalidFields> {
        if self.found.is_empty() { Ok(value) } else { Err(InvalidFields(self.found)) }
    }
}

impl ServiceSpec {
    /// What it means, as the service of that name. Its addresses are those that it names.
    pub fn resolve(&self, key: ServiceKey) -> Result<Service, InvalidFields> {
        let mut faults = Faults { object: format!("Service {:?}", key.to_string()), found: Vec::new() };
        let object = faults.object.clone();
        faults.word("spec.type", self.kind.as_deref(), &[("ClusterIP", ())]);
        if let Err(InvalidFields(found)) = check_labels(&object, "spec.selector", &self.selector) {
            faults.found.extend(found);
        }
        let addresses = self.addresses(&mut faults);
        if self.ports.is_empty() && !self.is_headless() {
            faults.add("spec.ports", "", "list at least one");
        }
        let ports = self.ports(&mut faults);
        self.families(&mut faults);
        let policies = [("Cluster", TrafficPolicy::Cluster), ("Local", TrafficPolicy::Local)];
        let internal_policy =
            faults.word("spec.internalTrafficPolicy", self.internal_traffic_policy.as_deref(), &policies);
        let affinity_s = self.affinity(&mut faults);
        let selector = self.selector.clone();
        faults.into_result(Service { key, addresses, selector, ports, affinity_s, internal_policy })
    }

    /// Whether it is to have no address.
    pub fn is_headless(&self) -> bool {
        self.cluster_ip.as_deref() == Some(NO_ADDRESS) || self.cluster_ips.iter().any(|text| text == NO_ADDRESS)
    }

    /// The families that its addresses are to be chosen of, and whether it needs both.
    pub fn wanted_families(&self) -> (Vec<Family>, bool) {
        let named = self.ip_families.iter().filter_map(|text| match text.as_str() {
            "IPv4" => Some(Family::IPv4),
            "IPv6" => Some(Family::IPv6),
            _ => None,
        });
        let mut families: Vec<Family> = named.collect();
        let policy = self.ip_family_policy.as_deref().unwrap_or("PreferDualStack");
        if policy == "SingleStack" {
            families.truncate(1);
            return (if families.is_empty() { vec![Family::IPv4] } else { families }, false);
        }
        families.extend(Family::ALL.into_iter().filter(|family| !families.contains(family)).collect::<Vec<_>>());
        (families, policy == "RequireDualStack")
    }

    fn addresses(&self, faults: &mut Faults) -> Vec<IpAddr> {
        if self.is_headless() {
            return Vec::new();
        }
        let first =
            self.cluster_ip.iter().filter(|text| !text.is_empty()).map(|text| ("spec.clusterIP".to_owned(), text));
        let listed = self.cluster_ips.iter().enumerate().map(|(n, text)| (format!("spec.clusterIPs[{n}]"), text));
        let mut addresses: Vec<IpAddr> = Vec::new();
        for (field, text) in first.chain(listed) {
            let Some(address) = faults.address(&field, text) else { continue };
            if addresses.contains(&address) {
                continue;
            }
            if addresses.iter().any(|other| other.is_ipv4() == address.is_ipv4()) {
                faults.add(field, text, "it has another address of that family: name one of each at most");
                continue;
            }
            addresses.push(address);
        }
        addresses
    }

    fn ports(&self, faults: &mut Faults) -> Vec<ServicePort> {
        let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
        let mut ports = Vec::new();
        for (place, port) in self.ports.iter().enumerate() {
            let field = format!("spec.ports[{place}]");
            let name = port.name.clone().unwrap_or_default();
            if name.is_empty() && self.ports.len() > 1 {
                faults.add(format!("{field}.name"), "", "name each of several ports");
            } else if !names.insert(name.clone()) {
                faults.add(format!("{field}.name"), &name, "another port has this name");
            }
            let protocol = faults.protocol(&format!("{field}.protocol"), port.protocol.as_deref());
            if protocol == Protocol::SCTP {
                let remedy = "sockets of this protocol cannot be led to services: use TCP or UDP";
                faults.add(format!("{field}.protocol"), "SCTP", remedy);
            }
            let number = faults.port(&format!("{field}.port"), port.port);
            if !numbers.insert((protocol, number)) {
                faults.add(format!("{field}.port"), number.to_string(), "another one has this port and protocol");
            }
            let target = match &port.target_port {
                None | Some(PortValue::Number(0)) => PortTarget::Number(number),
                Some(PortValue::Number(target)) => {
                    PortTarget::Number(faults.port(&format!("{field}.targetPort"), *target))
                }
                Some(PortValue::Name(name)) if name.is_empty() => PortTarget::Number(number),
                Some(PortValue::Name(name)) => PortTarget::Named(name.clone()),
            };
            ports.push(ServicePort { name, protocol, number, target });
        }
        ports
    }

    fn families(&self, faults: &mut Faults) {
        for (place, text) in self.ip_families.iter().enumerate() {
            faults.word(&format!("spec.ipFamilies[{place}]"), Some(text), &[("IPv4", ()), ("IPv6", ())]);
        }
        let known = [("PreferDualStack", ()), ("SingleStack", ()), ("RequireDualStack", ())];
        faults.word("spec.ipFamilyPolicy", self.ip_family_policy.as_deref(), &known);
    }

    fn affinity(&self, faults: &mut Faults) -> Option<u32> {
        let wanted = faults.word(
            "spec.sessionAffinity",
            self.session_affinity.as_deref(),
            &[(NO_ADDRESS, false), ("ClientIP", true)],
        );
        let config = self.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
        let seconds = config.and_then(|config| config.timeout_seconds).unwrap_or(AFFINITY_S);
        if !(1..=AFFINITY_MAX_S).contains(&seconds) {
            let field = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
            faults.add(field, seconds.to_string(), format!("use 1 to {AFFINITY_MAX_S} seconds"));
        }
        wanted.then_some(seconds)
    }
}

/// What a slice means: of `service`, if it is somebody's.
pub fn resolve_slice(
    key: ServiceKey,
    service: Option<&str>,
    address_type: &str,
    endpoints: &[SliceEndpointSpec],
    ports: &[SlicePortSpec],
) -> Result<Slice, InvalidFields> {
    let mut faults = Faults { object: format!("EndpointSlice {:?}", key.to_string()), found: Vec::new() };
    let is_ipv4 = faults.word("addressType", Some(address_type), &[("IPv4", true), ("IPv6", false)]);
    if endpoints.len() > SLICE_ENDPOINTS_MAX {
        let remedy = format!("a slice has {SLICE_ENDPOINTS_MAX} endpoints at most: write several");
        faults.add("endpoints", endpoints.len().to_string(), remedy);
    }
    let mut found = Vec::new();
    for (place, endpoint) in endpoints.iter().enumerate() {
        let field = format!("endpoints[{place}].addresses");
        let Some(text) = endpoint.addresses.first() else {
            faults.add(field, "", "name one");
            continue;
        };
        let Some(address) = faults.address(&format!("{field}[0]"), text) else { continue };
        if address.is_ipv4() != is_ipv4 {
            faults.add(format!("{field}[0]"), text, format!("it is none of addressType {address_type}"));
        }
        let SliceConditions { ready, serving, terminating } = endpoint.conditions;
        let is_ready = ready.unwrap_or(true);
        found.push(SliceEndpoint {
            address,
            is_ready,
            is_serving: serving.unwrap_or(is_ready),
            is_terminating: terminating.unwrap_or(false),
            node: endpoint.node_name.clone(),
        });
    }
    let mut known = Vec::new();
    for (place, port) in ports.iter().enumerate() {
        let field = format!("ports[{place}]");
        known.push(SlicePort {
            name: port.name.clone().unwrap_or_default(),
            protocol: faults.protocol(&format!("{field}.protocol"), port.protocol.as_deref()),
            number: port.port.map(|number| faults.port(&format!("{field}.port"), number)),
        });
    }
    faults.into_result(Slice { key, service: service.map(str::to_owned), endpoints: found, ports: known })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> ServiceKey {
        ServiceKey { namespace: "shop".to_owned(), name: "web".to_owned() }
    }

    fn spec(text: &str) -> ServiceSpec {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_is_left_out_has_its_usual_meaning() {
        let service = spec(r#"{"selector":{"app":"web"},"ports":[{"port":80}]}"#).resolve(key()).unwrap();
        let port =
            ServicePort { name: String::new(), protocol: Protocol::TCP, number: 80, target: PortTarget::Number(80) };
        assert_eq!((service.ports, service.affinity_s, service.addresses), (vec![port], None, Vec::new()));
        let text = r#"{"clusterIP":"10.9.0.1","clusterIPs":["10.9.0.1","fd09::1"],"sessionAffinity":"ClientIP",
            "ports":[{"name":"dns","protocol":"UDP","port":53,"targetPort":"dns"}],"ipFamilyPolicy":"SingleStack"}"#;
        let service = spec(text).resolve(key()).unwrap();
        assert_eq!(service.addresses, ["10.9.0.1".parse::<IpAddr>().unwrap(), "fd09::1".parse().unwrap()]);
        assert_eq!(
            (service.affinity_s, &service.ports[0].target),
            (Some(10_800), &PortTarget::Named("dns".to_owned()))
        );
        assert_eq!(spec("{}").wanted_families(), (vec![Family::IPv4, Family::IPv6], false));
        assert_eq!(spec(r#"{"ipFamilyPolicy":"SingleStack"}"#).wanted_families(), (vec![Family::IPv4], false));
        let (families, needs_both) =
            spec(r#"{"ipFamilies":["IPv6"],"ipFamilyPolicy":"RequireDualStack"}"#).wanted_families();
        assert_eq!((families, needs_both), (vec![Family::IPv6, Family::IPv4], true));
    }

    #[test]
    fn every_fault_is_told_with_its_field() {
        let text = r#"{"type":"NodePort","clusterIPs":["10.9.0.1","10.9.0.2","x"],"sessionAffinity":"Cookie",
            "internalTrafficPolicy":"Near","ipFamilies":["IPv5"],"selector":{"-":"x"},
            "ports":[{"port":0},{"name":"b","port":1},
                     {"name":"b","port":70000,"protocol":"ICMP","targetPort":70000}]}"#;
        let InvalidFields(found) = spec(text).resolve(key()).unwrap_err();
        let fields: BTreeSet<_> = found.iter().map(|invalid| invalid.field.as_str()).collect();
        for expected in [
            "spec.type",
            "spec.clusterIPs[1]",
            "spec.clusterIPs[2]",
            "spec.sessionAffinity",
            "spec.internalTrafficPolicy",
            "spec.ipFamilies[0]",
            "spec.selector",
            "spec.ports[0].name",
            "spec.ports[0].port",
            "spec.ports[2].name",
            "spec.ports[2].port",
            "spec.ports[2].protocol",
            "spec.ports[2].targetPort",
        ] {
            assert!(fields.contains(expected), "{expected}: {fields:?}");
        }
        let endpoint = |address: &str| SliceEndpointSpec { addresses: vec![address.to_owned()], ..Default::default() };
        let endpoints = [endpoint("fd00::1"), SliceEndpointSpec::default(), endpoint("x")];
        let InvalidFields(found) = resolve_slice(key(), None, "IPv4", &endpoints, &[]).unwrap_err();
        let fields: Vec<_> = found.iter().map(|invalid| invalid.field.as_str()).collect();
        assert_eq!(fields, ["endpoints[0].addresses[0]", "endpoints[1].addresses", "endpoints[2].addresses[0]"]);
    }

    #[test]
    fn conditions_of_slices_follow_from_each_other() {
        let endpoint = |ready, serving, terminating| SliceEndpointSpec {
            addresses: vec!["10.1.0.9".to_owned()],
            conditions: SliceConditions { ready, serving, terminating },
            node_name: None,
        };
        let endpoints = [
            endpoint(None, None, None),
            endpoint(Some(false), Some(true), Some(true)),
            endpoint(Some(false), None, None),
        ];
        let slice = resolve_slice(key(), Some("web"), "IPv4", &endpoints, &[]).unwrap();
        let of = |endpoint: &SliceEndpoint| (endpoint.is_ready, endpoint.is_serving, endpoint.is_terminating);
        let found: Vec<_> = slice.endpoints.iter().map(of).collect();
        assert_eq!(found, [(true, true, false), (false, true, true), (false, false, false)]);
    }
}
