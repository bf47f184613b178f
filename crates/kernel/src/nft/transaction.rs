//! A batch of changes that the kernel makes all together or not at all.

use super::error::NftError;
use super::expression::{Unsayable, write_rule};
use super::table::{Chain, ChainRef, Family, Hook, Policy, Rule, Table};
use super::uapi::*;
use super::wire::{Answer, Head, Writer, nf_tables};
use crate::KernelError;

/// The changes so far, as bytes and as words for errors.
pub(super) struct Transaction {
    writer: Writer,
    /// Sequence number of the batch's first message; each following one has the next.
    first: u32,
    steps: Vec<Step>,
}

/// What one message of the batch does.
struct Step {
    action: &'static str,
    object: String,
}

/// Where in its chain a rule is put.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Top,
    End,
}

impl Transaction {
    /// Opens a batch whose messages are numbered from `first` on. If a generation is given, the kernel refuses the
    /// batch once the rules are of a later one.
    pub(super) fn begin(first: u32, generation: Option<u32>) -> Self {
        let mut transaction = Self { writer: Writer::default(), first, steps: Vec::new() };
        transaction.border(NFNL_MSG_BATCH_BEGIN, generation);
        transaction
    }

    /// A batch of no changes: the kernel does not answer.
    pub(super) fn empty(first: u32) -> Self {
        let mut transaction = Self::begin(first, None);
        transaction.border(NFNL_MSG_BATCH_END, None);
        transaction
    }

    /// Closes the batch; the answer to its last change tells that all went well.
    pub(super) fn end(&mut self) {
        self.writer.acknowledge_last();
        self.border(NFNL_MSG_BATCH_END, None);
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.writer.as_bytes()
    }

    /// The first sequence number after the batch.
    pub(super) fn after(&self) -> u32 {
        self.first.wrapping_add(self.steps.len() as u32)
    }

    /// Whether an answer to `sequence` is one to the last change.
    pub(super) fn is_last(&self, sequence: u32) -> bool {
        sequence.wrapping_add(2) == self.after()
    }

    /// The refusal that `answer` is, in words; none if it is success, or belongs to another batch.
    pub(super) fn refusal(&self, sequence: u32, answer: Answer) -> Option<KernelError> {
        let step = self.steps.get(sequence.wrapping_sub(self.first) as usize)?;
        answer.refusal((step.action, step.object.clone()))
    }

    /// Takes a table of family `inet` away, whether or not it is there.
    pub(super) fn remove_table(&mut self, name: &str) -> Result<(), NftError> {
        self.ensure_table(name)?;
        self.table_step("remove", name, NFT_MSG_DELTABLE, 0)
    }

    /// Makes a table with all it holds. Chains of its names may be there, hooked alike and empty.
    pub(super) fn add_table(&mut self, table: &Table) -> Result<(), NftError> {
        self.ensure_table(&table.name)?;
        let at =
            |chain: &Chain| ChainRef { family: Family::Inet, table: table.name.clone(), chain: chain.name.clone() };
        // All chains come before any rule, so that rules may jump ahead.
        for chain in &table.chains {
            self.add_chain(&at(chain), chain.hook)?;
        }
        for chain in &table.chains {
            chain.rules.iter().try_for_each(|rule| self.add_rule(&at(chain), rule, Place::End))?;
        }
        Ok(())
    }

    fn ensure_table(&mut self, name: &str) -> Result<(), NftError> {
        self.table_step("make", name, NFT_MSG_NEWTABLE, NLM_F_CREATE)
    }

    fn table_step(&mut self, action: &'static str, name: &str, kind: u8, flags: u16) -> Result<(), NftError> {
        let step = Step { action, object: format!("table inet {name}") };
        self.add(step, nf_tables(kind), flags, Family::Inet, |writer| {
            writer.text(NFTA_TABLE_NAME, name);
            writer.number(NFTA_TABLE_FLAGS, 0);
            Ok(())
        })
    }

    fn add_chain(&mut self, at: &ChainRef, hook: Option<Hook>) -> Result<(), NftError> {
        let step = Step { action: "make", object: at.to_string() };
        self.add(step, nf_tables(NFT_MSG_NEWCHAIN), NLM_F_CREATE, at.family, |writer| {
            writer.text(NFTA_CHAIN_TABLE, &at.table);
            writer.text(NFTA_CHAIN_NAME, &at.chain);
            if let Some(hook) = hook {
                write_hook(writer, hook);
            }
            Ok(())
        })
    }

    /// Removes an empty chain that no rule jumps to.
    pub(super) fn remove_chain(&mut self, at: &ChainRef) -> Result<(), NftError> {
        let step = Step { action: "remove", object: at.to_string() };
        self.add(step, nf_tables(NFT_MSG_DELCHAIN), 0, at.family, |writer| {
            writer.text(NFTA_CHAIN_TABLE, &at.table);
            writer.text(NFTA_CHAIN_NAME, &at.chain);
            Ok(())
        })
    }

    /// Removes all rules of a chain.
    pub(super) fn empty_chain(&mut self, at: &ChainRef) -> Result<(), NftError> {
        let step = Step { action: "empty", object: at.to_string() };
        self.add(step, nf_tables(NFT_MSG_DELRULE), 0, at.family, |writer| {
            write_chain_of_rule(writer, at);
            Ok(())
        })
    }

    /// Puts a rule into a chain of any table.
    pub(super) fn add_rule(&mut self, at: &ChainRef, rule: &Rule, place: Place) -> Result<(), NftError> {
        let flags = match place {
            Place::Top => NLM_F_CREATE,
            Place::End => NLM_F_CREATE | NLM_F_APPEND,
        };
        let step = Step { action: "add", object: format!("rule {:?} in {at}", rule.comment) };
        self.add(step, nf_tables(NFT_MSG_NEWRULE), flags, at.family, |writer| {
            write_chain_of_rule(writer, at);
            write_rule(writer, at.family, rule)
        })
    }

    /// Takes a rule out of a chain of any table.
    pub(super) fn remove_rule(&mut self, at: &ChainRef, handle: u64) -> Result<(), NftError> {
        let step = Step { action: "remove", object: format!("rule {handle} of {at}") };
        self.add(step, nf_tables(NFT_MSG_DELRULE), 0, at.family, |writer| {
            write_chain_of_rule(writer, at);
            writer.bytes(NFTA_RULE_HANDLE, &handle.to_be_bytes());
            Ok(())
        })
    }

    fn add(
        &mut self,
        step: Step,
        kind: u16,
        flags: u16,
        family: Family,
        body: impl FnOnce(&mut Writer) -> Result<(), Unsayable>,
    ) -> Result<(), NftError> {
        let head = Head { kind, flags, sequence: self.after(), family: family as u8, resource: 0 };
        let mut result = Ok(());
        self.writer.message(head, |writer| result = body(writer));
        if self.writer.overflowed() {
            result = Err("it is too long for one message");
        }
        result.map_err(|reason| NftError::Invalid { object: step.object.clone(), reason })?;
        self.steps.push(step);
        Ok(())
    }

    fn border(&mut self, kind: u16, generation: Option<u32>) {
        let head = Head { kind, flags: 0, sequence: self.after(), family: 0, resource: NFNL_SUBSYS_NFTABLES };
        self.writer.message(head, |writer| {
            generation.into_iter().for_each(|generation| writer.number(NFNL_BATCH_GENID, generation));
        });
        self.steps.push(Step { action: "commit", object: "nftables transaction".to_owned() });
    }
}

fn write_hook(writer: &mut Writer, hook: Hook) {
    let policy = match hook.policy {
        Policy::Accept => NF_ACCEPT,
        Policy::Drop => NF_DROP,
    };
    writer.nest(NFTA_CHAIN_HOOK, |writer| {
        writer.number(NFTA_HOOK_HOOKNUM, hook.at as u32);
        writer.number(NFTA_HOOK_PRIORITY, hook.priority.cast_unsigned());
    });
    writer.number(NFTA_CHAIN_POLICY, policy.cast_unsigned());
    writer.text(NFTA_CHAIN_TYPE, &hook.kind.to_string());
}

/// Says which chain a rule, or a dump of rules, is of.
pub(super) fn write_chain_of_rule(writer: &mut Writer, at: &ChainRef) {
    writer.text(NFTA_RULE_TABLE, &at.table);
    writer.text(NFTA_RULE_CHAIN, &at.chain);
}
