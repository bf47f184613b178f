//! The kernel's network objects: netlink requests that make, read and delete them, and nothing that decides.
//!
//! [`endpoint`] joins a container to its host out of the other modules' requests; [`Snapshot`] reads back what is
//! there, so that desired and actual state can be compared. Everything weft makes carries its mark: names that begin
//! with `weft`, device groups, the routing protocol number.

pub mod address;
pub mod bucket;
pub mod cookie;
pub mod device;
pub mod endpoint;
pub mod filter;
pub mod function;
pub mod hardware;
pub mod interior;
pub mod link;
pub mod monitor;
pub mod neighbour;
mod netlink;
pub mod nft;
pub mod packet;
pub mod route;
pub mod rule;
mod snapshot;
pub mod station;
pub mod sysctl;
pub mod throttle;
pub mod uplink;
pub mod upper;

pub use netlink::{KernelError, Netlink, Request, Subject};
pub use rustix::io::Errno;
pub use snapshot::Snapshot;
