//! Deletes buried links, many at a time and with nobody waiting.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use weft_kernel::{KernelError, Netlink, endpoint};
use weft_reconcile::Backoff;

/// How long burials are gathered: one deletion costs nearly as much as fifty.
const GATHER: Duration = Duration::from_millis(20);

/// Tells the reaper that there is something to do.
#[derive(Clone)]
pub struct Reaper {
    bell: SyncSender<()>,
}

impl Reaper {
    /// Starts the thread, in the namespace of the calling one; what an earlier agent buried goes first.
    pub fn start() -> Result<Self, KernelError> {
        let (bell, rung) = sync_channel(1);
        let netlink = Netlink::open()?;
        let started = std::thread::Builder::new().name("reaper".to_owned()).spawn(move || reap(&rung, netlink));
        started.map_err(|e| KernelError::io("start thread", "reaper", &e))?;
        let reaper = Self { bell };
        reaper.note();
        Ok(reaper)
    }

    /// Something was buried.
    pub fn note(&self) {
        // A bell that is rung already is enough.
        let _ = self.bell.try_send(());
    }
}

fn reap(rung: &Receiver<()>, mut netlink: Netlink) {
    let mut backoff = Backoff::default();
    while rung.recv().is_ok() {
        std::thread::sleep(GATHER);
        while let Err(error) = endpoint::reap(&mut netlink) {
            tracing::warn!(%error, "buried links are not deleted yet");
            std::thread::sleep(backoff.fail());
        }
        backoff.succeed();
    }
}
