//! Objects with something in every field, and objects with as little as there can be.

use serde_json::{Value, json};
use weft_api::{
    Connection, EndpointObject, Flow, IpamCheck, Judgement, Lease, List, NetworkObject, NodeObject, Packets, Status,
};

fn typed<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("the shape of the API")
}

pub(crate) fn networks() -> List<NetworkObject> {
    List { items: vec![network(), bare_network()] }
}

/// Everything set.
pub(crate) fn network() -> NetworkObject {
    typed(json!({
        "apiVersion": "weft.dev/v1alpha1",
        "kind": "Network",
        "metadata": {
            "name": "app", "labels": { "team": "a", "tier": "web" }, "annotations": { "note": "line\u{1b}[31m" },
        },
        "spec": {
            "mode": "bridge", "pools": ["10.64.0.0/16", "fd64::/64"], "ranges": ["10.64.1.0-10.64.2.255"],
            "families": ["IPv4", "IPv6"], "exclude": ["10.64.1.9"], "gateways": ["10.64.0.1"], "mtu": "auto",
            "routes": [{ "to": "10.9.0.0/16" }, { "to": "10.8.0.0/16", "via": "10.64.0.2" }],
            "isolated": true, "masquerade": { "except": ["10.0.0.0/8", "fd00::/8"], "source": ["192.0.2.7"] },
            "dns": { "servers": ["192.0.2.53"], "searches": ["app.example"], "options": ["ndots:1"] },
        },
        "status": {
            "attachment": "bridge", "transport": "local", "mtu": 1500, "link": "weftbapp", "endpoints": 2,
            "pools": [
                { "subnet": "10.64.0.0/16", "gateway": "10.64.0.1", "held": 3, "capacity": 511 },
                { "subnet": "fd64::/64", "gateway": "fd64::1", "held": 3, "capacity": 9_223_372_036_854_775_807_u64 },
            ],
            "conditions": [{ "type": "Ready", "status": "True" }],
        },
    }))
}

/// Nothing set that need not be.
pub(crate) fn bare_network() -> NetworkObject {
    typed(json!({
        "apiVersion": "weft.dev/v1alpha1",
        "kind": "Network",
        "metadata": { "name": "dark" },
        "spec": { "mode": "none", "masquerade": false },
        "status": {
            "attachment": "none", "transport": "none", "mtu": 65535, "endpoints": 0, "pools": [],
            "conditions": [{ "type": "Ready", "status": "False", "message": "the kernel refused" }],
        },
    }))
}

pub(crate) fn endpoints() -> List<EndpointObject> {
    List { items: vec![endpoint("eth0", "10.64.1.0/16"), endpoint("eth1", "10.64.1.1/16")] }
}

pub(crate) fn endpoint(interface: &str, address: &str) -> EndpointObject {
    typed(json!({
        "apiVersion": "weft.dev/v1alpha1",
        "kind": "Endpoint",
        "metadata": { "name": "web-1", "namespace": "shop", "labels": { "app": "web" } },
        "spec": {
            "network": "app", "containerId": "20cc94cc30ad67a08a317f37a07e680e", "interface": interface,
            "aliases": ["web", "20cc94cc30ad"], "cniName": "app",
        },
        "status": {
            "attachment": "bridge", "addresses": [address, "fd64::1:0/64"], "gateways": ["10.64.0.1", "fd64::1"],
            "mac": "02:aa:bb:cc:dd:ee", "mtu": 1500, "limits": { "egress": { "rate": 20_000_000, "burst": 131_072 } },
            "allowedAddresses": ["10.0.0.9/32", "fd00::/64"], "hostLink": "wefteabcdefghij", "netns": "/run/netns/x",
            "leases": [{"address": "fd64::1:0/64", "server": "00021234", "renews": 1795234477, "expires": 1795238077}],
            "networkStatus": [
                { "name": "app", "interface": "eth0", "ips": ["10.64.1.0", "fd64::1:0"], "mac": "02:aa:bb:cc:dd:ee",
                  "mtu": 1500, "default": true, "dns": { "nameservers": ["10.64.0.9"] },
                  "gateway": ["10.64.0.1", "fd64::1"], "default-route": ["10.64.0.1", "fd64::1"] },
                { "name": "shop/back", "interface": "net1", "ips": ["10.65.1.0"], "mtu": 1500, "dns": {},
                  "gateway": ["10.65.0.1"] },
            ],
            "born": 1_795_234_477,
        },
    }))
}

pub(crate) fn nodes() -> List<NodeObject> {
    List {
        items: vec![typed(json!({
            "apiVersion": "weft.dev/v1alpha1",
            "kind": "Node",
            "metadata": { "name": "host-a" },
            "status": {
                "addresses": ["192.0.2.7", "2001:db8::7"], "uplink": "eth0", "kernel": "6.1.0", "version": "0.1.0",
                "endpoints": 2,
            },
        }))],
    }
}

pub(crate) fn leases() -> List<Lease> {
    List {
        items: vec![typed(json!({
            "address": "10.64.1.0", "network": "app", "endpoint": "shop/web-1",
            "containerId": "20cc94cc30ad67a08a317f37a07e680e", "interface": "eth0",
        }))],
    }
}

pub(crate) fn flows() -> List<Flow> {
    let web = json!({ "address": "10.64.1.0", "port": 40000, "endpoint": "shop/web-1", "network": "app" });
    let outside = json!({ "address": "2001:db8::1", "port": 443 });
    List {
        items: vec![
            typed(json!({
                "sequence": 7, "timeMs": 1_795_234_477_005_u64, "event": "opened", "verdict": "passed",
                "door": "shop/web-1", "direction": "out", "from": web, "to": outside, "protocol": "TCP", "flags": "S",
                "way": "stack", "bytes": 74,
            })),
            typed(json!({
                "sequence": 9, "timeMs": 1_795_234_478_999_u64, "event": "dropped", "verdict": "dropped",
                "reason": "source_arp", "meaning": "ARP in the name of another address.", "direction": "out",
                "from": { "address": "" }, "to": { "address": "" }, "protocol": "ARP", "way": "stack", "bytes": 42,
            })),
        ],
    }
}

/// Two: one that passed, and one that was dropped.
pub(crate) fn packets() -> Packets {
    let web = json!({ "address": "10.64.1.0", "port": 40000, "endpoint": "shop/web-1", "network": "app" });
    let outside = json!({ "address": "2001:db8::1", "port": 443 });
    typed(json!({
        "items": [
            {
                "timeUs": 1_795_234_477_000_005_u64, "direction": "out", "verdict": "passed", "way": "short",
                "from": web, "to": outside, "protocol": "TCP", "flags": "S", "bytes": 74, "data": "AAECAwQ=",
            },
            {
                "timeUs": 1_795_234_478_999_999_u64, "direction": "in", "verdict": "dropped", "reason": "network",
                "meaning": "An endpoint of another network that is no peer of this one.", "way": "stack",
                "from": { "address": "" }, "to": { "address": "" }, "protocol": "ARP", "bytes": 42, "data": "/w==",
            },
        ],
        "missed": 7,
    }))
}

pub(crate) fn connections() -> List<Connection> {
    List {
        items: vec![typed(json!({
            "from": { "address": "10.64.1.0", "endpoint": "shop/web-1", "network": "app" },
            "to": { "address": "fd64::9" }, "protocol": "ICMPv6", "state": "established", "way": "short",
            "remainingS": 29,
        }))],
    }
}

/// A judgement that ends with `verdict`.
pub(crate) fn judgements(verdict: &str) -> List<Judgement> {
    List {
        items: vec![typed(json!({
            "from": { "address": "10.64.1.0", "endpoint": "shop/web-1", "network": "app" },
            "to": { "address": "10.64.2.0", "port": 80, "endpoint": "shop/db", "network": "back" },
            "protocol": "TCP", "verdict": verdict, "decidedBy": "door of shop/web-1, out: network: apart",
            "steps": [{ "at": "door of shop/web-1, out", "verdict": verdict, "why": "network: apart" }],
        }))],
    }
}

pub(crate) fn check(findings: &[(&str, &str)]) -> IpamCheck {
    let findings: Vec<_> =
        findings.iter().map(|(object, problem)| json!({ "object": object, "problem": problem })).collect();
    typed(json!({ "endpoints": 2, "addresses": 4, "findings": findings }))
}

pub(crate) fn status() -> Status {
    typed(json!({
        "version": "0.1.0", "node": "host-a", "pid": 4711, "residentBytes": 12_345_678, "mapBytes": 33_000_000,
        "uplink": "eth0",
        "socket": "/run/weft/weft.sock", "runDir": "/run/weft", "stateDir": "/var/lib/weft",
        "networks": 2, "endpoints": 2,
        "features": [
            { "feature": "attachment", "name": "bridge", "available": true },
            { "feature": "transport", "name": "vxlan", "available": false, "reason": "is not built yet" },
        ],
        "settings": [{ "name": "net/ipv4/ip_forward", "was": "0", "now": "1", "why": "routed networks" }],
        "accepts": [{ "chain": "chain ip filter DOCKER-USER", "rule": "weft: from containers" }],
        "conditions": [{ "type": "Ready", "status": "True" }],
    }))
}
