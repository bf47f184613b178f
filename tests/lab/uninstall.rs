//! `weft uninstall`: what weft has on a host goes, what others have stays, and nothing passes meanwhile.

use std::fmt::Write as _;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use weft_lab::{Host, uplink};
use weft_tests::{Api, Call, RawSocket, leftovers, until};

/// What others have: a link whose name begins like weft's, with a route and a neighbour; a table; a firewall's chain.
const FOREIGN: &str = "\
    ip link add weftless0 type bridge && ip link set weftless0 up && ip address add 192.0.2.1/24 dev weftless0 && \
    ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev weftless0 nud permanent && \
    ip route add 203.0.113.0/24 via 198.51.100.1 proto 118 && \
    nft 'add table inet weftless; add chain inet weftless in { type filter hook input priority 0; }' && \
    iptables-nft -P FORWARD DROP && iptables-nft -A FORWARD -s 192.0.2.0/24 -j ACCEPT";
/// Shows just that, wherever it stands.
const FOREIGN_SHOWN: &str = "\
    ip address show weftless0; ip neigh show dev weftless0; \
    ip route show proto 118; nft list table inet weftless; iptables-nft -S";
/// Whatever of weft's the kernel or the file system could show, file contents and counters of rules aside.
const SHOWN: &str = "\
    ip -o link | sed 's/ state [A-Z]*//'; ip route show table all; ip -6 route show table all; \
    ip neigh show nud permanent; \
    nft -s list ruleset; cat /proc/sys/net/ipv4/ip_forward; \
    find /sys/fs/bpf /var/lib/weft /etc/cni /var/local/cni; find /run/weft /var/lib/weft -type f | xargs sha256sum";
/// Whatever of weft's the file system has.
const FILES: &str = "\
    find /run/weft /sys/fs/bpf/weft /var/lib/weft/* /var/local/cni/weft-cni /etc/cni/net.d/*weft* 2>/dev/null || true";
/// Where runtimes look here: the lab's own shim is a mount, which cannot be removed.
const BIN_DIR: &str = "/var/local/cni";
const SHIM: &str = "/opt/cni/bin/weft-cni";
const PORT: u16 = 9;

/// A bridge and a routed network, two endpoints on each, runtimes told.
fn populate(host: &Host) -> Api {
    let api = Api::of(host);
    api.network("app", json!({"mode": "bridge", "pools": ["10.1.0.0/24", "fd61::/64"]}));
    api.network("back", json!({"mode": "routed", "pools": ["10.2.0.0/24", "fd62::/64"]}));
    for (id, network) in [("a", "app"), ("b", "app"), ("c", "back"), ("d", "back")] {
        host.netns(id).unwrap();
        Call::new("ADD", id, network).done(host);
    }
    // Where the kernel holds nothing back, there is one link less to take away.
    if api.lack("limits of what is sent").is_none() {
        let limit = json!({"endpoint": "b", "egress": {"rate": 1_000_000_000}});
        let (status, limited) = api.post("/v1/endpoints/limits", &limit);
        assert_eq!(status, 200, "{limited}");
    }
    host.run(&["weft", "install", "cni", "--bin-dir", BIN_DIR, "--network", "app", "--shim", SHIM]).unwrap();
    api
}

fn sh(host: &Host, script: &str) -> String {
    host.run(&["sh", "-c", script]).unwrap()
}

/// `weft uninstall` with these flags.
fn uninstall(host: &Host, flags: &[&str]) -> Result<String, String> {
    let line = [&["weft", "uninstall", "--bin-dir", BIN_DIR], flags].concat();
    host.run(&line).map_err(|error| error.to_string())
}

/// The same on a terminal, where somebody answers.
fn answered(host: &Host, answer: &str, flags: &str) -> String {
    sh(host, &format!("echo {answer} | script -qec 'weft uninstall --bin-dir {BIN_DIR} {flags}' /dev/null"))
}

/// What is left of weft on the host, in the kernel and in the file system.
fn left(host: &Host) -> String {
    let mut left = String::new();
    for shown in ["ip -o link", "ip -6 route show table all proto 119; ip route show table all proto 119", "ip neigh"] {
        let lines = sh(host, shown);
        let ours = lines.lines().filter(|line| line.contains("weft") || line.contains("proto 119"));
        ours.filter(|line| !line.contains("weftless")).for_each(|line| writeln!(left, "{line}").unwrap());
    }
    let rules = sh(host, "nft list ruleset");
    let ours = rules.lines().filter(|line| line.contains("weft") && !line.contains("weftless"));
    ours.for_each(|line| writeln!(left, "{line}").unwrap());
    // The state directory is a mount of the lab's, which stays.
    left + &sh(host, FILES)
}

#[test]
fn everything_of_wefts_goes_and_nothing_of_others_does() {
    let host = Host::start("uninstall").unwrap();
    sh(&host, FOREIGN);
    host.cni_conflist("10-other", r#"{"cniVersion":"1.0.0","name":"o","plugins":[{"type":"loopback"}]}"#).unwrap();
    // Or what is compared changes by itself, once the kernel knows that nobody else has those addresses.
    until("addresses are settled", || sh(&host, "ip -6 address show tentative").is_empty().then_some(()));
    let foreign = sh(&host, FOREIGN_SHOWN);
    let mut weftd = host.weftd::<&str>(&[]).unwrap();
    let api = populate(&host);
    until("the firewall lets containers pass", || sh(&host, "iptables-nft -S").contains("weft: from").then_some(()));

    // It refuses while an agent runs, names it, and shows what would go all the same.
    let pid = std::fs::read_to_string(host.path("/run/weft/weftd.pid")).unwrap();
    let refused = uninstall(&host, &["--yes"]).unwrap_err();
    assert!(refused.contains(&format!("(process {})", pid.trim())), "{refused}");
    assert!(refused.contains("systemctl disable --now weftd"), "{refused}");
    let shown = uninstall(&host, &["--dry-run"]).unwrap();
    assert!(shown.contains("4 running endpoints lose their network at once"), "{shown}");
    assert!(api.endpoints("").len() == 4);

    // Neither a dry run nor one that nobody confirms changes anything.
    weftd.kill9().unwrap();
    until("links have told that they run", || (!sh(&host, "ip link").contains("NO-CARRIER")).then_some(()));
    let before = sh(&host, SHOWN);
    let shown = uninstall(&host, &["--dry-run"]).unwrap();
    for expected in
        ["app, back", "weftb-app", "10.2.0.1/32", "table inet weft", "chain ip filter FORWARD", "weft_captures"]
    {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    for expected in ["default/a@eth0 on app", "net/ipv4/ip_forward: was 0, is 1", "05-weft-app.conflist"] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    let refused = uninstall(&host, &[]).unwrap_err();
    assert!(refused.contains("no terminal: add --yes"), "{refused}");
    let asked = answered(&host, "n", "|| true");
    assert!(asked.contains("[y/N]") && asked.contains("nothing was changed"), "{asked}");
    let unprivileged = ["setpriv", "--reuid=65534", "--clear-groups", "weft", "uninstall", "--dry-run"];
    let refused = host.run(&unprivileged).unwrap_err().to_string();
    assert!(refused.contains("run this as root"), "{refused}");
    assert_eq!(sh(&host, SHOWN), before);

    // Then it all goes, and what others have stays.
    let done = uninstall(&host, &["--yes"]).unwrap();
    assert!(done.ends_with("nothing of weft's is left on this host, its programs and /etc/weft aside\n"), "{done}");
    assert_eq!(left(&host), "");
    assert_eq!(leftovers::links_of(&host, "a"), ["lo"]);
    assert_eq!(sh(&host, FOREIGN_SHOWN), foreign);
    assert_eq!(sh(&host, "ls /etc/cni/net.d"), "10-other.conflist\n");
    assert_eq!(sh(&host, "cat /proc/sys/net/ipv4/ip_forward"), "1\n", "others may have come to rely on it");
    let again = uninstall(&host, &["--yes"]).unwrap();
    assert_eq!(again, "there is nothing of weft's on this host\n");

    // A fresh agent serves as on a host that never had one.
    weftd.restart().unwrap();
    assert_eq!(api.get("/v1/networks").1["items"].as_array().unwrap().len(), 0);
    api.network("new", json!({"mode": "bridge", "pools": ["10.1.0.0/24", "fd61::/64"]}));
    Call::new("ADD", "a", "new").done(&host);
    host.run(&["ip", "netns", "exec", "a", "busybox", "ping", "-c1", "-W5", "198.51.100.1"]).unwrap();
    api.assert_clean();
}

#[test]
fn networks_are_kept_and_settings_are_put_back_where_somebody_asks() {
    let host = Host::start("uninstall-kept").unwrap();
    let mut weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    api.network("app", json!({"mode": "bridge", "pools": ["10.1.0.0/24", "fd61::/64"]}));
    weftd.terminate().unwrap();
    // Somebody else has an opinion by now.
    sh(&host, "echo 0 > /proc/sys/net/ipv6/conf/all/forwarding");
    let answered = answered(&host, "y", "--keep-state --restore-settings");
    assert!(answered.contains("net/ipv4/ip_forward is 0 again"), "{answered}");
    assert!(answered.contains("net/ipv6/conf/all/forwarding stays: somebody made it 0 since"), "{answered}");
    assert!(answered.contains("nothing of weft's is left on this host, but for networks"), "{answered}");
    assert_eq!(sh(&host, "cat /proc/sys/net/ipv4/ip_forward"), "0\n");
    assert_eq!(left(&host), "/var/lib/weft/store\n");
    let again = uninstall(&host, &["--yes", "--keep-state"]).unwrap();
    assert_eq!(again, "there is nothing of weft's on this host, but for networks that people wrote\n");
    weftd.restart().unwrap();
    assert_eq!(api.get("/v1/networks/app").0, 200);
}

#[test]
fn what_cannot_be_read_goes_all_the_same() {
    let host = Host::start("uninstall-damaged").unwrap();
    let mut weftd = host.weftd::<&str>(&[]).unwrap();
    Api::of(&host).network("app", json!({"mode": "bridge"}));
    weftd.kill9().unwrap();
    host.write("/var/lib/weft/store", "no store").unwrap();
    host.write("/run/weft/ledger", "no ledger").unwrap();
    let shown = uninstall(&host, &["--dry-run"]).unwrap();
    assert!(shown.contains("/var/lib/weft/store is not a weft store"), "{shown}");
    host.write("/run/weft/mine", "somebody's").unwrap();
    uninstall(&host, &["--yes"]).unwrap();
    assert_eq!(left(&host), "/run/weft\n/run/weft/mine\n");
}

/// A socket of the outside.
fn listen(host: &Host) -> UdpSocket {
    let outside = host.outside().open().unwrap();
    let socket = outside.within(|| UdpSocket::bind((uplink::OUTSIDE_V4, PORT)).unwrap()).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    socket
}

#[test]
fn nothing_forged_passes_while_links_and_filters_go() {
    let host = Host::start("uninstall-storm").unwrap();
    let mut weftd = host.weftd::<&str>(&[]).unwrap();
    let api = populate(&host);
    let (outside, mut datagram) = (listen(&host), [0; 64]);
    let forged = |container: &str| {
        let raw = RawSocket::open(&host, container, "eth0");
        let outside = [uplink::OUTSIDE_V4.to_string(), uplink::OUTSIDE_V6.to_string()];
        let frame = raw.forgeries(["10.1.0.2", "fd61::2"], [&outside[0], &outside[1]]).swap_remove(0).1;
        (raw, frame)
    };
    // Without its filters a door is open, so that the storm means something.
    let link = api.endpoints("d")[0]["status"]["hostLink"].as_str().unwrap().to_owned();
    weftd.kill9().unwrap();
    let (raw, frame) = forged("d");
    host.run(&["tc", "qdisc", "delete", "dev", &link, "clsact"]).unwrap();
    until("a forged datagram arrives", || {
        raw.send(&frame);
        outside.recv_from(&mut datagram).ok()
    });
    host.run(&["ip", "link", "set", &link, "down"]).unwrap();
    while outside.recv_from(&mut datagram).is_ok() {}

    let storms = ["a", "c"].map(forged);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for (raw, frame) in &storms {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    // Once the link is down, nothing can be sent.
                    let _ = raw.try_send(frame);
                }
            });
        }
        let done = uninstall(&host, &["--yes"]);
        stop.store(true, Ordering::Relaxed);
        done.unwrap();
    });
    assert!(outside.recv_from(&mut datagram).is_err(), "a forged datagram passed");
}
