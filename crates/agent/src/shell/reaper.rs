//! Deletes buried links, many at a time and with nobody waiting.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use weft_kernel::{KernelError, Netlink, endpoint, upper};
use weft_netns::Netns;
use weft_reconcile::Backoff;

/// How long burials are gathered: one deletion costs nearly as much as fifty.
const GATHER: Duration = Duration::from_millis(20);
/// Namespaces that may wait with something buried in them; of others, their end takes it along.
const NAMESPACES_MAX: usize = 256;

/// Tells the reaper that there is something to do.
#[derive(Clone)]
pub struct Reaper {
    /// With the namespace where something was buried, if not on the host.
    bell: SyncSender<Option<Netns>>,
}

impl Reaper {
    /// Starts the thread, in the namespace of the calling one; what an earlier agent buried goes first.
    pub fn start() -> Result<Self, KernelError> {
        let (bell, rung) = sync_channel(NAMESPACES_MAX);
        let netlink = Netlink::open()?;
        let started = std::thread::Builder::new().name("reaper".to_owned()).spawn(move || reap(&rung, netlink));
        started.map_err(|e| KernelError::io("start thread", "reaper", &e))?;
        let reaper = Self { bell };
        reaper.note();
        Ok(reaper)
    }

    /// Something was buried on the host.
    pub fn note(&self) {
        // A bell that is rung already is enough.
        let _ = self.bell.try_send(None);
    }

    /// Something was buried in a container, which may live on.
    pub fn note_in(&self, netns: &Netns) {
        let _ = self.bell.try_send(netns.try_clone().ok());
    }
}

fn reap(rung: &Receiver<Option<Netns>>, mut netlink: Netlink) {
    let mut backoff = Backoff::default();
    while let Ok(first) = rung.recv() {
        std::thread::sleep(GATHER);
        for netns in std::iter::once(first).chain(rung.try_iter()).flatten() {
            if let Err(error) = upper::reap(&netns) {
                tracing::warn!(%error, "buried links stay until their namespace ends");
            }
        }
        while let Err(error) = endpoint::reap(&mut netlink) {
            tracing::warn!(%error, "buried links are not deleted yet");
            std::thread::sleep(backoff.fail());
        }
        backoff.succeed();
    }
}
