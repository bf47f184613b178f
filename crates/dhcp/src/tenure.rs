//! How long a client has an address, and what it asks for meanwhile: what is the same in both families.
//!
//! ```text
//!  idle ─ start ─► waiting ─► asking ─► probing ─► bound ─ T1 ─► renewing ─ T2 ─► rebinding
//!                     ▲    (the family's)  │          ▲              │                │
//!                     │                    │          └── extended ──┴────────────────┤
//!                     └────────────────────┴───── refused, another's, or over ────────┘
//! ```

use std::fmt::Debug;
use std::net::IpAddr;
use std::time::Duration;

use weft_model::Grant;

use crate::client::{Effect, Event, Held, Loss, Moment, compare, setback_wait};
use crate::probe::{Next, Probe};
use crate::{Identity, names};

/// Clients that all start with their host do not ask all at once. RFC 2131, section 4.4.1, has one to ten seconds for
/// that, and RFC 8415, section 18.2.1, up to one: no container's birth can wait so long.
const START_DELAY_MAX: Duration = Duration::from_millis(100);

/// A question and its repetitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asking {
    /// Transaction id.
    pub(crate) xid: u32,
    /// When it was asked first.
    pub(crate) began: Moment,
    /// How often it was asked.
    pub(crate) count: u32,
    /// How long its answer is waited for, this time.
    pub(crate) wait: Duration,
    /// When it is asked again, or given up.
    pub(crate) until: Duration,
}

impl Asking {
    /// The question once more, whose answer is waited for so long; a fresh one, if it was not asked before.
    pub(crate) fn again(before: Option<Self>, wait: Duration, moment: Moment) -> Self {
        let until = moment.now + wait;
        match before {
            Some(asking) => Self { count: asking.count.saturating_add(1), wait, until, ..asking },
            None => Self { xid: moment.transaction(), began: moment, count: 1, wait, until },
        }
    }
}

/// Where a client is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State<Q> {
    /// Not started, or released.
    Idle,
    /// Before it asks, after a pause.
    Waiting {
        /// Since boot.
        until: Duration,
    },
    /// Has asked a question of its family's.
    Asking(Q),
    /// Granted, but not yet in use.
    Probing {
        /// What is granted.
        grant: Grant,
        /// How far it is known to be free.
        probe: Probe,
    },
    /// Nothing to do until T1.
    Bound {
        /// What is held.
        grant: Grant,
    },
    /// From T1 on, its server is asked.
    Renewing {
        /// What is held.
        grant: Grant,
        /// The question.
        asking: Asking,
    },
    /// From T2 on, all servers are.
    Rebinding {
        /// What is held.
        grant: Grant,
        /// The question.
        asking: Asking,
    },
}

/// What the two families say differently.
pub trait Dialect: Debug + Clone + PartialEq + Eq + Sized {
    /// What is asked before anything is granted, and after it is given up.
    type Question: Debug + Clone + PartialEq + Eq;

    /// The question's repetitions.
    fn asking(question: &Self::Question) -> &Asking;

    /// Asks who has an address.
    fn begin(client: &mut Client<Self>, moment: Moment, effects: &mut Vec<Effect>);

    /// Nobody has answered in time.
    fn repeat(client: &mut Client<Self>, question: Self::Question, moment: Moment, effects: &mut Vec<Effect>);

    /// Asks for more time: its server until T2, and then all of them.
    fn extend(
        client: &mut Client<Self>,
        grant: Grant,
        before: Option<Asking>,
        moment: Moment,
        effects: &mut Vec<Effect>,
    );

    /// Reads a message of a server's, if it is one.
    fn receive(client: &mut Client<Self>, bytes: &[u8], moment: Moment, effects: &mut Vec<Effect>);

    /// Gives up an address that another host has, before it was used.
    fn yield_to_another(client: &mut Client<Self>, claimed: IpAddr, moment: Moment, effects: &mut Vec<Effect>);

    /// Gives back what it has.
    fn release(client: &mut Client<Self>, moment: Moment, effects: &mut Vec<Effect>);

    /// Tells the link of an address that is about to be used, where that is usual.
    fn announce(grant: &Grant, effects: &mut Vec<Effect>);
}

/// A client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client<D: Dialect> {
    pub(crate) identity: Identity,
    pub(crate) hostname: Option<String>,
    pub(crate) state: State<D::Question>,
    /// Refusals and conflicts since the last success.
    setbacks: u32,
}

impl<D: Dialect> Client<D> {
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
            State::Asking(question) => Some(D::asking(question).until),
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
            Event::Received(bytes) => D::receive(self, bytes, moment, &mut effects),
            Event::Claimed(address) => D::yield_to_another(self, address, moment, &mut effects),
            Event::Release => D::release(self, moment, &mut effects),
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
            State::Waiting { .. } => D::begin(self, moment, effects),
            State::Asking(question) => D::repeat(self, question, moment, effects),
            State::Probing { grant, probe } => self.probe(grant, probe, moment, effects),
            State::Bound { grant } => D::extend(self, grant, None, moment, effects),
            State::Renewing { grant, asking } => {
                let is_over = moment.now >= since(&grant, grant.times.rebind_s);
                D::extend(self, grant, Some(asking).filter(|_| !is_over), moment, effects);
            }
            State::Rebinding { grant, asking } => D::extend(self, grant, Some(asking), moment, effects),
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
                D::announce(&grant, effects);
                effects.push(Effect::Hold(grant.clone(), Held::Anew));
                self.setbacks = 0;
                self.state = State::Bound { grant };
                return;
            }
        }
        self.state = State::Probing { grant, probe };
    }

    /// A server grants an address that was not held before.
    pub(crate) fn granted(&mut self, grant: Grant, moment: Moment, effects: &mut Vec<Effect>) {
        effects.push(Effect::Probe(grant.address.addr()));
        self.state = State::Probing { grant, probe: Probe::begun(moment.now) };
    }

    /// A server has `before` last longer.
    pub(crate) fn prolonged(&mut self, before: &Grant, extended: Grant, moment: Moment, effects: &mut Vec<Effect>) {
        effects.push(Effect::Hold(extended.clone(), compare(before, &extended)));
        self.state = State::Bound { grant: extended };
        self.expire(moment, effects);
    }

    /// A server takes an address back.
    pub(crate) fn refused(&mut self, grant: &Grant, moment: Moment, effects: &mut Vec<Effect>) {
        effects.push(Effect::Lose(grant.address, Loss::Refused));
        self.set_back(moment);
    }

    /// Starts anew, the later the more often that has happened.
    pub(crate) fn set_back(&mut self, moment: Moment) {
        self.setbacks = self.setbacks.saturating_add(1);
        self.state = State::Waiting { until: moment.now + setback_wait(self.setbacks, moment) };
    }

    fn wait_a_moment(&mut self, moment: Moment) {
        self.state = State::Waiting { until: moment.now + moment.delay(START_DELAY_MAX) };
    }
}

/// So many seconds into the grant.
pub(crate) fn since(grant: &Grant, seconds: u32) -> Duration {
    Duration::from_secs(grant.times.granted_s.saturating_add(seconds.into()))
}

/// When it is over; `None` is never.
pub(crate) fn end(grant: &Grant) -> Option<Duration> {
    grant.times.end_s().map(Duration::from_secs)
}
