//! A connection to the agent's socket, with the descriptors that came beside its bytes.
//!
//! HTTP knows no descriptors, so they are gathered here, below it: a shim sends the container's namespace with the
//! first bytes of its request, and the handler takes it from the connection.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::UnixStream;

/// Descriptors kept per connection; more are closed at once.
const DESCRIPTORS_MAX: usize = 4;

/// Descriptors that a client passed and no handler has taken yet.
#[derive(Debug, Clone, Default)]
pub struct Descriptors(Arc<Mutex<Vec<OwnedFd>>>);

impl Descriptors {
    /// The one that was passed last.
    pub fn take(&self) -> Option<OwnedFd> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn add(&self, fd: OwnedFd) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < DESCRIPTORS_MAX {
            kept.push(fd);
        }
    }
}

/// Who is at the other end, as the kernel knows it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Peer {
    /// Process.
    pub pid: i32,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// The connection.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    descriptors: Descriptors,
}

impl Connection {
    /// Wraps an accepted stream.
    pub fn new(stream: UnixStream) -> Self {
        Self { stream, descriptors: Descriptors::default() }
    }

    /// Who is at the other end.
    pub fn peer(&self) -> Peer {
        let known = self.stream.peer_cred();
        known.map_or_else(|_| Peer::default(), |c| Peer { pid: c.pid().unwrap_or(0), uid: c.uid(), gid: c.gid() })
    }

    /// Where its descriptors are.
    pub fn descriptors(&self) -> Descriptors {
        self.descriptors.clone()
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [io::IoSliceMut::new(buffer)];
        let received = rustix::net::recvmsg(&self.stream, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                fds.for_each(|fd| self.descriptors.add(fd));
            }
        }
        Ok(received.bytes)
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(context))?;
            let space = buffer.initialize_unfilled();
            match self.stream.try_io(Interest::READABLE, || self.receive(space)) {
                Ok(length) => {
                    buffer.advance(length);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
