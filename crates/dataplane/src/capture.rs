//! Captures: whole packets as they come to endpoints' doors, each with what became of it.
//!
//! There are [`abi::CAPTURES_MAX`] slots, each for one capture at one door. The programs look at them only while one is
//! taken, and hand packets to whoever reads [`Captured`].

use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use libbpf_rs::{MapHandle, PerfBuffer, PerfBufferBuilder};

use crate::{Dataplane, DataplaneError, Table, abi};

/// The map's name among the pins.
const BUFFERS: &str = "weft_captured";
/// Of each CPU's buffer: what the kernel lets any user lock (perf_event_mlock_kb), and eight packets of the longest.
const PAGES: usize = 128;

/// A packet that was captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Which capture it is of.
    pub capture: u64,
    /// What is known of it. Its time is of CLOCK_MONOTONIC.
    pub event: abi::event,
    /// Its first bytes, from the Ethernet header on.
    pub bytes: Vec<u8>,
}

impl Packet {
    /// Of a record as the programs write it.
    fn of(record: &[u8]) -> Option<Self> {
        let (head, rest) = record.split_at_checked(size_of::<abi::captured>())?;
        let head: abi::captured = bytemuck::try_pod_read_unaligned(head).ok()?;
        let bytes = rest.get(..head.bytes as usize)?.to_vec();
        Some(Self { capture: head.id, event: head.event, bytes })
    }
}

/// The reading end of all captures. While there is none, packets are missed.
#[derive(Debug)]
pub struct Captured {
    buffers: PerfBuffer<'static>,
    // The buffers keep its number only, and are taken out of it when this one is closed.
    _map: MapHandle,
}

impl Captured {
    /// Reads what is there, and waits for something for at most `pause`.
    pub fn read(&self, pause: Duration) -> Result<(), DataplaneError> {
        // The kernel wakes who waits a little after the packet is there.
        let read = self.buffers.poll(pause).and_then(|()| self.buffers.consume());
        read.map_err(|error| DataplaneError::new("read", BUFFERS, &error))
    }
}

impl Dataplane {
    /// Every packet that is captured goes to `hear`, whenever it is read.
    pub fn captured(&self, mut hear: impl FnMut(Packet) + Send + 'static) -> Result<Captured, DataplaneError> {
        let refused = |error: libbpf_rs::Error| DataplaneError::new("read", BUFFERS, &error);
        let map = MapHandle::from_pinned_path(self.directory.join(BUFFERS)).map_err(refused)?;
        let hear = move |_, record: &[u8]| Packet::of(record).into_iter().for_each(&mut hear);
        let buffers = PerfBufferBuilder::new(&map).pages(PAGES).sample_cb(hear).build().map_err(refused)?;
        Ok(Captured { buffers, _map: map })
    }

    /// Begins a capture in a free slot.
    pub fn begin_capture(&self, slot: u32, capture: &abi::capture) -> Result<(), DataplaneError> {
        let slots = self.slots();
        slots.put(&slot, capture)?;
        self.settings.set(abi::SETTING_CAPTURE, true)
    }

    /// Ends the capture in a slot.
    pub fn end_capture(&self, slot: u32) -> Result<(), DataplaneError> {
        let slots = self.slots();
        slots.put(&slot, &abi::capture::default())?;
        let taken = (0..abi::CAPTURES_MAX).map(|slot| Ok(slots.get(&slot)?.is_some_and(|one| one.link != 0)));
        let taken = taken.collect::<Result<Vec<_>, DataplaneError>>()?;
        if taken.contains(&true) { Ok(()) } else { self.settings.set(abi::SETTING_CAPTURE, false) }
    }

    /// Packets that the capture in a slot missed.
    pub fn missed(&self, slot: u32) -> Result<u64, DataplaneError> {
        Ok(self.slots().get(&slot)?.unwrap_or_default().missed)
    }

    fn slots(&self) -> MutexGuard<'_, Table<u32, abi::capture>> {
        self.captures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anything passes at the link: an endpoint is let in there.
    pub fn has_admitted_any(&self, link: u32) -> Result<bool, DataplaneError> {
        Ok(self.endpoints.get(&link)?.is_some())
    }
}
