//! Who changed what: announcements of nf_tables, told by table.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use super::error::NftError;
use super::socket::{NAME, Socket};
use super::table::{Family, TableRef};
use super::uapi::*;
use super::wire::{Malformed, messages};
use crate::KernelError;

/// The name of the table is the first attribute of everything that is in one.
const TABLE_OF_ANYTHING: u16 = NFTA_TABLE_NAME;

/// Most datagrams told as one event, so that a storm of changes cannot hold the reader for ever.
const DATAGRAMS_PER_EVENT_MAX: usize = 1024;

/// A change of rules by anybody, weft included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Something of these tables is not what it was.
    Changed(BTreeSet<TableRef>),
    /// Announcements were lost: anything may have changed.
    Overrun,
}

/// Hears of every change of rules in one network namespace.
#[derive(Debug)]
pub struct Monitor {
    socket: Socket,
}

impl Monitor {
    /// Listens in the calling thread's network namespace; from then on any thread may use it.
    pub fn open() -> Result<Self, NftError> {
        let socket = Socket::open()?;
        socket.join(NFNLGRP_NFTABLES)?;
        Ok(Self { socket })
    }

    /// Waits for the next change.
    pub fn wait(&mut self) -> Result<Event, NftError> {
        loop {
            if let Some(event) = self.read()? {
                return Ok(event);
            }
            let mut readable = [PollFd::new(&self.socket, PollFlags::IN)];
            let polled = rustix::io::retry_on_intr(|| rustix::event::poll(&mut readable, None));
            polled.map_err(|errno| KernelError::new("wait for", NAME, errno))?;
        }
    }

    /// All changes that are there by now as one event, without waiting. The descriptor is readable when there are some.
    pub fn read(&mut self) -> Result<Option<Event>, NftError> {
        let mut changed = BTreeSet::new();
        for _ in 0..DATAGRAMS_PER_EVENT_MAX {
            match self.hear(&mut changed)? {
                Heard::Changes => {}
                Heard::Nothing => break,
                Heard::Overrun => return Ok(Some(Event::Overrun)),
            }
        }
        Ok((!changed.is_empty()).then_some(Event::Changed(changed)))
    }

    fn hear(&mut self, changed: &mut BTreeSet<TableRef>) -> Result<Heard, NftError> {
        match self.socket.receive() {
            Ok(datagram) => Ok(note(datagram, changed)?),
            Err(Errno::AGAIN) => Ok(Heard::Nothing),
            Err(Errno::NOBUFS) => Ok(Heard::Overrun),
            Err(errno) => Err(KernelError::new("listen to", NAME, errno).into()),
        }
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

enum Heard {
    Changes,
    Nothing,
    Overrun,
}

fn note(datagram: &[u8], changed: &mut BTreeSet<TableRef>) -> Result<Heard, Malformed> {
    for message in messages(datagram)? {
        let about_table = message.nf_tables().is_some_and(|kind| kind != NFT_MSG_NEWGEN);
        if message.kind == NLMSG_OVERRUN {
            return Ok(Heard::Overrun);
        }
        if about_table {
            let body = message.body()?;
            let family = Family::from_number(body.family).ok_or(Malformed("an unknown family"))?;
            changed.insert(TableRef { family, name: body.attributes.text(TABLE_OF_ANYTHING)? });
        }
    }
    Ok(Heard::Changes)
}
