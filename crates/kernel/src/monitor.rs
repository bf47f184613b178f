//! News of links, as the kernel tells them.

use std::time::Duration;

use netlink_packet_core::NetlinkDeserializable as _;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::link::Link;
use crate::netlink::{KernelError, SOCKET, messages};

/// Multicast groups of include/uapi/linux/rtnetlink.h: links, IPv4 and IPv6 addresses, IPv4 and IPv6 routes, IPv6
/// rules.
const GROUPS: [u32; 6] = [1, 5, 9, 7, 11, 19];
/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;
/// Bytes of news that may wait while the agent is busy: a thousand links going at once.
const QUEUE_BYTES: usize = 4 * 1024 * 1024;

/// Most datagrams told at once, so that a storm cannot hold the reader for ever.
const DATAGRAMS_MAX: usize = 4096;
/// Do not wait (include/linux/socket.h).
const MSG_DONTWAIT: i32 = 0x40;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// A link was made or changed.
    LinkChanged(Link),
    /// A link is gone.
    LinkGone(Link),
    /// An address came, changed or went on the link with this number.
    AddressChanged(u32),
    /// A default route came, changed or went.
    DefaultRouteChanged,
    /// A routing rule came or went.
    RuleChanged,
    /// More happened than the queue holds: read everything again.
    Overrun,
}

/// A socket that hears all of it, in the namespace of the thread that opened it.
#[derive(Debug)]
pub struct Monitor {
    socket: Socket,
}

impl Monitor {
    /// Begins to listen.
    pub fn open() -> Result<Self, KernelError> {
        let open = || -> std::io::Result<Socket> {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.set_rx_buf_sz(i32::try_from(QUEUE_BYTES).unwrap_or(i32::MAX))?;
            socket.bind(&SocketAddr::new(0, 0))?;
            for group in GROUPS {
                socket.add_membership(group)?;
            }
            Ok(socket)
        };
        let socket = open().map_err(|e| KernelError::io("open", SOCKET, &e))?;
        Ok(Self { socket })
    }

    /// Waits for news, lets them gather for a while, and gives all that there are by then.
    pub fn wait(&mut self, gather: Duration) -> Result<Vec<News>, KernelError> {
        let mut ready = [PollFd::new(&self.socket, PollFlags::IN)];
        match poll(&mut ready, None) {
            Ok(_) | Err(Errno::INTR) => std::thread::sleep(gather),
            Err(errno) => return Err(KernelError::new("wait at", SOCKET, errno)),
        }
        let mut news = Vec::new();
        for _ in 0..DATAGRAMS_MAX {
            let mut buffer = Vec::with_capacity(READ_BYTES);
            match self.socket.recv(&mut buffer, MSG_DONTWAIT) {
                Ok(_) => news.extend(read(&buffer)),
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) if e.raw_os_error() == Some(Errno::NOBUFS.raw_os_error()) => news.push(News::Overrun),
                Err(e) => return Err(KernelError::io("read from", SOCKET, &e)),
            }
        }
        Ok(news)
    }
}

fn read(bytes: &[u8]) -> impl Iterator<Item = News> {
    let parse = |(header, payload)| RouteNetlinkMessage::deserialize(&header, payload).ok();
    messages(bytes).filter_map(parse).filter_map(|message| news(&message))
}

fn news(message: &RouteNetlinkMessage) -> Option<News> {
    match message {
        RouteNetlinkMessage::NewLink(message) => Some(News::LinkChanged(Link::from_message(message))),
        RouteNetlinkMessage::DelLink(message) => Some(News::LinkGone(Link::from_message(message))),
        RouteNetlinkMessage::NewAddress(message) | RouteNetlinkMessage::DelAddress(message) => {
            Some(News::AddressChanged(message.header.index))
        }
        RouteNetlinkMessage::NewRoute(message) | RouteNetlinkMessage::DelRoute(message) => {
            (message.header.destination_prefix_length == 0).then_some(News::DefaultRouteChanged)
        }
        RouteNetlinkMessage::NewRule(_) | RouteNetlinkMessage::DelRule(_) => Some(News::RuleChanged),
        _ => None,
    }
}
