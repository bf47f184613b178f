//! One client and its line to the LAN, which is open only while an answer may come.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::BorrowedFd;
use std::time::Duration;

use ipnet::IpNet;
use weft_dhcp::packet::icmp6::Advertisement;
use weft_dhcp::{Client, Effect, Event, Held, Loss, Outgoing};
use weft_model::Grant;

use super::line::{Heard, Line};
use super::{DhcpError, moment};

/// For how long an answer is waited for: servers answer in milliseconds, or after they looked whether the address is
/// free, which takes dnsmasq three seconds.
const ANSWER_TIME: Duration = Duration::from_secs(4);
/// Until what could not be sent is tried again: an interface that was raised a moment ago has no link-local address
/// yet.
const SEND_RETRY: Duration = Duration::from_millis(50);
/// How often one message is tried: until the kernel has made sure of a link-local address (RFC 4862, section 5.4: two
/// seconds at most). Then the client's own repetition takes over.
const SENDS_MAX: u32 = 50;
/// Most changes that follow from one thing that happened: none comes near, and no server can have it go on for ever.
const STEPS_MAX: usize = 8;

/// Where a client speaks.
pub(super) trait Ground {
    /// Opens a line; `own` is the IPv4 address that is spoken from, if there is one.
    fn open(&mut self, own: Option<Ipv4Addr>) -> Result<Line, DhcpError>;

    /// Whether the client may have an address that a server gives it.
    fn may_have(&mut self, address: IpAddr) -> bool;
}

/// What became of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Turn {
    /// It holds a grant.
    Held(Grant, Held),
    /// It lost its address.
    Lost(IpNet, Loss),
}

/// What could not be sent.
#[derive(Debug)]
struct Unsent {
    outgoing: Outgoing,
    /// How often it was tried.
    tries: u32,
    /// When it is tried again.
    at: Duration,
}

/// A client, and the means to speak for it.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) client: Client,
    line: Option<Line>,
    /// Until when an answer may come.
    listens_until: Duration,
    unsent: Option<Unsent>,
    /// DHCP messages that came in.
    pub(super) answers: u32,
    /// Addresses given up, because somebody else had them.
    pub(super) conflicts: u32,
    /// Why the last message could not be sent, if it could not.
    pub(super) failure: Option<String>,
    /// What a router said.
    pub(super) router: Option<Advertisement>,
}

impl Course {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            line: None,
            listens_until: Duration::ZERO,
            unsent: None,
            answers: 0,
            conflicts: 0,
            failure: None,
            router: None,
        }
    }

    /// When it wants its turn.
    pub(super) fn due_at(&self) -> Option<Duration> {
        let retry = self.unsent.as_ref().map(|unsent| unsent.at);
        let shut = self.line.as_ref().map(|_| self.listens_until);
        [self.client.wake_at(), retry, shut].into_iter().flatten().min()
    }

    pub(super) fn is_open(&self) -> bool {
        self.line.is_some()
    }

    /// What to poll for.
    pub(super) fn sources(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.line.iter().flat_map(Line::sources)
    }

    /// Opens the line, to hear what comes until further notice.
    pub(super) fn open(&mut self, line: Line) -> &Line {
        self.listens_until = moment().now + ANSWER_TIME;
        self.line.insert(line)
    }

    /// Has something happen to the client.
    pub(super) fn happen(&mut self, event: Event<'_>, ground: &mut dyn Ground) -> Vec<Turn> {
        let effects = self.client.step(event, moment());
        effects.into_iter().flat_map(|effect| self.act(effect, ground)).collect()
    }

    /// Reads what came in, and does what is due.
    pub(super) fn turn(&mut self, ground: &mut dyn Ground) -> Vec<Turn> {
        let mut turns = Vec::new();
        for heard in self.line.as_ref().map(Line::hear).unwrap_or_default() {
            match heard {
                Heard::Message(bytes) => {
                    self.answers = self.answers.saturating_add(1);
                    turns.extend(self.happen(Event::Received(&bytes), ground));
                }
                Heard::Claim(address) => {
                    let before = self.client.clone();
                    turns.extend(self.happen(Event::Claimed(address), ground));
                    self.conflicts = self.conflicts.saturating_add((before != self.client).into());
                }
                Heard::Router(advertisement) => self.router = Some(advertisement),
            }
        }
        for _ in 0..STEPS_MAX {
            let now = moment().now;
            if self.client.wake_at().is_none_or(|at| at > now) {
                break;
            }
            turns.extend(self.happen(Event::Wake, ground));
        }
        if let Some(unsent) = self.unsent.take_if(|unsent| unsent.at <= moment().now) {
            self.send(unsent.outgoing, unsent.tries, ground);
        }
        if moment().now >= self.listens_until {
            self.line = None;
        }
        turns
    }

    /// Closes the line unless an answer may come.
    pub(super) fn rest(&mut self) {
        if !self.client.is_listening() && self.unsent.is_none() {
            self.line = None;
        }
    }

    fn act(&mut self, effect: Effect, ground: &mut dyn Ground) -> Vec<Turn> {
        let done = match effect {
            Effect::Hold(grant, held) => return vec![Turn::Held(grant, held)],
            Effect::Lose(address, loss) => return vec![Turn::Lost(address, loss)],
            Effect::Send(outgoing) => {
                self.send(outgoing, 0, ground);
                return Vec::new();
            }
            // Whoever has it here may be on another LAN, and would not answer.
            Effect::Probe(address) if !ground.may_have(address) => {
                self.conflicts = self.conflicts.saturating_add(1);
                return self.happen(Event::Claimed(address), ground);
            }
            Effect::Probe(address) => self.line(None, ground).and_then(|line| Ok(line.probe(address)?)),
            Effect::Announce(address) => self.line(Some(address), ground).and_then(|line| Ok(line.announce(address)?)),
        };
        if let Err(error) = done {
            self.note(&error);
        }
        Vec::new()
    }

    fn send(&mut self, outgoing: Outgoing, tries: u32, ground: &mut dyn Ground) {
        let sent = self.line(outgoing.from, ground).and_then(|line| Ok(line.send(&outgoing)?));
        let now = moment().now;
        self.listens_until = now + ANSWER_TIME;
        match sent {
            Ok(()) => (self.unsent, self.failure) = (None, None),
            Err(error) => {
                self.note(&error);
                let tries = tries + 1;
                let is_worth_it = matches!(error, DhcpError::Kernel(_)) && tries < SENDS_MAX;
                self.unsent = is_worth_it.then_some(Unsent { outgoing, tries, at: now + SEND_RETRY });
            }
        }
    }

    /// The line by which is said what is said from `own`; from no address if there is none.
    fn line(&mut self, own: Option<Ipv4Addr>, ground: &mut dyn Ground) -> Result<&Line, DhcpError> {
        let line = match self.line.take().filter(|line| line.is_for(own)) {
            Some(line) => line,
            None => ground.open(own)?,
        };
        Ok(self.line.insert(line))
    }

    fn note(&mut self, error: &DhcpError) {
        tracing::debug!(%error, "a DHCP message is not sent");
        self.failure = Some(error.to_string());
    }
}
