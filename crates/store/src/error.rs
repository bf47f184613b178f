//! What a store says when it cannot do what it was asked.

use crate::txn::{Expectation, KEY_BYTES_MAX, OPERATIONS_MAX, VALUE_BYTES_MAX};

/// The backend itself failed; nothing is known to be wrong with the request.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} store {name}: {source}")]
pub struct StoreError {
    /// What was tried: `read`, `write`, `reopen`.
    pub action: &'static str,
    /// What the operator calls this store: a path, an address.
    pub name: String,
    /// The backend's reason.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Why a transaction was not committed. Nothing of it is in the store, save after [`CommitError::Store`]: then the
/// backend failed on the way, and only a snapshot can tell.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// An object is not as the caller last saw it.
    #[error("conflict on {key}: expected {expected}, found {}", Expectation::of(*.found))]
    Conflict {
        /// The object's key.
        key: String,
        /// What the transaction asked for.
        expected: Expectation,
        /// The revision the object has, if it is there.
        found: Option<u64>,
    },
    /// Two operations on one key: their order would matter, and a transaction has none.
    #[error("{key} appears twice in one transaction")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// No key at all.
    #[error("an operation has an empty key")]
    EmptyKey,
    /// See [`KEY_BYTES_MAX`].
    #[error("key {start}... is {bytes} bytes long, the limit is {KEY_BYTES_MAX}")]
    KeyTooLong {
        /// The first characters of the key.
        start: String,
        /// Its length.
        bytes: usize,
    },
    /// See [`VALUE_BYTES_MAX`].
    #[error("{key} is {bytes} bytes long, and may have {VALUE_BYTES_MAX}: split it")]
    ValueTooLarge {
        /// The object's key.
        key: String,
        /// Its length.
        bytes: usize,
    },
    /// See [`OPERATIONS_MAX`].
    #[error("{count} objects cannot change at once: send {OPERATIONS_MAX} at most")]
    TooManyOperations {
        /// How many it has.
        count: usize,
    },
    /// The backend failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CommitError {
    /// Whether less at once would do.
    pub fn is_too_large(&self) -> bool {
        matches!(self, CommitError::ValueTooLarge { .. } | CommitError::TooManyOperations { .. })
    }
}

/// Why a watch has no commit to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// Nothing was committed in the time given.
    #[error("nothing was committed in time")]
    Timeout,
    /// The next commit is no longer (or not yet) in the history: take a snapshot and watch from there. Final.
    #[error("history does not reach back to the watched revision")]
    Resync,
    /// The store is gone and every commit was delivered. Final.
    #[error("store is closed")]
    Closed,
}
