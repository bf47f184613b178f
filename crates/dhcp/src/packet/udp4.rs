//! DHCPv4's datagrams, whole: a host without an address has no socket that could send or receive them.

use std::net::Ipv4Addr;

use super::{Checksums, checksum};
use crate::bytes::Reader;

/// Where servers listen.
pub const SERVER_PORT: u16 = 67;
/// Where clients listen.
pub const CLIENT_PORT: u16 = 68;

const HEADER_BYTES: usize = 20;
const UDP_HEADER_BYTES: usize = 8;
const UDP: u8 = 17;
/// Hops: answers may come by a relay, and questions go to one.
const TIME_TO_LIVE: u8 = 64;
/// More fragments, and the offset of this one.
const FRAGMENT_MASK: u16 = 0x3fff;

/// A datagram from the client's port to the servers'.
pub fn encode(source: Ipv4Addr, destination: Ipv4Addr, payload: &[u8]) -> Vec<u8> {
    let udp_length = u16::try_from(UDP_HEADER_BYTES + payload.len()).expect("a DHCP message is far below 64 kB");
    let mut udp = Vec::with_capacity(udp_length.into());
    for word in [CLIENT_PORT, SERVER_PORT, udp_length, 0] {
        udp.extend(word.to_be_bytes());
    }
    udp.extend(payload);
    let sum = match udp_checksum(source, destination, &udp) {
        // Zero would say that there is none (RFC 768).
        0 => u16::MAX,
        sum => sum,
    };
    udp[6..8].copy_from_slice(&sum.to_be_bytes());

    let total = u16::try_from(HEADER_BYTES + udp.len()).expect("a DHCP message is far below 64 kB");
    let mut packet = vec![0x45, 0];
    packet.extend(total.to_be_bytes());
    packet.extend([0, 0, 0, 0, TIME_TO_LIVE, UDP, 0, 0]);
    packet.extend(source.octets());
    packet.extend(destination.octets());
    let sum = checksum(&[&packet]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(udp);
    packet
}

/// What a datagram to the client's port from the servers' holds; `None` for all other packets, and broken ones.
pub fn decode(packet: &[u8], checksums: Checksums) -> Option<&[u8]> {
    let mut header = Reader(packet);
    let first = header.u8()?;
    let header_bytes = usize::from(first & 0xf) * 4;
    header.u8()?;
    let total = usize::from(header.u16()?);
    header.u16()?;
    let fragment = header.u16()?;
    header.u8()?;
    let protocol = header.u8()?;
    header.u16()?;
    let source = Ipv4Addr::from(header.array::<4>()?);
    let destination = Ipv4Addr::from(header.array::<4>()?);
    let is_whole = first >> 4 == 4 && header_bytes >= HEADER_BYTES && fragment & FRAGMENT_MASK == 0;
    if !is_whole || protocol != UDP || checksum(&[packet.get(..header_bytes)?]) != 0 {
        return None;
    }
    // Short frames are padded: what is behind the packet is not the packet's.
    let udp = packet.get(header_bytes..total)?;
    let mut reader = Reader(udp);
    let (from, to, length) = (reader.u16()?, reader.u16()?, usize::from(reader.u16()?));
    let sum = reader.u16()?;
    let udp = udp.get(..length)?;
    let is_sound = checksums == Checksums::Pending || sum == 0 || udp_checksum(source, destination, udp) == 0;
    if from != SERVER_PORT || to != CLIENT_PORT || !is_sound {
        return None;
    }
    udp.get(UDP_HEADER_BYTES..)
}

fn udp_checksum(source: Ipv4Addr, destination: Ipv4Addr, udp: &[u8]) -> u16 {
    let length = u16::try_from(udp.len()).unwrap_or(0).to_be_bytes();
    checksum(&[&source.octets(), &destination.octets(), &[0, UDP], &length, udp])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a server would have sent what a client did.
    fn answer(payload: &[u8]) -> Vec<u8> {
        let mut packet = encode(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::BROADCAST, payload);
        // Swapping two words changes no sum.
        packet[20..24].rotate_left(2);
        packet
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for payload in [&b""[..], b"a", b"ab", &[0xff; 1400]] {
            assert_eq!(decode(&answer(payload), Checksums::Filled), Some(payload));
        }
        assert_eq!(decode(&[&answer(b"ab")[..], &[0; 20]].concat(), Checksums::Filled), Some(&b"ab"[..]), "padded");
    }

    #[test]
    fn each_broken_byte_is_noticed() {
        let packet = answer(b"hello");
        for at in 0..packet.len() {
            let mut broken = packet.clone();
            broken[at] ^= 0x10;
            assert_eq!(decode(&broken, Checksums::Filled), None, "byte {at}");
        }
        for length in 0..packet.len() {
            assert_eq!(decode(&packet[..length], Checksums::Pending), None);
        }
    }

    #[test]
    fn a_checksum_that_is_left_to_the_card_is_not_held_against_it() {
        let mut packet = answer(b"hello");
        packet[26] ^= 1;
        assert_eq!(decode(&packet, Checksums::Filled), None);
        assert_eq!(decode(&packet, Checksums::Pending), Some(&b"hello"[..]));
    }

    #[test]
    fn fragments_are_no_datagrams() {
        let mut packet = answer(b"hello");
        packet[6] |= 0x20;
        packet[10..12].fill(0);
        let sum = checksum(&[&packet[..20]]).to_be_bytes();
        packet[10..12].copy_from_slice(&sum);
        assert_eq!(decode(&packet, Checksums::Filled), None);
    }
}
