//! The client of RFC 2131, section 4.4: one state, one step at a time.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use weft_model::{Grant, LeaseServer};

use super::message::{Kind, Message, Op, code};
use super::terms::Terms;
use crate::client::{Effect, Loss, Moment, Outgoing};
use crate::tenure::{Asking, Dialect, State, end, since};

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

/// A DHCPv4 client.
pub type Client = crate::tenure::Client<V4>;

/// How DHCPv4 has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct V4;

/// What is asked for an address that is not held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// SELECTING.
    Discover(Asking),
    /// REQUESTING.
    Request {
        /// The question.
        asking: Asking,
        /// What was offered.
        terms: Terms,
    },
}

impl Dialect for V4 {
    type Question = Question;

    fn asking(question: &Question) -> &Asking {
        match question {
            Question::Discover(asking) | Question::Request { asking, .. } => asking,
        }
    }

    fn begin(client: &mut Client, moment: Moment, effects: &mut Vec<Effect>) {
        client.discover(None, moment, effects);
    }

    fn repeat(client: &mut Client, question: Question, moment: Moment, effects: &mut Vec<Effect>) {
        match question {
            Question::Discover(asking) => client.discover(Some(asking), moment, effects),
            Question::Request { asking, .. } if asking.count >= REQUESTS_MAX => client.discover(None, moment, effects),
            Question::Request { asking, terms } => client.request(Some(asking), terms, moment, effects),
        }
    }

    fn extend(client: &mut Client, grant: Grant, before: Option<Asking>, moment: Moment, effects: &mut Vec<Effect>) {
        let (IpAddr::V4(address), Some(end)) = (grant.address.addr(), end(&grant)) else { return };
        let server = server(&grant);
        let rebind = since(&grant, grant.times.rebind_s);
        let is_renewing = moment.now < rebind && server.is_some();
        let left = if is_renewing { rebind } else { end }.saturating_sub(moment.now);
        let shortest = Duration::from_secs(grant.times.lifetime_s.unwrap_or(0).into()) / EXTENSION_WAIT_PART;
        let shortest = shortest.clamp(Duration::from_secs(1), EXTENSION_WAIT_MIN);
        let asking = Asking::again(before, moment.jitter((left / 2).max(shortest), shortest / 8), moment);
        let mut message = client.message(Kind::Request, &asking, moment);
        message.ciaddr = address;
        // It can be reached by its address already.
        message.broadcast = false;
        let to = server.filter(|_| is_renewing);
        effects.push(Effect::Send(Outgoing { message: message.encode(), from: Some(address), to }));
        client.state = if is_renewing { State::Renewing { grant, asking } } else { State::Rebinding { grant, asking } };
    }

    fn receive(client: &mut Client, bytes: &[u8], moment: Moment, effects: &mut Vec<Effect>) {
        let Ok(message) = Message::decode(bytes) else { return };
        let Some(kind) = message.kind().filter(|_| client.is_for_us(&message)) else { return };
        match (std::mem::replace(&mut client.state, State::Idle), kind) {
            (State::Asking(Question::Discover(asking)), Kind::Offer) if message.xid == asking.xid => {
                match Terms::read(&message) {
                    Ok(terms) => client.request(None, terms, moment, effects),
                    Err(_) => client.state = State::Asking(Question::Discover(asking)),
                }
            }
            (State::Asking(Question::Request { asking, terms }), Kind::Ack | Kind::Nak)
                if message.xid == asking.xid && message.address(code::SERVER_ID) == Some(terms.server) =>
            {
                match Terms::read(&message) {
                    _ if kind == Kind::Nak => client.set_back(moment),
                    Ok(granted) if granted.address.addr() == terms.address.addr() => {
                        client.granted(granted.grant(asking.began), moment, effects);
                    }
                    // Another address than the one that was asked for, or none that could be used.
                    Ok(_) | Err(_) => client.state = State::Asking(Question::Request { asking, terms }),
                }
            }
            (State::Renewing { grant, asking }, Kind::Ack | Kind::Nak)
                if message.xid == asking.xid && message.address(code::SERVER_ID) == server(&grant) =>
            {
                let state = State::Renewing { grant: grant.clone(), asking };
                client.extended(&message, kind, grant, (asking, state), moment, effects);
            }
            (State::Rebinding { grant, asking }, Kind::Ack | Kind::Nak) if message.xid == asking.xid => {
                let state = State::Rebinding { grant: grant.clone(), asking };
                client.extended(&message, kind, grant, (asking, state), moment, effects);
            }
            (state, _) => client.state = state,
        }
    }

    fn yield_to_another(client: &mut Client, claimed: IpAddr, moment: Moment, effects: &mut Vec<Effect>) {
        let State::Probing { grant, .. } = &client.state else { return };
        let (IpAddr::V4(address), Some(server)) = (grant.address.addr(), server(grant)) else { return };
        if claimed != grant.address.addr() {
            return;
        }
        let asking = Asking::again(None, Duration::ZERO, moment);
        let mut message = client.message(Kind::Decline, &asking, moment);
        message.options.insert(code::REQUESTED_ADDRESS, address.octets().into());
        message.options.insert(code::SERVER_ID, server.octets().into());
        effects.push(client.everybody(message));
        client.set_back(moment);
    }

    fn release(client: &mut Client, moment: Moment, effects: &mut Vec<Effect>) {
        let state = std::mem::replace(&mut client.state, State::Idle);
        let (grant, is_held) = match state {
            State::Bound { grant } | State::Renewing { grant, .. } | State::Rebinding { grant, .. } => (grant, true),
            State::Probing { grant, .. } => (grant, false),
            State::Idle | State::Waiting { .. } | State::Asking(_) => return,
        };
        let (IpAddr::V4(address), Some(server)) = (grant.address.addr(), server(&grant)) else { return };
        let asking = Asking::again(None, Duration::ZERO, moment);
        let mut message = client.message(Kind::Release, &asking, moment);
        message.ciaddr = address;
        message.broadcast = false;
        message.options.insert(code::SERVER_ID, server.octets().into());
        effects.push(Effect::Send(Outgoing { message: message.encode(), from: Some(address), to: Some(server) }));
        if is_held {
            effects.push(Effect::Lose(grant.address, Loss::Released));
        }
    }

    fn announce(grant: &Grant, effects: &mut Vec<Effect>) {
        if let IpAddr::V4(address) = grant.address.addr() {
            effects.push(Effect::Announce(address));
        }
    }
}

impl Client {
    /// Asks who has an address.
    fn discover(&mut self, before: Option<Asking>, moment: Moment, effects: &mut Vec<Effect>) {
        let asking = Asking::again(before, answer_wait(before, moment), moment);
        effects.push(self.everybody(self.message(Kind::Discover, &asking, moment)));
        self.state = State::Asking(Question::Discover(asking));
    }

    /// Asks for what was offered.
    fn request(&mut self, before: Option<Asking>, terms: Terms, moment: Moment, effects: &mut Vec<Effect>) {
        let asking = Asking::again(before, answer_wait(before, moment), moment);
        let mut message = self.message(Kind::Request, &asking, moment);
        message.options.insert(code::REQUESTED_ADDRESS, terms.address.addr().octets().into());
        message.options.insert(code::SERVER_ID, terms.server.octets().into());
        effects.push(self.everybody(message));
        self.state = State::Asking(Question::Request { asking, terms });
    }

    /// A server answers to the wish for more time. What it says may be of no use: then the question stays open.
    fn extended(
        &mut self,
        message: &Message,
        kind: Kind,
        grant: Grant,
        (asking, state): (Asking, State<Question>),
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) {
        match Terms::read(message) {
            _ if kind == Kind::Nak => self.refused(&grant, moment, effects),
            Ok(terms) if IpAddr::V4(terms.address.addr()) == grant.address.addr() => {
                self.prolonged(&grant, terms.grant(asking.began), moment, effects);
            }
            Ok(_) | Err(_) => self.state = state,
        }
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

/// How long an answer is waited for, if the question was asked `before`.
fn answer_wait(before: Option<Asking>, moment: Moment) -> Duration {
    let count = before.map_or(0, |asking| asking.count);
    let doubled = ANSWER_WAIT.saturating_mul(1 << count.min(8));
    moment.jitter(doubled.min(ANSWER_WAIT_MAX), ANSWER_JITTER)
}

fn server(grant: &Grant) -> Option<Ipv4Addr> {
    match grant.server {
        LeaseServer::Address(server) => Some(server),
        LeaseServer::Duid(_) => None,
    }
}
