//! A blocking rtnetlink socket that sends a batch of requests in one system call; the last one's answer ends it.
//!
//! A batch is not a transaction: the kernel runs each request on its own, so the caller undoes what was done before a
//! failure. The socket belongs to the namespace of the thread that opened it, whichever thread uses it later.

use std::fmt;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_ECHO, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use rustix::io::Errno;

/// Most requests in one batch: their answers must fit the socket's receive buffer of about 200 kB.
const BATCH_MAX: usize = 128;
/// Bytes read at once; the kernel fills dumps up to 32 kB a read.
const READ_BYTES: usize = 64 * 1024;
/// How often a dump that changed while it was read is read again before what was seen is taken.
const DUMP_ROUNDS_MAX: u32 = 8;

/// The socket in error messages.
pub(crate) const SOCKET: &str = "netlink socket";

const NLMSG_HEADER_BYTES: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// include/uapi/linux/netlink.h: the dump was changed under our hands.
const NLM_F_DUMP_INTR: u16 = 0x10;
/// The error carries attributes after the (capped) request header.
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;

/// What a request does, to which object: the words of its error message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Such as `create link`.
    pub action: &'static str,
    /// Such as `wefteabc`.
    pub object: String,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.action, self.object)
    }
}

/// The kernel's refusal.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot {subject}: {}", reason(.errno, .detail))]
pub struct KernelError {
    /// What was tried.
    pub subject: Subject,
    /// The kernel's error number.
    pub errno: Errno,
    /// The kernel's own words (extended acknowledgement), if it gave any.
    pub detail: String,
}

fn reason(errno: &Errno, detail: &str) -> String {
    let separator = if detail.is_empty() { "" } else { ": " };
    format!("{}{separator}{detail}", std::io::Error::from(*errno))
}

impl KernelError {
    /// An error without the kernel's words.
    pub fn new(action: &'static str, object: impl Into<String>, errno: Errno) -> Self {
        Self { subject: Subject { action, object: object.into() }, errno, detail: String::new() }
    }

    /// The error of a system call.
    pub fn io(action: &'static str, object: impl Into<String>, error: &std::io::Error) -> Self {
        Self::new(action, object, Errno::from_io_error(error).unwrap_or(Errno::IO))
    }

    /// Whether the object to act on is not there.
    pub fn is_absent(&self) -> bool {
        matches!(self.errno, Errno::NODEV | Errno::NOENT | Errno::SRCH | Errno::ADDRNOTAVAIL | Errno::NXIO)
    }

    /// Whether the object to make is there already.
    pub fn is_present(&self) -> bool {
        self.errno == Errno::EXIST
    }
}

/// One change, with the flags its kind needs besides request and acknowledgement.
#[derive(Debug, Clone)]
pub struct Request {
    pub(crate) message: RouteNetlinkMessage,
    pub(crate) flags: u16,
    pub(crate) subject: Subject,
    /// A refusal because the object is not there is no failure.
    may_be_absent: bool,
    /// A refusal because the object is there already is none.
    may_be_present: bool,
}

impl Request {
    pub(crate) fn new(
        action: &'static str,
        object: impl Into<String>,
        flags: u16,
        message: RouteNetlinkMessage,
    ) -> Self {
        let subject = Subject { action, object: object.into() };
        Self { message, flags, subject, may_be_absent: false, may_be_present: false }
    }

    /// The same; but what is gone already needs no such change.
    pub(crate) fn or_absent(self) -> Self {
        Self { may_be_absent: true, ..self }
    }

    /// The same; but what is there already needs no such change.
    pub(crate) fn or_present(self) -> Self {
        Self { may_be_present: true, ..self }
    }

    fn forgives(&self, refusal: &KernelError) -> bool {
        (self.may_be_absent && refusal.is_absent()) || (self.may_be_present && refusal.is_present())
    }
}

/// The socket.
#[derive(Debug)]
pub struct Netlink {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Netlink {
    /// Opens a socket in the namespace of the calling thread.
    pub fn open() -> Result<Self, KernelError> {
        let open = || -> std::io::Result<Socket> {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            socket.set_cap_ack(true)?;
            socket.set_ext_ack(true)?;
            socket.set_netlink_get_strict_chk(true)?;
            Ok(socket)
        };
        let socket = open().map_err(|e| KernelError::io("open", SOCKET, &e))?;
        Ok(Self { socket, sequence: 0, buffer: Vec::new() })
    }

    /// Sends all of `requests` and waits until they have run. The error is the first refusal; requests behind it have
    /// run as well.
    pub fn run(&mut self, requests: &[Request]) -> Result<(), KernelError> {
        let mut refusals = Vec::new();
        for batch in requests.chunks(BATCH_MAX) {
            self.run_batch(batch, &mut refusals)?;
        }
        refusals.into_iter().next().map_or(Ok(()), Err)
    }

    /// What `read` makes of every object that `request` selects; again if they changed while they were read.
    pub fn dump<T>(
        &mut self,
        request: RouteNetlinkMessage,
        read: impl Fn(&RouteNetlinkMessage) -> Option<T>,
    ) -> Result<Vec<T>, KernelError> {
        for _ in 1..DUMP_ROUNDS_MAX {
            let (found, interrupted) = self.dump_once(&request, &read)?;
            if !interrupted {
                return Ok(found);
            }
        }
        self.dump_once(&request, &read).map(|(found, _)| found)
    }

    /// Reads one object; `None` if it is not there.
    pub fn get(&mut self, request: RouteNetlinkMessage) -> Result<Option<RouteNetlinkMessage>, KernelError> {
        let subject = Subject { action: "read", object: "object".to_owned() };
        let first = self.sequence.wrapping_add(1);
        // Queueing disciplines are told to a multicast group, and to who asked only if asked to (`qdisc_get_notify`).
        let flags = NLM_F_ECHO;
        self.send(&[Request {
            message: request,
            flags,
            subject: subject.clone(),
            may_be_absent: true,
            may_be_present: false,
        }])?;
        let mut found = None;
        loop {
            let bytes = self.receive()?;
            for (header, payload) in messages(&bytes) {
                match header.message_type {
                    NLMSG_ERROR => {
                        return match parse_error(&header, payload) {
                            None => Ok(found),
                            Some((errno, detail)) => {
                                let error = KernelError { subject, errno, detail };
                                if error.is_absent() { Ok(None) } else { Err(error) }
                            }
                        };
                    }
                    _ if header.sequence_number == first => {
                        found = RouteNetlinkMessage::deserialize(&header, payload).ok();
                    }
                    _ => {}
                }
            }
        }
    }

    fn run_batch(&mut self, batch: &[Request], refusals: &mut Vec<KernelError>) -> Result<(), KernelError> {
        let first = self.sequence.wrapping_add(1);
        self.send(batch)?;
        loop {
            let bytes = self.receive()?;
            for (header, payload) in messages(&bytes) {
                let place = header.sequence_number.wrapping_sub(first) as usize;
                if header.message_type != NLMSG_ERROR || place >= batch.len() {
                    continue;
                }
                if let Some((errno, detail)) = parse_error(&header, payload) {
                    let refusal = KernelError { subject: batch[place].subject.clone(), errno, detail };
                    refusals.extend(Some(refusal).filter(|refusal| !batch[place].forgives(refusal)));
                }
                // Requests are run in order, and refused ones answered whether or not they asked to be.
                if place + 1 == batch.len() {
                    return Ok(());
                }
            }
        }
    }

    fn dump_once<T>(
        &mut self,
        request: &RouteNetlinkMessage,
        read: impl Fn(&RouteNetlinkMessage) -> Option<T>,
    ) -> Result<(Vec<T>, bool), KernelError> {
        let sequence = self.sequence.wrapping_add(1);
        self.sequence = sequence;
        let mut bytes = Vec::new();
        encode(request.clone(), NLM_F_REQUEST | NLM_F_DUMP, sequence, &mut bytes);
        self.socket.send(&bytes, 0).map_err(|e| KernelError::io("write to", SOCKET, &e))?;
        let (mut found, mut interrupted) = (Vec::new(), false);
        loop {
            let bytes = self.receive()?;
            for (header, payload) in messages(&bytes) {
                if header.sequence_number != sequence {
                    continue;
                }
                interrupted |= header.flags & NLM_F_DUMP_INTR != 0;
                match header.message_type {
                    NLMSG_DONE => return Ok((found, interrupted)),
                    NLMSG_ERROR => {
                        let (errno, detail) = parse_error(&header, payload).unwrap_or((Errno::IO, String::new()));
                        let subject = Subject { action: "read", object: "kernel tables".to_owned() };
                        return Err(KernelError { subject, errno, detail });
                    }
                    _ => found.extend(RouteNetlinkMessage::deserialize(&header, payload).ok().as_ref().and_then(&read)),
                }
            }
        }
    }

    fn send(&mut self, batch: &[Request]) -> Result<(), KernelError> {
        let mut bytes = Vec::with_capacity(batch.len() * 128);
        for (n, request) in batch.iter().enumerate() {
            self.sequence = self.sequence.wrapping_add(1);
            let answer = if n + 1 == batch.len() { NLM_F_ACK } else { 0 };
            encode(request.message.clone(), NLM_F_REQUEST | answer | request.flags, self.sequence, &mut bytes);
        }
        self.socket.send(&bytes, 0).map_err(|e| KernelError::io("write to", SOCKET, &e))?;
        Ok(())
    }

    fn receive(&mut self) -> Result<Vec<u8>, KernelError> {
        self.buffer.clear();
        self.buffer.reserve(READ_BYTES);
        loop {
            match self.socket.recv(&mut self.buffer, 0) {
                Ok(_) => return Ok(std::mem::take(&mut self.buffer)),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(KernelError::io("read from", SOCKET, &e)),
            }
        }
    }
}

fn encode(message: RouteNetlinkMessage, flags: u16, sequence: u32, bytes: &mut Vec<u8>) {
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    header.sequence_number = sequence;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
    message.finalize();
    let start = bytes.len();
    let length = message.buffer_len();
    bytes.resize(start + length.next_multiple_of(4), 0);
    message.serialize(&mut bytes[start..start + length]);
}

/// The messages of one read; a truncated tail ends it.
pub(crate) fn messages(bytes: &[u8]) -> impl Iterator<Item = (NetlinkHeader, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (head, _) = rest.split_first_chunk::<NLMSG_HEADER_BYTES>()?;
        let word = |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let length = word(0) as usize;
        let payload = rest.get(NLMSG_HEADER_BYTES..length)?;
        let mut header = NetlinkHeader::default();
        header.length = word(0);
        header.message_type = (word(4) & 0xffff) as u16;
        header.flags = (word(4) >> 16) as u16;
        header.sequence_number = word(8);
        header.port_number = word(12);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((header, payload))
    })
}

/// Error number and words of an NLMSG_ERROR; `None` for an acknowledgement.
fn parse_error(header: &NetlinkHeader, payload: &[u8]) -> Option<(Errno, String)> {
    let code = payload.first_chunk::<4>().map_or(-5, |bytes| i32::from_ne_bytes(*bytes));
    if code == 0 {
        return None;
    }
    let tlvs = if header.flags & NLM_F_ACK_TLVS != 0 { payload.get(4 + NLMSG_HEADER_BYTES..) } else { None };
    let detail = tlvs.and_then(|bytes| attribute(bytes, NLMSGERR_ATTR_MSG));
    let detail = detail.map(|text| String::from_utf8_lossy(text).trim_end_matches('\0').to_owned());
    Some((Errno::from_raw_os_error(code.saturating_neg()), detail.unwrap_or_default()))
}

/// The value of the attribute `wanted` among several.
pub(crate) fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    while let Some((head, _)) = bytes.split_first_chunk::<4>() {
        let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let value = bytes.get(4..length)?;
        if u16::from_ne_bytes([head[2], head[3]]) == wanted {
            return Some(value);
        }
        bytes = bytes.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_answers_end_the_reading_and_never_panic() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        for length in 0..200 {
            let bytes: Vec<u8> = (0..length)
                .map(|_| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    // Mostly small numbers, so that lengths are sometimes plausible.
                    (seed >> 56) as u8 & if seed & 1 == 0 { 0x1f } else { 0xff }
                })
                .collect();
            for (header, payload) in messages(&bytes) {
                let _ = parse_error(&header, payload);
                let _ = RouteNetlinkMessage::deserialize(&header, payload);
            }
        }
    }

    #[test]
    fn the_error_says_what_was_tried_and_why_it_failed() {
        let error = KernelError { detail: "no room".into(), ..KernelError::new("create link", "x0", Errno::EXIST) };
        assert_eq!(error.to_string(), "cannot create link x0: File exists (os error 17): no room");
    }
}
