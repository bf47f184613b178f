//! Namespaces, the foreign tools run inside them, and two hosts with a router between.

use std::io::Write;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use weft_kernel::nft::{
    Chain, Field, Hook, HookKind, HookPoint, Interface, Match, Nft, Policy, Rule, Statement, Table,
};
use weft_netns::Netns;

/// How long a packet may take before it counts as lost.
const PATIENCE: Duration = Duration::from_millis(150);

/// A namespace with nothing in it, and its rules.
pub(crate) fn empty() -> (Netns, Nft) {
    let netns = Netns::create().expect("a namespace (needs root)");
    let nft = open(&netns);
    (netns, nft)
}

pub(crate) fn open(netns: &Netns) -> Nft {
    netns.run(Nft::open).expect("enter").expect("a socket")
}

/// Runs a program inside and gives its output, whatever its exit status.
pub(crate) fn try_run(netns: &Netns, command: &str, input: &str) -> Output {
    let mut words = command.split_whitespace();
    let mut process = Command::new(words.next().expect("a program"));
    process.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = netns.run(|| process.spawn()).expect("enter").expect("the program is installed");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads");
    child.wait_with_output().expect("it ends")
}

/// Runs a program that must succeed, without a word of complaint, and gives what it printed.
pub(crate) fn run(netns: &Netns, command: &str, input: &str) -> String {
    let output = try_run(netns, command, input);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaint.is_empty(), "{command}: {complaint}");
    String::from_utf8(output.stdout).expect("text")
}

/// What `nft` reads, line by line, without counts and indentation.
pub(crate) fn listing(netns: &Netns) -> Vec<String> {
    // Not `run`: nft warns about tables of iptables-nft.
    let output = try_run(netns, "nft -s list ruleset", "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(|line| line.trim().to_owned()).collect()
}

pub(crate) fn named(name: &str) -> Interface {
    Interface::Named(name.to_owned())
}

pub(crate) fn prefixed(prefix: &str) -> Interface {
    Interface::Prefixed(prefix.to_owned())
}

pub(crate) fn source(net: &str) -> Field {
    Field::Source(net.parse().expect("a prefix"))
}

pub(crate) fn destination(net: &str) -> Field {
    Field::Destination(net.parse().expect("a prefix"))
}

pub(crate) fn rule(comment: &str, matches: Vec<Match>, statements: Vec<Statement>) -> Rule {
    Rule { matches, statements, comment: comment.to_owned() }
}

pub(crate) fn chain(name: &str, hook: Option<Hook>, rules: Vec<Rule>) -> Chain {
    Chain { name: name.to_owned(), hook, rules }
}

pub(crate) fn table(chains: Vec<Chain>) -> Table {
    Table { name: "weft".to_owned(), chains }
}

pub(crate) fn forward(policy: Policy) -> Option<Hook> {
    Some(Hook { kind: HookKind::Filter, at: HookPoint::Forward, priority: 0, policy })
}

pub(crate) fn postrouting() -> Option<Hook> {
    Some(Hook { kind: HookKind::Nat, at: HookPoint::Postrouting, priority: 100, policy: Policy::Accept })
}

/// `left` 10.1.0.2 fd01::2 — `router` (weft-l, weft-r) — `right` 10.2.0.2 fd02::2.
pub(crate) struct World {
    pub(crate) router: Netns,
    pub(crate) left: Netns,
    pub(crate) right: Netns,
}

pub(crate) const LEFT_V4: &str = "10.1.0.2";
pub(crate) const RIGHT_V4: &str = "10.2.0.2";
pub(crate) const RIGHT_V6: &str = "fd02::2";

impl World {
    pub(crate) fn new() -> Self {
        let create = || {
            let netns = Netns::create().expect("a namespace (needs root)");
            // Else a link-local address, and with it neighbour discovery, is good after a second only.
            write(&netns, "/proc/sys/net/ipv6/conf/default/accept_dad", "0");
            netns
        };
        let world = Self { router: create(), left: create(), right: create() };
        world.wire(&world.left, "weft-l", 1);
        world.wire(&world.right, "weft-r", 2);
        write(&world.router, "/proc/sys/net/ipv4/ip_forward", "1");
        write(&world.router, "/proc/sys/net/ipv6/conf/all/forwarding", "1");
        // The kernel may take a second to begin sending on a new link.
        world.until(|world| world.seen_by_right(RIGHT_V4).is_some() && world.seen_by_right(RIGHT_V6).is_some());
        world
    }

    fn wire(&self, host: &Netns, router_end: &str, number: u8) {
        let host_path = format!("/proc/{}/fd/{}", std::process::id(), host.as_fd().as_raw_fd());
        run(
            &self.router,
            "ip -batch -",
            &format!(
                "link add {router_end} type veth peer name eth0 netns {host_path}\n\
                 addr add 10.{number}.0.1/24 dev {router_end}\n\
                 addr add fd0{number}::1/64 dev {router_end} nodad\n\
                 link set {router_end} up\n"
            ),
        );
        run(
            host,
            "ip -batch -",
            &format!(
                "addr add 10.{number}.0.2/24 dev eth0\n\
                 addr add fd0{number}::2/64 dev eth0 nodad\n\
                 link set eth0 up\n\
                 route add default via 10.{number}.0.1\n\
                 route add default via fd0{number}::1\n"
            ),
        );
    }

    fn until(&self, condition: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !condition(self) {
            assert!(Instant::now() < deadline, "hosts never reached each other");
        }
    }

    pub(crate) fn nft(&self) -> Nft {
        open(&self.router)
    }

    /// Sends a datagram from left to right: the source that right sees, none if it never comes.
    pub(crate) fn seen_by_right(&self, to: &str) -> Option<IpAddr> {
        exchange(&self.left, &self.right, to)
    }

    /// The same from right to left.
    pub(crate) fn seen_by_left(&self, to: &str) -> Option<IpAddr> {
        exchange(&self.right, &self.left, to)
    }
}

/// Sets a knob of the namespace.
fn write(netns: &Netns, path: &str, value: &str) {
    netns.run(|| std::fs::write(path, value)).expect("enter").expect(path);
}

/// A UDP socket bound inside, on any port of `address`.
pub(crate) fn socket(netns: &Netns, address: IpAddr) -> UdpSocket {
    let socket = netns.run(|| UdpSocket::bind(SocketAddr::new(address, 0))).expect("enter").expect("bind");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket
}

fn exchange(from: &Netns, to: &Netns, address: &str) -> Option<IpAddr> {
    let address: IpAddr = address.parse().expect("an address");
    let server = socket(to, address);
    let any = if address.is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) };
    let client = socket(from, any);
    client.send_to(b"?", server.local_addr().expect("bound")).expect("sent");
    let mut buffer = [0; 8];
    server.recv_from(&mut buffer).ok().map(|(_, source)| source.ip())
}
