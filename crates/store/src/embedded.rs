//! A store in one file on this host, durable at every commit.
//!
//! The file is a redb database of two tables. What is read comes from the file: it is the only copy. One process has it
//! open at a time.

mod file;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

pub use self::file::OpenError;
use crate::error::{CommitError, StoreError};
use crate::feed::{Feed, Watch};
use crate::txn::{Change, Commit, Txn};
use crate::{Object, Snapshot, Store};

/// Key to (revision, value).
const OBJECTS: TableDefinition<'_, &str, (u64, &[u8])> = TableDefinition::new("objects");

/// What the file says about itself: [`FORMAT`] and [`REVISION`].
const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("about");

/// Row of [`ABOUT`]: which layout of tables and rows the file has.
const FORMAT: &str = "format";

/// Row of [`ABOUT`]: the last commit.
const REVISION: &str = "revision";

/// Keeps everything in a file.
#[derive(Debug)]
pub struct Embedded {
    path: PathBuf,
    /// Empty after a failure: redb refuses all work after one, so the file is opened anew when next needed.
    database: Mutex<Option<Database>>,
    feed: Feed,
}

impl Embedded {
    /// Opens the store at `path`; makes an empty one, readable by its owner alone, if nothing is there.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, OpenError> {
        let path = path.into();
        if !path.exists() {
            file::create(&path)?;
        }
        let (database, revision) = file::open(&path)?;
        Ok(Self { path, database: Mutex::new(Some(database)), feed: Feed::new(revision) })
    }

    /// What the store at `path` holds, for who does not keep it: nothing is written, and another process may have it
    /// open.
    pub fn read_copy(path: &Path) -> Result<Snapshot, OpenError> {
        file::read_copy(path)
    }

    /// Where it is kept.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Does `work` alone on the open file.
    fn alone<T>(
        &self,
        action: &'static str,
        work: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        // A holder that panicked left the slot empty, which is a state like any other.
        let mut slot = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let database = match slot.take() {
            Some(database) => database,
            None => self.reopen().map_err(|reason| self.failed("reopen", reason))?,
        };
        let done = work(&database).map_err(|reason| self.failed(action, reason))?;
        *slot = Some(database);
        Ok(done)
    }

    /// The commit that failed may have reached the disk after all: then watchers have missed it.
    fn reopen(&self) -> Result<Database, OpenError> {
        let (database, revision) = file::open(&self.path)?;
        if revision != self.feed.revision() {
            self.feed.restart(revision);
        }
        Ok(database)
    }

    fn failed(&self, action: &'static str, reason: impl std::error::Error + Send + Sync + 'static) -> StoreError {
        StoreError { action, name: self.path.display().to_string(), source: Box::new(reason) }
    }
}

impl Store for Embedded {
    fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.alone("read", read_all)
    }

    fn commit(&self, txn: Txn) -> Result<u64, CommitError> {
        txn.check_limits()?;
        self.alone("write", |database| {
            let found = read_revisions(database, &txn)?;
            let changes = match txn.into_changes(found) {
                Ok(changes) if changes.is_empty() => return Ok(Ok(self.feed.revision())),
                Ok(changes) => changes,
                Err(refused) => return Ok(Err(refused)),
            };
            let commit = Commit { revision: self.feed.revision() + 1, changes };
            write(database, &commit)?;
            let revision = commit.revision;
            self.feed.publish(commit);
            Ok(Ok(revision))
        })?
    }

    fn watch(&self, from: u64) -> Watch {
        self.feed.watch(from)
    }
}

fn read_all(database: &Database) -> Result<Snapshot, redb::Error> {
    let read = database.begin_read()?;
    let mut snapshot = Snapshot { revision: read_about(&read, REVISION)?, ..Snapshot::default() };
    for row in read.open_table(OBJECTS)?.iter()? {
        let (key, object) = row?;
        let (revision, value) = object.value();
        snapshot.objects.insert(key.value().to_owned(), Object { revision, value: value.to_vec() });
    }
    Ok(snapshot)
}

fn read_revisions(database: &Database, txn: &Txn) -> Result<Vec<Option<u64>>, redb::Error> {
    let objects = database.begin_read()?.open_table(OBJECTS)?;
    txn.keys().map(|key| Ok(objects.get(key)?.map(|object| object.value().0))).collect()
}

/// The row `name` of what the file says about itself; zero if it says nothing.
fn read_about(read: &redb::ReadTransaction, name: &str) -> Result<u64, redb::Error> {
    Ok(read.open_table(ABOUT)?.get(name)?.map_or(0, |row| row.value()))
}

fn write(database: &Database, commit: &Commit) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    {
        let mut objects = write.open_table(OBJECTS)?;
        for change in &commit.changes {
            match change {
                Change::Put { key, value } => {
                    objects.insert(key.as_str(), (commit.revision, value.as_slice()))?;
                }
                Change::Delete { key } => {
                    objects.remove(key.as_str())?;
                }
            }
        }
        write.open_table(ABOUT)?.insert(REVISION, commit.revision)?;
    }
    Ok(write.commit()?)
}
