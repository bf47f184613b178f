//! Packets of one interface below its addresses: what a host without an address sends and hears (packet(7)).
//!
//! A socket belongs to the namespace of the thread that opens it, and keeps that namespace alive: it is opened for one
//! exchange, and closed.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use libc::{c_int, c_void, socklen_t};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use weft_model::{IfName, MacAddr};

use crate::netlink::KernelError;

/// The longest packet that is read, in bytes; what is longer is cut.
const PACKET_BYTES_MAX: usize = 9216;
/// The packet socket in error messages.
const SOCKET: &str = "packet socket";

/// What a socket hears. All else is dropped before it wakes anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hearing {
    /// IPv4 datagrams to the port of DHCP clients (RFC 2131, section 4.1).
    DhcpV4,
    /// Who has which IPv4 address (RFC 826).
    Arp,
    /// Routers' advertisements, and who has which IPv6 address (RFC 4861).
    NeighbourDiscovery,
}

/// An instruction of the classic packet filter: code, jumps if true and false, operand.
type Instruction = (u16, u8, u8, u32);

/// Loads of a byte, of two, and of two at an offset from X; X from the length of the header; jumps; the end.
const LOAD_BYTE: u16 = 0x30;
const LOAD_HALF: u16 = 0x28;
const LOAD_HALF_FROM_X: u16 = 0x48;
const X_HEADER_LENGTH: u16 = 0xb1;
const IF_EQUAL: u16 = 0x15;
const IF_ABOVE: u16 = 0x25;
const IF_AT_LEAST: u16 = 0x35;
const IF_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

/// Protocol UDP, no later fragment, destination port 68.
const DHCP_V4: &[Instruction] = &[
    (LOAD_BYTE, 0, 0, 9),
    (IF_EQUAL, 0, 6, 17),
    (LOAD_HALF, 0, 0, 6),
    (IF_ANY_BIT, 4, 0, 0x1fff),
    (X_HEADER_LENGTH, 0, 0, 0),
    (LOAD_HALF_FROM_X, 0, 0, 2),
    (IF_EQUAL, 0, 1, 68),
    (RETURN, 0, 0, u32::MAX),
    (RETURN, 0, 0, 0),
];

/// Next header ICMPv6, and a type from 134 to 136.
const NEIGHBOUR_DISCOVERY: &[Instruction] = &[
    (LOAD_BYTE, 0, 0, 6),
    (IF_EQUAL, 0, 4, 58),
    (LOAD_BYTE, 0, 0, 40),
    (IF_AT_LEAST, 0, 2, 134),
    (IF_ABOVE, 1, 0, 136),
    (RETURN, 0, 0, u32::MAX),
    (RETURN, 0, 0, 0),
];

const EVERYTHING: &[Instruction] = &[(RETURN, 0, 0, u32::MAX)];

impl Hearing {
    fn ethertype(self) -> u16 {
        let number = match self {
            Hearing::DhcpV4 => libc::ETH_P_IP,
            Hearing::Arp => libc::ETH_P_ARP,
            Hearing::NeighbourDiscovery => libc::ETH_P_IPV6,
        };
        u16::try_from(number).expect("EtherTypes are of two bytes")
    }

    fn filter(self) -> &'static [Instruction] {
        match self {
            Hearing::DhcpV4 => DHCP_V4,
            Hearing::Arp => EVERYTHING,
            Hearing::NeighbourDiscovery => NEIGHBOUR_DISCOVERY,
        }
    }
}

/// A packet that came in.
#[derive(Debug)]
pub struct Received {
    /// From the network header on.
    pub bytes: Vec<u8>,
    /// Who sent the frame.
    pub from: MacAddr,
    /// Its checksums were left to a network card that it never met: it was sent on this machine.
    pub is_unsummed: bool,
}

/// An open socket that never waits.
#[derive(Debug)]
pub struct PacketSocket {
    fd: OwnedFd,
    index: u32,
    ethertype: u16,
}

impl PacketSocket {
    /// Opens a socket on the interface called `ifname` of the calling thread's namespace.
    pub fn open(ifname: &IfName, hearing: Hearing) -> Result<Self, KernelError> {
        let error = |action| move |errno| KernelError::new(action, format!("{SOCKET} of {ifname}"), errno);
        // Of no protocol, so that nothing is heard before the filter is there.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = rustix::net::socket_with(AddressFamily::PACKET, SocketType::DGRAM, flags, None);
        let fd = fd.map_err(error("open"))?;
        let index = rustix::net::netdevice::name_to_index(&fd, ifname.as_str()).map_err(error("find interface of"))?;
        let socket = Self { fd, index, ethertype: hearing.ethertype() };
        attach(&socket.fd, hearing.filter()).map_err(error("filter"))?;
        set_option(&socket.fd, libc::SOL_PACKET, libc::PACKET_AUXDATA, &1_i32).map_err(error("set up"))?;
        socket.bind().map_err(error("bind"))?;
        Ok(socket)
    }

    /// Hears what is sent to the group `mac` too, also where the interface filters it (a macvlan does).
    pub fn join(&self, mac: MacAddr) -> Result<(), KernelError> {
        let [a, b, c, d, e, f] = mac.0;
        let request = libc::packet_mreq {
            mr_ifindex: self.index.cast_signed(),
            mr_type: libc::PACKET_MR_MULTICAST as libc::c_ushort,
            mr_alen: 6,
            mr_address: [a, b, c, d, e, f, 0, 0],
        };
        let joined = set_option(&self.fd, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &request);
        joined.map_err(|errno| KernelError::new("join group", mac.to_string(), errno))
    }

    /// Sends a packet, from its network header on.
    pub fn send(&self, packet: &[u8], to: MacAddr) -> Result<(), KernelError> {
        let address = self.address(to);
        // SAFETY: packet and address are valid for the lengths that are given with them.
        let sent = unsafe {
            libc::sendto(
                self.fd.as_raw_fd(),
                packet.as_ptr().cast(),
                packet.len(),
                0,
                (&raw const address).cast(),
                length_of(&address),
            )
        };
        if sent < 0 { Err(KernelError::new("write to", SOCKET, last_error())) } else { Ok(()) }
    }

    /// The next packet that came in; `None` if there is none yet.
    pub fn receive(&self) -> Result<Option<Received>, KernelError> {
        loop {
            match self.receive_any() {
                // What we sent ourselves is shown too.
                Ok((received, kind)) if kind != libc::PACKET_OUTGOING => return Ok(Some(received)),
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(errno) => return Err(KernelError::new("read from", SOCKET, errno)),
            }
        }
    }

    fn receive_any(&self) -> Result<(Received, u8), Errno> {
        let mut bytes = vec![0; PACKET_BYTES_MAX];
        let mut from = self.address(MacAddr::NONE);
        let mut vector = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
        // Aligned as control messages must be.
        let mut control = [0_u64; 16];
        // SAFETY: all zeroes is a valid msghdr.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_name = (&raw mut from).cast();
        header.msg_namelen = length_of(&from);
        header.msg_iov = &raw mut vector;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(&control);
        // SAFETY: every pointer of the header is to a living buffer of the length beside it.
        let count = unsafe { libc::recvmsg(self.fd.as_raw_fd(), &raw mut header, 0) };
        let count = usize::try_from(count).map_err(|_| last_error())?;
        bytes.truncate(count);
        let [a, b, c, d, e, f, ..] = from.sll_addr;
        let received = Received { bytes, from: MacAddr([a, b, c, d, e, f]), is_unsummed: is_unsummed(&header) };
        Ok((received, from.sll_pkttype))
    }

    fn bind(&self) -> Result<(), Errno> {
        let address = self.address(MacAddr::NONE);
        // SAFETY: the address is valid for its length.
        let bound = unsafe { libc::bind(self.fd.as_raw_fd(), (&raw const address).cast(), length_of(&address)) };
        if bound < 0 { Err(last_error()) } else { Ok(()) }
    }

    fn address(&self, mac: MacAddr) -> libc::sockaddr_ll {
        let [a, b, c, d, e, f] = mac.0;
        libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as libc::c_ushort,
            sll_protocol: self.ethertype.to_be(),
            sll_ifindex: self.index.cast_signed(),
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 6,
            sll_addr: [a, b, c, d, e, f, 0, 0],
        }
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A UDP socket that never waits, and that only sees the interface called `ifname`; in the calling thread's namespace.
pub fn datagrams(ifname: &IfName, address: SocketAddr) -> Result<(UdpSocket, u32), KernelError> {
    let error = |e: &std::io::Error| KernelError::io("bind", format!("{address} on {ifname}"), e);
    let socket = UdpSocket::bind(address).map_err(|e| error(&e))?;
    socket.set_nonblocking(true).map_err(|e| error(&e))?;
    let named = |errno| KernelError::new("bind", format!("{address} on {ifname}"), errno);
    let index = rustix::net::netdevice::name_to_index(&socket, ifname.as_str()).map_err(named)?;
    // By number: the kernel takes either (SO_BINDTOIFINDEX).
    set_option(&socket, libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX, &index).map_err(named)?;
    Ok((socket, index))
}

fn attach(fd: &impl AsFd, program: &[Instruction]) -> Result<(), Errno> {
    let mut filter: Vec<libc::sock_filter> =
        program.iter().map(|&(code, jt, jf, k)| libc::sock_filter { code, jt, jf, k }).collect();
    let length = libc::c_ushort::try_from(filter.len()).map_err(|_| Errno::INVAL)?;
    let program = libc::sock_fprog { len: length, filter: filter.as_mut_ptr() };
    set_option(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

fn set_option<T>(fd: &impl AsFd, level: c_int, option: c_int, value: &T) -> Result<(), Errno> {
    let pointer: *const c_void = (&raw const *value).cast();
    // SAFETY: the pointer is to a living value of the length that is given; what it points to in turn lives as long.
    let set = unsafe { libc::setsockopt(fd.as_fd().as_raw_fd(), level, option, pointer, length_of(value)) };
    if set < 0 { Err(last_error()) } else { Ok(()) }
}

/// Whether the kernel says that a packet's checksums are not there yet.
fn is_unsummed(header: &libc::msghdr) -> bool {
    // SAFETY: the header is as recvmsg left it; the macros stay within its control buffer.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while let Some(found) = message.as_ref() {
            if (found.cmsg_level, found.cmsg_type) == (libc::SOL_PACKET, libc::PACKET_AUXDATA) {
                let data = libc::CMSG_DATA(message).cast::<libc::tpacket_auxdata>().read_unaligned();
                return data.tp_status & libc::TP_STATUS_CSUMNOTREADY != 0;
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    false
}

fn length_of<T>(value: &T) -> socklen_t {
    socklen_t::try_from(size_of_val(value)).expect("a few bytes")
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
