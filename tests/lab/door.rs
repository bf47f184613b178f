//! What passes an endpoint's door: whatever its container does inside, it speaks for itself alone.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use weft_lab::Host;
use weft_tests::{Api, Call, Datagrams, Load, RawSocket, endurance, inside, pings, populate, until};

/// Frames of each kind that a container forges.
const FORGED: u64 = 50;

/// How long agents are killed and replaced under traffic.
const KILLING: Duration = Duration::from_secs(4);
/// Between two batches of forged frames.
const FORGING: Duration = Duration::from_micros(200);

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
fn a_link_that_is_moved_to_another_namespace_has_its_door_still() {
    let host = Host::start("moved").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = populate(&host, "routed");
    let (own, other) = (api.address("a", 0), api.address("b", 0));
    host.netns("c").unwrap();
    host.run(&["ip", "-n", "a", "link", "set", "eth0", "netns", "c"]).unwrap();
    let inside = |line: &str| {
        let words: Vec<_> = ["ip", "-n", "c"].into_iter().chain(line.split(' ')).collect();
        host.run(&words).unwrap();
    };
    inside("link set eth0 up");
    inside("address add 10.1.0.200/32 dev eth0");
    inside("route add 169.254.1.1 dev eth0");
    inside("route add default via 169.254.1.1");
    assert!(!pings(&host, "c", &other), "it asks for the gateway in another's name");
    assert!(api.counted("a", "out", "source_arp") > 0);
    // The last address takes the routes along.
    inside(&format!("address add {own}/32 dev eth0"));
    inside("address delete 10.1.0.200/32 dev eth0");
    until("its own address passes", || pings(&host, "c", &other).then_some(()));
}

#[test]
fn a_tunnel_to_the_host_is_no_way_in_for_a_container() {
    let host = Host::start("tunnel").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = populate(&host, "routed");
    let says = |to: &str, port: u16| {
        let to = SocketAddr::new(to.parse().unwrap(), port);
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = inside(&host, "a").within(|| UdpSocket::bind(any).unwrap()).unwrap();
        socket.send_to(b"hello", to).unwrap();
    };
    // The host's own addresses: on its uplink, and the gateway's.
    for (n, to) in ["198.51.100.2", "2001:db8:100::2", "169.254.1.1"].into_iter().enumerate() {
        says(to, 4789);
        assert_eq!(api.counted("a", "out", "tunnel"), n as u64 + 1, "{to}");
    }
    says("198.51.100.1", 4789);
    says("198.51.100.2", 4788);
    assert_eq!(api.counted("a", "out", "tunnel"), 3, "others are none of weft's business");
    // An address that the host is given later.
    host.run(&["ip", "address", "add", "192.0.2.77/32", "dev", "lo"]).unwrap();
    until("the new address is known", || {
        says("192.0.2.77", 4789);
        (api.counted("a", "out", "tunnel") > 3).then_some(())
    });
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
    let entries = || host.run(&["sh", "-c", "bpftool map dump pinned /sys/fs/bpf/weft/v*/weft_endpoints"]).unwrap();
    assert!(entries().contains("Found 0 elements") || entries().trim() == "[]", "{}", entries());
}

#[test]
fn agents_that_are_killed_and_replaced_under_traffic_lose_no_packet_and_let_no_forged_one_in() {
    for mode in ["bridge", "routed"] {
        let host = Host::start(&format!("replace-{mode}")).unwrap();
        let mut weftd = host.weftd::<&str>(&[]).unwrap();
        let api = populate(&host, mode);
        let [a, b] = ["a", "b"].map(|id| [api.address(id, 0), api.address(id, 1)]);
        let raw = RawSocket::open(&host, "a", "eth0");
        let forged = raw.forgeries([&a[0], &a[1]], [&b[0], &b[1]]);
        let load = Load::start(&host, ("a", &a), ("b", &b));
        let stop = AtomicBool::new(false);
        let mut replaced = 0;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    forged.iter().for_each(|(_, frame)| raw.send(frame));
                    // The honest ones want their turn, too.
                    std::thread::sleep(FORGING);
                }
            });
            let until = Instant::now() + endurance(KILLING);
            while Instant::now() < until {
                if replaced % 2 == 0 { weftd.kill9() } else { weftd.terminate() }.unwrap();
                weftd.restart().unwrap();
                replaced += 1;
            }
            stop.store(true, Ordering::Relaxed);
        });
        let (datagrams, requests) = load.finish();
        println!("{mode}: {replaced} agents replaced, {datagrams:?}, {requests:?}");
        for Datagrams { sent, heard, foreign } in datagrams {
            assert_eq!((heard, foreign), (sent, 0), "{mode}");
        }
        for loops in requests {
            assert!(loops.answered > 0 && loops.retransmitted == 0, "{mode}: {loops:?}");
        }
        for direction in ["in", "out"] {
            let counters = api.items("/v1/counters?match=b");
            let dropped = counters.iter().any(|row| row["direction"] == direction && row["verdict"] == "dropped");
            assert!(!dropped, "{mode}: {counters:?}");
        }
        api.assert_clean();
    }
}
