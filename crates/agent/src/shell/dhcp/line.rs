//! The sockets of one exchange, inside a container's namespace.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd as _, BorrowedFd};

use weft_dhcp::packet::{Checksums, arp, icmp6, udp4};
use weft_dhcp::{Outgoing, v6};
use weft_kernel::KernelError;
use weft_kernel::packet::{Hearing, PacketSocket, Received, datagrams};
use weft_model::{Family, IfName, MacAddr};
use weft_netns::Netns;

use super::{Asker, DhcpError};

const BROADCAST: MacAddr = MacAddr([0xff; 6]);
/// Most packets that are read of one socket in one go: whoever floods it must not keep others from being heard.
const PACKETS_MAX: usize = 64;
/// Longest DHCPv6 message that is read, in bytes.
const MESSAGE_BYTES_MAX: usize = 9216;

/// What came in.
#[derive(Debug)]
pub(super) enum Heard {
    /// A DHCP message of the line's family.
    Message(Vec<u8>),
    /// Somebody has, or is about to take, an address.
    Claim(IpAddr),
    /// What a router says.
    Router(icmp6::Advertisement),
}

/// An open line to the LAN, for one family.
#[derive(Debug)]
pub(super) struct Line {
    ifname: IfName,
    mac: MacAddr,
    serves: Serves,
    sockets: Sockets,
}

/// Which addresses a line is there to speak from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Serves {
    /// Any, and none.
    All,
    /// Those of the interface: it is not asked by from none.
    Own,
    /// None: it is by the host's link.
    None,
}

#[derive(Debug)]
enum Sockets {
    V4 {
        packets: PacketSocket,
        neighbours: PacketSocket,
        /// Of the address that is held: sends to one server, and keeps the kernel from telling that server, whose
        /// answers the packet socket reads, that nobody listens.
        held: Option<UdpSocket>,
    },
    V6 {
        datagrams: UdpSocket,
        index: u32,
        neighbours: PacketSocket,
    },
}

impl Line {
    /// Opens a line in `netns`; `own` is the IPv4 address that is spoken from, if the interface has one already. The
    /// calling thread is in the host's namespace.
    pub(super) fn open(netns: &Netns, asker: &Asker, family: Family, own: Option<Ipv4Addr>) -> Result<Self, DhcpError> {
        let ifname = &asker.ifname;
        let serves = match (&asker.outside, family, own) {
            (None, ..) | (Some(_), Family::IPv6, _) => Serves::All,
            (Some(_), Family::IPv4, Some(_)) => Serves::Own,
            (Some(_), Family::IPv4, None) => Serves::None,
        };
        let listen = |hearing| match asker.outside.as_ref().filter(|_| serves != Serves::Own) {
            Some(outside) => Ok(PacketSocket::open(outside, hearing)?),
            None => Ok::<_, DhcpError>(netns.run(|| PacketSocket::open(ifname, hearing))??),
        };
        let sockets = match family {
            Family::IPv4 => {
                let held = own.map(|own| netns.run(|| datagrams(ifname, (own, udp4::CLIENT_PORT).into())));
                Sockets::V4 {
                    packets: listen(Hearing::DhcpV4)?,
                    neighbours: listen(Hearing::Arp)?,
                    // The container may have a client of its own, or have lost the address: all are asked then.
                    held: held.transpose()?.and_then(Result::ok).map(|(socket, _)| socket),
                }
            }
            Family::IPv6 => {
                let any = (Ipv6Addr::UNSPECIFIED, v6::CLIENT_PORT).into();
                let (datagrams, index) = netns.run(|| datagrams(ifname, any))??;
                Sockets::V6 { datagrams, index, neighbours: listen(Hearing::NeighbourDiscovery)? }
            }
        };
        Ok(Self { ifname: ifname.clone(), mac: asker.mac, serves, sockets })
    }

    /// Whether it is there to speak from `own`, or from no address.
    pub(super) fn is_for(&self, own: Option<Ipv4Addr>) -> bool {
        match self.serves {
            Serves::All => true,
            Serves::Own => own.is_some(),
            Serves::None => own.is_none(),
        }
    }

    /// What to poll for.
    pub(super) fn sources(&self) -> [BorrowedFd<'_>; 2] {
        match &self.sockets {
            Sockets::V4 { packets, neighbours, .. } => [packets.as_fd(), neighbours.as_fd()],
            Sockets::V6 { datagrams, neighbours, .. } => [datagrams.as_fd(), neighbours.as_fd()],
        }
    }

    /// Sends a DHCP message.
    pub(super) fn send(&self, outgoing: &Outgoing) -> Result<(), KernelError> {
        let message = &outgoing.message;
        match (&self.sockets, outgoing.to) {
            (Sockets::V4 { held: Some(held), .. }, Some(server)) => {
                let to = SocketAddr::from((server, udp4::SERVER_PORT));
                self.sent(held.send_to(message, to), to)
            }
            (Sockets::V4 { packets, .. }, _) => {
                let source = outgoing.from.unwrap_or(Ipv4Addr::UNSPECIFIED);
                packets.send(&udp4::encode(source, Ipv4Addr::BROADCAST, message), BROADCAST)
            }
            (Sockets::V6 { datagrams, index, .. }, _) => {
                let to = SocketAddrV6::new(v6::ALL_SERVERS, v6::SERVER_PORT, 0, *index).into();
                self.sent(datagrams.send_to(message, to), to)
            }
        }
    }

    fn sent(&self, sent: std::io::Result<usize>, to: SocketAddr) -> Result<(), KernelError> {
        let error = |e| KernelError::io("send DHCP message", format!("to {to} on {}", self.ifname), &e);
        sent.map(drop).map_err(error)
    }

    /// Asks whether anybody has an address.
    pub(super) fn probe(&self, address: IpAddr) -> Result<(), KernelError> {
        match (&self.sockets, address) {
            (Sockets::V4 { neighbours, .. }, IpAddr::V4(v4)) => neighbours.send(&arp::probe(self.mac, v4), BROADCAST),
            (Sockets::V6 { neighbours, .. }, IpAddr::V6(v6)) => {
                let group = MacAddr(icmp6::group_mac(icmp6::solicited_node(v6)));
                neighbours.join(group)?;
                neighbours.send(&icmp6::probe(v6), group)
            }
            _ => Ok(()),
        }
    }

    /// Tells that an address is ours.
    pub(super) fn announce(&self, address: Ipv4Addr) -> Result<(), KernelError> {
        match &self.sockets {
            Sockets::V4 { neighbours, .. } => neighbours.send(&arp::announcement(self.mac, address), BROADCAST),
            Sockets::V6 { .. } => Ok(()),
        }
    }

    /// Asks routers to say what they have to.
    pub(super) fn solicit_routers(&self) -> Result<(), KernelError> {
        match &self.sockets {
            Sockets::V6 { neighbours, .. } => {
                let group = MacAddr(icmp6::group_mac(icmp6::ALL_ROUTERS));
                neighbours.send(&icmp6::router_solicitation(), group)
            }
            Sockets::V4 { .. } => Ok(()),
        }
    }

    /// What came in since it was asked last. A socket that fails has nothing to say: its interface is gone, or down.
    pub(super) fn hear(&self) -> Vec<Heard> {
        match &self.sockets {
            Sockets::V4 { packets, neighbours, .. } => {
                let message = |packet: Received| {
                    let message = udp4::decode(&packet.bytes, checksums(&packet))?;
                    Some(Heard::Message(message.to_vec()))
                };
                let claim = |packet: Received| {
                    arp::claimed(&packet.bytes, self.mac).map(|address| Heard::Claim(address.into()))
                };
                read(packets).filter_map(message).chain(read(neighbours).filter_map(claim)).collect()
            }
            Sockets::V6 { datagrams, neighbours, .. } => {
                let neighbour = |packet: Received| {
                    let advertised = icmp6::advertisement(&packet.bytes, checksums(&packet)).map(Heard::Router);
                    let claim = || icmp6::claimed(&packet.bytes, checksums(&packet));
                    let others = || claim().filter(|_| packet.from != self.mac);
                    advertised.or_else(|| others().map(|address| Heard::Claim(address.into())))
                };
                messages(datagrams).map(Heard::Message).chain(read(neighbours).filter_map(neighbour)).collect()
            }
        }
    }
}

fn checksums(packet: &Received) -> Checksums {
    if packet.is_unsummed { Checksums::Pending } else { Checksums::Filled }
}

fn read(socket: &PacketSocket) -> impl Iterator<Item = Received> {
    std::iter::from_fn(|| socket.receive().ok().flatten()).take(PACKETS_MAX)
}

/// Datagrams of servers of the link: relays answer from there too.
fn messages(socket: &UdpSocket) -> impl Iterator<Item = Vec<u8>> {
    let receive = || {
        let mut bytes = vec![0; MESSAGE_BYTES_MAX];
        let (count, _) = socket.recv_from(&mut bytes).ok()?;
        bytes.truncate(count);
        Some(bytes)
    };
    std::iter::from_fn(receive).take(PACKETS_MAX)
}
