//! Protocols on top of IP.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A protocol, as IANA numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Protocol(pub u8);

impl Protocol {
    /// The Internet Control Message Protocol (RFC 792).
    pub const ICMP: Protocol = Protocol(1);
    /// RFC 9293.
    pub const TCP: Protocol = Protocol(6);
    /// RFC 768.
    pub const UDP: Protocol = Protocol(17);
    /// RFC 4443.
    pub const ICMPV6: Protocol = Protocol(58);
    /// RFC 9260.
    pub const SCTP: Protocol = Protocol(132);

    /// Those that have names.
    const NAMED: [(Protocol, &'static str); 5] = [
        (Protocol::ICMP, "ICMP"),
        (Protocol::TCP, "TCP"),
        (Protocol::UDP, "UDP"),
        (Protocol::ICMPV6, "ICMPv6"),
        (Protocol::SCTP, "SCTP"),
    ];

    /// Whether its packets have ports.
    pub fn has_ports(self) -> bool {
        [Protocol::TCP, Protocol::UDP, Protocol::SCTP].contains(&self)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Protocol::NAMED.iter().find(|(protocol, _)| protocol == self) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A text that names no protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no protocol: use TCP, UDP, SCTP, ICMP, ICMPv6 or a number up to 255")]
pub struct ProtocolError(String);

impl FromStr for Protocol {
    type Err = ProtocolError;

    fn from_str(text: &str) -> Result<Self, ProtocolError> {
        let named = Protocol::NAMED.iter().find(|(_, name)| name.eq_ignore_ascii_case(text));
        let numbered = || text.parse().ok().map(Protocol);
        named.map(|(protocol, _)| *protocol).or_else(numbered).ok_or_else(|| ProtocolError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_read_as_they_are_written() {
        for number in 0..=u8::MAX {
            assert_eq!(Protocol(number).to_string().parse(), Ok(Protocol(number)));
        }
        assert_eq!("tcp".parse(), Ok(Protocol::TCP));
        for wrong in ["", "tpc", "256", "-1"] {
            assert!(wrong.parse::<Protocol>().unwrap_err().to_string().contains(wrong));
        }
    }
}
