//! Endpoints on the real kernel: two containers and a host, each a namespace of its own.

#![allow(clippy::unwrap_used, reason = "a test that fails there says enough")]

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use ipnet::IpNet;
use weft_kernel::endpoint::{self, BirthError, LinkPlan, Port, Remains};
use weft_kernel::link::{self, Change, GROUP_DEAD, bridge};
use weft_kernel::neighbour::{self, Neighbour};
use weft_kernel::{Netlink, Snapshot, address, sysctl};
use weft_model::{IfName, Limits, MacAddr};
use weft_netns::Netns;

/// Long enough for any delivery on one machine.
const PATIENCE: Duration = Duration::from_secs(5);

struct World {
    host: Netns,
    netlink: Netlink,
    index: u32,
}

impl World {
    fn new() -> Self {
        let host = Netns::create().expect("a namespace (needs root)");
        let netlink = host.run(Netlink::open).unwrap().unwrap();
        host.run(|| {
            sysctl::write("net/ipv4/ip_forward", "1").unwrap();
            // The agent's own table keeps redirects from containers; here the kernel must.
            sysctl::write("net/ipv4/conf/all/send_redirects", "0").unwrap();
            sysctl::write("net/ipv4/conf/default/send_redirects", "0").unwrap();
            sysctl::write("net/ipv6/conf/all/forwarding", "1").unwrap();
        })
        .unwrap();
        Self { host, netlink, index: 1_000_000 }
    }

    fn bridge(&mut self, addresses: &[&str]) -> (u32, MacAddr) {
        let mac = MacAddr::derived(&["bridge"]);
        let requests = [
            bridge::create_bridge(500, &name("weftb-app"), mac, 1500),
            link::set(500, "weftb-app", Change { up: Some(true), ..Change::default() }),
        ];
        self.netlink.run(&requests).unwrap();
        let requests: Vec<_> = addresses.iter().map(|a| address::add(500, net(a))).collect();
        self.netlink.run(&requests).unwrap();
        (500, mac)
    }

    fn create(&mut self, netns: &Netns, plan: &LinkPlan) -> Result<(), BirthError> {
        let index = &mut self.index;
        endpoint::create(&mut self.netlink, netns, plan, &mut || {
            *index += 1;
            *index
        })
    }
}

fn name(text: &str) -> IfName {
    IfName::parse(text).unwrap()
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn routed(n: u8) -> LinkPlan {
    let addresses = vec![net(&format!("10.9.0.{n}/32")), net(&format!("fd09::{n}/128"))];
    LinkPlan {
        host: name(&format!("weftetest{n}")),
        host_mac: MacAddr::GATEWAY,
        host_addresses: vec![net("169.254.1.1/32"), net("fe80::1/128")],
        host_routes: addresses.clone(),
        port: None,
        inside: name("eth0"),
        inside_mac: MacAddr::of_address(addresses[0].addr()),
        gateways: vec![(ip("169.254.1.1"), MacAddr::GATEWAY), (ip("fe80::1"), MacAddr::GATEWAY)],
        routes: vec![(net("0.0.0.0/0"), Some(ip("169.254.1.1"))), (net("::/0"), Some(ip("fe80::1")))],
        addresses,
        mtu: 1450,
        limits: Limits::default(),
        throttle: name(&format!("weftitest{n}")),
    }
}

fn bridged(n: u8, bridge: u32, mac: MacAddr) -> LinkPlan {
    LinkPlan {
        host: name(&format!("weftetest{n}")),
        host_mac: MacAddr::derived(&[&n.to_string()]),
        host_addresses: Vec::new(),
        host_routes: vec![net(&format!("10.9.0.{n}/32")), net(&format!("fd09::{n}/128"))],
        port: Some(Port { bridge, isolated: false }),
        addresses: vec![net(&format!("10.9.0.{n}/24")), net(&format!("fd09::{n}/64"))],
        gateways: vec![(ip("10.9.0.1"), mac), (ip("fd09::1"), mac)],
        routes: vec![(net("0.0.0.0/0"), Some(ip("10.9.0.1"))), (net("::/0"), Some(ip("fd09::1")))],
        inside_mac: MacAddr::of_address(IpAddr::from([10, 9, 0, n])),
        ..routed(n)
    }
}

/// A datagram from one namespace to an address of another arrives, with its source as it was sent.
fn reaches(from: &Netns, source: &str, to: &Netns, destination: &str) {
    let receiver = to.run(|| UdpSocket::bind(SocketAddr::new(ip(destination), 7000))).unwrap().unwrap();
    receiver.set_read_timeout(Some(PATIENCE)).unwrap();
    let sender = from.run(|| UdpSocket::bind(SocketAddr::new(ip(source), 0))).unwrap().unwrap();
    sender.send_to(b"hello", SocketAddr::new(ip(destination), 7000)).unwrap();
    let (_, seen) = receiver.recv_from(&mut [0; 16]).unwrap_or_else(|e| panic!("{source} -> {destination}: {e}"));
    assert_eq!(seen.ip(), ip(source));
}

fn talk(world: &World, a: &Netns, b: &Netns, gateways: [&str; 2]) {
    reaches(a, "10.9.0.11", b, "10.9.0.12");
    reaches(a, "fd09::11", b, "fd09::12");
    reaches(b, "10.9.0.12", a, "10.9.0.11");
    reaches(&world.host, gateways[0], a, "10.9.0.11");
    reaches(&world.host, gateways[1], a, "fd09::11");
    reaches(a, "10.9.0.11", &world.host, gateways[0]);
}

/// Learned entries would count towards the limit that all namespaces share.
fn has_only_permanent_neighbours(netns: &Netns) {
    let shown = netns.run(|| std::process::Command::new("ip").args(["neigh", "show"]).output()).unwrap().unwrap();
    let text = String::from_utf8_lossy(&shown.stdout);
    assert!(text.lines().all(|line| line.contains("PERMANENT")), "{text}");
}

#[test]
fn routed_endpoints_talk_at_once_in_both_families_without_learning_neighbours() {
    let mut world = World::new();
    let (a, b) = (Netns::create().unwrap(), Netns::create().unwrap());
    world.create(&a, &routed(11)).unwrap();
    world.create(&b, &routed(12)).unwrap();
    reaches(&a, "10.9.0.11", &b, "10.9.0.12");
    reaches(&a, "fd09::11", &b, "fd09::12");
    reaches(&world.host, "169.254.1.1", &a, "10.9.0.11");
    reaches(&a, "10.9.0.11", &world.host, "169.254.1.1");
    for netns in [&a, &b, &world.host] {
        has_only_permanent_neighbours(netns);
    }
}

#[test]
fn bridged_endpoints_talk_at_once_in_both_families_without_learning_neighbours() {
    let mut world = World::new();
    let (bridge, mac) = world.bridge(&["10.9.0.1/24", "fd09::1/64"]);
    let (a, b) = (Netns::create().unwrap(), Netns::create().unwrap());
    world.create(&a, &bridged(11, bridge, mac)).unwrap();
    world.create(&b, &bridged(12, bridge, mac)).unwrap();
    talk(&world, &a, &b, ["10.9.0.1", "fd09::1"]);
    for netns in [&a, &b, &world.host] {
        has_only_permanent_neighbours(netns);
    }
}

#[test]
fn an_interface_of_that_name_is_refused_and_nothing_is_left_on_the_host() {
    let mut world = World::new();
    let a = Netns::create().unwrap();
    world.create(&a, &routed(11)).unwrap();
    let error = world.create(&a, &LinkPlan { host: name("weftother"), ..routed(12) }).unwrap_err();
    assert!(matches!(error, BirthError::IfNameTaken(_)), "{error}");
    assert!(link::find(&mut world.netlink, "weftother").unwrap().is_none());
}

#[test]
fn a_number_that_is_taken_is_skipped_and_its_link_untouched() {
    let mut world = World::new();
    let a = Netns::create().unwrap();
    world.bridge(&["10.9.0.1/24"]);
    world.index = 499;
    world.create(&a, &routed(11)).unwrap();
    assert_eq!(link::find(&mut world.netlink, "weftetest11").unwrap().unwrap().index, 501);
    assert_eq!(link::find(&mut world.netlink, "weftb-app").unwrap().unwrap().mtu, 1500);
}

#[test]
fn ipv6_comes_up_where_the_namespace_had_it_switched_off() {
    let mut world = World::new();
    let (a, b) = (Netns::create().unwrap(), Netns::create().unwrap());
    for netns in [&a, &b] {
        netns.run(|| sysctl::write("net/ipv6/conf/default/disable_ipv6", "1")).unwrap().unwrap();
    }
    world.create(&a, &routed(11)).unwrap();
    world.create(&b, &routed(12)).unwrap();
    reaches(&a, "fd09::11", &b, "fd09::12");
}

#[test]
fn what_is_missing_on_the_host_is_found_and_mended() {
    let mut world = World::new();
    let (bridge, mac) = world.bridge(&["10.9.0.1/24", "fd09::1/64"]);
    let (a, b) = (Netns::create().unwrap(), Netns::create().unwrap());
    let plan = bridged(11, bridge, mac);
    world.create(&a, &plan).unwrap();
    world.create(&b, &bridged(12, bridge, mac)).unwrap();
    let snapshot = Snapshot::read(&mut world.netlink).unwrap();
    assert!(endpoint::repairs(&plan, None, &snapshot).unwrap().is_empty(), "nothing is missing");
    let gone = Neighbour { index: bridge, ip: ip("10.9.0.11"), mac: plan.inside_mac };
    let host_link = link::find(&mut world.netlink, plan.host.as_str()).unwrap().unwrap();
    let down = link::set(host_link.index, "x", Change { up: Some(false), ..Change::default() });
    world.netlink.run(&[neighbour::delete(gone), down]).unwrap();
    let snapshot = Snapshot::read(&mut world.netlink).unwrap();
    let repairs = endpoint::repairs(&plan, None, &snapshot).unwrap();
    assert!(!repairs.is_empty());
    world.netlink.run(&repairs).unwrap();
    talk(&world, &a, &b, ["10.9.0.1", "fd09::1"]);
    assert!(endpoint::repairs(&routed(13), None, &snapshot).is_none(), "a link that is gone cannot be mended");
}

#[test]
fn death_gives_the_names_free_at_once_and_the_reaper_deletes() {
    let mut world = World::new();
    let a = Netns::create().unwrap();
    let plan = routed(11);
    let remains = Remains { host: &plan.host, on_bridge: Vec::new(), throttle: None };
    for _ in 0..3 {
        world.create(&a, &plan).unwrap();
        // Kernels before 6.2 rename no link that is up.
        let script = "ip link set eth0 down && ip link set eth0 name lan0 && ip link set lan0 up";
        let rename = || std::process::Command::new("sh").args(["-c", script]).status();
        assert!(a.run(rename).unwrap().unwrap().success());
        endpoint::delete(&mut world.netlink, Some(&a), &remains).unwrap();
        endpoint::delete(&mut world.netlink, Some(&a), &remains).unwrap();
        let mut inside = a.run(Netlink::open).unwrap().unwrap();
        assert!(link::find(&mut inside, "lan0").unwrap().is_none(), "also by the name the container gave it");
    }
    let dead = link::list(&mut world.netlink).unwrap().into_iter().filter(|l| l.group == GROUP_DEAD).count();
    assert_eq!(dead, 3);
    endpoint::reap(&mut world.netlink).unwrap();
    endpoint::reap(&mut world.netlink).unwrap();
    assert!(link::list(&mut world.netlink).unwrap().iter().all(|l| !l.is_ours()));
    assert!(weft_kernel::route::list(&mut world.netlink).unwrap().iter().all(|r| r.protocol != 119));
}

#[test]
fn a_foreign_interface_of_that_name_survives_a_deletion() {
    let mut world = World::new();
    let a = Netns::create().unwrap();
    let add = |args: &[&str]| std::process::Command::new("ip").args(args).status().unwrap().success();
    assert!(a.run(|| add(&["link", "add", "eth0", "type", "bridge"])).unwrap());
    let host = name("wefteabsent");
    let remains = Remains { host: &host, on_bridge: Vec::new(), throttle: None };
    endpoint::delete(&mut world.netlink, Some(&a), &remains).unwrap();
    let mut netlink = a.run(Netlink::open).unwrap().unwrap();
    assert!(link::find(&mut netlink, "eth0").unwrap().is_some());
}

#[test]
fn a_full_bridge_refuses_by_name() {
    let mut world = World::new();
    let (bridge, mac) = world.bridge(&["10.9.0.1/24"]);
    let fill = (0..bridge::PORTS_MAX).map(|n| format!("link add p{n} master weftb-app type veth peer name q{n}\n"));
    let script: String = fill.collect();
    let ran = world.host.run(|| {
        use std::io::Write as _;
        let mut ip =
            std::process::Command::new("ip").args(["-batch", "-"]).stdin(std::process::Stdio::piped()).spawn()?;
        ip.stdin.take().expect("piped").write_all(script.as_bytes())?;
        ip.wait()
    });
    assert!(ran.unwrap().unwrap().success());
    let a = Netns::create().unwrap();
    let error = world.create(&a, &bridged(11, bridge, mac)).unwrap_err();
    assert!(matches!(error, BirthError::BridgeFull), "{error}");
    assert!(error.to_string().contains("1023 ports"));
}
