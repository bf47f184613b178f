//! Datagrams of 64 bytes, as many as go. What counts is what arrives, by the receiver's clock.
//!
//! The receiver never sleeps: if it did, the sender would have to wake it for nearly every packet, which costs as much
//! as the path.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::message::{LENGTH, number_of, numbered};
use super::{Tally, Timed, check_visitor};

/// The number of the message that ends it. It may be lost where the receiver's queue is full, so it is sent again and
/// again, until the receiver's socket is gone, or so many times.
const END: u64 = u64::MAX;
const ENDS_MAX: u32 = 1000;
/// A path on which nothing comes for so long is broken.
const SILENCE_MAX: Duration = Duration::from_secs(2);
/// Time for the receiver to get there.
const END_PAUSE: Duration = Duration::from_millis(1);

pub(super) fn serve(socket: &UdpSocket, from: IpAddr) -> Result<Tally> {
    socket.set_nonblocking(true)?;
    // One byte more than a message has, so that a longer one is not taken for it.
    let mut bytes = [0; LENGTH + 1];
    let (mut total, mut previous, mut times) = (0, None, None);
    loop {
        let (length, visitor) = receive(socket, &mut bytes)?;
        check_visitor(visitor, from)?;
        let number = number_of(&bytes[..length])?;
        if number == END {
            break;
        }
        ensure!(previous < Some(number), "datagram {number} came after {}", previous.unwrap_or_default());
        let now = Instant::now();
        let (first, _) = times.unwrap_or((now, now));
        (total, previous, times) = (total + 1, Some(number), Some((first, now)));
    }
    let (first, last) = times.context("no datagram arrived")?;
    // The first one starts the clock.
    Ok(Tally { total, timed: Some(Timed { count: total - 1, seconds: (last - first).as_secs_f64() }) })
}

fn receive(socket: &UdpSocket, bytes: &mut [u8]) -> Result<(usize, SocketAddr)> {
    let mut silent_since = None;
    loop {
        match socket.recv_from(bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let since = *silent_since.get_or_insert_with(Instant::now);
                if since.elapsed() > SILENCE_MAX {
                    bail!("no datagram for {SILENCE_MAX:?}");
                }
            }
            received => return Ok(received?),
        }
    }
}

pub(super) fn drive(to: SocketAddr, duration: Duration) -> Result<Tally> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(to)?;
    let (start, mut total) = (Instant::now(), 0);
    while start.elapsed() < duration {
        socket.send(&numbered(total))?;
        total += 1;
    }
    end(&socket)?;
    Ok(Tally { total, timed: None })
}

fn end(socket: &UdpSocket) -> Result<()> {
    for _ in 0..ENDS_MAX {
        match socket.send(&numbered(END)) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => break,
            sent => sent?,
        };
        std::thread::sleep(END_PAUSE);
    }
    Ok(())
}
