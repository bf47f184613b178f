//! Frames as containers send them, honest ones and others.

use etherparse::PacketBuilder;
use weft_model::MacAddr;

use crate::world::{MAC, OTHER_MAC, ip};

const TTL: u8 = 64;

/// UDP from and to `address` and `port`.
pub(crate) fn udp(from: (&str, u16), to: (&str, u16)) -> Vec<u8> {
    udp_by(MAC, from, to)
}

/// The same with this Ethernet source.
pub(crate) fn udp_by(mac: MacAddr, from: (&str, u16), to: (&str, u16)) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2(mac.0, OTHER_MAC.0);
    let builder = match (ip(from.0), ip(to.0)) {
        (std::net::IpAddr::V4(from), std::net::IpAddr::V4(to)) => ethernet.ipv4(from.octets(), to.octets(), TTL),
        (std::net::IpAddr::V6(from), std::net::IpAddr::V6(to)) => ethernet.ipv6(from.octets(), to.octets(), TTL),
        _ => unreachable!("one packet, one family"),
    };
    let builder = builder.udp(from.1, to.1);
    let mut frame = Vec::new();
    builder.write(&mut frame, b"hello").unwrap();
    frame
}

/// A TCP segment without data, with these flags: some of `S`, `A`, `F` and `R`.
pub(crate) fn tcp(from: (&str, u16), to: (&str, u16), flags: &str) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2(MAC.0, OTHER_MAC.0);
    let builder = match (ip(from.0), ip(to.0)) {
        (std::net::IpAddr::V4(from), std::net::IpAddr::V4(to)) => ethernet.ipv4(from.octets(), to.octets(), TTL),
        (std::net::IpAddr::V6(from), std::net::IpAddr::V6(to)) => ethernet.ipv6(from.octets(), to.octets(), TTL),
        _ => unreachable!("one packet, one family"),
    };
    let builder = flags.chars().fold(builder.tcp(from.1, to.1, 1, 1024), |builder, flag| match flag {
        'S' => builder.syn(),
        'A' => builder.ack(1),
        'F' => builder.fin(),
        'R' => builder.rst(),
        _ => unreachable!("no such flag"),
    });
    let mut frame = Vec::new();
    builder.write(&mut frame, &[]).unwrap();
    frame
}

/// A segment of the other endpoint's.
pub(crate) fn back(from: (&str, u16), to: (&str, u16), flags: &str) -> Vec<u8> {
    patched(tcp(from, to, flags), 6, &OTHER_MAC.0)
}

/// An echo: a request of either family, or its reply.
pub(crate) fn echo(from: &str, to: &str, is_reply: bool, identifier: u16) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2(MAC.0, OTHER_MAC.0);
    let mut frame = Vec::new();
    match (ip(from), ip(to), is_reply) {
        (std::net::IpAddr::V4(from), std::net::IpAddr::V4(to), false) => {
            let ip = ethernet.ipv4(from.octets(), to.octets(), TTL);
            ip.icmpv4_echo_request(identifier, 1).write(&mut frame, b"hello").unwrap();
        }
        (std::net::IpAddr::V4(from), std::net::IpAddr::V4(to), true) => {
            let ip = ethernet.ipv4(from.octets(), to.octets(), TTL);
            ip.icmpv4_echo_reply(identifier, 1).write(&mut frame, b"hello").unwrap();
        }
        (std::net::IpAddr::V6(from), std::net::IpAddr::V6(to), false) => {
            let ip = ethernet.ipv6(from.octets(), to.octets(), TTL);
            ip.icmpv6_echo_request(identifier, 1).write(&mut frame, b"hello").unwrap();
        }
        (std::net::IpAddr::V6(from), std::net::IpAddr::V6(to), true) => {
            let ip = ethernet.ipv6(from.octets(), to.octets(), TTL);
            ip.icmpv6_echo_reply(identifier, 1).write(&mut frame, b"hello").unwrap();
        }
        _ => unreachable!("one packet, one family"),
    }
    frame
}

/// An error about `frame`, of which it holds the first bytes: too large, by one on the way or by who got it.
pub(crate) fn too_large(from: &str, to: &str, frame: &[u8]) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2(MAC.0, OTHER_MAC.0);
    let mut error = Vec::new();
    match (ip(from), ip(to)) {
        (std::net::IpAddr::V4(from), std::net::IpAddr::V4(to)) => {
            // Of what is behind the header it holds eight bytes, as routers send it (RFC 792).
            let ip = ethernet.ipv4(from.octets(), to.octets(), TTL);
            ip.icmpv4_raw(3, 4, [0, 0, 5, 0]).write(&mut error, &frame[14..42]).unwrap();
        }
        (std::net::IpAddr::V6(from), std::net::IpAddr::V6(to)) => {
            let ip = ethernet.ipv6(from.octets(), to.octets(), TTL);
            ip.icmpv6_raw(2, 0, [0, 0, 5, 0]).write(&mut error, &frame[14..]).unwrap();
        }
        _ => unreachable!("one packet, one family"),
    }
    error
}

/// ICMPv6 of this type and code, with what follows the checksum.
pub(crate) fn icmpv6(from: &str, to: &str, kind: u8, body: &[u8]) -> Vec<u8> {
    let (std::net::IpAddr::V6(from), std::net::IpAddr::V6(to)) = (ip(from), ip(to)) else { unreachable!("IPv6") };
    let rest = body.first_chunk::<4>().copied().unwrap();
    let builder =
        PacketBuilder::ethernet2(MAC.0, OTHER_MAC.0).ipv6(from.octets(), to.octets(), 255).icmpv6_raw(kind, 0, rest);
    let mut frame = Vec::new();
    builder.write(&mut frame, &body[4..]).unwrap();
    frame
}

/// A solicitation (135) or advertisement (136) of `target`, with an option that names a link-layer address.
pub(crate) fn neighbour(kind: u8, from: &str, target: &str, option: Option<(u8, MacAddr)>) -> Vec<u8> {
    let std::net::IpAddr::V6(target) = ip(target) else { unreachable!("IPv6") };
    let mut body = vec![0; 4];
    body.extend(target.octets());
    if let Some((kind, mac)) = option {
        body.extend([kind, 1]);
        body.extend(mac.0);
    }
    icmpv6(from, "ff02::1:ff00:1", kind, &body)
}

/// ARP: operation, the sender's addresses, and for whom.
pub(crate) fn arp(operation: u16, sender: (MacAddr, &str), target: &str) -> Vec<u8> {
    let octets = |text: &str| match ip(text) {
        std::net::IpAddr::V4(v4) => v4.octets(),
        std::net::IpAddr::V6(_) => unreachable!("IPv4"),
    };
    let mut frame = Vec::new();
    frame.extend([0xff; 6]);
    frame.extend(MAC.0);
    frame.extend([0x08, 0x06, 0, 1, 0x08, 0, 6, 4]);
    frame.extend(operation.to_be_bytes());
    frame.extend(sender.0.0);
    frame.extend(octets(sender.1));
    frame.extend([0; 6]);
    frame.extend(octets(target));
    frame
}

/// `frame` with other bytes from `at` on.
pub(crate) fn patched(mut frame: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    frame
}

/// An IPv6 frame with these bytes between its header and what it carries; the first of them says what that is.
pub(crate) fn extended(frame: &[u8], kind: u8, extension: &[u8]) -> Vec<u8> {
    let mut long = frame[..54].to_vec();
    let payload = u16::from_be_bytes([long[18], long[19]]) + extension.len() as u16;
    long[18..20].copy_from_slice(&payload.to_be_bytes());
    let carried = std::mem::replace(&mut long[20], kind);
    long.extend(extension);
    long[54] = carried;
    long.extend(&frame[54..]);
    long
}
