//! What goes over the link below DHCP: datagrams from hosts that have no address yet, questions about who has one.
//!
//! All begin with the network header, as packet sockets of kind SOCK_DGRAM have them (packet(7)).

pub mod arp;
pub mod icmp6;
pub mod udp4;

use std::net::Ipv6Addr;

/// Whether a checksum can be held against a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksums {
    /// It came over a wire, and so it is there.
    Filled,
    /// It was sent on this machine, which leaves them to network cards (TP_STATUS_CSUMNOTREADY).
    Pending,
}

/// The sum of RFC 1071 over several pieces, of which all but the last are of even length.
fn checksum(pieces: &[&[u8]]) -> u16 {
    let mut sum = 0_u64;
    for piece in pieces {
        for pair in piece.chunks(2) {
            sum += u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

/// The sum over an upper-layer packet and the pseudo-header of RFC 8200, section 8.1.
fn checksum_v6(source: Ipv6Addr, destination: Ipv6Addr, next_header: u8, payload: &[u8]) -> u16 {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    checksum(&[&source.octets(), &destination.octets(), &length, &[0, 0, 0, next_header], payload])
}
