//! The client of RFC 2131, section 4.4: one state, one step at a time.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use weft_model::{Grant, LeaseServer};

use super::message::{Kind, Message, Op, code};
use super::terms::Terms;
use crate::client::{Effect, Event, Held, Loss, Moment, Outgoing, compare, setback_wait};
use crate::probe::{Next, Probe};
use crate::{Identity, names};

/// Until the first question is asked again (RFC 2131, section 4.1); each further wait is twice as long.
const ANSWER_WAIT: Duration = Duration::from_secs(4);
/// The longest of these waits.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(64);
/// Each is longer or shorter by up to so much.
const ANSWER_JITTER: Duration = Duration::from_secs(1);
/// How often an offer is asked for before another is looked for (RFC 2131, section 3.1.5: four, which take a minute).
const REQUESTS_MAX: u32 = 4;
/// Shortest wait between two questions for an extension (RFC 2131, section 4.4.5).
const EXTENSION_WAIT_MIN: Duration = Duration::from_secs(60);
/// Of a lease that is shorter than sixteen times that, this part is the shortest wait.
const EXTENSION_WAIT_PART: u32 = 16;
/// Longest message that is taken, in bytes: what fits one Ethernet frame.
const MESSAGE_BYTES_MAX: u16 = 1500;
/// Clients that all start with their host do not ask all at once: RFC 2131, section 4.4.1, has one to ten seconds,
/// which no container's birth can wait.
const START_DELAY_MAX: Duration = Duration::from_millis(100);

/// What the client wants to know; classless routes come before routers (RFC 3442).
const PARAMETERS: &[u8] = &[
    code::SUBNET_MASK,
    code::CLASSLESS_ROUTES,
    code::ROUTER,
    code::DNS,
    code::DOMAIN,
    code::SEARCH,
    code::MTU,
    code::LEASE_TIME,
    code::SERVER_ID,
    code::RENEWAL_TIME,
    code::REBINDING_TIME,
];

/// A question and its repetitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asking {
    xid: u32,
    /// When it was asked first.
    began: Moment,
    /// How often it was asked.
    count: u32,
    /// When it is asked again, or given up.
    until: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Not started, or released.
    Idle,
    /// INIT, after a pause.
    Waiting { until: Duration },
    /// SELECTING.
    Selecting(Asking),
    /// REQUESTING.
    Requesting { asking: Asking, terms: Terms },
    /// Acknowledged, but not yet in use.
    Probing { grant: Grant, probe: Probe },
    /// BOUND.
    Bound { grant: Grant },
    /// RENEWING: its server is asked.
    Renewing { grant: Grant, asking: Asking },
    /// REBINDING: all servers are.
    Rebinding { grant: Grant, asking: Asking },
}

/// A DHCPv4 client.
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
            State::Selecting(asking) | State::Requesting { asking, .. } => Some(asking.until),
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
            Event::Start if self.state == State::Idle => {
                self.state = State::Waiting { until: moment.now + moment.delay(START_DELAY_MAX) };
            }
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
            self.state = State::Waiting { until: moment.now + moment.delay(START_DELAY_MAX) };
        }
    }

    fn wake(&mut self, moment: Moment, effects: &mut Vec<Effect>) {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle => {}
            State::Waiting { .. } => self.discover(None, moment, effects),
            State::Selecting(asking) => self.discover(Some(asking), moment, effects),
            State::Requesting { asking, .. } if asking.count >= REQUESTS_MAX => self.discover(None, moment, effects),
            State::Requesting { asking, terms } => self.request(Some(asking), terms, moment, effects),
            State::Probing { grant, probe } => self.probe(grant, probe, moment, effects),
            State::Bound { grant } => self.extend(grant, None, moment, effects),
            State::Renewing { grant, asking } => {
                let is_over = moment.now >= since(&grant, grant.times.rebind_s);
                self.extend(grant, Some(asking).filter(|_| !is_over), moment, effects);
            }
            State::Rebinding { grant, asking } => self.extend(grant, Some(asking), moment, effects),
        }
    }

    /// Asks who has an address.
    fn discover(&mut self, before: Option<Asking>, moment: Moment, effects: &mut Vec<Effect>) {
        let asking = asked_again(before, moment, |count| answer_wait(count, moment));
        effects.push(self.everybody(self.message(Kind::Discover, &asking, moment)));
        self.state = State::Selecting(asking);
    }

    /// Asks for what was offered.
    fn request(&mut self, before: Option<Asking>, terms: Terms, moment: Moment, effects: &mut Vec<Effect>) {
        let asking = asked_again(before, moment, |count| answer_wait(count, moment));
        let mut message = self.message(Kind::Request, &asking, moment);
        message.options.insert(code::REQUESTED_ADDRESS, terms.address.addr().octets().into());
        message.options.insert(code::SERVER_ID, terms.server.octets().into());
        effects.push(self.everybody(message));
        self.state = State::Requesting { asking, terms };
    }

    /// Asks for more time: its server until T2, and then all of them.
    fn extend(&mut self, grant: Grant, before: Option<Asking>, moment: Moment, effects: &mut Vec<Effect>) {
        let (IpAddr::V4(address), Some(end)) = (grant.address.addr(), end(&grant)) else { return };
        let server = server(&grant);
        let rebind = since(&grant, grant.times.rebind_s);
        let is_renewing = moment.now < rebind && server.is_some();
        let left = if is_renewing { rebind } else { end }.saturating_sub(moment.now);
        let shortest = Duration::from_secs(grant.times.lifetime_s.unwrap_or(0).into()) / EXTENSION_WAIT_PART;
        let shortest = shortest.clamp(Duration::from_secs(1), EXTENSION_WAIT_MIN);
        let asking = asked_again(before, moment, |_| moment.jitter((left / 2).max(shortest), shortest / 8));
        let mut message = self.message(Kind::Request, &asking, moment);
        message.ciaddr = address;
        // It can be reached by its address already.
        message.broadcast = false;
        let to = server.filter(|_| is_renewing);
        effects.push(Effect::Send(Outgoing { message: message.encode(), from: Some(address), to }));
        self.state = if is_renewing { State::Renewing { grant, asking } } else { State::Rebinding { grant, asking } };
    }

    fn probe(&mut self, grant: Grant, mut probe: Probe, moment: Moment, effects: &mut Vec<Effect>) {
        match probe.step(moment.now) {
            Next::Ask => effects.push(Effect::Probe(grant.address.addr())),
            Next::Listen => {}
            // A host may sleep while it probes.
            Next::Free if end(&grant).is_some_and(|end| end <= moment.now) => {
                self.state = State::Waiting { until: moment.now + moment.delay(START_DELAY_MAX) };
                return;
            }
            Next::Free => {
                if let IpAddr::V4(address) = grant.address.addr() {
                    effects.push(Effect::Announce(address));
                }
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
        let Some(kind) = message.kind().filter(|_| self.is_for_us(&message)) else { return };
        match (std::mem::replace(&mut self.state, State::Idle), kind) {
            (State::Selecting(asking), Kind::Offer) if message.xid == asking.xid => match Terms::read(&message) {
                Ok(terms) => self.request(None, terms, moment, effects),
                Err(_) => self.state = State::Selecting(asking),
            },
            (State::Requesting { asking, terms }, Kind::Ack | Kind::Nak)
                if message.xid == asking.xid && message.address(code::SERVER_ID) == Some(terms.server) =>
            {
                match Terms::read(&message) {
                    _ if kind == Kind::Nak => self.set_back(moment),
                    Ok(granted) if granted.address.addr() == terms.address.addr() => {
                        let grant = granted.grant(asking.began);
                        effects.push(Effect::Probe(grant.address.addr()));
                        self.state = State::Probing { grant, probe: Probe::begun(moment.now) };
                    }
                    // Another address than the one that was asked for, or none that could be used.
                    Ok(_) | Err(_) => self.state = State::Requesting { asking, terms },
                }
            }
            (State::Renewing { grant, asking }, Kind::Ack | Kind::Nak)
                if message.xid == asking.xid && message.address(code::SERVER_ID) == server(&grant) =>
            {
                let state = State::Renewing { grant: grant.clone(), asking };
                self.extended(&message, kind, grant, (asking, state), moment, effects);
            }
            (State::Rebinding { grant, asking }, Kind::Ack | Kind::Nak) if message.xid == asking.xid => {
                let state = State::Rebinding { grant: grant.clone(), asking };
                self.extended(&message, kind, grant, (asking, state), moment, effects);
            }
            (state, _) => self.state = state,
        }
    }

    /// A server answers to the wish for more time. What it says may be of no use: then the question stays open.
    fn extended(
        &mut self,
        message: &Message,
        kind: Kind,
        grant: Grant,
        (asking, state): (Asking, State),
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) {
        match Terms::read(message) {
            _ if kind == Kind::Nak => {
                effects.push(Effect::Lose(grant.address, Loss::Refused));
                self.set_back(moment);
            }
            Ok(terms) if IpAddr::V4(terms.address.addr()) == grant.address.addr() => {
                let extended = terms.grant(asking.began);
                effects.push(Effect::Hold(extended.clone(), compare(&grant, &extended)));
                self.state = State::Bound { grant: extended };
                self.expire(moment, effects);
            }
            Ok(_) | Err(_) => self.state = state,
        }
    }

    /// Gives up an address that another host has, before it was used (RFC 2131, section 3.1.5).
    fn yield_to_another(&mut self, claimed: IpAddr, moment: Moment, effects: &mut Vec<Effect>) {
        let State::Probing { grant, .. } = &self.state else { return };
        let (IpAddr::V4(address), Some(server)) = (grant.address.addr(), server(grant)) else { return };
        if claimed != grant.address.addr() {
            return;
        }
        let asking = asked_again(None, moment, |_| Duration::ZERO);
        let mut message = self.message(Kind::Decline, &asking, moment);
        message.options.insert(code::REQUESTED_ADDRESS, address.octets().into());
        message.options.insert(code::SERVER_ID, server.octets().into());
        effects.push(self.everybody(message));
        self.set_back(moment);
    }

    /// Gives an address back. Nobody answers to that.
    fn release(&mut self, moment: Moment, effects: &mut Vec<Effect>) {
        let state = std::mem::replace(&mut self.state, State::Idle);
        let (grant, is_held) = match state {
            State::Bound { grant } | State::Renewing { grant, .. } | State::Rebinding { grant, .. } => (grant, true),
            State::Probing { grant, .. } => (grant, false),
            State::Idle | State::Waiting { .. } | State::Selecting(_) | State::Requesting { .. } => return,
        };
        let (IpAddr::V4(address), Some(server)) = (grant.address.addr(), server(&grant)) else { return };
        let asking = asked_again(None, moment, |_| Duration::ZERO);
        let mut message = self.message(Kind::Release, &asking, moment);
        message.ciaddr = address;
        message.broadcast = false;
        message.options.insert(code::SERVER_ID, server.octets().into());
        effects.push(Effect::Send(Outgoing { message: message.encode(), from: Some(address), to: Some(server) }));
        if is_held {
            effects.push(Effect::Lose(grant.address, Loss::Released));
        }
    }

    fn set_back(&mut self, moment: Moment) {
        self.setbacks = self.setbacks.saturating_add(1);
        self.state = State::Waiting { until: moment.now + setback_wait(self.setbacks, moment) };
    }

    /// Whether a server says this, and to nobody else. Some servers name the client they mean (RFC 6842).
    fn is_for_us(&self, message: &Message) -> bool {
        let client_id = message.options.get(&code::CLIENT_ID);
        let is_to_us = message.chaddr == self.identity.mac;
        message.op == Op::Reply && is_to_us && client_id.is_none_or(|id| *id == self.identity.client_id())
    }

    fn message(&self, kind: Kind, asking: &Asking, moment: Moment) -> Message {
        let mut options =
            BTreeMap::from([(code::MESSAGE_TYPE, vec![kind as u8]), (code::CLIENT_ID, self.identity.client_id())]);
        if matches!(kind, Kind::Discover | Kind::Request) {
            options.insert(code::PARAMETERS, PARAMETERS.to_vec());
            options.insert(code::MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX.to_be_bytes().into());
            options.extend(self.hostname.as_ref().map(|name| (code::HOST_NAME, name.clone().into_bytes())));
        }
        let secs = moment.now.saturating_sub(asking.began.now).as_secs();
        Message {
            op: Op::Request,
            xid: asking.xid,
            secs: u16::try_from(secs).unwrap_or(u16::MAX),
            // An ipvlan link only hears unicast to addresses that it has; others may filter it too.
            broadcast: !matches!(kind, Kind::Decline | Kind::Release),
            ciaddr: Ipv4Addr::UNSPECIFIED,
            yiaddr: Ipv4Addr::UNSPECIFIED,
            chaddr: self.identity.mac,
            options,
        }
    }

    fn everybody(&self, message: Message) -> Effect {
        Effect::Send(Outgoing { message: message.encode(), from: None, to: None })
    }
}

/// The question once more; a fresh one, if it was not asked before.
fn asked_again(before: Option<Asking>, moment: Moment, wait: impl Fn(u32) -> Duration) -> Asking {
    let count = before.map_or(0, |asking| asking.count);
    let until = moment.now + wait(count);
    let count = count.saturating_add(1);
    match before {
        Some(asking) => Asking { count, until, ..asking },
        None => Asking { xid: moment.transaction(), began: moment, count, until },
    }
}

/// How long an answer is waited for, after so many questions before this one.
fn answer_wait(count: u32, moment: Moment) -> Duration {
    let doubled = ANSWER_WAIT.saturating_mul(1 << count.min(8));
    moment.jitter(doubled.min(ANSWER_WAIT_MAX), ANSWER_JITTER)
}

fn server(grant: &Grant) -> Option<Ipv4Addr> {
    match grant.server {
        LeaseServer::Address(server) => Some(server),
        LeaseServer::Duid(_) => None,
    }
}

/// So many seconds into the grant.
fn since(grant: &Grant, seconds: u32) -> Duration {
    Duration::from_secs(grant.times.granted_s.saturating_add(seconds.into()))
}

fn end(grant: &Grant) -> Option<Duration> {
    grant.times.end_s().map(Duration::from_secs)
}
