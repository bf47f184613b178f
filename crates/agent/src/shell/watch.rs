//! The threads that listen to the kernel: links that vanish with their namespace, an uplink that changes, rules that
//! somebody else rewrites.

use std::sync::Arc;
use std::time::Duration;

use weft_kernel::Netlink;
use weft_kernel::link::{Link, NAME_PREFIX};
use weft_kernel::monitor::{Monitor, News};
use weft_kernel::nft;
use weft_model::IfName;

use super::reconciler::Reconciler;
use crate::apply::Indexes;
use crate::apply::admissions;
use crate::attach::Attacher;

/// How long news gather before they are read: a birth makes a dozen, and nobody may be busy with them in its midst.
const GATHER: Duration = Duration::from_millis(5);

/// Starts both threads, in the namespace of the calling one.
pub fn start(attacher: Arc<Attacher>, reconciler: Reconciler) -> anyhow::Result<()> {
    let links = Links { attacher, netlink: Netlink::open()?, reconciler: reconciler.clone() };
    let monitor = Monitor::open()?;
    std::thread::Builder::new().name("watch-links".to_owned()).spawn(move || links.follow(monitor))?;
    let monitor = nft::Monitor::open()?;
    std::thread::Builder::new().name("watch-rules".to_owned()).spawn(move || follow_rules(monitor, &reconciler))?;
    Ok(())
}

struct Links {
    attacher: Arc<Attacher>,
    netlink: Netlink,
    reconciler: Reconciler,
}

impl Links {
    fn follow(mut self, mut monitor: Monitor) {
        loop {
            match monitor.wait(GATHER) {
                Ok(news) => news.iter().for_each(|news| self.hear(news)),
                Err(error) => {
                    return tracing::error!(%error, "links are no longer watched, only looked at now and then");
                }
            }
        }
    }

    fn hear(&mut self, news: &News) {
        match news {
            News::LinkGone(link) => self.link_gone(link),
            News::LinkChanged(link) if is_foreign(link) => self.reconciler.note(),
            News::AddressChanged(index) if !Indexes::is_ours(*index) => self.reconciler.note(),
            News::DefaultRouteChanged | News::RuleChanged | News::Overrun => self.reconciler.note(),
            News::LinkChanged(_) | News::AddressChanged(_) => {}
        }
    }

    /// An endpoint's namespace died, most likely, and no runtime will tell.
    fn link_gone(&mut self, link: &Link) {
        if link.is_ours()
            && let Err(error) = admissions::dismiss(self.attacher.dataplane(), self.attacher.policies(), link.index)
        {
            tracing::warn!(%error, "a dead endpoint is still known to the programs");
            self.reconciler.note();
        }
        let Ok(name) = IfName::parse(link.name.as_str()) else { return };
        let entry = self.attacher.ledger().by_host_link(&name).cloned();
        match entry {
            Some(entry) => match self.attacher.detach_if_gone(&mut self.netlink, &entry.endpoint) {
                Ok(true) => tracing::info!(endpoint = %entry.endpoint.key, "its namespace died without a word"),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(endpoint = %entry.endpoint.key, %error, "a dead endpoint is not taken down yet");
                    self.reconciler.note();
                }
            },
            None if !name.as_str().starts_with(weft_kernel::link::DEAD_PREFIX) => self.reconciler.note(),
            None => {}
        }
    }
}

fn is_foreign(link: &Link) -> bool {
    !link.name.starts_with(NAME_PREFIX)
}

fn follow_rules(mut monitor: nft::Monitor, reconciler: &Reconciler) {
    loop {
        match monitor.wait() {
            Ok(_) => reconciler.note(),
            Err(error) => return tracing::error!(%error, "rules are no longer watched, only looked at now and then"),
        }
    }
}
