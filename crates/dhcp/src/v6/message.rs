//! DHCPv6 messages on the wire (RFC 8415, sections 8 and 21).

use crate::bytes::Reader;
use crate::kinds::kinds;

/// Numbers of options (RFC 8415, section 21, unless it says otherwise).
pub mod code {
    /// The client's DUID.
    pub const CLIENT_ID: u16 = 1;
    /// The server's DUID.
    pub const SERVER_ID: u16 = 2;
    /// Association of an identity with addresses.
    pub const IA_NA: u16 = 3;
    /// One of its addresses.
    pub const IA_ADDRESS: u16 = 5;
    /// What the client wants to know.
    pub const OPTION_REQUEST: u16 = 6;
    /// Which server is preferred.
    pub const PREFERENCE: u16 = 7;
    /// For how long the client has been asking.
    pub const ELAPSED_TIME: u16 = 8;
    /// Whether all is well.
    pub const STATUS: u16 = 13;
    /// Two messages instead of four.
    pub const RAPID_COMMIT: u16 = 14;
    /// Name servers (RFC 3646).
    pub const DNS: u16 = 23;
    /// Search domains (RFC 3646).
    pub const SEARCH: u16 = 24;
    /// Name of the client (RFC 4704).
    pub const CLIENT_FQDN: u16 = 39;
}

kinds! {
    /// Which message it is (RFC 8415, section 7.3), of those that a client takes part in.
    Kind {
        /// Who has an address for me?
        Solicit = 1,
        /// I have.
        Advertise = 2,
        /// I take it.
        Request = 3,
        /// May I keep it? To its server.
        Renew = 5,
        /// May I keep it? To all.
        Rebind = 6,
        /// So be it, or not.
        Reply = 7,
        /// I need it no more.
        Release = 8,
        /// Another host has it.
        Decline = 9,
    }
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Which one.
    pub kind: Kind,
    /// Transaction id, of 24 bits.
    pub xid: u32,
    /// Options in their order.
    pub options: Vec<(u16, Vec<u8>)>,
}

/// Why bytes are not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It has no header.
    #[error("a DHCPv6 message of {0} bytes ends within its header")]
    Short(usize),
    /// A client has nothing to do with it.
    #[error("a DHCPv6 message of type {0} is not for clients")]
    Foreign(u8),
    /// An option says that it is longer than what is left.
    #[error("an option of a DHCPv6 message runs over the end")]
    Overrun,
}

impl Message {
    /// The bytes of a datagram.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = ((self.kind as u32) << 24 | self.xid & 0xff_ffff).to_be_bytes().to_vec();
        self.options.iter().for_each(|(code, value)| encode_option(*code, value, &mut bytes));
        bytes
    }

    /// Reads a datagram.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader(bytes);
        let word = reader.u32().ok_or(DecodeError::Short(bytes.len()))?;
        let number = word.to_be_bytes()[0];
        let kind = Kind::of(number).ok_or(DecodeError::Foreign(number))?;
        let options = decode_options(reader.0).ok_or(DecodeError::Overrun)?;
        Ok(Self { kind, xid: word & 0xff_ffff, options })
    }

    /// The first option of this number; whoever sends two of what there can be one of is not asked which is meant.
    pub fn option(&self, code: u16) -> Option<&[u8]> {
        find(&self.options, code)
    }
}

/// The first of `options` that has this number.
pub(super) fn find(options: &[(u16, Vec<u8>)], code: u16) -> Option<&[u8]> {
    options.iter().find(|(number, _)| *number == code).map(|(_, value)| value.as_slice())
}

/// Adds one option.
pub(super) fn encode_option(code: u16, value: &[u8], bytes: &mut Vec<u8>) {
    bytes.extend(code.to_be_bytes());
    bytes.extend(u16::try_from(value.len()).expect("no option of a client's is near 64 kB").to_be_bytes());
    bytes.extend(value);
}

/// Reads options; `None` if one runs over the end.
pub(super) fn decode_options(bytes: &[u8]) -> Option<Vec<(u16, Vec<u8>)>> {
    let mut reader = Reader(bytes);
    let mut options = Vec::new();
    while !reader.is_empty() {
        let (code, length) = (reader.u16()?, reader.u16()?);
        options.push((code, reader.take(length.into())?.to_vec()));
    }
    Some(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let options = vec![(code::CLIENT_ID, vec![0, 4, 1]), (code::RAPID_COMMIT, Vec::new())];
        for kind in Kind::ALL {
            let message = Message { kind: *kind, xid: 0xab_cdef, options: options.clone() };
            assert_eq!(Message::decode(&message.encode()), Ok(message));
        }
    }

    #[test]
    fn what_is_cut_short_is_refused() {
        let bytes = Message { kind: Kind::Reply, xid: 1, options: vec![(1, vec![1, 2, 3])] }.encode();
        for length in 0..bytes.len() {
            let expected = if length < 4 { DecodeError::Short(length) } else { DecodeError::Overrun };
            let is_whole = length == 4;
            assert_eq!(Message::decode(&bytes[..length]).is_ok(), is_whole);
            assert!(is_whole || Message::decode(&bytes[..length]) == Err(expected));
        }
        assert_eq!(Message::decode(&[12, 0, 0, 1]), Err(DecodeError::Foreign(12)), "a relay's");
    }
}
