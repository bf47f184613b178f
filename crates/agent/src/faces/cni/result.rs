//! An endpoint as a CNI result, in the shape of each version (pkg/types/{040,100} of containernetworking/cni).

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde_json::{Value, json};
use weft_model::{Attachment, Endpoint, MacAddr, Route};

use crate::graph::Uplink;

/// Versions whose addresses tell their family.
const WITH_FAMILY: &[&str] = &["0.3.1", "0.4.0"];
/// Versions whose interfaces tell their MTU.
const WITH_MTU: &[&str] = &["1.1.0"];
/// Versions whose interfaces tell their PCI address.
const WITH_PCI: &[&str] = &["1.1.0"];

/// What ADD prints: what came of plugins in front of weft, and behind it the endpoints, the first one first.
pub(super) fn render(version: &str, previous: &Value, endpoints: &[&Arc<Endpoint>], uplink: Option<&Uplink>) -> Value {
    let mut result = if previous.is_object() { previous.clone() } else { json!({}) };
    for endpoint in endpoints {
        let shape = Shape { version, endpoint };
        let own = match endpoint.attachment {
            Attachment::Host => shape.host(uplink),
            Attachment::None => shape.loopback(),
            _ => shape.linked(),
        };
        append(&mut result, own);
        let routes: Vec<_> = endpoint.routes.iter().map(|route| self::route(endpoint, route)).collect();
        extend(&mut result, "routes", &routes);
    }
    let dns = endpoints.iter().map(|endpoint| &endpoint.dns).find(|dns| !dns.is_empty());
    if let Some(dns) = dns {
        let mut shown = if result["dns"].is_object() { result["dns"].take() } else { json!({}) };
        let lists =
            [("nameservers", json!(dns.servers)), ("search", json!(dns.searches)), ("options", json!(dns.options))];
        for (name, list) in lists {
            extend(&mut shown, name, list.as_array().map_or(&[], Vec::as_slice));
        }
        result["dns"] = shown;
    }
    result["cniVersion"] = json!(version);
    result
}

/// Adds interfaces and addresses, which point at the interfaces by their place.
fn append(result: &mut Value, mut own: Value) {
    let before = result["interfaces"].as_array().map_or(0, Vec::len);
    for ip in own["ips"].as_array_mut().into_iter().flatten() {
        let place = ip["interface"].as_u64().unwrap_or_default() as usize;
        ip["interface"] = json!(place + before);
    }
    for field in ["interfaces", "ips"] {
        extend(result, field, own[field].as_array().map_or(&[], Vec::as_slice));
    }
}

/// Adds to a list what it does not have; there is no empty one.
fn extend(object: &mut Value, field: &str, items: &[Value]) {
    let had = object[field].as_array().cloned().unwrap_or_default();
    let new = items.iter().filter(|item| field == "interfaces" || !had.contains(item)).cloned();
    let all: Vec<_> = had.iter().cloned().chain(new).collect();
    if !all.is_empty() {
        object[field] = json!(all);
    }
}

fn route(endpoint: &Endpoint, route: &Route) -> Value {
    let via = route.via.or_else(|| endpoint.gateway_towards(&route.to));
    let mut shown = json!({ "dst": route.to });
    if let Some(via) = via {
        shown["gw"] = json!(via);
    }
    shown
}

struct Shape<'a> {
    version: &'a str,
    endpoint: &'a Endpoint,
}

impl Shape<'_> {
    /// The host's end, if there is one, then the container's.
    fn linked(&self) -> Value {
        let endpoint = self.endpoint;
        let host = endpoint.attachment.has_host_link().then(|| endpoint.key.host_link());
        let host = host.map(|host| self.interface(host.as_str(), None, "", endpoint.mtu));
        let path = &endpoint.netns.path;
        let mut inside = self.interface(endpoint.key.ifname.as_str(), endpoint.mac, path, endpoint.mtu);
        let pci = endpoint.loan.as_ref().and_then(|loan| loan.device.pci.as_ref());
        if let Some(pci) = pci.filter(|_| WITH_PCI.contains(&self.version)) {
            inside["pciID"] = json!(pci);
        }
        let interfaces: Vec<_> = host.into_iter().chain([inside]).collect();
        let place = interfaces.len() - 1;
        let ips: Vec<_> =
            endpoint.addresses.iter().map(|net| self.ip(*net, endpoint.gateway_towards(net), place)).collect();
        json!({ "interfaces": interfaces, "ips": ips })
    }

    fn host(&self, uplink: Option<&Uplink>) -> Value {
        let Some(uplink) = uplink else { return self.loopback() };
        // podman wants an address that parses on every interface of a container.
        let mac = uplink.mac.or(Some(MacAddr::NONE));
        let interface = self.interface(&uplink.name, mac, &self.endpoint.netns.path, uplink.mtu);
        let ips: Vec<_> = uplink.addresses.iter().map(|net| self.ip(*net, None, 0)).collect();
        json!({ "interfaces": [interface], "ips": ips })
    }

    fn loopback(&self) -> Value {
        const LOOPBACK_MTU: u32 = 65_536;
        let interface = self.interface("lo", Some(MacAddr::NONE), &self.endpoint.netns.path, LOOPBACK_MTU);
        let addresses = [
            IpNet::new_assert(IpAddr::from([127, 0, 0, 1]), 8),
            IpNet::new_assert([0, 0, 0, 0, 0, 0, 0, 1u16].into(), 128),
        ];
        let ips: Vec<_> = addresses.into_iter().map(|net| self.ip(net, None, 0)).collect();
        json!({ "interfaces": [interface], "ips": ips })
    }

    fn interface(&self, name: &str, mac: Option<MacAddr>, sandbox: &str, mtu: u32) -> Value {
        let mut shown = json!({ "name": name });
        if let Some(mac) = mac {
            shown["mac"] = json!(mac);
        }
        if !sandbox.is_empty() {
            shown["sandbox"] = json!(sandbox);
        }
        if WITH_MTU.contains(&self.version) {
            shown["mtu"] = json!(mtu);
        }
        shown
    }

    fn ip(&self, address: IpNet, gateway: Option<IpAddr>, interface: usize) -> Value {
        let mut shown = json!({ "interface": interface, "address": address });
        if let Some(gateway) = gateway {
            shown["gateway"] = json!(gateway);
        }
        if WITH_FAMILY.contains(&self.version) {
            shown["version"] = json!(if address.addr().is_ipv4() { "4" } else { "6" });
        }
        shown
    }
}

/// What of a runtime's previous result is not so any more. Later plugins of a chain may have added to it.
pub(super) fn differs(previous: &Value, endpoint: &Endpoint) -> Vec<String> {
    let Some(ips) = previous.get("ips").and_then(Value::as_array) else { return Vec::new() };
    let told: Vec<IpNet> = ips.iter().filter_map(|ip| ip.get("address")?.as_str()?.parse().ok()).collect();
    let missing = endpoint.addresses.iter().filter(|address| !told.contains(address));
    missing.map(|address| format!("the runtime's result lacks its address {address}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Endpoint {
        serde_json::from_value(json!({
            "key": {"container": "c1", "ifname": "eth0"}, "network": "app", "namespace": "default", "name": "c1",
            "netns": {"path": "/run/netns/x", "device": 4, "inode": 5}, "attachment": "bridge",
            "mac": "02:77:0a:01:00:05", "addresses": ["10.1.0.5/24", "fd64::5/64"], "gateways": ["10.1.0.1", "fd64::1"],
            "routes": [{"to": "0.0.0.0/0"}, {"to": "::/0"}, {"to": "10.9.0.0/16", "via": "10.1.0.9"}],
            "mtu": 1450, "born_s": 0,
        }))
        .unwrap()
    }

    #[test]
    fn each_version_has_its_shape() {
        let of = |version| render(version, &Value::Null, &[&Arc::new(endpoint())], None);
        assert_eq!(of("0.4.0")["ips"][0]["version"], "4");
        assert_eq!(of("0.3.1")["ips"][1]["version"], "6");
        assert!(of("1.0.0")["ips"][0].get("version").is_none());
        assert!(of("1.0.0")["interfaces"][1].get("mtu").is_none());
        assert_eq!(of("1.1.0")["interfaces"][1]["mtu"], 1450);
    }

    #[test]
    fn addresses_point_at_the_interface_inside() {
        let result = render("1.0.0", &Value::Null, &[&Arc::new(endpoint())], None);
        let inside = &result["interfaces"][1];
        assert_eq!((&inside["name"], &inside["sandbox"]), (&json!("eth0"), &json!("/run/netns/x")));
        assert!(result["interfaces"][0].get("sandbox").is_none());
        assert_eq!(result["ips"][0], json!({"interface": 1, "address": "10.1.0.5/24", "gateway": "10.1.0.1"}));
        assert_eq!(result["routes"][2], json!({"dst": "10.9.0.0/16", "gw": "10.1.0.9"}));
        assert!(result.get("dns").is_none());
    }

    #[test]
    fn several_endpoints_stand_behind_what_was_there_in_their_order() {
        let mut second = endpoint();
        (second.key.ifname, second.routes) = ("eth1".parse().unwrap(), Vec::new());
        second.addresses = vec!["10.2.0.5/24".parse().unwrap()];
        second.dns.servers = vec!["10.2.0.9".parse().unwrap()];
        let previous = json!({
            "cniVersion": "1.0.0",
            "interfaces": [{"name": "br0"}, {"name": "first0", "sandbox": "/run/netns/x"}],
            "ips": [{"interface": 1, "address": "172.16.0.2/16"}], "routes": [{"dst": "10.9.0.0/16", "gw": "10.1.0.9"}],
            "dns": {"nameservers": ["172.16.0.1"], "domain": "d"}, "vendor": 7,
        });
        let result = render("1.0.0", &previous, &[&Arc::new(endpoint()), &Arc::new(second)], None);
        let names: Vec<_> = (0..6).map(|place| result["interfaces"][place]["name"].as_str().unwrap()).collect();
        assert_eq!((names[1], names[3], names[5]), ("first0", "eth0", "eth1"));
        let places: Vec<_> = (0..4).map(|place| result["ips"][place]["interface"].as_u64().unwrap()).collect();
        assert_eq!(places, [1, 3, 3, 5]);
        assert_eq!(result["routes"].as_array().unwrap().len(), 3, "one of them was told before");
        let dns = json!({"nameservers": ["172.16.0.1", "10.2.0.9"], "domain": "d"});
        assert_eq!((&result["dns"], &result["vendor"]), (&dns, &json!(7)));
    }

    #[test]
    fn a_previous_result_that_lacks_an_address_is_told() {
        let full = render("1.0.0", &Value::Null, &[&Arc::new(endpoint())], None);
        assert!(differs(&full, &endpoint()).is_empty());
        assert!(differs(&Value::Null, &endpoint()).is_empty());
        let one = json!({"ips": [{"address": "10.1.0.5/24"}]});
        assert_eq!(differs(&one, &endpoint()), ["the runtime's result lacks its address fd64::5/64"]);
    }
}
