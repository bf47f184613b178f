//! Addresses of the LAN that Debian's own plugin `dhcp` leases, by the container's link, which weft makes first.

use serde_json::{Value, json};
use weft_lab::{Daemon, Host, uplink};
use weft_tests::{Api, Call, Chain, assert_deserted, namespaces, pings, until};

use super::{dnsmasq, inside, leased, leases_of};
use crate::devices::{nic, plug, wire};

/// Where the plugin's daemon listens.
const SOCKET: &str = "/run/cni/dhcp.sock";
/// Of the LAN's prefix, what its server gives; weft's own ranges leave it out.
const V4: &str = "--dhcp-range=198.51.100.50,198.51.100.60,255.255.255.0,2m";

/// The daemon of the plugin, which keeps what it leased.
fn daemon(host: &Host, socket: &str) -> Daemon {
    let daemon = host.spawn("dhcp", &["/usr/lib/cni/dhcp", "daemon", "-socketpath", socket]).unwrap();
    daemon.wait_ready(|| host.path(socket).exists()).unwrap();
    daemon
}

fn ipam() -> Value {
    json!({"type": "dhcp", "daemonSocketPath": SOCKET})
}

/// A network whose addresses are those of the host's own uplink.
fn physical(mode: &str) -> Value {
    json!({"mode": mode, "pools": ["198.51.100.0/24"], "ranges": ["198.51.100.128/25"], "gateways": ["198.51.100.1"]})
}

fn held(host: &Host) -> usize {
    std::fs::read_to_string(host.path(leases_of(uplink::OUTSIDE))).unwrap_or_default().lines().count()
}

fn call(command: &str, container: &str) -> Call {
    Call::new(command, container, "app").with("cniVersion", json!("1.0.0")).with("ipam", ipam())
}

#[test]
fn debians_dhcp_leases_by_a_macvlan_link_and_gives_back() {
    let host = Host::start("delegated-macvlan").unwrap();
    let mut weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    let server = dnsmasq(&host, &[V4, "--dhcp-option=option:router,198.51.100.1"]);
    let _daemon = daemon(&host, SOCKET);
    api.network("app", physical("macvlan"));
    namespaces(&host, ["a", "b"]);
    let chain = Chain::new("app", [json!({"type": "weft-cni", "ipam": ipam()})]);
    let result = chain.add(&host, "a");
    let address = api.address("a", 0);
    assert_eq!(result["ips"][0]["address"], json!(format!("{address}/24")), "{result}");
    assert!(address.starts_with("198.51.100.5") || address.ends_with(".60"), "{address}");
    // Beside one that weft leases for.
    Call::new("ADD", "b", "app").done(&host);
    for to in [uplink::OUTSIDE_V4.to_string(), api.address("b", 0)] {
        until(&format!("it reaches {to}"), || pings(&host, "a", &to).then_some(()));
    }
    assert!(pings(&host, "outside", &address));
    assert!(inside(&host, "a", &["route", "show", "default"]).contains("via 198.51.100.1"));
    chain.check(&host, "a", &result);
    api.assert_clean();
    weftd.kill9().unwrap();
    weftd.restart().unwrap();
    api.assert_clean();
    let refused = call("ADD", "a").refused(&host, 100);
    assert!(refused.contains("a@eth0 exists"), "{refused}");
    assert_eq!(held(&host), 1, "a second birth frees nothing of the first");
    chain.del(&host, "a", &result);
    until("the server has it back", || (held(&host) == 0).then_some(()));
    assert!(server.log().contains("DHCPRELEASE"), "{}", server.log());
    chain.del(&host, "a", &result);
    Call::new("DEL", "b", "app").done(&host);
    assert_deserted(&host, &api);
}

#[test]
fn debians_dhcp_leases_by_a_device_and_gives_back_before_it_goes_home() {
    let host = Host::start("delegated-device").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    plug(&host, 1);
    let (api, before) = (Api::of(&host), nic(&host, "nic0"));
    let range = "--dhcp-range=192.0.2.50,192.0.2.60,255.255.255.0,2m";
    let server = dnsmasq(&host, &["--interface=switch", range]);
    let _daemon = daemon(&host, SOCKET);
    api.network("app", wire(json!({"pools": ["192.0.2.0/24"], "ranges": ["192.0.2.128/25"]})));
    namespaces(&host, ["a"]);
    call("ADD", "a").done(&host);
    until("the switch answers", || pings(&host, "a", "192.0.2.1").then_some(()));
    api.assert_clean();
    // The configuration says nothing of it any more; the record does.
    Call::new("DEL", "a", "app").done(&host);
    until("the server has it back", || (held(&host) == 0).then_some(()));
    assert!(server.log().contains("DHCPRELEASE"), "{}", server.log());
    assert_eq!(nic(&host, "nic0"), before);
    assert_deserted(&host, &api);
}

#[test]
fn what_debians_dhcp_cannot_lease_or_weft_cannot_use_leaves_nothing() {
    let host = Host::start("delegated-refused").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    api.network("app", physical("macvlan"));
    namespaces(&host, ["a"]);
    let is_bare =
        || inside(&host, "a", &["-o", "link"]).lines().all(|line| line.contains(": lo:") || line.contains("weft-x"));
    // No daemon; what was never born dies all the same.
    let refused = call("ADD", "a").refused(&host, 103);
    assert!(refused.contains("ipam dhcp: ADD: ") && refused.contains(SOCKET), "{refused}");
    call("DEL", "a").done(&host);
    assert!(is_bare());
    let _daemon = daemon(&host, SOCKET);
    // Outside of what the network has.
    let elsewhere = "ip -n outside address add 203.0.113.1/24 dev eth0";
    host.run(&["sh", "-c", elsewhere]).unwrap();
    let server = dnsmasq(&host, &["--dhcp-range=203.0.113.50,203.0.113.60,255.255.255.0,2m"]);
    let refused = call("ADD", "a").refused(&host, 7);
    assert!(refused.contains("lies in none of its pools"), "{refused}");
    until("it is given back", || server.log().contains("DHCPRELEASE").then_some(()));
    assert!(is_bare());
    // A network that asks the LAN by itself needs nobody else.
    api.network("asks", leased(json!({"families": ["IPv4"]})));
    let asks = Call::new("ADD", "a", "asks").with("cniVersion", json!("1.0.0")).with("ipam", ipam());
    let refused = asks.refused(&host, 7);
    assert!(refused.contains("leave `ipam` out of the CNI configuration"), "{refused}");
    assert_deserted(&host, &api);
}
