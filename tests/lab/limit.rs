//! Endpoints whose rate is limited, in either direction and while packets pass.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weft_lab::Host;
use weft_netns::Netns;
use weft_tests::{Api, Call, assert_deserted, pings, populate, skip, until};

const PORT: u16 = 80;
/// What is carried: at [`RATE`], far more than a burst.
const BYTES: usize = 3 << 20;
/// Bits per second.
const RATE: u64 = 20_000_000;
const BURST: u64 = 131_072;
/// What the rate makes of it, but for the burst, with a third off: the host is busy with other tests.
const LEAST: Duration = Duration::from_millis((BYTES as u64 - BURST) * 8 * 1000 / RATE * 2 / 3);
/// So many that what a stack says of its own accord does not count.
const PINGS: u64 = 20;
/// Far longer than any transfer takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn inside(host: &Host, netns: &str) -> Netns {
    Netns::open(host.path(format!("/run/netns/{netns}"))).unwrap()
}

/// How long it takes until all bytes from one container are with the other, whole and in order.
fn carry(host: &Host, from: &str, to: (&str, &str)) -> Duration {
    let address: SocketAddr = (to.1.parse::<IpAddr>().unwrap(), PORT).into();
    let listener = inside(host, to.0).within(|| TcpListener::bind(address).unwrap()).unwrap();
    let mut client = inside(host, from).within(|| TcpStream::connect_timeout(&address, PATIENCE).unwrap()).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    client.set_write_timeout(Some(PATIENCE)).unwrap();
    let sent: Vec<u8> = (0..BYTES).map(|n| (n % 251) as u8).collect();
    let began = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            client.write_all(&sent).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
        });
        let mut got = Vec::new();
        server.read_to_end(&mut got).unwrap();
        assert!(got == sent, "{} of {} bytes, or others", got.len(), sent.len());
    });
    began.elapsed()
}

fn limit(api: &Api, request: Value) -> Value {
    let (status, endpoint) = api.post("/v1/endpoints/limits", &request);
    assert_eq!(status, 200, "{endpoint}");
    endpoint["status"]["limits"].clone()
}

/// The link at the host's end of an endpoint, and the one that holds it back.
fn links(api: &Api, endpoint: &str) -> [String; 2] {
    let host = api.endpoints(endpoint)[0]["status"]["hostLink"].as_str().unwrap().to_owned();
    let throttle = host.replacen("wefte", "wefti", 1);
    [host, throttle]
}

/// Bytes that the bucket at a link's root has let through; nothing without a bucket.
fn through_bucket(host: &Host, link: &str) -> Option<u64> {
    let shown = host.run(&["tc", "-s", "qdisc", "show", "dev", link]).ok()?;
    let rest = shown.split_once("qdisc tbf 7765: root")?.1;
    rest.split_once("Sent ")?.1.split(' ').next()?.parse().ok()
}

fn has_link(host: &Host, link: &str) -> bool {
    host.run(&["ip", "link", "show", "dev", link]).is_ok()
}

/// Whether this kernel holds back nothing of what containers send; the test is skipped then.
fn lacks_throttles(host: &Host, test: &str) -> bool {
    let lack = Api::of(host).lack("limits of what is sent");
    lack.iter().for_each(|lack| skip(test, lack));
    lack.is_some()
}

#[test]
fn limits_hold_in_both_directions_are_changed_live_and_lifted() {
    for mode in ["bridge", "routed"] {
        let host = Host::start(&format!("limit-{mode}")).unwrap();
        let _weftd = host.weftd::<&str>(&[]).unwrap();
        if lacks_throttles(&host, "limit::limits_hold_in_both_directions_are_changed_live_and_lifted") {
            return;
        }
        let api = populate(&host, mode);
        let [link, throttle] = links(&api, "a");
        for family in [0, 1] {
            let (a, b) = (api.address("a", family), api.address("b", family));
            let both = json!({"endpoint": "a", "ingress": {"rate": RATE}, "egress": {"rate": RATE}});
            let limits = limit(&api, both);
            assert_eq!(limits["egress"], json!({"rate": RATE, "burst": BURST}), "{limits}");
            api.assert_clean();
            let sent = carry(&host, "a", ("b", &b));
            let got = carry(&host, "b", ("a", &a));
            println!("{mode}: limited to 20 Mbit/s, 3 MiB are sent in {sent:?} and got in {got:?}");
            assert!(sent > LEAST && got > LEAST, "{mode}: {sent:?} {got:?} are less than {LEAST:?}");
            let through = [&link, &throttle].map(|link| through_bucket(&host, link).unwrap());
            assert!(through.iter().all(|bytes| *bytes > BYTES as u64), "{mode}: {through:?}");
            let before = api.counted("a", "out", "");
            (0..PINGS).for_each(|_| assert!(pings(&host, "a", &b)));
            let counted = api.counted("a", "out", "") - before;
            assert!((PINGS..2 * PINGS).contains(&counted), "{mode}: {counted}: a packet is counted once");
            for to in [&b, ["198.51.100.1", "2001:db8:100::1"][family]] {
                until("everybody is reached", || pings(&host, "a", to).then_some(()));
            }
            let tracked = || api.items(&format!("/v1/connections?from={a}&to={b}&protocol=tcp"));
            assert!(tracked().iter().all(|row| row["way"] == "stack"), "{mode}: {:?}", tracked());

            // One direction alone; the other is as it was, and nothing is made anew.
            let index = host.run(&["cat", &format!("/sys/class/net/{throttle}/ifindex")]).unwrap();
            let limits = limit(&api, json!({"endpoint": "a", "egress": {"rate": 4_000_000_000u64}}));
            assert_eq!(limits["ingress"]["rate"], RATE);
            assert!(carry(&host, "a", ("b", &b)) < sent / 2, "{mode}: faster than before");
            assert_eq!(host.run(&["cat", &format!("/sys/class/net/{throttle}/ifindex")]).unwrap(), index);

            let limits = limit(&api, json!({"endpoint": "a", "ingress": {"rate": 0}, "egress": {"rate": 0}}));
            assert_eq!(limits, Value::Null);
            assert!(!has_link(&host, &throttle) && through_bucket(&host, &link).is_none());
            assert!(carry(&host, "a", ("b", &b)) < sent / 2 && carry(&host, "b", ("a", &a)) < got / 2);
            assert!(tracked().iter().any(|row| row["way"] == "short"), "{mode}: {:?}", tracked());
            api.assert_clean();
        }
        for id in ["a", "b"] {
            Call::new("DEL", id, "app").done(&host);
        }
        assert_deserted(&host, &api);
    }
}

#[test]
fn a_container_is_born_limited_as_its_runtime_says_and_leaves_nothing() {
    let host = Host::start("limit-cni").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    if lacks_throttles(&host, "limit::a_container_is_born_limited_as_its_runtime_says_and_leaves_nothing") {
        return;
    }
    let api = populate(&host, "bridge");
    host.netns("c").unwrap();
    let born = |bandwidth: Value| Call::new("ADD", "c", "app").with("runtimeConfig", json!({"bandwidth": bandwidth}));
    let refused = born(json!({"ingressRate": 10})).refused(&host, 7);
    assert!(refused.contains("runtimeConfig.bandwidth: ingressRate \"10\": write 1000 to"), "{refused}");
    assert!(api.endpoints("c").is_empty());

    // As containerd spells it.
    let bandwidth = json!({"IngressRate": RATE, "IngressBurst": u32::MAX, "EgressRate": RATE, "EgressBurst": u32::MAX});
    born(bandwidth).done(&host);
    let limits = json!({"rate": RATE, "burst": BURST});
    assert_eq!(api.endpoints("c")[0]["status"]["limits"], json!({"ingress": limits, "egress": limits}));
    api.assert_clean();
    Call::new("CHECK", "c", "app").with("prevResult", Value::Null).done(&host);
    assert!(carry(&host, "c", ("b", &api.address("b", 0))) > LEAST);
    assert!(carry(&host, "b", ("c", &api.address("c", 0))) > LEAST);
    // Nothing inside reaches the limits.
    let lift = host.run(&["ip", "netns", "exec", "c", "tc", "qdisc", "delete", "dev", "eth0", "root"]);
    assert!(lift.is_err(), "{lift:?}");
    let [_, throttle] = links(&api, "c");
    assert!(has_link(&host, &throttle));
    Call::new("DEL", "c", "app").done(&host);
    assert!(!has_link(&host, &throttle));

    // A namespace that dies without a word takes its throttle along.
    born(json!({"egressRate": RATE})).done(&host);
    assert!(has_link(&host, &throttle));
    host.run(&["ip", "netns", "delete", "c"]).unwrap();
    until("the dead endpoint is gone", || api.endpoints("c").is_empty().then_some(()));
    assert!(!has_link(&host, &throttle));
    for id in ["a", "b"] {
        Call::new("DEL", id, "app").done(&host);
    }
    assert_deserted(&host, &api);
}

#[test]
fn a_chain_with_the_plugin_that_wants_the_same_place_is_refused_with_the_remedy() {
    let host = Host::start("limit-chain").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = populate(&host, "bridge");
    Call::new("STATUS", "a", "app").done(&host);
    let plugins = json!([{"type": "weft-cni"}, {"type": "portmap"}, {"type": "bandwidth"}]);
    host.cni_conflist("10-app", &json!({"cniVersion": "1.1.0", "name": "app", "plugins": plugins}).to_string())
        .unwrap();
    let remedy = "put \"bandwidth\": true among the capabilities of weft-cni";
    let refused = Call::new("STATUS", "a", "app").refused(&host, 50);
    assert!(refused.contains("/etc/cni/net.d/10-app.conflist") && refused.contains(remedy), "{refused}");
    host.netns("c").unwrap();
    let limited = json!({"bandwidth": {"ingressRate": RATE}});
    let refused = Call::new("ADD", "c", "app").with("runtimeConfig", limited).refused(&host, 50);
    assert!(refused.contains(remedy), "{refused}");
    Call::new("ADD", "c", "app").done(&host);
    api.assert_clean();
}

#[test]
fn limits_outlive_the_agent_and_come_back_when_somebody_takes_them_away() {
    let host = Host::start("limit-kept").unwrap();
    let mut weftd = host.weftd::<&str>(&[]).unwrap();
    if lacks_throttles(&host, "limit::limits_outlive_the_agent_and_come_back_when_somebody_takes_them_away") {
        return;
    }
    let api = populate(&host, "bridge");
    let [link, throttle] = links(&api, "a");
    limit(&api, json!({"endpoint": "a", "ingress": {"rate": RATE}, "egress": {"rate": RATE}}));
    let limits = api.endpoints("a")[0]["status"]["limits"].clone();
    let b = api.address("b", 0);
    weftd.kill9().unwrap();
    assert!(carry(&host, "a", ("b", &b)) > LEAST, "without an agent");
    weftd.restart().unwrap();
    assert_eq!(api.endpoints("a")[0]["status"]["limits"], limits);
    api.assert_clean();

    for spoil in [
        vec!["tc", "qdisc", "delete", "dev", &link, "root"],
        vec!["tc", "qdisc", "replace", "dev", &link, "root", "pfifo"],
        vec!["tc", "qdisc", "delete", "dev", &throttle, "root"],
        vec![
            "tc", "qdisc", "change", "dev", &throttle, "root", "tbf", "rate", "1gbit", "burst", "1m", "latency", "9ms",
        ],
        vec!["ip", "link", "set", &throttle, "down"],
    ] {
        host.run(&spoil).unwrap();
        assert!(!api.findings().is_empty(), "{spoil:?}");
        api.round();
        api.assert_clean();
        assert!(through_bucket(&host, &link).is_some() && through_bucket(&host, &throttle).is_some(), "{spoil:?}");
        assert!(pings(&host, "a", &b), "{spoil:?}");
    }
    host.run(&["ip", "link", "delete", &throttle]).unwrap();
    until("it comes back by itself", || through_bucket(&host, &throttle));
    until("packets take it", || (pings(&host, "a", &b) && through_bucket(&host, &throttle)? > 0).then_some(()));
    api.assert_clean();

    // What an agent that died in between would have left.
    weftd.kill9().unwrap();
    host.run(&["ip", "link", "add", "weftistray00000", "group", "2003134068", "type", "ifb"]).unwrap();
    weftd.restart().unwrap();
    assert!(!has_link(&host, "weftistray00000"), "a leftover is swept");
    assert!(through_bucket(&host, &throttle).is_some(), "and nothing else");
    assert!(carry(&host, "a", ("b", &b)) > LEAST);
    api.assert_clean();
}

#[test]
fn limits_are_set_and_shown_by_the_command() {
    let host = Host::start("limit-command").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    if lacks_throttles(&host, "limit::limits_are_set_and_shown_by_the_command") {
        return;
    }
    let api = populate(&host, "routed");
    let limit = |options: &[&str]| host.run(&[&["weft", "endpoint", "limit"], options].concat());
    let shown = limit(&["a"]).unwrap();
    assert!(shown.contains("Ingress:    unlimited") && shown.contains("Egress:     unlimited"), "{shown}");
    let shown = limit(&["a", "--ingress", "20M", "--egress", "1.5Gbit/s", "--egress-burst", "2MiB"]).unwrap();
    assert!(shown.contains("Ingress:    20 Mbit/s, burst 128 KiB"), "{shown}");
    assert!(shown.contains("Egress:     1500 Mbit/s, burst 2 MiB"), "{shown}");
    let described = host.run(&["weft", "describe", "endpoint", "a"]).unwrap();
    assert!(described.contains("20 Mbit/s, burst 128 KiB"), "{described}");
    let shown = limit(&["a", "--none"]).unwrap();
    assert!(shown.contains("Ingress:    unlimited") && shown.contains("Egress:     unlimited"), "{shown}");
    for (options, expected) in [
        (&["a", "--ingress", "20MB/s"][..], "\"20MB/s\" is no rate: write bits per second such as 10M"),
        (&["a", "--egress", "999"], "egress.rate \"999\": write 1000 to"),
        (&["a", "--egress", "10M", "--egress-burst", "1k"], "egress.burst \"1000\": write 1518 (a packet) to"),
        (&["nobody", "--none"], "there is no endpoint \"nobody\""),
    ] {
        let error = format!("{:#}", limit(options).unwrap_err());
        assert!(error.contains(expected), "{error}");
    }
    api.network("bare", json!({"mode": "none"}));
    host.netns("n").unwrap();
    Call::new("ADD", "n", "bare").done(&host);
    let error = format!("{:#}", limit(&["n", "--ingress", "1M"]).unwrap_err());
    assert!(error.contains("attachment none has no link whose rate could be limited: use bridge or routed"), "{error}");
    api.assert_clean();
}
