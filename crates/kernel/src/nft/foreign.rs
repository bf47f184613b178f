//! The forward chains of others: found, and given one marked accept each.
//!
//! An accept in a table of our own ends that table's chain only: a packet that Docker's or a firewall's forward chain
//! drops is dropped. So the accept has to stand in their chain, at the place the owner keeps free for such rules.
//! Chains of iptables-legacy are no part of nftables and cannot be seen here, only that there are some:
//! [`xtables`].

use super::error::NftError;
use super::record::{ChainRecord, HookRecord, RuleRecord};
use super::table::{ChainRef, Family, Field, Match, Policy, Rule, Statement};
use super::transaction::{Place, Transaction};
use super::uapi::NF_DROP;
use super::{Nft, OWN_TABLE};

/// Chains that their owner leaves to the user and never writes to: Docker's.
const RESERVED: &[&str] = &["DOCKER-USER"];

/// Where the kernel lists the tables of iptables-legacy and ip6tables-legacy, for the calling thread's namespace.
const XTABLES_NAMES: [&str; 2] = ["/proc/thread-self/net/ip_tables_names", "/proc/thread-self/net/ip6_tables_names"];

/// The tables of iptables-legacy and ip6tables-legacy in the calling thread's namespace. What is in them only these
/// programs can tell.
pub fn xtables() -> Vec<String> {
    let names = XTABLES_NAMES.iter().filter_map(|path| std::fs::read_to_string(path).ok());
    names.flat_map(|names| names.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// A chain of somebody else that packets through the host must pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardChain {
    /// Its name.
    pub at: ChainRef,
    /// Its priority; all chains of the hook are passed, in this order.
    pub priority: i32,
    /// What it says of packets that no rule decided.
    pub policy: Policy,
    /// Whether packets that no rule accepts end here: by policy, or by a last rule that rejects or drops everything.
    pub refuses: bool,
    /// The chain its owner leaves to us, if it jumps to such a one.
    pub reserved: Option<ChainRef>,
}

impl ForwardChain {
    /// Where an accept belongs: the reserved chain, else this chain itself.
    pub fn place(&self) -> &ChainRef {
        self.reserved.as_ref().unwrap_or(&self.at)
    }
}

/// A rule of ours in a chain of somebody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accept {
    /// The chain it stands in.
    pub at: ChainRef,
    /// Its handle, unique in its table.
    pub handle: u64,
}

impl Nft {
    /// Every forward chain of the namespace that is not weft's, in tables of `ip`, `ip6`, `inet` and `bridge`.
    pub fn forward_chains(&mut self) -> Result<Vec<ForwardChain>, NftError> {
        self.steadily(|nft| {
            let mut found = Vec::new();
            for ChainRecord { at, hook } in nft.foreign_chains()? {
                if let Some(hook) = hook.filter(HookRecord::is_forward) {
                    let rules = nft.rules(&at)?;
                    found.push(forward_chain(at, &hook, &rules));
                }
            }
            Ok(found)
        })
    }

    /// Puts a rule that accepts what `matches` say on top of a foreign chain, unless one with `comment` is in it.
    /// True if it was put there.
    ///
    /// Takes interfaces, addresses and protocols only: these iptables can list and save; anything else makes
    /// `iptables -S` give up on the whole table.
    pub fn insert_accept(&mut self, at: &ChainRef, matches: &[Match], comment: &str) -> Result<bool, NftError> {
        let invalid = |reason| NftError::Invalid { object: format!("rule {comment:?} in {at}"), reason };
        if comment.is_empty() {
            return Err(invalid("it needs a comment to be found by"));
        }
        if !matches.iter().all(listable) {
            return Err(invalid("iptables could not list it"));
        }
        if self.rules(at)?.iter().any(|rule| is_marked(rule, comment)) {
            return Ok(false);
        }
        let statements = vec![Statement::Counter, Statement::Accept];
        let rule = Rule { matches: matches.to_vec(), statements, comment: comment.to_owned() };
        let mut transaction = Transaction::begin(self.sequence, None);
        transaction.add_rule(at, &rule, Place::Top)?;
        self.commit(transaction)?;
        Ok(true)
    }

    /// Every rule with `comment` in a foreign forward chain or in a chain reserved by one's owner.
    pub fn accepts(&mut self, comment: &str) -> Result<Vec<Accept>, NftError> {
        self.steadily(|nft| {
            let mut found = Vec::new();
            for ChainRecord { at, hook } in nft.foreign_chains()? {
                if hook.as_ref().is_some_and(HookRecord::is_forward) || RESERVED.contains(&at.chain.as_str()) {
                    let rules = nft.rules(&at)?.into_iter().filter(|rule| is_marked(rule, comment));
                    found.extend(rules.map(|rule| Accept { at: rule.at, handle: rule.handle }));
                }
            }
            Ok(found)
        })
    }

    /// Takes all of [`Nft::accepts`] away; none there is fine.
    pub fn remove_accepts(&mut self, comment: &str) -> Result<(), NftError> {
        let accepts = self.accepts(comment)?;
        self.remove(accepts)
    }

    /// Takes those of [`Nft::accepts`] away that stand in one chain; none there is fine.
    pub fn remove_accept(&mut self, at: &ChainRef, comment: &str) -> Result<(), NftError> {
        let accepts = self.accepts(comment)?;
        self.remove(accepts.into_iter().filter(|accept| accept.at == *at))
    }

    fn remove(&mut self, accepts: impl IntoIterator<Item = Accept>) -> Result<(), NftError> {
        for accept in accepts {
            let mut transaction = Transaction::begin(self.sequence, None);
            transaction.remove_rule(&accept.at, accept.handle)?;
            match self.commit(transaction) {
                Err(error) if !error.is_absent() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn foreign_chains(&mut self) -> Result<Vec<ChainRecord>, NftError> {
        let mut chains = self.chains()?;
        chains.retain(|chain| is_foreign(&chain.at));
        Ok(chains)
    }
}

fn forward_chain(at: ChainRef, hook: &HookRecord, rules: &[RuleRecord]) -> ForwardChain {
    let policy = if hook.policy == NF_DROP { Policy::Drop } else { Policy::Accept };
    ForwardChain {
        priority: hook.priority,
        policy,
        refuses: policy == Policy::Drop || rules.last().is_some_and(RuleRecord::refuses_all),
        reserved: reserved(&at, rules),
        at,
    }
}

fn is_foreign(at: &ChainRef) -> bool {
    let forwards = matches!(at.family, Family::Ip | Family::Ip6 | Family::Inet | Family::Bridge);
    forwards && !(at.family == Family::Inet && at.table == OWN_TABLE)
}

fn is_marked(rule: &RuleRecord, comment: &str) -> bool {
    rule.comment().is_some_and(|found| found == comment)
}

fn reserved(at: &ChainRef, rules: &[RuleRecord]) -> Option<ChainRef> {
    let chain = rules.iter().filter_map(RuleRecord::jump).find(|chain| RESERVED.contains(&chain.as_str()))?;
    Some(ChainRef { chain, ..at.clone() })
}

fn listable(condition: &Match) -> bool {
    let (Match::Is(field) | Match::Not(field)) = condition;
    matches!(field, Field::Input(_) | Field::Output(_) | Field::Source(_) | Field::Destination(_) | Field::Protocol(_))
}
