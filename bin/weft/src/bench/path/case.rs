//! What is measured, where, and the answers that weft must reach.

use std::time::Duration;

use weft_model::Family;

use super::contender::Contender;
use super::cpus::Cpus;
use super::work::Work;
use crate::bench::measure::Bound;

/// Work that every contender does by turns, in every round.
#[derive(Debug)]
pub(in crate::bench) struct Case {
    pub(in crate::bench) name: &'static str,
    pub(in crate::bench) title: &'static str,
    pub(super) work: Work,
    pub(super) family: Family,
    pub(super) cpus: Cpus,
    /// What weft's rate is divided by, and what that must come to, if it is more than a report.
    pub(super) rivals: &'static [(Contender, Option<Bound>)],
}

/// How long one turn lasts.
pub(in crate::bench) const TURN: Duration = Duration::from_millis(300);
/// The same in a quick run.
pub(in crate::bench) const TURN_QUICK: Duration = Duration::from_millis(100);

const COST: &[(Contender, Option<Bound>)] = &[
    (Contender::Empty, Some(Bound::AtLeast(0.95))),
    (Contender::Loopback, Some(Bound::AtLeast(0.9))),
    (Contender::Bridge, Some(Bound::AtLeast(1.0))),
];
const REPORTED: &[(Contender, Option<Bound>)] =
    &[(Contender::Empty, None), (Contender::Loopback, None), (Contender::Bridge, None)];
const NEVER_BEHIND: &[(Contender, Option<Bound>)] = &[(Contender::Bridge, Some(Bound::AtLeast(1.0)))];

pub(in crate::bench) static EXCHANGE: Case = Case {
    name: "exchange",
    title: "request/response, one CPU",
    work: Work::Exchange,
    family: Family::IPv4,
    cpus: Cpus::One,
    rivals: COST,
};

pub(super) static EXCHANGE_IPV6: Case =
    Case { name: "exchange-ipv6", title: "request/response, one CPU, IPv6", family: Family::IPv6, ..EXCHANGE };

static EXCHANGE_APART: Case =
    Case { name: "exchange-apart", title: "request/response, two CPUs", cpus: Cpus::Two, rivals: REPORTED, ..EXCHANGE };

static EXCHANGE_APART_IPV6: Case = Case {
    name: "exchange-apart-ipv6",
    title: "request/response, two CPUs, IPv6",
    family: Family::IPv6,
    ..EXCHANGE_APART
};

static STREAM: Case = Case {
    name: "stream",
    title: "throughput, 1 stream",
    work: Work::Streams(1),
    family: Family::IPv4,
    cpus: Cpus::Two,
    rivals: NEVER_BEHIND,
};

static STREAMS: Case =
    Case { name: "streams", title: "throughput, 4 streams", work: Work::Streams(4), cpus: Cpus::Any, ..STREAM };

pub(in crate::bench) static CONNECT: Case =
    Case { name: "connect", title: "connect rate, one CPU", work: Work::Connect, cpus: Cpus::One, ..STREAM };

/// On one CPU, the sender would only fill the receiver's queue until its time is up.
pub(in crate::bench) static DATAGRAMS: Case =
    Case { name: "datagrams", title: "64-byte UDP received", work: Work::Datagrams, cpus: Cpus::Two, ..STREAM };

/// A stream that is not compared with anybody's: the ends are wherever the kernel puts them.
pub(in crate::bench) static FLOW: Case =
    Case { name: "flow", title: "1 stream", cpus: Cpus::Any, rivals: &[], ..STREAM };

/// In the order in which they are measured.
pub(super) static CASES: [&Case; 8] =
    [&EXCHANGE, &EXCHANGE_IPV6, &EXCHANGE_APART, &EXCHANGE_APART_IPV6, &STREAM, &STREAMS, &CONNECT, &DATAGRAMS];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_case_has_a_name_of_its_own_and_a_rival() {
        let names: BTreeSet<_> = CASES.iter().map(|case| case.name).collect();
        let titles: BTreeSet<_> = CASES.iter().map(|case| case.title).collect();
        assert_eq!((names.len(), titles.len()), (CASES.len(), CASES.len()));
        assert!(CASES.iter().all(|case| !case.rivals.is_empty()));
    }

    #[test]
    fn nobody_is_held_against_weft_itself() {
        let rivals = || CASES.iter().flat_map(|case| case.rivals);
        assert!(rivals().all(|(rival, _)| rival.network().is_none()));
    }
}
