//! The kernel's numbers of network namespaces, which are never given twice while it runs.

use std::os::fd::AsRawFd as _;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use weft_netns::Netns;

use crate::{Errno, KernelError};

/// The cookie of a namespace (SO_NETNS_COOKIE in include/uapi/asm-generic/socket.h; Linux 5.14 and newer). For threads
/// that the caller owns.
pub fn of(netns: &Netns) -> Result<u64, KernelError> {
    let read = || {
        let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
        let (mut cookie, mut length) = (0_u64, size_of::<u64>() as libc::socklen_t);
        // SAFETY: the kernel writes eight bytes, to what lives through the call.
        let answer = unsafe {
            let value = (&raw mut cookie).cast();
            libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_NETNS_COOKIE, value, &raw mut length)
        };
        let failed = || Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO);
        if answer == 0 { Ok(cookie) } else { Err(failed()) }
    };
    let entered = netns.within(read);
    let entered = entered.map_err(|e| KernelError::new("enter", format!("a network namespace: {e}"), Errno::NODEV))?;
    entered.map_err(|errno| KernelError::new("read", "the cookie of a network namespace".to_owned(), errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_have_cookies_of_their_own() {
        let (own, other) = (Netns::current().expect("current"), Netns::create().expect("create (needs root)"));
        let [own, other, again] = [&own, &other, &other].map(|netns| of(netns).expect("a cookie"));
        assert!(own != 0 && other != 0 && own != other && other == again, "{own} {other}");
    }
}
