//! Requests and responses of 64 bytes by one TCP connection, each sent when the one before has been answered.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::message::{LENGTH, Message, numbered};
use super::{Tally, Timed, Visitors};

/// Exchanges before the clock runs: caches and the scheduler have seen both ends by then.
const WARM_UP: u64 = 100;

/// Sends back what comes.
pub(super) fn serve(visitors: &Visitors) -> Result<Tally> {
    let mut stream = visitors.next()?;
    stream.set_nodelay(true)?;
    let (mut message, mut total) = ([0; LENGTH], 0);
    while receive(&mut stream, &mut message)? {
        stream.write_all(&message)?;
        total += 1;
    }
    Ok(Tally { total, timed: None })
}

/// False if there are no more messages.
fn receive(stream: &mut TcpStream, message: &mut Message) -> Result<bool> {
    let received = stream.read(message)?;
    if received == 0 {
        return Ok(false);
    }
    stream.read_exact(&mut message[received..])?;
    Ok(true)
}

pub(super) fn drive(to: SocketAddr, duration: Duration) -> Result<Tally> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    (0..WARM_UP).try_for_each(|number| exchange(&mut stream, number))?;
    let (start, mut total) = (Instant::now(), WARM_UP);
    let mut elapsed = Duration::ZERO;
    while elapsed < duration {
        exchange(&mut stream, total)?;
        total += 1;
        elapsed = start.elapsed();
    }
    Ok(Tally { total, timed: Some(Timed { count: total - WARM_UP, seconds: elapsed.as_secs_f64() }) })
}

fn exchange(stream: &mut TcpStream, number: u64) -> Result<()> {
    let request = numbered(number);
    let mut response = [0; LENGTH];
    stream.write_all(&request)?;
    stream.read_exact(&mut response)?;
    ensure!(response == request, "request {number} got another one's response");
    Ok(())
}
