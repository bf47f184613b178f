//! The thread that hears what the programs tell, and whoever waits for it; and the one that forgets connections.

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;
use weft_api::Flow;
use weft_dataplane::{Events, Swept, abi};

use crate::attach::Attacher;
use crate::flows::{History, Wanted};
use crate::policies::rehearsal::Opening;

/// How old news may be: nobody is woken for one event.
const PAUSE: Duration = Duration::from_millis(100);
/// How often connections that are over are forgotten. Look-ups know them without that; it makes room.
const SWEEP: Duration = Duration::from_secs(15);
/// Longest wait of one request for news: it is asked for again.
pub const WAIT_MAX: Duration = Duration::from_secs(2);

/// What was heard, and how many connections live.
#[derive(Default)]
pub struct Listener {
    history: Mutex<History>,
    news: Notify,
    swept: Mutex<Swept>,
}

impl Listener {
    /// Starts both threads.
    pub fn start(attacher: &Arc<Attacher>) -> anyhow::Result<Arc<Self>> {
        let (heard, hearing) = channel();
        let events = attacher.dataplane().events(heard)?;
        let listener = Arc::new(Self::default());
        let (own, of) = (Arc::clone(&listener), Arc::clone(attacher));
        let listening = Listening { listener: own, attacher: of, hearing };
        std::thread::Builder::new().name("listener".to_owned()).spawn(move || listening.follow(&events))?;
        let (own, of) = (Arc::clone(&listener), Arc::clone(attacher));
        own.sweep(&of);
        std::thread::Builder::new().name("sweeper".to_owned()).spawn(move || {
            loop {
                std::thread::sleep(SWEEP);
                own.sweep(&of);
            }
        })?;
        Ok(listener)
    }

    /// The newest `limit` flows that are wanted and newer than the one numbered `after`; waits for one for at most
    /// `wait`, and never longer than [`WAIT_MAX`].
    pub async fn flows(&self, wanted: &Wanted, after: u64, limit: usize, wait: Duration) -> Vec<Flow> {
        let until = tokio::time::Instant::now() + wait.min(WAIT_MAX);
        loop {
            let news = self.news.notified();
            let found = self.history().wanted(wanted, after, limit);
            if !found.is_empty() || tokio::time::timeout_at(until, news).await.is_err() {
                return found;
            }
        }
    }

    /// Connections that were opened, and those that policies did not let be opened, as far as they are remembered.
    pub fn openings(&self) -> Vec<Opening> {
        self.history().openings().collect()
    }

    /// What the last sweep found.
    pub fn swept(&self) -> Swept {
        *self.swept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn history(&self) -> std::sync::MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sweep(&self, attacher: &Attacher) {
        match attacher.dataplane().sweep(uptime()) {
            Ok(swept) => *self.swept.lock().unwrap_or_else(PoisonError::into_inner) = swept,
            Err(error) => tracing::warn!(%error, "connections that are over take room still"),
        }
    }
}

struct Listening {
    listener: Arc<Listener>,
    attacher: Arc<Attacher>,
    hearing: Receiver<abi::event>,
}

impl Listening {
    fn follow(self, events: &Events) {
        loop {
            if let Err(error) = events.read(PAUSE) {
                return tracing::error!(%error, "flows are no longer seen");
            }
            let started = host_started();
            let mut heard = self.hearing.try_iter().peekable();
            if heard.peek().is_none() {
                continue;
            }
            for event in heard {
                self.hear(event, started);
            }
            self.listener.news.notify_waiters();
        }
    }

    fn hear(&self, event: abi::event, started: Duration) {
        let door = self.attacher.dataplane().address_behind(event.link).ok().flatten();
        let time = started + Duration::from_nanos(event.time);
        let time_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let rule = self.attacher.policies().decider(event.reason.into(), event.rule);
        let service = self.attacher.services().name_of(event.service);
        let ledger = self.attacher.ledger();
        self.listener.history().note(event, time_ms, door, (rule, service), |ip| ledger.at(ip).cloned());
    }
}

/// When the host was started, since 1970: what the programs' times are to be added to.
pub fn host_started() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(uptime())
}

/// Time since the host was started (CLOCK_MONOTONIC), as the programs count it.
pub fn uptime() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}
