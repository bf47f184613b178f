//! The questions that the figures answer, and the answers that weft must reach.

use weft_model::Attachment;

use super::case::{
    ALL_AT_ONCE, ALONE, CHAIN, CROWD, Case, DOORS, EIGHT_AT_ONCE, FEW, MANY, MANY_BY_8, MANY_MIXED, MANY_MIXED_BY_8,
    MIXED, ONE, PHYSICAL, Turn, Who,
};
use crate::measure::{Bound, Point};
use crate::plugin::Operation;

/// One figure per round: milliseconds of one contender.
#[derive(Debug, Clone, Copy)]
pub(super) struct Term {
    pub(super) case: &'static Case,
    pub(super) turn: Turn,
    pub(super) who: Who,
    pub(super) present: u32,
    pub(super) operation: Operation,
    pub(super) point: Point,
}

/// What is counted once, not sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fact {
    /// Calls that failed in bursts.
    BurstFailures,
    /// Addresses in bursts that somebody else had as well.
    BurstDuplicates,
    /// The agent's resident memory, in MB, with all endpoints present.
    ResidentMb,
    /// Kernel memory of the programs' maps, in MB, with all endpoints present.
    MapMb,
}

/// What a question is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asked {
    Ratio(Term, Term),
    /// ADD over ADD without programs. weft has no ADD without programs, so it is what is left of `weft` without that by
    /// which `doors`, the bare requests with all that programs add to a birth, exceeds `bare`. Of each, the time that a
    /// round took by its calls.
    OverDoorless {
        weft: Term,
        doors: Term,
        bare: Term,
    },
    Milliseconds(Term),
    Fact(Fact),
}

impl Asked {
    pub(super) fn unit(self) -> &'static str {
        match self {
            Asked::Ratio(..) | Asked::OverDoorless { .. } => "x",
            Asked::Milliseconds(_) => "ms",
            Asked::Fact(Fact::ResidentMb | Fact::MapMb) => "MB",
            Asked::Fact(Fact::BurstFailures | Fact::BurstDuplicates) => "",
        }
    }
}

/// A question, on which networks it is asked, and the answer that weft must reach.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) text: &'static str,
    pub(super) attachments: &'static [Attachment],
    pub(super) asked: Asked,
    pub(super) target: Bound,
}

/// How [`Asked::OverDoorless`] comes about.
pub(super) const LEGEND: &str = "weft without programs, which there is not: weft - (bare netlink + doors - bare \
                                 netlink), round by round, each as the time a round took by its ADDs: what calls at \
                                 once wait for each other does not add up";

const BOTH: &[Attachment] = &[Attachment::Bridge, Attachment::Routed];
const BRIDGE: &[Attachment] = &[Attachment::Bridge];
const ROUTED: &[Attachment] = &[Attachment::Routed];
const MACVLAN: &[Attachment] = &[Attachment::Macvlan];
const IPVLAN: &[Attachment] = &[Attachment::Ipvlan];
const DEVICE: &[Attachment] = &[Attachment::Device];

const fn add(case: &'static Case, turn: Turn, who: Who, present: u32) -> Term {
    Term { case, turn, who, present, operation: Operation::Add, point: Point::Median }
}

const fn add_mean(case: &'static Case, turn: Turn, who: Who) -> Term {
    Term { point: Point::Mean, ..add(case, turn, who, 1) }
}

const fn add_p99(turn: Turn) -> Term {
    Term { point: Point::P99, ..add(&MIXED, turn, Who::Weft, 1) }
}

const fn ratio(
    text: &'static str,
    attachments: &'static [Attachment],
    above: Term,
    below: Term,
    target: Bound,
) -> Question {
    Question { text, attachments, asked: Asked::Ratio(above, below), target }
}

const fn over_doorless(text: &'static str, turn: Turn) -> Question {
    let [weft, doors, bare] =
        [add(&DOORS, turn, Who::Weft, 1), add(&DOORS, turn, Who::Doors, 1), add(&DOORS, turn, Who::Bare, 1)];
    let asked = Asked::OverDoorless { weft, doors, bare };
    Question { text, attachments: BOTH, asked, target: Bound::AtMost(1.3) }
}

const WEFT_ALONE: Term = add(&ALONE, FEW, Who::Weft, 1);
const WEFT_MEAN: Term = add_mean(&ALONE, FEW, Who::Weft);
/// The reference plugin waits 50 ms for its IPv6 address or not at all, as it happens.
const REFERENCE_MEAN: Term = add_mean(&ALONE, FEW, Who::Plugin);
const WEFT_PHYSICAL: Term = add_mean(&PHYSICAL, ONE, Who::Weft);
const REFERENCE_PHYSICAL: Term = add_mean(&PHYSICAL, ONE, Who::Plugin);
const REFERENCE_IPV4: Term = add_mean(&PHYSICAL, ONE, Who::PluginIpv4);
const WEFT_IN_CROWD: Term = add(&CROWD, FEW, Who::Weft, 1000);

/// Every question with its target.
pub(super) static QUESTIONS: [Question; 22] = [
    ratio("ADD: weft / bare netlink + exec", BOTH, WEFT_ALONE, add(&ALONE, FEW, Who::Bare, 1), Bound::AtMost(1.5)),
    ratio("mean ADD: bridge+host-local / weft", BRIDGE, REFERENCE_MEAN, WEFT_MEAN, Bound::AtLeast(8.0)),
    ratio("mean ADD: bridge+host-local / weft", ROUTED, REFERENCE_MEAN, WEFT_MEAN, Bound::AtLeast(10.0)),
    ratio("mean ADD: macvlan+host-local / weft", MACVLAN, REFERENCE_PHYSICAL, WEFT_PHYSICAL, Bound::AtLeast(5.0)),
    ratio("mean ADD: ipvlan+host-local / weft", IPVLAN, REFERENCE_PHYSICAL, WEFT_PHYSICAL, Bound::AtLeast(5.0)),
    ratio(
        "mean ADD: macvlan+host-local, IPv4 alone / weft, both",
        MACVLAN,
        REFERENCE_IPV4,
        WEFT_PHYSICAL,
        Bound::AtLeast(5.0),
    ),
    ratio(
        "mean ADD: ipvlan+host-local, IPv4 alone / weft, both",
        IPVLAN,
        REFERENCE_IPV4,
        WEFT_PHYSICAL,
        Bound::AtLeast(5.0),
    ),
    // The kernel moves a device between namespaces for all alike, and that is most of it.
    ratio("mean ADD: host-device+host-local / weft", DEVICE, REFERENCE_PHYSICAL, WEFT_PHYSICAL, Bound::AtLeast(1.0)),
    ratio(
        "mean ADD: host-device+host-local, IPv4 alone / weft, both",
        DEVICE,
        REFERENCE_IPV4,
        WEFT_PHYSICAL,
        Bound::AtLeast(1.0),
    ),
    ratio(
        "mean ADD: the same+portmap+firewall / weft",
        BOTH,
        add_mean(&CHAIN, ONE, Who::Chain),
        add_mean(&CHAIN, ONE, Who::Weft),
        Bound::AtLeast(50.0),
    ),
    ratio(
        "ADD with 1,000 present: weft / bare",
        BRIDGE,
        WEFT_IN_CROWD,
        add(&CROWD, FEW, Who::Bare, 1000),
        Bound::AtMost(1.2),
    ),
    ratio("ADD: 1,000 / 1 present", ROUTED, WEFT_IN_CROWD, add(&CROWD, FEW, Who::Weft, 1), Bound::AtMost(1.2)),
    over_doorless("pace of ADD: weft / weft without programs", FEW),
    over_doorless("pace of ADD, 8 at once: weft / weft without programs", EIGHT_AT_ONCE),
    over_doorless("pace of ADD, 64 at once: weft / weft without programs", ALL_AT_ONCE),
    Question {
        text: "DEL p50",
        attachments: BOTH,
        asked: Asked::Milliseconds(Term { operation: Operation::Del, ..WEFT_ALONE }),
        target: Bound::AtMost(3.0),
    },
    ratio("ADD p99: mixed / alone", BOTH, add_p99(MANY_MIXED), add_p99(MANY), Bound::AtMost(2.0)),
    ratio("ADD p99, 8 at once: mixed / alone", BOTH, add_p99(MANY_MIXED_BY_8), add_p99(MANY_BY_8), Bound::AtMost(2.0)),
    Question {
        text: "250 ADDs at once: failures",
        attachments: BOTH,
        asked: Asked::Fact(Fact::BurstFailures),
        target: Bound::AtMost(0.0),
    },
    Question {
        text: "250 ADDs at once: duplicate addresses",
        attachments: BOTH,
        asked: Asked::Fact(Fact::BurstDuplicates),
        target: Bound::AtMost(0.0),
    },
    Question {
        text: "resident memory of weftd, 1,000 present",
        attachments: BOTH,
        asked: Asked::Fact(Fact::ResidentMb),
        target: Bound::AtMost(30.0),
    },
    Question {
        text: "kernel memory of the maps, 1,000 present",
        attachments: BOTH,
        asked: Asked::Fact(Fact::MapMb),
        target: Bound::AtMost(64.0),
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attach::case::{CASES, Lane, RESOLVED};

    #[test]
    fn every_question_is_about_something_that_is_measured() {
        for question in &QUESTIONS {
            let terms = match question.asked {
                Asked::Ratio(above, below) => vec![above, below],
                Asked::OverDoorless { weft, doors, bare } => vec![weft, doors, bare],
                Asked::Milliseconds(term) => vec![term],
                Asked::Fact(_) => vec![],
            };
            for term in terms {
                let lanes = term.case.lanes(question.attachments);
                let is_cast = |attachment| lanes.contains(&Lane::new(term.who, attachment, term.present));
                assert!(question.attachments.iter().all(|attachment| is_cast(*attachment)), "{}", question.text);
                assert!(term.case.turns.contains(&term.turn), "{}", question.text);
                assert!(CASES.iter().any(|case| case.name == term.case.name));
                assert!(term.case.rounds(1) >= RESOLVED, "{}", question.text);
            }
        }
    }
}
