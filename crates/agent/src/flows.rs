//! What happened at endpoints' doors: the last of it, with names, for whoever asks. Pure.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use weft_api::{Connection, Flow, FlowEnd};
use weft_dataplane::abi;
use weft_model::{Endpoint, Protocol};

use crate::describe::Reference;
use crate::ledger::Ledger;
use crate::policies::rehearsal::Opening;

/// Flows that are remembered: a megabyte.
pub const HISTORY_MAX: usize = 4096;

/// ETH_P_ARP of include/uapi/linux/if_ether.h.
const ARP: u16 = 0x0806;
/// TCP's flags (RFC 9293, section 3.1), as letters.
const FLAGS: [(u8, char); 5] = [(0x02, 'S'), (0x10, 'A'), (0x01, 'F'), (0x04, 'R'), (0x08, 'P')];

/// One thing that happened, and who had the addresses then.
#[derive(Debug, Clone)]
pub struct Seen {
    sequence: u64,
    time_ms: u64,
    event: abi::event,
    from: Option<Arc<Endpoint>>,
    to: Option<Arc<Endpoint>>,
    door: Option<Arc<Endpoint>>,
    /// The policy's rule that decided.
    rule: Option<String>,
    /// The service that led it.
    service: Option<String>,
}

/// The last of what happened.
#[derive(Debug, Default)]
pub struct History {
    seen: VecDeque<Seen>,
    last: u64,
}

impl History {
    /// Notes what the programs told at `time_ms`, seen at the door of the endpoint with the address `door`, who of
    /// policies decided it and which service led it; `holder` knows who has an address.
    pub fn note(
        &mut self,
        event: abi::event,
        time_ms: u64,
        door: Option<IpAddr>,
        (rule, service): (Option<String>, Option<String>),
        holder: impl Fn(IpAddr) -> Option<Arc<Endpoint>>,
    ) {
        let (from, to) = (holder(event.from().ip()), holder(event.to().ip()));
        self.last += 1;
        if self.seen.len() == HISTORY_MAX {
            self.seen.pop_front();
        }
        let door = door.and_then(&holder);
        self.seen.push_back(Seen { sequence: self.last, time_ms, event, from, to, door, rule, service });
    }

    /// The number of the newest one, 0 if there is none.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Connections that were opened, and those that policies did not let be opened.
    pub fn openings(&self) -> impl Iterator<Item = Opening> {
        self.seen.iter().filter(|seen| is_opening(&seen.event)).map(|seen| Opening {
            from: seen.event.from(),
            to: seen.event.to(),
            protocol: Protocol(seen.event.protocol),
            opener: seen.from.clone(),
            target: seen.to.clone(),
        })
    }

    /// The newest `limit` of those that are wanted and newer than the one numbered `after`, oldest first.
    pub fn wanted(&self, wanted: &Wanted, after: u64, limit: usize) -> Vec<Flow> {
        let newer = self.seen.iter().rev().take_while(|seen| seen.sequence > after);
        let mut found: Vec<_> = newer.filter(|seen| wanted.has(seen)).take(limit).map(Seen::flow).collect();
        found.reverse();
        found
    }
}

/// Whether a packet is the first one of a connection, as far as policies have a say about it.
fn is_opening(event: &abi::event) -> bool {
    const SYN_OR_ACK: u8 = 0x12;
    const SYN: u8 = 0x02;
    let is_first = Protocol(event.protocol) != Protocol::TCP || event.tcp_flags & SYN_OR_ACK == SYN;
    match u32::from(event.kind) {
        abi::EVENT_OPENED => true,
        abi::EVENT_DROPPED => {
            is_first && [abi::REASON_POLICY_INGRESS, abi::REASON_POLICY_EGRESS].contains(&event.reason.into())
        }
        _ => false,
    }
}

impl Seen {
    fn flow(&self) -> Flow {
        let event = &self.event;
        let told = Told::of(event, self.from.as_ref(), self.to.as_ref());
        Flow {
            sequence: self.sequence,
            time_ms: self.time_ms,
            event: kind(event.kind).to_owned(),
            verdict: told.verdict,
            reason: told.reason,
            meaning: told.meaning,
            rule: self.rule.clone(),
            generation: self.rule.as_ref().map(|_| event.generation),
            door: self.door.as_ref().map(|door| door.title()),
            direction: told.direction,
            from: told.from,
            to: told.to,
            protocol: told.protocol,
            flags: told.flags,
            way: told.way,
            bytes: event.bytes,
            service: self.service.clone(),
        }
    }
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It passed.
    Passed,
    /// It passed, and policies would have dropped it if nothing were in audit.
    Audited,
    /// It was dropped.
    Dropped,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Verdict; 3] = [Verdict::Passed, Verdict::Audited, Verdict::Dropped];

    /// As people write it.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Passed => "passed",
            Verdict::Audited => "audited",
            Verdict::Dropped => "dropped",
        }
    }

    fn of(event: &abi::event) -> Self {
        match u32::from(event.kind) {
            abi::EVENT_DROPPED => Verdict::Dropped,
            abi::EVENT_AUDITED => Verdict::Audited,
            _ => Verdict::Passed,
        }
    }
}

/// What a packet is, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// `passed`, `audited` or `dropped`.
    pub verdict: String,
    /// Why it was dropped, or would have been: a word; empty if it just passed.
    pub reason: String,
    /// What the reason means.
    pub meaning: String,
    /// `out` or `in`.
    pub direction: String,
    /// Who sent it.
    pub from: FlowEnd,
    /// Whom it was sent to.
    pub to: FlowEnd,
    /// By name, if it has one.
    pub protocol: String,
    /// TCP's flags, as letters.
    pub flags: String,
    /// `stack` or `short`.
    pub way: String,
}

impl Told {
    /// What the programs told; `sender` and `receiver` have its addresses.
    pub fn of(event: &abi::event, sender: Option<&Arc<Endpoint>>, receiver: Option<&Arc<Endpoint>>) -> Self {
        let protocol = Protocol(event.protocol);
        let verdict = Verdict::of(event);
        let known = abi::REASONS.get(usize::from(event.reason)).filter(|_| verdict != Verdict::Passed);
        let (reason, meaning) = known.copied().unwrap_or_default();
        let has_addresses = event.source.bytes != [0; 16] || event.protocol != 0;
        let word = match event.ethertype {
            ARP => "ARP".to_owned(),
            _ if !has_addresses => format!("0x{:04x}", event.ethertype),
            _ => protocol.to_string(),
        };
        Self {
            verdict: verdict.word().to_owned(),
            reason: reason.to_owned(),
            meaning: meaning.to_owned(),
            direction: if u32::from(event.direction) == abi::DIRECTION_OUT { "out" } else { "in" }.to_owned(),
            from: end(event.from(), protocol, sender, has_addresses),
            to: end(event.to(), protocol, receiver, has_addresses),
            protocol: word,
            flags: FLAGS.iter().filter(|(flag, _)| event.tcp_flags & flag != 0).map(|(_, letter)| letter).collect(),
            way: way(event.is_short != 0),
        }
    }
}

fn kind(kind: u8) -> &'static str {
    match u32::from(kind) {
        abi::EVENT_OPENED => "opened",
        abi::EVENT_ESTABLISHED => "established",
        abi::EVENT_ENDED => "ended",
        abi::EVENT_AUDITED => "audited",
        _ => "dropped",
    }
}

fn way(is_short: bool) -> String {
    if is_short { "short" } else { "stack" }.to_owned()
}

/// One end as people see it.
pub fn end(at: SocketAddr, protocol: Protocol, endpoint: Option<&Arc<Endpoint>>, has_address: bool) -> FlowEnd {
    FlowEnd {
        address: if has_address { at.ip().to_string() } else { String::new() },
        port: protocol.has_ports().then_some(at.port()),
        endpoint: endpoint.map(|endpoint| endpoint.title()),
        network: endpoint.map(|endpoint| endpoint.network.to_string()),
    }
}

/// A tracked connection with names, and that of the service that led it.
pub fn connection(flow: &weft_dataplane::Flow, ledger: &Ledger, service: Option<String>) -> Connection {
    let protocol = Protocol(flow.protocol);
    let end = |at: SocketAddr| end(at, protocol, ledger.at(at.ip()), true);
    let state = match u32::from(flow.state) {
        abi::FLOW_OPENING => "opening",
        abi::FLOW_ANSWERED => "answered",
        abi::FLOW_ESTABLISHED => "established",
        abi::FLOW_CLOSING => "closing",
        abi::FLOW_FINISHED => "finished",
        _ => "reset",
    };
    Connection {
        from: end(flow.opener),
        to: end(flow.target),
        protocol: protocol.to_string(),
        state: state.to_owned(),
        way: way(flow.is_short),
        remaining_s: flow.remaining.as_secs(),
        service,
    }
}

/// A tracked connection, as it was opened.
pub fn opening(flow: &weft_dataplane::Flow, ledger: &Ledger) -> Opening {
    Opening {
        from: flow.opener,
        to: flow.target,
        protocol: Protocol(flow.protocol),
        opener: ledger.at(flow.opener.ip()).cloned(),
        target: ledger.at(flow.target.ip()).cloned(),
    }
}

/// Who is meant: an address, a prefix, or a reference to endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Party {
    /// Whoever has an address of it.
    Within(IpNet),
    /// These endpoints.
    Named(String),
}

impl Party {
    /// Any text means somebody.
    pub fn parse(text: &str) -> Self {
        let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
        text.parse().ok().or_else(address).map_or_else(|| Party::Named(text.to_owned()), Party::Within)
    }

    /// Whether it is `endpoint`, who has `ip`.
    pub fn is(&self, ip: IpAddr, endpoint: Option<&Endpoint>) -> bool {
        match self {
            Party::Within(net) => net.contains(&ip),
            Party::Named(name) => endpoint.is_some_and(|endpoint| Reference::parse(name).matches(endpoint)),
        }
    }
}

/// What is asked for; what is `None` is anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Who sent it.
    pub from: Option<Party>,
    /// Whom it was sent to.
    pub to: Option<Party>,
    /// Who sent it, got it, or was seen with it at his door.
    pub endpoint: Option<Party>,
    /// An end's network.
    pub network: Option<String>,
    /// What became of it.
    pub verdict: Option<Verdict>,
    /// The word of a reason.
    pub reason: Option<String>,
    /// Of protocol.
    pub protocol: Option<Protocol>,
    /// Either port.
    pub port: Option<u16>,
}

impl Wanted {
    fn has(&self, seen: &Seen) -> bool {
        let event = &seen.event;
        let verdict = Verdict::of(event);
        let at_door = |party: &Party| {
            let door = seen.door.as_deref();
            door.is_some_and(|door| door.addresses.iter().any(|net| party.is(net.addr(), Some(door))))
        };
        let reason = || abi::REASONS.get(usize::from(event.reason)).map(|(word, _)| *word);
        let ends = Ends {
            from: (event.from(), seen.from.as_deref()),
            to: (event.to(), seen.to.as_deref()),
            protocol: Protocol(event.protocol),
        };
        let beside = Wanted { endpoint: None, ..self.clone() };
        (beside.matches(&ends) && self.endpoint.as_ref().is_none_or(|party| ends.has(party) || at_door(party)))
            && self.verdict.is_none_or(|wanted| wanted == verdict)
            && self.reason.as_deref().is_none_or(|wanted| verdict != Verdict::Passed && reason() == Some(wanted))
    }

    /// Whether a tracked connection is asked for; `holder` knows who has an address.
    pub fn has_ends(&self, flow: &weft_dataplane::Flow, holder: impl Fn(IpAddr) -> Option<Arc<Endpoint>>) -> bool {
        let (from, to) = (holder(flow.opener.ip()), holder(flow.target.ip()));
        self.matches(&Ends {
            from: (flow.opener, from.as_deref()),
            to: (flow.target, to.as_deref()),
            protocol: Protocol(flow.protocol),
        })
    }

    fn matches(&self, ends: &Ends<'_>) -> bool {
        let Ends { from, to, protocol } = ends;
        let is = |party: &Party, (at, endpoint): (SocketAddr, Option<&Endpoint>)| party.is(at.ip(), endpoint);
        let on = |name: &String| [from.1, to.1].into_iter().flatten().any(|end| end.network.as_str() == name);
        self.from.as_ref().is_none_or(|party| is(party, *from))
            && self.to.as_ref().is_none_or(|party| is(party, *to))
            && self.endpoint.as_ref().is_none_or(|party| ends.has(party))
            && self.network.as_ref().is_none_or(on)
            && self.protocol.is_none_or(|wanted| wanted == *protocol)
            && self.port.is_none_or(|port| from.0.port() == port || to.0.port() == port)
    }
}

/// Who speaks to whom.
struct Ends<'a> {
    from: (SocketAddr, Option<&'a Endpoint>),
    to: (SocketAddr, Option<&'a Endpoint>),
    protocol: Protocol,
}

impl Ends<'_> {
    fn has(&self, party: &Party) -> bool {
        [self.from, self.to].iter().any(|(at, endpoint)| party.is(at.ip(), *endpoint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_dataplane::address_of;

    fn event(from: &str, to: &str, port: u16, kind: u32) -> abi::event {
        abi::event {
            source: address_of(from.parse().unwrap()),
            destination: address_of(to.parse().unwrap()),
            source_port: 40000,
            destination_port: port,
            ethertype: 0x0800,
            reason: if kind == abi::EVENT_DROPPED { abi::REASON_NETWORK as u16 } else { 0 },
            kind: kind as u8,
            protocol: 6,
            tcp_flags: 0x12,
            ..abi::event::default()
        }
    }

    #[test]
    fn the_oldest_is_forgotten_and_numbers_go_on() {
        let mut history = History::default();
        for n in 0..HISTORY_MAX as u64 + 2 {
            history.note(event("10.1.0.2", "10.1.0.3", 80, abi::EVENT_OPENED), n, None, (None, None), |_| None);
        }
        let all = history.wanted(&Wanted::default(), 0, usize::MAX);
        assert_eq!((all.len(), all[0].sequence, history.last()), (HISTORY_MAX, 3, HISTORY_MAX as u64 + 2));
        let newest = history.wanted(&Wanted::default(), history.last() - 3, 2);
        assert_eq!(newest.iter().map(|flow| flow.sequence).collect::<Vec<_>>(), [history.last() - 1, history.last()]);
    }

    #[test]
    fn only_what_is_wanted_is_shown() {
        let mut history = History::default();
        for (from, to, port, kind) in [
            ("10.1.0.2", "10.1.0.3", 80, abi::EVENT_OPENED),
            ("10.1.0.3", "10.1.0.2", 443, abi::EVENT_ESTABLISHED),
            ("fd61::2", "fd62::2", 80, abi::EVENT_DROPPED),
        ] {
            history.note(event(from, to, port, kind), 0, None, (None, None), |_| None);
        }
        let shown = |wanted: Wanted| {
            let flows = history.wanted(&wanted, 0, usize::MAX);
            flows.iter().map(|flow| flow.sequence).collect::<Vec<_>>()
        };
        let party = |text: &str| Some(Party::parse(text));
        assert_eq!(shown(Wanted::default()), [1, 2, 3]);
        assert_eq!(shown(Wanted { from: party("10.1.0.2"), ..Wanted::default() }), [1]);
        assert_eq!(shown(Wanted { to: party("10.1.0.0/24"), ..Wanted::default() }), [1, 2]);
        assert_eq!(shown(Wanted { endpoint: party("10.1.0.2"), ..Wanted::default() }), [1, 2]);
        assert!(shown(Wanted { to: party("web"), ..Wanted::default() }).is_empty());
        assert_eq!(shown(Wanted { verdict: Some(Verdict::Dropped), ..Wanted::default() }), [3]);
        assert_eq!(shown(Wanted { reason: Some("network".to_owned()), ..Wanted::default() }), [3]);
        assert_eq!(shown(Wanted { port: Some(443), ..Wanted::default() }), [2]);
        assert!(shown(Wanted { protocol: Some(Protocol::UDP), ..Wanted::default() }).is_empty());
        let dropped = history.wanted(&Wanted { verdict: Some(Verdict::Dropped), ..Wanted::default() }, 0, 1).remove(0);
        assert_eq!(
            (dropped.reason.as_str(), dropped.flags.as_str(), dropped.protocol.as_str()),
            ("network", "SA", "TCP")
        );
    }
}
