//! `weft pcap`: what a capture holds, and that it ends however it ends.

use std::time::Duration;

use pcap_parser::pcapng::parse_block_le;
use pcap_parser::traits::PcapNGPacketBlock as _;
use pcap_parser::{Block, OptionCode};
use serde_json::json;
use weft_lab::{Daemon, Host};
use weft_tests::{Call, RawSocket, pings, populate, until, until_none};

/// An abandoned capture ends after 10 s; somewhat later it is seen.
const ABANDONED: Duration = Duration::from_secs(20);
/// Of `epb_flags`.
const IN: u32 = 1;
const OUT: u32 = 2;
/// Options of a packet: its comment, and its flags.
const COMMENT: OptionCode = OptionCode(1);
const FLAGS: OptionCode = OptionCode(2);
/// Types of ICMPv6 (RFC 4443).
const ECHO_REQUEST: u8 = 128;
const ECHO_REPLY: u8 = 129;
/// Where the type of ICMPv6 is in a frame.
const TYPE_AT: usize = 54;

/// `weft pcap ARGUMENTS`, begun.
fn capture(host: &Host, name: &str, arguments: &str) -> Daemon {
    let argv: Vec<_> = ["weft", "pcap"].into_iter().chain(arguments.split(' ')).collect();
    let daemon = host.spawn(name, &argv).unwrap();
    daemon.wait_ready(|| daemon.log().contains("capturing at ")).unwrap();
    daemon
}

/// Packets of a file: flags, comment, bytes.
fn packets(host: &Host, path: &str) -> Vec<(u32, String, Vec<u8>)> {
    let file = std::fs::read(host.path(path)).unwrap();
    let (mut rest, mut packets) = (file.as_slice(), Vec::new());
    while !rest.is_empty() {
        let (behind, block) = parse_block_le(rest).unwrap();
        if let Block::EnhancedPacket(packet) = block {
            let option = |code| packet.options.iter().find(|option| option.code == code).unwrap();
            let (flags, comment) = (option(FLAGS).as_u32_le().unwrap(), option(COMMENT).as_str().unwrap().to_owned());
            packets.push((flags, comment, packet.packet_data()[..packet.caplen as usize].to_vec()));
        }
        rest = behind;
    }
    packets
}

/// Slots of the programs' map that are taken, and whether the programs look at it.
fn taken(host: &Host) -> Vec<String> {
    let of = |map: &str| host.run(&["sh", "-c", &format!("bpftool -j map dump pinned /sys/fs/bpf/weft/v*/{map}")]);
    let entries = |map: &str| serde_json::from_str::<Vec<serde_json::Value>>(&of(map).unwrap()).unwrap();
    let slots = entries("weft_captures").into_iter().filter(|slot| slot["formatted"]["value"]["link"] != 0);
    let settings = entries("weft_settings").into_iter().map(|entry| entry["formatted"]["value"]["flags"].clone());
    let looked_at = settings.filter(|flags| flags.as_u64().unwrap() & 2 != 0).map(|flags| format!("flags {flags}"));
    slots.map(|slot| slot.to_string()).chain(looked_at).collect()
}

#[test]
fn a_capture_holds_both_directions_and_what_is_dropped_with_its_reason() {
    let host = Host::start("pcap").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = populate(&host, "routed");
    let (a, b) = ([api.address("a", 0), api.address("a", 1)], [api.address("b", 0), api.address("b", 1)]);
    let mut of_b = capture(&host, "of-b", "b -w /tmp/b.pcapng");
    let mut of_a = capture(&host, "of-a", "a -w /tmp/a.pcapng");
    let mut drops = capture(&host, "drops", "a --dropped --direction out --count 1");
    assert!(pings(&host, "a", &b[1]));
    let raw = RawSocket::open(&host, "a", "eth0");
    let (_, forged) = raw.forgeries([&a[0], &a[1]], [&b[0], &b[1]]).into_iter().next().unwrap();
    raw.send(&forged);
    until("a capture ends that has what it wants", || drops.has_ended().then_some(()));
    assert!(drops.terminate().unwrap().success(), "{}", drops.log());
    assert!(drops.log().contains("dropped: source_address") && drops.log().contains("1 packets captured, 0 missed"));
    for ending in [&mut of_a, &mut of_b] {
        assert!(ending.terminate().unwrap().success(), "{}", ending.log());
        assert!(ending.log().contains(" packets captured, 0 missed"), "{}", ending.log());
    }

    for (path, request, reply) in [("/tmp/a.pcapng", OUT, IN), ("/tmp/b.pcapng", IN, OUT)] {
        let found = packets(&host, path);
        let echo = |kind| found.iter().find(|(_, _, bytes)| bytes.get(TYPE_AT) == Some(&kind)).unwrap();
        for (kind, direction) in [(ECHO_REQUEST, request), (ECHO_REPLY, reply)] {
            let (flags, comment, _) = echo(kind);
            assert_eq!((*flags, comment.as_str()), (direction, "passed: short"), "{path}");
        }
    }
    let dropped: Vec<_> =
        packets(&host, "/tmp/a.pcapng").into_iter().filter(|(_, _, bytes)| *bytes == forged).collect();
    let why = "dropped: source_address: An IP source address that is not the endpoint's.";
    assert_eq!(dropped, [(OUT, why.to_owned(), forged.clone())]);
    assert!(packets(&host, "/tmp/b.pcapng").iter().all(|(_, _, bytes)| *bytes != forged));
    assert_eq!(taken(&host), [""; 0]);

    let piped = "weft pcap b --count 2 --snaplen 60 -w - > /tmp/piped 2> /tmp/said & \
        until grep -q capturing /tmp/said; do sleep 0.01; done; \
        ip netns exec a busybox ping -c1 -W1 \"$0\" && wait $!";
    host.run(&["sh", "-c", piped, &b[0]]).unwrap();
    let found = packets(&host, "/tmp/piped");
    assert_eq!(found.iter().map(|(_, _, bytes)| bytes.len()).collect::<Vec<_>>(), [60, 60]);
}

#[test]
fn captures_end_with_their_client_their_endpoint_and_their_agent() {
    let host = Host::start("pcap-ends").unwrap();
    let mut weftd = host.weftd::<&str>(&[]).unwrap();
    let api = populate(&host, "bridge");
    let b = api.address("b", 0);
    let begin = |wish: serde_json::Value| api.post("/v1/captures", &wish);
    for (wish, status, word) in [
        (json!({"endpoint": "nobody"}), 404, "no endpoint"),
        (json!({"endpoint": "a", "direction": "up"}), 400, "`in` or `out`"),
        (json!({"endpoint": "a", "snaplen": 65_001}), 400, "1 to 65000"),
        (json!({"endpoint": "a", "length": 1}), 400, "unknown field"),
    ] {
        let (found, refusal) = begin(wish);
        assert!(found == status && refusal.to_string().contains(word), "{refusal}");
    }
    let ids: Vec<_> = (0..4).map(|_| begin(json!({"endpoint": "a"})).1["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(begin(json!({"endpoint": "a"})).0, 409, "no more than there is room for");
    for id in &ids[1..] {
        assert_eq!(api.delete(&format!("/v1/captures/{id}")).0, 200);
        assert_eq!(api.get(&format!("/v1/captures/{id}")).0, 404, "it is gone");
    }

    let mut of_b = capture(&host, "of-b", "b -w /tmp/b.pcapng");
    assert!(pings(&host, "a", &b));
    Call::new("DEL", "b", "app").done(&host);
    until("a capture ends with its endpoint", || of_b.has_ended().then_some(()));
    assert!(of_b.terminate().unwrap().success() && of_b.log().contains("the endpoint is gone"), "{}", of_b.log());
    assert!(!packets(&host, "/tmp/b.pcapng").is_empty());

    let mut killed = capture(&host, "killed", "a");
    killed.kill9().unwrap();
    assert!(!taken(&host).is_empty());
    until_none("captures whose clients are gone", ABANDONED, || taken(&host));

    let mut orphan = capture(&host, "orphan", "a -w /tmp/a.pcapng");
    assert!(pings(&host, "a", "10.1.0.1"));
    until("packets are written", || (!packets(&host, "/tmp/a.pcapng").is_empty()).then_some(()));
    weftd.kill9().unwrap();
    assert!(!taken(&host).is_empty() && pings(&host, "a", "10.1.0.1"), "nothing hangs where nobody reads");
    until("a capture ends with its agent", || orphan.has_ended().then_some(()));
    assert!(!orphan.terminate().unwrap().success() && orphan.log().contains("packets captured"), "{}", orphan.log());
    assert!(!packets(&host, "/tmp/a.pcapng").is_empty(), "what came before is there, and the end of a file");
    weftd.restart().unwrap();
    assert_eq!(taken(&host), [""; 0], "the next agent finds what the last one left");
    let _again = capture(&host, "again", "a");
    weftd.terminate().unwrap();
    assert_eq!(taken(&host), [""; 0], "one that ends leaves nothing");
}
