//! What both clients hear and say.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ipnet::IpNet;
use weft_model::{Family, Grant};

use crate::{Identity, v4, v6};

/// When something happens, and what chance had to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Since boot, the time asleep included: leases end while a host sleeps.
    pub now: Duration,
    /// Seconds since 1970, for people; nothing is decided by it.
    pub unix_s: u64,
    /// Other bits each time: for transaction ids, which a stranger must not guess, and for jitter.
    pub random: u64,
}

impl Moment {
    /// A transaction id.
    pub(crate) fn transaction(self) -> u32 {
        u32::try_from(self.random & u64::from(u32::MAX)).unwrap_or(0)
    }

    /// `around`, more or less by up to `spread`.
    pub(crate) fn jitter(self, around: Duration, spread: Duration) -> Duration {
        let part = f64::from(u32::try_from(self.random >> 32).unwrap_or(0)) / f64::from(u32::MAX);
        (around + spread.mul_f64(2.0 * part)).saturating_sub(spread)
    }

    /// Between nothing and `most`.
    pub(crate) fn delay(self, most: Duration) -> Duration {
        self.jitter(most / 2, most / 2)
    }
}

/// What happens to a client.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// It is to get an address.
    Start,
    /// Time has passed.
    Wake,
    /// A DHCP message came in, of its family.
    Received(&'a [u8]),
    /// Somebody else on the link has the address, or is about to take it.
    Claimed(IpAddr),
    /// The address is needed no more.
    Release,
}

/// What a client wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// A message to be sent.
    Send(Outgoing),
    /// The link is to be asked whether anybody has the address.
    Probe(IpAddr),
    /// The link is to be told that the address is ours.
    Announce(Ipv4Addr),
    /// The grant is in force from now on.
    Hold(Grant, Held),
    /// The address must not be used from now on.
    Lose(IpNet, Loss),
}

/// A DHCP message on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The message, without headers.
    pub message: Vec<u8>,
    /// The address that it is sent from, where the client has one that is sent from; DHCPv6 uses a link-local one.
    pub from: Option<Ipv4Addr>,
    /// The server that it is for alone; to all servers of the link if there is none.
    pub to: Option<Ipv4Addr>,
}

/// How a grant is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// The address was not held before.
    Anew,
    /// For longer, and nothing else is different.
    Longer,
    /// The address is the same; the length of its subnet, or what comes with it, is not.
    Changed,
}

/// Why an address is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Its time was over before any server extended it.
    Expired,
    /// A server said that it is not ours.
    Refused,
    /// It was given back.
    Released,
}

impl std::fmt::Display for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Loss::Expired => "no server extended it in time",
            Loss::Refused => "its server takes it back",
            Loss::Released => "it was given back",
        })
    }
}

/// One client, of either family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Client {
    /// DHCPv4.
    V4(v4::Client),
    /// DHCPv6.
    V6(v6::Client),
}

impl Client {
    /// A client that has nothing yet. Servers may be told `hostname`.
    pub fn fresh(family: Family, identity: Identity, hostname: Option<&str>) -> Self {
        match family {
            Family::IPv4 => Client::V4(v4::Client::fresh(identity, hostname)),
            Family::IPv6 => Client::V6(v6::Client::fresh(identity, hostname)),
        }
    }

    /// A client that goes on where another one ended, which held `grant`.
    pub fn resume(identity: Identity, hostname: Option<&str>, grant: Grant) -> Self {
        match Family::of_net(&grant.address) {
            Family::IPv4 => Client::V4(v4::Client::resume(identity, hostname, grant)),
            Family::IPv6 => Client::V6(v6::Client::resume(identity, hostname, grant)),
        }
    }

    /// Goes on by one step.
    pub fn step(&mut self, event: Event<'_>, moment: Moment) -> Vec<Effect> {
        match self {
            Client::V4(client) => client.step(event, moment),
            Client::V6(client) => client.step(event, moment),
        }
    }

    /// When it wants [`Event::Wake`], since boot; `None` is never.
    pub fn wake_at(&self) -> Option<Duration> {
        match self {
            Client::V4(client) => client.wake_at(),
            Client::V6(client) => client.wake_at(),
        }
    }

    /// What it holds.
    pub fn grant(&self) -> Option<&Grant> {
        match self {
            Client::V4(client) => client.grant(),
            Client::V6(client) => client.grant(),
        }
    }

    /// Whether it waits for an answer that may come any moment.
    pub fn is_listening(&self) -> bool {
        match self {
            Client::V4(client) => client.is_listening(),
            Client::V6(client) => client.is_listening(),
        }
    }

    /// Of which family it is.
    pub fn family(&self) -> Family {
        match self {
            Client::V4(_) => Family::IPv4,
            Client::V6(_) => Family::IPv6,
        }
    }
}

/// What an extension did to a grant.
pub(crate) fn compare(before: &Grant, after: &Grant) -> Held {
    let is_same = Grant { times: after.times, ..before.clone() } == *after;
    if is_same { Held::Longer } else { Held::Changed }
}

/// How long a client waits before it starts anew after so many setbacks in a row: refusals, and addresses that others
/// have. It starts quickly, because somebody waits for a container's birth (RFC 2131, section 3.1, asks for ten seconds
/// after a decline), and ends so slow that a server which only ever refuses is asked once a minute.
pub(crate) fn setback_wait(setbacks: u32, moment: Moment) -> Duration {
    const FIRST: Duration = Duration::from_secs(1);
    const DOUBLINGS_MAX: u32 = 6;
    let wait = FIRST * (1 << setbacks.saturating_sub(1).min(DOUBLINGS_MAX));
    moment.jitter(wait, wait / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_its_bounds() {
        let around = |random| {
            Moment { now: Duration::ZERO, unix_s: 0, random }.jitter(Duration::from_secs(4), Duration::from_secs(1))
        };
        assert_eq!(around(0), Duration::from_secs(3));
        assert_eq!(around(u64::MAX), Duration::from_secs(5));
    }

    #[test]
    fn setbacks_make_slow() {
        let moment = Moment { now: Duration::ZERO, unix_s: 0, random: u64::MAX / 2 };
        assert_eq!(setback_wait(1, moment).as_secs_f64().round() as u64, 1);
        assert_eq!(setback_wait(u32::MAX, moment).as_secs_f64().round() as u64, 64);
    }
}
