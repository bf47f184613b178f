//! Tables, chains and rules as the kernel lists them, whoever made them.

use super::table::{ChainRef, Family};
use super::uapi::*;
use super::wire::{Attributes, Body, Malformed, until_nul};

/// A table.
pub(super) struct TableRecord {
    pub(super) name: String,
    pub(super) flags: u32,
}

/// A chain.
pub(super) struct ChainRecord {
    pub(super) at: ChainRef,
    /// Of base chains only.
    pub(super) hook: Option<HookRecord>,
}

/// How a base chain is hooked in, by the kernel's numbers.
#[derive(Hash)]
pub(super) struct HookRecord {
    pub(super) kind: String,
    pub(super) point: u32,
    pub(super) priority: i32,
    pub(super) policy: i32,
}

/// A rule.
pub(super) struct RuleRecord {
    pub(super) at: ChainRef,
    /// Unique within its table; zero in what was never installed.
    pub(super) handle: u64,
    pub(super) userdata: Vec<u8>,
    pub(super) expressions: Vec<Expression>,
}

/// One step of a rule: its kind and its attributes, in their order.
pub(super) struct Expression {
    pub(super) name: String,
    pub(super) attributes: Vec<(u16, Vec<u8>)>,
}

impl TableRecord {
    pub(super) fn parse(body: &Body<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            name: body.attributes.text(NFTA_TABLE_NAME)?,
            flags: body.attributes.number(NFTA_TABLE_FLAGS).unwrap_or_default(),
        })
    }
}

impl ChainRecord {
    pub(super) fn parse(body: &Body<'_>) -> Result<Self, Malformed> {
        let at = ChainRef {
            family: family(body)?,
            table: body.attributes.text(NFTA_CHAIN_TABLE)?,
            chain: body.attributes.text(NFTA_CHAIN_NAME)?,
        };
        let hooked = body.attributes.get(NFTA_CHAIN_HOOK).is_some();
        let hook = if hooked { Some(HookRecord::parse(&body.attributes)?) } else { None };
        Ok(Self { at, hook })
    }
}

impl HookRecord {
    fn parse(chain: &Attributes<'_>) -> Result<Self, Malformed> {
        let hook = chain.nest(NFTA_CHAIN_HOOK)?;
        Ok(Self {
            kind: chain.text(NFTA_CHAIN_TYPE)?,
            point: hook.number(NFTA_HOOK_HOOKNUM).ok_or(Malformed("a hook without a number"))?,
            priority: hook.number(NFTA_HOOK_PRIORITY).ok_or(Malformed("a hook without a priority"))?.cast_signed(),
            policy: chain.number(NFTA_CHAIN_POLICY).map_or(NF_ACCEPT, u32::cast_signed),
        })
    }
}

impl RuleRecord {
    pub(super) fn parse(body: &Body<'_>) -> Result<Self, Malformed> {
        let attributes = &body.attributes;
        let list = attributes.nest(NFTA_RULE_EXPRESSIONS)?;
        Ok(Self {
            at: ChainRef {
                family: family(body)?,
                table: attributes.text(NFTA_RULE_TABLE)?,
                chain: attributes.text(NFTA_RULE_CHAIN)?,
            },
            handle: attributes.handle(NFTA_RULE_HANDLE).unwrap_or_default(),
            userdata: attributes.get(NFTA_RULE_USERDATA).unwrap_or_default().to_vec(),
            expressions: list.iter().map(|(_, element)| Expression::parse(element)).collect::<Result<_, _>>()?,
        })
    }

    /// The rule's comment: nft keeps it in the user data, iptables-restore turns it into a match that always holds.
    pub(super) fn comment(&self) -> Option<String> {
        let matched = |e: &Expression| e.text("match", NFTA_MATCH_NAME).is_some_and(|name| name == "comment");
        let restored = || self.expressions.iter().find(|e| matched(e)).and_then(|e| e.text("match", NFTA_MATCH_INFO));
        self.userdata_comment().or_else(restored)
    }

    fn userdata_comment(&self) -> Option<String> {
        let mut rest = self.userdata.as_slice();
        while let [kind, length, tail @ ..] = rest {
            let (value, after) = tail.split_at_checked(usize::from(*length))?;
            if *kind == NFTNL_UDATA_RULE_COMMENT {
                return Some(until_nul(value));
            }
            rest = after;
        }
        None
    }

    /// Whether every packet that comes to this rule ends here.
    pub(super) fn refuses_all(&self) -> bool {
        let aside = |e: &&Expression| !["counter", "log"].contains(&e.name.as_str());
        let mut deeds = self.expressions.iter().filter(aside);
        let first = deeds.next().is_some_and(Expression::refuses);
        first && deeds.next().is_none()
    }

    /// The chain this rule jumps to.
    pub(super) fn jump(&self) -> Option<String> {
        let verdicts = self.expressions.iter().filter_map(Expression::verdict);
        verdicts.filter(|(code, _)| *code == NFT_JUMP).find_map(|(_, chain)| chain)
    }
}

impl Expression {
    fn parse(element: &[u8]) -> Result<Self, Malformed> {
        let expression = Attributes::parse(element)?;
        let data = expression.nest(NFTA_EXPR_DATA)?;
        Ok(Self {
            name: expression.text(NFTA_EXPR_NAME)?,
            attributes: data.iter().map(|(kind, value)| (kind, value.to_vec())).collect(),
        })
    }

    fn get(&self, name: &str, kind: u16) -> Option<&[u8]> {
        let found = self.attributes.iter().find(|(found, _)| self.name == name && *found == kind);
        found.map(|(_, value)| value.as_slice())
    }

    fn text(&self, name: &str, kind: u16) -> Option<String> {
        self.get(name, kind).map(until_nul)
    }

    /// The verdict this gives, and the chain it goes to.
    fn verdict(&self) -> Option<(i32, Option<String>)> {
        let data = Attributes::parse(self.get("immediate", NFTA_IMMEDIATE_DATA)?).ok()?;
        let verdict = data.nest(NFTA_DATA_VERDICT).ok()?;
        Some((verdict.number(NFTA_VERDICT_CODE)?.cast_signed(), verdict.text(NFTA_VERDICT_CHAIN).ok()))
    }

    fn refuses(&self) -> bool {
        let target = self.text("target", NFTA_TARGET_NAME);
        let dropped = self.verdict().is_some_and(|(code, _)| code == NF_DROP);
        dropped || self.name == "reject" || target.is_some_and(|name| name == "REJECT")
    }
}

fn family(body: &Body<'_>) -> Result<Family, Malformed> {
    Family::from_number(body.family).ok_or(Malformed("an unknown family"))
}
