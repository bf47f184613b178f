//! The client of RFC 8415, section 18.2, for one address: one state, one step at a time.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use weft_model::{Duid, Grant, LeaseServer};

use super::message::{Kind, Message, code, encode_option};
use super::reply::{Association, Reply};
use crate::client::{Effect, Event, Held, Loss, Moment, Outgoing, compare, setback_wait};
use crate::probe::{Next, Probe};
use crate::{Identity, names};

/// Clients that all start with their host do not ask all at once: RFC 8415, section 18.2.1, has up to a second
/// (SOL_MAX_DELAY), which a container's birth would spend on nothing.
const START_DELAY_MAX: Duration = Duration::from_millis(100);
/// The advertisement that is taken without waiting for others (RFC 8415, section 18.2.1).
const PREFERENCE_MAX: u8 = 255;

/// How a message is repeated (RFC 8415, sections 7.6 and 15).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Repetition {
    /// IRT.
    first: Duration,
    /// MRT; none if there is no count either.
    longest: Option<Duration>,
    /// MRC.
    count_max: Option<u32>,
}

const SOLICIT: Repetition = repetition(1, Some(3600), None);
const REQUEST: Repetition = repetition(1, Some(30), Some(10));
const RENEW: Repetition = repetition(10, Some(600), None);
const RELEASE: Repetition = repetition(1, None, Some(4));
const DECLINE: Repetition = repetition(1, None, Some(4));

const fn repetition(first_s: u64, longest_s: Option<u64>, count_max: Option<u32>) -> Repetition {
    let longest = match longest_s {
        Some(seconds) => Some(Duration::from_secs(seconds)),
        None => None,
    };
    Repetition { first: Duration::from_secs(first_s), longest, count_max }
}

impl Repetition {
    /// RT, from the one before (RFC 8415, section 15).
    fn next(self, before: Option<Duration>, moment: Moment) -> Duration {
        let wait = before.map_or(self.first, |before| before * 2);
        let wait = self.longest.map_or(wait, |longest| wait.min(longest));
        moment.jitter(wait, wait / 10)
    }
}

/// A message and its repetitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asking {
    xid: u32,
    began: Moment,
    count: u32,
    wait: Duration,
    until: Duration,
}

impl Asking {
    fn again(before: Option<Self>, repetition: Repetition, moment: Moment) -> Self {
        let wait = repetition.next(before.map(|asking| asking.wait), moment);
        let until = moment.now + wait;
        match before {
            Some(asking) => Self { count: asking.count.saturating_add(1), wait, until, ..asking },
            None => Self { xid: moment.transaction() & 0xff_ffff, began: moment, count: 1, wait, until },
        }
    }

    fn is_spent(&self, repetition: Repetition) -> bool {
        repetition.count_max.is_some_and(|most| self.count >= most)
    }
}

/// A server and the address that it has for us.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Choice {
    server: Duid,
    address: Ipv6Addr,
    preference: u8,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Not started, or released.
    Idle,
    /// Before the next solicitation.
    Waiting { until: Duration },
    /// Gathers advertisements.
    Soliciting { asking: Asking, best: Option<Choice> },
    /// Has chosen a server.
    Requesting { asking: Asking, choice: Choice },
    /// Granted, but not yet in use.
    Probing { grant: Grant, probe: Probe },
    /// Nothing to do until T1.
    Bound { grant: Grant },
    /// From T1 on, its server is asked.
    Renewing { grant: Grant, asking: Asking },
    /// From T2 on, all servers are.
    Rebinding { grant: Grant, asking: Asking },
    /// Tells a server that another host has its address, or that it is needed no more.
    Leaving { asking: Asking, choice: Choice, goes_on: bool },
}

/// A DHCPv6 client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    identity: Identity,
    hostname: Option<String>,
    state: State,
    /// Refusals and conflicts since the last success.
    setbacks: u32,
}

impl Client {
    /// A client that has nothing yet.
    pub fn fresh(identity: Identity, hostname: Option<&str>) -> Self {
        let hostname = hostname.and_then(names::host_label).map(str::to_owned);
        Self { identity, hostname, state: State::Idle, setbacks: 0 }
    }

    /// A client that holds `grant`.
    pub fn resume(identity: Identity, hostname: Option<&str>, grant: Grant) -> Self {
        Self { state: State::Bound { grant }, ..Self::fresh(identity, hostname) }
    }

    /// What it holds.
    pub fn grant(&self) -> Option<&Grant> {
        match &self.state {
            State::Bound { grant } | State::Renewing { grant, .. } | State::Rebinding { grant, .. } => Some(grant),
            _ => None,
        }
    }

    /// Whether it waits for an answer.
    pub fn is_listening(&self) -> bool {
        !matches!(self.state, State::Idle | State::Waiting { .. } | State::Bound { .. })
    }

    /// When it wants to be woken.
    pub fn wake_at(&self) -> Option<Duration> {
        match &self.state {
            State::Idle => None,
            State::Waiting { until } => Some(*until),
            State::Soliciting { asking, .. } | State::Requesting { asking, .. } | State::Leaving { asking, .. } => {
                Some(asking.until)
            }
            State::Probing { probe, .. } => Some(probe.until),
            State::Bound { grant } => grant.times.lifetime_s.map(|_| since(grant, grant.times.renew_s)),
            State::Renewing { grant, asking } => Some(asking.until.min(since(grant, grant.times.rebind_s))),
            State::Rebinding { grant, asking } => Some(end(grant).map_or(asking.until, |end| asking.until.min(end))),
        }
    }

    /// Goes on by one step. Whatever happens, what is over is lost first.
    pub fn step(&mut self, event: Event<'_>, moment: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.expire(moment, &mut effects);
        match event {
            Event::Start if self.state == State::Idle => self.wait_a_moment(moment),
            Event::Start => {}
            Event::Wake if self.wake_at().is_some_and(|at| at <= moment.now) => self.wake(moment, &mut effects),
            Event::Wake => {}
            Event::Received(bytes) => self.receive(bytes, moment, &mut effects),
            Event::Claimed(address) => self.yield_to_another(address, moment, &mut effects),
            Event::Release => self.release(moment, &mut effects),
        }
        effects
    }

    fn expire(&mut self, moment: Moment, effects: &mut Vec<Effect>) {
        let Some(grant) = self.grant() else { return };
        if end(grant).is_some_and(|end| end <= moment.now) {
            effects.push(Effect::Lose(grant.address, Loss::Expired));
            self.wait_a_moment(moment);
        }
    }

    fn wake(&mut self, moment: Moment, effects: &mut Vec<Effect>) {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle => {}
            State::Waiting { .. } => self.solicit(None, moment, effects),
            State::Soliciting { best: Some(choice), .. } => self.request(None, choice, moment, effects),
            State::Soliciting { asking, best: None } => self.solicit(Some(asking), moment, effects),
            State::Requesting { asking, .. } if asking.is_spent(REQUEST) => self.solicit(None, moment, effects),
            State::Requesting { asking, choice } => self.request(Some(asking), choice, moment, effects),
            State::Probing { grant, probe } => self.probe(grant, probe, moment, effects),
            State::Bound { grant } => self.extend(grant, None, moment, effects),
            State::Renewing { grant, asking } => {
                let is_over = moment.now >= since(&grant, grant.times.rebind_s);
                self.extend(grant, Some(asking).filter(|_| !is_over), moment, effects);
            }
            State::Rebinding { grant, asking } => self.extend(grant, Some(asking), moment, effects),
            State::Leaving { asking, goes_on, .. } if asking.is_spent(RELEASE) => self.left(goes_on, moment),
            State::Leaving { asking, choice, goes_on } => self.leave(Some(asking), choice, goes_on, moment, effects),
        }
    }

    fn solicit(&mut self, before: Option<Asking>, moment: Moment, effects: &mut Vec<Effect>) {
        let asking = Asking::again(before, SOLICIT, moment);
        effects.push(self.message(Kind::Solicit, &asking, None, None, moment));
        self.state = State::Soliciting { asking, best: None };
    }

    fn request(&mut self, before: Option<Asking>, choice: Choice, moment: Moment, effects: &mut Vec<Effect>) {
        let asking = Asking::again(before, REQUEST, moment);
        effects.push(self.message(Kind::Request, &asking, Some(&choice.server), Some(choice.address), moment));
        self.state = State::Requesting { asking, choice };
    }

    /// Asks for more time: its server until T2, and then all of them.
    fn extend(&mut self, grant: Grant, before: Option<Asking>, moment: Moment, effects: &mut Vec<Effect>) {
        let Some(choice) = choice(&grant) else { return };
        let asking = Asking::again(before, RENEW, moment);
        if moment.now < since(&grant, grant.times.rebind_s) {
            effects.push(self.message(Kind::Renew, &asking, Some(&choice.server), Some(choice.address), moment));
            self.state = State::Renewing { grant, asking };
        } else {
            effects.push(self.message(Kind::Rebind, &asking, None, Some(choice.address), moment));
            self.state = State::Rebinding { grant, asking };
        }
    }

    fn probe(&mut self, grant: Grant, mut probe: Probe, moment: Moment, effects: &mut Vec<Effect>) {
        match probe.step(moment.now) {
            Next::Ask => effects.push(Effect::Probe(grant.address.addr())),
            Next::Listen => {}
            // A host may sleep while it probes.
            Next::Free if end(&grant).is_some_and(|end| end <= moment.now) => {
                self.wait_a_moment(moment);
                return;
            }
            Next::Free => {
                effects.push(Effect::Hold(grant.clone(), Held::Anew));
                self.setbacks = 0;
                self.state = State::Bound { grant };
                return;
            }
        }
        self.state = State::Probing { grant, probe };
    }

    fn receive(&mut self, bytes: &[u8], moment: Moment, effects: &mut Vec<Effect>) {
        let Ok(message) = Message::decode(bytes) else { return };
        let Some(reply) = Reply::read(&message, &self.identity) else { return };
        match (std::mem::replace(&mut self.state, State::Idle), reply.kind) {
            (State::Soliciting { asking, best }, kind) if reply.xid == asking.xid => {
                self.solicited(&reply, kind, (asking, best), moment, effects);
            }
            (State::Requesting { asking, choice }, Kind::Reply)
                if reply.xid == asking.xid && reply.server == choice.server =>
            {
                match reply.grant(asking.began).filter(|_| reply.is_success) {
                    Some(grant) => self.granted(grant, moment, effects),
                    // The server has changed its mind.
                    None => self.set_back(moment),
                }
            }
            (State::Renewing { grant, asking }, Kind::Reply)
                if reply.xid == asking.xid && LeaseServer::Duid(reply.server.clone()) == grant.server =>
            {
                let state = State::Renewing { grant: grant.clone(), asking };
                self.extended(&reply, grant, (asking, state), moment, effects);
            }
            (State::Rebinding { grant, asking }, Kind::Reply) if reply.xid == asking.xid => {
                let state = State::Rebinding { grant: grant.clone(), asking };
                self.extended(&reply, grant, (asking, state), moment, effects);
            }
            (State::Leaving { asking, choice, goes_on }, Kind::Reply)
                if reply.xid == asking.xid && reply.server == choice.server =>
            {
                self.left(goes_on, moment);
            }
            (state, _) => self.state = state,
        }
    }

    /// An answer to a solicitation: the best one is taken when the first wait is over (RFC 8415, section 18.2.1), one
    /// that wants it more than all others at once, and a rapid one too.
    fn solicited(
        &mut self,
        reply: &Reply,
        kind: Kind,
        (asking, best): (Asking, Option<Choice>),
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let grant = reply.grant(asking.began).filter(|_| reply.is_success);
        let offered = match (grant, kind) {
            (Some(grant), Kind::Reply) if reply.is_rapid => return self.granted(grant, moment, effects),
            (Some(grant), Kind::Advertise) => choice(&grant),
            _ => None,
        };
        let offered = offered.map(|choice| Choice { preference: reply.preference, ..choice });
        let better = |offered: &Choice| best.as_ref().is_none_or(|best| best.preference < offered.preference);
        let best = offered.filter(better).or(best);
        match best {
            // Who had to be asked twice is taken at once.
            Some(choice) if choice.preference == PREFERENCE_MAX || asking.count > 1 => {
                self.request(None, choice, moment, effects);
            }
            best => self.state = State::Soliciting { asking, best },
        }
    }

    fn granted(&mut self, grant: Grant, moment: Moment, effects: &mut Vec<Effect>) {
        effects.push(Effect::Probe(grant.address.addr()));
        self.state = State::Probing { grant, probe: Probe::begun(moment.now) };
    }

    /// A server answers to the wish for more time. What it says may be of no use: then the question stays open.
    fn extended(
        &mut self,
        reply: &Reply,
        grant: Grant,
        (asking, state): (Asking, State),
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let extended = reply.grant(asking.began).filter(|extended| extended.address == grant.address);
        match (&reply.association, extended.filter(|_| reply.is_success), choice(&grant)) {
            (_, Some(extended), _) => {
                effects.push(Effect::Hold(extended.clone(), compare(&grant, &extended)));
                self.state = State::Bound { grant: extended };
                self.expire(moment, effects);
            }
            // It has forgotten us: the same address may still be had (RFC 8415, section 18.2.10.1).
            (Association::Unknown, None, Some(choice)) => {
                effects.push(Effect::Lose(grant.address, Loss::Refused));
                self.request(None, Choice { server: reply.server.clone(), ..choice }, moment, effects);
            }
            (Association::Over(address), None, _) if IpAddr::V6(*address) == grant.address.addr() => {
                effects.push(Effect::Lose(grant.address, Loss::Refused));
                self.set_back(moment);
            }
            _ => self.state = state,
        }
    }

    /// Gives up an address that another host has, before it was used (RFC 8415, section 18.2.8).
    fn yield_to_another(&mut self, claimed: IpAddr, moment: Moment, effects: &mut Vec<Effect>) {
        let State::Probing { grant, .. } = &self.state else { return };
        if let Some(choice) = choice(grant).filter(|choice| IpAddr::V6(choice.address) == claimed) {
            self.leave(None, choice, true, moment, effects);
        }
    }

    fn release(&mut self, moment: Moment, effects: &mut Vec<Effect>) {
        let held = self.grant().map(|grant| grant.address);
        effects.extend(held.map(|address| Effect::Lose(address, Loss::Released)));
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Bound { grant }
            | State::Renewing { grant, .. }
            | State::Rebinding { grant, .. }
            | State::Probing { grant, .. } => {
                if let Some(choice) = choice(&grant) {
                    self.leave(None, choice, false, moment, effects);
                }
            }
            State::Leaving { asking, choice, .. } => self.state = State::Leaving { asking, choice, goes_on: false },
            State::Idle | State::Waiting { .. } | State::Soliciting { .. } | State::Requesting { .. } => {}
        }
    }

    /// Declines the address, and goes on; or releases it, and does not.
    fn leave(
        &mut self,
        before: Option<Asking>,
        choice: Choice,
        goes_on: bool,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let (kind, repetition) = if goes_on { (Kind::Decline, DECLINE) } else { (Kind::Release, RELEASE) };
        let asking = Asking::again(before, repetition, moment);
        effects.push(self.message(kind, &asking, Some(&choice.server), Some(choice.address), moment));
        self.state = State::Leaving { asking, choice, goes_on };
    }

    fn left(&mut self, goes_on: bool, moment: Moment) {
        if goes_on {
            self.set_back(moment);
        }
    }

    fn wait_a_moment(&mut self, moment: Moment) {
        self.state = State::Waiting { until: moment.now + moment.delay(START_DELAY_MAX) };
    }

    fn set_back(&mut self, moment: Moment) {
        self.setbacks = self.setbacks.saturating_add(1);
        self.state = State::Waiting { until: moment.now + setback_wait(self.setbacks, moment) };
    }

    fn message(
        &self,
        kind: Kind,
        asking: &Asking,
        server: Option<&Duid>,
        address: Option<Ipv6Addr>,
        moment: Moment,
    ) -> Effect {
        let hundredths = moment.now.saturating_sub(asking.began.now).as_millis() / 10;
        let elapsed = u16::try_from(hundredths).unwrap_or(u16::MAX);
        let mut options = vec![(code::CLIENT_ID, self.identity.duid().to_vec())];
        options.extend(server.map(|duid| (code::SERVER_ID, duid.bytes().to_vec())));
        options.push((code::ELAPSED_TIME, elapsed.to_be_bytes().to_vec()));
        options.push((code::IA_NA, self.association(address)));
        if kind == Kind::Solicit {
            options.push((code::RAPID_COMMIT, Vec::new()));
        }
        if !matches!(kind, Kind::Decline | Kind::Release) {
            let wanted = [code::DNS, code::SEARCH].map(u16::to_be_bytes).concat();
            options.push((code::OPTION_REQUEST, wanted));
            options.extend(self.hostname.as_ref().map(|name| (code::CLIENT_FQDN, fqdn(name))));
        }
        let message = Message { kind, xid: asking.xid, options }.encode();
        Effect::Send(Outgoing { message, from: None, to: None })
    }

    fn association(&self, address: Option<Ipv6Addr>) -> Vec<u8> {
        // T1 and T2 are the server's to say.
        let mut value = [self.identity.iaid(), 0, 0].map(u32::to_be_bytes).concat();
        if let Some(address) = address {
            encode_option(code::IA_ADDRESS, &[&address.octets()[..], &[0; 8]].concat(), &mut value);
        }
        value
    }
}

/// A name without a domain, which the server is to complete (RFC 4704, section 4.2).
fn fqdn(label: &str) -> Vec<u8> {
    let length = u8::try_from(label.len()).expect("a label is of 63 bytes at most");
    [&[0, length][..], label.as_bytes()].concat()
}

fn choice(grant: &Grant) -> Option<Choice> {
    match (&grant.server, grant.address.addr()) {
        (LeaseServer::Duid(server), IpAddr::V6(address)) => {
            Some(Choice { server: server.clone(), address, preference: 0 })
        }
        _ => None,
    }
}

/// So many seconds into the grant.
fn since(grant: &Grant, seconds: u32) -> Duration {
    Duration::from_secs(grant.times.granted_s.saturating_add(seconds.into()))
}

fn end(grant: &Grant) -> Option<Duration> {
    grant.times.end_s().map(Duration::from_secs)
}
