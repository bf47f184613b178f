//! What is measured: who competes, at what load, how often.

use serde::{Deserialize, Serialize};
use weft_model::Attachment;

use crate::measure::ROUNDS_MIN;
use crate::{BY_PAIR, PHYSICAL as ON_PHYSICAL};

/// Who attaches containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Who {
    /// The real shim and a real agent.
    Weft,
    /// The kernel objects of the same attachment, made by netlink in one process, and one exec of a static program.
    Bare,
    /// The same, and what the programs at an endpoint's door add: the queueing discipline, both filters, their maps.
    Doors,
    /// Debian's plugin that makes the same links, with `host-local`.
    Plugin,
    /// The same without IPv6: on a physical network, the plugin waits a second or two until nobody objects to an IPv6
    /// address, and nothing else of it would show.
    PluginIpv4,
    /// Debian's `bridge`, translating, with `host-local`, then `portmap`, then `firewall`.
    Chain,
}

impl Who {
    /// How many ADDs at once make its population: as many as it bears.
    pub(super) fn fills_at_once(self) -> u32 {
        match self {
            Who::Weft => BURST,
            Who::Bare | Who::Doors | Who::Chain => 1,
            Who::Plugin | Who::PluginIpv4 => 8,
        }
    }
}

/// One contender in a host of its own, which has so many endpoints already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Lane {
    pub(super) who: Who,
    pub(super) attachment: Attachment,
    pub(super) present: u32,
}

impl Lane {
    /// The lane in which `who` competes for `attachment`: by pairs of links, the reference knows but one.
    pub(super) fn new(who: Who, attachment: Attachment, present: u32) -> Self {
        let attachment = match who {
            Who::Weft | Who::Bare | Who::Doors => attachment,
            Who::Plugin | Who::PluginIpv4 if attachment.has_parent() => attachment,
            Who::Plugin | Who::PluginIpv4 | Who::Chain => Attachment::Bridge,
        };
        Self { who, attachment, present }
    }

    /// Who it is, by the names that people know.
    pub(super) fn title(self) -> String {
        match self.who {
            Who::Weft => "weft".to_owned(),
            Who::Bare => "bare netlink + exec".to_owned(),
            Who::Doors => "bare netlink + doors + exec".to_owned(),
            Who::Plugin => format!("{}+host-local", plugin(self.attachment)),
            Who::PluginIpv4 => format!("{}+host-local, IPv4 alone", plugin(self.attachment)),
            Who::Chain => "the same+portmap+firewall".to_owned(),
        }
    }
}

/// Debian's plugin that joins containers likewise.
pub(super) fn plugin(attachment: Attachment) -> &'static str {
    if attachment == Attachment::Device { "host-device" } else { attachment.word() }
}

/// What a contender does before it is the next one's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    /// Threads.
    pub(super) at_once: u32,
    /// ADDs, and as many DELs after them; or both together, if mixed.
    pub(super) steps: u32,
    /// ADD and DEL by chance.
    pub(super) mixed: bool,
}

impl Turn {
    const fn pure(at_once: u32, steps: u32) -> Self {
        Self { at_once, steps, mixed: false }
    }

    const fn mixed(at_once: u32, steps: u32) -> Self {
        Self { at_once, steps, mixed: true }
    }

    /// Slots it needs. A mixed turn has half of its slots in use at any time, once it is under way.
    pub(super) const fn slots(self) -> u32 {
        if self.mixed { self.steps / 4 } else { self.steps }
    }
}

/// ADDs at once of a burst.
pub(super) const BURST: u32 = 250;
/// Slots of a host beyond its population: enough for every turn.
pub(super) const SPARE_SLOTS: u32 = 128;

pub(super) const FEW: Turn = Turn::pure(1, 4);
pub(super) const ONE: Turn = Turn::pure(1, 1);
pub(super) const EIGHT_AT_ONCE: Turn = Turn::pure(8, 64);
pub(super) const ALL_AT_ONCE: Turn = Turn::pure(64, 64);
pub(super) const MANY: Turn = Turn::pure(1, 100);
pub(super) const MANY_MIXED: Turn = Turn::mixed(1, 200);
pub(super) const MANY_BY_8: Turn = Turn::pure(8, 104);
pub(super) const MANY_MIXED_BY_8: Turn = Turn::mixed(8, 224);

/// Contenders that take turns, every one of them in every round.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    /// On which networks.
    pub(super) attachments: &'static [Attachment],
    /// Who competes, each in hosts with so many endpoints.
    pub(super) cast: &'static [(Who, &'static [u32])],
    pub(super) turns: &'static [Turn],
    /// Rounds for every hundred that are asked for, and at least.
    pub(super) share: u32,
    pub(super) rounds_min: u32,
    /// Left out of a quick run.
    pub(super) slow: bool,
}

/// Rounds of what a question is about.
pub(super) const RESOLVED: u32 = ROUNDS_MIN as u32;

pub(super) static ALONE: Case = Case {
    name: "alone",
    attachments: &BY_PAIR,
    cast: &[(Who::Weft, &[1]), (Who::Bare, &[1]), (Who::Plugin, &[1])],
    turns: &[FEW],
    share: 100,
    rounds_min: RESOLVED,
    slow: false,
};

/// On the physical network, beside the plugins that join it likewise: one at a time, of which each takes seconds.
pub(super) static PHYSICAL: Case = Case {
    name: "physical",
    attachments: &ON_PHYSICAL,
    cast: &[(Who::Weft, &[1]), (Who::Plugin, &[1]), (Who::PluginIpv4, &[1])],
    turns: &[ONE],
    share: 50,
    ..ALONE
};

pub(super) static CHAIN: Case = Case {
    name: "chain",
    attachments: &BY_PAIR,
    cast: &[(Who::Weft, &[1]), (Who::Chain, &[1])],
    turns: &[ONE],
    share: 20,
    rounds_min: RESOLVED,
    slow: false,
};

static AT_ONCE: Case = Case {
    name: "at-once",
    attachments: &BY_PAIR,
    cast: &[(Who::Weft, &[1]), (Who::Bare, &[1]), (Who::Plugin, &[1])],
    turns: &[EIGHT_AT_ONCE, ALL_AT_ONCE],
    share: 10,
    rounds_min: 1,
    slow: false,
};

/// What programs add, at every load that it is asked for.
pub(super) static DOORS: Case = Case {
    name: "doors",
    attachments: &BY_PAIR,
    cast: &[(Who::Weft, &[1]), (Who::Bare, &[1]), (Who::Doors, &[1])],
    turns: &[FEW, EIGHT_AT_ONCE, ALL_AT_ONCE],
    share: 30,
    rounds_min: RESOLVED,
    slow: false,
};

static CHAIN_AT_ONCE: Case = Case {
    name: "chain-at-once",
    attachments: &BY_PAIR,
    cast: &[(Who::Weft, &[1]), (Who::Chain, &[1])],
    turns: &[Turn::pure(8, 16), Turn::pure(64, 64)],
    share: 2,
    rounds_min: 1,
    slow: true,
};

pub(super) static MIXED: Case = Case {
    name: "mixed",
    attachments: &BY_PAIR,
    cast: &[(Who::Weft, &[1])],
    turns: &[MANY, MANY_MIXED, MANY_BY_8, MANY_MIXED_BY_8],
    share: 12,
    rounds_min: RESOLVED,
    slow: false,
};

/// The reference is left out at 1,000: it takes minutes to get there, and shows its growth before.
pub(super) static CROWD: Case = Case {
    name: "crowd",
    attachments: &BY_PAIR,
    cast: &[(Who::Weft, &[1, 250, 1000]), (Who::Bare, &[1, 250, 1000]), (Who::Plugin, &[250])],
    turns: &[FEW],
    share: 50,
    rounds_min: RESOLVED,
    slow: false,
};

/// In the order in which they are measured: the crowd last, so that nothing else has it on the machine.
pub(super) static CASES: [&Case; 8] = [&ALONE, &PHYSICAL, &CHAIN, &AT_ONCE, &DOORS, &CHAIN_AT_ONCE, &MIXED, &CROWD];

/// The name under which bursts are recorded that make populations.
pub(super) const FILL: &str = "burst";

impl Case {
    /// Rounds, if so many are asked for.
    pub(super) fn rounds(&self, asked: u32) -> u32 {
        (asked * self.share / 100).max(self.rounds_min)
    }

    /// Its lanes for networks of those of these attachments that it is about.
    pub(super) fn lanes(&self, attachments: &[Attachment]) -> Vec<Lane> {
        let attachments = || attachments.iter().filter(|attachment| self.attachments.contains(attachment));
        let each = self.cast.iter().flat_map(|(who, present)| present.iter().map(move |present| (*who, *present)));
        let lane = |(who, present)| attachments().map(move |attachment| Lane::new(who, *attachment, present));
        let mut lanes: Vec<Lane> = each.flat_map(lane).collect();
        lanes.sort_unstable();
        lanes.dedup();
        lanes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_turn_fits_the_slots() {
        for turn in CASES.iter().flat_map(|case| case.turns) {
            assert!(turn.slots() <= SPARE_SLOTS, "{turn:?}");
            assert!(!turn.mixed || (turn.steps % turn.at_once == 0 && turn.slots() % turn.at_once == 0), "{turn:?}");
        }
    }

    #[test]
    fn the_reference_competes_once_for_all_networks() {
        let lanes = ALONE.lanes(&[Attachment::Bridge, Attachment::Routed]);
        assert_eq!(lanes.iter().filter(|lane| lane.who == Who::Plugin).count(), 1);
        assert_eq!(lanes.len(), 5);
    }

    #[test]
    fn on_a_physical_network_weft_competes_with_the_plugin_of_the_same_kind() {
        let titles: Vec<String> =
            PHYSICAL.lanes(&[Attachment::Bridge, Attachment::Ipvlan]).into_iter().map(Lane::title).collect();
        assert_eq!(titles, ["weft", "ipvlan+host-local", "ipvlan+host-local, IPv4 alone"]);
        assert!(ALONE.lanes(&ON_PHYSICAL).is_empty());
    }
}
