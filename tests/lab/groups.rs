//! What containers say to many at once.

use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::time::Duration;

use weft_lab::Host;
use weft_netns::Netns;
use weft_tests::{Tap, inside, populate, until};

/// Where reports go (RFC 3810, section 5.2.14; RFC 2464, section 7).
const REPORTS: [u8; 6] = [0x33, 0x33, 0, 0, 0, 0x16];
const GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x1234);
const PORT: u16 = 5353;
/// Far longer than a datagram takes.
const PATIENCE: Duration = Duration::from_secs(5);

/// Somebody who listens to a group on a link, for as long as it lives.
fn listen(group: Ipv6Addr, link: u32) -> UdpSocket {
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, PORT)).unwrap();
    socket.join_multicast_v6(&group, link).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Whether one of these frames is a report of who listens to which groups, from this Ethernet address.
fn has_report(frames: &[Vec<u8>], mac: &str) -> bool {
    let of = |frame: &Vec<u8>| {
        let source = frame[6..12].iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":");
        source == mac && frame[..6] == REPORTS
    };
    frames.iter().any(of)
}

fn index(host: &Host, netns: &str) -> u32 {
    let path = "/sys/class/net/eth0/ifindex";
    host.run(&["ip", "netns", "exec", netns, "cat", path]).unwrap().trim().parse().unwrap()
}

#[test]
fn containers_hear_each_others_multicast_and_the_host_alone_who_listens() {
    let host = Host::start("groups").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = populate(&host, "bridge");
    let (_, network) = api.get("/v1/networks/app");
    let bridge = network["status"]["link"].as_str().unwrap().to_owned();
    let path = format!("/sys/class/net/{bridge}/ifindex");
    let bridge_index = host.run(&["cat", &path]).unwrap().trim().parse().unwrap();
    let own = Netns::open(format!("/proc/{}/ns/net", host.init_pid())).unwrap();
    let endpoints = api.items("/v1/endpoints?match=a");
    let mac = endpoints[0]["status"]["mac"].as_str().unwrap().to_owned();
    let b = index(&host, "b");
    let (at_host, at_b) = (own.within(|| Tap::on(bridge_index)), inside(&host, "b").within(|| Tap::on(b)));
    let (at_host, at_b) = (at_host.unwrap(), at_b.unwrap());

    let a = index(&host, "a");
    let listener = inside(&host, "a").within(|| listen(GROUP, a)).unwrap();
    until("the host hears who listens", || has_report(&at_host.frames(), &mac).then_some(()));
    assert!(!has_report(&at_b.frames(), &mac), "for others it is nothing");

    let to = SocketAddrV6::new(GROUP, PORT, 0, b);
    let speaker = inside(&host, "b").within(|| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap()).unwrap();
    speaker.send_to(b"hello", to).unwrap();
    let mut heard = [0; 5];
    listener.recv(&mut heard).unwrap();
    assert_eq!(&heard, b"hello");
}
