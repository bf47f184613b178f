//! The thread that has endpoints follow what becomes of their leases.

use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use weft_kernel::Netlink;

use super::dhcp::Beginning;
use crate::attach::Attacher;

/// Between looks at the addresses that kernels inside formed by what routers say.
const LOOK: Duration = Duration::from_secs(5);

/// Starts the keeper and the thread, in the namespace of the calling one: before anything dies, because a keeper that
/// is not started takes only so many orders.
pub fn start(attacher: Arc<Attacher>, keeper: Beginning) -> anyhow::Result<()> {
    let asked = Arc::clone(&attacher);
    let news = keeper.start(move |key, address| asked.may_have(key, address))?;
    let mut netlink = Netlink::open()?;
    std::thread::Builder::new().name("lessee".to_owned()).spawn(move || {
        let mut look = Instant::now() + LOOK;
        loop {
            match news.recv_timeout(look.saturating_duration_since(Instant::now())) {
                Ok(news) => {
                    if let Err(error) = attacher.heed(&mut netlink, &news) {
                        tracing::warn!(endpoint = %news.key, %error, "does not follow its lease");
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return tracing::error!("leases are followed no more"),
            }
            if Instant::now() >= look {
                attacher.heed_routers(&mut netlink);
                look = Instant::now() + LOOK;
            }
        }
    })?;
    Ok(())
}
