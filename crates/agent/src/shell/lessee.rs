//! The thread that has endpoints follow what becomes of their leases.

use std::sync::Arc;

use weft_kernel::Netlink;

use super::dhcp::Beginning;
use crate::attach::Attacher;

/// Begins to keep the leases of all endpoints, those of an earlier agent's among them, in the namespace of the calling
/// thread.
pub fn start(attacher: Arc<Attacher>, keeper: Beginning) -> anyhow::Result<()> {
    let asked = Arc::clone(&attacher);
    let news = keeper.start(move |key, address| asked.may_have(key, address))?;
    let mut netlink = Netlink::open()?;
    let follower = Arc::clone(&attacher);
    std::thread::Builder::new().name("lessee".to_owned()).spawn(move || {
        for news in news {
            if let Err(error) = follower.heed(&mut netlink, &news) {
                tracing::warn!(endpoint = %news.key, %error, "does not follow its lease");
            }
        }
    })?;
    attacher.keep_all();
    Ok(())
}
