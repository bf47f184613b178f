//! Keeps what people wrote: objects by key, changed in transactions, watched without gaps.
//!
//! One trait, [`Store`], and its backends [`Memory`] and [`Embedded`]; one suite (`tests/store`) holds them to the same
//! behaviour. The store knows keys, bytes and revisions, never what they mean.
//!
//! ```text
//!   commit(txn) ──► limits ──► expectations ──► backend writes ──► feed ──► every watch
//!                                                     │
//!   snapshot() ◄──────────────────────────────────────┘     watch(snapshot.revision) misses nothing
//! ```
//!
//! A reader that wants to follow takes a snapshot, then watches from its revision; told [`WatchError::Resync`], it
//! starts over with a new snapshot.

mod embedded;
mod error;
mod feed;
mod memory;
mod txn;

use std::collections::BTreeMap;

pub use embedded::{Embedded, OpenError};
pub use error::{CommitError, StoreError, WatchError};
pub use feed::{HISTORY_BYTES_MAX, HISTORY_COMMITS_MAX, Watch};
pub use memory::Memory;
pub use txn::{Change, Commit, Expectation, KEY_BYTES_MAX, OPERATIONS_MAX, Txn, VALUE_BYTES_MAX};

/// A place where objects are kept.
///
/// Revisions count the commits that changed something, from 1; an empty new store is at 0. Calls block for as long as
/// the backend takes (a durable write at most), so an async caller keeps them off its worker threads.
pub trait Store: Send + Sync {
    /// Everything, as of one revision.
    fn snapshot(&self) -> Result<Snapshot, StoreError>;

    /// Makes every operation of `txn` come true, or none of them; returns the revision at which they hold.
    ///
    /// A transaction that changes nothing (deletes of what is not there) makes no revision.
    fn commit(&self, txn: Txn) -> Result<u64, CommitError>;

    /// Follows the commits after revision `from`.
    fn watch(&self, from: u64) -> Watch;
}

/// The whole content of a store at one revision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The last commit that is part of it.
    pub revision: u64,
    /// By key.
    pub objects: BTreeMap<String, Object>,
}

/// One kept value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The commit that last put it.
    pub revision: u64,
    /// As it was put.
    pub value: Vec<u8>,
}
