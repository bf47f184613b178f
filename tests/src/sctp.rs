//! Associations of SCTP (RFC 9260), and its packets made by hand.

#![expect(clippy::unwrap_used, reason = "a test that fails there says enough")]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto};
use weft_netns::Netns;

/// Far longer than an answer takes; also for one whose first packet was lost (RFC 9260, section 16: 1 s to begin with).
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Of a message: several packets, and less than a socket's buffer.
const MESSAGE_BYTES: usize = 16 << 10;
/// Of the head of a packet: ports, tag, checksum.
const HEAD_BYTES: usize = 12;
/// Of that, where the checksum is.
const CHECKSUM: std::ops::Range<usize> = 8..12;

/// An association with one stream each way. Its sockets are such as read and write bytes in order, as TCP's do
/// (RFC 6458, section 4).
pub struct Association {
    client: TcpStream,
    server: TcpStream,
}

/// Where an association ends: a namespace, and the address there.
pub type End<'a> = (&'a Netns, IpAddr);

impl Association {
    /// What the kernel lacks for any, if it does.
    pub fn lack() -> Option<&'static str> {
        match socket(AddressFamily::INET) {
            Ok(_) => None,
            Err(Errno::PROTONOSUPPORT) => Some("the kernel has no SCTP (CONFIG_IP_SCTP)"),
            Err(error) => panic!("a socket of SCTP: {error}"),
        }
    }

    /// Opens one to `port`. Each end is bound to its address, so there is one path.
    pub fn open(from: End<'_>, to: End<'_>, port: u16) -> Self {
        let patience = Some(weft_lab::patience(ANSWER_MAX));
        let listener = listen(to, port);
        let client = from.0.within(|| bound(from.1, 0)).unwrap();
        // It bounds the wait for the peer as well.
        sockopt::set_socket_timeout(&client, Timeout::Send, patience).unwrap();
        let opened = rustix::net::connect(&client, &SocketAddr::new(to.1, port));
        opened.unwrap_or_else(|error| panic!("{} to {}: {error}", from.1, to.1));
        let client = TcpStream::from(client);
        let (server, _) = listener.accept().unwrap();
        for end in [&client, &server] {
            end.set_read_timeout(patience).unwrap();
            end.set_write_timeout(patience).unwrap();
        }
        Self { client, server }
    }

    /// The port of who opened it.
    pub fn client_port(&self) -> u16 {
        self.client.local_addr().unwrap().port()
    }

    /// As many bytes one way as the other, at once, each at its place.
    pub fn carry(&mut self, bytes: usize) {
        let sent: Vec<u8> = (0..bytes).map(|n| (n % 251) as u8).collect();
        let messages = || sent.chunks(MESSAGE_BYTES);
        let send = |mut end: &TcpStream| messages().for_each(|message| end.write_all(message).unwrap());
        let hear = |mut end: &TcpStream| {
            let mut heard = vec![0; bytes];
            end.read_exact(&mut heard).unwrap();
            assert!(heard == sent, "other bytes came than were sent");
        };
        std::thread::scope(|scope| {
            for end in [&self.client, &self.server] {
                scope.spawn(move || send(end));
                scope.spawn(move || hear(end));
            }
        });
    }

    /// Ends it in order (RFC 9260, section 9.2). Each end hears that no more comes, and after the last packet that
    /// there is no association any more; of one that was aborted, neither.
    pub fn shut_down(mut self) {
        self.client.shutdown(Shutdown::Write).unwrap();
        for end in [&mut self.server, &mut self.client] {
            let heard = end.read(&mut [0]);
            let is_over = heard.as_ref().map_or_else(|e| e.kind() == ErrorKind::NotConnected, |bytes| *bytes == 0);
            assert!(is_over, "{heard:?}");
        }
    }

    /// Ends it without (RFC 9260, section 9.1).
    pub fn abort(mut self) {
        sockopt::set_socket_linger(&self.client, Some(Duration::ZERO)).unwrap();
        drop(self.client);
        let told = self.server.read(&mut [0]).unwrap_err();
        assert_eq!(told.kind(), ErrorKind::ConnectionReset, "{told}");
    }
}

fn socket(family: AddressFamily) -> rustix::io::Result<OwnedFd> {
    rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, Some(ipproto::SCTP))
}

fn bound(ip: IpAddr, port: u16) -> OwnedFd {
    let socket = socket(if ip.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 }).unwrap();
    rustix::net::bind(&socket, &SocketAddr::new(ip, port)).unwrap();
    socket
}

/// Listens there, for as long as it lives.
pub fn listen(at: End<'_>, port: u16) -> TcpListener {
    let listener = at.0.within(|| bound(at.1, port)).unwrap();
    rustix::net::listen(&listener, 1).unwrap();
    listener.into()
}

/// The first packet of an association from one port to another, with its checksum: an INIT (RFC 9260, section 3.3.2).
pub fn init(from: u16, to: u16) -> Vec<u8> {
    let mut packet = [&from.to_be_bytes()[..], &to.to_be_bytes(), &[0; HEAD_BYTES - 4]].concat();
    let (tag, window, first) = (7u32, 65_536u32, 1u32);
    packet.extend([1, 0, 0, 20]);
    packet.extend([tag.to_be_bytes(), window.to_be_bytes(), [0, 1, 0, 1], first.to_be_bytes()].concat());
    let checksum = crc32c(&packet).to_le_bytes();
    packet[CHECKSUM].copy_from_slice(&checksum);
    packet
}

/// The checksum of RFC 9260, appendix A.
fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let shift = |rest: u32, _| (rest >> 1) ^ (POLYNOMIAL * (rest & 1));
    !bytes.iter().fold(!0, |rest, byte| (0..8).fold(rest ^ u32::from(*byte), shift))
}
