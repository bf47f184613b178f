//! The bytes of netfilter netlink: messages of nested attributes, written and read.
//!
//! Headers and lengths are in host order, every number of nf_tables is big-endian. No nest carries NLA_F_NESTED: the
//! kernel writes none into its dumps, and `digest` compares what we write with what it dumps.
//! Reading trusts no length and never panics.

use rustix::io::Errno;

use super::uapi::*;
use crate::{KernelError, Subject};

/// Length of `nlmsghdr` and of the `nfgenmsg` that follows it, in bytes.
const HEADER: usize = 16;
const FAMILY_HEADER: usize = 4;
const ATTRIBUTE_HEADER: usize = 4;
const ALIGNMENT: usize = 4;

/// The kernel's error numbers end here (include/linux/err.h).
const ERRNO_MAX: i32 = 4096;

/// A message or attribute whose lengths or contents do not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub(super) &'static str);

/// The full type of an nf_tables message.
pub(super) fn nf_tables(kind: u8) -> u16 {
    NFNL_SUBSYS_NFTABLES << 8 | u16::from(kind)
}

/// Headers of a message to be written.
pub(super) struct Head {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    pub(super) family: u8,
    /// The subsystem in the borders of a batch, else zero.
    pub(super) resource: u16,
}

/// Grows one buffer of messages.
#[derive(Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
    last: usize,
    overflowed: bool,
}

impl Writer {
    /// Appends one message.
    pub(super) fn message(&mut self, head: Head, body: impl FnOnce(&mut Self)) {
        self.last = self.bytes.len();
        self.bytes.extend(0_u32.to_ne_bytes());
        self.bytes.extend(head.kind.to_ne_bytes());
        self.bytes.extend((head.flags | NLM_F_REQUEST).to_ne_bytes());
        self.bytes.extend(head.sequence.to_ne_bytes());
        self.bytes.extend(0_u32.to_ne_bytes());
        self.bytes.extend([head.family, 0]);
        self.bytes.extend(head.resource.to_be_bytes());
        body(self);
        match u32::try_from(self.bytes.len() - self.last) {
            Ok(length) => self.bytes[self.last..][..4].copy_from_slice(&length.to_ne_bytes()),
            Err(_) => self.overflowed = true,
        }
    }

    /// Asks for an answer to the last message.
    pub(super) fn acknowledge_last(&mut self) {
        self.bytes[self.last + 6] |= NLM_F_ACK.to_ne_bytes()[0];
        self.bytes[self.last + 7] |= NLM_F_ACK.to_ne_bytes()[1];
    }

    /// An attribute made of attributes.
    pub(super) fn nest(&mut self, kind: u16, body: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend(0_u16.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        body(self);
        match u16::try_from(self.bytes.len() - start) {
            Ok(length) => self.bytes[start..][..2].copy_from_slice(&length.to_ne_bytes()),
            Err(_) => self.overflowed = true,
        }
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
    }

    /// A plain attribute.
    pub(super) fn bytes(&mut self, kind: u16, value: &[u8]) {
        self.nest(kind, |writer| writer.bytes.extend_from_slice(value));
    }

    /// A string with its NUL.
    pub(super) fn text(&mut self, kind: u16, value: &str) {
        self.nest(kind, |writer| {
            writer.bytes.extend_from_slice(value.as_bytes());
            writer.bytes.push(0);
        });
    }

    /// A big-endian number; signed ones go by their bits.
    pub(super) fn number(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// Whether something was longer than its length field can say: the buffer is then of no use.
    pub(super) fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// The messages so far.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// One message as it was received.
pub(super) struct Message<'a> {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    payload: &'a [u8],
}

/// What an nf_tables message carries.
pub(super) struct Body<'a> {
    pub(super) family: u8,
    pub(super) attributes: Attributes<'a>,
}

/// What the kernel says of a request.
pub(super) struct Answer {
    /// Positive; zero is success.
    errno: i32,
    /// The kernel's own words, if it gave any.
    detail: String,
}

impl Answer {
    /// The error this is, about `subject`; none if it is success.
    pub(super) fn refusal(self, (action, object): (&'static str, String)) -> Option<KernelError> {
        (self.errno != 0).then(|| KernelError {
            subject: Subject { action, object },
            errno: Errno::from_raw_os_error(self.errno),
            detail: self.detail,
        })
    }
}

/// Splits a datagram.
pub(super) fn messages(mut bytes: &[u8]) -> Result<Vec<Message<'_>>, Malformed> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let malformed = Malformed("a message's length");
        let length = u32::from_ne_bytes(array(bytes, 0).ok_or(malformed)?) as usize;
        let message = bytes.get(..length).ok_or(malformed)?;
        messages.push(Message {
            kind: u16::from_ne_bytes(array(message, 4).ok_or(malformed)?),
            flags: u16::from_ne_bytes(array(message, 6).ok_or(malformed)?),
            sequence: u32::from_ne_bytes(array(message, 8).ok_or(malformed)?),
            payload: message.get(HEADER..).ok_or(malformed)?,
        });
        bytes = bytes.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
    }
    Ok(messages)
}

impl<'a> Message<'a> {
    /// The kind within nf_tables, if it is of nf_tables.
    pub(super) fn nf_tables(&self) -> Option<u8> {
        let [subsystem, kind] = self.kind.to_be_bytes();
        (u16::from(subsystem) == NFNL_SUBSYS_NFTABLES).then_some(kind)
    }

    /// Family and attributes of an nf_tables message.
    pub(super) fn body(&self) -> Result<Body<'a>, Malformed> {
        let (header, attributes) =
            self.payload.split_first_chunk::<FAMILY_HEADER>().ok_or(Malformed("a message without a family"))?;
        Ok(Body { family: header[0], attributes: Attributes::parse(attributes)? })
    }

    /// The kernel's verdict on a request: of NLMSG_ERROR, and of NLMSG_DONE, which gives a number only.
    pub(super) fn answer(&self) -> Result<Answer, Malformed> {
        let negative = i32::from_ne_bytes(array(self.payload, 0).ok_or(Malformed("an answer without a number"))?);
        let errno = negative.checked_neg().filter(|errno| (0..ERRNO_MAX).contains(errno));
        let errno = errno.ok_or(Malformed("an answer's number"))?;
        let told = self.kind == NLMSG_ERROR && self.flags & NLM_F_ACK_TLVS != 0;
        Ok(Answer { errno, detail: if told { self.detail()? } else { String::new() } })
    }

    /// The text after the header of the request that an NLMSG_ERROR returns.
    fn detail(&self) -> Result<String, Malformed> {
        let attributes = self.payload.get(4 + HEADER..).ok_or(Malformed("an answer without its request"))?;
        Ok(Attributes::parse(attributes)?.text(NLMSGERR_ATTR_MSG).unwrap_or_default())
    }
}

/// The attributes of a message or of a nest, in their order.
pub(super) struct Attributes<'a>(Vec<(u16, &'a [u8])>);

impl<'a> Attributes<'a> {
    pub(super) fn parse(mut bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut attributes = Vec::new();
        while !bytes.is_empty() {
            let malformed = Malformed("an attribute's length");
            let length = usize::from(u16::from_ne_bytes(array(bytes, 0).ok_or(malformed)?));
            let kind = u16::from_ne_bytes(array(bytes, 2).ok_or(malformed)?);
            let value = bytes.get(ATTRIBUTE_HEADER..length).ok_or(malformed)?;
            attributes.push((kind & !NLA_TYPE_FLAGS, value));
            bytes = bytes.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
        }
        Ok(Self(attributes))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u16, &'a [u8])> {
        self.0.iter().copied()
    }

    pub(super) fn get(&self, kind: u16) -> Option<&'a [u8]> {
        self.iter().find_map(|(found, value)| (found == kind).then_some(value))
    }

    /// The attributes within `kind`; none if it is absent.
    pub(super) fn nest(&self, kind: u16) -> Result<Self, Malformed> {
        Self::parse(self.get(kind).unwrap_or_default())
    }

    /// A string up to its NUL.
    pub(super) fn text(&self, kind: u16) -> Result<String, Malformed> {
        self.get(kind).map(until_nul).ok_or(Malformed("a name is missing"))
    }

    /// A big-endian number.
    pub(super) fn number(&self, kind: u16) -> Option<u32> {
        self.get(kind).and_then(|value| array(value, 0)).map(u32::from_be_bytes)
    }

    /// A big-endian handle.
    pub(super) fn handle(&self, kind: u16) -> Option<u64> {
        self.get(kind).and_then(|value| array(value, 0)).map(u64::from_be_bytes)
    }
}

/// The text before the first NUL, or all of it.
pub(super) fn until_nul(bytes: &[u8]) -> String {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}
