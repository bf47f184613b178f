//! DHCP clients that think and touch nothing: what the next message is, what an answer means, when to ask again.
//!
//! Pure: no sockets, no clock, no randomness. A [`Client`] is told what happened and when ([`Event`], [`Moment`]), and
//! tells what to do ([`Effect`]) and when it wants to be woken ([`Client::wake_at`]). Its caller has the sockets.
//!
//! ```text
//!            ┌── no offer ──┐               ┌─────── refused, or an address that another has ───┐
//!            ▼              │               ▼                                                   │
//!  start ─► wait ─► discover/solicit ─► request ─► probe ─► bound ─ T1 ─► renewing ─ T2 ─► rebinding ─ end ─► wait
//!                                                             ▲              │                │
//!                                                             └── extended ──┴────────────────┘
//! ```
//!
//! DHCPv4 is RFC 2131 with the options of RFC 2132, classless routes (RFC 3442), search domains (RFC 3397), long
//! options (RFC 3396), client identifiers made of DUIDs (RFC 4361) and probes before use (RFC 5227). DHCPv6 is RFC 8415
//! for one non-temporary address. Router advertisements (RFC 4861) are only read: the kernel inside the container forms
//! the addresses that they ask for (RFC 4862), because it also expires them while no agent runs; DHCPv6 is spoken if a
//! router says that addresses are managed.
//!
//! Whatever comes from the network is hostile until it is checked: every decoder gives an answer to any bytes.

mod addresses;
mod bytes;
mod client;
mod identity;
mod kinds;
mod names;
pub mod packet;
mod probe;
mod tenure;
pub mod v4;
pub mod v6;

pub use client::{Client, Effect, Event, Held, Loss, Moment, Outgoing};
pub use identity::Identity;

/// Shortest lease that is taken, in seconds. One of 0 or 1 s would be over before anybody could ask for more, and a
/// server that gives such out has every client ask without end.
pub const LIFETIME_S_MIN: u32 = 4;

/// "Without end" in both protocols (RFC 2131, section 3.3; RFC 8415, section 7.7).
const INFINITE: u32 = u32::MAX;
