//! Endpoints that share an Ethernet address (ipvlan), each with a lease of its own.

use serde_json::{Value, json};
use weft_lab::{Host, Weftd, uplink};
use weft_tests::{Api, Call, RawSocket, assert_deserted, mac, pings, skip, until};

use super::{V4, V6, address_of, born, dnsmasq, host_pings, inside, kea, leased, leases_of};

/// A host with an agent, if its kernel has ipvlan; else the reason is told.
fn with_ipvlan(name: &str, test: &str, work: impl FnOnce(&Host, &Api, Weftd<'_>)) {
    let host = Host::start(&format!("leases-shared-{name}")).unwrap();
    let weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    match api.lack("ipvlan") {
        Some(lack) => skip(&format!("leases::shared::{test}"), &lack),
        None => work(&host, &api, weftd),
    }
}

fn shared(more: Value) -> Value {
    let mut spec = leased(json!({"mode": "ipvlan"}));
    spec.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    spec
}

#[test]
fn each_has_a_lease_of_its_own_and_gives_it_back() {
    with_ipvlan("each", "each_has_a_lease_of_its_own_and_gives_it_back", |host, api, mut weftd| {
        let server = dnsmasq(host, &[V4, V6, "--enable-ra", "--dhcp-option=option:router,198.51.100.1"]);
        api.network("app", shared(json!({"families": ["IPv4", "IPv6"]})));
        born(host, &["a", "b"]);
        // A neighbour with an Ethernet address of its own, on the same parent.
        api.network("beside", leased(json!({"families": ["IPv4"]})));
        host.netns("c").unwrap();
        Call::new("ADD", "c", "beside").done(host);
        let own =
            |id: &str| mac(&host.run(&["ip", "netns", "exec", id, "cat", "/sys/class/net/eth0/address"]).unwrap());
        assert_eq!(own("a"), own("b"), "the LAN sees one");
        let taken = [("a", 0), ("a", 1), ("b", 0), ("b", 1), ("c", 0)].map(|(id, family)| api.address(id, family));
        for (n, address) in taken.iter().enumerate() {
            assert!(!taken[..n].contains(address), "{taken:?}");
        }
        for family in 0..2 {
            let (a, b) = (api.address("a", family), api.address("b", family));
            let outside = [uplink::OUTSIDE_V4.to_string(), uplink::OUTSIDE_V6.to_string()][family].clone();
            for to in [&b, &outside] {
                until(&format!("a reaches {to}"), || pings(host, "a", to).then_some(()));
            }
            until("the host reaches it", || host_pings(host, &a).then_some(()));
            assert!(pings(host, "outside", &a), "{a}");
        }
        assert!(inside(host, "a", &["route", "show", "default"]).contains("via 198.51.100.1"));
        let shown = inside(host, "a", &["-6", "-o", "address", "show", "dev", "eth0"]);
        assert_eq!(shown.lines().count(), 2, "its lease and the link-local one, and none that it formed: {shown}");
        api.assert_clean();
        Call::new("CHECK", "a", "app").done(host);
        weftd.kill9().unwrap();
        weftd.restart().unwrap();
        api.assert_clean();
        for (id, network) in [("a", "app"), ("b", "app"), ("c", "beside")] {
            Call::new("DEL", id, network).done(host);
        }
        let held = || std::fs::read_to_string(host.path(leases_of(uplink::OUTSIDE))).unwrap();
        until("the server has them back", || held().lines().all(|line| line.starts_with("duid")).then_some(()));
        assert!(server.log().contains("DHCPRELEASE"), "{}", server.log());
        assert_deserted(host, api);
    });
}

#[test]
fn their_short_leases_are_extended_lost_and_got_again() {
    with_ipvlan("short", "their_short_leases_are_extended_lost_and_got_again", |host, api, _weftd| {
        let mut server = kea(host);
        api.network("app", shared(json!({"families": ["IPv4"]})));
        born(host, &["a", "b"]);
        let outside = uplink::OUTSIDE_V4.to_string();
        let expiry = |id: &str| api.endpoints(id)[0]["status"]["leases"][0]["expires"].as_u64();
        let before = ["a", "b"].map(expiry);
        for (id, first) in ["a", "b"].iter().zip(before) {
            until("it is extended", || (expiry(id) > first).then_some(()));
        }
        api.assert_clean();
        server.kill9().unwrap();
        for id in ["a", "b"] {
            until("the address is gone", || {
                api.endpoints(id)[0]["status"]["addresses"].as_array()?.is_empty().then_some(())
            });
        }
        api.assert_clean();
        let _server = kea(host);
        for id in ["a", "b"] {
            until("it has an address again", || address_of(api, id));
            until("it reaches outside again", || pings(host, id, &outside).then_some(()));
        }
        assert_ne!(address_of(api, "a"), address_of(api, "b"));
        for id in ["a", "b"] {
            Call::new("DEL", id, "app").done(host);
        }
        assert_deserted(host, api);
    });
}

#[test]
fn none_of_them_asks_by_itself_from_no_address() {
    with_ipvlan("none", "none_of_them_asks_by_itself_from_no_address", |host, api, _weftd| {
        let server = dnsmasq(host, &[V4]);
        api.network("app", shared(json!({"families": ["IPv4"]})));
        born(host, &["a"]);
        until("it is there", || pings(host, "a", &uplink::OUTSIDE_V4.to_string()).then_some(()));
        let heard = server.log().lines().count();
        let own = host.run(&["ip", "netns", "exec", "a", "cat", "/sys/class/net/eth0/address"]).unwrap();
        // A client of the container's own, from below its addresses.
        let client =
            ["timeout", "4", "busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-t", "2", "-T", "1", "-s", "/bin/true"];
        assert!(host.run(&[&["ip", "netns", "exec", "a"], client.as_slice()].concat()).is_err(), "{own}");
        let raw = RawSocket::open(host, "a", "eth0");
        let _ = raw.try_send(&raw.udp(mac(&own), ("0.0.0.0", 68), ("255.255.255.255", 67)));
        assert!(pings(host, "a", &uplink::OUTSIDE_V4.to_string()), "what was sent later has come");
        let log = server.log();
        assert_eq!(log.lines().count(), heard, "{log}");
        Call::new("DEL", "a", "app").done(host);
        assert_deserted(host, api);
    });
}

#[test]
fn where_servers_have_no_addresses_of_ipv6_it_forms_none() {
    with_ipvlan("formless", "where_servers_have_no_addresses_of_ipv6_it_forms_none", |host, api, _weftd| {
        let _server = dnsmasq(host, &[V4, "--enable-ra", "--dhcp-range=2001:db8:100::,ra-only"]);
        api.network("app", shared(json!({"families": ["IPv4", "IPv6"]})));
        host.netns("a").unwrap();
        let refused = Call::new("ADD", "a", "app").run(host).output.to_string();
        assert!(refused.contains("shares its Ethernet address forms none: use macvlan"), "{refused}");
        api.network("any", shared(json!({"parent": "eth0"})));
        Call::new("ADD", "a", "any").done(host);
        assert_eq!(api.endpoints("a")[0]["status"]["addresses"].as_array().map(Vec::len), Some(1));
        Call::new("DEL", "a", "any").done(host);
        assert_deserted(host, api);
    });
}
