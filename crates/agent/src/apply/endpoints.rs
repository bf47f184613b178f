//! Endpoints' links. Birth and death come by here one at a time and at once; the reconciler comes by with all of them.
//!
//! The key is the host's end of the link: an end that no record names is a leftover. Both ways of acting hold the
//! endpoint's lock, and look again under it, because births go on while the reconciler compares.

use std::collections::BTreeMap;
use std::sync::Arc;

use weft_dataplane::Dataplane;
use weft_kernel::device::{self, Whereabouts};
use weft_kernel::endpoint::{self, BirthError, Door, LinkPlan, Remains};
use weft_kernel::filter::Programs;
use weft_kernel::link::{self, GROUP_LIVE};
use weft_kernel::neighbour::Neighbour;
use weft_kernel::{Errno, KernelError, Netlink, Request, Snapshot, throttle};
use weft_kernel::{station, upper};
use weft_model::{Endpoint, EndpointKey, IfName, Loan, Seat};
use weft_netns::Netns;
use weft_reconcile::Target;

use super::admissions::{self, Detours, ParentLink};
use super::{Indexes, lanes, parents, reach};
use crate::attachment::{self, parent};
use crate::devices::Losses;
use crate::policies::Policies;

/// What the names of endpoints' links begin with on the host, and those of their throttles.
const NAME_PREFIXES: [&str; 2] = ["wefte", "wefti"];

/// How an endpoint's link differs from its record.
#[derive(Debug, Clone)]
pub struct Drift {
    /// The requests that mend its host side.
    repairs: Vec<Request>,
    /// Its throttle is what it must be.
    is_throttled: bool,
}

/// Endpoints of one host.
pub struct Endpoints<'a> {
    /// The host's socket.
    pub netlink: &'a mut Netlink,
    /// Numbers for new links.
    pub indexes: &'a Indexes,
    /// The programs at their doors.
    pub dataplane: &'a Dataplane,
    /// What policies say of them.
    pub policies: &'a Policies,
    /// What the host had when the round began; empty at birth and death, which look for themselves.
    pub snapshot: &'a Snapshot,
    /// Devices that do not come back.
    pub losses: &'a Losses,
    /// The container's namespace, where the caller has it.
    pub netns: Option<&'a Netns>,
}

/// Why an endpoint is not as it must be.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// Its link cannot be made.
    #[error(transparent)]
    Birth(#[from] BirthError),
    /// The kernel refused.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// Its link vanished, so its namespace is dead or somebody deleted the link: nothing can be mended.
    #[error("the link of endpoint {0} is gone")]
    LinkGone(EndpointKey),
    /// Its device is in a namespace that nobody knows.
    #[error("its device {0} is in some other namespace, and comes back when that ends: stop what runs there")]
    DeviceAway(IfName),
}

impl Target for Endpoints<'_> {
    type Key = IfName;
    type Desired = Arc<Endpoint>;
    type Actual = u32;
    type Error = EndpointError;

    /// Host ends and throttles with weft's mark: name and number. The throttle of an endpoint is compared with it, so
    /// that one is no object of its own.
    fn read_back(&mut self) -> Result<BTreeMap<IfName, u32>, EndpointError> {
        let is_ours = |link: &&link::Link| link.group == GROUP_LIVE && is_endpoints(&link.name);
        let ours = self.snapshot.links.values().filter(is_ours);
        Ok(ours.filter_map(|link| Some((IfName::parse(link.name.as_str()).ok()?, link.index))).collect())
    }

    fn is_settled(&self, _: &IfName, endpoint: &Arc<Endpoint>, _: &u32) -> bool {
        self.drift(endpoint).is_some_and(|drift| drift.repairs.is_empty() && drift.is_throttled)
    }

    /// Makes the link of a newborn; mends the host's side of an older one.
    fn update(&mut self, host: &IfName, endpoint: &Arc<Endpoint>) -> Result<(), EndpointError> {
        match self.netns {
            Some(netns) => self.create(endpoint, netns),
            None => {
                let drift = self.drift(endpoint).ok_or_else(|| EndpointError::LinkGone(endpoint.key.clone()))?;
                if endpoint.seat.is_some() {
                    self.netlink.run(&drift.repairs)?;
                    return Ok(self.admit_seated(endpoint)?);
                }
                let Some(index) = self.seen(host)? else { return Ok(()) };
                self.netlink.run(&drift.repairs)?;
                Ok(self.hold_back(endpoint, index)?)
            }
        }
    }

    /// Deletes a leftover of which nothing but the host's end is known.
    fn delete(&mut self, host: &IfName) -> Result<(), EndpointError> {
        match self.seen(host)? {
            Some(index) => Ok(self.netlink.run(&[link::delete(index, host.as_str())])?),
            None => Ok(()),
        }
    }
}

impl Endpoints<'_> {
    /// The number of the link that the snapshot has under this name, if it is there still: the container may have died
    /// and been born again since, and then another link has the name.
    fn seen(&mut self, host: &IfName) -> Result<Option<u32>, KernelError> {
        let Some(seen) = self.snapshot.links.get(host.as_str()).map(|link| link.index) else { return Ok(None) };
        Ok(link::find(self.netlink, host.as_str())?.filter(|found| found.index == seen).map(|found| found.index))
    }

    fn create(&mut self, endpoint: &Endpoint, netns: &Netns) -> Result<(), EndpointError> {
        if let Some(seat) = &endpoint.seat {
            return match parent::stand_in(seat) {
                Some(name) => self.create_upper(endpoint, seat, &name, netns),
                None => self.create_station(endpoint, seat, netns),
            };
        }
        if endpoint.loan.is_some() {
            let plan = attachment::device::plan(endpoint).ok_or_else(|| unnumbered(endpoint))?;
            return Ok(device::lend(self.netlink, netns, &plan)?);
        }
        let bridge = self.bridge(endpoint)?;
        let Some(plan) = plan(endpoint, bridge) else { return Ok(endpoint::create_loopback(netns)?) };
        let (dataplane, policies) = (self.dataplane, Some(self.policies));
        let mut door = Doorway { indexes: self.indexes, dataplane, policies, endpoint, bridge };
        Ok(endpoint::create(self.netlink, netns, &plan, &mut door)?)
    }

    /// The programs know of it before its link is there: nothing passes before that.
    fn create_upper(
        &mut self,
        endpoint: &Endpoint,
        seat: &Seat,
        name: &IfName,
        netns: &Netns,
    ) -> Result<(), EndpointError> {
        let absent = || KernelError::new("find parent", name.as_str(), Errno::NODEV);
        let stand_in = link::find(self.netlink, name.as_str())?.ok_or_else(absent)?;
        let not_ready = || KernelError {
            detail: "no rule leads to its program what is sent there: see `weft status`".to_owned(),
            ..KernelError::new("use parent", name.as_str(), Errno::NETUNREACH)
        };
        if seat.is_routed() && !lanes::is_open(self.netlink, name, stand_in.index)? {
            return Err(not_ready().into());
        }
        let outside = link::find(self.netlink, parent::outside(seat).as_str())?;
        let plan = parent::upper(endpoint, stand_in.index).ok_or_else(|| unnumbered(endpoint))?;
        self.admit_at(endpoint, plan.interior.index, (&stand_in).into())?;
        let reached = outside.map_or_else(Vec::new, |outside| parent::reached_by(endpoint, &outside));
        self.netlink.run(&reached.into_iter().flat_map(reach::set).collect::<Vec<_>>())?;
        Ok(upper::create(self.netlink, netns, &plan)?)
    }

    /// The same of one that has its parent to itself.
    fn create_station(&mut self, endpoint: &Endpoint, seat: &Seat, netns: &Netns) -> Result<(), EndpointError> {
        let outside = link::find(self.netlink, parent::outside(seat).as_str())?;
        let plan = parent::station(endpoint, outside.as_ref()).ok_or_else(|| unnumbered(endpoint))?;
        let listening = link::find(self.netlink, parent::listening(seat).as_str())?.map(|link| link.index);
        let index = plan.interior.index;
        parents::tell(self.dataplane, index, &parents::entry(seat, outside.as_ref(), listening))?;
        self.admit_at(endpoint, index, ParentLink { index, mac: None })?;
        Ok(station::create(self.netlink, netns, &plan, &segment_programs(self.dataplane))?)
    }

    fn admit_at(&self, endpoint: &Endpoint, index: u32, parent: ParentLink) -> Result<(), KernelError> {
        let detours = Detours { throttle: None, bridge: None, parent: Some(parent) };
        let Some(admission) = admissions::admission(endpoint, detours) else { return Ok(()) };
        admissions::admit(self.dataplane, Some(self.policies), index, endpoint, &admission)
    }

    /// Tells the programs what an endpoint that is on a segment may do now.
    fn admit_seated(&self, endpoint: &Endpoint) -> Result<(), KernelError> {
        let admission = admissions::admission(endpoint, Detours::of(endpoint, self.snapshot));
        match (endpoint.link, admission) {
            (Some(link), Some(admission)) => {
                admissions::admit(self.dataplane, Some(self.policies), link, endpoint, &admission)
            }
            // Its parent is gone: the reconciler lets it in when that is back.
            _ => Ok(()),
        }
    }

    /// Takes down an endpoint that is on a segment.
    fn take_down_seated(&mut self, index: u32, endpoint: &Endpoint, seat: &Seat) -> Result<(), KernelError> {
        let outside = link::find(self.netlink, parent::outside(seat).as_str())?;
        let reached = outside.as_ref().map_or_else(Vec::new, |outside| parent::reached_by(endpoint, outside));
        self.netlink.run(&reached.into_iter().flat_map(reach::unset).collect::<Vec<_>>())?;
        let is_station = parent::stand_in(seat).is_none();
        if is_station {
            // What has the parent's own address has put in none.
            let own = outside.as_ref().and_then(|link| link.mac);
            let mac = endpoint.mac.filter(|mac| Some(*mac) != own);
            let filter = outside.map(|link| link.index).zip(mac);
            station::delete(self.netlink, self.netns, &endpoint.key.host_link(), filter)?;
        } else if let Some(netns) = self.netns {
            upper::delete(netns, index)?;
        }
        admissions::dismiss(self.dataplane, self.policies, index)?;
        if is_station {
            self.dataplane.forget_parent(index).map_err(|e| admissions::refused(index, &e))?;
        }
        Ok(())
    }

    /// Makes the throttle that the endpoint's limits ask for, or takes away one that they do not, and tells the
    /// programs in between: packets are sent to one that is there.
    fn hold_back(&mut self, endpoint: &Endpoint, index: u32) -> Result<(), KernelError> {
        let Some(plan) = self.planned(endpoint) else { return Ok(()) };
        let throttle = match plan.throttle() {
            Some(throttle) => Some(throttle::make(self.netlink, &throttle, || self.indexes.next())?),
            None => None,
        };
        let detours = Detours { throttle, ..Detours::of(endpoint, self.snapshot) };
        if let Some(admission) = admissions::admission(endpoint, detours) {
            admissions::admit(self.dataplane, Some(self.policies), index, endpoint, &admission)?;
        }
        match link::find(self.netlink, plan.throttle.as_str())?.filter(throttle::is_throttle) {
            Some(found) if throttle.is_none() => self.netlink.run(&[link::delete(found.index, &found.name)]),
            _ => Ok(()),
        }
    }

    /// Takes an endpoint down, whatever is left of it. `netns` must be the one it was born in.
    pub fn take_down(&mut self, endpoint: &Endpoint) -> Result<(), EndpointError> {
        if let (Some(index), Some(seat)) = (endpoint.link, &endpoint.seat) {
            return Ok(self.take_down_seated(index, endpoint, seat)?);
        }
        if let (Some(index), Some(loan)) = (endpoint.link, &endpoint.loan) {
            return self.take_back(index, endpoint, loan);
        }
        let host = endpoint.key.host_link();
        let bridge = match attachment::bridge_name(endpoint) {
            Some(name) => link::find(self.netlink, name.as_str())?.map(|link| link.index),
            None => None,
        };
        let on_bridge = bridge.map_or_else(Vec::new, |index| neighbours(endpoint, index));
        let throttle = endpoint.limits.egress.map(|_| endpoint.key.throttle_link());
        let remains = Remains { host: &host, on_bridge, throttle: throttle.as_ref() };
        let link = endpoint::delete(self.netlink, self.netns, &remains)?;
        let dismissed = link.map_or(Ok(()), |link| admissions::dismiss(self.dataplane, self.policies, link));
        Ok(dismissed?)
    }

    /// Brings the device of an endpoint home. One that is gone for good holds nobody up.
    fn take_back(&mut self, index: u32, endpoint: &Endpoint, loan: &Loan) -> Result<(), EndpointError> {
        let name = &loan.device.name;
        match device::give_back(self.netlink, self.netns, index, loan)? {
            Whereabouts::Home(now) if now == *name => {}
            Whereabouts::Home(now) => {
                self.losses.note(name, format!("came back as {now}, because another link has its name: rename them"));
            }
            Whereabouts::Elsewhere => return Err(EndpointError::DeviceAway(name.clone())),
            Whereabouts::Gone => {
                let (title, driver) = (endpoint.title(), &loan.device.driver);
                self.losses.note(name, format!("({driver}) is gone from this machine; {title} had it last"));
            }
        }
        Ok(())
    }

    /// What is wrong with an endpoint's host side; `None` if its link is gone.
    fn drift(&self, endpoint: &Endpoint) -> Option<Drift> {
        if endpoint.seat.is_some() {
            let at = (&segment_programs(self.dataplane), self.dataplane.parent_stub_ids());
            let repairs = station::repairs(&endpoint.key.host_link(), at, self.snapshot)?;
            return Some(Drift { repairs, is_throttled: true });
        }
        let Some(plan) = self.planned(endpoint) else {
            return Some(Drift { repairs: Vec::new(), is_throttled: true });
        };
        let programs = programs(self.dataplane);
        let repairs = endpoint::repairs(&plan, Some((&programs, self.dataplane.stub_ids())), self.snapshot)?;
        Some(Drift { repairs, is_throttled: endpoint::is_throttled(&plan, self.snapshot) })
    }

    /// The plan of an endpoint on a bridge that the snapshot has.
    fn planned(&self, endpoint: &Endpoint) -> Option<LinkPlan> {
        let bridge = attachment::bridge_name(endpoint).and_then(|name| self.snapshot.links.get(name.as_str()));
        plan(endpoint, bridge.map(|link| link.index))
    }

    fn bridge(&mut self, endpoint: &Endpoint) -> Result<Option<u32>, KernelError> {
        let Some(name) = attachment::bridge_name(endpoint) else { return Ok(None) };
        let absent = || KernelError::new("find bridge", name.as_str(), Errno::NODEV);
        link::find(self.netlink, name.as_str())?.map(|link| Some(link.index)).ok_or_else(absent)
    }
}

/// The number of an endpoint's link, by which the programs know it; `None` if the link is gone, or there never was any.
pub fn number(netlink: &mut Netlink, endpoint: &Endpoint) -> Result<Option<u32>, KernelError> {
    match endpoint.link {
        Some(number) => Ok(Some(number)),
        None => Ok(link::find(netlink, endpoint.key.host_link().as_str())?.map(|link| link.index)),
    }
}

/// What the host has of one endpoint.
pub fn read(netlink: &mut Netlink, endpoint: &Endpoint) -> Result<Snapshot, KernelError> {
    if let Some(seat) = &endpoint.seat {
        let mut snapshot = Snapshot::default();
        let name = parent::stand_in(seat).unwrap_or_else(|| endpoint.key.host_link());
        link::find(netlink, name.as_str())?.into_iter().for_each(|link| snapshot.add(link));
        snapshot.read_filtered(netlink)?;
        return Ok(snapshot);
    }
    let bridge = match attachment::bridge_name(endpoint) {
        Some(name) => link::find(netlink, name.as_str())?,
        None => None,
    };
    let Some(plan) = plan(endpoint, bridge.as_ref().map(|link| link.index)) else { return Ok(Snapshot::default()) };
    let mut snapshot = Snapshot::read_endpoint(netlink, &plan)?;
    bridge.into_iter().for_each(|bridge| snapshot.add(bridge));
    Ok(snapshot)
}

/// What a newborn's link needs of the agent.
pub struct Doorway<'a> {
    /// Numbers for links.
    pub indexes: &'a Indexes,
    /// The programs at the door.
    pub dataplane: &'a Dataplane,
    /// What policies say of it, if anybody asks them.
    pub policies: Option<&'a Policies>,
    /// Who is born.
    pub endpoint: &'a Endpoint,
    /// Number of its network's bridge, where it has one.
    pub bridge: Option<u32>,
}

impl Door for Doorway<'_> {
    fn next_index(&mut self) -> u32 {
        self.indexes.next()
    }

    fn programs(&self) -> Option<Programs<'_>> {
        Some(programs(self.dataplane))
    }

    fn admit(&mut self, index: u32, throttle: Option<u32>) -> Result<(), KernelError> {
        let detours = Detours { throttle, bridge: self.bridge, parent: None };
        let Some(admission) = admissions::admission(self.endpoint, detours) else { return Ok(()) };
        admissions::admit(self.dataplane, self.policies, index, self.endpoint, &admission)
    }
}

/// Whether a link of this name belongs to an endpoint.
pub fn is_endpoints(name: &str) -> bool {
    NAME_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn programs(dataplane: &Dataplane) -> Programs<'_> {
    let [out, into] = dataplane.stubs();
    Programs { out, into }
}

/// The same for one that is on a segment.
fn segment_programs(dataplane: &Dataplane) -> Programs<'_> {
    let [out, into] = dataplane.parent_stubs();
    Programs { out, into }
}

fn unnumbered(endpoint: &Endpoint) -> KernelError {
    KernelError::new("number link of", endpoint.key.to_string(), Errno::INVAL)
}

fn plan(endpoint: &Endpoint, bridge: Option<u32>) -> Option<LinkPlan> {
    attachment::kind(endpoint.attachment)?.link(endpoint, bridge)
}

fn neighbours(endpoint: &Endpoint, index: u32) -> Vec<Neighbour> {
    let Some(mac) = endpoint.mac else { return Vec::new() };
    endpoint.addresses.iter().map(|net| Neighbour { index, ip: net.addr(), mac }).collect()
}
