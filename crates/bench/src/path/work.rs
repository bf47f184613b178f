//! What the two ends do with each other. One file each, both sides in it.
//!
//! Whatever is counted was verified: every answer is what was asked, every byte and every connection arrived, every
//! datagram is one that was sent, in order, and all of it comes from the other end itself.

mod connect;
mod datagrams;
mod exchange;
mod message;
mod streams;

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

/// What is done until time is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Work {
    /// 64 bytes there and back, one after the other, by TCP.
    Exchange,
    /// As many bytes as go, by so many TCP connections at once.
    Streams(u32),
    /// A TCP connection, a byte there and back, and its end, one after the other.
    Connect,
    /// 64 bytes by UDP, as many as go.
    Datagrams,
}

/// What one end has counted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Tally {
    /// All of it.
    pub(super) total: u64,
    /// What counts, by the end whose clock counts.
    pub(super) timed: Option<Timed>,
}

/// Counted against the clock.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Timed {
    pub(super) count: u64,
    pub(super) seconds: f64,
}

impl Work {
    /// What a rate is given in.
    pub(super) fn unit(self) -> &'static str {
        match self {
            Work::Exchange => "transactions/s",
            Work::Streams(_) => "Gbit/s",
            Work::Connect => "connections/s",
            Work::Datagrams => "packets/s",
        }
    }

    /// The end that is asked: waits at `at` for the one that asks, which must be `from`, and says where by `ready`.
    pub(super) fn serve(self, at: IpAddr, from: IpAddr, ready: impl FnOnce(SocketAddr) -> Result<()>) -> Result<Tally> {
        if self == Work::Datagrams {
            let socket = UdpSocket::bind((at, 0)).with_context(|| format!("cannot bind to {at}"))?;
            ready(socket.local_addr()?)?;
            return datagrams::serve(&socket, from);
        }
        let listener = TcpListener::bind((at, 0)).with_context(|| format!("cannot bind to {at}"))?;
        ready(listener.local_addr()?)?;
        let visitors = Visitors { listener, from };
        match self {
            Work::Streams(at_once) => streams::serve(&visitors, at_once),
            Work::Connect => connect::serve(&visitors),
            Work::Exchange | Work::Datagrams => exchange::serve(&visitors),
        }
    }

    /// The end that asks.
    pub(super) fn drive(self, to: SocketAddr, duration: Duration) -> Result<Tally> {
        match self {
            Work::Exchange => exchange::drive(to, duration),
            Work::Streams(at_once) => streams::drive(to, at_once, duration),
            Work::Connect => connect::drive(to, duration),
            Work::Datagrams => datagrams::drive(to, duration),
        }
    }

    /// The rate, if what both ends have counted fits together.
    pub(super) fn rate(self, driven: &Tally, served: &Tally) -> Result<f64> {
        let (sent, arrived) = (driven.total, served.total);
        // Datagrams may be lost; only what arrived counts.
        let fits = if self == Work::Datagrams { arrived <= sent } else { arrived == sent };
        ensure!(fits, "the client counted {sent}, the server {arrived}");
        let timed = driven.timed.or(served.timed).context("neither end has looked at the clock")?;
        ensure!(timed.count > 0 && timed.seconds > 0.0, "{} in {} s is no work", timed.count, timed.seconds);
        let per_second = timed.count as f64 / timed.seconds;
        Ok(if let Work::Streams(_) = self { per_second * 8.0 / 1e9 } else { per_second })
    }
}

/// A listener that lets nobody in but the other end.
#[derive(Debug)]
struct Visitors {
    listener: TcpListener,
    from: IpAddr,
}

impl Visitors {
    fn next(&self) -> Result<TcpStream> {
        let (stream, visitor) = self.listener.accept()?;
        check_visitor(visitor, self.from)?;
        Ok(stream)
    }
}

/// A path that changes the sender's address is not the one that is to be measured.
fn check_visitor(visitor: SocketAddr, from: IpAddr) -> Result<()> {
    ensure!(visitor.ip() == from, "{} came in place of {from}", visitor.ip());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::sync::mpsc::channel;

    const SHORT: Duration = Duration::from_millis(20);

    fn tally(total: u64, count: u64, seconds: f64) -> Tally {
        Tally { total, timed: Some(Timed { count, seconds }) }
    }

    fn do_once(work: Work, at: IpAddr, from: IpAddr) -> (Result<Tally>, Result<Tally>) {
        let (tell, hear) = channel();
        std::thread::scope(|scope| {
            let server = scope.spawn(move || work.serve(at, from, |address| Ok(tell.send(address)?)));
            let driven = work.drive(hear.recv().unwrap(), SHORT);
            (driven, server.join().unwrap())
        })
    }

    #[test]
    fn every_work_is_done_by_both_families_and_both_ends_agree() {
        for at in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
            for work in [Work::Exchange, Work::Streams(1), Work::Streams(4), Work::Connect, Work::Datagrams] {
                let (driven, served) = do_once(work, at, at);
                let (driven, served) = (driven.unwrap(), served.unwrap());
                assert!(work.rate(&driven, &served).unwrap() > 0.0, "{work:?} {at}");
                assert!(served.total > 0, "{work:?} {at}");
            }
        }
    }

    #[test]
    fn a_stranger_is_refused_by_name() {
        let (at, other) = (IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from([192, 0, 2, 1]));
        for work in [Work::Exchange, Work::Streams(1), Work::Connect, Work::Datagrams] {
            let (_, served) = do_once(work, at, other);
            assert_eq!(served.unwrap_err().to_string(), "127.0.0.1 came in place of 192.0.2.1", "{work:?}");
        }
    }

    #[test]
    fn what_does_not_fit_together_has_no_rate() {
        let untimed = |total| Tally { total, timed: None };
        assert_eq!(Work::Exchange.rate(&tally(1100, 1000, 0.5), &untimed(1100)).unwrap(), 2000.0);
        assert_eq!(Work::Streams(1).rate(&untimed(1 << 30), &tally(1 << 30, 1_000_000_000, 1.0)).unwrap(), 8.0);
        assert_eq!(Work::Datagrams.rate(&untimed(10), &tally(8, 8, 2.0)).unwrap(), 4.0);
        for (driven, served) in [
            (tally(1100, 1000, 0.5), untimed(1099)),
            (tally(100, 0, 0.5), untimed(100)),
            (tally(100, 100, 0.0), untimed(100)),
            (untimed(100), untimed(100)),
        ] {
            assert!(Work::Exchange.rate(&driven, &served).is_err(), "{driven:?} {served:?}");
        }
        assert!(Work::Datagrams.rate(&untimed(10), &tally(11, 11, 1.0)).is_err());
    }
}
