//! DHCPv4.

mod client;
mod message;
mod terms;

pub use client::Client;
pub use message::{DecodeError, Kind, Message, Op, code};
pub use terms::{Terms, Unusable};
