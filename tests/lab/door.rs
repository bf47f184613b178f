//! What passes an endpoint's door: whatever its container does inside, it speaks for itself alone.

use std::net::{IpAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use weft_lab::Host;
use weft_netns::Netns;
use weft_tests::{Api, Call, RawSocket, endurance, pings, populate, until};

/// Frames of each kind that a container forges.
const FORGED: u64 = 50;

/// How long agents are killed and replaced under traffic.
const KILLING: Duration = Duration::from_secs(4);
/// Between two of an endpoint's datagrams.
const PACE: Duration = Duration::from_micros(500);
/// Far longer than a datagram takes.
const ARRIVAL_MAX: Duration = Duration::from_secs(2);
const PORT: u16 = 9;

#[test]
fn a_container_that_forges_frames_by_a_raw_socket_gets_none_through() {
    for mode in ["bridge", "routed"] {
        let host = Host::start(&format!("forge-{mode}")).unwrap();
        let _weftd = host.weftd::<&str>(&[]).unwrap();
        let api = populate(&host, mode);
        let (own, other) = (api.address("a", 0), api.address("b", 0));
        let (own_v6, other_v6) = (api.address("a", 1), api.address("b", 1));
        let before = api.counted("b", "in", "");
        // Past the queueing discipline of its own link: nothing inside could have stopped it.
        let raw = RawSocket::open(&host, "a", "eth0");
        let forged = raw.forgeries([&own, &own_v6], [&other, &other_v6]);
        for (reason, frame) in &forged {
            let expected = api.counted("a", "out", reason) + FORGED;
            (0..FORGED).for_each(|_| raw.send(frame));
            until(reason, || (api.counted("a", "out", reason) == expected).then_some(()));
        }
        // The host's own stack says some words about multicast meanwhile.
        assert!(api.counted("b", "in", "") < before + FORGED, "{mode}: {:?}", api.get("/v1/counters"));
        for to in [&other, &other_v6] {
            assert!(pings(&host, "a", to), "{mode}: honest packets pass");
        }
        let listed = host.run(&["weft", "endpoint", "stats", "a"]).unwrap();
        assert!(listed.contains("source_address") && listed.contains("dropped"), "{listed}");
        let metrics = api.metrics();
        let dropped = "weft_packets_total{network=\"app\",endpoint=\"default/a\",interface=\"eth0\",\
            direction=\"out\",verdict=\"dropped\",reason=\"source_address\"} 150\n";
        assert!(metrics.contains(dropped) && metrics.ends_with("# EOF\n"), "{metrics}");
    }
}

#[test]
fn another_address_on_the_containers_link_leads_nowhere_until_it_is_allowed() {
    for mode in ["bridge", "routed"] {
        let host = Host::start(&format!("claims-{mode}")).unwrap();
        let _weftd = host.weftd::<&str>(&[]).unwrap();
        let api = populate(&host, mode);
        let virtual_address = "10.1.0.200";
        host.run(&["ip", "-n", "a", "address", "add", "10.1.0.200/32", "dev", "eth0"]).unwrap();
        let claims = || {
            let to = api.address("b", 0);
            let ping = ["ip", "netns", "exec", "a", "busybox", "ping", "-c1", "-W1", "-I", virtual_address, &to];
            // Nobody knows the way back: what counts is whether it leaves.
            let _ = host.run(&ping);
        };
        claims();
        let dropped = api.counted("a", "out", "source_address");
        assert!(dropped > 0);
        let network = |allowed: &[&str]| {
            let pools = ["10.1.0.0/24", "fd61::/64"];
            json!({"mode": mode, "pools": pools, "allowedAddresses": allowed})
        };
        api.change("app", network(&[virtual_address]));
        let passed = api.counted("a", "out", "");
        claims();
        assert_eq!(api.counted("a", "out", "source_address"), dropped);
        assert!(api.counted("a", "out", "") > passed);
        api.change("app", network(&["10.1.0.201", "fd61:1::/64"]));
        claims();
        assert!(api.counted("a", "out", "source_address") > dropped, "not any more, though others are");
        host.run(&["ip", "-n", "a", "link", "set", "eth0", "address", "02:00:00:00:00:77"]).unwrap();
        assert!(!pings(&host, "a", &api.address("b", 0)), "another MAC address");
        assert!(api.counted("a", "out", "source_mac") > 0);
    }
}

#[test]
fn networks_are_apart_until_each_lists_the_other() {
    let host = Host::start("apart").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    let app = |peers: &[&str]| json!({"mode": "bridge", "pools": ["10.1.0.0/24", "fd61::/64"], "peers": peers});
    let back = |peers: &[&str]| json!({"mode": "routed", "pools": ["10.2.0.0/24", "fd62::/64"], "peers": peers});
    api.network("app", app(&[]));
    api.network("back", back(&[]));
    for (id, network) in [("a", "app"), ("b", "back")] {
        host.netns(id).unwrap();
        Call::new("ADD", id, network).done(&host);
    }
    let reach = || [pings(&host, "a", "10.2.0.1"), pings(&host, "a", "fd62::1"), pings(&host, "b", "10.1.0.2")];
    assert_eq!(reach(), [false; 3]);
    assert_eq!(api.counted("a", "out", "network"), 2);
    api.change("app", app(&["back"]));
    assert_eq!(reach(), [false; 3], "one side is not enough");
    api.change("back", back(&["app"]));
    assert_eq!(reach(), [true; 3]);
    api.change("app", app(&[]));
    assert_eq!(reach(), [false; 3], "and not any more");
}

#[test]
fn doors_stay_shut_without_an_agent_and_the_next_one_takes_them_over() {
    let host = Host::start("adopt").unwrap();
    let mut weftd = host.weftd::<&str>(&[]).unwrap();
    let api = populate(&host, "routed");
    host.run(&["ip", "-n", "a", "address", "add", "10.1.0.200/32", "dev", "eth0"]).unwrap();
    let claim = ["ip", "netns", "exec", "a", "busybox", "ping", "-c1", "-W1", "-I", "10.1.0.200", "10.1.0.2"];
    weftd.kill9().unwrap();
    assert!(host.run(&claim).is_err() && pings(&host, "a", "10.1.0.2"));
    weftd.restart().unwrap();
    assert_eq!(api.counted("a", "out", "source_address"), 1, "counted while nobody looked");
    assert!(host.run(&claim).is_err() && pings(&host, "a", "10.1.0.2"));

    // Filters that somebody takes away are put back.
    let link = api.endpoints("a")[0]["status"]["hostLink"].as_str().unwrap().to_owned();
    weftd.kill9().unwrap();
    host.run(&["tc", "qdisc", "delete", "dev", &link, "clsact"]).unwrap();
    weftd.restart().unwrap();
    api.assert_clean();
    assert!(host.run(&claim).is_err() && pings(&host, "a", "10.1.0.2"));

    Call::new("DEL", "a", "app").done(&host);
    Call::new("DEL", "b", "app").done(&host);
    let entries = || host.run(&["sh", "-c", "bpftool map dump pinned /sys/fs/bpf/weft/v1/weft_endpoints"]).unwrap();
    assert!(entries().contains("Found 0 elements") || entries().trim() == "[]", "{}", entries());
}

/// A socket of a container.
fn socket(host: &Host, netns: &str, address: &str) -> UdpSocket {
    let address: IpAddr = address.parse().unwrap();
    let inside = Netns::open(host.path(format!("/run/netns/{netns}"))).unwrap();
    let socket = inside.within(|| UdpSocket::bind((address, PORT)).unwrap()).unwrap();
    socket.set_read_timeout(Some(ARRIVAL_MAX)).unwrap();
    socket
}

/// Numbered datagrams at a steady pace until `stop`; how many.
fn pace(from: &UdpSocket, to: &UdpSocket, stop: &AtomicBool) -> u64 {
    let (to, began) = (to.local_addr().unwrap(), Instant::now());
    let mut sent = 0u64;
    while !stop.load(Ordering::Relaxed) {
        from.send_to(&sent.to_be_bytes(), to).unwrap();
        sent += 1;
        // A pace, not a wait: what is measured is a steady sender.
        let due = began + PACE * u32::try_from(sent).unwrap();
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    from.send_to(&u64::MAX.to_be_bytes(), to).unwrap();
    sent
}

/// The numbers that came, in order; anything else is somebody else's. Ends with the last one.
fn heard(socket: &UdpSocket) -> (u64, u64) {
    let (mut honest, mut others) = (0, 0);
    loop {
        let mut bytes = [0; 8];
        let (length, _) = socket.recv_from(&mut bytes).expect("datagrams come until the last one");
        match u64::from_be_bytes(bytes) {
            u64::MAX if length == 8 => return (honest, others),
            number if length == 8 && number >= honest => honest += 1,
            _ => others += 1,
        }
    }
}

#[test]
fn agents_that_are_killed_and_replaced_under_traffic_lose_no_packet_and_let_no_forged_one_in() {
    for mode in ["bridge", "routed"] {
        let host = Host::start(&format!("replace-{mode}")).unwrap();
        let mut weftd = host.weftd::<&str>(&[]).unwrap();
        let api = populate(&host, mode);
        let of = |id: &str| [api.address(id, 0), api.address(id, 1)];
        let (a, b) = (of("a"), of("b"));
        let sockets = |id: &str, addresses: &[String; 2]| [0, 1].map(|n| socket(&host, id, &addresses[n]));
        let (from, to) = (sockets("a", &a), sockets("b", &b));
        let raw = RawSocket::open(&host, "a", "eth0");
        let forged = raw.forgeries([&a[0], &a[1]], [&b[0], &b[1]]);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let stop = &stop;
            let heard: Vec<_> = to.iter().map(|to| scope.spawn(|| heard(to))).collect();
            let pairs = from.iter().zip(&to);
            let sent: Vec<_> = pairs.map(|(from, to)| scope.spawn(move || pace(from, to, stop))).collect();
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    forged.iter().for_each(|(_, frame)| raw.send(frame));
                }
            });
            let until = Instant::now() + endurance(KILLING);
            let mut killed = 0;
            while Instant::now() < until {
                weftd.kill9().unwrap();
                weftd.restart().unwrap();
                killed += 1;
            }
            stop.store(true, Ordering::Relaxed);
            let sent: Vec<u64> = sent.into_iter().map(|thread| thread.join().unwrap()).collect();
            let heard: Vec<_> = heard.into_iter().map(|thread| thread.join().unwrap()).collect();
            println!("{mode}: {killed} agents killed, {sent:?} datagrams");
            assert_eq!(heard, [(sent[0], 0), (sent[1], 0)], "{mode}");
        });
        let clean = ["malformed", "source_address"].map(|reason| api.counted("b", "out", reason));
        assert_eq!(clean, [0; 2]);
        api.assert_clean();
    }
}
