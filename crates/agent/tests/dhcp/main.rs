//! Leases from real servers, and from one with bad intentions, over real links.

#![allow(clippy::unwrap_used, reason = "a test that fails there says enough")]

mod world;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use weft_agent::shell::dhcp::{DhcpError, Keeper, Keeping, News, Want, What, Wishes, acquire, release};
use weft_dhcp::Loss;
use weft_dhcp::v4::{Kind, Message, Op, code};
use weft_kernel::packet::datagrams;
use weft_model::{Lease, LeaseServer};

use world::{Container, Lan, PATIENCE, run, wait_for};

const V4: &str = "--dhcp-range=10.77.0.50,10.77.0.60,255.255.255.0,2m";
const V6: &str = "--dhcp-range=fd77::50,fd77::60,64,2m";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// What a container gets that may have any address.
fn got(container: &Container, wishes: &Wishes) -> Result<Lease, DhcpError> {
    acquire(&container.netns, &container.asker, wishes, &mut |_| true)
}

/// A keeper of containers that may have any address.
fn keeper() -> (Keeper, Receiver<News>) {
    let (keeper, beginning) = Keeper::open().unwrap();
    (keeper, beginning.start(|_, _| true).unwrap())
}

fn only_v4() -> Wishes {
    Container::wishes(Want::Required, Want::Unwanted)
}

fn keeping(container: &Container, lease: &Lease) -> Keeping {
    let (key, netns, asker) = (container.key.clone(), container.record(), container.asker.clone());
    Keeping { key, netns, asker, hostname: None, lease: lease.clone() }
}

/// As if it had been got so many seconds earlier.
fn aged(lease: &Lease, seconds: u64) -> Lease {
    let mut lease = lease.clone();
    for grant in lease.v4.iter_mut().chain(&mut lease.v6) {
        grant.times.granted_s = grant.times.granted_s.saturating_sub(seconds);
    }
    lease
}

#[test]
fn a_container_gets_all_that_dnsmasq_has_for_it() {
    let lan = Lan::new("all");
    let server = lan.dnsmasq(&[
        V4,
        "--dhcp-option=option:router,10.77.0.1",
        "--dhcp-option=option:dns-server,10.77.0.53",
        "--dhcp-option=option:domain-search,example.org,lan",
        "--dhcp-option=option:classless-static-route,192.168.9.0/24,10.77.0.9,0.0.0.0/0,10.77.0.1",
        "--domain=example.org",
    ]);
    let container = lan.container(Want::Unwanted);
    let lease = got(&container, &only_v4()).unwrap();
    let grant = lease.v4.as_ref().unwrap();
    assert!(grant.address.to_string().starts_with("10.77.0."), "{grant:?}");
    assert_eq!((grant.address.prefix_len(), &grant.server), (24, &LeaseServer::Address(Ipv4Addr::new(10, 77, 0, 1))));
    assert_eq!((grant.times.lifetime_s, grant.times.renew_s), (Some(120), 60));
    assert_eq!(lease.gateways(), [ip("10.77.0.1")]);
    let routes: Vec<_> = lease.routes().map(|route| (route.to.to_string(), route.via)).collect();
    let expected = [("192.168.9.0/24", "10.77.0.9"), ("0.0.0.0/0", "10.77.0.1")];
    assert_eq!(routes, expected.map(|(to, via)| (to.to_owned(), Some(ip(via)))));
    assert_eq!(lease.dns().servers, [ip("10.77.0.53")]);
    assert_eq!(lease.dns().searches, ["example.org", "lan"]);
    assert!(server.leases().contains(" web "), "the server knows its name: {}", server.leases());
    let again = got(&container, &only_v4()).unwrap();
    assert_eq!(again.addresses(), lease.addresses(), "whoever is the same gets the same");
}

#[test]
fn a_container_gets_both_families_and_gives_them_back() {
    let lan = Lan::new("both");
    let server = lan.dnsmasq(&[V4, V6, "--enable-ra", "--dhcp-option=option6:dns-server,[fd77::53]"]);
    let container = lan.container(Want::Required);
    let wishes = Container::wishes(Want::Required, Want::Required);
    let lease = got(&container, &wishes).unwrap();
    let grant = lease.v6.as_ref().unwrap();
    assert!(grant.address.to_string().starts_with("fd77::") && grant.address.prefix_len() == 128, "{grant:?}");
    assert!(!lease.autoconfigured, "the router says that addresses are managed");
    assert!(lease.dns().servers.contains(&ip("fd77::53")));
    lease.addresses().iter().for_each(|address| container.set(address));
    assert_eq!(server.leases().lines().filter(|line| !line.starts_with("duid")).count(), 2);
    release(&container.netns, &container.asker, &lease).unwrap();
    wait_for("leases that are gone", || {
        let left = server.leases();
        left.lines().all(|line| line.starts_with("duid")).then_some(())
    });
}

#[test]
fn kea_serves_both_families_too() {
    let lan = Lan::new("kea");
    let _v4 = lan.kea(
        4,
        r#""valid-lifetime": 600, "subnet4": [{ "subnet": "10.77.0.0/24",
            "pools": [{ "pool": "10.77.0.70-10.77.0.79" }],
            "option-data": [{ "name": "routers", "data": "10.77.0.1" }] }]"#,
    );
    let _v6 = lan.kea(
        6,
        r#""valid-lifetime": 600, "preferred-lifetime": 500, "renew-timer": 100, "rebind-timer": 200,
            "subnet6": [{ "subnet": "fd77::/64", "interface": "lan", "pools": [{ "pool": "fd77::70-fd77::79" }] }]"#,
    );
    let container = lan.container(Want::Required);
    let wishes = Container::wishes(Want::Required, Want::Required);
    let lease = got(&container, &wishes).unwrap();
    assert!(lease.v4.as_ref().unwrap().address.to_string().starts_with("10.77.0.7"), "{lease:?}");
    let grant = lease.v6.unwrap();
    assert!(grant.address.to_string().starts_with("fd77::7"), "no router, and a server all the same: {grant:?}");
    assert_eq!((grant.times.renew_s, grant.times.rebind_s, grant.times.preferred_s), (100, 200, Some(500)));
}

#[test]
fn where_routers_advertise_prefixes_the_kernel_forms_the_address() {
    let lan = Lan::new("slaac");
    let _router = lan.dnsmasq(&["--dhcp-range=fd77::,ra-only", "--enable-ra", V4]);
    let container = lan.container(Want::Required);
    let wishes = Container::wishes(Want::Unwanted, Want::Required);
    let lease = got(&container, &wishes).unwrap();
    assert!(lease.autoconfigured && lease.v6.is_none(), "{lease:?}");
    wait_for("an address of the advertised prefix", || {
        run(&container.netns, "ip -6 addr show dev eth0").contains("fd77::").then_some(())
    });
    let routes = run(&container.netns, "ip -6 route show default");
    assert!(routes.contains("proto ra"), "{routes}");
}

#[test]
fn a_lan_without_ipv6_is_good_enough_where_that_is_only_welcome() {
    let lan = Lan::new("welcome");
    let _server = lan.dnsmasq(&[V4]);
    let container = lan.container(Want::Welcome);
    let wishes = Container::wishes(Want::Required, Want::Welcome);
    let lease = got(&container, &wishes).unwrap();
    assert!(lease.v4.is_some() && lease.v6.is_none());
}

#[test]
fn silence_is_an_error_after_its_time() {
    let lan = Lan::new("silence");
    let container = lan.container(Want::Unwanted);
    let wishes = Wishes { timeout: Duration::from_millis(700), ..only_v4() };
    let began = Instant::now();
    let error = got(&container, &wishes).unwrap_err();
    assert!(began.elapsed() >= wishes.timeout && began.elapsed() < PATIENCE);
    assert!(matches!(error, DhcpError::Silent { .. }));
    let expected = "no IPv4 address for eth0 within 0.7 s: nobody answered; \
                    is there a DHCP server on its LAN, and a free address?";
    assert_eq!(error.to_string(), expected);
    run(&container.netns, "ip link delete eth0");
    let error = got(&container, &wishes).unwrap_err();
    assert!(error.to_string().contains("packet socket of eth0"), "{error}");
}

#[test]
fn leases_are_extended_by_the_keeper() {
    let lan = Lan::new("extend");
    let _v4 = lan.kea(
        4,
        r#""valid-lifetime": 8, "subnet4": [{ "subnet": "10.77.0.0/24",
            "pools": [{ "pool": "10.77.0.70-10.77.0.79" }] }]"#,
    );
    let _v6 = lan.kea(
        6,
        r#""valid-lifetime": 8, "preferred-lifetime": 8, "renew-timer": 3, "rebind-timer": 6,
            "subnet6": [{ "subnet": "fd77::/64", "interface": "lan", "pools": [{ "pool": "fd77::70-fd77::79" }] }]"#,
    );
    let container = lan.container(Want::Required);
    let wishes = Container::wishes(Want::Required, Want::Required);
    let lease = got(&container, &wishes).unwrap();
    lease.addresses().iter().for_each(|address| container.set(address));
    let (keeper, news) = keeper();
    keeper.keep(keeping(&container, &lease));
    let mut extended = BTreeMap::new();
    // Past the end of the first lease, so that each was extended more than once.
    while !lease.addresses().iter().all(|address| extended.get(address) >= Some(&2)) {
        let News { lease: now, what, .. } = news.recv_timeout(PATIENCE).expect("news");
        let What::Extended(address) = what else { panic!("{what:?}") };
        assert_eq!(now.addresses(), lease.addresses());
        *extended.entry(address).or_insert(0) += 1;
    }
}

#[test]
fn a_server_that_lost_its_leases_takes_the_address_back_and_gives_another() {
    let lan = Lan::new("forgot");
    let mut server = lan.dnsmasq(&[V4]);
    let container = lan.container(Want::Unwanted);
    let lease = got(&container, &only_v4()).unwrap();
    let address = lease.addresses()[0];
    container.set(address);
    server.kill();
    std::fs::remove_file(&server.leases).unwrap();
    let _server = lan.dnsmasq(&["--dhcp-range=10.77.0.80,10.77.0.90,255.255.255.0,2m", "--dhcp-authoritative"]);
    let (keeper, news) = keeper();
    keeper.keep(keeping(&container, &aged(&lease, 61)));
    let lost = news.recv_timeout(PATIENCE).expect("news");
    assert_eq!(lost.what, What::Lost(address, Loss::Refused));
    assert_eq!(lost.lease, Lease::default());
    let gained = news.recv_timeout(PATIENCE).expect("news");
    let What::Gained(other) = gained.what else { panic!("{gained:?}") };
    assert!(other.to_string().starts_with("10.77.0.8") || other.to_string().starts_with("10.77.0.9"), "{other}");
    assert_eq!(gained.lease.addresses(), [other]);
}

#[test]
fn what_nobody_extends_is_lost_in_time() {
    let lan = Lan::new("expiry");
    let mut server = lan.dnsmasq(&[V4]);
    let container = lan.container(Want::Unwanted);
    let lease = got(&container, &only_v4()).unwrap();
    server.kill();
    let (keeper, news) = keeper();
    keeper.keep(keeping(&container, &aged(&lease, 117)));
    let lost = news.recv_timeout(PATIENCE).expect("news");
    assert_eq!(lost.what, What::Lost(lease.addresses()[0], Loss::Expired));
}

#[test]
fn a_namespace_that_is_gone_is_kept_no_more_and_is_not_kept_alive() {
    let lan = Lan::new("gone");
    let _server = lan.dnsmasq(&[V4]);
    let container = lan.container(Want::Unwanted);
    let lease = got(&container, &only_v4()).unwrap();
    container.set(lease.addresses()[0]);
    let (keeper, news) = keeper();
    let kept = keeping(&container, &aged(&lease, 61));
    keeper.keep(kept.clone());
    assert!(matches!(news.recv_timeout(PATIENCE).expect("news").what, What::Extended(_)));
    drop(container);
    wait_for("a namespace that ends", || (!run(&lan.netns, "ip link show").contains("port0")).then_some(()));
    keeper.keep(kept);
    assert_eq!(news.recv_timeout(PATIENCE).expect("news").what, What::Gone);
}

#[test]
fn what_is_forgotten_is_not_extended() {
    let lan = Lan::new("forget");
    let mut server = lan.dnsmasq(&[V4]);
    let container = lan.container(Want::Unwanted);
    let lease = got(&container, &only_v4()).unwrap();
    server.kill();
    let (keeper, news) = keeper();
    keeper.keep(keeping(&container, &aged(&lease, 118)));
    keeper.forget(&container.key);
    drop(keeper);
    assert!(news.recv_timeout(PATIENCE).is_err(), "the thread ends with its last owner, and has nothing to say");
}

#[test]
fn an_address_that_another_has_is_declined() {
    let lan = Lan::new("conflict");
    let server = lan.dnsmasq(&["--dhcp-range=10.77.0.50,10.77.0.51,255.255.255.0,2m", "--dhcp-sequential-ip"]);
    let squatter = lan.container(Want::Unwanted);
    squatter.set("10.77.0.50/24");
    let container = lan.container(Want::Unwanted);
    let lease = got(&container, &only_v4()).unwrap();
    assert_eq!(lease.addresses(), ["10.77.0.51/24".parse().unwrap()]);
    assert!(server.log().contains("DHCPDECLINE"), "{}", server.log());
}

#[test]
fn an_address_that_the_container_may_not_have_is_declined_though_nobody_on_its_lan_has_it() {
    let lan = Lan::new("refused");
    let server = lan.dnsmasq(&["--dhcp-range=10.77.0.50,10.77.0.51,255.255.255.0,2m", "--dhcp-sequential-ip"]);
    let container = lan.container(Want::Unwanted);
    let mut may_have = |address| address != ip("10.77.0.50");
    let lease = acquire(&container.netns, &container.asker, &only_v4(), &mut may_have).unwrap();
    assert_eq!(lease.addresses(), ["10.77.0.51/24".parse().unwrap()]);
    assert!(server.log().contains("DHCPDECLINE"), "{}", server.log());
}

#[test]
fn an_ipv6_address_that_another_has_is_declined() {
    let lan = Lan::new("conflict6");
    let server = lan.kea(
        6,
        r#""valid-lifetime": 600, "preferred-lifetime": 500, "subnet6": [{ "subnet": "fd77::/64", "interface": "lan",
            "pools": [{ "pool": "fd77::70-fd77::71" }] }]"#,
    );
    let squatter = lan.container(Want::Unwanted);
    run(&squatter.netns, "ip addr add fd77::70/64 dev eth0 nodad");
    let container = lan.container(Want::Required);
    let lease = got(&container, &Container::wishes(Want::Unwanted, Want::Required));
    assert_eq!(lease.unwrap().addresses(), ["fd77::71/128".parse().unwrap()]);
    assert!(server.leases().contains("fd77::70"), "{}", server.leases());
}

/// A server that says what `answers` have for each message, all of them at once.
fn with_server<T>(lan: &Lan, answers: impl Fn(&Message) -> Vec<Vec<u8>> + Sync, work: impl FnOnce() -> T) -> T {
    let ends = AtomicBool::new(false);
    let (socket, _) =
        lan.netns.run(|| datagrams(&"lan".parse().unwrap(), "0.0.0.0:67".parse().unwrap())).unwrap().unwrap();
    socket.set_nonblocking(false).unwrap();
    socket.set_broadcast(true).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut bytes = [0; 2048];
            while !ends.load(Ordering::Relaxed) {
                let Ok((count, _)) = socket.recv_from(&mut bytes) else { continue };
                let Ok(question) = Message::decode(&bytes[..count]) else { continue };
                for answer in answers(&question) {
                    socket.send_to(&answer, "255.255.255.255:68").unwrap();
                }
            }
        });
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        ends.store(true, Ordering::Relaxed);
        worked.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn say(question: &Message, kind: Kind, options: &[(u8, &[u8])]) -> Message {
    let usual: [(u8, &[u8]); 3] = [
        (code::SUBNET_MASK, &[255, 255, 255, 0]),
        (code::LEASE_TIME, &[0, 0, 0, 200]),
        (code::SERVER_ID, &[10, 77, 0, 1]),
    ];
    let all = usual.iter().chain(options).map(|(code, value)| (*code, value.to_vec()));
    let mut options: BTreeMap<u8, Vec<u8>> = all.collect();
    options.insert(code::MESSAGE_TYPE, vec![kind as u8]);
    let yiaddr = Ipv4Addr::new(10, 77, 0, 200);
    Message { op: Op::Reply, yiaddr, ciaddr: Ipv4Addr::UNSPECIFIED, options, ..question.clone() }
}

/// A message whose options are these bytes.
fn raw(question: &Message, options: &[u8]) -> Vec<u8> {
    let mut bytes = say(question, Kind::Offer, &[]).encode();
    bytes.truncate(240);
    bytes.extend(options);
    bytes
}

#[test]
fn bad_answers_are_passed_over_and_a_good_one_is_heard() {
    let lan = Lan::new("hostile");
    let container = lan.container(Want::Unwanted);
    let answers = |question: &Message| {
        let kind = if question.kind() == Some(Kind::Discover) { Kind::Offer } else { Kind::Ack };
        let good = say(question, kind, &[(code::ROUTER, &[10, 77, 0, 1]), (code::DOMAIN, b"lan\nnameserver 6.6.6.6")]);
        let with = |options: &[(u8, &[u8])]| say(question, kind, options).encode();
        let mut bad = vec![
            Vec::new(),
            vec![2; 100],
            raw(question, &[53, 1]),
            raw(question, &[53, 200, 2]),
            raw(question, &[52, 1, 3, 53, 1, 2, 255]),
            Message { xid: !question.xid, ..good.clone() }.encode(),
            Message { yiaddr: Ipv4Addr::UNSPECIFIED, ..good.clone() }.encode(),
            Message { yiaddr: Ipv4Addr::LOCALHOST, ..good.clone() }.encode(),
            Message { yiaddr: Ipv4Addr::new(224, 0, 0, 5), ..good.clone() }.encode(),
            Message { op: Op::Request, ..good.clone() }.encode(),
            with(&[(code::LEASE_TIME, &[0; 4])]),
            with(&[(code::LEASE_TIME, &[0, 0, 0, 1])]),
            with(&[(code::SUBNET_MASK, &[255, 0, 255, 0])]),
            with(&[(code::SERVER_ID, &[0; 4])]),
        ];
        if kind == Kind::Ack {
            bad.push(say(question, Kind::Nak, &[(code::SERVER_ID, &[10, 77, 0, 66])]).encode());
            bad.push(with(&[(code::SERVER_ID, &[10, 77, 0, 66])]));
        }
        bad.push(good.encode());
        bad
    };
    let lease = with_server(&lan, answers, || got(&container, &only_v4())).unwrap();
    let grant = lease.v4.unwrap();
    assert_eq!(grant.address, "10.77.0.200/24".parse().unwrap());
    assert_eq!((grant.gateways, grant.domain), (vec![ip("10.77.0.1")], None));
}

#[test]
fn a_server_that_only_says_nonsense_is_named_as_such() {
    let lan = Lan::new("nonsense");
    let container = lan.container(Want::Unwanted);
    let answers = |question: &Message| vec![say(question, Kind::Offer, &[(code::LEASE_TIME, &[0; 4])]).encode(); 3];
    let wishes = Wishes { timeout: Duration::from_secs(1), ..only_v4() };
    let error = with_server(&lan, answers, || got(&container, &wishes)).unwrap_err();
    assert!(error.to_string().contains("none of 3 answers was of use"), "{error}");
}

#[test]
fn an_agent_that_starts_anew_goes_on_with_what_is_written_down() {
    let lan = Lan::new("resume");
    let _server = lan.dnsmasq(&[V4]);
    let container = lan.container(Want::Unwanted);
    let lease = got(&container, &only_v4()).unwrap();
    container.set(lease.addresses()[0]);
    assert!(container.has(lease.addresses()[0].addr()));
    let written = serde_json::to_string(&aged(&lease, 61)).unwrap();
    let (keeper, news) = keeper();
    keeper.keep(keeping(&container, &serde_json::from_str(&written).unwrap()));
    let News { lease: now, what, .. } = news.recv_timeout(PATIENCE).expect("news");
    assert_eq!(what, What::Extended(lease.addresses()[0]));
    assert!(now.v4.unwrap().times.end_s() >= lease.v4.unwrap().times.end_s());
}
