//! Whether the rules of others have a say about packets that go from one local endpoint to another.
//!
//! Any rule has one, unless it asks for something that such a packet never is: sent to an address of the host's own, or
//! marked by somebody. That is how published ports are written (portmap, Docker), and these must not count: they are
//! about packets that are sent to the host.

use std::collections::BTreeMap;

use super::Nft;
use super::error::NftError;
use super::record::{ChainRecord, HookRecord, RuleRecord};
use super::table::{ChainRef, HookPoint};
use super::uapi::NF_DROP;

/// Jumps that are followed from a base chain. The kernel allows 16 (net/netfilter/nf_tables_api.c,
/// `NFT_JUMP_STACK_SIZE`).
const JUMPS_MAX: usize = 16;

/// Hooks that a packet passes on its way through the host.
const THROUGH: [HookPoint; 3] = [HookPoint::Prerouting, HookPoint::Forward, HookPoint::Postrouting];

impl Nft {
    /// A chain of somebody else's that has a say about packets among endpoints, if there is one.
    pub fn chain_with_a_say(&mut self) -> Result<Option<ChainRef>, NftError> {
        self.steadily(|nft| {
            let chains = nft.foreign_chains()?;
            let mut rules = BTreeMap::new();
            for ChainRecord { at, .. } in &chains {
                rules.insert(at.clone(), nft.rules(at)?);
            }
            let hooked = chains.into_iter().filter_map(|chain| Some((chain.at, chain.hook?)));
            let through = hooked.filter(|(_, hook)| is_through(hook));
            Ok(through.into_iter().find(|(at, hook)| has_a_say(at, hook, &rules)).map(|(at, _)| at))
        })
    }
}

type Rules = BTreeMap<ChainRef, Vec<RuleRecord>>;

fn is_through(hook: &HookRecord) -> bool {
    THROUGH.iter().any(|point| *point as u32 == hook.point)
}

fn has_a_say(at: &ChainRef, hook: &HookRecord, rules: &Rules) -> bool {
    hook.policy == NF_DROP || decides(at, rules, JUMPS_MAX)
}

fn decides(at: &ChainRef, rules: &Rules, jumps: usize) -> bool {
    let of_chain = rules.get(at).map_or(&[][..], Vec::as_slice);
    of_chain.iter().filter(|rule| !rule.is_about_the_host()).any(|rule| match rule.leads_to() {
        Some(chain) if jumps > 0 => decides(&ChainRef { chain, ..at.clone() }, rules, jumps - 1),
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_that_is_not_there_decides_nothing() {
        let at = ChainRef { family: super::super::Family::Ip, table: "nat".to_owned(), chain: "gone".to_owned() };
        assert!(!decides(&at, &Rules::new(), JUMPS_MAX));
    }
}
