//! Endpoints that may send from more than their own addresses: asked for while they live, and at birth.

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use serde_json::{Value, json};
use weft_lab::Host;
use weft_tests::{Api, Call, assert_deserted, inside, pings, populate, until};

const PORT: u16 = 9;
/// Far longer than an answer takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// Of either family: an address that is none of any network's.
const GUESTS: [&str; 2] = ["10.7.0.9", "fd67::9"];
/// The same as they are shown.
const SHOWN: [&str; 2] = ["10.7.0.9/32", "fd67::9/128"];
const MAP: &str = "/sys/fs/bpf/weft/v*/weft_endpoint_allowed";

/// The addresses of an endpoint.
fn addresses(api: &Api, endpoint: &str) -> [String; 2] {
    [0, 1].map(|family| api.address(endpoint, family))
}

fn host_link(api: &Api, endpoint: &str) -> String {
    api.endpoints(endpoint)[0]["status"]["hostLink"].as_str().unwrap().to_owned()
}

/// What an endpoint is allowed.
fn allowed(api: &Api, endpoint: &str) -> Value {
    api.endpoints(endpoint)[0]["status"]["allowedAddresses"].clone()
}

/// Gives the guests to a container, as one that hosts others has them, and tells the host the way.
fn move_in(host: &Host, api: &Api, container: &str) {
    let (_, network) = api.get("/v1/networks/app");
    let link = network["status"]["link"].as_str().map_or_else(|| host_link(api, container), str::to_owned);
    for (guest, own) in GUESTS.into_iter().zip(addresses(api, container)) {
        host.run(&["ip", "-n", container, "address", "add", guest, "dev", "lo"]).unwrap();
        host.run(&["ip", "route", "replace", guest, "via", &own, "dev", &link, "onlink"]).unwrap();
    }
}

/// Whether `to` answers what a container sends in the name of either guest.
fn guests_ping(host: &Host, from: &str, to: &[String; 2]) -> [bool; 2] {
    [0, 1].map(|n| {
        host.run(&["ip", "netns", "exec", from, "busybox", "ping", "-c1", "-W1", "-I", GUESTS[n], &to[n]]).is_ok()
    })
}

fn post(api: &Api, request: Value) -> (u16, Value) {
    api.post("/v1/endpoints/allowances", &request)
}

/// What is allowed after a request that is granted.
fn allow(api: &Api, request: Value) -> Value {
    let (status, endpoint) = post(api, request);
    assert_eq!(status, 200, "{endpoint}");
    endpoint["status"]["allowedAddresses"].clone()
}

fn is_map_empty(host: &Host) -> bool {
    let entries = host.run(&["sh", "-c", &format!("bpftool map dump pinned {MAP}")]).unwrap();
    entries.contains("Found 0 elements") || entries.trim() == "[]"
}

/// A conversation of datagrams between a guest of `from` and an endpoint, both of whom have spoken.
fn converse(host: &Host, (from, guest): (&str, &str), (to, address): (&str, &str)) -> [UdpSocket; 2] {
    let open = |netns: &str, ip: &str, port: u16| {
        let socket = inside(host, netns).within(|| UdpSocket::bind((ip.parse::<IpAddr>().unwrap(), port)).unwrap());
        let socket = socket.unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    };
    let [client, server] = [open(from, guest, PORT), open(to, address, PORT)];
    for (one, other) in [(&client, &server), (&server, &client), (&client, &server)] {
        one.connect(other.local_addr().unwrap()).unwrap();
        one.send(b"hello").unwrap();
        other.recv(&mut [0; 8]).unwrap();
    }
    [client, server]
}

#[test]
fn an_endpoint_is_allowed_more_while_it_lives_until_it_is_taken_back() {
    for mode in ["bridge", "routed"] {
        let host = Host::start(&format!("allow-{mode}")).unwrap();
        let mut weftd = host.weftd::<&str>(&[]).unwrap();
        let api = populate(&host, mode);
        let (a, b) = (addresses(&api, "a"), addresses(&api, "b"));
        let dropped = |endpoint: &str| api.counted(endpoint, "out", "source_address");
        move_in(&host, &api, "a");
        assert_eq!(guests_ping(&host, "a", &b), [false; 2], "{mode}");
        let before = dropped("a");
        assert!(before >= 2, "{mode}: {before}");

        assert_eq!(allow(&api, json!({"endpoint": "a", "add": GUESTS})), json!(SHOWN));
        api.assert_clean();
        assert_eq!(guests_ping(&host, "a", &b), [true; 2], "{mode}: they pass, and answers come back");
        assert!(GUESTS.iter().all(|guest| pings(&host, "b", guest)), "{mode}: and others reach them");
        assert_eq!(dropped("a"), before, "{mode}");
        for guest in GUESTS {
            host.run(&["ip", "-n", "b", "address", "add", guest, "dev", "lo"]).unwrap();
        }
        assert_eq!(guests_ping(&host, "b", &a), [false; 2], "{mode}: the neighbour may not");
        assert!(dropped("b") >= 2, "{mode}");
        for guest in GUESTS {
            host.run(&["ip", "-n", "b", "address", "delete", guest, "dev", "lo"]).unwrap();
        }

        weftd.kill9().unwrap();
        assert_eq!(guests_ping(&host, "a", &b), [true; 2], "{mode}: without an agent");
        weftd.restart().unwrap();
        assert_eq!(allowed(&api, "a"), json!(SHOWN));
        api.assert_clean();
        assert_eq!(guests_ping(&host, "a", &b), [true; 2], "{mode}: with the next one");

        for (n, guest) in GUESTS.into_iter().enumerate() {
            let [client, server] = converse(&host, ("a", guest), ("b", &b[n]));
            let before = dropped("a");
            let left = allow(&api, json!({"endpoint": "a", "remove": [guest]}));
            assert_eq!(left, [json!(SHOWN[1..]), Value::Null][n], "{mode}");
            client.send(b"again").unwrap();
            until("its next packet is dropped", || (dropped("a") > before).then_some(()));
            server.set_nonblocking(true).unwrap();
            assert!(server.recv(&mut [0; 8]).is_err(), "{mode}");
        }
        api.assert_clean();
        assert_eq!(guests_ping(&host, "a", &b), [false; 2], "{mode}");
        assert!(b.iter().all(|to| pings(&host, "a", to)), "{mode}: its own pass");
        assert!(is_map_empty(&host), "{mode}");
        for id in ["a", "b"] {
            Call::new("DEL", id, "app").done(&host);
        }
        assert_deserted(&host, &api);
    }
}

#[test]
fn a_container_is_born_with_what_its_annotation_allows_and_leaves_nothing() {
    let host = Host::start("allow-cni").unwrap();
    let weftd = host.weftd::<&str>(&[]).unwrap();
    let api = populate(&host, "bridge");
    host.netns("c").unwrap();
    let born = |text: &str| {
        let annotations = json!({"weft.dev/allowed-addresses": text});
        Call::new("ADD", "c", "app").with("runtimeConfig", json!({"io.kubernetes.cri.pod-annotations": annotations}))
    };
    let told = born("10.7.0.0/24").refused(&host, 7);
    assert!(told.contains("this weftd takes none: start it with --allow-by-annotation on"), "{told}");
    drop(weftd);
    let _weftd = host.weftd(&["--allow-by-annotation", "on"]).unwrap();
    for (text, expected) in [
        ("10.7.0.9, 10.7.0.1/24", "annotation: weft.dev/allowed-addresses[1] \"10.7.0.1/24\": has host bits set"),
        ("::/0", "weft.dev/allowed-addresses[0] \"::/0\": would allow everything"),
        (&(0..65).map(|n| format!("10.7.1.{n},")).collect::<String>(), "65 allowed addresses: list 64 at most"),
    ] {
        let told = born(text).refused(&host, 7);
        assert!(told.contains(expected), "{told}");
        assert!(api.endpoints("c").is_empty());
    }

    let result = born("10.7.0.0/24, fd67::9").done(&host);
    assert_eq!(allowed(&api, "c"), json!(["10.7.0.0/24", "fd67::9/128"]));
    move_in(&host, &api, "c");
    assert_eq!(guests_ping(&host, "c", &addresses(&api, "b")), [true; 2]);
    assert_eq!(api.counted("c", "out", "source_address"), 0, "from its first packet on");
    Call::new("CHECK", "c", "app").with("prevResult", result).done(&host);
    api.assert_clean();
    Call::new("DEL", "c", "app").done(&host);
    assert!(is_map_empty(&host));

    // The same container again, of which its runtime says nothing.
    Call::new("ADD", "c", "app").done(&host);
    assert_eq!(allowed(&api, "c"), Value::Null);
    assert_eq!(guests_ping(&host, "c", &addresses(&api, "b")), [false; 2]);
}

#[test]
fn what_somebody_writes_into_the_programs_map_is_noticed_and_taken_back() {
    let host = Host::start("allow-kept").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = populate(&host, "routed");
    let b = addresses(&api, "b");
    move_in(&host, &api, "a");
    allow(&api, json!({"endpoint": "a", "add": [GUESTS[0]]}));
    let index = host.run(&["cat", &format!("/sys/class/net/{}/ifindex", host_link(&api, "a"))]).unwrap();
    let link = index.trim().parse::<u32>().unwrap().to_ne_bytes();
    // How many bits count, the link, the address.
    let key = |address: IpAddr| {
        let prefix = match address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        };
        let bytes = [&(32 + 128u32).to_ne_bytes()[..], &link, &prefix].concat();
        bytes.iter().map(|byte| format!("{byte:02x} ")).collect::<String>()
    };
    let [of_ipv4, of_ipv6] = GUESTS.map(|guest| key(guest.parse().unwrap()));
    for spoil in [
        format!("update pinned {MAP} key hex {of_ipv6} value hex 01"),
        format!("delete pinned {MAP} key hex {of_ipv4}"),
    ] {
        host.run(&["sh", "-c", &format!("bpftool map {spoil}")]).unwrap();
        assert!(!api.findings().is_empty(), "{spoil}");
        api.round();
        api.assert_clean();
        assert_eq!(guests_ping(&host, "a", &b), [true, false], "{spoil}");
    }
}

#[test]
fn what_is_allowed_is_changed_and_shown_by_the_command_and_refused_with_the_remedy() {
    let host = Host::start("allow-command").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = populate(&host, "routed");
    let allow = |line: &str| {
        let words: Vec<_> = "weft endpoint allow".split(' ').chain(line.split(' ')).collect();
        host.run(&words).map_err(|error| format!("{error:#}"))
    };
    assert!(allow("a").unwrap().contains("Allowed:    none besides its own"));
    assert!(allow("a 10.7.0.9 fd67::/64").unwrap().contains("Allowed:    10.7.0.9/32, fd67::/64"));
    assert!(allow("a 10.7.0.9 10.7.0.8").unwrap().contains("Allowed:    10.7.0.8/32, 10.7.0.9/32, fd67::/64"), "adds");
    assert!(host.run(&["weft", "describe", "endpoint", "a"]).unwrap().contains("10.7.0.8/32, 10.7.0.9/32, fd67::/64"));
    assert!(allow("a --remove 10.7.0.9/32 fd67::/64").unwrap().contains("Allowed:    10.7.0.8/32\n"));
    for (line, expected) in [
        ("a --remove 10.7.0.8 10.7.0.9", "10.7.0.9/32 is not among its allowed addresses: see `weft endpoint allow a`"),
        ("a 10.7.0.7 10.7.0.1/24", "endpoint default/a: add[1] \"10.7.0.1/24\": has host bits set: write 10.7.0.0/24"),
        ("a 0.0.0.0/0", "add[0] \"0.0.0.0/0\": would allow everything: list what endpoints really send from"),
        ("a ::/0", "add[0] \"::/0\": would allow everything"),
        ("a web", "add[0] \"web\": is not a CIDR: write ADDRESS/LENGTH"),
        ("a --remove 10.7.0.1/24", "remove[0] \"10.7.0.1/24\": has host bits set"),
        ("nobody 10.7.0.7", "there is no endpoint \"nobody\""),
    ] {
        let error = allow(line).unwrap_err();
        assert!(error.contains(expected), "{error}");
        assert_eq!(allowed(&api, "a"), json!(["10.7.0.8/32"]), "nothing was changed");
    }
    let many: Vec<_> = (0..64).map(|n| format!("10.7.1.{n}")).collect();
    let (status, refused) = post(&api, json!({"endpoint": "a", "add": many}));
    assert_eq!(status, 400, "{refused}");
    assert!(refused.to_string().contains("65 allowed addresses: list 64 at most"), "{refused}");
    let only = post(&api, json!({"endpoint": "a", "removeAll": true, "add": many})).1;
    assert_eq!(only["status"]["allowedAddresses"].as_array().map(Vec::len), Some(64), "{only}");
    api.assert_clean();
    assert!(allow("a --none").unwrap().contains("Allowed:    none besides its own"));

    api.network("bare", json!({"mode": "none"}));
    host.netns("n").unwrap();
    Call::new("ADD", "n", "bare").done(&host);
    let error = allow("n 10.7.0.9").unwrap_err();
    assert!(error.contains("attachment none has no link at whose door sources are checked: use bridge or"), "{error}");
    api.assert_clean();
}
