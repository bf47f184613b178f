//! Endpoints whose addresses another leases by their own link, which must be there before it is asked.
//!
//! ```text
//!  birth   record without addresses ─► link, raised, let in as one that asks ─► lessor ─► relet ─► live
//!  failure lessor gives back ─► link down
//! ```
//!
//! It keeps what it leased by itself; a death has it give that back before the link goes.

use std::net::IpAddr;
use std::sync::Arc;

use weft_ipam::{Request, Rest};
use weft_kernel::Netlink;
use weft_model::{Attachment as Kind, Dns, Endpoint, Network, Route};

use super::{AttachError, Attacher, Attachment, endow, lease};
use crate::ledger::{Leased, LedgerError};

/// What another leased.
#[derive(Debug, PartialEq, Eq)]
pub struct Given {
    /// The addresses.
    pub addresses: Vec<IpAddr>,
    /// Routes besides those of the network.
    pub routes: Vec<Route>,
    /// Resolver settings.
    pub dns: Dns,
}

/// Who leases by an endpoint's link. May take its time.
pub trait Lessor: std::fmt::Debug + Send + Sync {
    /// Asks for addresses that fit `network`. The error is the reason for which there are none.
    fn lease(&self, network: &Network) -> Result<Given, String>;

    /// Gives back what it was asked for, if it was.
    fn give_back(&self);
}

/// Refuses a lessor where the link reaches no LAN that could be asked by it.
pub(super) fn admit(network: &Network, wish: &Attachment) -> Result<(), String> {
    if wish.lessor.is_none() {
        return Ok(());
    }
    match network.attachment {
        Kind::Macvlan | Kind::Device => Ok(()),
        Kind::Ipvlan => Err("attachment ipvlan lets nobody ask from 0.0.0.0, because its endpoints share an Ethernet \
                             address: leave `ipam` out of the CNI configuration, and give the network ipam: dhcp"
            .to_owned()),
        other => Err(format!(
            "attachment {other} reaches no LAN that could be asked by the container's own link: use macvlan or device, \
             or leave `ipam` out of the CNI configuration: weft leases by itself"
        )),
    }
}

/// Has the lessor of a birth that failed give back what it leased for that.
pub(super) fn give_back(wish: &Attachment) {
    if let Some(lessor) = &wish.lessor {
        lessor.give_back();
    }
}

impl Attacher {
    /// Has a newborn whose link is up get addresses, if they are a lessor's to give.
    pub(super) fn ask_lessor(
        &self,
        netlink: &mut Netlink,
        endpoint: &Arc<Endpoint>,
        network: &Network,
        wish: &Attachment,
    ) -> Result<(), AttachError> {
        let Some(lessor) = &wish.lessor else { return Ok(()) };
        let key = &endpoint.key;
        lease::await_carrier(&wish.netns, endpoint)?;
        let given = lessor.lease(network).map_err(|reason| AttachError::Lessor { key: key.clone(), reason })?;
        let Given { addresses, routes, dns } = given;
        let mut after = (**endpoint).clone();
        {
            let ledger = self.ledger();
            let request = Request { addresses, rest: Rest::Without };
            let chosen = ledger.leases().choose(network, &request).map_err(LedgerError::from)?;
            endow(network, &chosen, &routes, &ledger.default_families(&key.container), &mut after);
        }
        if wish.dns.is_none() && !dns.is_empty() {
            after.dns = dns;
        }
        // Whoever took one of them meanwhile has it.
        self.relet(netlink, &wish.netns, endpoint, Leased::of(&after))
    }
}
