//! Containers whose links sit on one of the host's: on the physical network, by its own addresses.

use std::net::{IpAddr, UdpSocket};

use serde_json::json;
use weft_lab::{Host, uplink};
use weft_netns::Netns;
use weft_tests::{Api, Call, RawSocket, Tap, assert_deserted, inside, mac, pings, skip, until};

/// Frames of each kind that a container forges.
const FORGED: u64 = 50;

/// Networks whose pools are those of the host's own uplink.
fn physical(more: serde_json::Value) -> serde_json::Value {
    let mut spec = json!({
        "mode": "macvlan",
        "pools": ["198.51.100.0/24", "2001:db8:100::/64"],
        "ranges": ["198.51.100.64/26", "2001:db8:100::1:0/112"],
    });
    spec.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    spec
}

/// Containers `a` and `b` on such a network.
pub(crate) fn populate(host: &Host, more: serde_json::Value) -> Api {
    let api = Api::of(host);
    api.network("app", physical(more));
    for id in ["a", "b"] {
        host.netns(id).unwrap();
        Call::new("ADD", id, "app").done(host);
    }
    api
}

/// Whether the host gets an answer.
pub(crate) fn host_pings(host: &Host, to: &str) -> bool {
    host.run(&["busybox", "ping", "-c1", "-W1", to]).is_ok()
}

/// The host's address and the outside's, by family.
pub(crate) fn neighbours(family: usize) -> [String; 2] {
    if family == 0 {
        [uplink::HOST_V4.to_string(), uplink::OUTSIDE_V4.to_string()]
    } else {
        [uplink::HOST_V6.to_string(), uplink::OUTSIDE_V6.to_string()]
    }
}

/// From each end to each other, in either family, and with the next agent as well.
fn all_reach_all(name: &str, more: serde_json::Value) {
    let host = Host::start(name).unwrap();
    let mut weftd = host.weftd::<&str>(&[]).unwrap();
    if more["ipvlanMode"] != json!(null) {
        lead_to_host(&host);
    }
    let api = populate(&host, more);
    for moment in ["at first", "with the next agent"] {
        for family in 0..2 {
            let [own, outside] = neighbours(family);
            let (a, b) = (api.address("a", family), api.address("b", family));
            for to in [&b, &own, &outside] {
                // A link of the host's that has just been raised is not ready for IPv6 at once.
                until(&format!("{moment}: a to {to}"), || pings(&host, "a", to).then_some(()));
            }
            assert!(pings(&host, "outside", &a), "{moment}: the outside to {a}");
            assert!(host_pings(&host, &a), "{moment}: the host to {a}");
        }
        api.assert_clean();
        let other = api.address("b", 0);
        weftd.kill9().unwrap();
        assert!(pings(&host, "a", &other), "without an agent");
        weftd.restart().unwrap();
    }
    for id in ["a", "b"] {
        Call::new("DEL", id, "app").done(&host);
    }
    assert_deserted(&host, &api);
}

/// Has the outside send by the host what is for containers, as a fabric must where these answer no ARP.
fn lead_to_host(host: &Host) {
    let routes = format!(
        "ip route add 198.51.100.64/26 via {} && ip -6 route add 2001:db8:100::1:0/112 via {}",
        uplink::HOST_V4,
        uplink::HOST_V6
    );
    host.outside().run(&["sh", "-c", &routes]).unwrap();
}

/// Whether this kernel has no ipvlan, by which the test counts as skipped.
fn lacks_ipvlan(test: &str) -> bool {
    let host = Host::start("parents-probe").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let lack = Api::of(&host).lack("ipvlan");
    lack.inspect(|lack| skip(&format!("parents::{test}"), lack)).is_some()
}

#[test]
fn containers_the_host_and_the_outside_reach_each_other_by_the_physical_network() {
    all_reach_all("parents", json!({}));
}

#[test]
fn a_packet_to_a_neighbour_is_counted_once_at_either_door() {
    const SENT: u64 = 200;
    let host = Host::start("parents-counted").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = populate(&host, json!({}));
    for (family, any) in ["0.0.0.0:0", "[::]:0"].into_iter().enumerate() {
        let [from, to] = ["a", "b"].map(|id| inside(&host, id).within(|| UdpSocket::bind(any).unwrap()).unwrap());
        let to_b = (api.address("b", family).parse::<IpAddr>().unwrap(), to.local_addr().unwrap().port());
        let counted = || [("a", "out"), ("b", "in")].map(|(id, direction)| api.counted(id, direction, ""));
        let before = counted();
        for _ in 0..SENT {
            from.send_to(b"once", to_b).unwrap();
            assert_eq!(to.recv(&mut [0; 16]).unwrap(), 4);
        }
        let passed = counted().into_iter().zip(before).map(|(now, before)| now - before);
        // Neighbours ask for each other, too.
        passed.for_each(|packets| assert!((SENT..SENT + 20).contains(&packets), "{packets} of {SENT}"));
    }
}

#[test]
fn with_ipvlan_they_do_so_by_the_host_s_own_ethernet_address() {
    let host = Host::start("parents-lack").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    if let Some(lack) = api.lack("ipvlan") {
        let (status, answer) = api.try_network("app", physical(json!({"mode": "ipvlan"})));
        assert!(status == 409 && answer.to_string().contains(&lack), "{answer}");
        return skip("parents::with_ipvlan_they_do_so_by_the_host_s_own_ethernet_address", &lack);
    }
    all_reach_all("parents-ipvlan", json!({"mode": "ipvlan"}));
}

/// The modes of ipvlan in which the host routes.
const ROUTED: [&str; 2] = ["l3", "l3s"];

#[test]
fn with_ipvlan_s_routed_modes_they_do_so_by_the_host_s_routes() {
    let test = "with_ipvlan_s_routed_modes_they_do_so_by_the_host_s_routes";
    if lacks_ipvlan(test) {
        return;
    }
    for mode in ROUTED {
        all_reach_all(&format!("parents-{mode}"), json!({"mode": "ipvlan", "ipvlanMode": mode}));
    }
}

#[test]
fn where_the_host_routes_a_container_has_routes_by_its_link_alone() {
    let test = "where_the_host_routes_a_container_has_routes_by_its_link_alone";
    if lacks_ipvlan(test) {
        return;
    }
    for mode in ROUTED {
        let host = Host::start(&format!("parents-link-{mode}")).unwrap();
        let _weftd = host.weftd::<&str>(&[]).unwrap();
        let api = Api::of(&host);
        lead_to_host(&host);
        api.network("app", physical(json!({"mode": "ipvlan", "ipvlanMode": mode})));
        host.netns("a").unwrap();
        let result = Call::new("ADD", "a", "app").done(&host);
        assert!(!result.to_string().contains("gateway") && result.to_string().contains("0.0.0.0/0"), "{result}");
        let link = host.run(&["ip", "-n", "a", "-d", "link", "show", "eth0"]).unwrap();
        assert!(link.contains(&format!("mode {mode} vepa")) && link.contains("NOARP"), "{link}");
        for family in ["-4", "-6"] {
            let route = host.run(&["ip", "-n", "a", family, "route", "show", "default"]).unwrap();
            assert!(route.contains("dev eth0") && !route.contains("via"), "{route}");
        }
        let why = host.run(&["weft", "why", "a", &uplink::OUTSIDE_V4.to_string()]).unwrap();
        assert!(why.contains("to the physical network"), "{why}");
        // To everybody, and to a group: there is none.
        for to in ["255.255.255.255", "224.0.0.1", "ff02::1%eth0"] {
            assert!(!pings(&host, "a", to), "{to}");
        }
    }
}

#[test]
fn where_the_host_routes_nobody_speaks_for_the_host_or_for_a_stranger() {
    let test = "where_the_host_routes_nobody_speaks_for_the_host_or_for_a_stranger";
    if lacks_ipvlan(test) {
        return;
    }
    for mode in ROUTED {
        let host = Host::start(&format!("parents-forge-{mode}")).unwrap();
        let _weftd = host.weftd::<&str>(&[]).unwrap();
        let api = Api::of(&host);
        lead_to_host(&host);
        api.network("app", physical(json!({"mode": "ipvlan", "ipvlanMode": mode})));
        for id in ["a", "b"] {
            host.netns(id).unwrap();
            Call::new("ADD", id, "app").done(&host);
        }
        let raw = RawSocket::open(&host, "a", "eth0");
        let of_host = Netns::open(format!("/proc/{}/ns/net", host.init_pid())).unwrap();
        let uplink = host.run(&["cat", "/sys/class/net/eth0/ifindex"]).unwrap().trim().parse().unwrap();
        let taps = [1, uplink].map(|index| of_host.within(|| Tap::on(index)).unwrap());
        let taps: Vec<_> = taps.into_iter().chain(["b", "outside"].map(|netns| tap(&host, netns))).collect();
        let own = mac(&host.run(&["ip", "netns", "exec", "a", "cat", "/sys/class/net/eth0/address"]).unwrap());
        for family in 0..2 {
            let [to_host, to_outside] = neighbours(family);
            let (other, stranger) = (api.address("b", family), ["203.0.113.9", "2001:db8:ffff::9"][family].to_owned());
            for from in [&to_host, &to_outside, &stranger] {
                for to in [&to_host, &to_outside, &other, &stranger] {
                    let frame = raw.udp(own, (from, 9), (to, 9));
                    (0..FORGED).for_each(|_| drop(raw.try_send(&frame)));
                }
            }
            for to in [&to_host, &other] {
                assert!(pings(&host, "a", to), "what is sent behind them passes, to {to}");
            }
            until("the outside answers", || pings(&host, "a", &to_outside).then_some(()));
        }
        let strangers = of_strangers(&api);
        let reasons: Vec<_> = strangers.iter().map(|row| row["reason"].as_str().unwrap()).collect();
        // Linux 6.1 lets none of them come as far as that.
        assert!(reasons.iter().all(|reason| *reason == "source_address"), "{strangers:?}");
        for (n, tap) in taps.iter().enumerate() {
            let frames = tap.frames();
            let is_forged = |frame: &&Vec<u8>| frame.windows(6).any(|bytes| bytes == b"forged");
            assert_eq!(frames.iter().find(is_forged), None, "{mode}, tap {n}");
            assert!(n == 0 || !frames.is_empty(), "tap {n} hears");
        }
    }
}

#[test]
fn where_the_host_routes_what_somebody_takes_away_comes_back() {
    let test = "where_the_host_routes_what_somebody_takes_away_comes_back";
    if lacks_ipvlan(test) {
        return;
    }
    for mode in ROUTED {
        let host = Host::start(&format!("parents-back-{mode}")).unwrap();
        let mut weftd = host.weftd::<&str>(&[]).unwrap();
        let api = Api::of(&host);
        api.network("app", physical(json!({"mode": "ipvlan", "ipvlanMode": mode, "parent": "eth0"})));
        host.netns("a").unwrap();
        Call::new("ADD", "a", "app").done(&host);
        let own = [api.address("a", 0), api.address("a", 1)];
        let rules = || host.run(&["ip", "-6", "rule"]).unwrap();
        let is_led = || rules().lines().next().is_some_and(|rule| rule.contains(" oif weft"));
        assert!(is_led() && rules().lines().filter(|rule| rule.contains("lookup local")).count() == 1, "{}", rules());
        host.run(&["sh", "-c", "ip -6 rule del pref 0 oif $(ip -6 rule | grep -o 'weft[ls]-[^ ]*')"]).unwrap();
        until("the rule is back, in front", || is_led().then_some(()));
        assert_eq!(rules().lines().filter(|rule| rule.contains("lookup local")).count(), 1, "{}", rules());
        host.run(&[
            "sh",
            "-c",
            "ip -6 route flush table $(ip -6 rule | sed -n 's/.* oif .* lookup \\([0-9]*\\).*/\\1/p')",
        ])
        .unwrap();
        until("it leads to the stand-in again", || pings(&host, "a", &uplink::HOST_V6.to_string()).then_some(()));
        // The kernel takes routes and neighbours away with the link that they are on.
        host.run(&["ip", "link", "set", "eth0", "down"]).unwrap();
        until("the agent says so", || settled(&host).contains("until it is up").then_some(()));
        host.run(&["ip", "link", "set", "eth0", "up"]).unwrap();
        for ip in &own {
            until("the host reaches it again", || host_pings(&host, ip).then_some(()));
        }
        weftd.kill9().unwrap();
        host.run(&["ip", "route", "delete", &format!("{}/32", own[0])]).unwrap();
        host.run(&["ip", "neigh", "delete", &own[1], "dev", "eth0"]).unwrap();
        host.run(&["sh", "-c", "ip -6 rule del pref 0 oif $(ip -6 rule | grep -o 'weft[ls]-[^ ]*')"]).unwrap();
        weftd.restart().unwrap();
        assert!(is_led() && own.iter().all(|ip| host_pings(&host, ip)), "the next agent brings it back");
        host.run(&["ip", "netns", "delete", "a"]).unwrap();
        until("nobody is left", || api.endpoints("").is_empty().then_some(()));
        assert_deserted(&host, &api);
    }
}

#[test]
fn networks_of_all_modes_of_ipvlan_sit_side_by_side_on_one_parent() {
    let test = "networks_of_all_modes_of_ipvlan_sit_side_by_side_on_one_parent";
    if lacks_ipvlan(test) {
        return;
    }
    let host = Host::start("parents-modes").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    for (id, mode, subnet) in [("c2", "l2", 1), ("c3", "l3", 2), ("c3s", "l3s", 3)] {
        let pools = [format!("10.7.{subnet}.0/24"), format!("fd07:{subnet}::/64")];
        api.network(id, json!({"mode": "ipvlan", "ipvlanMode": mode, "pools": pools}));
        host.netns(id).unwrap();
        Call::new("ADD", id, id).done(&host);
    }
    for (family, name) in [(0, "c3"), (1, "c3"), (0, "c3s"), (1, "c3s")] {
        assert!(host_pings(&host, &api.address(name, family)), "{name}");
        let other = if name == "c3" { "c3s" } else { "c3" };
        assert!(!pings(&host, name, &api.address(other, family)), "networks are apart");
    }
    // As `l3s` says: what comes in passes the host's own rules.
    let rules = "add table inet t; add chain inet t in { type filter hook input priority 0; }; \
        add rule inet t in ip daddr 10.7.0.0/16 icmp type echo-request drop";
    host.run(&["nft", rules]).unwrap();
    assert!(host_pings(&host, &api.address("c3", 0)) && !host_pings(&host, &api.address("c3s", 0)));
    host.run(&["nft", "delete", "table", "inet", "t"]).unwrap();
    for id in ["c2", "c3", "c3s"] {
        Call::new("DEL", id, id).done(&host);
    }
    assert_deserted(&host, &api);
}

#[test]
fn on_a_vlan_they_do_so_in_frames_that_are_tagged() {
    let host = Host::start("parents-vlan").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    let tagged = || physical(json!({"vlan": 42, "pools": ["10.42.0.0/24", "fd42::/64"], "ranges": []}));
    if let Some(lack) = api.lack("VLANs on parents") {
        let (status, answer) = api.try_network("app", tagged());
        assert!(status == 409 && answer.to_string().contains(&lack), "{answer}");
        return skip("parents::on_a_vlan_they_do_so_in_frames_that_are_tagged", &lack);
    }
    let far = "ip link add link eth0 name eth0.42 type vlan id 42 && ip link set eth0.42 up && \
        ip address add 10.42.0.1/24 dev eth0.42 && ip address add fd42::1/64 dev eth0.42 nodad";
    host.outside().run(&["sh", "-c", far]).unwrap();
    api.network("app", tagged());
    api.network("plain", physical(json!({})));
    for (id, network) in [("a", "app"), ("b", "app"), ("c", "plain")] {
        host.netns(id).unwrap();
        Call::new("ADD", id, network).done(&host);
    }
    for (family, outside) in ["10.42.0.1", "fd42::1"].into_iter().enumerate() {
        until("the tagged outside answers", || pings(&host, "a", outside).then_some(()));
        assert!(pings(&host, "a", &api.address("b", family)), "a neighbour on the VLAN");
        assert!(pings(&host, "outside", &api.address("a", family)));
        until("the untagged outside answers", || pings(&host, "c", &neighbours(family)[1]).then_some(()));
    }
    api.assert_clean();
    for (id, network) in [("a", "app"), ("b", "app"), ("c", "plain")] {
        Call::new("DEL", id, network).done(&host);
    }
    assert_deserted(&host, &api);
}

#[test]
fn no_container_speaks_for_another_nor_for_the_host_whatever_it_does_inside() {
    let host = Host::start("parents-forge").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = populate(&host, json!({}));
    let (own, other) = (api.address("a", 0), api.address("b", 0));
    let (own_v6, other_v6) = (api.address("a", 1), api.address("b", 1));
    until("the neighbours are known", || pings(&host, "a", &other).then_some(()));
    let taps: Vec<_> = ["b", "outside"].iter().map(|netns| tap(&host, netns)).collect();
    let raw = RawSocket::open(&host, "a", "eth0");
    for (reason, frame) in raw.forgeries([&own, &own_v6], [&other, &other_v6]) {
        let expected = api.counted("a", "out", reason) + FORGED;
        (0..FORGED).for_each(|_| drop(raw.try_send(&frame)));
        until(reason, || (api.counted("a", "out", reason) == expected).then_some(()));
    }
    // As the host: its Ethernet and IP addresses, which no container may send from.
    let uplink = host.run(&["cat", "/sys/class/net/eth0/address"]).unwrap();
    let as_host = raw.udp(mac(&uplink), (&uplink::HOST_V4.to_string(), 9), (&other, 9));
    (0..FORGED).for_each(|_| drop(raw.try_send(&as_host)));
    // A link of its own on the one it was given, as whoever is root in a user namespace of his may make it.
    let stacked = "ip link add link eth0 name stacked type macvlan mode bridge && ip link set stacked up && \
                   ip address add 198.51.100.99/24 dev stacked";
    host.run(&["ip", "netns", "exec", "a", "sh", "-c", stacked]).unwrap();
    for to in [&other, &uplink::OUTSIDE_V4.to_string(), &uplink::HOST_V4.to_string()] {
        let ping = ["ip", "netns", "exec", "a", "busybox", "ping", "-c1", "-W1", "-I", "stacked", to];
        assert!(host.run(&ping).is_err(), "{to}");
    }
    let outside = host.run(&["ip", "netns", "exec", "outside", "cat", "/sys/class/net/eth0/address"]).unwrap();
    let mac_of = |name: &str| mac(api.endpoints(name)[0]["status"]["mac"].as_str().unwrap());
    let mine = mac_of("a");
    let is_honest = |frame: &Vec<u8>| !frame.windows(6).any(|bytes| bytes == b"forged") && !frame.ends_with(&[0; 46]);
    for (tap, who) in taps.iter().zip(["b", "outside"]) {
        let neighbours = [mac_of("b"), mac(&uplink), mac(&outside)];
        for frame in tap.frames() {
            let known = frame[6..12] == mine || neighbours.iter().any(|mac| frame[6..12] == *mac);
            assert!(known && is_honest(&frame), "{who} got {frame:02x?}");
        }
    }
    assert!(pings(&host, "a", &other), "honest packets pass");
    assert!(of_strangers(&api).is_empty(), "of whatever was sent, it is known who has sent it");
}

/// What was counted of senders that are no endpoint.
fn of_strangers(api: &Api) -> Vec<serde_json::Value> {
    let (_, counted) = api.get("/v1/counters");
    counted["items"].as_array().unwrap().iter().filter(|row| row["endpoint"] == "-").cloned().collect()
}

/// Hears what passes a namespace's eth0.
fn tap(host: &Host, netns: &str) -> Tap {
    let index = host.run(&["ip", "netns", "exec", netns, "cat", "/sys/class/net/eth0/ifindex"]).unwrap();
    inside(host, netns).within(|| Tap::on(index.trim().parse().unwrap())).unwrap()
}

/// What the agent says of itself.
fn settled(host: &Host) -> String {
    host.run(&["weft", "status"]).unwrap()
}

#[test]
fn a_container_of_a_user_namespace_s_root_is_held_to_its_own_address() {
    let host = Host::start("parents-userns").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = populate(&host, json!({}));
    let says_where = "echo $$ >/run/rootless; exec sleep infinity";
    let unshare = ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", says_where];
    let _rootless = host.spawn("rootless", &unshare).unwrap();
    let pid = until("it has a namespace of its own", || {
        std::fs::read_to_string(host.path("/run/rootless")).ok().filter(|pid| pid.ends_with('\n'))
    });
    let pid = pid.trim();
    let run = |line: &str| {
        let enter = format!("nsenter --preserve-credentials --user --net --target {pid} {line}");
        host.run(&["sh", "-c", &enter])
    };
    let netns = format!("/proc/{pid}/ns/net");
    host.run(&["weft", "attach", "--netns", &netns, "--network", "app", "--ifname", "eth0", "--name", "rootless"])
        .unwrap();
    let other = api.address("b", 0);
    until("it reaches its neighbour", || run(&format!("busybox ping -c1 -W1 {other}")).ok());
    run("ip link add link eth0 name stacked type macvlan mode bridge").unwrap();
    run("ip link set stacked up").unwrap();
    run("ip address add 198.51.100.99/24 dev stacked").unwrap();
    for to in [&other, &uplink::OUTSIDE_V4.to_string(), &uplink::HOST_V4.to_string()] {
        assert!(run(&format!("busybox ping -c1 -W1 -I stacked {to}")).is_err(), "{to}");
    }
}

#[test]
fn a_mode_says_what_containers_are_to_each_other_and_to_the_host() {
    // What one container gets an answer from: the other, the host, the outside.
    let cases = [
        (json!({"macvlanMode": "private"}), [false, true, true]),
        (json!({"isolated": true}), [false, true, true]),
        // The outside is no switch that sends back what came by the same port.
        (json!({"macvlanMode": "vepa"}), [false, true, true]),
        (json!({"hostAccess": false}), [true, false, true]),
        (json!({"internal": true}), [true, true, true]),
    ];
    for (n, (more, expected)) in cases.into_iter().enumerate() {
        let host = Host::start(&format!("parents-mode-{n}")).unwrap();
        let _weftd = host.weftd::<&str>(&[]).unwrap();
        let api = populate(&host, more.clone());
        for family in 0..2 {
            let [own, outside] = neighbours(family);
            until("the outside answers", || pings(&host, "a", &outside).then_some(()));
            let other = api.address("b", family);
            let reached = [other.as_str(), &own, &outside].map(|to| pings(&host, "a", to));
            assert_eq!(reached, expected, "{more}");
            assert_eq!(host_pings(&host, &api.address("a", family)), expected[1], "{more}");
        }
    }
}

#[test]
fn with_passthru_one_container_has_the_whole_parent() {
    let host = Host::start("parents-passthru").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    api.network("app", physical(json!({"macvlanMode": "passthru", "parent": "eth0"})));
    for id in ["a", "b"] {
        host.netns(id).unwrap();
    }
    Call::new("ADD", "a", "app").done(&host);
    let refused = Call::new("ADD", "b", "app").run(&host);
    assert!(refused.output.to_string().contains("takes the whole of eth0, where default/a is"), "{refused:?}");
    let own = host.run(&["cat", "/sys/class/net/eth0/address"]).unwrap();
    let inside = host.run(&["ip", "netns", "exec", "a", "cat", "/sys/class/net/eth0/address"]).unwrap();
    assert_eq!(own, inside);
    for to in [uplink::OUTSIDE_V4.to_string(), uplink::OUTSIDE_V6.to_string()] {
        until("the outside answers", || pings(&host, "a", &to).then_some(()));
    }
    let (status, answer) = api.try_network("more", physical(json!({"parent": "eth0"})));
    assert!(status == 409 && answer.to_string().contains("passthru takes the whole"), "{answer}");
    Call::new("DEL", "a", "app").done(&host);
    until("the host has its link again", || host_pings(&host, &uplink::OUTSIDE_V4.to_string()).then_some(()));
}

#[test]
fn a_parent_that_goes_and_comes_back_finds_its_containers_where_they_were() {
    let host = Host::start("parents-gone").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = populate(&host, json!({"parent": "eth0"}));
    let (other, outside) = (api.address("b", 0), uplink::OUTSIDE_V4.to_string());
    until("the outside answers", || pings(&host, "a", &outside).then_some(()));
    let far = host.run(&["ip", "netns", "exec", "outside", "cat", "/sys/class/net/eth0/address"]).unwrap();
    let far = far.trim();
    host.run(&["ip", "link", "set", "eth0", "down"]).unwrap();
    until("the agent says so", || settled(&host).contains("until it is up").then_some(()));
    assert!(!pings(&host, "a", &outside) && pings(&host, "a", &other), "containers have each other");
    assert!(api.counted("a", "out", "no_parent") > 0);
    host.run(&["ip", "link", "set", "eth0", "up"]).unwrap();
    until("the outside answers again", || pings(&host, "a", &outside).then_some(()));
    host.run(&["ip", "link", "delete", "eth0"]).unwrap();
    until("the agent says so", || settled(&host).contains("until it is there").then_some(()));
    assert!(!pings(&host, "a", &outside) && pings(&host, "a", &other), "containers have each other");
    host.netns("c").unwrap();
    let refused = Call::new("ADD", "c", "app").run(&host);
    assert!(refused.output.to_string().contains("eth0 is gone from the host"), "{refused:?}");
    let anew = format!("ip link add eth0 type veth peer name eth0 address {far} netns outside && ip link set eth0 up");
    host.run(&["sh", "-c", &anew]).unwrap();
    host.outside().run(&["sh", "-c", "ip address add 198.51.100.1/24 dev eth0 && ip link set eth0 up"]).unwrap();
    until("the outside answers by the new link", || pings(&host, "a", &outside).then_some(()));
    api.assert_clean();
}

#[test]
fn a_parent_that_will_not_do_is_refused_with_the_reason() {
    let host = Host::start("parents-unfit").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    host.run(&[
        "sh",
        "-c",
        "ip link add br7 type bridge && ip link add port type veth peer name other && \
        ip link set port master br7 && ip link set port up && ip tuntap add tun7 mode tun",
    ])
    .unwrap();
    let cases = [
        (json!({"parent": "port"}), "is a port of br7"),
        (json!({"parent": "tun7"}), "is no Ethernet link"),
        (json!({"parent": "eth7"}), "the host has no such link"),
        (json!({"parent": "a/b"}), "spec.parent"),
        (json!({"vlan": 4095}), "write a number from 1 to 4094"),
        (json!({"pools": []}), "say which of the physical network's addresses"),
        (json!({"ipvlanMode": "l2"}), "the attachment is macvlan"),
        (json!({"mode": "ipvlan", "ipvlanMode": "l3", "gateways": ["198.51.100.1"]}), "with ipvlanMode l3 routes lead"),
        (json!({"masquerade": true}), "sends nothing that could be translated"),
    ];
    for (more, reason) in cases {
        let (status, answer) = api.try_network("app", physical(more.clone()));
        assert!(status >= 400 && answer.to_string().contains(reason), "{more}: {answer}");
    }
    host.run(&["ip", "link", "set", "br7", "up"]).unwrap();
    api.network("app", physical(json!({"parent": "br7"})));
}

#[test]
fn addresses_of_the_host_and_of_the_router_are_never_leased() {
    let host = Host::start("parents-own").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    api.network("app", physical(json!({"ranges": ["198.51.100.0/29", "2001:db8:100::/125"]})));
    let mut leased = Vec::new();
    for n in 0..8 {
        let id = format!("c{n}");
        host.netns(&id).unwrap();
        if Call::new("ADD", &id, "app").run(&host).code().is_some() {
            break;
        }
        leased.push(api.address(&id, 0));
    }
    assert_eq!(leased, ["198.51.100.3", "198.51.100.4", "198.51.100.5", "198.51.100.6", "198.51.100.7"]);
}

#[test]
fn a_namespace_that_dies_without_a_word_leaves_nothing_on_the_parent() {
    let host = Host::start("parents-dead").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = populate(&host, json!({}));
    let taken_in = || host.run(&["bridge", "fdb", "show", "dev", "eth0"]).unwrap().matches("02:77:").count();
    assert_eq!(taken_in(), 2);
    for id in ["a", "b"] {
        host.run(&["ip", "netns", "delete", id]).unwrap();
    }
    until("nobody is left", || api.endpoints("").is_empty().then_some(()));
    assert_eq!(taken_in(), 0);
    assert_deserted(&host, &api);
    let flags = host.run(&["ip", "link", "show", "eth0"]).unwrap();
    assert!(!flags.contains("ALLMULTI"), "the parent is as it was: {flags}");
}

#[test]
fn a_container_of_a_bridge_joins_the_physical_network_besides() {
    let host = Host::start("parents-beside").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = populate(&host, json!({}));
    api.network("inner", json!({"mode": "bridge", "pools": ["10.1.0.0/24", "fd61::/64"]}));
    for id in ["c", "d"] {
        host.netns(id).unwrap();
        Call::new("ADD", id, "inner").done(&host);
    }
    host.run(&["weft", "attach", "c", "--network", "app"]).unwrap();
    for family in 0..2 {
        let (inner, physical) = (api.address("c@eth0", family), api.address("c@eth1", family));
        let [own, outside] = neighbours(family);
        until("the outside reaches it", || pings(&host, "outside", &physical).then_some(()));
        for to in [&api.address("d", family), &api.address("a", family), &own, &outside] {
            assert!(pings(&host, "c", to), "{to}");
        }
        assert!(pings(&host, "d", &inner) && pings(&host, "b", &physical) && host_pings(&host, &physical));
        let route = ["ip", "-n", "c", "route", "get", &api.address("a", family), "from", &physical];
        let route = host.run(&route).unwrap();
        assert!(route.contains("dev eth1") && !route.contains("via"), "a neighbour needs no router: {route}");
    }
    host.run(&["weft", "detach", "c@eth1"]).unwrap();
    let links = || host.run(&["ip", "-n", "c", "-o", "link"]).unwrap();
    until("its link is gone", || (!links().contains("macvlan") && links().lines().count() == 2).then_some(()));
    assert!(pings(&host, "c", &api.address("d", 0)));
    for id in ["a", "b", "c", "d"] {
        Call::new("DEL", id, if "ab".contains(id) { "app" } else { "inner" }).done(&host);
    }
    assert_deserted(&host, &api);
}

#[test]
fn somebody_who_asks_why_hears_what_the_parent_s_doors_say() {
    let host = Host::start("parents-why").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = populate(&host, json!({"isolated": true}));
    let why = |from: &str, to: &str| host.run(&["weft", "why", from, to]).map_err(|error| error.to_string());
    let outside = uplink::OUTSIDE_V4.to_string();
    let said = why("a", &outside).unwrap();
    assert!(said.contains("door of default/a, out") && said.contains("the segment of eth0"), "{said}");
    let said = why("a", &uplink::HOST_V4.to_string()).unwrap();
    assert!(said.contains("the host itself"), "{said}");
    let said = why(&outside, &api.address("a", 0)).unwrap();
    assert!(said.contains("door of default/a, in"), "{said}");
    let refused = why("a", "b").unwrap_err();
    assert!(refused.contains("exit status: 3"), "{refused}");
    let judged = host.command("weft").args(["why", "a", "b", "-o", "json"]).output().unwrap();
    assert!(String::from_utf8_lossy(&judged.stdout).contains("isolated"), "{judged:?}");
    until("the outside answers", || pings(&host, "a", &outside).then_some(()));
    until("what happened is told", || {
        let seen = host.run(&["weft", "observe", "a", "--last", "20"]).unwrap();
        seen.contains("default/a").then_some(())
    });
}

#[test]
fn a_host_that_weft_leaves_has_its_parent_as_it_was() {
    let host = Host::start("parents-left").unwrap();
    let weftd = host.weftd::<&str>(&[]).unwrap();
    let _api = populate(&host, json!({}));
    let shown = || host.run(&["sh", "-c", "ip -d link show eth0; bridge fdb show dev eth0; ip -o link"]).unwrap();
    assert!(shown().contains("ALLMULTI") && shown().contains("02:77:") && shown().contains("wefte"));
    drop(weftd);
    let said = host.run(&["weft", "uninstall", "--yes", "--bin-dir", "/nowhere"]).unwrap();
    assert!(said.contains("1 link's settings as a parent"), "{said}");
    let left = shown();
    assert!(!left.contains("ALLMULTI") && !left.contains("02:77:") && !left.contains("weft"), "{left}");
    let pins = host.run(&["sh", "-c", "ls /sys/fs/bpf/weft 2>/dev/null || true"]).unwrap();
    assert_eq!(pins, "");
    assert!(host_pings(&host, &uplink::OUTSIDE_V4.to_string()));
}

/// As a neighbour whose addresses it may all write into its frames, the Ethernet and the IP ones; who is told of then
/// as the sender, and the reason.
fn nobody_speaks_for_a_neighbour(name: &str, more: &serde_json::Value, (who, reason): (&str, &str)) {
    let host = Host::start(name).unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    if more["ipvlanMode"] != json!(null) {
        lead_to_host(&host);
    }
    let api = populate(&host, more.clone());
    let address_of = |netns: &str| host.run(&["ip", "netns", "exec", netns, "cat", "/sys/class/net/eth0/address"]);
    let neighbour = mac(&address_of("b").unwrap());
    let of_host = Netns::open(format!("/proc/{}/ns/net", host.init_pid())).unwrap();
    let uplink = host.run(&["cat", "/sys/class/net/eth0/ifindex"]).unwrap().trim().parse().unwrap();
    let taps = [of_host.within(|| Tap::on(uplink)).unwrap(), tap(&host, "outside")];
    let raw = RawSocket::open(&host, "a", "eth0");
    for family in 0..2 {
        let other = api.address("b", family);
        let [to_host, to_outside] = neighbours(family);
        // A connection that vouches for the neighbour's packets is there, too, and must not for others'.
        until("the outside answers", || pings(&host, "b", &to_outside).then_some(()));
        let spoken = inside(&host, "b").within(|| UdpSocket::bind((other.as_str(), 9)).unwrap()).unwrap();
        spoken.send_to(b"honest", (to_outside.as_str(), 9)).unwrap();
        for to in [&to_outside, &to_host] {
            let before = api.counted(who, "out", reason);
            let frame = raw.udp(neighbour, (&other, 9), (to, 9));
            (0..FORGED).for_each(|_| drop(raw.try_send(&frame)));
            until(to, || (api.counted(who, "out", reason) == before + FORGED).then_some(()));
        }
        assert!(pings(&host, "a", &to_outside) && pings(&host, "b", &to_outside), "honest packets pass");
    }
    for (tap, who) in taps.iter().zip(["the host's link", "the outside"]) {
        let heard = tap.frames();
        let has = |word: &[u8]| heard.iter().any(|frame| frame.windows(6).any(|bytes| bytes == word));
        assert!(has(b"honest") && !has(b"forged"), "{more}: {who}");
    }
}

#[test]
fn nobody_speaks_for_a_neighbour_on_a_macvlan_network() {
    nobody_speaks_for_a_neighbour("parents-neighbour", &json!({}), ("a", "source_mac"));
}

#[test]
fn nobody_speaks_for_a_neighbour_on_an_ipvlan_network() {
    let test = "nobody_speaks_for_a_neighbour_on_an_ipvlan_network";
    if lacks_ipvlan(test) {
        return;
    }
    let host = Host::start("parents-probe-ns").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    if let Some(lack) = Api::of(&host).lack("neighbours of ipvlan told apart by their namespaces") {
        return skip(&format!("parents::{test}"), &lack);
    }
    let told = ("b", "source_namespace");
    nobody_speaks_for_a_neighbour("parents-neighbour-l2", &json!({"mode": "ipvlan"}), told);
    for mode in ROUTED {
        let more = json!({"mode": "ipvlan", "ipvlanMode": mode});
        nobody_speaks_for_a_neighbour(&format!("parents-neighbour-{mode}"), &more, told);
    }
}
