//! Asking the link whether an address is free before it is used.

use std::time::Duration;

/// How often the link is asked (RFC 5227, PROBE_NUM).
const PROBES: u32 = 3;
/// Between two questions, and for answers to the last one. RFC 5227 has one to two seconds, for networks of 2008 that a
/// card was plugged into a moment ago, and allows less where the link is known to be quick (section 1.3); a container's
/// birth waits for this.
const GAP: Duration = Duration::from_millis(100);

/// Questions under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Probe {
    sent: u32,
    pub(crate) until: Duration,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Ask.
    Ask,
    /// Wait for answers.
    Listen,
    /// Nobody has it.
    Free,
}

impl Probe {
    /// Has asked once.
    pub(crate) fn begun(now: Duration) -> Self {
        Self { sent: 1, until: now + GAP }
    }

    pub(crate) fn step(&mut self, now: Duration) -> Next {
        if now < self.until {
            return Next::Listen;
        }
        if self.sent == PROBES {
            return Next::Free;
        }
        *self = Self { sent: self.sent + 1, until: now + GAP };
        Next::Ask
    }
}
