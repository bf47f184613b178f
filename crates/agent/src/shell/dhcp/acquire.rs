//! Birth and death: a caller that waits for an address, and one that gives it back.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::BorrowedFd;
use std::time::Duration;

use ipnet::IpNet;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use weft_dhcp::packet::icmp6::Advertisement;
use weft_dhcp::{Client, Event};
use weft_model::{Dns, Family, Grant, Lease};
use weft_netns::Netns;

use super::course::{Course, Ground, Turn};
use super::line::Line;
use super::{Asker, DhcpError, Want, Wishes, moment};

/// How long routers are waited for before DHCPv6 is asked without their advice; they answer within half a second (RFC
/// 4861, section 6.2.6).
const ROUTER_WAIT: Duration = Duration::from_secs(1);
/// How long a birth that has all it needs waits for what is merely welcome, from its beginning.
const WELCOME_WAIT: Duration = Duration::from_secs(2);
/// How long a death waits for a server to hear that an address is free.
const RELEASE_WAIT: Duration = Duration::from_millis(500);

/// Asks the LAN of the interface for addresses, and waits for them. The interface must be up. Nothing is set on it:
/// that is for the caller, who has probed addresses now, and no socket is left inside. `may_have` is asked about each
/// address before it is probed: one that must not be had is declined, and another asked for.
pub fn acquire(netns: &Netns, asker: &Asker, wishes: &Wishes, may_have: &mut MayHave<'_>) -> Result<Lease, DhcpError> {
    let mut birth = Birth::begin(netns, asker, wishes, may_have)?;
    loop {
        birth.turn();
        let passed = moment().now.saturating_sub(birth.began);
        let missing = birth.missing();
        match missing {
            None if birth.is_complete() || passed >= WELCOME_WAIT.min(wishes.timeout) => {
                birth.abandon();
                return Ok(birth.lease);
            }
            Some(family) if passed >= wishes.timeout => return Err(birth.fail(family)),
            _ => {}
        }
        let patience = if missing.is_none() { WELCOME_WAIT.min(wishes.timeout) } else { wishes.timeout };
        wait(&birth.sources(), birth.next(birth.began + patience))?;
    }
}

/// Tells the LAN that the addresses are on the interface: whoever remembers another's Ethernet address for them forgets
/// that. A neighbour that does not hear it asks anew before long.
pub fn announce(netns: &Netns, asker: &Asker, addresses: &[IpNet]) -> Result<(), DhcpError> {
    for net in addresses {
        if let IpAddr::V4(address) = net.addr() {
            Line::open(netns, asker, Family::IPv4, Some(address))?.announce(address)?;
        }
    }
    Ok(())
}

/// Gives back what `lease` grants. The addresses must be on the interface still, if servers are to believe it. Nobody
/// needs to hear it: what is not given back expires.
pub fn release(netns: &Netns, asker: &Asker, lease: &Lease) -> Result<(), DhcpError> {
    let until = moment().now + RELEASE_WAIT;
    let grants = lease.grants().cloned();
    let mut courses: Vec<Course> =
        grants.map(|grant| Course::new(Client::resume(asker.identity.clone(), None, grant))).collect();
    for course in &mut courses {
        let family = course.client.family();
        course.happen(Event::Release, &mut Site { netns, asker, family, may_have: &mut |_| true });
    }
    while courses.iter().any(|course| course.client.wake_at().is_some()) && moment().now < until {
        for course in &mut courses {
            let family = course.client.family();
            course.turn(&mut Site { netns, asker, family, may_have: &mut |_| true });
        }
        let due = courses.iter().filter_map(Course::due_at).min();
        let sources: Vec<_> = courses.iter().flat_map(Course::sources).collect();
        wait(&sources, due.map_or(until, |due| due.min(until)))?;
    }
    Ok(())
}

/// Says whether an address may be had, and by its answer that it is about to be.
pub type MayHave<'a> = dyn FnMut(IpAddr) -> bool + 'a;

/// A container's interface, as the clients of one family see it.
struct Site<'a, 'm> {
    netns: &'a Netns,
    asker: &'a Asker,
    family: Family,
    may_have: &'a mut MayHave<'m>,
}

impl Ground for Site<'_, '_> {
    fn open(&mut self, own: Option<Ipv4Addr>) -> Result<Line, DhcpError> {
        Line::open(self.netns, self.asker, self.family, own)
    }

    fn may_have(&mut self, address: IpAddr) -> bool {
        (self.may_have)(address)
    }
}

/// A birth that waits for its addresses.
struct Birth<'a, 'm> {
    may_have: &'a mut MayHave<'m>,
    netns: &'a Netns,
    asker: &'a Asker,
    wishes: &'a Wishes,
    began: Duration,
    courses: Vec<Course>,
    /// DHCPv6 is asked.
    asks_v6: bool,
    /// It is known that there is nothing to ask DHCPv6 for.
    needs_no_v6: bool,
    lease: Lease,
}

impl<'a, 'm> Birth<'a, 'm> {
    fn begin(
        netns: &'a Netns,
        asker: &'a Asker,
        wishes: &'a Wishes,
        may_have: &'a mut MayHave<'m>,
    ) -> Result<Self, DhcpError> {
        let began = moment().now;
        let (asks_v6, needs_no_v6, courses, lease) = (false, false, Vec::new(), Lease::default());
        let mut birth = Self { may_have, netns, asker, wishes, began, courses, asks_v6, needs_no_v6, lease };
        for (family, want) in [(Family::IPv4, wishes.v4), (Family::IPv6, wishes.v6)] {
            if want == Want::Unwanted {
                continue;
            }
            let mut course = Course::new(Client::fresh(family, asker.identity.clone(), wishes.hostname.as_deref()));
            let line = course.open(Line::open(netns, asker, family, None)?);
            match family {
                Family::IPv4 => {
                    let may_have = &mut *birth.may_have;
                    course.happen(Event::Start, &mut Site { netns, asker, family, may_have });
                }
                // Without a router there may still be a server.
                Family::IPv6 => line.solicit_routers().unwrap_or_else(|error| tracing::debug!(%error, "no router")),
            }
            birth.courses.push(course);
        }
        Ok(birth)
    }

    fn turn(&mut self) {
        for course in &mut self.courses {
            let family = course.client.family();
            let (netns, asker, may_have) = (self.netns, self.asker, &mut *self.may_have);
            let turns = course.turn(&mut Site { netns, asker, family, may_have });
            for turn in turns {
                note(&mut self.lease, family, turn);
            }
        }
        self.heed_routers();
    }

    /// Decides whether the kernel forms an address, or DHCPv6 is asked for one.
    fn heed_routers(&mut self) {
        let began = self.began;
        let Some(course) = self.courses.iter_mut().find(|course| course.client.family() == Family::IPv6) else {
            return;
        };
        if let Some(router) = &course.router {
            self.lease.autoconfigured |= !router.autonomous.is_empty() && self.asker.outside.is_none();
            self.lease.advertised = said(router);
            self.needs_no_v6 = !router.managed;
        }
        let is_managed = course.router.as_ref().is_some_and(|router| router.managed);
        let is_unrouted = course.router.is_none() && moment().now >= began + ROUTER_WAIT;
        if !self.asks_v6 && (is_managed || is_unrouted) {
            self.asks_v6 = true;
            let (netns, asker, may_have) = (self.netns, self.asker, &mut *self.may_have);
            course.happen(Event::Start, &mut Site { netns, asker, family: Family::IPv6, may_have });
        }
    }

    fn has(&self, family: Family) -> bool {
        match family {
            Family::IPv4 => self.lease.v4.is_some(),
            Family::IPv6 => self.lease.v6.is_some() || (self.needs_no_v6 && self.lease.autoconfigured),
        }
    }

    /// A family without which there is no birth, and that has no address yet.
    fn missing(&self) -> Option<Family> {
        let wanted = [(Family::IPv4, self.wishes.v4), (Family::IPv6, self.wishes.v6)];
        let mut required = wanted.into_iter().filter(|(_, want)| *want == Want::Required).map(|(family, _)| family);
        required.find(|family| !self.has(*family))
    }

    /// Nothing more is to come.
    fn is_complete(&self) -> bool {
        let is_settled = |family| self.has(family) || (family == Family::IPv6 && self.needs_no_v6);
        self.courses.iter().map(|course| course.client.family()).all(is_settled)
    }

    fn sources(&self) -> Vec<BorrowedFd<'_>> {
        self.courses.iter().flat_map(Course::sources).collect()
    }

    /// When there is something to do, whatever comes in.
    fn next(&self, until: Duration) -> Duration {
        let router = (!self.asks_v6 && !self.needs_no_v6).then_some(self.began + ROUTER_WAIT);
        let due = self.courses.iter().filter_map(Course::due_at);
        due.chain(router).fold(until, Duration::min)
    }

    /// Gives back what was granted a moment ago, and is not in the lease yet.
    fn abandon(&mut self) {
        let (netns, asker) = (self.netns, self.asker);
        for course in self.courses.iter_mut().filter(|course| course.client.grant().is_none()) {
            let family = course.client.family();
            course.happen(Event::Release, &mut Site { netns, asker, family, may_have: &mut |_| true });
        }
    }

    /// Gives back what was got, and says what was not.
    fn fail(mut self, family: Family) -> DhcpError {
        self.abandon();
        if let Err(error) = release(self.netns, self.asker, &self.lease) {
            tracing::debug!(%error, "a lease is not given back");
        }
        let ifname = self.asker.ifname.clone();
        let course = self.courses.into_iter().find(|course| course.client.family() == family);
        if family == Family::IPv6 && self.needs_no_v6 {
            let is_sharing = self.asker.outside.is_some();
            return if is_sharing { DhcpError::Unformed(ifname) } else { DhcpError::Unmanaged(ifname) };
        }
        let (answers, conflicts, failure) =
            course.map_or((0, 0, None), |course| (course.answers, course.conflicts, course.failure));
        DhcpError::Silent { ifname, family, timeout: self.wishes.timeout, answers, conflicts, failure }
    }
}

/// Writes down what became of a client.
pub(super) fn note(lease: &mut Lease, family: Family, turn: Turn) {
    let grant: Option<Grant> = match turn {
        Turn::Held(grant, _) => Some(grant),
        Turn::Lost(..) => None,
    };
    match family {
        Family::IPv4 => lease.v4 = grant,
        Family::IPv6 => lease.v6 = grant,
    }
}

fn said(router: &Advertisement) -> Dns {
    Dns { servers: router.dns.clone(), searches: router.search.clone(), options: Vec::new() }
}

/// Waits until something comes in, or it is `until` (since boot).
pub(super) fn wait(sources: &[BorrowedFd<'_>], until: Duration) -> Result<(), DhcpError> {
    // A millisecond more, so that what is due is due when it ends.
    let left = until.saturating_sub(moment().now) + Duration::from_millis(1);
    let seconds = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
    let timeout = Timespec { tv_sec: seconds, tv_nsec: left.subsec_nanos().into() };
    let mut polled: Vec<_> = sources.iter().map(|source| PollFd::from_borrowed_fd(*source, PollFlags::IN)).collect();
    match rustix::event::poll(&mut polled, Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(weft_kernel::KernelError::new("wait for", "DHCP answers", errno).into()),
    }
}
