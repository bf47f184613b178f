//! What a table does, in 64 bits: equal for what we would write and for what the kernel lists afterwards.
//!
//! Handles, use counts and packet counts tell nothing of what a table does; neither do attributes that the kernel
//! derives and adds to an expression. So each kind of expression names those that matter, and all else is left out.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::error::NftError;
use super::record::{ChainRecord, Expression, RuleRecord, TableRecord};
use super::table::Table;
use super::transaction::Transaction;
use super::uapi::*;
use super::wire::messages;

/// Stands for everything a table does. Comparable within one build of weft only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(u64);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Table {
    /// The digest of this table once it is installed.
    pub fn digest(&self) -> Result<Digest, NftError> {
        let mut transaction = Transaction::begin(0, None);
        transaction.add_table(self)?;
        let mut table = TableRecord { name: self.name.clone(), flags: 0, objects: 0 };
        let (mut chains, mut rules) = (Vec::new(), Vec::new());
        for message in messages(transaction.as_bytes())? {
            match message.nf_tables() {
                Some(NFT_MSG_NEWTABLE) => table = TableRecord::parse(&message.body()?)?,
                Some(NFT_MSG_NEWCHAIN) => chains.push(ChainRecord::parse(&message.body()?)?),
                Some(NFT_MSG_NEWRULE) => rules.push(RuleRecord::parse(&message.body()?)?),
                _ => {}
            }
        }
        table.objects = chains.len() as u32;
        Ok(Digest::of(&table, chains, rules))
    }
}

impl Digest {
    /// Of one table, its chains in any order, and the rules of each chain in theirs.
    pub(super) fn of(table: &TableRecord, mut chains: Vec<ChainRecord>, mut rules: Vec<RuleRecord>) -> Self {
        chains.sort_by(|a, b| a.at.cmp(&b.at));
        rules.sort_by(|a, b| a.at.cmp(&b.at));
        let mut state = DefaultHasher::new();
        (&table.name, table.flags, table.objects).hash(&mut state);
        for chain in &chains {
            (&chain.at, &chain.hook).hash(&mut state);
        }
        for rule in &rules {
            let meaning: Vec<_> = rule.expressions.iter().map(meaning).collect();
            (&rule.at, &rule.userdata, meaning).hash(&mut state);
        }
        Self(state.finish())
    }
}

/// The attributes that say what an expression does, in the order of their numbers.
fn meaning(expression: &Expression) -> (&str, Vec<&(u16, Vec<u8>)>) {
    let known = MEANING.iter().find(|(name, _)| *name == expression.name);
    let matters = |kind: u16| known.is_none_or(|(_, kinds)| kinds.contains(&kind));
    let mut attributes: Vec<_> = expression.attributes.iter().filter(|(kind, _)| matters(*kind)).collect();
    attributes.sort();
    (&expression.name, attributes)
}

/// One row for each expression that we write; of a foreign one, all matters.
const MEANING: &[(&str, &[u16])] = &[
    ("bitwise", &[NFTA_BITWISE_SREG, NFTA_BITWISE_DREG, NFTA_BITWISE_LEN, NFTA_BITWISE_MASK, NFTA_BITWISE_XOR]),
    ("cmp", &[NFTA_CMP_SREG, NFTA_CMP_OP, NFTA_CMP_DATA]),
    ("counter", &[]),
    ("ct", &[NFTA_CT_DREG, NFTA_CT_KEY]),
    ("immediate", &[NFTA_IMMEDIATE_DREG, NFTA_IMMEDIATE_DATA]),
    ("masq", &[NFTA_MASQ_FLAGS]),
    ("meta", &[NFTA_META_DREG, NFTA_META_KEY]),
    ("nat", &[NFTA_NAT_TYPE, NFTA_NAT_FAMILY, NFTA_NAT_REG_ADDR_MIN, NFTA_NAT_REG_PROTO_MIN]),
    ("payload", &[NFTA_PAYLOAD_DREG, NFTA_PAYLOAD_BASE, NFTA_PAYLOAD_OFFSET, NFTA_PAYLOAD_LEN]),
];
