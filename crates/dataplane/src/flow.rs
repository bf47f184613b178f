//! Connections that the programs track: read for people, and swept of those that are over.

use std::net::SocketAddr;
use std::time::Duration;

use crate::address::ip_of;
use crate::{Dataplane, DataplaneError, abi};

/// A connection, seen from who opened it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// Who opened it. The port is 0 where the protocol has none, and of an ICMP echo its identifier.
    pub opener: SocketAddr,
    /// Whom it was opened to.
    pub target: SocketAddr,
    /// As IANA numbers them.
    pub protocol: u8,
    /// `FLOW_*` of `bpf/abi/flow.h`.
    pub state: u8,
    /// How long it will be remembered if nothing more is sent.
    pub remaining: Duration,
    /// Number of the opener's link, if it is an endpoint of this host whose door let the connection through.
    pub opener_link: Option<u32>,
    /// The same of the target.
    pub target_link: Option<u32>,
    /// It goes from door to door, past the host's stack.
    pub is_short: bool,
    /// Number of the service's port by which it was led to who gets it.
    pub service: Option<u32>,
}

/// What a sweep found and did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Connections that live.
    pub living: usize,
    /// Those that were over, or of endpoints that are gone, and are forgotten now.
    pub forgotten: usize,
}

/// Most connections that both ends spoke on. More are tracked, but may be pushed out by others.
pub const FLOWS_MAX: usize = abi::FLOWS_MAX as usize;

impl Flow {
    fn of(key: &abi::flow_key, flow: &abi::flow, now: u32) -> Self {
        let ends = [SocketAddr::new(ip_of(&key.low), key.low_port), SocketAddr::new(ip_of(&key.high), key.high_port)];
        let opener = usize::from(flow.opener & 1);
        let link = |end: usize| Some(flow.links[end]).filter(|link| *link != 0);
        Self {
            opener: ends[opener],
            target: ends[1 - opener],
            protocol: key.protocol,
            state: flow.state,
            remaining: ticks(flow.expires.saturating_sub(now)),
            opener_link: link(opener),
            target_link: link(1 - opener),
            is_short: u32::from(flow.flags) & abi::FLOW_IS_SHORT != 0,
            service: Some(flow.service).filter(|service| *service != 0),
        }
    }
}

impl Dataplane {
    /// Every connection that is not over; `uptime` is the time since the host was started (`CLOCK_MONOTONIC`).
    pub fn flows(&self, uptime: Duration) -> Result<Vec<Flow>, DataplaneError> {
        let now = tick(uptime);
        let mut found = Vec::new();
        for table in [&self.flows, &self.openings] {
            table.each(|key, flow| {
                if !is_over(&flow, now) {
                    found.push(Flow::of(&key, &flow, now));
                }
            })?;
        }
        Ok(found)
    }

    /// Makes room: forgets connections that are over, and those of endpoints of this host that are gone.
    pub fn sweep(&self, uptime: Duration) -> Result<Swept, DataplaneError> {
        let now = tick(uptime);
        let is_dead = |flow: &abi::flow| -> Result<bool, DataplaneError> {
            for link in flow.links.iter().filter(|link| **link != 0) {
                if self.endpoints.get(link)?.is_none() {
                    return Ok(true);
                }
            }
            Ok(is_over(flow, now))
        };
        let (mut swept, mut dead) = (Swept::default(), Vec::new());
        self.flows.each(|key, flow| match is_dead(&flow) {
            Ok(false) => swept.living += 1,
            _ => dead.push(key),
        })?;
        for key in dead {
            // It may have been opened anew since.
            if self.flows.get(&key)?.map(|flow| is_dead(&flow)).transpose()?.unwrap_or(false) {
                self.flows.remove(&key)?;
                swept.forgotten += 1;
            }
        }
        Ok(swept)
    }
}

/// As `flow_is_over` of `bpf/stage/connection.h`.
fn is_over(flow: &abi::flow, now: u32) -> bool {
    flow.expires.wrapping_sub(now).cast_signed() <= 0
}

fn tick(uptime: Duration) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "ticks count up to 146 years")]
    let tick = (uptime.as_nanos() >> abi::FLOW_TICK_BITS) as u32;
    tick
}

fn ticks(count: u32) -> Duration {
    Duration::from_nanos(u64::from(count) << abi::FLOW_TICK_BITS)
}
