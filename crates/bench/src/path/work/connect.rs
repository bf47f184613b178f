//! TCP connections, one after the other. A byte goes there and back, so that each was accepted by a living server.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::{Tally, Timed, Visitors};

/// Connections before the clock runs.
const WARM_UP: u64 = 20;
/// What a client says on all connections but the last, and on the last.
const MORE: u8 = b'm';
const LAST: u8 = b'l';

pub(super) fn serve(visitors: &Visitors) -> Result<Tally> {
    let mut total = 0;
    loop {
        let mut stream = visitors.next()?;
        let mut word = [0];
        stream.read_exact(&mut word)?;
        stream.write_all(&word)?;
        total += 1;
        if word == [LAST] {
            return Ok(Tally { total, timed: None });
        }
    }
}

pub(super) fn drive(to: SocketAddr, duration: Duration) -> Result<Tally> {
    (0..WARM_UP).try_for_each(|_| connect(to, MORE))?;
    let (start, mut count) = (Instant::now(), 0);
    let mut elapsed = Duration::ZERO;
    while elapsed < duration {
        connect(to, MORE)?;
        count += 1;
        elapsed = start.elapsed();
    }
    connect(to, LAST)?;
    Ok(Tally { total: WARM_UP + count + 1, timed: Some(Timed { count, seconds: elapsed.as_secs_f64() }) })
}

/// One connection from its birth to its death by reset: nothing of it waits for late packets (TIME_WAIT), or there
/// would be no port left after some seconds.
fn connect(to: SocketAddr, word: u8) -> Result<()> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    rustix::net::sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
    rustix::net::connect(&socket, &to)?;
    let mut stream = TcpStream::from(socket);
    let mut echo = [0];
    stream.write_all(&[word])?;
    stream.read_exact(&mut echo)?;
    ensure!(echo == [word], "a connection to {to} brought another one's answer");
    Ok(())
}
