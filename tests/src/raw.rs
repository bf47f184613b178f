//! A raw socket inside a container, as one with CAP_NET_RAW has it, and what it may forge.

#![expect(clippy::unwrap_used, reason = "a test that fails there says enough")]

use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use etherparse::{Ethernet2Header, IpHeaders, IpNumber, PacketBuilder, PacketBuilderStep};
use weft_lab::Host;
use weft_netns::Netns;

const TTL: u8 = 64;
/// More than any link carries at once.
const FRAME_MAX: usize = 65_600;

/// Sends frames past the queueing discipline of a container's link (PACKET_QDISC_BYPASS of packet(7)).
pub struct RawSocket {
    socket: OwnedFd,
    own: [u8; 6],
    gateway: [u8; 6],
}

impl RawSocket {
    /// On `ifname` of the container whose namespace is called `netns`.
    pub fn open(host: &Host, netns: &str, ifname: &str) -> Self {
        let own =
            host.run(&["ip", "netns", "exec", netns, "cat", &format!("/sys/class/net/{ifname}/address")]).unwrap();
        let index =
            host.run(&["ip", "netns", "exec", netns, "cat", &format!("/sys/class/net/{ifname}/ifindex")]).unwrap();
        let neighbours = host.run(&["ip", "-n", netns, "neigh"]).unwrap();
        let gateway = neighbours.split_whitespace().skip_while(|word| *word != "lladdr").nth(1);
        // Of a link without ARP there is none: then the kernel has frames go to the link's own address.
        let gateway = gateway.unwrap_or(own.trim()).to_owned();
        let index = index.trim().parse().unwrap();
        let inside = Netns::open(host.path(format!("/run/netns/{netns}"))).unwrap();
        let socket = inside.within(|| open(index)).unwrap();
        Self { socket, own: mac(own.trim()), gateway: mac(&gateway) }
    }

    /// Sends one frame.
    pub fn send(&self, frame: &[u8]) {
        self.try_send(frame).unwrap();
    }

    /// Sends one frame, unless the link is down or gone, or who drops it says so at once.
    pub fn try_send(&self, frame: &[u8]) -> std::io::Result<()> {
        // SAFETY: the pointer and length are those of a slice that lives through the call.
        let sent = unsafe { libc::send(self.socket.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        if sent == frame.len() as isize { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    }

    /// What a container might say that is not true, given its own addresses and another's of both families: why it must
    /// be dropped, and the frame.
    pub fn forgeries(&self, own: [&str; 2], other: [&str; 2]) -> Vec<(&'static str, Vec<u8>)> {
        let [own_v4, own_v6] = own;
        let [other_v4, other_v6] = other;
        let stranger = [2, 0, 0, 0, 0, 0x77];
        let advertisement = [134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        let mut claim = vec![136, 0, 0, 0, 0x20, 0, 0, 0];
        claim.extend(octets_v6(other_v6));
        vec![
            ("source_address", self.udp(self.own, ("10.1.0.77", 9), (other_v4, 9))),
            ("source_address", self.udp(self.own, ("fd61::77", 9), (other_v6, 9))),
            ("source_address", self.udp(self.own, ("198.51.100.2", 9), (other_v4, 9))),
            ("source_mac", self.udp(stranger, (own_v4, 9), (other_v4, 9))),
            ("source_mac", self.udp(stranger, (own_v6, 9), (other_v6, 9))),
            ("dhcp_server", self.udp(self.own, (own_v4, 67), (other_v4, 68))),
            ("dhcp_server", self.udp(self.own, (own_v6, 547), (other_v6, 546))),
            ("bogus_address", self.udp(self.own, (&format!("::ffff:{own_v4}"), 9), (other_v6, 9))),
            ("router", self.icmpv6(own_v6, "ff02::1", &advertisement)),
            ("source_nd", self.icmpv6(own_v6, "ff02::1", &claim)),
            ("source_arp", self.arp(other_v4)),
            ("ethertype", [&[0xff; 6][..], &self.own, &[0x88, 0xcc], &[0; 46]].concat()),
            ("malformed", [&self.gateway[..], &self.own, &[0x08, 0x00, 0x42], &[0; 45]].concat()),
        ]
    }

    /// A datagram that says of itself that it is forged, to the gateway.
    pub fn udp(&self, mac: [u8; 6], from: (&str, u16), to: (&str, u16)) -> Vec<u8> {
        let mut frame = Vec::new();
        let builder = addressed(PacketBuilder::ethernet2(mac, self.gateway), from.0, to.0);
        builder.udp(from.1, to.1).write(&mut frame, b"forged").unwrap();
        frame
    }

    /// A packet of any protocol, to the neighbour with that Ethernet address.
    pub fn packet(&self, neighbour: [u8; 6], from: &str, to: &str, protocol: u8, bytes: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        let builder = addressed(PacketBuilder::ethernet2(self.own, neighbour), from, to);
        builder.write(&mut frame, IpNumber(protocol), bytes).unwrap();
        frame
    }

    fn icmpv6(&self, from: &str, to: &str, message: &[u8]) -> Vec<u8> {
        let builder = PacketBuilder::ethernet2(self.own, [0x33, 0x33, 0, 0, 0, 1]);
        let builder = builder.ipv6(octets_v6(from), octets_v6(to), 255);
        let rest = message[4..8].try_into().unwrap();
        let mut frame = Vec::new();
        builder.icmpv6_raw(message[0], message[1], rest).write(&mut frame, &message[8..]).unwrap();
        frame
    }

    /// "I am `ip`", to everybody.
    fn arp(&self, ip: &str) -> Vec<u8> {
        let IpAddr::V4(ip) = ip.parse().unwrap() else { unreachable!("IPv4") };
        let head = [0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 2];
        [&[0xff; 6][..], &self.own, &head, &self.own, &ip.octets(), &[0xff; 6], &ip.octets()].concat()
    }
}

fn addressed(frame: PacketBuilderStep<Ethernet2Header>, from: &str, to: &str) -> PacketBuilderStep<IpHeaders> {
    match (from.parse().unwrap(), to.parse().unwrap()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => frame.ipv4(from.octets(), to.octets(), TTL),
        (IpAddr::V6(from), IpAddr::V6(to)) => frame.ipv6(from.octets(), to.octets(), TTL),
        _ => unreachable!("one packet, one family"),
    }
}

/// An Ethernet address, as links show it.
pub fn mac(text: &str) -> [u8; 6] {
    let bytes: Vec<u8> = text.trim().split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    bytes.try_into().unwrap()
}

fn octets_v6(text: &str) -> [u8; 16] {
    let IpAddr::V6(ip) = text.parse().unwrap() else { unreachable!("IPv6") };
    ip.octets()
}

/// Hears every frame on a link, both ways.
pub struct Tap(OwnedFd);

impl Tap {
    /// On the link with this number, in the calling thread's namespace.
    pub fn on(index: u32) -> Self {
        Self(open(index.cast_signed()))
    }

    /// What it heard since it was asked last.
    pub fn frames(&self) -> Vec<Vec<u8>> {
        let next = || {
            let mut frame = vec![0; FRAME_MAX];
            let room = frame.as_mut_ptr().cast();
            // SAFETY: the pointer and length are those of a vector that lives through the call.
            let got = unsafe { libc::recv(self.0.as_raw_fd(), room, FRAME_MAX, libc::MSG_DONTWAIT) };
            frame.truncate(usize::try_from(got).ok()?);
            Some(frame)
        };
        std::iter::from_fn(next).collect()
    }
}

fn open(index: i32) -> OwnedFd {
    let protocol = (libc::ETH_P_ALL as u16).to_be();
    // SAFETY: no pointers; what comes back is ours alone once it is known to be a descriptor.
    let socket = unsafe {
        let fd = libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, i32::from(protocol));
        assert!(fd >= 0, "{}", std::io::Error::last_os_error());
        OwnedFd::from_raw_fd(fd)
    };
    // SAFETY: all zero is a sockaddr_ll.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = protocol;
    address.sll_ifindex = index;
    let (length, bypass) = (size_of_val(&address) as u32, 1i32);
    // SAFETY: both pointers are to values of the lengths given, which live through the calls.
    let done = unsafe {
        let bypassed = (&raw const bypass).cast();
        let bound = libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length);
        (bound, libc::setsockopt(socket.as_raw_fd(), libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, bypassed, 4))
    };
    assert_eq!(done, (0, 0), "{}", std::io::Error::last_os_error());
    socket
}
