//! The client of RFC 8415, section 18.2, for one address: one state, one step at a time.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use weft_model::{Duid, Grant, LeaseServer};

use super::message::{Kind, Message, code, encode_option};
use super::reply::{Association, Reply};
use crate::client::{Effect, Loss, Moment, Outgoing};
use crate::tenure::{Asking, Dialect, State, since};

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

    /// The question once more; transaction ids are of 24 bits.
    fn again(self, before: Option<Asking>, moment: Moment) -> Asking {
        let asking = Asking::again(before, self.next(before.map(|asking| asking.wait), moment), moment);
        Asking { xid: asking.xid & 0xff_ffff, ..asking }
    }

    fn is_spent(self, asking: &Asking) -> bool {
        self.count_max.is_some_and(|most| asking.count >= most)
    }
}

/// A server and the address that it has for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    server: Duid,
    address: Ipv6Addr,
    preference: u8,
}

/// A DHCPv6 client.
pub type Client = crate::tenure::Client<V6>;

/// How DHCPv6 has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct V6;

/// What is asked for an address that is not held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Gathers advertisements.
    Solicit {
        /// The question.
        asking: Asking,
        /// The best one so far.
        best: Option<Choice>,
    },
    /// Has chosen a server.
    Request {
        /// The question.
        asking: Asking,
        /// Whom, and what.
        choice: Choice,
    },
    /// Tells a server that another host has its address, or that it is needed no more.
    Leave {
        /// The question.
        asking: Asking,
        /// Whom, and what.
        choice: Choice,
        /// Another address is asked for then.
        goes_on: bool,
    },
}

impl Dialect for V6 {
    type Question = Question;

    fn asking(question: &Question) -> &Asking {
        match question {
            Question::Solicit { asking, .. } | Question::Request { asking, .. } | Question::Leave { asking, .. } => {
                asking
            }
        }
    }

    fn begin(client: &mut Client, moment: Moment, effects: &mut Vec<Effect>) {
        client.solicit(None, moment, effects);
    }

    fn repeat(client: &mut Client, question: Question, moment: Moment, effects: &mut Vec<Effect>) {
        match question {
            Question::Solicit { best: Some(choice), .. } => client.request(None, choice, moment, effects),
            Question::Solicit { asking, best: None } => client.solicit(Some(asking), moment, effects),
            Question::Request { asking, .. } if REQUEST.is_spent(&asking) => client.solicit(None, moment, effects),
            Question::Request { asking, choice } => client.request(Some(asking), choice, moment, effects),
            Question::Leave { asking, goes_on, .. } if RELEASE.is_spent(&asking) => client.left(goes_on, moment),
            Question::Leave { asking, choice, goes_on } => {
                client.leave(Some(asking), choice, goes_on, moment, effects);
            }
        }
    }

    fn extend(client: &mut Client, grant: Grant, before: Option<Asking>, moment: Moment, effects: &mut Vec<Effect>) {
        let Some(choice) = choice(&grant) else { return };
        let asking = RENEW.again(before, moment);
        if moment.now < since(&grant, grant.times.rebind_s) {
            effects.push(client.message(Kind::Renew, &asking, Some(&choice.server), Some(choice.address), moment));
            client.state = State::Renewing { grant, asking };
        } else {
            effects.push(client.message(Kind::Rebind, &asking, None, Some(choice.address), moment));
            client.state = State::Rebinding { grant, asking };
        }
    }

    fn receive(client: &mut Client, bytes: &[u8], moment: Moment, effects: &mut Vec<Effect>) {
        let Ok(message) = Message::decode(bytes) else { return };
        let Some(reply) = Reply::read(&message, &client.identity) else { return };
        match (std::mem::replace(&mut client.state, State::Idle), reply.kind) {
            (State::Asking(Question::Solicit { asking, best }), kind) if reply.xid == asking.xid => {
                client.solicited(&reply, kind, (asking, best), moment, effects);
            }
            (State::Asking(Question::Request { asking, choice }), Kind::Reply)
                if reply.xid == asking.xid && reply.server == choice.server =>
            {
                match reply.grant(asking.began).filter(|_| reply.is_success) {
                    Some(grant) => client.granted(grant, moment, effects),
                    // The server has changed its mind.
                    None => client.set_back(moment),
                }
            }
            (State::Renewing { grant, asking }, Kind::Reply)
                if reply.xid == asking.xid && LeaseServer::Duid(reply.server.clone()) == grant.server =>
            {
                let state = State::Renewing { grant: grant.clone(), asking };
                client.extended(&reply, grant, (asking, state), moment, effects);
            }
            (State::Rebinding { grant, asking }, Kind::Reply) if reply.xid == asking.xid => {
                let state = State::Rebinding { grant: grant.clone(), asking };
                client.extended(&reply, grant, (asking, state), moment, effects);
            }
            (State::Asking(Question::Leave { asking, choice, goes_on }), Kind::Reply)
                if reply.xid == asking.xid && reply.server == choice.server =>
            {
                client.left(goes_on, moment);
            }
            (state, _) => client.state = state,
        }
    }

    fn yield_to_another(client: &mut Client, claimed: IpAddr, moment: Moment, effects: &mut Vec<Effect>) {
        let State::Probing { grant, .. } = &client.state else { return };
        if let Some(choice) = choice(grant).filter(|choice| IpAddr::V6(choice.address) == claimed) {
            client.leave(None, choice, true, moment, effects);
        }
    }

    fn release(client: &mut Client, moment: Moment, effects: &mut Vec<Effect>) {
        let held = client.grant().map(|grant| grant.address);
        effects.extend(held.map(|address| Effect::Lose(address, Loss::Released)));
        match std::mem::replace(&mut client.state, State::Idle) {
            State::Bound { grant }
            | State::Renewing { grant, .. }
            | State::Rebinding { grant, .. }
            | State::Probing { grant, .. } => {
                if let Some(choice) = choice(&grant) {
                    client.leave(None, choice, false, moment, effects);
                }
            }
            State::Asking(Question::Leave { asking, choice, .. }) => {
                client.state = State::Asking(Question::Leave { asking, choice, goes_on: false });
            }
            State::Idle | State::Waiting { .. } | State::Asking(_) => {}
        }
    }

    /// Neighbours ask for what they want to know.
    fn announce(_: &Grant, _: &mut Vec<Effect>) {}
}

impl Client {
    fn solicit(&mut self, before: Option<Asking>, moment: Moment, effects: &mut Vec<Effect>) {
        let asking = SOLICIT.again(before, moment);
        effects.push(self.message(Kind::Solicit, &asking, None, None, moment));
        self.state = State::Asking(Question::Solicit { asking, best: None });
    }

    fn request(&mut self, before: Option<Asking>, choice: Choice, moment: Moment, effects: &mut Vec<Effect>) {
        let asking = REQUEST.again(before, moment);
        effects.push(self.message(Kind::Request, &asking, Some(&choice.server), Some(choice.address), moment));
        self.state = State::Asking(Question::Request { asking, choice });
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
            best => self.state = State::Asking(Question::Solicit { asking, best }),
        }
    }

    /// A server answers to the wish for more time. What it says may be of no use: then the question stays open.
    fn extended(
        &mut self,
        reply: &Reply,
        grant: Grant,
        (asking, state): (Asking, State<Question>),
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let extended = reply.grant(asking.began).filter(|extended| extended.address == grant.address);
        match (&reply.association, extended.filter(|_| reply.is_success), choice(&grant)) {
            (_, Some(extended), _) => self.prolonged(&grant, extended, moment, effects),
            // It has forgotten us: the same address may still be had (RFC 8415, section 18.2.10.1).
            (Association::Unknown, None, Some(choice)) => {
                effects.push(Effect::Lose(grant.address, Loss::Refused));
                self.request(None, Choice { server: reply.server.clone(), ..choice }, moment, effects);
            }
            (Association::Over(address), None, _) if IpAddr::V6(*address) == grant.address.addr() => {
                self.refused(&grant, moment, effects);
            }
            _ => self.state = state,
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
        let asking = repetition.again(before, moment);
        effects.push(self.message(kind, &asking, Some(&choice.server), Some(choice.address), moment));
        self.state = State::Asking(Question::Leave { asking, choice, goes_on });
    }

    fn left(&mut self, goes_on: bool, moment: Moment) {
        if goes_on {
            self.set_back(moment);
        }
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
