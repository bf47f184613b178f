//! Transactions: what a caller asks for, and what comes of it.

use std::collections::BTreeSet;
use std::fmt;

use crate::error::CommitError;

/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 512;

/// Largest value, in bytes: an object people write is a few kilobytes.
pub const VALUE_BYTES_MAX: usize = 1024 * 1024;

/// Most operations in one transaction: etcd's own default, so that a transaction fits every backend.
pub const OPERATIONS_MAX: usize = 128;

/// How much of a key that is too long an error repeats, in characters.
const KEY_START_CHARS: usize = 32;

/// What must be true of an object for an operation on it to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// Whatever is there.
    Any,
    /// Nothing is there.
    Absent,
    /// The object that was put by this revision is there.
    Revision(u64),
}

impl Expectation {
    /// The strictest expectation that `found` meets.
    pub(crate) fn of(found: Option<u64>) -> Self {
        found.map_or(Expectation::Absent, Expectation::Revision)
    }

    fn is_met_by(self, found: Option<u64>) -> bool {
        self == Expectation::Any || self == Expectation::of(found)
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expectation::Any => f.write_str("anything"),
            Expectation::Absent => f.write_str("nothing"),
            Expectation::Revision(revision) => write!(f, "revision {revision}"),
        }
    }
}

/// Puts and deletes that happen together or not at all. At most one operation a key.
#[derive(Debug, Clone, Default)]
pub struct Txn {
    operations: Vec<(Expectation, Change)>,
}

impl Txn {
    /// One without operations.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds: store `value` at `key`.
    #[must_use]
    pub fn put(mut self, key: impl Into<String>, expected: Expectation, value: impl Into<Vec<u8>>) -> Self {
        self.operations.push((expected, Change::Put { key: key.into(), value: value.into() }));
        self
    }

    /// Adds: have nothing at `key`. With [`Expectation::Any`], nothing being there already is fine.
    #[must_use]
    pub fn delete(mut self, key: impl Into<String>, expected: Expectation) -> Self {
        self.operations.push((expected, Change::Delete { key: key.into() }));
        self
    }

    /// The keys in the order of the operations.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.operations.iter().map(|(_, change)| change.key())
    }

    /// Refuses what is too long, too large, too much or ambiguous, whatever the store holds.
    pub(crate) fn check_limits(&self) -> Result<(), CommitError> {
        if self.operations.len() > OPERATIONS_MAX {
            return Err(CommitError::TooManyOperations { count: self.operations.len() });
        }
        let mut keys = BTreeSet::new();
        for (_, change) in &self.operations {
            change.check_limits()?;
            if !keys.insert(change.key()) {
                return Err(CommitError::DuplicateKey { key: change.key().to_owned() });
            }
        }
        Ok(())
    }

    /// The changes that are left to make, given the revision found at each of [`Txn::keys`].
    pub(crate) fn into_changes(self, found: Vec<Option<u64>>) -> Result<Vec<Change>, CommitError> {
        let mut changes = Vec::with_capacity(found.len());
        for ((expected, change), found) in self.operations.into_iter().zip(found) {
            if !expected.is_met_by(found) {
                return Err(CommitError::Conflict { key: change.into_key(), expected, found });
            }
            if found.is_some() || matches!(change, Change::Put { .. }) {
                changes.push(change);
            }
        }
        Ok(changes)
    }
}

/// What one operation did to one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The object now has this value.
    Put {
        /// The object's key.
        key: String,
        /// All of its value.
        value: Vec<u8>,
    },
    /// The object is gone.
    Delete {
        /// The object's key.
        key: String,
    },
}

impl Change {
    /// The object's key.
    pub fn key(&self) -> &str {
        match self {
            Change::Put { key, .. } | Change::Delete { key } => key,
        }
    }

    fn into_key(self) -> String {
        match self {
            Change::Put { key, .. } | Change::Delete { key } => key,
        }
    }

    fn check_limits(&self) -> Result<(), CommitError> {
        let key = self.key();
        if key.is_empty() {
            return Err(CommitError::EmptyKey);
        }
        if key.len() > KEY_BYTES_MAX {
            let start = key.chars().take(KEY_START_CHARS).collect();
            return Err(CommitError::KeyTooLong { start, bytes: key.len() });
        }
        match self {
            Change::Put { value, .. } if value.len() > VALUE_BYTES_MAX => {
                Err(CommitError::ValueTooLarge { key: key.to_owned(), bytes: value.len() })
            }
            _ => Ok(()),
        }
    }

    /// What it weighs in the history, in bytes.
    fn bytes(&self) -> usize {
        match self {
            Change::Put { key, value } => key.len() + value.len(),
            Change::Delete { key } => key.len(),
        }
    }
}

/// One committed transaction, as watchers see it: whole, because it happened whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The revision it made, and the one that every object it put now has.
    pub revision: u64,
    /// In the order of the transaction; no key twice, never empty.
    pub changes: Vec<Change>,
}

impl Commit {
    /// What it weighs in the history, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.changes.iter().map(Change::bytes).sum()
    }
}
