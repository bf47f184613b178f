//! The netfilter socket: kept open, because closing one waits until deleted rules are freed.

use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::Socket as NetlinkSocket;
use netlink_sys::protocols::NETLINK_NETFILTER;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use crate::KernelError;

/// The kernel fills the datagrams of a list up to 32 KiB; those of answers and announcements are shorter.
const DATAGRAM_BYTES_MAX: usize = 64 << 10;

/// Queues either way in bytes: a batch is sent as one datagram, and each of its messages may be answered.
const QUEUE_BYTES: usize = 4 << 20;

/// What errors call it.
pub(super) const NAME: &str = "nftables socket";

/// A socket of the network namespace it was opened in.
#[derive(Debug)]
pub(super) struct Socket {
    socket: NetlinkSocket,
    buffer: Vec<u8>,
}

impl Socket {
    pub(super) fn open() -> Result<Self, KernelError> {
        let io = |error: std::io::Error| failed("open", &error);
        let errno = |errno| KernelError::new("open", NAME, errno);
        let mut socket = NetlinkSocket::new(NETLINK_NETFILTER).map_err(io)?;
        socket.bind_auto().map_err(io)?;
        socket.set_ext_ack(true).map_err(io)?;
        // Answers then hold the header of their request only: `wire` relies on it.
        socket.set_cap_ack(true).map_err(io)?;
        rustix::net::sockopt::set_socket_send_buffer_size_force(&socket, QUEUE_BYTES).map_err(errno)?;
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, QUEUE_BYTES).map_err(errno)?;
        Ok(Self { socket, buffer: vec![0; DATAGRAM_BYTES_MAX] })
    }

    /// Asks for the announcements of a multicast group.
    pub(super) fn join(&self, group: u32) -> Result<(), KernelError> {
        self.socket.add_membership(group).map_err(|error| failed("subscribe", &error))
    }

    /// Hands a datagram to the kernel, which carries it out before this returns.
    pub(super) fn send(&self, datagram: &[u8]) -> Result<(), KernelError> {
        let sent = rustix::io::retry_on_intr(|| rustix::net::send(&self.socket, datagram, SendFlags::empty()));
        sent.map(drop).map_err(|errno| KernelError::new("write to", NAME, errno))
    }

    /// The next datagram, without waiting: `AGAIN` if there is none, `NOBUFS` if some were lost.
    pub(super) fn receive(&mut self) -> Result<&[u8], Errno> {
        let (socket, buffer) = (&self.socket, self.buffer.as_mut_slice());
        let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
        let (length, whole) = rustix::io::retry_on_intr(|| rustix::net::recv(socket, &mut *buffer, flags))?;
        if whole > length { Err(Errno::MSGSIZE) } else { Ok(&self.buffer[..length]) }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn failed(action: &'static str, error: &std::io::Error) -> KernelError {
    KernelError::new(action, NAME, Errno::from_io_error(error).unwrap_or(Errno::IO))
}
