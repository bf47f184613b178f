//! The file of an embedded store: made whole or not at all, and never written before it is known to be sound.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use redb::backends::InMemoryBackend;
use redb::{Builder, Database, DatabaseError, ReadableDatabase, StorageBackend, StorageError};

use super::{ABOUT, FORMAT, OBJECTS, REVISION, read_about, read_all};
use crate::Snapshot;

/// The layout of tables and rows that this code reads and writes.
const FORMAT_CURRENT: u64 = 1;

/// Most memory redb may keep pages in, in bytes; its own default is 1 GiB.
const CACHE_BYTES_MAX: usize = 1024 * 1024;

/// Read and written by its owner alone: what people keep in a store may be secret.
const FILE_MODE: u32 = 0o600;

/// Why a store could not be opened. The file is as it was.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("store {path} is in use by another process", path = .path.display())]
    Busy {
        /// The store's file.
        path: PathBuf,
    },
    /// The file holds something else.
    #[error("{path} is not a weft store: {reason}", path = .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// How that shows.
        reason: String,
    },
    /// A later weft wrote it.
    #[error("store {path} has format {found}, this weft reads format {FORMAT_CURRENT}", path = .path.display())]
    Format {
        /// The store's file.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// Its content is not what was once written.
    #[error("store {path} is damaged: {reason}", path = .path.display())]
    Damaged {
        /// The store's file.
        path: PathBuf,
        /// How that shows.
        reason: String,
    },
    /// The system refused to create, open or read it.
    #[error("cannot {action} store {path}: {source}", path = .path.display())]
    System {
        /// What was tried.
        action: &'static str,
        /// The store's file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// Makes an empty store at `path`; one that somebody else makes meanwhile is as good.
///
/// redb fills a new file in steps, and a crash between them leaves one that nobody can open: so the file gets its name
/// when it is complete. The lock on the directory keeps two makers apart.
pub(super) fn create(path: &Path) -> Result<(), OpenError> {
    let system = |source| OpenError::System { action: "create", path: path.to_owned(), source };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = File::open(parent.unwrap_or(Path::new("."))).map_err(system)?;
    directory.lock().map_err(system)?;
    if path.exists() {
        return Ok(());
    }
    let draft = path.with_added_extension("new");
    fill(&draft).map_err(|reason| system(io::Error::other(reason)))?;
    std::fs::rename(&draft, path).map_err(system)?;
    // The name itself is durable only with its directory.
    directory.sync_all().map_err(system)
}

fn fill(draft: &Path) -> Result<(), redb::Error> {
    // What is there was left by a maker that was killed.
    let _ = std::fs::remove_file(draft);
    let file = File::options().read(true).write(true).create_new(true).mode(FILE_MODE).open(draft)?;
    let write = Builder::new().create_file(file)?.begin_write()?;
    write.open_table(OBJECTS)?;
    {
        let mut about = write.open_table(ABOUT)?;
        about.insert(FORMAT, FORMAT_CURRENT)?;
        about.insert(REVISION, 0)?;
    }
    Ok(write.commit()?)
}

/// Opens the store at `path` for this process alone; also says its revision.
pub(super) fn open(path: &Path) -> Result<(Database, u64), OpenError> {
    let system = |source| OpenError::System { action: "open", path: path.to_owned(), source };
    let file = File::options().read(true).write(true).open(path).map_err(system)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(OpenError::Busy { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => return Err(system(source)),
    }
    let content = std::fs::read(path).map_err(system)?;
    let revision = examine(path, content, read_revision)?;
    let database =
        Builder::new().set_cache_size(CACHE_BYTES_MAX).create_file(file).map_err(|reason| explain(path, reason))?;
    Ok((database, revision))
}

/// What the store at `path` holds, from a copy: its file stays as it is, and may be another process's meanwhile.
pub(super) fn read_copy(path: &Path) -> Result<Snapshot, OpenError> {
    let system = |source| OpenError::System { action: "read", path: path.to_owned(), source };
    examine(path, std::fs::read(path).map_err(system)?, read_all)
}

/// What `read` finds in a copy in memory that was checked: redb mends a damaged file in place, by going back to an
/// earlier commit, and what people wrote is not to be lost without a word.
fn examine<T>(
    path: &Path,
    content: Vec<u8>,
    read: impl FnOnce(&Database) -> Result<T, redb::Error>,
) -> Result<T, OpenError> {
    if content.is_empty() {
        return Err(OpenError::Foreign { path: path.to_owned(), reason: "it is empty".to_owned() });
    }
    let examined = || {
        let copy = check(path, content)?;
        read(&copy).map_err(|reason| OpenError::Damaged { path: path.to_owned(), reason: reason.to_string() })
    };
    // On some damage redb panics instead of failing; only the copy is lost with it.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(examined))
        .unwrap_or_else(|_| Err(OpenError::Damaged { path: path.to_owned(), reason: "it cannot be read".to_owned() }))
}

fn check(path: &Path, content: Vec<u8>) -> Result<Database, OpenError> {
    let damaged = |reason: String| OpenError::Damaged { path: path.to_owned(), reason };
    let mut copy = load(content).map_err(|reason| explain(path, reason))?;
    if !copy.check_integrity().map_err(|reason| explain(path, reason))? {
        return Err(damaged("a checksum does not match".to_owned()));
    }
    let read = copy.begin_read().map_err(|reason| damaged(reason.to_string()))?;
    match read_about(&read, FORMAT) {
        Ok(FORMAT_CURRENT) => Ok(copy),
        Ok(found) => Err(OpenError::Format { path: path.to_owned(), found }),
        Err(reason) => Err(OpenError::Foreign { path: path.to_owned(), reason: reason.to_string() }),
    }
}

fn read_revision(copy: &Database) -> Result<u64, redb::Error> {
    read_about(&copy.begin_read()?, REVISION)
}

fn load(content: Vec<u8>) -> Result<Database, DatabaseError> {
    let backend = InMemoryBackend::new();
    backend.set_len(content.len() as u64)?;
    backend.write(0, &content)?;
    drop(content);
    Builder::new().set_cache_size(CACHE_BYTES_MAX).create_with_backend(backend)
}

fn explain(path: &Path, reason: DatabaseError) -> OpenError {
    let path = path.to_owned();
    match reason {
        DatabaseError::DatabaseAlreadyOpen => OpenError::Busy { path },
        DatabaseError::Storage(StorageError::Io(source)) if source.kind() == io::ErrorKind::InvalidData => {
            OpenError::Foreign { path, reason: source.to_string() }
        }
        DatabaseError::Storage(StorageError::Io(source)) => OpenError::System { action: "open", path, source },
        other => OpenError::Damaged { path, reason: other.to_string() },
    }
}
