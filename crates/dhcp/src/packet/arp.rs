//! Who has an address: probes and announcements of RFC 5227.

use std::net::Ipv4Addr;

use weft_model::MacAddr;

use crate::bytes::Reader;

/// Ethernet, IPv4, and the lengths of their addresses (RFC 826).
const HEADER: [u8; 6] = [0, 1, 8, 0, 6, 4];
const REQUEST: u16 = 1;
const REPLY: u16 = 2;

/// Asks who has `address`, without saying that it will be ours: nobody's cache learns of it (RFC 5227, section 2.1.1).
pub fn probe(mac: MacAddr, address: Ipv4Addr) -> Vec<u8> {
    request(mac, Ipv4Addr::UNSPECIFIED, address)
}

/// Says that `address` is ours from now on, to caches that know another (RFC 5227, section 2.3).
pub fn announcement(mac: MacAddr, address: Ipv4Addr) -> Vec<u8> {
    request(mac, address, address)
}

fn request(mac: MacAddr, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    [&HEADER[..], &REQUEST.to_be_bytes(), &mac.0, &sender.octets(), &[0; 6], &target.octets()].concat()
}

/// The address that somebody other than `mac` has, or is about to take (RFC 5227, section 2.1.1).
pub fn claimed(packet: &[u8], mac: MacAddr) -> Option<Ipv4Addr> {
    let mut reader = Reader(packet);
    let is_ip = reader.array::<6>()? == HEADER;
    let operation = reader.u16()?;
    let sender_mac = MacAddr(reader.array()?);
    let sender = Ipv4Addr::from(reader.array::<4>()?);
    reader.array::<6>()?;
    let target = Ipv4Addr::from(reader.array::<4>()?);
    if !is_ip || !matches!(operation, REQUEST | REPLY) || sender_mac == mac {
        return None;
    }
    let is_probe = operation == REQUEST && sender.is_unspecified();
    Some(if is_probe { target } else { sender }).filter(|address| !address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const OTHERS: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 7);

    #[test]
    fn whoever_has_or_probes_an_address_claims_it() {
        assert_eq!(claimed(&announcement(OTHERS, ADDRESS), OURS), Some(ADDRESS));
        assert_eq!(claimed(&probe(OTHERS, ADDRESS), OURS), Some(ADDRESS));
        assert_eq!(claimed(&probe(OURS, ADDRESS), OURS), None, "our own");
        let mut reply = announcement(OTHERS, ADDRESS);
        reply[7] = 2;
        assert_eq!(claimed(&reply, OURS), Some(ADDRESS));
        let question = request(OTHERS, Ipv4Addr::new(10, 0, 0, 9), ADDRESS);
        assert_eq!(claimed(&question, OURS), Some(Ipv4Addr::new(10, 0, 0, 9)), "who asks for it does not have it");
    }

    #[test]
    fn what_is_no_arp_claims_nothing() {
        let whole = announcement(OTHERS, ADDRESS);
        for length in 0..whole.len() {
            assert_eq!(claimed(&whole[..length], OURS), None);
        }
        for at in 0..8 {
            let mut broken = whole.clone();
            broken[at] ^= 0x40;
            assert_eq!(claimed(&broken, OURS), None, "byte {at}");
        }
    }
}
