//! Work that blocks, with a netlink socket, on the thread that read the request: another one takes over the reading
//! meanwhile, so that a birth waits for no thread to wake.

use std::sync::{Mutex, PoisonError};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use weft_kernel::{KernelError, Netlink};

/// Requests at work at once; others wait. The kernel makes one link at a time (rtnl), so more would only wait there.
const AT_WORK_MAX: usize = 4;
/// Requests at once that wait for others on the network, most of the time: births that ask a LAN for addresses. More
/// than that wait for their turn, so that no flood of them takes all threads.
const WAITING_MAX: usize = 32;
/// One that reads, those at work, those that wait, and some that read files.
const THREADS_MAX: usize = 2 * AT_WORK_MAX + WAITING_MAX;
/// Threads are kept so long when there is nothing to do: starting one costs as much as waking two.
const THREAD_IDLE: std::time::Duration = std::time::Duration::from_secs(3600);

/// Why work was not done.
#[derive(Debug, thiserror::Error)]
pub enum Undone {
    /// The agent is stopping.
    #[error("the agent is stopping: try again when it serves")]
    Stopping,
    /// The work panicked.
    #[error("the request broke off inside the agent, whose log says why: try again, and report it")]
    Panicked,
    /// There was no socket for it.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

/// The runtime on which requests are served. Its threads are in the namespace of the calling one.
pub fn runtime() -> std::io::Result<Runtime> {
    // One thread reads: requests that arrive together are taken up one after the other, by whoever reads then.
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).max_blocking_threads(THREADS_MAX).thread_keep_alive(THREAD_IDLE);
    builder.thread_name("worker").enable_all().build()
}

/// Sockets of the host's namespace, and the right to work with one.
pub struct Workers {
    slots: Semaphore,
    waiting: Semaphore,
    idle: Mutex<Vec<Netlink>>,
}

impl Workers {
    /// With sockets in the namespace of the calling thread.
    pub fn open() -> Result<Self, KernelError> {
        let idle = (0..AT_WORK_MAX).map(|_| Netlink::open()).collect::<Result<_, _>>()?;
        let (slots, waiting) = (Semaphore::new(AT_WORK_MAX), Semaphore::new(WAITING_MAX));
        Ok(Self { slots, waiting, idle: Mutex::new(idle) })
    }

    /// Does `work` on this thread, as soon as its turn comes. Once begun it is finished, even if the client goes away.
    pub async fn call<T>(&self, work: impl FnOnce(&mut Netlink) -> T) -> Result<T, Undone> {
        self.call_in(&self.slots, work).await
    }

    /// As [`Workers::call`], for work that waits for others, while which nobody else is to wait.
    pub async fn call_waiting<T>(&self, work: impl FnOnce(&mut Netlink) -> T) -> Result<T, Undone> {
        self.call_in(&self.waiting, work).await
    }

    async fn call_in<T>(&self, slots: &Semaphore, work: impl FnOnce(&mut Netlink) -> T) -> Result<T, Undone> {
        let _slot = slots.acquire().await.map_err(|_| Undone::Stopping)?;
        tokio::task::block_in_place(|| {
            let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            let taken = idle().pop();
            let mut netlink = taken.map_or_else(Netlink::open, Ok)?;
            let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&mut netlink)));
            let done = worked.map_err(|_| {
                tracing::error!("a request panicked; the agent goes on");
                Undone::Panicked
            })?;
            // Not after a panic: it may hold answers to what was asked before.
            idle().push(netlink);
            Ok(done)
        })
    }
}
