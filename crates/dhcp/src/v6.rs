//! DHCPv6.

mod client;
mod message;
mod reply;

pub use client::Client;
pub use message::{DecodeError, Kind, Message, code};
pub use reply::{Association, Reply};

use std::net::Ipv6Addr;

/// Where clients listen (RFC 8415, section 7.2).
pub const CLIENT_PORT: u16 = 546;
/// Where servers and relays listen.
pub const SERVER_PORT: u16 = 547;
/// All of these on the link (RFC 8415, section 7.1).
pub const ALL_SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
