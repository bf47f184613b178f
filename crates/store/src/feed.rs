//! The recent commits, and the watches that read them.
//!
//! A watch has no queue of its own, only a place in the one bounded history: memory does not grow with the watchers,
//! and a slow one falls out of the history and is told so. Invariant: the history is one unbroken run of revisions.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::WatchError;
use crate::txn::Commit;

/// Most commits the history keeps.
pub const HISTORY_COMMITS_MAX: usize = 1024;

/// Most bytes of keys and values the history keeps.
pub const HISTORY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The backend's end: commits go in, in the order of their revisions. Dropping it closes every watch.
#[derive(Debug)]
pub(crate) struct Feed {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    history: Mutex<History>,
    changed: Condvar,
}

#[derive(Debug)]
struct History {
    /// Holds the revisions after `oldest` up to and including `latest`.
    commits: VecDeque<Arc<Commit>>,
    oldest: u64,
    latest: u64,
    bytes: usize,
    closed: bool,
}

impl Feed {
    /// A feed of a store that is at `revision`.
    pub(crate) fn new(revision: u64) -> Self {
        let history = History { commits: VecDeque::new(), oldest: revision, latest: revision, bytes: 0, closed: false };
        Self { shared: Arc::new(Shared { history: Mutex::new(history), changed: Condvar::new() }) }
    }

    /// The revision of the last commit.
    pub(crate) fn revision(&self) -> u64 {
        self.shared.history().latest
    }

    /// Hands the next commit to all watches.
    pub(crate) fn publish(&self, commit: Commit) {
        self.shared.history().push(commit);
        self.shared.changed.notify_all();
    }

    /// Breaks the history: the store is at `revision`, and nobody here knows how it came there.
    pub(crate) fn restart(&self, revision: u64) {
        self.shared.history().restart(revision);
        self.shared.changed.notify_all();
    }

    /// A watch of the commits after `from`.
    pub(crate) fn watch(&self, from: u64) -> Watch {
        Watch { shared: Arc::clone(&self.shared), seen: from }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.shared.history().closed = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn history(&self) -> MutexGuard<'_, History> {
        // No holder can panic half way: each leaves the history whole.
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl History {
    fn push(&mut self, commit: Commit) {
        debug_assert_eq!(commit.revision, self.latest + 1, "commits are published in order");
        self.latest = commit.revision;
        self.bytes += commit.bytes();
        self.commits.push_back(Arc::new(commit));
        while self.commits.len() > HISTORY_COMMITS_MAX || self.bytes > HISTORY_BYTES_MAX {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(commit) = self.commits.pop_front() {
            self.oldest = commit.revision;
            self.bytes -= commit.bytes();
        }
    }

    fn restart(&mut self, revision: u64) {
        self.commits.clear();
        self.bytes = 0;
        (self.oldest, self.latest) = (revision, revision);
    }

    /// The commit that follows `seen`; `None` if it is yet to come.
    fn after(&self, seen: u64) -> Option<Result<Arc<Commit>, WatchError>> {
        if seen < self.oldest || seen > self.latest {
            return Some(Err(WatchError::Resync));
        }
        let index = usize::try_from(seen - self.oldest).unwrap_or(usize::MAX);
        match self.commits.get(index) {
            Some(commit) => Some(Ok(Arc::clone(commit))),
            None if self.closed => Some(Err(WatchError::Closed)),
            None => None,
        }
    }
}

/// Gives every commit after a revision, in order, each once.
#[derive(Debug)]
pub struct Watch {
    shared: Arc<Shared>,
    seen: u64,
}

impl Watch {
    /// The next commit; waits for as long as it takes.
    ///
    /// Fails with [`WatchError::Resync`] or [`WatchError::Closed`], and from then on always.
    pub fn recv(&mut self) -> Result<Arc<Commit>, WatchError> {
        self.wait(None)
    }

    /// The next commit; waits for it until `timeout` is over, then fails with [`WatchError::Timeout`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Arc<Commit>, WatchError> {
        self.wait(Instant::now().checked_add(timeout))
    }

    fn wait(&mut self, deadline: Option<Instant>) -> Result<Arc<Commit>, WatchError> {
        let mut history = self.shared.history();
        loop {
            if let Some(outcome) = history.after(self.seen) {
                let commit = outcome?;
                self.seen = commit.revision;
                return Ok(commit);
            }
            let changed = &self.shared.changed;
            history = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                None => changed.wait(history).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return Err(WatchError::Timeout),
                Some(left) => changed.wait_timeout(history, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
    }
}
