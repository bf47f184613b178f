//! Turns services into what sockets are led by, and changes that by what has changed.
//!
//! Pure: no sockets, files or clocks. [`Catalog`] is told of services, their slices, endpoints and networks, and says
//! which entries of the programs' maps come and go ([`Changes`]).
//!
//! ```text
//!   services ──┐                               ┌─► frontends: an address and port, as a view has it ─┐
//!   slices ────┼─► who serves each port, where ┤                                                     │
//!   endpoints ─┘                               └─► sets of backends, which never change ◄────────────┘
//!   networks ────► views: whom clients on these networks reach
//! ```
//!
//! Clients on the same networks have one view, and those with the same backends one set. So a change of one backend
//! costs as much as its service has backends, however many services there are.
//!
//! Invariant: no set has a backend that its view does not reach.

mod allocate;
mod catalog;
mod serve;

pub use allocate::choose;
pub use catalog::{
    Backend, Candidate, Catalog, Changes, Frontend, HOST, PortNumber, Reach, Served, Set, SetNumber, Target, ViewNumber,
};
