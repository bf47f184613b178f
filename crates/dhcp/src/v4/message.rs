//! DHCPv4 messages on the wire (RFC 2131, section 2; RFC 2132).

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use weft_model::MacAddr;

use crate::bytes::Reader;
use crate::kinds::kinds;

/// What sets DHCP's messages apart from plain BOOTP's (RFC 2131, section 3).
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// Ethernet (RFC 2131, section 2, htype).
const ETHERNET: u8 = 1;
const MAC_BYTES: u8 = 6;
/// Behind htype, hlen and the address itself.
const CHADDR_PADDING: usize = 10;
const SNAME_BYTES: usize = 64;
const FILE_BYTES: usize = 128;
/// The flag that asks for answers by broadcast (RFC 2131, section 2).
const BROADCAST: u16 = 0x8000;
/// Servers and relays of old drop what is shorter than a BOOTP message (RFC 1542, section 2.1).
const MESSAGE_BYTES_MIN: usize = 300;
/// Most bytes in one part of an option (RFC 3396).
const PART_BYTES_MAX: usize = 255;

/// Numbers of options (RFC 2132, unless it says otherwise).
pub mod code {
    /// Filler, without a length.
    pub const PAD: u8 = 0;
    /// Mask of the subnet.
    pub const SUBNET_MASK: u8 = 1;
    /// Routers, best first.
    pub const ROUTER: u8 = 3;
    /// Name servers.
    pub const DNS: u8 = 6;
    /// Name of the client.
    pub const HOST_NAME: u8 = 12;
    /// The domain that the client is in.
    pub const DOMAIN: u8 = 15;
    /// MTU of the interface.
    pub const MTU: u8 = 26;
    /// The address that a client wishes.
    pub const REQUESTED_ADDRESS: u8 = 50;
    /// Seconds.
    pub const LEASE_TIME: u8 = 51;
    /// Options go on in the fields of the boot file and the server name.
    pub const OVERLOAD: u8 = 52;
    /// Which message it is.
    pub const MESSAGE_TYPE: u8 = 53;
    /// The server's address.
    pub const SERVER_ID: u8 = 54;
    /// What the client wants to know.
    pub const PARAMETERS: u8 = 55;
    /// Longest message that the client takes, in bytes.
    pub const MESSAGE_BYTES_MAX: u8 = 57;
    /// T1 in seconds.
    pub const RENEWAL_TIME: u8 = 58;
    /// T2 in seconds.
    pub const REBINDING_TIME: u8 = 59;
    /// What the server knows the client by.
    pub const CLIENT_ID: u8 = 61;
    /// Search domains (RFC 3397).
    pub const SEARCH: u8 = 119;
    /// Routes with lengths (RFC 3442).
    pub const CLASSLESS_ROUTES: u8 = 121;
    /// Nothing follows.
    pub const END: u8 = 255;
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// A client.
    Request,
    /// A server.
    Reply,
}

kinds! {
    /// Which message it is (RFC 2132, section 9.6).
    Kind {
        /// Who has an address for me?
        Discover = 1,
        /// I have this one.
        Offer = 2,
        /// I take it; or: I keep it.
        Request = 3,
        /// Another host has it.
        Decline = 4,
        /// So be it.
        Ack = 5,
        /// No.
        Nak = 6,
        /// I need it no more.
        Release = 7,
        /// I have an address; what else should I know?
        Inform = 8,
    }
}

/// A message. Fields that only matter for booting over the network are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub op: Op,
    /// Transaction id.
    pub xid: u32,
    /// Seconds since the client began.
    pub secs: u16,
    /// Answers are to be broadcast.
    pub broadcast: bool,
    /// The address that the client has.
    pub ciaddr: Ipv4Addr,
    /// The address that the client is given.
    pub yiaddr: Ipv4Addr,
    /// The client's Ethernet address.
    pub chaddr: MacAddr,
    /// Options by number, those in several parts put together (RFC 3396).
    pub options: BTreeMap<u8, Vec<u8>>,
}

/// Why bytes are not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It ends before its options begin.
    #[error("a DHCP message of {0} bytes ends within its header")]
    Short(usize),
    /// Another protocol.
    #[error("a message is not of DHCP over Ethernet")]
    Foreign,
    /// An option says that it is longer than the field it is in.
    #[error("option {0} of a DHCP message runs over the end")]
    Overrun(u8),
}

impl Message {
    /// The bytes of a datagram.
    pub fn encode(&self) -> Vec<u8> {
        let op = match self.op {
            Op::Request => 1,
            Op::Reply => 2,
        };
        let mut bytes = vec![op, ETHERNET, MAC_BYTES, 0];
        bytes.extend(self.xid.to_be_bytes());
        bytes.extend(self.secs.to_be_bytes());
        bytes.extend(if self.broadcast { BROADCAST } else { 0 }.to_be_bytes());
        bytes.extend(self.ciaddr.octets());
        bytes.extend(self.yiaddr.octets());
        // Next server and relay.
        bytes.extend([0; 8]);
        bytes.extend(self.chaddr.0);
        bytes.extend([0; CHADDR_PADDING + SNAME_BYTES + FILE_BYTES]);
        bytes.extend(COOKIE);
        // Some servers look for the message's type in one place alone.
        let first = self.options.get_key_value(&code::MESSAGE_TYPE);
        let rest = self.options.iter().filter(|(code, _)| **code != code::MESSAGE_TYPE);
        for (code, value) in first.into_iter().chain(rest) {
            encode_option(*code, value, &mut bytes);
        }
        bytes.push(code::END);
        bytes.resize(bytes.len().max(MESSAGE_BYTES_MIN), code::PAD);
        bytes
    }

    /// Reads a datagram.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let short = || DecodeError::Short(bytes.len());
        let mut reader = Reader(bytes);
        let [op, hardware, length, _hops] = reader.array().ok_or_else(short)?;
        let xid = reader.u32().ok_or_else(short)?;
        let secs = reader.u16().ok_or_else(short)?;
        let flags = reader.u16().ok_or_else(short)?;
        let ciaddr = Ipv4Addr::from(reader.array::<4>().ok_or_else(short)?);
        let yiaddr = Ipv4Addr::from(reader.array::<4>().ok_or_else(short)?);
        reader.array::<8>().ok_or_else(short)?;
        let chaddr = MacAddr(reader.array().ok_or_else(short)?);
        reader.array::<CHADDR_PADDING>().ok_or_else(short)?;
        let sname = reader.take(SNAME_BYTES).ok_or_else(short)?;
        let file = reader.take(FILE_BYTES).ok_or_else(short)?;
        let cookie = reader.array::<4>().ok_or_else(short)?;
        let op = match op {
            1 => Op::Request,
            2 => Op::Reply,
            _ => return Err(DecodeError::Foreign),
        };
        if (hardware, length, cookie) != (ETHERNET, MAC_BYTES, COOKIE) {
            return Err(DecodeError::Foreign);
        }
        let options = decode_options(reader.0, file, sname)?;
        Ok(Self { op, xid, secs, broadcast: flags & BROADCAST != 0, ciaddr, yiaddr, chaddr, options })
    }

    /// Which message it is, if it is one that is known.
    pub fn kind(&self) -> Option<Kind> {
        let [number] = *self.options.get(&code::MESSAGE_TYPE)?.as_slice() else { return None };
        Kind::of(number)
    }

    /// An option that is one address.
    pub fn address(&self, code: u8) -> Option<Ipv4Addr> {
        self.options.get(&code)?.as_slice().try_into().ok().map(<[u8; 4]>::into)
    }

    /// An option that is any number of addresses; none, if it is not.
    pub fn addresses(&self, code: u8) -> impl Iterator<Item = Ipv4Addr> {
        let value = self.options.get(&code).filter(|value| value.len().is_multiple_of(4));
        let (addresses, _) = value.map_or(&[][..], Vec::as_slice).as_chunks::<4>();
        addresses.iter().map(|octets| Ipv4Addr::from(*octets))
    }

    /// An option that is a number of seconds.
    pub fn seconds(&self, code: u8) -> Option<u32> {
        crate::bytes::u32_of(self.options.get(&code)?)
    }
}

fn encode_option(code: u8, value: &[u8], bytes: &mut Vec<u8>) {
    let mut parts: Vec<&[u8]> = value.chunks(PART_BYTES_MAX).collect();
    if parts.is_empty() {
        parts.push(&[]);
    }
    for part in parts {
        bytes.extend([code, u8::try_from(part.len()).unwrap_or(u8::MAX)]);
        bytes.extend(part);
    }
}

/// Reads the options, and then those in the fields that the overload option names, in the order of RFC 3396, section 5.
/// An overload option in those fields themselves leads nowhere.
fn decode_options(field: &[u8], file: &[u8], sname: &[u8]) -> Result<BTreeMap<u8, Vec<u8>>, DecodeError> {
    let mut options = BTreeMap::new();
    decode_field(field, &mut options)?;
    let overload = options.remove(&code::OVERLOAD);
    let overloaded = overload.and_then(|value| value.first().copied()).unwrap_or(0);
    for (bit, field) in [(1, file), (2, sname)] {
        if overloaded & bit != 0 {
            decode_field(field, &mut options)?;
        }
    }
    options.remove(&code::OVERLOAD);
    Ok(options)
}

fn decode_field(field: &[u8], options: &mut BTreeMap<u8, Vec<u8>>) -> Result<(), DecodeError> {
    let mut reader = Reader(field);
    loop {
        match reader.u8() {
            None | Some(code::END) => return Ok(()),
            Some(code::PAD) => {}
            Some(code) => {
                let value = reader.u8().and_then(|length| reader.take(length.into()));
                options.entry(code).or_default().extend(value.ok_or(DecodeError::Overrun(code))?);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        Message {
            op: Op::Reply,
            xid: 0x1234_5678,
            secs: 3,
            broadcast: true,
            ciaddr: Ipv4Addr::UNSPECIFIED,
            yiaddr: Ipv4Addr::new(10, 0, 0, 7),
            chaddr: MacAddr([2, 0, 0, 0, 0, 1]),
            options: BTreeMap::from([(code::MESSAGE_TYPE, vec![2]), (code::DOMAIN, b"lan".to_vec())]),
        }
    }

    /// The bytes of a message with these in place of its options, boot file and server name.
    fn with_fields(field: &[u8], file: &[u8], sname: &[u8]) -> Vec<u8> {
        let mut bytes = message().encode();
        bytes.truncate(240);
        bytes.extend(field);
        bytes[44..44 + sname.len()].copy_from_slice(sname);
        bytes[108..108 + file.len()].copy_from_slice(file);
        bytes
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let mut message = message();
        message.options.insert(code::SEARCH, vec![7; 700]);
        message.options.insert(200, Vec::new());
        assert_eq!(Message::decode(&message.encode()), Ok(message.clone()));
        assert_eq!(message.kind(), Some(Kind::Offer));
        assert_eq!(message.encode()[240..243], [53, 1, 2], "its type comes first");
    }

    #[test]
    fn options_go_on_in_the_overloaded_fields() {
        let bytes = with_fields(&[53, 1, 2, 52, 1, 3, 15, 1, b'a', 255], &[15, 1, b'b', 255], &[15, 1, b'c', 255]);
        let options = Message::decode(&bytes).unwrap().options;
        assert_eq!(options, BTreeMap::from([(53, vec![2]), (15, b"abc".to_vec())]));
        let bytes = with_fields(&[52, 1, 2, 255], &[15, 1, b'b', 255], &[15, 1, b'c', 255]);
        assert_eq!(Message::decode(&bytes).unwrap().options, BTreeMap::from([(15, b"c".to_vec())]));
    }

    #[test]
    fn an_overload_within_an_overload_leads_nowhere() {
        let bytes = with_fields(&[52, 1, 1, 255], &[52, 1, 3, 15, 1, b'b', 255], &[15, 1, b'c', 255]);
        assert_eq!(Message::decode(&bytes).unwrap().options, BTreeMap::from([(15, b"b".to_vec())]));
        let bytes = with_fields(&[52, 0, 255], &[15, 9], &[]);
        assert_eq!(Message::decode(&bytes).unwrap().options, BTreeMap::new());
    }

    #[test]
    fn options_that_run_over_the_end_spoil_the_message() {
        assert_eq!(Message::decode(&with_fields(&[15, 9, 1], &[], &[])), Err(DecodeError::Overrun(15)));
        assert_eq!(Message::decode(&with_fields(&[15], &[], &[])), Err(DecodeError::Overrun(15)));
        let file = [vec![0; 126], vec![15, 1]].concat();
        assert_eq!(Message::decode(&with_fields(&[52, 1, 1], &file, &[])), Err(DecodeError::Overrun(15)));
        assert!(Message::decode(&with_fields(&[], &[], &[])).is_ok(), "no end, but nothing torn either");
    }

    #[test]
    fn what_is_not_of_dhcp_is_foreign_or_short() {
        let whole = message().encode();
        assert_eq!(Message::decode(&whole[..239]), Err(DecodeError::Short(239)));
        for at in [0, 1, 2, 236] {
            let mut bytes = whole.clone();
            bytes[at] = 77;
            assert_eq!(Message::decode(&bytes), Err(DecodeError::Foreign), "byte {at}");
        }
    }

    #[test]
    fn options_of_wrong_length_are_as_good_as_absent() {
        let mut message = message();
        message.options.insert(code::SUBNET_MASK, vec![255; 3]);
        message.options.insert(code::ROUTER, vec![10; 5]);
        message.options.insert(code::LEASE_TIME, vec![0; 8]);
        message.options.insert(code::MESSAGE_TYPE, vec![2, 2]);
        assert_eq!(message.address(code::SUBNET_MASK), None);
        assert_eq!(message.addresses(code::ROUTER).count(), 0);
        assert_eq!(message.seconds(code::LEASE_TIME), None);
        assert_eq!(message.kind(), None);
    }
}
