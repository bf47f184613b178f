//! nftables: weft's own table, and the one mark it leaves in the forward chains of others.
//!
//! One socket of NETLINK_NETFILTER, kept open; no process is started. A table is written whole, in one transaction, so
//! every packet meets either all of the old rules or all of the new ones. Whether it is still what was written is asked
//! by comparing [`Table::digest`] with [`Nft::digest`].
//!
//! ```text
//! table       plain data            expression  rules to the kernel's steps     transaction  all or nothing
//! record      what the kernel lists    digest      the two compared                wire         bytes
//! foreign     Docker's, firewalls' chains          monitor     somebody changed something
//! ```

mod digest;
mod error;
mod expression;
mod foreign;
mod monitor;
mod record;
mod socket;
mod table;
mod transaction;
mod uapi;
mod wire;

use rustix::io::Errno;

pub use self::digest::Digest;
pub use self::error::NftError;
pub use self::foreign::{Accept, ForwardChain};
pub use self::monitor::{Event, Monitor};
pub use self::table::{
    COMMENT_BYTES_MAX, Chain, ChainRef, Family, Field, Hook, HookKind, HookPoint, Interface, Match, Policy, Rule,
    State, Statement, Table, TableRef,
};
pub use self::wire::Malformed;

use self::record::{ChainRecord, RuleRecord, TableRecord};
use self::socket::Socket;
use self::transaction::Transaction;
use self::uapi::*;
use self::wire::{Body, Head, Writer, messages, nf_tables};

/// The name of weft's own table, of family `inet`.
pub const OWN_TABLE: &str = "weft";

/// How often a reading is repeated because other programs changed the rules during it.
const READINGS_MAX: usize = 32;

/// Any family, in the request of a dump.
const NFPROTO_UNSPEC: u8 = 0;

/// The rules of one network namespace.
pub struct Nft {
    socket: Socket,
    sequence: u32,
}

/// What a dump listed.
struct Listing<T> {
    items: Vec<T>,
    /// Of the rule set when it was listed; none if nothing was.
    generation: Option<u16>,
}

impl Nft {
    /// Opens the rules of the calling thread's network namespace; from then on any thread may use them.
    pub fn open() -> Result<Self, NftError> {
        Ok(Self { socket: Socket::open()?, sequence: 0 })
    }

    /// Makes `table` all there is under its name, in one transaction.
    pub fn replace(&mut self, table: &Table) -> Result<(), NftError> {
        let mut transaction = Transaction::begin(self.sequence);
        transaction.remove_table(&table.name)?;
        transaction.add_table(table)?;
        self.commit(transaction)
    }

    /// Takes the table of that name and family `inet` away; none there is fine.
    pub fn delete(&mut self, name: &str) -> Result<(), NftError> {
        let mut transaction = Transaction::begin(self.sequence);
        transaction.remove_table(name)?;
        self.commit(transaction)
    }

    /// What the table of that name does now; none if there is none.
    pub fn digest(&mut self, name: &str) -> Result<Option<Digest>, NftError> {
        for _ in 0..READINGS_MAX {
            let tables = self.list(NFT_MSG_GETTABLE, Family::Inet as u8, TableRecord::parse, |_| {})?;
            let Some(table) = tables.items.iter().find(|table| table.name == name) else {
                return Ok(None);
            };
            let mut chains = self.list(NFT_MSG_GETCHAIN, Family::Inet as u8, ChainRecord::parse, |_| {})?;
            chains.items.retain(|chain| chain.at.table == name);
            let within = |writer: &mut Writer| writer.text(NFTA_RULE_TABLE, name);
            let rules = self.list(NFT_MSG_GETRULE, Family::Inet as u8, RuleRecord::parse, within)?;
            let generations = [chains.generation, rules.generation];
            if generations.iter().flatten().all(|generation| Some(*generation) == tables.generation) {
                return Ok(Some(Digest::of(table.flags, &chains.items, &rules.items)));
            }
        }
        Err(NftError::Unsteady { tries: READINGS_MAX })
    }

    /// Carries a transaction out, and finds the first thing the kernel held against it.
    fn commit(&mut self, mut transaction: Transaction) -> Result<(), NftError> {
        transaction.end();
        self.sequence = transaction.after();
        self.socket.send(transaction.as_bytes())?;
        let (mut refusal, mut confirmed) = (None, false);
        // The answers are all there when sending is over: nothing to wait for.
        loop {
            let datagram = match self.socket.receive() {
                Ok(datagram) => datagram,
                Err(_) if refusal.is_some() || confirmed => break,
                Err(source) => return Err(NftError::Socket { action: "read an answer from", source }),
            };
            for message in messages(datagram)?.iter().filter(|message| message.kind == NLMSG_ERROR) {
                confirmed |= transaction.is_last(message.sequence);
                refusal = refusal.or(transaction.refusal(message.sequence, message.answer()?));
            }
        }
        refusal.map_or(Ok(()), Err)
    }

    /// Lists everything of one kind that `filter` lets through, as it was at one moment.
    fn list<T>(
        &mut self,
        request: u8,
        family: u8,
        parse: fn(&Body<'_>) -> Result<T, Malformed>,
        filter: impl Fn(&mut Writer),
    ) -> Result<Listing<T>, NftError> {
        for _ in 0..READINGS_MAX {
            self.sequence = self.sequence.wrapping_add(1);
            let mut writer = Writer::default();
            let head =
                Head { kind: nf_tables(request), flags: NLM_F_DUMP, sequence: self.sequence, family, resource: 0 };
            writer.message(head, &filter);
            self.socket.send(writer.as_bytes())?;
            if let Some(listing) = self.collect(parse)? {
                return Ok(listing);
            }
        }
        Err(NftError::Unsteady { tries: READINGS_MAX })
    }

    /// Reads a dump to its end; nothing if the rules changed meanwhile.
    fn collect<T>(&mut self, parse: fn(&Body<'_>) -> Result<T, Malformed>) -> Result<Option<Listing<T>>, NftError> {
        let mut listing = Listing { items: Vec::new(), generation: None };
        let mut steady = true;
        loop {
            let datagram = self.socket.receive();
            let datagram = datagram.map_err(|source| NftError::Socket { action: "read a list from", source })?;
            for message in messages(datagram)?.iter().filter(|message| message.sequence == self.sequence) {
                steady &= message.flags & NLM_F_DUMP_INTR == 0;
                if matches!(message.kind, NLMSG_ERROR | NLMSG_DONE) {
                    return finished(message.answer()?.errno).map(|()| steady.then_some(listing));
                }
                let body = message.body()?;
                steady &= *listing.generation.get_or_insert(body.generation) == body.generation;
                listing.items.push(parse(&body)?);
            }
        }
    }
}

fn finished(errno: i32) -> Result<(), NftError> {
    match errno {
        0 => Ok(()),
        errno => Err(NftError::Refused {
            action: "list",
            object: "rules".to_owned(),
            source: Errno::from_raw_os_error(errno),
            explanation: None,
        }),
    }
}
