//! Containers whose addresses the DHCP servers of their LAN give, real ones of the outside.

mod delegated;
mod lent;
mod shared;

use serde_json::{Value, json};
use weft_lab::{Daemon, Host, uplink};
use weft_tests::{Api, Call, RawSocket, assert_deserted, pings, until};

/// A network on the host's own uplink, whose servers say which addresses there are.
pub(crate) fn leased(more: Value) -> Value {
    let mut spec = json!({"mode": "macvlan", "ipam": "dhcp"});
    spec.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    spec
}

/// Where the dnsmasq of a namespace has its leases.
pub(crate) fn leases_of(netns: &str) -> String {
    format!("/tmp/dnsmasq-{netns}.leases")
}

/// A dnsmasq outside.
pub(crate) fn dnsmasq(host: &Host, options: &[&str]) -> Daemon {
    dnsmasq_in(host, uplink::OUTSIDE, options)
}

/// A dnsmasq with leases of two minutes, its shortest.
fn dnsmasq_in(host: &Host, netns: &str, options: &[&str]) -> Daemon {
    let usual = "dnsmasq --keep-in-foreground --conf-file=/dev/null --port=0 --interface=eth0 --user=root --no-ping \
                 --bind-interfaces --log-dhcp --log-facility=- --pid-file= --dhcp-authoritative";
    let file = format!("--dhcp-leasefile={}", leases_of(netns));
    let argv: Vec<&str> = usual.split_whitespace().chain([file.as_str()]).chain(options.iter().copied()).collect();
    let argv = [&["ip", "netns", "exec", netns], argv.as_slice()].concat();
    let daemon = host.spawn(&format!("dnsmasq-{netns}"), &argv).unwrap();
    listens(host, netns, &daemon);
    daemon
}

pub(crate) const V4: &str = "--dhcp-range=198.51.100.50,198.51.100.60,255.255.255.0,2m";
const V6: &str = "--dhcp-range=2001:db8:100::50,2001:db8:100::60,64,2m";

/// A kea outside, with leases of eight seconds.
fn kea(host: &Host) -> Daemon {
    let config = json!({"Dhcp4": {
        "interfaces-config": {"interfaces": ["eth0"]},
        "lease-database": {"type": "memfile", "persist": true, "name": "/tmp/kea.leases"},
        "valid-lifetime": 8, "renew-timer": 2, "rebind-timer": 5,
        "subnet4": [{"subnet": "198.51.100.0/24", "pools": [{"pool": "198.51.100.70-198.51.100.79"}],
            "option-data": [{"name": "routers", "data": uplink::OUTSIDE_V4.to_string()}]}],
    }});
    host.write("/tmp/kea.json", config.to_string()).unwrap();
    let argv = ["env", "KEA_PIDFILE_DIR=/tmp", "KEA_LOCKFILE_DIR=/tmp", "kea-dhcp4", "-c", "/tmp/kea.json"];
    let daemon = host.outside().spawn("kea", &argv).unwrap();
    listens(host, uplink::OUTSIDE, &daemon);
    daemon
}

/// Waits until a server of either family hears.
fn listens(host: &Host, netns: &str, daemon: &Daemon) {
    let sockets = || host.run(&["ip", "netns", "exec", netns, "cat", "/proc/net/udp", "/proc/net/udp6"]).unwrap();
    daemon.wait_ready(|| [":0043 ", ":0223 "].iter().any(|port| sockets().contains(port))).unwrap();
}

fn born(host: &Host, ids: &[&str]) {
    for id in ids {
        host.netns(id).unwrap();
        Call::new("ADD", id, "app").done(host);
    }
}

fn inside(host: &Host, id: &str, command: &[&str]) -> String {
    host.run(&[&["ip", "-n", id], command].concat()).unwrap()
}

/// Its address, if it has one.
fn address_of(api: &Api, id: &str) -> Option<String> {
    Some(api.endpoints(id)[0]["status"]["addresses"][0].as_str()?.split('/').next()?.to_owned())
}

fn host_pings(host: &Host, to: &str) -> bool {
    host.run(&["busybox", "ping", "-c1", "-W1", to]).is_ok()
}

#[test]
fn containers_get_addresses_of_both_families_and_give_them_back() {
    let host = Host::start("leases").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    let server = dnsmasq(
        &host,
        &[
            V4,
            V6,
            "--enable-ra",
            "--dhcp-option=option:router,198.51.100.1",
            "--dhcp-option=option:mtu,1400",
            "--dhcp-option=option:dns-server,198.51.100.53",
        ],
    );
    api.network("app", leased(json!({"families": ["IPv4", "IPv6"]})));
    born(&host, &["a", "b"]);
    let taken = [("a", 0), ("a", 1), ("b", 0), ("b", 1)].map(|(id, family)| api.address(id, family));
    for (n, address) in taken.iter().enumerate() {
        assert!(!taken[..n].contains(address), "{taken:?}");
    }
    for family in 0..2 {
        let (a, b) = (api.address("a", family), api.address("b", family));
        let outside = [uplink::OUTSIDE_V4.to_string(), uplink::OUTSIDE_V6.to_string()][family].clone();
        let own = [uplink::HOST_V4.to_string(), uplink::HOST_V6.to_string()][family].clone();
        for to in [&b, &outside, &own] {
            until(&format!("a reaches {to}"), || pings(&host, "a", to).then_some(()));
        }
        until("the host reaches it", || host_pings(&host, &a).then_some(()));
        assert!(pings(&host, "outside", &a), "{a}");
    }
    api.assert_clean();
    let route = inside(&host, "a", &["route", "show", "default"]);
    assert!(route.contains("via 198.51.100.1"), "{route}");
    assert!(inside(&host, "a", &["link", "show", "eth0"]).contains("mtu 1400"));
    let endpoint = &api.endpoints("a")[0]["status"];
    assert_eq!(endpoint["leases"][0]["server"], "198.51.100.1", "{endpoint}");
    assert_eq!(endpoint["leases"].as_array().map(Vec::len), Some(2), "{endpoint}");
    let listed = host.run(&["weft", "ipam", "show"]).unwrap();
    assert!(taken.iter().all(|address| listed.contains(address)), "{listed}");
    let described = host.run(&["weft", "describe", "endpoint", "a"]).unwrap();
    assert!(described.contains("of 198.51.100.1 (renews 2"), "{described}");
    Call::new("CHECK", "a", "app").done(&host);
    for id in ["a", "b"] {
        Call::new("DEL", id, "app").done(&host);
    }
    let held = || std::fs::read_to_string(host.path(leases_of(uplink::OUTSIDE))).unwrap();
    until("the server has them back", || held().lines().all(|line| line.starts_with("duid")).then_some(()));
    assert!(server.log().contains("DHCPRELEASE"), "{}", server.log());
    assert_deserted(&host, &api);
}

#[test]
fn a_result_says_what_is_leased() {
    let host = Host::start("leases-result").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    let _server = dnsmasq(
        &host,
        &[
            V4,
            "--dhcp-option=option:router,198.51.100.1",
            "--dhcp-option=option:dns-server,198.51.100.53",
            "--dhcp-option=option:classless-static-route,203.0.113.0/24,198.51.100.9,0.0.0.0/0,198.51.100.1",
        ],
    );
    api.network("app", leased(json!({"families": ["IPv4"]})));
    host.netns("a").unwrap();
    let result = Call::new("ADD", "a", "app").done(&host);
    let address = result["ips"][0]["address"].as_str().unwrap();
    assert!(address.starts_with("198.51.100.") && address.ends_with("/24"), "{result}");
    assert_eq!(result["ips"][0]["gateway"], "198.51.100.1");
    assert_eq!(result["dns"]["nameservers"], json!(["198.51.100.53"]));
    let routes = json!([{"dst": "203.0.113.0/24", "gw": "198.51.100.9"}, {"dst": "0.0.0.0/0", "gw": "198.51.100.1"}]);
    assert_eq!(result["routes"], routes);
    let refused =
        Call::new("ADD", "a", "app").env("CNI_IFNAME", "eth1").with("runtimeConfig", json!({"ips": ["198.51.100.77"]}));
    let refused = refused.run(&host);
    assert!(refused.output.to_string().contains("asks for no address by value"), "{refused:?}");
}

#[test]
fn where_routers_say_so_the_kernel_forms_the_address() {
    let host = Host::start("leases-formed").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    let outside = host.outside();
    outside.run(&["busybox", "sysctl", "-w", "net.ipv6.conf.all.forwarding=1"]).unwrap();
    let advertise = |prefixes: &[&str]| {
        let prefix = |prefix: &&str| format!("prefix {prefix} {{ AdvOnLink on; AdvAutonomous on; }};");
        let prefixes: String = prefixes.iter().map(prefix).collect();
        let often = "AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4;";
        host.write("/tmp/radvd.conf", format!("interface eth0 {{ {often} {prefixes} }};")).unwrap();
        let router = ["radvd", "--nodaemon", "--logmethod", "stderr", "-C", "/tmp/radvd.conf", "-p", "/tmp/radvd.pid"];
        outside.spawn("radvd", &router).unwrap()
    };
    let first = advertise(&["2001:db8:100::/64"]);
    api.network("app", leased(json!({"families": ["IPv6"]})));
    born(&host, &["a"]);
    let formed = api.address("a", 0);
    assert!(formed.starts_with("2001:db8:100:"), "{formed}");
    until("it reaches outside", || pings(&host, "a", &uplink::OUTSIDE_V6.to_string()).then_some(()));
    until("it is reached", || pings(&host, "outside", &formed).then_some(()));
    assert!(inside(&host, "a", &["-6", "route", "show", "default"]).contains("proto ra"));
    api.assert_clean();
    drop(first);
    outside.run(&["ip", "address", "add", "2001:db8:200::1/64", "dev", "eth0", "nodad"]).unwrap();
    let _second = advertise(&["2001:db8:100::/64", "2001:db8:200::/64"]);
    let addresses = || api.endpoints("a")[0]["status"]["addresses"].to_string();
    until("the record follows", || addresses().contains("2001:db8:200:").then_some(()));
    let both = [0, 1].map(|place| api.address("a", place));
    let second = both.iter().find(|address| **address != formed).unwrap();
    until("it is reached by both", || {
        (pings(&host, "outside", &formed) && pings(&host, "outside", second)).then_some(())
    });
    api.assert_clean();
    Call::new("DEL", "a", "app").done(&host);
    assert_deserted(&host, &api);
}

#[test]
fn short_leases_are_extended_also_by_the_next_agent() {
    let host = Host::start("leases-short").unwrap();
    let weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    let mut server = kea(&host);
    api.network("app", leased(json!({"families": ["IPv4"]})));
    born(&host, &["a"]);
    let (address, outside) = (api.address("a", 0), uplink::OUTSIDE_V4.to_string());
    let expiry = || api.endpoints("a")[0]["status"]["leases"][0]["expires"].as_u64();
    let first = expiry().unwrap();
    until("it is extended", || (expiry() > Some(first)).then_some(()));
    drop(weftd);
    assert!(pings(&host, "a", &outside), "without an agent");
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let taken_over = expiry().unwrap();
    until("it is extended again", || (expiry() > Some(taken_over)).then_some(()));
    assert_eq!(api.address("a", 0), address);
    assert!(pings(&host, "a", &outside));
    api.assert_clean();
    // Nobody extends it now.
    server.kill9().unwrap();
    let shown = || inside(&host, "a", &["address", "show", "dev", "eth0"]);
    until("the address is gone", || (!shown().contains(&address)).then_some(()));
    until("the record follows", || api.endpoints("a")[0]["status"]["addresses"].as_array()?.is_empty().then_some(()));
    api.assert_clean();
    let _server = kea(&host);
    until("it has an address again", || address_of(&api, "a"));
    until("it reaches outside again", || pings(&host, "a", &outside).then_some(()));
    Call::new("DEL", "a", "app").done(&host);
    assert_deserted(&host, &api);
}

#[test]
fn a_server_that_forgot_gives_another_address() {
    let host = Host::start("leases-forgot").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    let mut server = kea(&host);
    api.network("app", leased(json!({"families": ["IPv4"]})));
    born(&host, &["a", "b"]);
    let first = api.address("a", 0);
    server.kill9().unwrap();
    host.run(&["rm", "/tmp/kea.leases"]).unwrap();
    let _server = dnsmasq(&host, &[V4, "--dhcp-option=option:router,198.51.100.1"]);
    let second = until("it has another", || address_of(&api, "a").filter(|address| *address != first));
    until("it reaches outside", || pings(&host, "a", &uplink::OUTSIDE_V4.to_string()).then_some(()));
    until("it is reached", || pings(&host, "outside", &second).then_some(()));
    let shown = inside(&host, "a", &["address", "show", "dev", "eth0"]);
    assert!(!shown.contains(&first) && shown.contains(&second), "{shown}");
    let neighbour = until("so has its neighbour", || address_of(&api, "b"));
    until("they reach each other", || pings(&host, "a", &neighbour).then_some(()));
    api.assert_clean();
    for id in ["a", "b"] {
        Call::new("DEL", id, "app").done(&host);
    }
    assert_deserted(&host, &api);
}

#[test]
fn a_birth_that_no_server_answers_is_refused_and_leaves_nothing() {
    let host = Host::start("leases-silent").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    api.network("app", leased(json!({})));
    host.netns("a").unwrap();
    let refused = Call::new("ADD", "a", "app").run(&host);
    let told = refused.output.to_string();
    assert!(told.contains("no IPv4 address for eth0 within 10 s: nobody answered"), "{told}");
    assert!(inside(&host, "a", &["-o", "link"]).lines().all(|line| line.contains(": lo:") || line.contains("weft-x")));
    assert_deserted(&host, &api);
}

#[test]
fn what_a_birth_was_granted_is_given_back_if_it_fails() {
    let host = Host::start("leases-half").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    let server = dnsmasq(&host, &[V4]);
    api.network("app", leased(json!({"families": ["IPv4", "IPv6"]})));
    host.netns("a").unwrap();
    let refused = Call::new("ADD", "a", "app").run(&host);
    assert!(refused.output.to_string().contains("no IPv6 address for eth0"), "{refused:?}");
    until("it is given back", || server.log().contains("DHCPRELEASE").then_some(()));
    assert_deserted(&host, &api);
}

#[test]
fn an_address_that_another_endpoint_of_the_host_has_is_declined() {
    let host = Host::start("leases-held").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    // Another LAN, that numbers alike.
    host.netns("elsewhere").unwrap();
    let lay = "ip link add lan2 type veth peer name eth0 netns elsewhere && ip link set lan2 up && \
               ip -n elsewhere address add 198.51.100.1/24 dev eth0 && ip -n elsewhere link set eth0 up";
    host.run(&["sh", "-c", lay]).unwrap();
    let one = "--dhcp-range=198.51.100.50,198.51.100.50,255.255.255.0,2m";
    let _elsewhere = dnsmasq_in(&host, "elsewhere", &[one]);
    api.network("other", leased(json!({"families": ["IPv4"], "parent": "lan2"})));
    host.netns("holder").unwrap();
    Call::new("ADD", "holder", "other").done(&host);
    let mut server = dnsmasq(&host, &[one]);
    api.network("app", leased(json!({"families": ["IPv4"], "parent": "eth0"})));
    host.netns("a").unwrap();
    let refused = Call::new("ADD", "a", "app").run(&host);
    let told = refused.output.to_string();
    assert!(told.contains("198.51.100.50, which its server gave, is endpoint holder@eth0's on this host"), "{told}");
    assert!(server.log().contains("DHCPDECLINE"), "{}", server.log());
    server.kill9().unwrap();
    host.run(&["rm", &leases_of(uplink::OUTSIDE)]).unwrap();
    let _server =
        dnsmasq(&host, &["--dhcp-range=198.51.100.50,198.51.100.51,255.255.255.0,2m", "--dhcp-sequential-ip"]);
    Call::new("ADD", "a", "app").done(&host);
    assert_eq!(api.address("a", 0), "198.51.100.51");
    api.assert_clean();
    for (id, network) in [("a", "app"), ("holder", "other")] {
        Call::new("DEL", id, network).done(&host);
    }
    host.run(&["ip", "link", "delete", "lan2"]).unwrap();
    assert_deserted(&host, &api);
}

#[test]
fn an_agent_killed_in_the_midst_of_a_birth_leaves_nothing() {
    let host = Host::start("leases-killed").unwrap();
    let mut weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    api.network("app", leased(json!({"families": ["IPv4"]})));
    host.netns("a").unwrap();
    let mut killed_when = |moment: &str, reached: &dyn Fn() -> bool| {
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| Call::new("ADD", "a", "app").run(&host));
            until(moment, || reached().then_some(()));
            weftd.kill9().unwrap();
            let answer = asked.join().unwrap();
            weftd.restart().unwrap();
            // Whoever was told that it is born has it.
            assert!(!answer.ok || api.endpoints("a").len() == 1, "{moment}: {answer:?}");
        });
        Call::new("DEL", "a", "app").done(&host);
        api.assert_clean();
    };
    killed_when("it asks", &|| inside(&host, "a", &["-o", "link"]).contains("eth0"));
    let server = dnsmasq(&host, &[V4]);
    killed_when("it is granted one", &|| server.log().contains("DHCPACK"));
    killed_when("it has one", &|| inside(&host, "a", &["address"]).contains("198.51.100."));
    assert_deserted(&host, &api);
}

#[test]
fn a_namespace_that_dies_without_a_word_takes_its_lease_along() {
    let host = Host::start("leases-dead").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    let _server = dnsmasq(&host, &[V4]);
    api.network("app", leased(json!({"families": ["IPv4"]})));
    born(&host, &["a"]);
    host.run(&["ip", "netns", "delete", "a"]).unwrap();
    until("nobody is left", || api.endpoints("").is_empty().then_some(()));
    assert_deserted(&host, &api);
}

#[test]
fn no_container_gives_out_addresses_and_only_who_leases_one_asks_from_none() {
    let host = Host::start("leases-forge").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    let _server = dnsmasq(&host, &[V4]);
    api.network("app", leased(json!({"families": ["IPv4"]})));
    let pools = json!({"mode": "macvlan", "pools": ["198.51.100.0/24"], "ranges": ["198.51.100.128/25"]});
    api.network("pooled", pools);
    born(&host, &["a", "b"]);
    host.netns("p").unwrap();
    Call::new("ADD", "p", "pooled").done(&host);
    let (a, b) = (api.address("a", 0), api.address("b", 0));
    let forged = |id: &str, other: &str, from: (&str, u16), to: (&str, u16), reason: &str| {
        until("it has a neighbour", || pings(&host, id, other).then_some(()));
        let raw = RawSocket::open(&host, id, "eth0");
        let own = host.run(&["ip", "netns", "exec", id, "cat", "/sys/class/net/eth0/address"]).unwrap();
        let before = api.counted(id, "out", reason);
        let _ = raw.try_send(&raw.udp(weft_tests::mac(&own), from, to));
        (before, api.counted(id, "out", reason))
    };
    let (before, after) = forged("a", &b, (&a, 67), (&b, 68), "dhcp_server");
    assert_eq!(after, before + 1, "a server's answer");
    let asking = (("0.0.0.0", 68), ("255.255.255.255", 67));
    let (before, after) = forged("a", &b, asking.0, asking.1, "source_address");
    assert_eq!(after, before, "who leases may ask");
    let (before, after) = forged("p", &uplink::OUTSIDE_V4.to_string(), asking.0, asking.1, "source_address");
    assert_eq!(after, before + 1, "who has an address of weft's has nothing to ask");
}

#[test]
fn a_container_of_a_bridge_leases_an_address_besides() {
    let host = Host::start("leases-beside").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    let _server = dnsmasq(&host, &[V4, "--dhcp-option=option:router,198.51.100.1"]);
    api.network("inner", json!({"mode": "bridge", "pools": ["10.1.0.0/24"]}));
    api.network("app", leased(json!({"families": ["IPv4"]})));
    for id in ["c", "d"] {
        host.netns(id).unwrap();
        Call::new("ADD", id, "inner").done(&host);
    }
    host.run(&["weft", "attach", "c", "--network", "app"]).unwrap();
    let (physical, outside) = (api.address("c@eth1", 0), uplink::OUTSIDE_V4.to_string());
    until("the outside reaches it", || pings(&host, "outside", &physical).then_some(()));
    assert!(pings(&host, "c", &outside) && pings(&host, "c", &api.address("d", 0)));
    let route = inside(&host, "c", &["route", "get", "203.0.113.9", "from", &physical]);
    assert!(route.contains("dev eth1") && route.contains("via 198.51.100.1"), "{route}");
    let route = inside(&host, "c", &["route", "get", "203.0.113.9"]);
    assert!(route.contains("dev eth0"), "{route}");
    api.assert_clean();
    host.run(&["weft", "detach", "c@eth1"]).unwrap();
    for id in ["c", "d"] {
        Call::new("DEL", id, "inner").done(&host);
    }
    assert_deserted(&host, &api);
}
