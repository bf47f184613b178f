//! Packet sockets on the real kernel: what they hear of one interface, and what not.

#![allow(clippy::unwrap_used, reason = "a test that fails there says enough")]

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use weft_kernel::packet::{Hearing, PacketSocket, Received, datagrams};
use weft_model::{IfName, MacAddr};
use weft_netns::Netns;

/// Long enough for any delivery on one machine.
const PATIENCE: Duration = Duration::from_secs(5);
const BROADCAST: MacAddr = MacAddr([0xff; 6]);

/// Two interfaces of one link, `lan0` with 10.9.0.1, each in a namespace of its own.
fn pair() -> [Netns; 2] {
    let pair = [Netns::create().expect("a namespace (needs root)"), Netns::create().unwrap()];
    let run = |netns: &Netns, line: &str| {
        let ran = netns.run(|| Command::new("ip").args(line.split(' ')).status()).unwrap();
        assert!(ran.unwrap().success(), "ip {line}");
    };
    let second = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&std::os::fd::AsFd::as_fd(&pair[1])));
    // `ip` finds the namespace among the descriptors of this process, not among its own.
    let second = second.replace("self", &std::process::id().to_string());
    run(&pair[0], &format!("link add lan0 type veth peer eth0 netns {second}"));
    run(&pair[0], "link set lan0 up");
    run(&pair[0], "addr add 10.9.0.1/24 dev lan0");
    run(&pair[1], "link set eth0 up");
    // What is sent before the kernel has noticed that both ends are up is dropped.
    wait_up(&pair[0], "lan0");
    wait_up(&pair[1], "eth0");
    pair
}

fn wait_up(netns: &Netns, ifname: &str) {
    let began = Instant::now();
    let shown = || netns.run(|| Command::new("ip").args(["link", "show", ifname]).output()).unwrap().unwrap();
    while !String::from_utf8_lossy(&shown().stdout).contains("state UP") {
        assert!(began.elapsed() < PATIENCE, "{ifname} is not up");
    }
}

fn name(text: &str) -> IfName {
    IfName::parse(text).unwrap()
}

fn hear(socket: &PacketSocket) -> Received {
    let began = Instant::now();
    loop {
        if let Some(received) = socket.receive().unwrap() {
            return received;
        }
        assert!(began.elapsed() < PATIENCE, "nothing is heard");
        std::thread::yield_now();
    }
}

fn shout(from: &Netns, port: u16, text: &[u8]) {
    let socket = from.run(|| UdpSocket::bind("10.9.0.1:0")).unwrap().unwrap();
    socket.set_broadcast(true).unwrap();
    socket.send_to(text, SocketAddr::from(([10, 9, 0, 255], port))).unwrap();
}

#[test]
fn a_host_without_an_address_hears_its_port_alone() {
    let [server, client] = pair();
    let socket = client.run(|| PacketSocket::open(&name("eth0"), Hearing::DhcpV4)).unwrap().unwrap();
    shout(&server, 67, b"to servers");
    shout(&server, 69, b"to others");
    shout(&server, 68, b"to clients");
    let received = hear(&socket);
    assert!(received.bytes.ends_with(b"to clients"), "{received:?}");
    assert!(received.is_unsummed, "it met no card that would have summed it");
    assert!(socket.receive().unwrap().is_none());
}

#[test]
fn what_is_sent_arrives_and_is_not_heard_by_the_sender() {
    let [server, client] = pair();
    let open = |netns: &Netns, ifname| netns.run(|| PacketSocket::open(&name(ifname), Hearing::Arp)).unwrap().unwrap();
    let (there, here) = (open(&server, "lan0"), open(&client, "eth0"));
    here.send(&[7; 28], BROADCAST).unwrap();
    let received = hear(&there);
    assert_eq!(&received.bytes[..28], [7; 28]);
    assert!(here.receive().unwrap().is_none());
    here.join(MacAddr([0x33, 0x33, 0xff, 0, 0, 1])).unwrap();
}

#[test]
fn neighbour_discovery_is_told_from_all_other_icmp() {
    let [server, client] = pair();
    let open = |netns: &Netns, ifname| {
        netns.run(|| PacketSocket::open(&name(ifname), Hearing::NeighbourDiscovery)).unwrap().unwrap()
    };
    let (there, here) = (open(&client, "eth0"), open(&server, "lan0"));
    for kind in [128, 133, 134, 135, 136, 137, 143] {
        let mut packet = vec![0x60, 0, 0, 0, 0, 8, 58, 255];
        packet.resize(48, 0);
        (packet[40], packet[47]) = (kind, 99);
        here.send(&packet, BROADCAST).unwrap();
    }
    // The kernels of both ends discover their neighbours too.
    let ours = std::iter::repeat_with(|| hear(&there)).filter(|packet| packet.bytes.get(47) == Some(&99));
    let kinds: Vec<u8> = ours.take(3).map(|packet| packet.bytes[40]).collect();
    assert_eq!(kinds, [134, 135, 136]);
}

#[test]
fn an_interface_that_is_not_there_is_named() {
    let netns = Netns::create().unwrap();
    let error = netns.run(|| PacketSocket::open(&name("eth7"), Hearing::Arp)).unwrap().unwrap_err();
    assert_eq!(error.to_string(), "cannot find interface of packet socket of eth7: No such device (os error 19)");
    let bound = netns.run(|| datagrams(&name("eth7"), SocketAddr::from(([0, 0, 0, 0], 68)))).unwrap();
    assert!(bound.unwrap_err().to_string().contains("0.0.0.0:68 on eth7"));
}
