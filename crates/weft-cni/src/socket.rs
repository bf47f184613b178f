//! What std does not offer for unix sockets: to connect within a time, and to send a descriptor (unix(7)).
//!
//! Layouts are the kernel's own (include/linux/socket.h), as C libraries of 64-bit Linux have them.

use std::ffi::{c_int, c_void};
use std::io;
use std::mem::{offset_of, size_of};
use std::os::fd::{AsRawFd, FromRawFd as _, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::ptr;
use std::time::Duration;

const AF_UNIX: c_int = 1;
const SOCK_STREAM: c_int = 1;
const SOCK_CLOEXEC: c_int = 0o2_000_000;
const SOL_SOCKET: c_int = 1;
const SCM_RIGHTS: c_int = 1;
const MSG_NOSIGNAL: c_int = 0x4000;

/// `struct sockaddr_un`.
#[repr(C)]
struct Address {
    family: u16,
    path: [u8; 108],
}

/// `struct iovec`.
#[repr(C)]
struct Buffer {
    start: *const c_void,
    length: usize,
}

/// `struct msghdr`.
#[repr(C)]
struct Message {
    name: *const c_void,
    name_length: u32,
    buffers: *const Buffer,
    buffer_count: usize,
    control: *const c_void,
    control_length: usize,
    flags: c_int,
}

/// `struct cmsghdr` and the one descriptor after it.
#[repr(C)]
struct Control {
    length: usize,
    level: c_int,
    kind: c_int,
    descriptor: RawFd,
}

/// The system's own functions.
mod system {
    use super::{Address, Message, c_int};

    unsafe extern "C" {
        pub(super) fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int;
        pub(super) fn connect(socket: c_int, address: *const Address, length: u32) -> c_int;
        pub(super) fn sendmsg(socket: c_int, message: *const Message, flags: c_int) -> isize;
    }
}

/// Connects to `path`. `time` limits the wait for a listener whose queue is full, and every later write.
pub(crate) fn connect(path: &Path, time: Duration) -> io::Result<UnixStream> {
    let address = Address::new(path)?;
    // SAFETY: takes numbers only; the result is checked before it is used.
    let descriptor = unsafe { system::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was opened just now, and nothing else owns it.
    let stream = unsafe { UnixStream::from_raw_fd(descriptor) };
    stream.set_write_timeout(Some(time))?;
    // SAFETY: `address` is a whole `struct sockaddr_un` of that length and lives until the call returns.
    let result = unsafe { system::connect(descriptor, &raw const address, size_of::<Address>() as u32) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(stream) }
}

impl Address {
    fn new(path: &Path) -> io::Result<Self> {
        let mut address = Self { family: AF_UNIX as u16, path: [0; 108] };
        let bytes = path.as_os_str().as_bytes();
        if bytes.len() >= address.path.len() || bytes.contains(&0) {
            let rule = "the path of a socket has 107 bytes at most, and no zero byte";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, rule));
        }
        address.path[..bytes.len()].copy_from_slice(bytes);
        Ok(address)
    }
}

/// Sends as many of `bytes` as go at once, with `descriptor` beside the first of them; returns how many.
pub(crate) fn send_with_descriptor(stream: &UnixStream, bytes: &[u8], descriptor: &impl AsRawFd) -> io::Result<usize> {
    let buffer = Buffer { start: bytes.as_ptr().cast(), length: bytes.len() };
    let control = Control {
        length: offset_of!(Control, descriptor) + size_of::<RawFd>(),
        level: SOL_SOCKET,
        kind: SCM_RIGHTS,
        descriptor: descriptor.as_raw_fd(),
    };
    let message = Message {
        name: ptr::null(),
        name_length: 0,
        buffers: &raw const buffer,
        buffer_count: 1,
        control: (&raw const control).cast(),
        control_length: size_of::<Control>(),
        flags: 0,
    };
    // SAFETY: `message` points to `buffer`, `control` and `bytes`, with their lengths, and all outlive the call, which
    // only reads them.
    let sent = unsafe { system::sendmsg(stream.as_raw_fd(), &raw const message, MSG_NOSIGNAL) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}
