//! The time that the programs at a host's doors take, as the kernel counts it.
//!
//! Filters run the stubs, and what a stub jumps to runs in the stub's time: so the two stubs of a host have all of it.
//! A packet that goes from door to door is one run.

use std::os::fd::{FromRawFd as _, OwnedFd};

use anyhow::{Result, ensure};
use libbpf_rs::query::ProgInfoIter;
use libbpf_rs::{Link, ProgramHandle, libbpf_sys};
use weft_lab::Host;

use crate::network::BPF_DIR;

/// As weftd pins them.
const STUBS: [&str; 2] = ["weft_stub_out", "weft_stub_in"];
const CONNECT: &str = "weft_socket_connect4";

/// Has the kernel count, which it does not otherwise, until the descriptor is closed. It costs each run the reading of
/// two clocks, part of which is counted, in every host alike.
pub(super) fn statistics() -> Result<OwnedFd> {
    // SAFETY: takes a number and gives one.
    let descriptor = unsafe { libbpf_sys::bpf_enable_stats(libbpf_sys::BPF_STATS_RUN_TIME) };
    ensure!(descriptor >= 0, "the kernel does not count programs' time: {}", std::io::Error::last_os_error());
    // SAFETY: it was opened just now, for nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Programs of one host, by the kernel's numbers.
#[derive(Debug)]
pub(super) struct Gauge(Vec<u32>);

/// What they have done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Spent {
    ns: u64,
    runs: u64,
}

impl Gauge {
    /// The one at sockets of IPv4 that are to be connected, of a host with services.
    pub(super) fn of_connect(host: &Host) -> Result<Self> {
        let link = Link::open(host.path(BPF_DIR).join(CONNECT))?;
        Ok(Self(vec![link.info()?.prog_id]))
    }

    /// The stubs of a host that weft serves.
    pub(super) fn of(host: &Host) -> Result<Self> {
        let [out, into] = STUBS.map(|name| ProgramHandle::from_pinned_path(host.path(BPF_DIR).join(name)));
        Ok(Self(vec![out?.id(), into?.id()]))
    }

    /// What they have done since the kernel counts.
    pub(super) fn read(&self) -> Result<Spent> {
        let stubs: Vec<_> = ProgInfoIter::default().filter(|program| self.0.contains(&program.id)).collect();
        ensure!(stubs.len() == self.0.len(), "{} of the programs {:?} are there", stubs.len(), self.0);
        let add = |spent: Spent, stub: &libbpf_rs::query::ProgramInfo| Spent {
            ns: spent.ns + stub.run_time_ns,
            runs: spent.runs + stub.run_cnt,
        };
        Ok(stubs.iter().fold(Spent::default(), add))
    }
}

impl Spent {
    pub(super) fn since(self, before: Self) -> Self {
        Self { ns: self.ns - before.ns, runs: self.runs - before.runs }
    }

    /// `None` of none.
    pub(super) fn ns_per_run(self) -> Option<f64> {
        (self.runs > 0).then(|| self.ns as f64 / self.runs as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_counted_in_between_counts() {
        let (before, after) = (Spent { ns: 1000, runs: 10 }, Spent { ns: 4000, runs: 30 });
        assert_eq!(after.since(before).ns_per_run(), Some(150.0));
        assert_eq!(before.since(before).ns_per_run(), None);
    }
}
