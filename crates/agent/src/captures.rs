//! Captures under way: which slot each has, and what was captured and not fetched yet. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use weft_dataplane::{Packet, abi};

/// Of packets that wait in one capture to be fetched, in bytes. What comes then is missed.
pub const WAITING_BYTES_MAX: usize = 8 * 1024 * 1024;
/// A capture whose packets nobody fetches for so long is over: its client is gone.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// One capture.
#[derive(Debug)]
pub struct Session {
    /// What it is called by.
    pub id: u64,
    /// Number of the link on the host.
    pub link: u32,
    /// Its slot in the programs' map.
    pub slot: u32,
    /// Why nothing more comes, if so. It has its slot still.
    pub ended: Option<String>,
    /// What was captured, oldest first.
    waiting: VecDeque<Packet>,
    waiting_bytes: usize,
    /// Packets for which there was no room here, or in the programs' map when it ended.
    pub missed: u64,
    fetched: Duration,
}

/// Those under way.
#[derive(Debug, Default)]
pub struct Captures {
    sessions: Vec<Session>,
    last: u64,
}

impl Captures {
    /// Begins one `now`, since the host was started, and gives its id and slot; `None` if all slots are taken. No id is
    /// given twice, not by the next agent either.
    pub fn begin(&mut self, link: u32, now: Duration) -> Option<(u64, u32)> {
        let is_free = |slot: &u32| self.sessions.iter().all(|session| session.slot != *slot);
        let slot = (0..abi::CAPTURES_MAX).find(is_free)?;
        let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.last = millis.max(self.last + 1);
        self.sessions.push(Session {
            id: self.last,
            link,
            slot,
            ended: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            missed: 0,
            fetched: now,
        });
        Some((self.last, slot))
    }

    /// Notes a packet, if its capture is under way still.
    pub fn note(&mut self, packet: Packet) {
        let Some(session) = self.find(packet.capture) else { return };
        let bytes = size_of::<Packet>() + packet.bytes.len();
        if session.waiting_bytes + bytes > WAITING_BYTES_MAX {
            session.missed += 1;
            return;
        }
        session.waiting_bytes += bytes;
        session.waiting.push_back(packet);
    }

    /// The one called `id`.
    pub fn find(&mut self, id: u64) -> Option<&mut Session> {
        self.sessions.iter_mut().find(|session| session.id == id)
    }

    /// Forgets the one called `id`.
    pub fn remove(&mut self, id: u64) {
        self.sessions.retain(|session| session.id != id);
    }

    /// All of them.
    pub fn all(&mut self) -> &mut [Session] {
        &mut self.sessions
    }

    /// Forgets those that nobody cares for at `now`, and gives their slots.
    pub fn forget_abandoned(&mut self, now: Duration) -> Vec<u32> {
        let is_abandoned = |session: &Session| now.saturating_sub(session.fetched) > PATIENCE;
        let slots = self.sessions.iter().filter(|session| is_abandoned(session)).map(|session| session.slot).collect();
        self.sessions.retain(|session| !is_abandoned(session));
        slots
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }
}

impl Session {
    /// Notes that somebody cares for it at `now`.
    pub fn touch(&mut self, now: Duration) {
        self.fetched = now;
    }

    /// Whether something waits to be fetched.
    pub fn has_news(&self) -> bool {
        self.ended.is_some() || !self.waiting.is_empty()
    }

    /// What waits, in the order in which it happened: each CPU tells on its own.
    pub fn take(&mut self) -> Vec<Packet> {
        self.waiting_bytes = 0;
        let mut taken: Vec<_> = std::mem::take(&mut self.waiting).into();
        taken.sort_by_key(|packet| packet.event.time);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    fn packet(capture: u64, time: u64, bytes: usize) -> Packet {
        Packet { capture, event: abi::event { time, ..abi::event::default() }, bytes: vec![0; bytes] }
    }

    #[test]
    fn as_many_as_there_are_slots_each_with_an_id_of_its_own() {
        let mut captures = Captures::default();
        let begun: Vec<_> = (0..=abi::CAPTURES_MAX).map(|_| captures.begin(7, NOW)).collect();
        let expected: Vec<_> = (0..abi::CAPTURES_MAX).map(|n| Some((100_000 + u64::from(n), n))).collect();
        assert_eq!(begun[..expected.len()], expected);
        assert_eq!(begun.last(), Some(&None));
        captures.remove(100_001);
        assert_eq!(captures.begin(7, NOW), Some((100_004, 1)), "the free slot, and no id twice");
    }

    #[test]
    fn packets_wait_in_order_and_no_more_than_there_is_room_for() {
        let mut captures = Captures::default();
        let (id, _) = captures.begin(7, NOW).unwrap();
        for time in [2, 1] {
            captures.note(packet(id, time, 60));
        }
        captures.note(packet(id + 1, 3, 60));
        let session = captures.find(id).unwrap();
        assert!(session.has_news());
        assert_eq!(session.take().iter().map(|packet| packet.event.time).collect::<Vec<_>>(), [1, 2]);
        assert!(!session.has_news());
        let each = WAITING_BYTES_MAX / 2 - size_of::<Packet>();
        (0..3).for_each(|time| captures.note(packet(id, time, each)));
        let session = captures.find(id).unwrap();
        assert_eq!((session.take().len(), session.missed), (2, 1));
        captures.note(packet(id, 1, each));
        assert_eq!(captures.find(id).unwrap().take().len(), 1, "there is room again");
    }

    #[test]
    fn what_nobody_fetches_is_forgotten() {
        let mut captures = Captures::default();
        let (first, _) = captures.begin(7, NOW).unwrap();
        let (second, _) = captures.begin(7, NOW).unwrap();
        captures.find(second).unwrap().touch(NOW + PATIENCE);
        assert!(captures.forget_abandoned(NOW + PATIENCE).is_empty());
        assert_eq!(captures.forget_abandoned(NOW + PATIENCE + Duration::from_millis(1)), [0]);
        assert!(captures.find(first).is_none() && captures.find(second).is_some() && !captures.is_empty());
    }
}
