//! What the suites beside this folder share: an API client that holds every answer against the description, and the
//! shim called as a runtime calls it.
//!
//! Everything here panics with what it saw: it is the tests' own vocabulary.

mod api;
mod chain;
mod cni;
mod dice;
pub mod leftovers;
mod load;
mod namespaces;
mod pair;
mod raw;
pub mod sctp;
mod skip;
mod wait;

pub use api::Api;
pub use chain::Chain;
pub use cni::{Answer, Call};
pub use dice::Dice;
pub use leftovers::assert_deserted;
pub use load::{Container, Datagrams, Load, Requests, inside};
pub use namespaces::{namespaces, unname};
pub use pair::{pings, populate};
pub use raw::{RawSocket, Tap, mac};
pub use skip::skip;
pub use wait::{endurance, until, until_none};
