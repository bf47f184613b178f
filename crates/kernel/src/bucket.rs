//! Token buckets (tc-tbf(8)) at the roots of links: they hold what is sent by a link back to a rate.
//!
//! The handle is fixed: it marks the bucket as weft's, and by it a rate is changed in its place, while packets pass and
//! wait.

use netlink_packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_REPLACE, Nla as _};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcMessage, TcOption};
use rustix::io::Errno;
use weft_model::Limit;

use crate::netlink::{KernelError, Netlink, Request, attribute};

const KIND: &str = "tbf";
/// `we` in ASCII.
const HANDLE: TcHandle = TcHandle { major: 0x7765, minor: 0 };
/// TC_H_ROOT of include/uapi/linux/pkt_sched.h.
const ROOT: TcHandle = TcHandle { major: 0xffff, minor: 0xffff };
/// Attributes of the same file.
const TBF_PARMS: u16 = 1;
const TBF_RATE64: u16 = 4;
const TBF_BURST: u16 = 6;
/// TC_LINKLAYER_ETHERNET: the kernel needs no table of what each size costs.
const LINKLAYER_ETHERNET: u8 = 1;
/// Places in `struct tc_tbf_qopt`: two rates of 12 bytes (link layer, bytes per second), then three words.
const PARMS_BYTES: usize = 36;
const LINKLAYER_AT: usize = 1;
const RATE_AT: usize = 8;
const LIMIT_AT: usize = 24;
const BURST_AT: usize = 32;
/// How long packets wait at most: longer, and they are dropped, by which senders learn of the limit. What Debian's
/// `bandwidth` plugin has.
const WAIT_MS: u64 = 25;

/// What a bucket holds to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Bytes per second.
    rate: u64,
    /// Bytes.
    burst: u32,
}

impl From<Limit> for Bucket {
    fn from(limit: Limit) -> Self {
        Self { rate: limit.rate.div_ceil(8), burst: limit.burst }
    }
}

impl Bucket {
    fn options(self) -> Vec<TcOption> {
        let queue = (self.rate / 1000).saturating_mul(WAIT_MS).saturating_add(self.burst.into());
        let mut parms = vec![0; PARMS_BYTES];
        let mut put = |at: usize, word: u64| {
            let word = u32::try_from(word).unwrap_or(u32::MAX);
            parms[at..at + 4].copy_from_slice(&word.to_ne_bytes());
        };
        put(RATE_AT, self.rate);
        put(LIMIT_AT, queue);
        // The kernel shows a burst as the time that it takes, rounded. This word means nothing without a peak rate and
        // is shown as it was set: it tells the burst.
        put(BURST_AT, self.burst.into());
        parms[LINKLAYER_AT] = LINKLAYER_ETHERNET;
        let option = |kind: u16, value: Vec<u8>| TcOption::Other(DefaultNla::new(kind, value));
        vec![
            option(TBF_PARMS, parms),
            option(TBF_BURST, self.burst.to_ne_bytes().to_vec()),
            option(TBF_RATE64, self.rate.to_ne_bytes().to_vec()),
        ]
    }

    /// The bucket that the kernel's options tell of.
    fn read(options: &[u8]) -> Option<Self> {
        let parms = attribute(options, TBF_PARMS)?;
        let word = |at: usize| Some(u32::from_ne_bytes(parms.get(at..at + 4)?.try_into().ok()?));
        let rate = match attribute(options, TBF_RATE64) {
            Some(bytes) => u64::from_ne_bytes(bytes.try_into().ok()?),
            None => word(RATE_AT)?.into(),
        };
        Some(Self { rate, burst: word(BURST_AT)? })
    }
}

/// Has the link hold to `limit`, in place of what it held to.
pub fn set(index: u32, name: &str, limit: Limit) -> Request {
    let mut message = message(index);
    message.header.handle = HANDLE;
    message.attributes.push(TcAttribute::Kind(KIND.to_owned()));
    message.attributes.push(TcAttribute::Options(Bucket::from(limit).options()));
    let flags = NLM_F_CREATE | NLM_F_REPLACE;
    Request::new("limit the rate of", name, flags, RouteNetlinkMessage::NewQueueDiscipline(message))
}

/// Takes weft's bucket away, and no other's discipline.
pub fn delete(index: u32, name: &str) -> Request {
    let mut message = message(index);
    message.header.handle = HANDLE;
    Request::new("lift the limit of", name, 0, RouteNetlinkMessage::DelQueueDiscipline(message)).or_absent()
}

/// Every bucket of weft's in the socket's namespace, by the number of its link.
pub fn list(netlink: &mut Netlink) -> Result<Vec<(u32, Bucket)>, KernelError> {
    netlink.dump(RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default()), bucket_of)
}

/// The bucket of weft's on the link numbered `index`.
pub fn find(netlink: &mut Netlink, index: u32) -> Result<Option<Bucket>, KernelError> {
    match netlink.get(RouteNetlinkMessage::GetQueueDiscipline(message(index))) {
        Ok(found) => Ok(found.as_ref().and_then(bucket_of).map(|(_, bucket)| bucket)),
        // A link that queues nothing has a discipline that is not shown.
        Err(error) if error.errno == Errno::INVAL => Ok(None),
        Err(error) => Err(error),
    }
}

fn bucket_of(message: &RouteNetlinkMessage) -> Option<(u32, Bucket)> {
    let RouteNetlinkMessage::NewQueueDiscipline(message) = message else { return None };
    let is_ours = message.header.handle == HANDLE && message.header.parent == ROOT;
    let is_bucket = message.attributes.contains(&TcAttribute::Kind(KIND.to_owned()));
    let options = message.attributes.iter().find_map(|attribute| match attribute {
        TcAttribute::Options(options) => options.first(),
        _ => None,
    })?;
    let TcOption::Other(nested) = options else { return None };
    let mut bytes = vec![0; nested.value_len()];
    nested.emit_value(&mut bytes);
    let bucket = Bucket::read(&bytes).filter(|_| is_ours && is_bucket)?;
    Some((message.header.index.cast_unsigned(), bucket))
}

fn message(index: u32) -> TcMessage {
    let mut message = TcMessage::default();
    message.header.index = index.cast_signed();
    message.header.parent = ROOT;
    message
}
