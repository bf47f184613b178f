//! A few threads of the host's namespace, each with a netlink socket, for work that blocks.
//!
//! They may enter containers' namespaces, which workers of the async runtime must not.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use weft_kernel::{KernelError, Netlink};

/// Threads. The kernel makes one link at a time (rtnl), so more would only wait there.
const THREADS: usize = 4;
/// Requests that may wait; a burst beyond is refused and tried again by its runtime.
const QUEUE_MAX: usize = 1024;

type Job = Box<dyn FnOnce(&mut Netlink) + Send>;

/// Why work was not done.
#[derive(Debug, thiserror::Error)]
pub enum Undone {
    /// Too much is waiting.
    #[error("{QUEUE_MAX} requests are waiting: try again later")]
    Overloaded,
    /// The work panicked.
    #[error("the request broke off inside the agent, whose log says why: try again, and report it")]
    Panicked,
}

/// Hands work to the threads.
#[derive(Clone)]
pub struct Workers {
    queue: SyncSender<Job>,
}

impl Workers {
    /// Starts the threads, in the namespace of the calling one.
    pub fn start() -> Result<Self, KernelError> {
        let (queue, jobs) = sync_channel::<Job>(QUEUE_MAX);
        let jobs = Arc::new(Mutex::new(jobs));
        for n in 0..THREADS {
            let (jobs, netlink) = (Arc::clone(&jobs), Netlink::open()?);
            let work = move || work(&jobs, netlink);
            let started = std::thread::Builder::new().name(format!("worker-{n}")).spawn(work);
            started.map_err(|e| KernelError::io("start thread", "worker", &e))?;
        }
        Ok(Self { queue })
    }

    /// Runs `work` on one of the threads.
    pub async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Netlink) -> T + Send + 'static,
    ) -> Result<T, Undone> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let job: Job = Box::new(move |netlink| {
            // Nobody waits any more if the client went away; the work is done all the same.
            let _ = answer.send(work(netlink));
        });
        self.queue.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => Undone::Overloaded,
        })?;
        // A job that panicked took its answer along.
        answered.await.map_err(|_| Undone::Panicked)
    }
}

fn work(jobs: &Mutex<Receiver<Job>>, mut netlink: Netlink) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job(&mut netlink)));
        if ran.is_err() {
            tracing::error!("a request panicked; the agent goes on");
            // The socket may hold answers to what was asked before the panic.
            match Netlink::open() {
                Ok(fresh) => netlink = fresh,
                Err(error) => return tracing::error!(%error, "a worker thread ends"),
            }
        }
    }
}
