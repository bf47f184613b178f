//! A store that lives as long as its process: for tests, and for hosts that keep nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{CommitError, StoreError};
use crate::feed::{Feed, Watch};
use crate::txn::{Change, Commit, Txn};
use crate::{Object, Snapshot, Store};

/// Keeps everything in memory.
#[derive(Debug)]
pub struct Memory {
    content: Mutex<Snapshot>,
    feed: Feed,
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        Self { content: Mutex::new(Snapshot::default()), feed: Feed::new(0) }
    }

    fn content(&self) -> MutexGuard<'_, Snapshot> {
        // No holder can panic half way: commit decides everything before it changes anything.
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Store for Memory {
    fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Ok(self.content().clone())
    }

    fn commit(&self, txn: Txn) -> Result<u64, CommitError> {
        txn.check_limits()?;
        let mut content = self.content();
        let found = txn.keys().map(|key| content.objects.get(key).map(|object| object.revision)).collect();
        let changes = txn.into_changes(found)?;
        if !changes.is_empty() {
            let commit = Commit { revision: content.revision + 1, changes };
            content.apply(&commit);
            self.feed.publish(commit);
        }
        Ok(content.revision)
    }

    fn watch(&self, from: u64) -> Watch {
        self.feed.watch(from)
    }
}

impl Snapshot {
    fn apply(&mut self, commit: &Commit) {
        self.revision = commit.revision;
        for change in &commit.changes {
            match change {
                Change::Put { key, value } => {
                    let object = Object { revision: commit.revision, value: value.clone() };
                    self.objects.insert(key.clone(), object);
                }
                Change::Delete { key } => {
                    self.objects.remove(key);
                }
            }
        }
    }
}
