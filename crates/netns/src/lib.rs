//! Network namespaces: open, create, enter and pin them.
//!
//! `setns(2)` moves one thread. So [`Netns::within`] is for threads that the caller owns (never a worker of an async
//! runtime), and it aborts the process rather than leave a thread in a namespace where nobody expects it.
//! A [`Netns`] keeps its namespace alive for as long as it lives: hold one for the length of an operation, never
//! longer.

use std::fs::File;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

/// Superblock magic of nsfs (`NSFS_MAGIC` in include/uapi/linux/magic.h): what tells a namespace file from any other.
const NSFS_MAGIC: u64 = 0x6e73_6673;

/// What went wrong with a namespace.
#[derive(Debug, thiserror::Error)]
pub enum NetnsError {
    /// The path cannot be opened.
    #[error("cannot open network namespace {path}: {source}", path = .path.display())]
    Open {
        /// The path as it was given.
        path: PathBuf,
        /// The system's reason.
        source: Errno,
    },
    /// The file is not a namespace at all.
    #[error("{what} is not a network namespace")]
    NotNamespace {
        /// The path, or "the passed descriptor".
        what: String,
    },
    /// The kernel refused to enter, create or pin it.
    #[error("cannot {action} network namespace: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// The system's reason.
        source: Errno,
    },
}

impl NetnsError {
    /// Whether the namespace is simply not there (any more).
    pub fn is_gone(&self) -> bool {
        match self {
            NetnsError::Open { source, .. } => matches!(*source, Errno::NOENT | Errno::NOTDIR | Errno::SRCH),
            // A bind mount that was taken away leaves the plain file behind.
            NetnsError::NotNamespace { .. } => true,
            NetnsError::System { .. } => false,
        }
    }
}

/// What tells one namespace from another for as long as it lives: device and inode of its nsfs file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetnsId {
    /// Device of nsfs.
    pub device: u64,
    /// Inode: unique among living namespaces, reused after death.
    pub inode: u64,
}

/// An open handle to a network namespace.
#[derive(Debug)]
pub struct Netns {
    fd: OwnedFd,
    id: NetnsId,
}

impl Netns {
    /// The namespace of the calling thread.
    pub fn current() -> Result<Self, NetnsError> {
        Self::open("/proc/thread-self/ns/net")
    }

    /// Opens `path`: a bind mount (`/run/netns/x`) or a link of procfs (`/proc/PID/ns/net`).
    pub fn open(path: impl AsRef<Path>) -> Result<Self, NetnsError> {
        let path = path.as_ref();
        // O_NONBLOCK: a FIFO somebody left at the path must not hang us.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|source| NetnsError::Open { path: path.to_owned(), source })?;
        Self::check(fd, || path.display().to_string())
    }

    /// Takes a descriptor that somebody passed to us, after making sure of what it is.
    pub fn from_fd(fd: OwnedFd) -> Result<Self, NetnsError> {
        Self::check(fd, || "the passed descriptor".to_owned())
    }

    /// Makes a new, empty namespace (loopback down). It dies with the last handle, pin or process in it.
    pub fn create() -> Result<Self, NetnsError> {
        let made = std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    // SAFETY: CLONE_NEWNET changes the network namespace of this short-lived thread alone.
                    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }
                        .map_err(|source| NetnsError::System { action: "create", source })?;
                    Self::current()
                })
                .join()
        });
        made.unwrap_or(Err(NetnsError::System { action: "create", source: Errno::IO }))
    }

    fn check(fd: OwnedFd, what: impl Fn() -> String) -> Result<Self, NetnsError> {
        let system = |source| NetnsError::System { action: "look at", source };
        let magic = rustix::fs::fstatfs(&fd).map_err(system)?.f_type;
        if magic as u64 != NSFS_MAGIC {
            return Err(NetnsError::NotNamespace { what: what() });
        }
        let stat = rustix::fs::fstat(&fd).map_err(system)?;
        Ok(Self { fd, id: NetnsId { device: stat.st_dev, inode: stat.st_ino } })
    }

    /// Device and inode.
    pub fn id(&self) -> NetnsId {
        self.id
    }

    /// Runs `work` on this thread inside the namespace, and comes back.
    ///
    /// Aborts the process if the way back fails: a thread in the wrong namespace would write to the wrong kernel
    /// tables.
    pub fn within<T>(&self, work: impl FnOnce() -> T) -> Result<T, NetnsError> {
        let home = Self::current()?;
        set(self.fd.as_fd())?;
        let _return = Return { home, not_send: PhantomData };
        Ok(work())
    }

    /// Runs `work` inside the namespace on a thread of its own: for callers that do not own theirs.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, NetnsError> {
        let ran = std::thread::scope(|scope| scope.spawn(|| set(self.fd.as_fd()).map(|()| work())).join());
        match ran {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Bind-mounts the namespace at `path` (made if absent), as `ip netns` does, so that it outlives its processes.
    pub fn pin(&self, path: impl AsRef<Path>) -> Result<(), NetnsError> {
        let path = path.as_ref();
        let made = File::options().create(true).append(true).open(path);
        made.map_err(|e| NetnsError::Open {
            path: path.to_owned(),
            source: Errno::from_io_error(&e).unwrap_or(Errno::IO),
        })?;
        let own = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&self.fd));
        rustix::mount::mount(own.as_str(), path, "", MountFlags::BIND, None)
            .map_err(|source| NetnsError::System { action: "pin", source })
    }

    /// Takes a pin away, file included; nothing there is fine.
    pub fn unpin(path: impl AsRef<Path>) -> Result<(), NetnsError> {
        let path = path.as_ref();
        let system = |source| NetnsError::System { action: "unpin", source };
        match rustix::mount::unmount(path, UnmountFlags::DETACH) {
            Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
            Err(source) => return Err(system(source)),
        }
        match rustix::fs::unlink(path) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(source) => Err(system(source)),
        }
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn set(fd: BorrowedFd<'_>) -> Result<(), NetnsError> {
    rustix::thread::move_into_link_name_space(fd, Some(LinkNameSpaceType::Network))
        .map_err(|source| NetnsError::System { action: "enter", source })
}

/// Brings the thread home, also when the work panics.
struct Return {
    home: Netns,
    not_send: PhantomData<*const ()>,
}

impl Drop for Return {
    fn drop(&mut self) {
        let _ = self.not_send;
        if set(self.home.fd.as_fd()).is_err() {
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_namespace_is_another_one_and_within_comes_back() {
        let home = Netns::current().expect("current").id();
        let other = Netns::create().expect("create (needs root)");
        assert_ne!(home, other.id());
        let inside = other.within(|| Netns::current().expect("inside").id()).expect("enter");
        assert_eq!(inside, other.id());
        assert_eq!(Netns::current().expect("back").id(), home);
    }

    #[test]
    fn a_panic_inside_comes_back_too() {
        let home = Netns::current().expect("current").id();
        let other = Netns::create().expect("create (needs root)");
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| other.within(|| panic!("inside"))));
        assert!(caught.is_err());
        assert_eq!(Netns::current().expect("back").id(), home);
    }

    #[test]
    fn what_is_no_namespace_is_refused_by_name() {
        let error = Netns::open("/etc/hostname").expect_err("a plain file");
        assert_eq!(error.to_string(), "/etc/hostname is not a network namespace");
        let error = Netns::open("/run/netns/no-such").expect_err("absent");
        assert!(error.is_gone());
    }
}
