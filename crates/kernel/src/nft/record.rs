//! Tables, chains and rules as the kernel lists them, whoever made them.

use super::table::{Chain, ChainRef, Family, Hook, HookPoint};
use super::uapi::*;
use super::wire::{Attributes, Body, Malformed, until_nul};

/// A table.
pub(super) struct TableRecord {
    pub(super) name: String,
    pub(super) flags: u32,
    /// Number of chains, sets and other objects in it.
    pub(super) objects: u32,
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
            objects: body.attributes.number(NFTA_TABLE_USE).unwrap_or_default(),
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

    /// Whether it could become `chain` without being made anew: only rules and policy of a chain can change.
    pub(super) fn is_hooked_as(&self, chain: &Chain) -> bool {
        let hooked = |record: &HookRecord| (record.kind.clone(), record.point, record.priority);
        let wanted = |hook: &Hook| (hook.kind.to_string(), hook.at as u32, hook.priority);
        self.at.chain == chain.name && self.hook.as_ref().map(hooked) == chain.hook.as_ref().map(wanted)
    }
}

impl HookRecord {
    pub(super) fn is_forward(&self) -> bool {
        self.point == HookPoint::Forward as u32
    }

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

    /// Whether it asks for a packet to the host's own address, or for one that somebody marked.
    pub(super) fn is_about_the_host(&self) -> bool {
        let compared = self.expressions.windows(2).any(|pair| {
            let equal = pair[1].equal_to();
            pair[0].loads_type_of_destination() && equal == Some(RTN_LOCAL)
                || pair[0].loads_mark() && equal.is_some_and(|mark| mark != 0)
        });
        let masked = self.expressions.windows(3).any(|three| {
            let is_mask = three[1].name == "bitwise";
            three[0].loads_mark() && is_mask && three[2].equal_to().is_some_and(|mark| mark != 0)
        });
        compared || masked || self.expressions.iter().any(Expression::matches_host)
    }

    /// The chain that packets go on to which this rule is about.
    pub(super) fn leads_to(&self) -> Option<String> {
        let verdicts = self.expressions.iter().filter_map(Expression::verdict);
        verdicts.filter(|(code, _)| [NFT_JUMP, NFT_GOTO].contains(code)).find_map(|(_, chain)| chain)
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

    fn number(&self, name: &str, kind: u16) -> Option<u32> {
        self.get(name, kind)?.try_into().ok().map(u32::from_be_bytes)
    }

    /// `fib daddr type`.
    fn loads_type_of_destination(&self) -> bool {
        self.number("fib", NFTA_FIB_RESULT) == Some(NFT_FIB_RESULT_ADDRTYPE)
            && self.number("fib", NFTA_FIB_FLAGS).is_some_and(|flags| flags & NFTA_FIB_F_DADDR != 0)
    }

    /// `meta mark`.
    fn loads_mark(&self) -> bool {
        self.number("meta", NFTA_META_KEY) == Some(NFT_META_MARK) && self.get("meta", NFTA_META_DREG).is_some()
    }

    /// The number that what was loaded must equal.
    fn equal_to(&self) -> Option<u32> {
        if self.number("cmp", NFTA_CMP_OP)? != NFT_CMP_EQ {
            return None;
        }
        let data = Attributes::parse(self.get("cmp", NFTA_CMP_DATA)?).ok()?;
        data.get(NFTA_DATA_VALUE)?.try_into().ok().map(u32::from_ne_bytes)
    }

    /// The matches of iptables for the same: `-m addrtype --dst-type LOCAL`, `-m mark`
    /// (include/uapi/linux/netfilter/xt_addrtype.h and xt_mark.h).
    fn matches_host(&self) -> bool {
        let info = self.get("match", NFTA_MATCH_INFO).unwrap_or_default();
        let word = |at: usize| info.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
        match self.text("match", NFTA_MATCH_NAME).as_deref() {
            Some("addrtype") => {
                let destination = info.get(2..4).and_then(|two| two.try_into().ok()).map(u16::from_ne_bytes);
                let inverted = word(4).is_none_or(|flags| flags & XT_ADDRTYPE_INVERT_DEST != 0);
                destination == Some(1 << RTN_LOCAL) && !inverted
            }
            Some("mark") => {
                let wanted = word(0).zip(word(4)).is_some_and(|(mark, mask)| mark & mask != 0);
                wanted && info.get(8) == Some(&0)
            }
            _ => false,
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nft::digest::Digest;
    use crate::nft::table::{Field, HookKind, Interface, Match, Policy, Rule, Statement, Table};
    use crate::nft::transaction::Transaction;
    use crate::nft::wire::messages;

    /// The bytes of a table with a bit of everything.
    fn sample() -> Vec<u8> {
        let rule = Rule {
            matches: vec![
                Match::Is(Field::Input(Interface::Prefixed("weft".to_owned()))),
                Match::Not(Field::Source("10.0.0.0/8".parse().expect("a prefix"))),
            ],
            statements: vec![Statement::Counter, Statement::Jump("web".to_owned())],
            comment: "a comment".to_owned(),
        };
        let hook = Hook { kind: HookKind::Filter, at: HookPoint::Forward, priority: 0, policy: Policy::Drop };
        let chain = Chain { name: "forward".to_owned(), hook: Some(hook), rules: vec![rule] };
        let mut transaction = Transaction::begin(0, Some(7));
        transaction.add_table(&Table { name: "weft".to_owned(), chains: vec![chain] }).expect("sayable");
        transaction.end();
        transaction.as_bytes().to_vec()
    }

    /// Reads `bytes` in every way that bytes of the kernel are read.
    fn read(bytes: &[u8]) -> Result<(), Malformed> {
        for message in messages(bytes)? {
            let _ = message.answer().map(|answer| answer.refusal(("read", "nothing".to_owned())));
            let body = message.body()?;
            let table = TableRecord::parse(&body);
            let (chain, rule) = (ChainRecord::parse(&body), RuleRecord::parse(&body)?);
            let _ = (rule.comment(), rule.refuses_all(), rule.jump());
            Digest::of(&table?, chain.into_iter().collect(), vec![rule]);
        }
        Ok(())
    }

    #[test]
    fn no_bytes_whatever_make_reading_panic() {
        let sample = sample();
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below
        };
        for _ in 0..20_000 {
            let mut bytes = sample.clone();
            for _ in 0..=random(4) {
                let at = random(bytes.len());
                bytes[at] = random(256) as u8;
            }
            bytes.truncate(random(bytes.len()) + 1);
            let _ = read(&bytes);
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let bytes = sample();
        let messages = messages(&bytes).expect("whole");
        let rule = messages.iter().find(|message| message.nf_tables() == Some(NFT_MSG_NEWRULE)).expect("a rule");
        let rule = RuleRecord::parse(&rule.body().expect("whole")).expect("a rule");
        assert_eq!(rule.at.to_string(), "chain inet weft forward");
        assert_eq!(rule.comment().as_deref(), Some("a comment"));
        assert_eq!(rule.jump().as_deref(), Some("web"));
        assert!(!rule.refuses_all());
        assert_eq!(rule.expressions.len(), 9);
    }
}
