//! The netfilter socket: kept open, because closing one waits until deleted rules are freed.

use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::Socket as NetlinkSocket;
use netlink_sys::protocols::NETLINK_NETFILTER;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use super::error::NftError;

/// Longest datagram the kernel sends: dumps come in at most 32 KiB, a single larger message in what it needs.
const DATAGRAM_BYTES_MAX: usize = 128 << 10;

/// Queues either way in bytes: a batch is sent as one datagram, and each of its messages may be answered.
const QUEUE_BYTES: usize = 4 << 20;

/// A socket of the network namespace it was opened in.
pub(super) struct Socket {
    socket: NetlinkSocket,
    buffer: Vec<u8>,
}

impl Socket {
    pub(super) fn open() -> Result<Self, NftError> {
        let error = |source| NftError::Socket { action: "open", source };
        let io = |e| error(errno(&e));
        let mut socket = NetlinkSocket::new(NETLINK_NETFILTER).map_err(io)?;
        socket.bind_auto().map_err(io)?;
        socket.set_ext_ack(true).map_err(io)?;
        socket.set_cap_ack(true).map_err(io)?;
        rustix::net::sockopt::set_socket_send_buffer_size_force(&socket, QUEUE_BYTES).map_err(error)?;
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, QUEUE_BYTES).map_err(error)?;
        Ok(Self { socket, buffer: vec![0; DATAGRAM_BYTES_MAX] })
    }

    /// Asks for the announcements of a multicast group.
    pub(super) fn join(&self, group: u32) -> Result<(), NftError> {
        let joined = self.socket.add_membership(group);
        joined.map_err(|e| NftError::Socket { action: "subscribe", source: errno(&e) })
    }

    /// Hands a datagram to the kernel, which carries it out before this returns.
    pub(super) fn send(&self, datagram: &[u8]) -> Result<(), NftError> {
        let sent = rustix::io::retry_on_intr(|| rustix::net::send(&self.socket, datagram, SendFlags::empty()));
        sent.map(drop).map_err(|source| NftError::Socket { action: "write to", source })
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

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
