//! What people see of packets: flows with names, connections, and what nobody was told of.

use std::net::UdpSocket;

use serde_json::{Value, json};
use weft_lab::Host;
use weft_tests::{Call, RawSocket, inside, pings, populate, until};

/// Far more drops than are told of one by one.
const FLOOD: u64 = 100_000;
/// More than the ring has room for.
const OPENED: u16 = 20_000;

#[test]
fn flows_have_names_verdicts_and_reasons() {
    let host = Host::start("sight").unwrap();
    let mut weftd = host.weftd::<&str>(&[]).unwrap();
    let api = populate(&host, "routed");
    let (a, b) = (api.address("a", 0), api.address("b", 1));
    assert!(pings(&host, "a", &b) && !pings(&host, "a", "10.9.9.9"));
    host.run(&["ip", "-n", "a", "address", "add", "10.1.0.200/32", "dev", "eth0"]).unwrap();
    let _ = host.run(&["ip", "netns", "exec", "a", "busybox", "ping", "-c1", "-W1", "-I", "10.1.0.200", &a]);
    let _ = host.run(&["ip", "netns", "exec", "a", "busybox", "ping", "-c1", "-W1", "-I", "10.1.0.200", "10.9.9.9"]);
    let dropped = until("a drop is seen", || {
        api.items("/v1/flows?verdict=dropped&reason=source_address&match=a&waitMs=2000").into_iter().next()
    });
    assert_eq!((&dropped["door"], &dropped["direction"]), (&"default/a".into(), &"out".into()), "{dropped}");
    assert_eq!(dropped["from"]["address"], "10.1.0.200");
    assert!(dropped["meaning"].as_str().unwrap().contains("not the endpoint's"), "{dropped}");
    let echo = &api.items("/v1/flows?from=a&to=b&protocol=icmpv6&verdict=passed")[0];
    assert_eq!(
        (&echo["event"], &echo["way"], &echo["to"]["network"]),
        (&"opened".into(), &"short".into(), &"app".into())
    );

    let observed = host.run(&["weft", "observe", "--from", "a", "--to", "b", "--protocol", "ICMPv6"]).unwrap();
    assert!(observed.contains("default/b") && observed.contains("ICMPv6"), "{observed}");
    let connections = host.run(&["weft", "connections", "a", "-o", "json"]).unwrap();
    assert!(connections.contains("\"established\""), "{connections}");
    for (query, word) in [("verdict=lost", "passed"), ("reason=bad", "source_mac"), ("protocol=tpc", "TCP")] {
        let (status, refusal) = api.get(&format!("/v1/flows?{query}"));
        assert!(status == 400 && refusal.to_string().contains(word), "{refusal}");
    }

    // One who follows hears of what comes, also after the agent was started anew.
    let mut follower = host.spawn("follow", &["weft", "observe", "-f", "--last", "0", "-o", "json", "b"]).unwrap();
    let heard = || {
        let lines = follower.log();
        let flows = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        flows.filter(|flow| flow["to"]["endpoint"] == "default/b").count()
    };
    until("the follower hears", || {
        pings(&host, "a", &b);
        (heard() > 0).then_some(())
    });
    weftd.kill9().unwrap();
    weftd.restart().unwrap();
    let before = heard();
    until("the follower hears the next agent", || {
        pings(&host, "a", &b);
        (heard() > before).then_some(())
    });
    follower.kill9().unwrap();
}

#[test]
fn a_flood_of_drops_is_counted_and_hides_nothing_else() {
    let host = Host::start("flood").unwrap();
    let mut weftd = host.weftd::<&str>(&[]).unwrap();
    let api = populate(&host, "bridge");
    let of = |id: &str| [api.address(id, 0), api.address(id, 1)];
    let ([a4, a6], [b4, b6]) = (of("a"), of("b"));
    let raw = RawSocket::open(&host, "a", "eth0");
    let (reason, frame) = raw.forgeries([&a4, &a6], [&b4, &b6]).into_iter().next().unwrap();
    // Nobody reads meanwhile, so the ring may fill, too.
    weftd.kill9().unwrap();
    (0..FLOOD).for_each(|_| raw.send(&frame));
    let socket = inside(&host, "a").within(|| UdpSocket::bind("0.0.0.0:0").unwrap()).unwrap();
    // More connections than the ring holds.
    for port in 1..=OPENED {
        // Nobody listens, and the kernel says so now and then.
        let _ = socket.send_to(b"hello", (b4.as_str(), port));
    }
    assert!(pings(&host, "a", &b4));
    weftd.restart().unwrap();
    assert!(pings(&host, "a", &b4));
    assert_eq!(api.counted("a", "out", reason), FLOOD, "all of them count");
    until("the honest one is seen", || {
        let seen = api.items("/v1/flows?from=a&to=b&verdict=passed&waitMs=2000");
        (!seen.is_empty()).then_some(())
    });
    let metrics = api.metrics();
    let untold = metrics.lines().find_map(|line| line.strip_prefix("weft_flows_untold_total ")).unwrap();
    assert!(untold.parse::<u64>().unwrap() > 0, "{metrics}");
}

#[test]
fn an_agent_that_tells_of_no_flows_says_so_and_counts_tracks_and_captures_all_the_same() {
    let host = Host::start("silent").unwrap();
    let _weftd = host.weftd(&["--flow-events", "off"]).unwrap();
    let api = populate(&host, "routed");
    let b = api.address("b", 0);
    let capture = host.spawn("capture", &["weft", "pcap", "a", "--count", "1"]).unwrap();
    until("a packet is captured", || {
        assert!(pings(&host, "a", &b));
        capture.has_ended().then_some(())
    });
    assert!(capture.log().contains("1 packets captured"), "{}", capture.log());
    assert!(api.counted("a", "out", "") > 0);
    let connections = host.run(&["weft", "connections", "a"]).unwrap();
    assert!(connections.contains("ICMP"), "{connections}");
    for follow in [&[][..], &["--follow"]] {
        let refused = host.run(&[&["weft", "observe"], follow].concat()).unwrap_err().to_string();
        assert!(refused.contains("tells of no flows") && refused.contains("--flow-events on"), "{refused}");
    }
    assert_eq!(api.get("/v1/flows?waitMs=1").0, 409);
    let status = host.run(&["weft", "status"]).unwrap();
    let row = status.lines().find(|line| line.trim_start().starts_with("flows")).unwrap();
    assert!(row.contains("--flow-events on"), "{row}");
}

#[test]
fn why_answers_from_the_kernel_who_may_speak_to_whom() {
    let host = Host::start("why").unwrap();
    let mut weftd = host.weftd::<&str>(&[]).unwrap();
    let api = populate(&host, "routed");
    api.network("back", json!({"mode": "bridge", "pools": ["10.2.0.0/24", "fd62::/64"], "internal": true}));
    host.netns("c").unwrap();
    Call::new("ADD", "c", "back").done(&host);
    let why = |from: &str, to: &str| {
        let told = host.run(&["sh", "-c", &format!("weft why {from} '{to}' 2>&1; echo exit $?")]).unwrap();
        let exit = told.trim_end().rsplit_once("exit ").unwrap().1.parse::<u8>().unwrap();
        (exit, told)
    };
    for (from, to, exit, word) in [
        ("a", "b:80", 0, "from door to door"),
        ("a", "b", 0, "ICMPv6"),
        ("a", "b:53/udp", 0, "UDP"),
        ("a", "c:80", 3, "network: An endpoint of another network"),
        ("a", "198.51.100.1:443", 0, "by link"),
        ("a", "10.1.0.250:80", 3, "the host's routes"),
        ("c", "198.51.100.1:443", 3, "back is internal"),
        ("198.51.100.1", "c:80", 3, "back is internal"),
        ("198.51.100.1", "a:80", 0, "door of default/a, in"),
        ("198.51.100.2", "c:80", 0, "door of default/c, in"),
        ("a", "nobody:80", 1, "no endpoint"),
        ("a", "b:http", 2, "no port"),
        ("a", "b:80/icmpv6", 1, "ICMP has none"),
        ("10.1.0.9", "fd61::1", 1, "same family"),
    ] {
        let (found, told) = why(from, to);
        assert!(found == exit && told.contains(word), "{from} {to}: {told}");
    }
    // It is so, too, and asking left no trace.
    let c = api.address("c", 0);
    assert!(!pings(&host, "a", &c) && !pings(&host, "c", "198.51.100.1"));
    assert!(api.items("/v1/connections?protocol=tcp").is_empty());
    weftd.terminate().unwrap();
    assert_eq!(why("a", "b:80").0, 1);
}
