//! Programs on links: a clsact queueing discipline with one cls_bpf filter each way.
//!
//! Handle, preference and protocol are fixed, so that a filter is replaced in its place, and never added beside it or
//! missed between a deletion and an addition (net/sched/cls_api.c, `tc_new_tfilter`).

use std::os::fd::{AsRawFd as _, BorrowedFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{
    TcAttribute, TcBpfFlags, TcFilterBpf, TcFilterBpfOption, TcHandle, TcMessage, TcOption,
};

use crate::netlink::{KernelError, Netlink, Request};

/// The filter among those of its link: ours is the first.
const PREFERENCE: u16 = 1;
const HANDLE: u32 = 1;
/// ETH_P_ALL of include/uapi/linux/if_ether.h: frames of every kind.
const EVERY_PROTOCOL: u16 = 3;
/// TC_H_CLSACT of include/uapi/linux/pkt_sched.h, and its two hooks.
const CLSACT: TcHandle = TcHandle { major: 0xffff, minor: 0xfff1 };
const INGRESS: TcHandle = TcHandle { major: 0xffff, minor: 0xfff2 };
const EGRESS: TcHandle = TcHandle { major: 0xffff, minor: 0xfff3 };
/// The name that `tc filter` shows for the programs.
const NAME: &str = "weft";

/// Programs for the host's end of a link. Their licence and type must be such as cls_bpf takes (`SEC("tc")`).
#[derive(Debug, Clone, Copy)]
pub struct Programs<'a> {
    /// Sees what the container sends.
    pub out: BorrowedFd<'a>,
    /// Sees what the container gets.
    pub into: BorrowedFd<'a>,
}

/// The kernel's numbers of both [`Programs`], in the same order: by these they are found again on a link.
pub type ProgramIds = [u32; 2];

/// Puts both programs on the link numbered `index`, in place of what an earlier call put there. They see every packet
/// from then on.
pub fn attach(index: u32, name: &str, programs: &Programs<'_>) -> [Request; 3] {
    [clsact(index, name), filter(index, name, INGRESS, programs.out), filter(index, name, EGRESS, programs.into)]
}

/// Takes both filters off the link again; the queueing discipline stays, since others may have filters there.
pub fn detach(index: u32, name: &str) -> [Request; 2] {
    [INGRESS, EGRESS].map(|parent| {
        let mut message = message(index, parent);
        message.header.handle = HANDLE.into();
        message.header.info = u32::from(PREFERENCE) << 16 | u32::from(EVERY_PROTOCOL.to_be());
        message.attributes.push(TcAttribute::Kind(TcFilterBpf::KIND.to_owned()));
        Request::new("take filters off", name, 0, RouteNetlinkMessage::DelTrafficFilter(message)).or_absent()
    })
}

/// The programs in weft's two filters on the link numbered `index`; `None` if a filter is missing.
pub fn attached(netlink: &mut Netlink, index: u32) -> Result<Option<ProgramIds>, KernelError> {
    let mut ids = [0; 2];
    for (parent, id) in [INGRESS, EGRESS].into_iter().zip(&mut ids) {
        let query = message(index, parent);
        let found = netlink.dump(RouteNetlinkMessage::GetTrafficFilter(query), |found| match found {
            RouteNetlinkMessage::NewTrafficFilter(filter) => program_of(filter),
            _ => None,
        });
        match found.map(|found| found.first().copied()) {
            Ok(Some(found)) => *id = found,
            // Without the queueing discipline there is nothing to ask.
            Ok(None) => return Ok(None),
            Err(error) if error.errno == rustix::io::Errno::INVAL || error.is_absent() => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(ids))
}

/// The requests that put both programs on a link, if they are not there. `ids` are their numbers, in the same order.
pub fn missing(
    netlink: &mut Netlink,
    index: u32,
    name: &str,
    programs: &Programs<'_>,
    ids: ProgramIds,
) -> Result<Vec<Request>, KernelError> {
    Ok(if attached(netlink, index)? == Some(ids) { Vec::new() } else { attach(index, name, programs).into() })
}

/// The number of the program in the filter, if it is in our place and ours.
fn program_of(filter: &TcMessage) -> Option<u32> {
    let is_first = filter.header.info >> 16 == u32::from(PREFERENCE) && u32::from(filter.header.handle) == HANDLE;
    if !is_first || !filter.attributes.contains(&TcAttribute::Kind(TcFilterBpf::KIND.to_owned())) {
        return None;
    }
    let options = || {
        let each = filter.attributes.iter().filter_map(|attribute| match attribute {
            TcAttribute::Options(options) => Some(options),
            _ => None,
        });
        each.flatten()
    };
    let is_ours =
        |option: &TcOption| matches!(option, TcOption::Bpf(TcFilterBpfOption::ProgName(name)) if name == NAME);
    let id = options().find_map(|option| match option {
        TcOption::Bpf(TcFilterBpfOption::ProgId(id)) => Some(*id),
        _ => None,
    });
    id.filter(|_| options().any(is_ours))
}

fn clsact(index: u32, name: &str) -> Request {
    let mut message = message(index, CLSACT);
    message.header.handle = TcHandle { major: 0xffff, minor: 0 };
    message.attributes.push(TcAttribute::Kind("clsact".to_owned()));
    let flags = NLM_F_CREATE | NLM_F_REPLACE;
    Request::new("add clsact to", name, flags, RouteNetlinkMessage::NewQueueDiscipline(message))
}

fn filter(index: u32, name: &str, parent: TcHandle, program: BorrowedFd<'_>) -> Request {
    let mut message = message(index, parent);
    message.header.handle = HANDLE.into();
    message.header.info = u32::from(PREFERENCE) << 16 | u32::from(EVERY_PROTOCOL.to_be());
    message.attributes.push(TcAttribute::Kind(TcFilterBpf::KIND.to_owned()));
    let options = [
        TcFilterBpfOption::ProgFd(program.as_raw_fd().unsigned_abs()),
        TcFilterBpfOption::ProgName(NAME.to_owned()),
        TcFilterBpfOption::Flags(TcBpfFlags::DirectAction),
    ];
    message.attributes.push(TcAttribute::Options(options.into_iter().map(TcOption::Bpf).collect()));
    let flags = NLM_F_CREATE | NLM_F_REPLACE;
    Request::new("filter packets of", name, flags, RouteNetlinkMessage::NewTrafficFilter(message))
}

fn message(index: u32, parent: TcHandle) -> TcMessage {
    let mut message = TcMessage::default();
    message.header.index = index.cast_signed();
    message.header.parent = parent;
    message
}
