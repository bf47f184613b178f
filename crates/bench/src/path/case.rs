//! What is measured, where, and the answers that weft must reach.

use std::time::Duration;

use weft_model::{Attachment, Family};

use super::contender::Contender;
use super::cpus::Cpus;
use super::work::Work;
use crate::measure::Bound;

/// Work that every contender does by turns, in every round.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(super) work: Work,
    pub(super) family: Family,
    pub(super) cpus: Cpus,
    /// What weft's rate is divided by, and what that must come to, if it is more than a report.
    pub(super) rivals: &'static [Rival],
}

impl Case {
    /// What its rate is given in.
    pub(crate) fn unit(&self) -> &'static str {
        self.work.unit()
    }

    /// Whether this contender does it: it is, or is held against, weft on networks for which there is a rival.
    pub(super) fn has_turn_for(&self, contender: Contender) -> bool {
        let is_asked = |network: &Attachment| self.rivals.iter().any(|(rival, _)| rival.is_beside(*network));
        Attachment::ALL.iter().filter(|network| is_asked(network)).any(|network| contender.is_beside(*network))
    }
}

/// How long one turn lasts.
pub(crate) const TURN: Duration = Duration::from_millis(300);
/// The same in a quick run.
pub(crate) const TURN_QUICK: Duration = Duration::from_millis(100);

type Rival = (Contender, Option<Bound>);

const NEVER_BEHIND: Rival = (Contender::Bridge, Some(Bound::AtLeast(1.0)));
/// What keeps containers of a physical network to their addresses may cost so much.
const NEARLY_THE_KERNELS: Rival = (Contender::Macvlan, Some(Bound::AtLeast(0.9)));
const BESIDE_THE_KERNELS: Rival = (Contender::Macvlan, None);

const COST: &[Rival] = &[
    (Contender::Empty, Some(Bound::AtLeast(0.95))),
    (Contender::Loopback, Some(Bound::AtLeast(0.9))),
    NEVER_BEHIND,
    NEARLY_THE_KERNELS,
];
const COST_APART: &[Rival] =
    &[(Contender::Empty, None), (Contender::Loopback, None), (Contender::Bridge, None), NEARLY_THE_KERNELS];

pub(crate) static EXCHANGE: Case = Case {
    name: "exchange",
    title: "request/response, one CPU",
    work: Work::Exchange,
    family: Family::IPv4,
    cpus: Cpus::One,
    rivals: COST,
};

pub(super) static EXCHANGE_IPV6: Case =
    Case { name: "exchange-ipv6", title: "request/response, one CPU, IPv6", family: Family::IPv6, ..EXCHANGE };

static EXCHANGE_APART: Case = Case {
    name: "exchange-apart",
    title: "request/response, two CPUs",
    cpus: Cpus::Two,
    rivals: COST_APART,
    ..EXCHANGE
};

static EXCHANGE_APART_IPV6: Case = Case {
    name: "exchange-apart-ipv6",
    title: "request/response, two CPUs, IPv6",
    family: Family::IPv6,
    ..EXCHANGE_APART
};

pub(crate) static STREAM: Case = Case {
    name: "stream",
    title: "throughput, 1 stream",
    work: Work::Streams(1),
    family: Family::IPv4,
    cpus: Cpus::Two,
    rivals: &[NEVER_BEHIND, NEARLY_THE_KERNELS],
};

/// By pairs of links, the exchange has shown what IPv6 costs; on a physical network, each family has its own check.
static STREAM_IPV6: Case = Case {
    name: "stream-ipv6",
    title: "throughput, 1 stream, IPv6",
    family: Family::IPv6,
    rivals: &[NEARLY_THE_KERNELS],
    ..STREAM
};

static STREAMS: Case =
    Case { name: "streams", title: "throughput, 4 streams", work: Work::Streams(4), cpus: Cpus::Any, ..STREAM };

static STREAMS_IPV6: Case = Case {
    name: "streams-ipv6",
    title: "throughput, 4 streams, IPv6",
    work: Work::Streams(4),
    cpus: Cpus::Any,
    ..STREAM_IPV6
};

pub(crate) static CONNECT: Case = Case {
    name: "connect",
    title: "connect rate, one CPU",
    work: Work::Connect,
    cpus: Cpus::One,
    rivals: &[NEVER_BEHIND, BESIDE_THE_KERNELS],
    ..STREAM
};

static CONNECT_IPV6: Case = Case {
    name: "connect-ipv6",
    title: "connect rate, one CPU, IPv6",
    family: Family::IPv6,
    rivals: &[BESIDE_THE_KERNELS],
    ..CONNECT
};

/// On one CPU, the sender would only fill the receiver's queue until its time is up.
pub(crate) static DATAGRAMS: Case = Case {
    name: "datagrams",
    title: "64-byte UDP received",
    work: Work::Datagrams,
    rivals: &[NEVER_BEHIND, BESIDE_THE_KERNELS],
    ..STREAM
};

static DATAGRAMS_IPV6: Case = Case {
    name: "datagrams-ipv6",
    title: "64-byte UDP received, IPv6",
    family: Family::IPv6,
    rivals: &[BESIDE_THE_KERNELS],
    ..DATAGRAMS
};

/// A stream that is not compared with anybody's: the ends are wherever the kernel puts them.
pub(crate) static FLOW: Case = Case { name: "flow", title: "1 stream", cpus: Cpus::Any, rivals: &[], ..STREAM };

/// In the order in which they are measured.
pub(super) static CASES: [&Case; 12] = [
    &EXCHANGE,
    &EXCHANGE_IPV6,
    &EXCHANGE_APART,
    &EXCHANGE_APART_IPV6,
    &STREAM,
    &STREAM_IPV6,
    &STREAMS,
    &STREAMS_IPV6,
    &CONNECT,
    &CONNECT_IPV6,
    &DATAGRAMS,
    &DATAGRAMS_IPV6,
];

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

    #[test]
    fn on_a_physical_network_everything_is_done_by_both_families() {
        let done: Vec<_> = CASES.into_iter().filter(|case| case.has_turn_for(Contender::Macvlan)).collect();
        assert!(done.iter().all(|case| case.has_turn_for(Contender::Weft(Attachment::Macvlan))));
        let of = |family| done.iter().filter(|case| case.family == family).count();
        assert_eq!((of(Family::IPv4), of(Family::IPv6)), (6, 6));
    }

    #[test]
    fn whoever_has_no_rival_of_his_kind_in_a_case_rests() {
        for (case, rests) in [(&STREAM, false), (&STREAM_IPV6, true)] {
            for contender in [Contender::Weft(Attachment::Routed), Contender::Empty, Contender::Loopback] {
                assert_eq!(!case.has_turn_for(contender), rests, "{}: {contender:?}", case.name);
            }
        }
    }
}
