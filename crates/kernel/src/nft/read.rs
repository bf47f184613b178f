//! Reading back: lists of everything of one kind, as it was at one moment.

use super::digest::Digest;
use super::error::NftError;
use super::record::{ChainRecord, RuleRecord, TableRecord};
use super::socket::NAME;
use super::table::{ChainRef, Family};
use super::transaction::{Transaction, write_chain_of_rule};
use super::uapi::*;
use super::wire::{Body, Head, Malformed, Writer, messages, nf_tables};
use super::{ATTEMPTS_MAX, Nft};
use crate::KernelError;

/// What is there under the name of a table of ours.
pub(super) struct Installed {
    pub(super) table: Option<TableRecord>,
    pub(super) chains: Vec<ChainRecord>,
}

impl Installed {
    /// Whether somebody put sets or other objects into the table, which we never do.
    pub(super) fn holds_more_than_chains(&self) -> bool {
        self.table.as_ref().is_some_and(|table| table.objects as usize != self.chains.len())
    }
}

impl Nft {
    /// What the table of that name and family `inet` does now; none if there is none.
    pub fn digest(&mut self, name: &str) -> Result<Option<Digest>, NftError> {
        self.steadily(|nft| {
            let installed = nft.installed(name)?;
            let within = |writer: &mut Writer| writer.text(NFTA_RULE_TABLE, name);
            let rules = nft.list(NFT_MSG_GETRULE, Some(Family::Inet), RuleRecord::parse, within)?;
            Ok(installed.table.map(|table| Digest::of(&table, installed.chains, rules)))
        })
    }

    /// Whether weft's own table has a rule with this comment.
    pub fn has_own_rule(&mut self, comment: &str) -> Result<bool, NftError> {
        let within = |writer: &mut Writer| writer.text(NFTA_RULE_TABLE, super::OWN_TABLE);
        let rules = self.list(NFT_MSG_GETRULE, Some(Family::Inet), RuleRecord::parse, within)?;
        Ok(rules.iter().any(|rule| rule.comment().is_some_and(|found| found == comment)))
    }

    /// The table of that name and its chains.
    pub(super) fn installed(&mut self, name: &str) -> Result<Installed, NftError> {
        let tables = self.list(NFT_MSG_GETTABLE, Some(Family::Inet), TableRecord::parse, |_| {})?;
        let mut chains = self.list(NFT_MSG_GETCHAIN, Some(Family::Inet), ChainRecord::parse, |_| {})?;
        chains.retain(|chain| chain.at.table == name);
        Ok(Installed { table: tables.into_iter().find(|table| table.name == name), chains })
    }

    /// All chains of all tables.
    pub(super) fn chains(&mut self) -> Result<Vec<ChainRecord>, NftError> {
        self.list(NFT_MSG_GETCHAIN, None, ChainRecord::parse, |_| {})
    }

    /// The rules of one chain.
    pub(super) fn rules(&mut self, at: &ChainRef) -> Result<Vec<RuleRecord>, NftError> {
        let within = |writer: &mut Writer| write_chain_of_rule(writer, at);
        self.list(NFT_MSG_GETRULE, Some(at.family), RuleRecord::parse, within)
    }

    /// Reads again until the rules did not change meanwhile.
    pub(super) fn steadily<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, NftError>,
    ) -> Result<T, NftError> {
        for _ in 0..ATTEMPTS_MAX {
            let generation = self.generation()?;
            let found = read(self)?;
            if self.generation()? == generation {
                return Ok(found);
            }
        }
        Err(NftError::Unsteady { attempts: ATTEMPTS_MAX })
    }

    /// The number of the rule set: another after every transaction of anybody.
    pub(super) fn generation(&mut self) -> Result<Option<u32>, NftError> {
        let number = |body: &Body<'_>| Ok(body.attributes.number(NFTA_GEN_ID));
        let found = self.ask(NFT_MSG_GETGEN, NLM_F_ACK, None, number, |_| {})?;
        // The number changes when a transaction begins to take effect, the lists until it is over: wait for that.
        self.queue_behind_transactions()?;
        Ok(found.into_iter().flatten().next())
    }

    /// An empty batch, which the kernel takes up when it is done with the one before.
    fn queue_behind_transactions(&mut self) -> Result<(), NftError> {
        let batch = Transaction::empty(self.sequence);
        self.sequence = batch.after();
        Ok(self.socket.send(batch.as_bytes())?)
    }

    /// Lists everything of one kind and family that `filter` lets through.
    fn list<T>(
        &mut self,
        request: u8,
        family: Option<Family>,
        parse: fn(&Body<'_>) -> Result<T, Malformed>,
        filter: impl Fn(&mut Writer),
    ) -> Result<Vec<T>, NftError> {
        self.ask(request, NLM_F_DUMP, family, parse, filter)
    }

    fn ask<T>(
        &mut self,
        request: u8,
        flags: u16,
        family: Option<Family>,
        parse: fn(&Body<'_>) -> Result<T, Malformed>,
        filter: impl Fn(&mut Writer),
    ) -> Result<Vec<T>, NftError> {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        let family = family.map_or(NFPROTO_UNSPEC, |family| family as u8);
        let mut writer = Writer::default();
        writer.message(Head { kind: nf_tables(request), flags, sequence, family, resource: 0 }, filter);
        self.socket.send(writer.as_bytes())?;
        self.answers(sequence, parse)
    }

    /// Reads what was asked for to its end.
    fn answers<T>(&mut self, sequence: u32, parse: fn(&Body<'_>) -> Result<T, Malformed>) -> Result<Vec<T>, NftError> {
        let mut found = Vec::new();
        loop {
            let datagram = self.socket.receive();
            let datagram = datagram.map_err(|errno| KernelError::new("read a list from", NAME, errno))?;
            for message in messages(datagram)?.iter().filter(|message| message.sequence == sequence) {
                match message.kind {
                    NLMSG_ERROR | NLMSG_DONE => {
                        let subject = ("list", "nftables rules".to_owned());
                        return message.answer()?.refusal(subject).map_or(Ok(found), |error| Err(error.into()));
                    }
                    _ => found.push(parse(&message.body()?)?),
                }
            }
        }
    }
}
