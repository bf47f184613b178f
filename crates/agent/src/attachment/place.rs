//! Where an endpoint comes to sit that joins by a link of the host's, and whether there is room.

use std::net::IpAddr;
use std::sync::Arc;

use weft_kernel::KernelError;
use weft_kernel::link::Link;
use weft_model::{AddressRange, Endpoint, EndpointKey, IfName, MacAddr, Network, Seat};

use super::parent;
use crate::apply::Indexes;
use crate::ledger::Ledger;

/// A place, before anybody has taken it.
#[derive(Debug)]
pub struct Place {
    /// The network, without what others have of its pools.
    pub network: Arc<Network>,
    seat: Option<Seat>,
    /// Of the link to the outside.
    mac: Option<MacAddr>,
}

impl Place {
    /// Looks at the host by `find`. The inner error is the reason for which there is no such place. `hosts` are the
    /// host's own addresses.
    pub fn find(
        network: &Arc<Network>,
        uplink: Option<IfName>,
        hosts: &[IpAddr],
        mut find: impl FnMut(&IfName) -> Result<Option<Link>, KernelError>,
    ) -> Result<Result<Self, String>, KernelError> {
        let network = without(network, hosts);
        if !network.attachment.sits_on_parent() {
            return Ok(Ok(Self { network, seat: None, mac: None }));
        }
        let Some(uplink) = network.parent.clone().or(uplink) else {
            return Ok(Err("the host has no link to the outside: name one in spec.parent".to_owned()));
        };
        let Some(seat) = parent::seat(&network, &uplink) else {
            return Ok(Ok(Self { network, seat: None, mac: None }));
        };
        let outside = parent::outside(&seat);
        let Some(link) = find(&outside)? else {
            return Ok(Err(format!("its parent {outside} is gone from the host: bring it back, see `weft status`")));
        };
        if let Some(stand_in) = parent::stand_in(&seat)
            && find(&stand_in)?.is_none()
        {
            return Ok(Err(format!("its parent {outside} is not ready: see `weft status`")));
        }
        Ok(Ok(Self { network, seat: Some(seat), mac: link.mac }))
    }

    /// Refuses a place that somebody has for himself, or that is wanted so while others are there.
    pub fn admit_beside(&self, ledger: &Ledger) -> Result<(), String> {
        let Some(seat) = &self.seat else { return Ok(()) };
        let segment = parent::segment(seat);
        let is_there = |other: &Seat| parent::segment(other) == segment && (other.alone || seat.alone);
        let other = ledger.entries().find(|entry| entry.endpoint.seat.as_ref().is_some_and(is_there));
        other.map_or(Ok(()), |other| {
            let (title, outside) = (other.endpoint.title(), parent::outside(seat));
            Err(format!("macvlanMode passthru takes the whole of {outside}, where {title} is already: stop that first"))
        })
    }

    /// Gives the place to an endpoint that has its addresses.
    pub fn take(&self, indexes: &Indexes, endpoint: &mut Endpoint) {
        endpoint.link = self.seat.is_some().then(|| indexes.next());
        endpoint.seat.clone_from(&self.seat);
        if self.seat.as_ref().is_some_and(|seat| seat.alone) {
            endpoint.mac = self.mac;
        } else if endpoint.addresses.is_empty() && self.seat.is_some() {
            let derived = self.derived_mac(&endpoint.key);
            if endpoint.shares_mac() {
                endpoint.mark = Some(derived);
            } else {
                endpoint.mac = endpoint.mac.or(Some(derived));
            }
        }
    }

    /// An Ethernet address for an endpoint that has no other yet to derive it from: the same whenever it is born here,
    /// by which servers may know it, and another on other hosts of the LAN.
    fn derived_mac(&self, key: &EndpointKey) -> MacAddr {
        let host = self.mac.map(|mac| mac.to_string()).unwrap_or_default();
        MacAddr::derived(&["leased", &host, key.container.as_str(), key.ifname.as_str()])
    }
}

/// The network without the host's own addresses, which are in its pools where these are the physical network's.
fn without(network: &Arc<Network>, hosts: &[IpAddr]) -> Arc<Network> {
    if hosts.is_empty() {
        return Arc::clone(network);
    }
    let mut network = (**network).clone();
    for pool in &mut network.pools {
        let own = hosts.iter().copied().filter(|host| pool.subnet.contains(host));
        let free = own.filter(|host| !pool.excluded.iter().any(|range| range.contains(*host)));
        let taken: Vec<_> = free.map(|host| AddressRange { first: host, last: host }).collect();
        pool.excluded.extend(taken);
        pool.excluded.sort();
    }
    Arc::new(network)
}
