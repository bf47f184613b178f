//! What two verdicts come to: the same, in the same order, as `policy_decide` of `bpf/stage/policy.h` has it.

use weft_model::{Action, Tier};

use crate::table::{Ranked, RuleNumber, Verdict};

/// Whether a connection may be opened, as one end of it sees it, and who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// It may.
    pub is_allowed: bool,
    /// The rule that says so; `None` if it is allowed because nobody says anything, or denied because an endpoint that
    /// policies select gets what they accept and nothing else.
    pub rule: Option<RuleNumber>,
    /// The tier that decides; `None` if none does.
    pub tier: Option<Tier>,
}

/// Decides by what is said about the other end's identity, and about its address. `is_isolated`: a `NetworkPolicy`
/// selects the endpoint for this way.
pub fn decide(by_identity: &Verdict, by_address: &Verdict, is_isolated: bool) -> Decision {
    let said = |tier: Tier, ranked: Ranked| Decision {
        is_allowed: ranked.action == Action::Accept,
        rule: Some(ranked.rule),
        tier: Some(tier),
    };
    if let Some(first) = first(by_identity.admin, by_address.admin)
        && first.action != Action::Pass
    {
        return said(Tier::Admin, first);
    }
    if is_isolated {
        let rule = by_identity.network.or(by_address.network);
        return Decision { is_allowed: rule.is_some(), rule, tier: Some(Tier::Network) };
    }
    match first(by_identity.baseline, by_address.baseline) {
        Some(first) if first.action != Action::Pass => said(Tier::Baseline, first),
        _ => Decision { is_allowed: true, rule: None, tier: None },
    }
}

/// The one of the lower rank.
fn first(one: Option<Ranked>, other: Option<Ranked>) -> Option<Ranked> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if one.rank <= other.rank { one } else { other }),
        (one, other) => one.or(other),
    }
}
