//! Turns policies into the tables by which a host's programs decide, and changes these by what has changed.
//!
//! Pure: no sockets, files or clocks. [`World`] is told of policies, namespaces and identities, and says which entries
//! of the programs' maps come and go ([`Changes`]).
//!
//! ```text
//!   policies ───┐
//!   namespaces ─┼─► scopes: whom each selector matches ─► sets: what holds for whom ─► tables: what holds for a port
//!   identities ─┘
//!
//!   an endpoint ─► its identity ─► a set for each way
//!   set, the other end's identity ─► table ─┐
//!   set, the other end's address ──► table ─┴─ protocol, port ─► two verdicts ─► a decision (`decide`)
//! ```
//!
//! Endpoints with the same namespace, labels and port names are one identity, and identities that the same policies
//! select have one set. An identity is looked for by its number, an address by the longest prefix that a rule of the
//! set has. What the two say is joined by rank: so the cost of a decision does not depend on how many rules there are.
//!
//! Invariant: an endpoint that no policy selects for a way is open that way; one that a `NetworkPolicy` without rules
//! selects is closed.

mod decide;
mod origin;
mod prefix;
mod scope;
mod set;
mod table;
mod world;

pub use decide::{Decision, decide};
pub use origin::RuleOrigin;
pub use prefix::Prefix;
pub use set::SetNumber;
pub use table::{PortPrefix, Ranked, RuleNumber, Table, TableNumber, Verdict};
pub use world::{Changes, Identity, IdentityNumber, Sets, View, Work, World};
