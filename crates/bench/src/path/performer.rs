//! The process at one end. It hears what to do, does it on the CPU that it is told, and answers with what it counted.

use std::io::{BufReader, stdin, stdout};
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use anyhow::{Result, anyhow};
use serde::{Deserialize, Serialize};
use weft_lab::wire::{receive, send};

use super::cpus::stay_on;
use super::work::{Tally, Work};

/// For all that is not the work itself: connections, the last bytes on their way, a machine that is busy elsewhere.
const PATIENCE: Duration = Duration::from_secs(5);

/// One side of one turn.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) work: Work,
    pub(super) side: Side,
    /// The only CPU to run on; any without one.
    pub(super) cpu: Option<usize>,
    pub(super) duration: Duration,
}

/// Which side.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) enum Side {
    /// Answered by an address when it is ready, and by a tally.
    Serve { at: IpAddr, from: IpAddr },
    /// Answered by a tally.
    Drive { to: SocketAddr },
}

/// What a performer says; the error is what went wrong.
pub(crate) type Answer<T> = Result<T, String>;

/// Performs until nobody has orders any more.
pub(crate) fn perform() -> Result<ExitCode> {
    let mut orders = BufReader::new(stdin());
    while let Ok(order) = receive::<Order>(&mut orders) {
        let answer: Answer<Tally> = carry_out(order).map_err(|error| format!("{error:#}"));
        send(&mut stdout(), &answer)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What the thread that takes a side tells the one that speaks.
enum News {
    Ready(SocketAddr),
    End(Result<Tally>),
}

/// On a thread of its own, which is given up if it does not come to an end: a path that swallows packets must not stop
/// the whole run.
fn carry_out(order: Order) -> Result<Tally> {
    let (tell, hear) = channel();
    let patience = order.duration + PATIENCE;
    std::thread::spawn(move || {
        let end = take_side(&order, &tell);
        // Nobody listens if it took too long.
        let _ = tell.send(News::End(end));
    });
    loop {
        match hear.recv_timeout(patience).map_err(|_| anyhow!("no end after {patience:?}"))? {
            News::Ready(address) => send(&mut stdout(), &Answer::Ok(address))?,
            News::End(end) => return end,
        }
    }
}

fn take_side(order: &Order, tell: &Sender<News>) -> Result<Tally> {
    if let Some(cpu) = order.cpu {
        stay_on(cpu)?;
    }
    match order.side {
        Side::Serve { at, from } => order.work.serve(at, from, |address| Ok(tell.send(News::Ready(address))?)),
        Side::Drive { to } => order.work.drive(to, order.duration),
    }
}
