//! Which address belongs to whom.
//!
//! Pure: no I/O, no clock; order of release stands in for time. [`Leases`] knows what is held and what was released
//! lately; [`Leases::choose`] decides, [`Leases::hold`] and [`Leases::release`] record. The cost of each is logarithmic
//! in what is held. Invariant: an address has at most one holder, whatever is asked in whatever order.

mod choose;
mod interval;
mod leases;
mod subnet;

pub use choose::{Refusal, Request, Rest};
pub use leases::{Held, Leases, RECENT_MAX, Usage};
pub use subnet::{FIRST_POOLS, pick_subnet};
