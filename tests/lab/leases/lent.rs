//! Devices of the host's whose addresses the LAN at their other end gives.

use serde_json::{Value, json};
use weft_lab::{Daemon, Host, uplink};
use weft_tests::{Api, Call, assert_deserted, namespaces, pings, until};

use super::{dnsmasq, inside};
use crate::devices::{SWITCH, nic, plug, wire};

const V4: &str = "--dhcp-range=192.0.2.50,192.0.2.60,255.255.255.0,2m";
const V6: &str = "--dhcp-range=2001:db8:200::50,2001:db8:200::60,64,2m";

/// A network of NICs, on a LAN that numbers them itself.
fn leased_wire(more: Value) -> Value {
    let mut spec = wire(json!({"ipam": "dhcp", "families": ["IPv4"]}));
    let fields = spec.as_object_mut().unwrap();
    fields.remove("pools");
    fields.extend(more.as_object().cloned().unwrap());
    spec
}

/// A server on the switch that the NICs are plugged into.
fn server(host: &Host, options: &[&str]) -> Daemon {
    dnsmasq(host, &[&["--interface=switch", V4, "--dhcp-option=option:router,192.0.2.1"], options].concat())
}

fn lent(host: &Host) -> String {
    std::fs::read_to_string(host.path(super::leases_of(uplink::OUTSIDE))).unwrap()
}

#[test]
fn a_device_leases_addresses_of_both_families_and_gives_them_back_before_it_goes_home() {
    let host = Host::start("leases-lent").unwrap();
    let mut weftd = host.weftd::<&str>(&[]).unwrap();
    plug(&host, 2);
    let (api, before) = (Api::of(&host), [nic(&host, "nic0"), nic(&host, "nic1")]);
    let server = server(&host, &[V6, "--enable-ra", "--dhcp-option=option:mtu,1400"]);
    api.network("wire", leased_wire(json!({"families": ["IPv4", "IPv6"], "device": {"names": ["nic0", "nic1"]}})));
    namespaces(&host, ["a", "b"]);
    for id in ["a", "b"] {
        Call::new("ADD", id, "wire").done(&host);
    }
    for (family, switch) in SWITCH.iter().enumerate() {
        let (a, b) = (api.address("a", family), api.address("b", family));
        assert_ne!(a, b);
        for to in [*switch, &b] {
            until(&format!("a reaches {to}"), || pings(&host, "a", to).then_some(()));
        }
        assert!(pings(&host, "outside", &a), "{a}");
    }
    assert!(inside(&host, "a", &["route", "show", "default"]).contains("via 192.0.2.1"));
    assert!(inside(&host, "a", &["link", "show", "eth0"]).contains("mtu 1400"));
    assert_eq!(api.endpoints("a")[0]["status"]["leases"].as_array().map(Vec::len), Some(2));
    api.assert_clean();
    Call::new("CHECK", "a", "wire").done(&host);
    // The next agent knows what is to be given back.
    weftd.kill9().unwrap();
    weftd.restart().unwrap();
    api.assert_clean();
    for id in ["a", "b"] {
        Call::new("DEL", id, "wire").done(&host);
    }
    until("the server has them back", || lent(&host).lines().all(|line| line.starts_with("duid")).then_some(()));
    assert!(server.log().contains("DHCPRELEASE"), "{}", server.log());
    assert_eq!([nic(&host, "nic0"), nic(&host, "nic1")], before);
    assert_deserted(&host, &api);
}

#[test]
fn a_device_without_a_server_or_without_a_carrier_stays_where_it_was() {
    let host = Host::start("leases-lent-silent").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    plug(&host, 1);
    let (api, before) = (Api::of(&host), nic(&host, "nic0"));
    api.network("wire", leased_wire(json!({})));
    namespaces(&host, ["a"]);
    let refused = Call::new("ADD", "a", "wire").run(&host).output.to_string();
    assert!(refused.contains("no IPv4 address for eth0 within 10 s: nobody answered"), "{refused}");
    host.run(&["ip", "-n", "outside", "link", "set", "far0", "down"]).unwrap();
    let refused = Call::new("ADD", "a", "wire").run(&host).output.to_string();
    assert!(refused.contains("no address for eth0: it has no carrier 6 s after it was raised"), "{refused}");
    host.run(&["ip", "-n", "outside", "link", "set", "far0", "up"]).unwrap();
    until("it is as it was", || (nic(&host, "nic0") == before).then_some(()));
    assert_deserted(&host, &api);
}

#[test]
fn a_device_that_is_taken_away_takes_its_lease_along() {
    let host = Host::start("leases-lent-gone").unwrap();
    let weftd = host.weftd::<&str>(&[]).unwrap();
    plug(&host, 1);
    let api = Api::of(&host);
    let _server = server(&host, &[]);
    api.network("wire", leased_wire(json!({})));
    namespaces(&host, ["a"]);
    Call::new("ADD", "a", "wire").done(&host);
    let address = api.address("a", 0);
    host.run(&["ip", "-n", "outside", "link", "delete", "far0"]).unwrap();
    until("nobody is left", || api.endpoints("").is_empty().then_some(()));
    let (_, leases) = api.get("/v1/ipam/leases");
    assert!(!leases.to_string().contains(&address), "{leases}");
    assert!(weftd.log().contains("took down an endpoint that was dead"), "{}", weftd.log());
    assert_deserted(&host, &api);
}
