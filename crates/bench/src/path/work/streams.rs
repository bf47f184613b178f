//! Bytes by TCP, as many as go. The clock that counts is the receiver's, from the first byte to the last.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};

use super::{Tally, Timed, Visitors};

/// Bytes of one call, as iperf3 has them.
const CHUNK: usize = 128 * 1024;

/// What came by one connection.
struct Received {
    bytes: u64,
    start: Instant,
    end: Instant,
}

pub(super) fn serve(visitors: &Visitors, at_once: u32) -> Result<Tally> {
    let streams = (0..at_once).map(|_| visitors.next()).collect::<Result<Vec<_>>>()?;
    let received = side_by_side(streams, receive)?;
    let total = received.iter().map(|one| one.bytes).sum();
    let start = received.iter().map(|one| one.start).min().context("no stream was asked for")?;
    let end = received.iter().map(|one| one.end).max().context("no stream was asked for")?;
    Ok(Tally { total, timed: Some(Timed { count: total, seconds: (end - start).as_secs_f64() }) })
}

fn receive(mut stream: TcpStream) -> Result<Received> {
    let mut chunk = vec![0; CHUNK];
    let mut bytes = stream.read(&mut chunk)? as u64;
    let start = Instant::now();
    loop {
        match stream.read(&mut chunk)? {
            0 => return Ok(Received { bytes, start, end: Instant::now() }),
            more => bytes += more as u64,
        }
    }
}

pub(super) fn drive(to: SocketAddr, at_once: u32, duration: Duration) -> Result<Tally> {
    let streams = (0..at_once).map(|_| TcpStream::connect(to)).collect::<std::io::Result<Vec<_>>>()?;
    let sent = side_by_side(streams, |stream| send(stream, duration))?;
    Ok(Tally { total: sent.iter().sum(), timed: None })
}

fn send(mut stream: TcpStream, duration: Duration) -> Result<u64> {
    let (chunk, start) = (vec![0; CHUNK], Instant::now());
    let mut bytes = 0;
    while start.elapsed() < duration {
        stream.write_all(&chunk)?;
        bytes += CHUNK as u64;
    }
    stream.shutdown(Shutdown::Write)?;
    // The other end closes when it has everything.
    ensure!(stream.read(&mut [0])? == 0, "the receiver of a stream has sent something");
    Ok(bytes)
}

/// Each stream on a thread of its own.
fn side_by_side<T: Send>(streams: Vec<TcpStream>, work: impl Fn(TcpStream) -> Result<T> + Sync) -> Result<Vec<T>> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = streams.into_iter().map(|stream| scope.spawn(|| work(stream))).collect();
        let ends =
            threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a stream's thread panicked"))?);
        ends.collect()
    })
}
