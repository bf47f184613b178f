//! What passes an endpoint's door: whatever its container does inside, it speaks for itself alone.

use serde_json::json;
use weft_lab::Host;
use weft_tests::{Api, Call, RawSocket, until};

/// Frames of each kind that a container forges.
const FORGED: u64 = 50;

/// A network of either kind, with endpoints a and b on it.
fn populate(host: &Host, mode: &str) -> Api {
    let api = Api::of(host);
    api.network("app", json!({"mode": mode, "pools": ["10.1.0.0/24", "fd61::/64"]}));
    for id in ["a", "b"] {
        host.netns(id).unwrap();
        Call::new("ADD", id, "app").done(host);
    }
    api
}

fn pings(host: &Host, from: &str, to: &str) -> bool {
    host.run(&["ip", "netns", "exec", from, "busybox", "ping", "-c1", "-W1", to]).is_ok()
}

/// Packets of an endpoint that were dropped for `reason`, or that passed where there is none.
fn counted(api: &Api, endpoint: &str, direction: &str, reason: &str) -> u64 {
    let (_, counters) = api.get(&format!("/v1/counters?match={endpoint}"));
    let is_meant = |row: &&serde_json::Value| {
        row["direction"] == direction && row["reason"].as_str().unwrap_or_default() == reason
    };
    counters["items"].as_array().unwrap().iter().find(is_meant).map_or(0, |row| row["packets"].as_u64().unwrap())
}

fn address(api: &Api, endpoint: &str, family: usize) -> String {
    let found = &api.endpoints(endpoint)[0];
    found["status"]["addresses"][family].as_str().unwrap().split('/').next().unwrap().to_owned()
}

#[test]
fn a_container_that_forges_frames_by_a_raw_socket_gets_none_through() {
    for mode in ["bridge", "routed"] {
        let host = Host::start(&format!("forge-{mode}")).unwrap();
        let _weftd = host.weftd::<&str>(&[]).unwrap();
        let api = populate(&host, mode);
        let (own, other) = (address(&api, "a", 0), address(&api, "b", 0));
        let (own_v6, other_v6) = (address(&api, "a", 1), address(&api, "b", 1));
        let before = counted(&api, "b", "in", "");
        // Past the queueing discipline of its own link: nothing inside could have stopped it.
        let raw = RawSocket::open(&host, "a", "eth0");
        let forged = raw.forgeries([&own, &own_v6], [&other, &other_v6]);
        for (reason, frame) in &forged {
            let expected = counted(&api, "a", "out", reason) + FORGED;
            (0..FORGED).for_each(|_| raw.send(frame));
            until(reason, || (counted(&api, "a", "out", reason) == expected).then_some(()));
        }
        // The host's own stack says some words about multicast meanwhile.
        assert!(counted(&api, "b", "in", "") < before + FORGED, "{mode}: {:?}", api.get("/v1/counters"));
        for to in [&other, &other_v6] {
            assert!(pings(&host, "a", to), "{mode}: honest packets pass");
        }
        let listed = host.run(&["weft", "endpoint", "stats", "a"]).unwrap();
        assert!(listed.contains("source_address") && listed.contains("dropped"), "{listed}");
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
            let to = address(&api, "b", 0);
            let ping = ["ip", "netns", "exec", "a", "busybox", "ping", "-c1", "-W1", "-I", virtual_address, &to];
            // Nobody knows the way back: what counts is whether it leaves.
            let _ = host.run(&ping);
        };
        claims();
        let dropped = counted(&api, "a", "out", "source_address");
        assert!(dropped > 0);
        let network =
            json!({"mode": mode, "pools": ["10.1.0.0/24", "fd61::/64"], "allowedAddresses": [virtual_address]});
        api.change("app", network);
        let passed = counted(&api, "a", "out", "");
        claims();
        assert_eq!(counted(&api, "a", "out", "source_address"), dropped);
        assert!(counted(&api, "a", "out", "") > passed);
        host.run(&["ip", "-n", "a", "link", "set", "eth0", "address", "02:00:00:00:00:77"]).unwrap();
        assert!(!pings(&host, "a", &address(&api, "b", 0)), "another MAC address");
        assert!(counted(&api, "a", "out", "source_mac") > 0);
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
    assert_eq!(counted(&api, "a", "out", "network"), 2);
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
    assert_eq!(counted(&api, "a", "out", "source_address"), 1, "counted while nobody looked");
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
