//! The walks of one endpoint: a container is born, looked at, and dies.
//!
//! Birth: choose addresses, write the record, make the link, say it is live. A failure anywhere undoes what was
//! done, in reverse. Death: note it, take the link down, free the addresses. Both may be repeated, and both may be
//! cut short by the death of the agent: the record tells the next agent where it was.

mod delegated;
mod lease;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use weft_dataplane::Dataplane;
use weft_ipam::{Request, Rest};
use weft_kernel::{Netlink, Snapshot, cookie, device, function, link};
use weft_model::{
    ALLOWED_PER_ENDPOINT_MAX, CniCall, ContainerId, Delegation, DeviceReference, Dns, Endpoint, EndpointKey, Family,
    IfName, Labels, Lease, Limits, Loan, MacAddr, Name, NamedPort, NetnsRecord, Network, NetworkName, PolicyMode, Pool,
    Route,
};
use weft_netns::{Netns, NetnsId};
use weft_reconcile::Target as _;

use crate::apply::admissions::{self, Detours};
use crate::apply::endpoints::{self, EndpointError, Endpoints};
use crate::apply::{Indexes, sources};
use crate::attachment::place::Place;
use crate::attachment::{self, Ground};
use crate::defaults::{self, Claim};
use crate::devices::{self, Losses, Nic};
use crate::ledger::{Change, Entry, JournalError, Ledger, LedgerError, Phase};
use crate::networks::Networks;
use crate::policies::Policies;
use crate::services::{Services, ServicesError};
use crate::shell::dhcp::{DhcpError, Keeper};
use crate::shell::reaper::Reaper;

pub use delegated::{Given, Lessor};

/// Longest wait for another operation on the same endpoint.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(20);

/// What a runtime asks for.
#[derive(Debug)]
pub struct Attachment {
    /// Container and interface.
    pub key: EndpointKey,
    /// The network to join.
    pub network: Arc<Network>,
    /// The container's namespace.
    pub netns: Arc<Netns>,
    /// The runtime's path to it.
    pub netns_path: String,
    /// Namespace of its name.
    pub namespace: Name,
    /// Its name.
    pub name: Name,
    /// Labels.
    pub labels: Labels,
    /// Its ports that have names.
    pub ports: Vec<NamedPort>,
    /// Other names.
    pub aliases: Vec<String>,
    /// Name of the CNI configuration.
    pub cni_name: Option<String>,
    /// Its place in the call of CNI, where that does not follow from `key`.
    pub cni_call: Option<CniCall>,
    /// Who leased `addresses`, where that was not weft: it gets these and no others.
    pub delegation: Option<Delegation>,
    /// The same, where it asks by the endpoint's link, once that is there.
    pub lessor: Option<Arc<dyn Lessor>>,
    /// Routes besides those that its network has.
    pub routes: Vec<Route>,
    /// The container's cgroup.
    pub cgroup_path: Option<String>,
    /// Addresses it asks for.
    pub addresses: Vec<IpAddr>,
    /// The MAC address it asks for.
    pub mac: Option<MacAddr>,
    /// The device that it asks for.
    pub device: Option<DeviceReference>,
    /// Resolver settings that its runtime passes on.
    pub dns: Option<Dns>,
    /// Bytes.
    pub mtu: u32,
    /// How fast it may be sent to, and may send.
    pub limits: Limits,
    /// What it may send from besides its own addresses.
    pub allowed_addresses: BTreeSet<IpNet>,
    /// Families of which it gets the container's default route, whichever interface has it.
    pub claims: Vec<Family>,
    /// Families whose default route an interface has that another plugin made.
    pub foreign_defaults: Vec<Family>,
    /// Seconds since 1970.
    pub born_s: u64,
}

/// Why an endpoint was not made, or not taken down.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The record could not be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The journal cannot be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// This container cannot join this network.
    #[error("network {network}: {reason}")]
    NotAdmitted {
        /// The network.
        network: String,
        /// Why not.
        reason: String,
    },
    /// There is no device for this container.
    #[error("network {network}: {reason}")]
    NoDevice {
        /// The network.
        network: String,
        /// Why not.
        reason: String,
    },
    /// There is no such endpoint, or not any more.
    #[error("endpoint {0} is gone")]
    Gone(EndpointKey),
    /// It has no link that could be limited.
    #[error("endpoint {key}: attachment {attachment} has no link whose rate could be limited: use {}", limited())]
    Unlimited {
        /// Container and interface.
        key: EndpointKey,
        /// How it joins.
        attachment: weft_model::Attachment,
    },
    /// It has no link at which anybody would look.
    #[error("endpoint {key}: attachment {attachment} has no link at whose door sources are checked: use {}", doored())]
    Unchecked {
        /// Container and interface.
        key: EndpointKey,
        /// How it joins.
        attachment: weft_model::Attachment,
    },
    /// What it is not allowed cannot be taken away.
    #[error("endpoint {key}: {prefix} is not among its allowed addresses: see `weft endpoint allow {}`", key.container)]
    NotAllowed {
        /// Container and interface.
        key: EndpointKey,
        /// What was to be taken away.
        prefix: IpNet,
    },
    /// It would be allowed to send from more than anybody needs.
    #[error("endpoint {key}: {count} allowed addresses: list {ALLOWED_PER_ENDPOINT_MAX} at most, or wider prefixes")]
    TooManyAllowed {
        /// Container and interface.
        key: EndpointKey,
        /// So many were wished.
        count: usize,
    },
    /// The link could not be made.
    #[error("endpoint {key}: {source}")]
    Endpoint {
        /// Container and interface.
        key: EndpointKey,
        /// Why not.
        source: EndpointError,
    },
    /// Its LAN gives it no address.
    #[error("endpoint {key}: {}", lease::told(.source, .refusal.as_ref()))]
    Lease {
        /// Container and interface.
        key: EndpointKey,
        /// Why not.
        source: DhcpError,
        /// Why it must not have the address that it was offered last.
        refusal: Option<String>,
    },
    /// Who is to lease for it gives it nothing.
    #[error("endpoint {key}: {reason}")]
    Lessor {
        /// Container and interface.
        key: EndpointKey,
        /// Why not.
        reason: String,
    },
    /// It cannot be told to who is led to services.
    #[error("endpoint {key}: {source}")]
    Services {
        /// Container and interface.
        key: EndpointKey,
        /// Why not.
        source: ServicesError,
    },
    /// Another operation on the endpoint takes too long.
    #[error("endpoint {0} is busy with another request: try again")]
    Busy(EndpointKey),
}

/// Namespace of endpoints whose runtime names none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// Attachments whose endpoints can be limited.
fn limited() -> String {
    let takes_limits = |kind: &&&dyn attachment::Kind| kind.attachment().takes_limits();
    attachment::KINDS.iter().filter(takes_limits).map(|kind| kind.attachment().word()).collect::<Vec<_>>().join(" or ")
}

/// Attachments at whose doors weft looks at packets.
fn doored() -> String {
    let has_door = |kind: &&&dyn attachment::Kind| kind.attachment().has_door();
    attachment::KINDS.iter().filter(has_door).map(|kind| kind.attachment().word()).collect::<Vec<_>>().join(" or ")
}

impl AttachError {
    /// Whether all that is missing is a device, which may still come back.
    fn is_device_away(&self) -> bool {
        matches!(self, AttachError::Endpoint { source: EndpointError::DeviceAway(_), .. })
    }

    fn of(key: &EndpointKey) -> impl FnOnce(EndpointError) -> Self {
        let key = key.clone();
        move |source| AttachError::Endpoint { key, source }
    }
}

/// What births and deaths share.
pub struct Attacher {
    ledger: Mutex<Ledger>,
    networks: Arc<Networks>,
    policies: Arc<Policies>,
    services: Arc<Services>,
    reaper: Reaper,
    keeper: Keeper,
    locks: Locks,
    arranging: Mutex<()>,
    uplink: Mutex<Option<IfName>>,
    indexes: Indexes,
    dataplane: Dataplane,
    losses: Losses,
    host: NetnsId,
}

impl Attacher {
    /// For the host whose namespace is `host`.
    pub fn new(
        ledger: Ledger,
        networks: Arc<Networks>,
        (policies, services): (Arc<Policies>, Arc<Services>),
        (reaper, keeper): (Reaper, Keeper),
        dataplane: Dataplane,
        host: NetnsId,
    ) -> Self {
        Self {
            ledger: Mutex::new(ledger),
            networks,
            policies,
            services,
            reaper,
            keeper,
            locks: Locks::default(),
            arranging: Mutex::new(()),
            uplink: Mutex::new(None),
            indexes: Indexes::default(),
            dataplane,
            losses: Losses::default(),
            host,
        }
    }

    /// The ledger; hold it for moments only.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // Every step of the ledger is whole before it can panic.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Numbers for new links.
    pub fn indexes(&self) -> &Indexes {
        &self.indexes
    }

    /// Devices that did not come back.
    pub fn losses(&self) -> &Losses {
        &self.losses
    }

    /// The programs at the endpoints' doors.
    pub fn dataplane(&self) -> &Dataplane {
        &self.dataplane
    }

    /// What policies say of the endpoints.
    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    /// What services lead to.
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Tells policies which networks are in audit, and services who reaches whom.
    pub fn watch_networks(&self) {
        let networks = self.networks.all();
        let watched = networks.values().filter(|network| network.policy_mode == PolicyMode::Audit);
        self.policies.watch(watched.map(|network| network.name.clone()).collect());
        if let Err(error) = self.services.set_networks(&self.dataplane, networks.values()) {
            tracing::error!(%error, "services are not led to as the networks would have it");
        }
    }

    /// Has sockets be led to services as this agent has it.
    pub fn adopt_services(&self, host: &Netns) -> anyhow::Result<()> {
        let endpoints: Vec<_> = self.ledger().live().map(Arc::clone).collect();
        // An earlier version did not write it down.
        let cookie = |endpoint: &Endpoint| match endpoint.netns.cookie {
            0 => {
                let netns = Netns::open(&endpoint.netns.path).ok().filter(|netns| is_same(&endpoint.netns, netns.id()));
                netns.and_then(|netns| cookie::of(&netns).ok()).unwrap_or(0)
            }
            cookie => cookie,
        };
        let seated: Vec<_> = endpoints.iter().map(|endpoint| (&**endpoint, cookie(endpoint))).collect();
        let (host, networks) = (cookie::of(host)?, self.networks.all());
        Ok(self.services.adopt(&self.dataplane, host, networks.values(), seated.into_iter())?)
    }

    /// The endpoint serves who is led to it, and is led to services itself.
    fn publish(&self, endpoint: &Endpoint) -> Result<(), AttachError> {
        let refused = |source| AttachError::Services { key: endpoint.key.clone(), source };
        self.services.join(&self.dataplane, endpoint).map_err(refused)
    }

    /// Has what policies say be in force as this agent has it, before anything else is compared.
    pub fn adopt_policies(&self, netlink: &mut Netlink) -> anyhow::Result<()> {
        self.watch_networks();
        let endpoints: Vec<_> = self.ledger().entries().map(|entry| Arc::clone(&entry.endpoint)).collect();
        let mut behind = Vec::with_capacity(endpoints.len());
        for endpoint in &endpoints {
            if let Some(link) = endpoints::number(netlink, endpoint)?.filter(|_| endpoint.attachment.has_door()) {
                behind.push((link, &**endpoint));
            }
        }
        Ok(self.policies.adopt(&self.dataplane, behind.into_iter())?)
    }

    /// Whether the programs know of the endpoint behind the link with this number what they must.
    pub fn is_admitted(&self, endpoint: &Endpoint, link: u32, detours: Detours) -> bool {
        let admission = admissions::admission(endpoint, detours);
        admission.is_none_or(|admission| self.dataplane.has_admitted(link, &admission).unwrap_or(false))
    }

    /// A container is born.
    pub fn attach(&self, netlink: &mut Netlink, wish: &Attachment) -> Result<Arc<Endpoint>, AttachError> {
        let network = &wish.network;
        let not_admitted = |reason| AttachError::NotAdmitted { network: network.name.to_string(), reason };
        let kind = attachment::kind(network.attachment).ok_or_else(|| not_admitted("is not built".to_owned()))?;
        kind.admit(&Ground { host: self.host, container: wish.netns.id() }).map_err(not_admitted)?;
        admit_limits(&wish.key, network.attachment, wish.limits)?;
        admit_allowed(&wish.key, network.attachment, &wish.allowed_addresses)?;
        admit_claims(network, &wish.claims).map_err(not_admitted)?;
        admit_device(network, wish.device.as_ref()).map_err(not_admitted)?;
        lease::admit(network, wish).map_err(not_admitted)?;
        let _lock = self.locks.lock(&wish.key)?;
        self.bury_stale(netlink, wish)?;
        let cookie = cookie::of(&wish.netns).map_err(|e| AttachError::of(&wish.key)(e.into()))?;
        let rest = if wish.delegation.is_some() { Rest::Without } else { Rest::Filled };
        let request = Request { addresses: wish.addresses.clone(), rest };
        let place = self.place(netlink, wish)?;
        let network = &place.network;
        let nics = self.survey(netlink, network, &wish.key)?;
        let mut ledger = self.ledger();
        place.admit_beside(&ledger).map_err(not_admitted)?;
        let mut loan = self.borrow(netlink, wish, &nics, &ledger)?;
        let endpoint = ledger.begin_birth(&wish.key, network, &request, |chosen, taken| {
            let mut endpoint = record(wish, cookie);
            endow(network, chosen, &wish.routes, taken, &mut endpoint);
            place.take(&self.indexes, &mut endpoint);
            if let Some(loan) = loan.take() {
                attachment::device::take(network, loan, self.indexes.next(), &mut endpoint);
            }
            endpoint
        })?;
        drop(ledger);
        // The record is in the ledger: from here on the network cannot be deleted. Was it, a moment ago?
        let kept = self.networks.get(network.name.as_str()).map(drop);
        let kept = kept.ok_or_else(|| not_admitted("was deleted meanwhile: create it, or use another".to_owned()));
        let made = kept.and_then(|()| self.make(netlink, &endpoint, &wish.netns));
        let made = made.and_then(|()| self.lease(netlink, &endpoint, wish));
        let made = made.and_then(|()| self.ask_lessor(netlink, &endpoint, network, wish));
        let made = made.and_then(|()| self.arrange(netlink, &wish.key, &wish.netns, &wish.claims));
        let made = made.and_then(|()| {
            let written = self.ledger().get(&wish.key).map(|entry| Arc::clone(&entry.endpoint));
            self.publish(written.as_deref().unwrap_or(&endpoint))
        });
        let born = made.and_then(|()| Ok(self.ledger().finish_birth(&wish.key)?));
        if let Err(error) = born {
            delegated::give_back(wish);
            self.undo(netlink, &endpoint, &wish.netns);
            return Err(error);
        }
        // With a claim or a lease, its record is another one than it was begun with.
        let born = self.ledger().get(&wish.key).map(|entry| Arc::clone(&entry.endpoint));
        let endpoint = born.unwrap_or(endpoint);
        self.keep(netlink, &endpoint);
        if let (Some(loan), Some(enforcement)) = (&endpoint.loan, endpoint.enforcement()) {
            let (device, word, meaning) = (&loan.device.name, enforcement.word(), enforcement.meaning());
            let key = &endpoint.key;
            tracing::info!(endpoint = %key, %device, enforcement = word, meaning, "has a device of the host's");
        }
        Ok(endpoint)
    }

    /// The host's devices, for networks that lend them.
    fn survey(&self, netlink: &mut Netlink, network: &Network, key: &EndpointKey) -> Result<Vec<Nic>, AttachError> {
        if network.attachment != weft_model::Attachment::Device {
            return Ok(Vec::new());
        }
        let snapshot = Snapshot::read(netlink).map_err(|e| AttachError::of(key)(e.into()))?;
        Ok(devices::survey(&snapshot, &devices::parents(self.networks.all().values())))
    }

    /// A device that nobody has. It is looked at once more while the ledger is held: since the survey, another endpoint
    /// may have had it and be about to give it back.
    fn borrow(
        &self,
        netlink: &mut Netlink,
        wish: &Attachment,
        nics: &[Nic],
        ledger: &Ledger,
    ) -> Result<Option<Loan>, AttachError> {
        let network = &wish.network;
        if network.attachment != weft_model::Attachment::Device {
            return Ok(None);
        }
        let no_device = |reason| AttachError::NoDevice { network: network.name.to_string(), reason };
        let failed = |error: weft_kernel::KernelError| AttachError::of(&wish.key)(error.into());
        for nic in devices::choose(network, wish.device.as_ref(), nics, ledger).map_err(no_device)? {
            let now = link::find_index(netlink, nic.device.index).map_err(failed)?;
            if now.as_ref().and_then(device::of_link).as_ref() != Some(&nic.device) {
                continue;
            }
            let settings = nic.device.function.as_ref().map(|function| function::read(netlink, function));
            let settings = settings.transpose().map_err(failed)?;
            return Ok(Some(attachment::device::loan(network, nic.device.clone(), wish.mac, settings)));
        }
        Err(no_device("the devices that are free were changed this moment: try again".to_owned()))
    }

    /// The host's link to the outside is this one now.
    pub fn set_uplink(&self, uplink: Option<IfName>) {
        *self.uplink.lock().unwrap_or_else(PoisonError::into_inner) = uplink;
    }

    /// Where the endpoint is to sit, if on a link of the host's.
    fn place(&self, netlink: &mut Netlink, wish: &Attachment) -> Result<Place, AttachError> {
        let network = &wish.network;
        let uplink = self.uplink.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let hosts = if network.attachment.has_parent() { self.dataplane.hosts().list() } else { Vec::new() };
        let hosts: Vec<IpAddr> = hosts.into_iter().map(|host| host.0).collect();
        let find = |name: &IfName| link::find(netlink, name.as_str());
        let place = Place::find(network, uplink, &hosts, find).map_err(|e| AttachError::of(&wish.key)(e.into()))?;
        place.map_err(|reason| AttachError::NotAdmitted { network: network.name.to_string(), reason })
    }

    /// Several networks of one container, one after the other: all of them, or none.
    pub fn attach_all(&self, netlink: &mut Netlink, wishes: &[Attachment]) -> Result<Vec<Arc<Endpoint>>, AttachError> {
        let mut born = Vec::with_capacity(wishes.len());
        for (place, wish) in wishes.iter().enumerate() {
            match self.attach(netlink, wish) {
                Ok(endpoint) => born.push(endpoint),
                Err(error) => {
                    for wish in wishes[..place].iter().rev() {
                        delegated::give_back(wish);
                        // What cannot be taken down now is for the reconciler.
                        if let Err(error) = self.detach(netlink, &wish.key, Some(&wish.netns)) {
                            tracing::warn!(endpoint = %wish.key, %error, "a birth is not taken back yet");
                        }
                    }
                    return Err(error);
                }
            }
        }
        // With claims, routes of the first are other ones than they were born with; what has died since was born, too.
        let ledger = self.ledger();
        let now = |endpoint: Arc<Endpoint>| match ledger.get(&endpoint.key) {
            Some(entry) if entry.endpoint.netns == endpoint.netns => Arc::clone(&entry.endpoint),
            _ => endpoint,
        };
        Ok(born.into_iter().map(now).collect())
    }

    /// A container dies, or is as good as dead. `netns` is its namespace, if it can be had. Nothing there is success.
    pub fn detach(&self, netlink: &mut Netlink, key: &EndpointKey, netns: Option<&Netns>) -> Result<(), AttachError> {
        let _lock = self.locks.lock(key)?;
        let Some(entry) = self.ledger().get(key).cloned() else { return Ok(()) };
        self.bury(netlink, &entry, netns)
    }

    /// As [`Attacher::detach`], for an endpoint whose birth or death was found cut short: only if it still is what was
    /// found. Its death may have ended since, and the container been born again.
    pub fn detach_found(
        &self,
        netlink: &mut Netlink,
        found: &Arc<Endpoint>,
        netns: Option<&Netns>,
    ) -> Result<(), AttachError> {
        let _lock = self.locks.lock(&found.key)?;
        let Some(entry) = self.ledger().get(&found.key).cloned() else { return Ok(()) };
        if Arc::ptr_eq(&entry.endpoint, found) { self.bury(netlink, &entry, netns) } else { Ok(()) }
    }

    /// As [`Attacher::detach`], on behalf of the container's runtime, for all that one call of it made, the last one
    /// first: with the last of its endpoints go those that others joined to further networks, of which it knows
    /// nothing. One that fails does not keep the others.
    pub fn detach_all(
        &self,
        netlink: &mut Netlink,
        container: &ContainerId,
        made: &[EndpointKey],
        netns: Option<&Netns>,
    ) -> Result<(), AttachError> {
        let beside: Vec<_> = {
            let ledger = self.ledger();
            let others = ledger.of_container(container).filter(|entry| !made.contains(&entry.endpoint.key));
            others.map(|entry| Arc::clone(&entry.endpoint)).collect()
        };
        let is_last = beside.iter().all(|endpoint| endpoint.cni_name.is_none());
        let joined = beside.iter().filter(|_| is_last).map(|endpoint| &endpoint.key);
        let mut detached = Ok(());
        for key in made.iter().chain(joined).rev() {
            if let Err(error) = self.detach(netlink, key, netns) {
                tracing::warn!(endpoint = %key, %error, "is not taken down yet");
                // The runtime can do nothing about that, and the reconciler waits for the device.
                if !error.is_device_away() {
                    detached = detached.and(Err(error));
                }
            }
        }
        detached
    }

    /// As [`Attacher::detach`], for an endpoint that is found dead: only if it still is what was found, and its link is
    /// gone still.
    pub fn detach_if_gone(&self, netlink: &mut Netlink, found: &Arc<Endpoint>) -> Result<bool, AttachError> {
        let _lock = self.locks.lock(&found.key)?;
        let Some(entry) = self.ledger().get(&found.key).cloned() else { return Ok(false) };
        let host = found.key.host_link();
        let link = link::find(netlink, host.as_str());
        let link = link.map_err(|e| AttachError::of(&found.key)(e.into()))?;
        if !Arc::ptr_eq(&entry.endpoint, found) || link.is_some() {
            return Ok(false);
        }
        self.bury(netlink, &entry, None)?;
        Ok(true)
    }

    /// Limits an endpoint otherwise, at once and while its packets pass.
    pub fn limit(
        &self,
        netlink: &mut Netlink,
        key: &EndpointKey,
        change: impl FnOnce(Limits) -> Limits,
    ) -> Result<Arc<Endpoint>, AttachError> {
        self.change(netlink, key, |endpoint| {
            let limits = change(endpoint.limits);
            admit_limits(key, endpoint.attachment, limits)?;
            Ok(Change::Limits(limits))
        })
    }

    /// Allows an endpoint to send from other addresses besides its own than before, from its next packet on.
    pub fn allow(
        &self,
        netlink: &mut Netlink,
        key: &EndpointKey,
        change: impl FnOnce(&BTreeSet<IpNet>) -> Result<BTreeSet<IpNet>, AttachError>,
    ) -> Result<Arc<Endpoint>, AttachError> {
        self.change(netlink, key, |endpoint| {
            let allowed = change(&endpoint.allowed_addresses)?;
            admit_allowed(key, endpoint.attachment, &allowed)?;
            Ok(Change::Allowed(allowed))
        })
    }

    /// Gives an endpoint other labels, and has what policies say of those hold from its next packet on.
    pub fn label(
        &self,
        netlink: &mut Netlink,
        key: &EndpointKey,
        change: impl FnOnce(&Labels) -> Labels,
    ) -> Result<Arc<Endpoint>, AttachError> {
        self.change(netlink, key, |endpoint| Ok(Change::Labels(change(&endpoint.labels))))
    }

    /// Changes a living endpoint. If the kernel refuses, the record is what it was, and the reconciler brings back what
    /// belongs to it.
    fn change(
        &self,
        netlink: &mut Netlink,
        key: &EndpointKey,
        decide: impl FnOnce(&Endpoint) -> Result<Change, AttachError>,
    ) -> Result<Arc<Endpoint>, AttachError> {
        let _lock = self.locks.lock(key)?;
        let found = self.ledger().get(key).filter(|entry| entry.phase == Phase::Live).cloned();
        let before = found.ok_or_else(|| AttachError::Gone(key.clone()))?.endpoint;
        let change = decide(&before)?;
        let undo = change.undo(&before);
        let written = self.ledger().change(key, change)?;
        let endpoint = written.ok_or_else(|| AttachError::Gone(key.clone()))?;
        // Without a door, there is nobody to tell.
        let mended = if endpoint.attachment.has_door() { self.mend(netlink, &endpoint) } else { Ok(()) };
        if let Err(error) = mended {
            self.ledger().change(key, undo)?;
            return Err(AttachError::of(key)(error));
        }
        self.publish(&endpoint)?;
        Ok(endpoint)
    }

    /// Makes the host's side of a living endpoint what its record says.
    fn mend(&self, netlink: &mut Netlink, endpoint: &Arc<Endpoint>) -> Result<(), EndpointError> {
        let snapshot = endpoints::read(netlink, endpoint)?;
        self.endpoints_as(netlink, &snapshot, None).update(&endpoint.key.host_link(), endpoint)
    }

    /// Runs `work` while nothing else happens to the endpoint.
    pub fn alone<T>(&self, key: &EndpointKey, work: impl FnOnce(Option<Entry>) -> T) -> Result<T, AttachError> {
        let _lock = self.locks.lock(key)?;
        let entry = self.ledger().get(key).cloned();
        Ok(work(entry))
    }

    /// A runtime that lost its state (a reboot, a crash) may use an id again: the namespace tells that it is another
    /// container.
    fn bury_stale(&self, netlink: &mut Netlink, wish: &Attachment) -> Result<(), AttachError> {
        let entry = self.ledger().get(&wish.key).cloned();
        match entry {
            Some(entry) if !is_same(&entry.endpoint.netns, wish.netns.id()) => self.bury(netlink, &entry, None),
            Some(entry) if entry.phase != Phase::Live => self.bury(netlink, &entry, Some(&wish.netns)),
            _ => Ok(()),
        }
    }

    fn bury(&self, netlink: &mut Netlink, entry: &Entry, netns: Option<&Netns>) -> Result<(), AttachError> {
        let key = &entry.endpoint.key;
        // A path may lead to another namespace by now.
        let netns = netns.filter(|netns| is_same(&entry.endpoint.netns, netns.id()));
        self.ledger().begin_death(key);
        self.take_down(netlink, &entry.endpoint, netns)?;
        self.ledger().finish_death(key);
        Ok(())
    }

    /// Has what the container sends leave by the right one of its interfaces, if it has more than that of `key`: that
    /// one claims the default routes of some families.
    fn arrange(
        &self,
        netlink: &mut Netlink,
        key: &EndpointKey,
        netns: &Netns,
        families: &[Family],
    ) -> Result<(), AttachError> {
        // Whoever comes last sees all.
        let _alone = self.arranging.lock().unwrap_or_else(PoisonError::into_inner);
        let mut endpoints: Vec<_> = {
            let ledger = self.ledger();
            let entries = ledger.of_container(&key.container);
            if entries.clone().count() < 2 && entries.clone().all(|entry| entry.endpoint.source_routes.is_empty()) {
                return Ok(());
            }
            let staying = entries.filter(|entry| entry.phase != Phase::Death);
            let mut endpoints: Vec<_> = staying.map(|entry| Arc::clone(&entry.endpoint)).collect();
            endpoints.sort_by_key(|endpoint| (endpoint.cni_name.is_none(), endpoint.cni_position()));
            endpoints
        };
        let pools =
            |name: &NetworkName| self.networks.get(name.as_str()).map(|network| pools(&network)).unwrap_or_default();
        let moved = defaults::share(&endpoints, Claim { key, families }, pools);
        for (_, moved) in &moved {
            let Some(written) = self.ledger().change(&moved.key, Change::routes_of(moved))? else { continue };
            let place = endpoints.iter().position(|endpoint| endpoint.key == moved.key);
            place.into_iter().for_each(|place| endpoints[place] = Arc::clone(&written));
        }
        sources::arrange(netlink, netns, &endpoints, &moved).map_err(|e| AttachError::of(key)(e.into()))
    }

    fn make(&self, netlink: &mut Netlink, endpoint: &Arc<Endpoint>, netns: &Netns) -> Result<(), AttachError> {
        let host = endpoint.key.host_link();
        self.endpoints(netlink, Some(netns)).update(&host, endpoint).map_err(AttachError::of(&endpoint.key))
    }

    /// Takes a birth back. What cannot be taken down now stays in the ledger, its addresses held, for the reconciler.
    fn undo(&self, netlink: &mut Netlink, endpoint: &Endpoint, netns: &Netns) {
        let now = self.ledger().get(&endpoint.key).map(|entry| Arc::clone(&entry.endpoint));
        self.ledger().begin_death(&endpoint.key);
        match self.take_down(netlink, now.as_deref().unwrap_or(endpoint), Some(netns)) {
            Ok(()) => self.ledger().finish_death(&endpoint.key),
            Err(error) => tracing::warn!(endpoint = %endpoint.key, %error, "a failed birth is not undone yet"),
        }
    }

    /// Gives back a lease, buries the links, and rings for the reaper.
    fn take_down(&self, netlink: &mut Netlink, endpoint: &Endpoint, netns: Option<&Netns>) -> Result<(), AttachError> {
        // Nobody is led to it from before it is gone.
        if let Err(error) = self.services.leave(&self.dataplane, endpoint) {
            tracing::error!(endpoint = %endpoint.key, %error, "services may still lead to it");
        }
        self.give_back(netlink, endpoint, netns);
        let taken = self.endpoints(netlink, netns).take_down(endpoint);
        self.reaper.note();
        taken.map_err(AttachError::of(&endpoint.key))?;
        match netns.map(|netns| self.arrange(netlink, &endpoint.key, netns, &[])) {
            // A journal that fails keeps nobody alive.
            Some(Err(AttachError::Journal(error))) => {
                tracing::warn!(endpoint = %endpoint.key, %error, "its default routes are given to no other interface");
                Ok(())
            }
            other => other.unwrap_or(Ok(())),
        }
    }

    fn endpoints<'a>(&'a self, netlink: &'a mut Netlink, netns: Option<&'a Netns>) -> Endpoints<'a> {
        static NOTHING: std::sync::LazyLock<Snapshot> = std::sync::LazyLock::new(Snapshot::default);
        self.endpoints_as(netlink, &NOTHING, netns)
    }

    /// Endpoints as the engine compares them, given what the host had.
    pub fn endpoints_as<'a>(
        &'a self,
        netlink: &'a mut Netlink,
        snapshot: &'a Snapshot,
        netns: Option<&'a Netns>,
    ) -> Endpoints<'a> {
        let Self { indexes, dataplane, policies, losses, .. } = self;
        Endpoints { netlink, indexes, dataplane, policies, snapshot, losses, netns }
    }
}

/// Refuses the claim to a default route that endpoints of the network do not have.
fn admit_claims(network: &Network, claims: &[Family]) -> Result<(), String> {
    if claims.is_empty() {
        return Ok(());
    }
    if network.internal || !network.attachment.has_link() {
        let kind = if network.internal { "is internal" } else { "has no link" };
        return Err(format!("{kind}, so there is no default route by it: do not ask for that, or use another network"));
    }
    match claims.iter().find(|family| !network.families().any(|served| served == **family)) {
        Some(family) => Err(format!("has no {family:?} pool, so there is no default route of that family by it")),
        None => Ok(()),
    }
}

/// Refuses a device where none is lent.
fn admit_device(network: &Network, wanted: Option<&DeviceReference>) -> Result<(), String> {
    match wanted.filter(|_| network.attachment != weft_model::Attachment::Device) {
        Some(device) => Err(format!(
            "attachment {} takes no device, and {device} is asked for: use a network with mode device",
            network.attachment
        )),
        None => Ok(()),
    }
}

/// Completes the record of an endpoint that got these addresses, and for which these routes are asked for besides. An
/// interface beside it has the default routes of the families in `taken`.
fn endow(network: &Network, chosen: &[(IpAddr, &Pool)], asked: &[Route], taken: &[Family], endpoint: &mut Endpoint) {
    if let Some(kind) = attachment::kind(network.attachment) {
        kind.endow(network, chosen, endpoint);
    }
    endpoint.routes.retain(|route| asked.iter().all(|asked| asked.to != route.to));
    endpoint.routes.extend(asked.iter().cloned());
    defaults::stand_back(&pools(network), taken, endpoint);
    let foreign = endpoint.foreign_defaults.clone();
    defaults::stand_back(&pools(network), &foreign, endpoint);
}

/// The prefixes that addresses of the network are from.
fn pools(network: &Network) -> Vec<IpNet> {
    network.pools.iter().map(|pool| pool.subnet).collect()
}

fn admit_limits(key: &EndpointKey, attachment: weft_model::Attachment, limits: Limits) -> Result<(), AttachError> {
    if limits.is_empty() || attachment.takes_limits() {
        return Ok(());
    }
    Err(AttachError::Unlimited { key: key.clone(), attachment })
}

fn admit_allowed(
    key: &EndpointKey,
    attachment: weft_model::Attachment,
    allowed: &BTreeSet<IpNet>,
) -> Result<(), AttachError> {
    if allowed.len() > ALLOWED_PER_ENDPOINT_MAX {
        return Err(AttachError::TooManyAllowed { key: key.clone(), count: allowed.len() });
    }
    if allowed.is_empty() || attachment.has_door() {
        return Ok(());
    }
    Err(AttachError::Unchecked { key: key.clone(), attachment })
}

/// Whether the record is of this namespace.
pub fn is_same(record: &NetnsRecord, netns: NetnsId) -> bool {
    (record.device, record.inode) == (netns.device, netns.inode)
}

fn record(wish: &Attachment, cookie: u64) -> Endpoint {
    let NetnsId { device, inode } = wish.netns.id();
    Endpoint {
        key: wish.key.clone(),
        network: wish.network.name.clone(),
        namespace: wish.namespace.clone(),
        name: wish.name.clone(),
        labels: wish.labels.clone(),
        ports: wish.ports.clone(),
        aliases: wish.aliases.clone(),
        cni_name: wish.cni_name.clone(),
        cni_call: wish.cni_call.clone(),
        delegation: wish.delegation.clone(),
        cgroup_path: wish.cgroup_path.clone(),
        netns: NetnsRecord { path: wish.netns_path.clone(), device, inode, cookie },
        attachment: wish.network.attachment,
        mac: wish.mac,
        addresses: Vec::new(),
        gateways: Vec::new(),
        routes: Vec::new(),
        source_routes: Vec::new(),
        foreign_defaults: wish.foreign_defaults.clone(),
        mtu: wish.mtu,
        isolated: false,
        link: None,
        seat: None,
        loan: None,
        limits: wish.limits,
        allowed_addresses: wish.allowed_addresses.clone(),
        dns: wish.dns.clone().unwrap_or_else(|| wish.network.dns.clone()),
        asked_families: Vec::new(),
        lease: Lease::default(),
        mark: None,
        born_s: wish.born_s,
    }
}

/// One operation at a time on each endpoint.
#[derive(Default)]
struct Locks {
    held: Mutex<BTreeSet<EndpointKey>>,
    released: Condvar,
}

struct Lock<'a> {
    locks: &'a Locks,
    key: EndpointKey,
}

impl Locks {
    fn lock(&self, key: &EndpointKey) -> Result<Lock<'_>, AttachError> {
        let deadline = Instant::now() + LOCK_WAIT_MAX;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        while !held.insert(key.clone()) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(AttachError::Busy(key.clone()));
            }
            held = self.released.wait_timeout(held, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(Lock { locks: self, key: key.clone() })
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        self.locks.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        self.locks.released.notify_all();
    }
}

/// The key of an endpoint from its two words.
pub fn key(container: &str, ifname: &str) -> Result<EndpointKey, weft_model::NameError> {
    Ok(EndpointKey { container: ContainerId::parse(container)?, ifname: IfName::parse(ifname)? })
}
