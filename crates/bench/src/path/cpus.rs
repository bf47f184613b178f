//! Where the two ends run.

use anyhow::{Context as _, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Who runs where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cpus {
    /// Both on one: what the path costs, and nothing else.
    One,
    /// Each on one of its own: the wake-up of the other one counts, too.
    Two,
    /// Wherever the kernel puts them.
    Any,
}

/// What this machine lets us run on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Machine {
    first: usize,
    second: Option<usize>,
}

impl Machine {
    /// The one that the calling process is on.
    pub(crate) fn here() -> Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let mut cpus = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
        Ok(Self { first: cpus.next().context("no CPU may be used")?, second: cpus.next() })
    }

    /// The CPUs of the client and of the server; none if any will do.
    pub(super) fn places(self, cpus: Cpus) -> Result<[Option<usize>; 2]> {
        Ok(match cpus {
            Cpus::One => [Some(self.first); 2],
            Cpus::Two => [Some(self.first), Some(self.second.context("two CPUs are needed, and one may be used")?)],
            Cpus::Any => [None; 2],
        })
    }
}

/// Keeps the calling thread, and those that it starts, on one CPU.
pub(super) fn stay_on(cpu: usize) -> Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    sched_setaffinity(None, &cpus).with_context(|| format!("cannot run on CPU {cpu}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_placed_as_the_machine_has_it() {
        let (two, one) = (Machine { first: 1, second: Some(3) }, Machine { first: 1, second: None });
        assert_eq!(two.places(Cpus::Two).unwrap(), [Some(1), Some(3)]);
        assert_eq!(one.places(Cpus::One).unwrap(), [Some(1), Some(1)]);
        assert_eq!(one.places(Cpus::Any).unwrap(), [None, None]);
        assert_eq!(one.places(Cpus::Two).unwrap_err().to_string(), "two CPUs are needed, and one may be used");
    }

    #[test]
    fn a_thread_stays_where_it_is_told_to() {
        let here = Machine::here().unwrap();
        let count = std::thread::spawn(move || {
            stay_on(here.first).unwrap();
            sched_getaffinity(None).unwrap().count()
        });
        assert_eq!(count.join().unwrap(), 1);
        assert!(stay_on(CpuSet::MAX_CPU - 1).is_err());
    }
}
