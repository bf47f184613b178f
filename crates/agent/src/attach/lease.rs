//! Endpoints whose addresses their LAN gives.
//!
//! ```text
//!  birth   record without addresses ─► link, raised, let in as one that asks ─► acquire ─► relet ─► live ─► keep
//!  life    news ─► relet                 relet: what goes inside ─► record ─► programs ─► what comes inside
//!  death   forget ─► release ─► link down
//! ```
//!
//! So an address is let in only while the record has it, and is nobody else's before it is gone inside.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use weft_dataplane::HostAddress;
use weft_kernel::interior::{self, Interior};
use weft_kernel::link::{self, Link};
use weft_kernel::{Errno, KernelError, Netlink};
use weft_model::{Endpoint, EndpointKey, Family, Ipam, Lease, MacAddr, Network};
use weft_netns::Netns;

use super::{AttachError, Attacher, Attachment, delegated, is_same};
use crate::apply::admissions::{self, Detours, ParentLink};
use crate::attachment::leased::{in_force, leased};
use crate::attachment::parent;
use crate::ledger::{Leased, Phase};
use crate::shell::dhcp::{self, Asker, DhcpError, Keeping, News, What, Wishes};

/// How long a birth waits for its LAN. Runtimes wait longer for the birth: kubelet two minutes
/// (`--runtime-request-timeout`), containerd and podman for as long as it takes.
const LEASE_WAIT: Duration = Duration::from_secs(10);
/// How long a birth waits for a device's carrier before that: its ends agree on a speed within some four seconds (IEEE
/// 802.3, clause 28).
const CARRIER_WAIT: Duration = Duration::from_secs(6);
/// Between looks at that.
const CARRIER_LOOK: Duration = Duration::from_millis(5);
/// How long a birth waits for the kernel inside to form an address, and to learn that it is nobody else's: a delay of a
/// second at most, and one for the answer (RFC 4862, section 5.4).
const FORMED_WAIT: Duration = Duration::from_millis(2500);
/// Between looks at that.
const FORMED_LOOK: Duration = Duration::from_millis(20);

/// Refuses what a birth cannot ask of a LAN.
pub(super) fn admit(network: &Network, wish: &Attachment) -> Result<(), String> {
    if network.ipam != Ipam::Dhcp {
        return delegated::admit(network, wish);
    }
    let reason = if !wish.addresses.is_empty() {
        "asks for no address by value: have the LAN's server keep one for its MAC address"
    } else if wish.delegation.is_some() {
        "has its addresses of the LAN's servers: leave `ipam` out of the CNI configuration"
    } else {
        return Ok(());
    };
    Err(format!("ipam dhcp: {reason}"))
}

impl Attacher {
    /// Has a newborn whose link is up get addresses, if they are its LAN's to give.
    pub(super) fn lease(
        &self,
        netlink: &mut Netlink,
        endpoint: &Arc<Endpoint>,
        wish: &Attachment,
    ) -> Result<(), AttachError> {
        if !endpoint.is_leased() {
            return Ok(());
        }
        let (key, network, netns) = (&endpoint.key, &wish.network, &*wish.netns);
        await_carrier(netns, endpoint)?;
        let parent = parent_of(netlink, endpoint).map_err(|e| AttachError::of(key)(e.into()))?;
        let asker = asker(netlink, endpoint).map_err(|e| AttachError::of(key)(e.into()))?;
        let (mut asking, mut refusal) = ((**endpoint).clone(), None);
        let mut may_have = |address: IpAddr| {
            refusal = self.why_not(key, address);
            if refusal.is_some() {
                return false;
            }
            // It is announced, and given back if the birth fails, from the address itself.
            asking.addresses.push(IpNet::from(address));
            self.let_in(&asking, parent).is_ok()
        };
        let wishes = Wishes::of(network, endpoint.name.as_str(), LEASE_WAIT);
        let acquired = dhcp::acquire(netns, &asker, &wishes, &mut may_have);
        let lease = acquired.map_err(|source| AttachError::Lease { key: key.clone(), source, refusal })?;
        let formed = if lease.autoconfigured { self.formed(netns, endpoint)? } else { Vec::new() };
        let beside = self.ledger().default_families(&key.container);
        let taken = [beside, wish.foreign_defaults.clone()].concat();
        self.relet(netlink, netns, endpoint, leased(network, lease, &formed, &taken, endpoint))
    }

    /// Something became of a lease.
    pub fn heed(&self, netlink: &mut Netlink, news: &News) -> Result<(), AttachError> {
        let _lock = self.locks.lock(&news.key)?;
        let is_meant = |endpoint: &Endpoint| endpoint.netns == news.netns && endpoint.is_leased();
        let entry = self.ledger().get(&news.key).filter(|entry| entry.phase == Phase::Live).cloned();
        let Some(endpoint) = entry.map(|entry| entry.endpoint).filter(|endpoint| is_meant(endpoint)) else {
            return Ok(());
        };
        match &news.what {
            What::Extended(_) | What::Gone => {}
            What::Changed(address) => tracing::info!(endpoint = %news.key, %address, "its lease says something else"),
            What::Gained(address) => tracing::info!(endpoint = %news.key, %address, "has an address of its LAN again"),
            What::Lost(address, why) => tracing::warn!(endpoint = %news.key, %address, %why, "lost its address"),
        }
        self.follow(netlink, &endpoint, news.lease.clone())
    }

    /// Looks at what addresses the kernels inside have formed since: nobody tells of those.
    pub fn heed_routers(&self, netlink: &mut Netlink) {
        let listens = |endpoint: &&Arc<Endpoint>| endpoint.asked_families.contains(&Family::IPv6);
        let listening: Vec<_> = self.ledger().live().filter(listens).cloned().collect();
        for endpoint in listening {
            let followed = self.alone(&endpoint.key, |entry| {
                let is_same = entry.is_some_and(|entry| Arc::ptr_eq(&entry.endpoint, &endpoint));
                if is_same { self.follow(netlink, &endpoint, in_force(&endpoint)) } else { Ok(()) }
            });
            if let Err(error) = followed.and_then(|followed| followed) {
                tracing::warn!(endpoint = %endpoint.key, %error, "does not follow what its routers say");
            }
        }
    }

    /// Has the endpoint have what it holds now. The caller has its lock.
    fn follow(&self, netlink: &mut Netlink, endpoint: &Endpoint, lease: Lease) -> Result<(), AttachError> {
        // Nothing is left of one whose namespace is gone: the reconciler looks for those.
        let Some(network) = self.networks.get(endpoint.network.as_str()) else { return Ok(()) };
        let Some(netns) = namespace_of(endpoint) else { return Ok(()) };
        let formed: Vec<IpNet> = self.formed_now(&netns, endpoint)?.into_iter().filter_map(settled).collect();
        let leased = leased(&network, lease, &formed, &[], endpoint);
        if leased == Leased::of(endpoint) {
            return Ok(());
        }
        self.relet(netlink, &netns, endpoint, leased)?;
        self.arrange(netlink, &endpoint.key, &netns, &[])
    }

    /// Whether the endpoint called `key` may have an address that a server gives it.
    pub fn may_have(&self, key: &EndpointKey, address: IpAddr) -> bool {
        let refusal = self.why_not(key, address);
        if let Some(reason) = &refusal {
            tracing::warn!(endpoint = %key, %reason, "an address of its LAN is declined");
        }
        refusal.is_none()
    }

    /// Keeps the leases that an earlier agent's endpoints have.
    pub fn keep_all(&self, netlink: &mut Netlink) {
        let live: Vec<_> = self.ledger().live().filter(|endpoint| endpoint.is_leased()).cloned().collect();
        live.iter().for_each(|endpoint| self.keep(netlink, endpoint));
    }

    /// Keeps the endpoint's lease, if it has any.
    pub(super) fn keep(&self, netlink: &mut Netlink, endpoint: &Endpoint) {
        if !endpoint.is_leased() {
            return;
        }
        let (key, netns, lease) = (endpoint.key.clone(), endpoint.netns.clone(), endpoint.lease.clone());
        let hostname = Some(endpoint.name.to_string());
        match asker(netlink, endpoint) {
            Ok(asker) => self.keeper.keep(Keeping { key, netns, asker, hostname, lease }),
            Err(error) => tracing::warn!(endpoint = %key, %error, "its lease is not kept"),
        }
    }

    /// Gives back what the endpoint has, as long as it can. What is not given back expires.
    pub(super) fn give_back(&self, netlink: &mut Netlink, endpoint: &Endpoint, netns: Option<&Netns>) {
        if !endpoint.is_leased() {
            return;
        }
        self.keeper.forget(&endpoint.key);
        let lease = in_force(endpoint);
        let Some(netns) = netns.filter(|_| lease.grants().next().is_some()) else { return };
        let asker = asker(netlink, endpoint).map_err(DhcpError::from);
        if let Err(error) = asker.and_then(|asker| dhcp::release(netns, &asker, &lease)) {
            tracing::debug!(endpoint = %endpoint.key, %error, "a lease is not given back");
        }
    }

    /// Has the endpoint have this instead of what it has: inside, in the record, and in the programs.
    pub(super) fn relet(
        &self,
        netlink: &mut Netlink,
        netns: &Netns,
        before: &Endpoint,
        leased: Leased,
    ) -> Result<(), AttachError> {
        let key = &before.key;
        let mut after = before.clone();
        leased.clone().write(&mut after);
        let refused = |e: KernelError| AttachError::of(key)(e.into());
        let (was, is) = (interior_of(before).map_err(refused)?, interior_of(&after).map_err(refused)?);
        let is_same = was == is && (before.mtu, &before.addresses) == (after.mtu, &after.addresses);
        if !is_same {
            was.remove(netns, &is).map_err(refused)?;
        }
        self.ledger().lease(key, leased)?.ok_or_else(|| AttachError::Gone(key.clone()))?;
        if is_same {
            return Ok(());
        }
        let parent = parent_of(netlink, &after).map_err(refused)?;
        self.let_in(&after, parent).map_err(refused)?;
        was.change(netns, &is, after.mtu).map_err(refused)?;
        let gained: Vec<IpNet> = is.addresses.iter().filter(|net| !was.addresses.contains(net)).copied().collect();
        let asker = asker(netlink, &after).map_err(DhcpError::from);
        if let Err(error) = asker.and_then(|asker| dhcp::announce(netns, &asker, &gained)) {
            tracing::debug!(endpoint = %key, %error, "an address is not announced");
        }
        self.publish(&after)
    }

    /// Why the endpoint must not have an address: an address has one holder on this host, also where it is on several
    /// LANs that number alike.
    fn why_not(&self, key: &EndpointKey, address: IpAddr) -> Option<String> {
        if let Some(holder) = self.ledger().leases().holder(address).filter(|holder| *holder != key) {
            return Some(format!("{address}, which its server gave, is endpoint {holder}'s on this host"));
        }
        // One that cannot be looked up is found by its probe.
        let is_hosts = self.dataplane.hosts().has(&HostAddress(address)).unwrap_or(false);
        is_hosts.then(|| format!("{address}, which its server gave, is this host's own"))
    }

    fn let_in(&self, endpoint: &Endpoint, parent: Option<ParentLink>) -> Result<(), KernelError> {
        let detours = Detours { throttle: None, bridge: None, parent };
        let (Some(link), Some(admission)) = (endpoint.link, admissions::admission(endpoint, detours)) else {
            // Its parent is gone: the reconciler lets it in when that is back.
            return Ok(());
        };
        admissions::admit(&self.dataplane, Some(&self.policies), link, endpoint, &admission)
    }

    /// The addresses that the kernel inside forms, once one of them is known to be nobody else's.
    fn formed(&self, netns: &Netns, endpoint: &Endpoint) -> Result<Vec<IpNet>, AttachError> {
        let deadline = Instant::now() + FORMED_WAIT;
        loop {
            let found = self.formed_now(netns, endpoint)?;
            if Instant::now() >= deadline || found.iter().any(|(_, is_settled)| *is_settled) {
                return Ok(found.into_iter().filter_map(settled).collect());
            }
            std::thread::sleep(FORMED_LOOK);
        }
    }

    fn formed_now(&self, netns: &Netns, endpoint: &Endpoint) -> Result<Vec<(IpNet, bool)>, AttachError> {
        let listens = endpoint.asked_families.contains(&Family::IPv6);
        let (Some(link), Some(mac), true) = (endpoint.link, endpoint.mac, listens) else { return Ok(Vec::new()) };
        interior::formed(netns, link, mac).map_err(|e| AttachError::of(&endpoint.key)(e.into()))
    }
}

/// Why an endpoint has no lease, with what the host itself had to say against it.
pub(super) fn told(source: &DhcpError, refusal: Option<&String>) -> String {
    refusal.map_or_else(|| source.to_string(), |refusal| format!("{source}; {refusal}"))
}

/// An address that is known to be nobody else's.
fn settled((net, is_settled): (IpNet, bool)) -> Option<IpNet> {
    is_settled.then_some(net)
}

fn asker(netlink: &mut Netlink, endpoint: &Endpoint) -> Result<Asker, KernelError> {
    let key = &endpoint.key;
    let Some(seat) = endpoint.seat.as_ref().filter(|seat| seat.shares_mac) else {
        return Ok(Asker::of(key, endpoint.mac.unwrap_or(MacAddr::NONE)));
    };
    // The stand-in has the address also while the link to the outside is gone.
    let mac = stand_in_of(netlink, endpoint)?.and_then(|link| link.mac).unwrap_or(MacAddr::NONE);
    Ok(Asker::sharing(key, mac, parent::outside(seat)))
}

fn interior_of(endpoint: &Endpoint) -> Result<Interior, KernelError> {
    let unnumbered = || KernelError::new("number link of", endpoint.key.to_string(), Errno::INVAL);
    parent::interior(endpoint).ok_or_else(unnumbered)
}

/// Waits until a device that was raised a moment ago can be asked by.
pub(super) fn await_carrier(netns: &Netns, endpoint: &Endpoint) -> Result<(), AttachError> {
    if endpoint.loan.is_none() {
        return Ok(());
    }
    let (key, deadline) = (&endpoint.key, Instant::now() + CARRIER_WAIT);
    let refused = |e: KernelError| AttachError::of(key)(e.into());
    let interior = interior_of(endpoint).map_err(refused)?;
    while !interior.has_carrier(netns).map_err(refused)? {
        if Instant::now() >= deadline {
            let source = DhcpError::NoCarrier { ifname: key.ifname.clone(), timeout: CARRIER_WAIT };
            return Err(AttachError::Lease { key: key.clone(), source, refusal: None });
        }
        std::thread::sleep(CARRIER_LOOK);
    }
    Ok(())
}

fn parent_of(netlink: &mut Netlink, endpoint: &Endpoint) -> Result<Option<ParentLink>, KernelError> {
    let stand_in = stand_in_of(netlink, endpoint)?;
    Ok(ParentLink::of(endpoint, |_| stand_in.as_ref().map(ParentLink::from)))
}

/// What its link sits on, if that is one of weft's.
fn stand_in_of(netlink: &mut Netlink, endpoint: &Endpoint) -> Result<Option<Link>, KernelError> {
    match endpoint.seat.as_ref().and_then(parent::stand_in) {
        Some(name) => link::find(netlink, name.as_str()),
        None => Ok(None),
    }
}

/// The endpoint's namespace, unless it is gone, or another has its path.
fn namespace_of(endpoint: &Endpoint) -> Option<Netns> {
    Netns::open(&endpoint.netns.path).ok().filter(|netns| is_same(&endpoint.netns, netns.id()))
}
