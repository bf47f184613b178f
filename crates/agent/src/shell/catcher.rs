//! The thread that reads captured packets, which is there while there are captures, and whoever waits for them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use weft_dataplane::{Captured, DataplaneError, Packet, abi};

use super::listener::{WAIT_MAX, host_started, uptime};
use crate::attach::Attacher;
use crate::captures::{Captures, Session};

/// How long the thread waits for packets before it looks after the captures themselves.
const PAUSE: Duration = Duration::from_millis(50);
/// For what was captured before the end to be read: many times a round of the thread's.
const END_TIME: Duration = Duration::from_secs(2);

/// Why a capture does not begin, or cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// There are as many as there may be.
    #[error("{} captures are under way, which is as many as there may be: end one, or try again", abi::CAPTURES_MAX)]
    Full,
    /// It has ended, or never was.
    #[error("there is no capture {0}: it has ended, or weftd was started anew")]
    Absent(u64),
    /// No thread.
    #[error("cannot read captures: {0}")]
    Thread(#[from] std::io::Error),
    /// The kernel refused.
    #[error(transparent)]
    Dataplane(#[from] DataplaneError),
}

/// What was fetched of a capture.
#[derive(Debug)]
pub struct Fetched {
    /// In the order in which they came.
    pub packets: Vec<Packet>,
    /// When the host was started, since 1970: what their times count from.
    pub host_started: Duration,
    /// Packets that were missed since the capture began.
    pub missed: u64,
    /// Why nothing more comes, if so.
    pub ended: Option<String>,
}

/// Captures under way.
pub struct Catcher {
    attacher: Arc<Attacher>,
    state: Mutex<State>,
    /// Counts what the thread has done: each round begins with a look at every buffer.
    rounds: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    captures: Captures,
    /// The thread runs. It ends, under the lock, when there are no captures.
    is_read: bool,
    /// When the host was started, since 1970. One for all captures under way, so that the order of their packets stays.
    host_started: Duration,
}

impl Catcher {
    /// Without captures; those of an agent that was killed are ended.
    pub fn start(attacher: &Arc<Attacher>) -> Result<Arc<Self>, DataplaneError> {
        let (attacher, state) = (Arc::clone(attacher), Mutex::new(State::default()));
        let catcher = Self { attacher, state, rounds: watch::Sender::new(0) };
        catcher.clear()?;
        Ok(Arc::new(catcher))
    }

    /// Ends all captures, whoever began them.
    pub fn clear(&self) -> Result<(), DataplaneError> {
        (0..abi::CAPTURES_MAX).try_for_each(|slot| self.attacher.dataplane().end_capture(slot))
    }

    /// Begins a capture as `wished`, whose id is given, and gives it.
    pub fn begin(self: &Arc<Self>, wished: abi::capture) -> Result<u64, CaptureError> {
        let mut state = self.state();
        if !state.is_read {
            self.read()?;
            state.is_read = true;
            state.host_started = host_started();
        }
        let (id, slot) = state.captures.begin(wished.link, uptime()).ok_or(CaptureError::Full)?;
        let begun = self.attacher.dataplane().begin_capture(slot, &abi::capture { id, ..wished });
        if let Err(error) = begun {
            state.captures.remove(id);
            tell(self.attacher.dataplane().end_capture(slot));
            return Err(error.into());
        }
        Ok(id)
    }

    /// What the capture called `id` has captured; waits for something for at most `wait`, and never longer than
    /// [`WAIT_MAX`].
    pub async fn fetch(&self, id: u64, wait: Duration) -> Result<Fetched, CaptureError> {
        let until = tokio::time::Instant::now() + wait.min(WAIT_MAX);
        let mut rounds = self.rounds.subscribe();
        loop {
            if self.has_news(id)? || tokio::time::timeout_at(until, rounds.changed()).await.is_err() {
                return self.take(id);
            }
        }
    }

    /// Ends the capture called `id`, and gives what nobody fetched yet.
    pub async fn end(&self, id: u64) -> Result<Fetched, CaptureError> {
        self.close(self.state().captures.find(id).ok_or(CaptureError::Absent(id))?, "it was told to end");
        let mut rounds = self.rounds.subscribe();
        // The round under way may be past what came last; the next one is not.
        let reading = async {
            let _ = rounds.changed().await;
            let _ = rounds.changed().await;
        };
        let _ = tokio::time::timeout(END_TIME, reading).await;
        let fetched = self.take(id);
        self.state().captures.remove(id);
        fetched
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_news(&self, id: u64) -> Result<bool, CaptureError> {
        let mut state = self.state();
        let session = state.captures.find(id).ok_or(CaptureError::Absent(id))?;
        session.touch(uptime());
        Ok(session.has_news())
    }

    fn take(&self, id: u64) -> Result<Fetched, CaptureError> {
        let mut state = self.state();
        let host_started = state.host_started;
        let session = state.captures.find(id).ok_or(CaptureError::Absent(id))?;
        session.touch(uptime());
        let missed = session.missed + self.attacher.dataplane().missed(session.slot)?;
        Ok(Fetched { packets: session.take(), host_started, missed, ended: session.ended.clone() })
    }

    /// Opens the buffers and starts the thread.
    fn read(self: &Arc<Self>) -> Result<(), CaptureError> {
        let own = Arc::clone(self);
        let captured = self.attacher.dataplane().captured(move |packet| own.state().captures.note(packet))?;
        let own = Arc::clone(self);
        std::thread::Builder::new().name("catcher".to_owned()).spawn(move || own.follow(&captured))?;
        Ok(())
    }

    fn follow(&self, captured: &Captured) {
        loop {
            let read = captured.read(PAUSE);
            if let Err(error) = &read {
                tracing::error!(%error, "captures end");
            }
            let goes_on = self.tend(read.err());
            self.rounds.send_modify(|rounds| *rounds = rounds.wrapping_add(1));
            if !goes_on {
                return;
            }
        }
    }

    /// Ends captures that are of no use any more, and says whether there are others.
    fn tend(&self, failed: Option<DataplaneError>) -> bool {
        let mut state = self.state();
        let dataplane = self.attacher.dataplane();
        for slot in state.captures.forget_abandoned(uptime()) {
            tell(dataplane.end_capture(slot));
        }
        for session in state.captures.all() {
            if let Some(error) = &failed {
                self.close(session, &error.to_string());
            } else if !dataplane.has_admitted_any(session.link).unwrap_or(true) {
                self.close(session, "the endpoint is gone");
            }
        }
        state.is_read = failed.is_none() && !state.captures.is_empty();
        state.is_read
    }

    /// Nothing more comes, for this reason.
    fn close(&self, session: &mut Session, why: &str) {
        if session.ended.is_some() {
            return;
        }
        let dataplane = self.attacher.dataplane();
        session.missed += dataplane.missed(session.slot).unwrap_or(0);
        session.ended = Some(why.to_owned());
        tell(dataplane.end_capture(session.slot));
    }
}

fn tell(ended: Result<(), DataplaneError>) {
    if let Err(error) = ended {
        tracing::warn!(%error, "a capture has no end");
    }
}
