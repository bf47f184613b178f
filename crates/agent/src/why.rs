//! Whether one may open a connection to another: everybody on the way is asked, in the order in which a packet would
//! come by. The programs and the kernel answer, not what weft meant to install.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use weft_api::{FlowEnd, Judgement, Step};
use weft_dataplane::{Door, Opening, Trial, Verdict, abi};
use weft_kernel::nft::Nft;
use weft_kernel::route::{self, Towards};
use weft_kernel::{Netlink, link};
use weft_model::{Endpoint, IfName, MacAddr, Protocol, Seat, Way};
use weft_services::Backend;

use crate::apply::endpoints;
use crate::attach::Attacher;
use crate::attachment::parent;
use crate::flows::end;
use crate::policies::Policies;
use crate::services::Found;

/// One end, with the endpoint that has the address, if one has.
#[derive(Debug, Clone)]
pub struct Side {
    /// Its address.
    pub address: IpAddr,
    /// Who has it here.
    pub endpoint: Option<Arc<Endpoint>>,
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// Who would open a connection.
    pub from: Side,
    /// To whom. Of the same family.
    pub to: Side,
    /// The port there, 0 if there is none.
    pub port: u16,
    /// Of the connection.
    pub protocol: Protocol,
}

/// Those who are asked.
pub struct Witnesses<'a> {
    /// The programs.
    pub trial: &'a Trial,
    /// The host's links and routes.
    pub netlink: &'a mut Netlink,
    /// The host's rules.
    pub nft: &'a mut Nft,
    /// A chain of somebody else's that has a say, if there is one.
    pub foreign: Option<String>,
    /// Where rules are written.
    pub policies: &'a Policies,
    /// Who has which address.
    pub attacher: &'a Attacher,
}

/// The segment of a parent.
struct Segment {
    number: u32,
    /// The link to the outside.
    outside: IfName,
    /// Its Ethernet address, the host's.
    mac: MacAddr,
}

impl Segment {
    fn has(&self, seat: &Seat) -> bool {
        parent::segment(seat) == self.number
    }
}

/// Backends of one service that are asked about: the others are as these.
const BACKENDS_MAX: usize = 16;

const ALLOWED: &str = "allowed";
const DENIED: &str = "denied";

impl Witnesses<'_> {
    /// The answer to one question.
    pub fn judge(&mut self, question: &Question) -> anyhow::Result<Judgement> {
        Ok(Self::answer(question, self.ask(question)?))
    }

    fn answer(question: &Question, steps: Vec<Step>) -> Judgement {
        let denied = steps.iter().find(|step: &&Step| step.verdict == DENIED);
        let decided_by = denied.or_else(|| steps.iter().rfind(|step| step.verdict == ALLOWED));
        let protocol = question.protocol;
        let side = |side: &Side, port: u16| -> FlowEnd {
            end(SocketAddr::new(side.address, port), protocol, side.endpoint.as_ref(), true)
        };
        Judgement {
            from: FlowEnd { port: None, ..side(&question.from, 0) },
            to: side(&question.to, question.port),
            protocol: protocol.to_string(),
            verdict: if denied.is_some() { DENIED } else { ALLOWED }.to_owned(),
            decided_by: decided_by.map(|step| format!("{}: {}", step.at, step.why)).unwrap_or_default(),
            steps,
        }
    }

    /// The answers to a question about a service's address, where the opener finds this: one for each backend, or one
    /// that there is none.
    pub fn judge_led(&mut self, question: &Question, led: &Found) -> anyhow::Result<Vec<Judgement>> {
        let port = if led.port.is_empty() { String::new() } else { format!(", port {}", led.port) };
        let at = format!("service {}{port}", led.service);
        let denied = |why| Ok(vec![Self::answer(question, vec![step(at.clone(), DENIED, why)])]);
        let backends = match &led.target {
            None => return denied("those who serve it are on networks that the opener does not reach"),
            Some((target, _)) if target.is_elsewhere => {
                return denied("those who serve it are on other hosts, and only those on the opener's may");
            }
            Some((_, backends)) if backends.is_empty() => return denied("nobody serves it"),
            Some((_, backends)) => backends,
        };
        let mut judged = Vec::new();
        for Backend { address, port } in backends.iter().take(BACKENDS_MAX) {
            let to = Side { address: *address, endpoint: self.attacher.ledger().at(*address).cloned() };
            let mut judgement = self.judge(&Question { to, port: *port, ..question.clone() })?;
            let why = format!("leads the socket to {}, one of {}", SocketAddr::new(*address, *port), backends.len());
            judgement.steps.insert(0, step(at.clone(), ALLOWED, why));
            judged.push(judgement);
        }
        Ok(judged)
    }

    /// Everybody on the way, until somebody denies.
    fn ask(&mut self, question: &Question) -> anyhow::Result<Vec<Step>> {
        let (from, to) = (&question.from, &question.to);
        let mut steps = Vec::new();
        if let Some(sender) = &from.endpoint {
            let segment = self.segment(sender)?;
            let verdict = match self.door(sender)? {
                Some(door) => Some(self.trial.sent_by(door, &self.sent(question, sender, segment.as_ref())?)?),
                None => None,
            };
            steps.push(self.at_door(question, Way::Egress, sender, verdict)?);
            match verdict {
                Some(Verdict::Passed) => {
                    if let Some(segment) = segment
                        && !self.is_hosts(to.address)?
                    {
                        self.switched(question, &segment, &mut steps)?;
                        return Ok(steps);
                    }
                }
                Some(Verdict::Short) => {
                    if let Some(receiver) = &to.endpoint {
                        steps.push(self.passed_by(question, receiver)?);
                    }
                    return Ok(steps);
                }
                Some(Verdict::Dropped { .. }) | None => return Ok(steps),
            }
        }
        let (route, towards) = self.route(to.address)?;
        steps.push(route);
        if towards == Towards::Nowhere {
            return Ok(steps);
        }
        if let Some(rule) = self.own_rule(from, to, towards)? {
            steps.push(rule);
            return Ok(steps);
        }
        let foreign = self.foreign.iter();
        steps
            .extend(foreign.map(|chain| step("the host's stack".to_owned(), "unknown", format!("{chain}: see there"))));
        if let Some(receiver) = &to.endpoint {
            self.received(question, receiver, &mut steps)?;
        }
        Ok(steps)
    }

    /// What the receiver's door says.
    fn received(&mut self, question: &Question, receiver: &Endpoint, steps: &mut Vec<Step>) -> anyhow::Result<()> {
        let to_mac = match receiver.mac {
            Some(mac) => mac,
            None => self.segment(receiver)?.map_or(MacAddr::NONE, |segment| segment.mac),
        };
        let verdict = match self.door(receiver)? {
            Some(door) => {
                let opening = Opening { to_mac, ..opening(question, None) };
                let is_hosts = self.is_hosts(question.from.address)?;
                Some(self.trial.sent_to(door, &opening, is_hosts)?)
            }
            None => None,
        };
        steps.push(self.at_door(question, Way::Ingress, receiver, verdict)?);
        Ok(())
    }

    /// Where what an endpoint on a parent sends comes to, if not to the host.
    fn switched(&mut self, question: &Question, segment: &Segment, steps: &mut Vec<Step>) -> anyhow::Result<()> {
        let at = format!("the segment of {}", segment.outside);
        let neighbour = question.to.endpoint.as_ref().filter(|to| to.seat.as_ref().is_some_and(|to| segment.has(to)));
        if let Some(neighbour) = neighbour {
            return self.received(question, neighbour, steps);
        }
        steps.push(step(at, ALLOWED, "to the physical network: what becomes of it there is not weft's to know"));
        Ok(())
    }

    /// The first packet as `sender` would send it: on a parent, the frame says for whom it is.
    fn sent(&mut self, question: &Question, sender: &Endpoint, segment: Option<&Segment>) -> anyhow::Result<Opening> {
        let usual = opening(question, sender.mac);
        let Some(segment) = segment else { return Ok(usual) };
        let mac = sender.mac.unwrap_or(segment.mac);
        let neighbour = question.to.endpoint.as_ref().filter(|to| to.seat.as_ref().is_some_and(|to| segment.has(to)));
        let to_mac = match neighbour {
            Some(neighbour) => neighbour.mac.unwrap_or(segment.mac),
            // It names no neighbour where the host routes.
            None if sender.routes_by_link() || self.is_hosts(question.to.address)? => segment.mac,
            None => MacAddr::NONE,
        };
        Ok(Opening { mac, to_mac, ..usual })
    }

    /// What a door says; nothing of one that is not there.
    fn at_door(
        &mut self,
        question: &Question,
        way: Way,
        endpoint: &Endpoint,
        verdict: Option<Verdict>,
    ) -> anyhow::Result<Step> {
        let at = door_name(endpoint, way);
        Ok(match verdict {
            Some(Verdict::Dropped { reason, rule }) => {
                let known = usize::try_from(reason).ok().and_then(|reason| abi::REASONS.get(reason)).copied();
                let (word, meaning) = known.unwrap_or(("unknown", "a reason that this agent does not know"));
                let by = self.policies.decider(reason, rule).map_or_else(String::new, |by| format!(": {by}"));
                step(at, DENIED, format!("{word}: {}{by}", meaning.trim_end_matches('.')))
            }
            Some(Verdict::Passed | Verdict::Short) => {
                step(at, ALLOWED, self.with_audit(question, way, endpoint, "nothing here is against it")?)
            }
            None => step(at, "unknown", without_door(endpoint)),
        })
    }

    /// Why a door lets through, and what would drop it there if nothing were in audit.
    fn with_audit(&mut self, question: &Question, way: Way, own: &Endpoint, passes: &str) -> anyhow::Result<String> {
        let other = if way == Way::Egress { &question.to } else { &question.from };
        if self.is_hosts(other.address)? {
            return Ok(passes.to_owned());
        }
        let port = if question.protocol.has_ports() { question.port } else { 0 };
        let whose = (other.endpoint.as_deref(), other.address);
        let by = self.policies.audited(own, way, whose, (question.protocol, port));
        Ok(by.map_or_else(|| passes.to_owned(), |by| format!("{passes}; but for audit, it would be dropped: {by}")))
    }

    /// The other door of a packet that goes from door to door.
    fn passed_by(&mut self, question: &Question, receiver: &Endpoint) -> anyhow::Result<Step> {
        let passes = "from door to door, past the host's stack: the other door asked for this one";
        let why = self.with_audit(question, Way::Ingress, receiver, passes)?;
        Ok(step(door_name(receiver, Way::Ingress), ALLOWED, why))
    }

    fn is_hosts(&mut self, address: IpAddr) -> anyhow::Result<bool> {
        Ok(route::towards(self.netlink, address)? == Towards::Host)
    }

    /// The segment that an endpoint is on, if it sits on a parent.
    fn segment(&mut self, endpoint: &Endpoint) -> anyhow::Result<Option<Segment>> {
        let Some(seat) = &endpoint.seat else { return Ok(None) };
        let outside = parent::outside(seat);
        let mac = link::find(self.netlink, outside.as_str())?.and_then(|link| link.mac);
        Ok(Some(Segment { number: parent::segment(seat), outside, mac: mac.unwrap_or(MacAddr::NONE) }))
    }

    fn door(&mut self, endpoint: &Endpoint) -> anyhow::Result<Option<Door>> {
        let Some(seat) = &endpoint.seat else {
            return match endpoint.attachment.has_door() {
                true => Ok(endpoints::number(self.netlink, endpoint)?.map(Door::Link)),
                false => Ok(None),
            };
        };
        let parent = match parent::stand_in(seat) {
            Some(stand_in) => link::find(self.netlink, stand_in.as_str())?.map(|link| link.index),
            None => endpoint.link,
        };
        Ok(parent.map(Door::Parent))
    }

    fn route(&mut self, to: IpAddr) -> anyhow::Result<(Step, Towards)> {
        let towards = route::towards(self.netlink, to)?;
        let at = format!("the host's routes to {to}");
        let shown = match towards {
            Towards::Nowhere => step(at, DENIED, "there is none, or it says unreachable"),
            Towards::Host => step(at, ALLOWED, "the host itself"),
            Towards::Link(index) => {
                let name = link::find_index(self.netlink, index)?.map(|link| link.name);
                step(at, ALLOWED, format!("by link {}", name.unwrap_or_else(|| index.to_string())))
            }
        };
        Ok((shown, towards))
    }

    /// A rule of weft's own table that keeps the two apart.
    fn own_rule(&mut self, from: &Side, to: &Side, towards: Towards) -> anyhow::Result<Option<Step>> {
        let inside = match (&from.endpoint, &to.endpoint) {
            (Some(endpoint), None) if towards != Towards::Host => endpoint,
            (None, Some(endpoint)) if route::towards(self.netlink, from.address)? != Towards::Host => endpoint,
            _ => return Ok(None),
        };
        let rule = internal(&inside.network);
        let found = self.nft.has_own_rule(&rule)?;
        let why = "endpoints of an internal network reach the host and each other only";
        Ok(found.then(|| step(format!("table inet weft, rule {rule:?}"), DENIED, why)))
    }
}

/// The comment of the rules that keep an internal network from the outside.
pub fn internal(network: &weft_model::NetworkName) -> String {
    format!("{network} is internal")
}

fn opening(question: &Question, mac: Option<MacAddr>) -> Opening {
    Opening {
        from: question.from.address,
        mac: mac.unwrap_or(MacAddr::NONE),
        to_mac: MacAddr::NONE,
        to: SocketAddr::new(question.to.address, question.port),
        protocol: question.protocol,
    }
}

fn step(at: String, verdict: &str, why: impl Into<String>) -> Step {
    Step { at, verdict: verdict.to_owned(), why: why.into() }
}

fn door_name(endpoint: &Endpoint, way: Way) -> String {
    let direction = match way {
        Way::Egress => "out",
        Way::Ingress => "in",
    };
    format!("door of {}, {direction}", endpoint.title())
}

fn without_door(endpoint: &Endpoint) -> String {
    let enforcement = endpoint.enforcement();
    let why = enforcement.map(|enforcement| format!(" ({}: {})", enforcement.word(), enforcement.meaning()));
    let why = why.unwrap_or_default();
    format!("attachment {} has none, so nothing of weft's decides{why}", endpoint.attachment)
}
