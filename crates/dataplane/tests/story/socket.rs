//! Sockets that go to services: where the programs lead them, and what they are told.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::process::Command;

use weft_dataplane::{Loaded, Services, Telling, abi, address_of};

use crate::world::{World, ip};

const VIEW: u32 = 5;
const SERVICE: u32 = 3;
const VIPS: [&str; 2] = ["10.247.0.1", "fd77::1"];
const PORT: u16 = 80;
const TCP: u8 = 6;
const UDP: u8 = 17;
const FOREVER: u32 = 1 << 20;
/// That of nine degrees of freedom which an even choice exceeds once in a hundred thousand times.
const CHI_SQUARED_MAX: f64 = 38.7;

/// A cgroup of one thread, which the programs are at, in the namespace that the programs know.
struct Seat {
    world: World,
    cgroup: PathBuf,
}

impl Seat {
    fn take() -> Self {
        let world = World::empty();
        for line in ["link set lo up", "address add fd07::1/128 dev lo", "address add fd07::2/128 dev lo"] {
            assert!(Command::new("ip").args(line.split(' ')).status().unwrap().success());
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let is_cgroup2 = |line: &&str| line.contains(" - cgroup2 ");
        let mount = mounts.lines().find(is_cgroup2).unwrap().split(' ').nth(4).unwrap();
        let own = fs::read_to_string("/proc/self/cgroup").unwrap();
        let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap();
        // Threads alone may be apart from their process, and sockets are of the cgroup of whose thread made them.
        let name = format!("weft-socket-{}-{}", std::process::id(), thread());
        let cgroup = PathBuf::from(mount).join(own).join(name);
        fs::create_dir(&cgroup).unwrap();
        fs::write(cgroup.join("cgroup.type"), "threaded").unwrap();
        fs::write(cgroup.join("cgroup.threads"), thread()).unwrap();
        let seat = Self { world, cgroup };
        seat.services().serve(&seat.cgroup).unwrap();
        seat.services().namespaces.put(&cookie(), &abi::namespace_known { view: VIEW }).unwrap();
        seat
    }

    fn services(&self) -> &Services {
        self.world.dataplane.services()
    }

    /// Has these serve a port, as this set.
    fn serve(&self, (vip, protocol): (IpAddr, u8), set: u32, backends: &[SocketAddr], affinity: u32) {
        let services = self.services();
        for (place, at) in (0..).zip(backends) {
            let backend = abi::backend { address: address_of(at.ip()), port: at.port(), ..abi::backend::default() };
            services.backends.put(&abi::backend_key { set, place }, &backend).unwrap();
            let (address, port) = (address_of(at.ip()), at.port());
            services.members.put(&abi::member_key { address, set, port, ..abi::member_key::default() }, &1).unwrap();
        }
        let count = u32::try_from(backends.len()).unwrap();
        self.front(
            (vip, protocol),
            abi::frontend { set, count, service: SERVICE, affinity, ..abi::frontend::default() },
        );
    }

    fn front(&self, (vip, protocol): (IpAddr, u8), frontend: abi::frontend) {
        let address = address_of(vip);
        let key = abi::frontend_key { address, view: VIEW, port: PORT, protocol, ..abi::frontend_key::default() };
        self.services().frontends.put(&key, &frontend).unwrap();
    }

    fn counted(&self) -> (u64, u64) {
        let counts = self.services().counts.per_cpu(&SERVICE).unwrap();
        counts.iter().fold((0, 0), |(led, refused), one| (led + one.connections, refused + one.refused))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let parent = self.cgroup.parent().unwrap();
        let _ = fs::write(parent.join("cgroup.threads"), thread());
        let _ = fs::remove_dir(&self.cgroup);
    }
}

fn thread() -> String {
    rustix::thread::gettid().as_raw_nonzero().to_string()
}

/// Of this thread's network namespace.
fn cookie() -> u64 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (mut cookie, mut length) = (0_u64, 8);
    // SAFETY: the kernel writes eight bytes, to what lives through the call.
    let answer = unsafe {
        let value = (&raw mut cookie).cast();
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_NETNS_COOKIE, value, &raw mut length)
    };
    assert_eq!(answer, 0);
    cookie
}

/// Loopback addresses, of which all of IPv4's are there.
fn hosts(vip: &str) -> [IpAddr; 2] {
    if vip.contains(':') { [ip("fd07::1"), ip("fd07::2")] } else { [ip("127.0.0.7"), ip("127.0.0.8")] }
}

fn listeners(vip: &str) -> [UdpSocket; 2] {
    hosts(vip).map(|host| {
        let socket = UdpSocket::bind((host, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket
    })
}

fn addresses(sockets: &[UdpSocket]) -> Vec<SocketAddr> {
    sockets.iter().map(|socket| socket.local_addr().unwrap()).collect()
}

/// How many datagrams each has got since it was asked last.
fn heard(sockets: &[UdpSocket]) -> Vec<usize> {
    let hear = |socket: &UdpSocket| (0..).take_while(|_| socket.recv_from(&mut [0; 16]).is_ok()).count();
    sockets.iter().map(hear).collect()
}

#[test]
fn a_connection_is_led_to_a_backend_and_its_owner_is_told_the_address_that_he_asked_for() {
    let seat = Seat::take();
    for (set, vip) in (1..).zip(VIPS) {
        let listener = TcpListener::bind((hosts(vip)[0], 0)).unwrap();
        let asked = SocketAddr::new(ip(vip), PORT);
        seat.serve((ip(vip), TCP), set, &[listener.local_addr().unwrap()], 0);
        let mut stream = TcpStream::connect(asked).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), asked);
        let (mut accepted, _) = listener.accept().unwrap();
        accepted.write_all(b"here").unwrap();
        let mut text = [0; 4];
        stream.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"here");
        // An address of IPv4, as a socket of IPv6 writes it.
        if let IpAddr::V4(vip) = asked.ip() {
            let mapped = SocketAddr::new(vip.to_ipv6_mapped().into(), PORT);
            let stream = TcpStream::connect(mapped).unwrap();
            assert_eq!(stream.peer_addr().unwrap(), mapped);
            assert_eq!(listener.accept().unwrap().0.local_addr().unwrap(), listener.local_addr().unwrap());
        }
    }
    assert_eq!(seat.counted(), (3, 0));
    // Of others, nothing is changed: another protocol, another namespace.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    assert!(socket.connect((VIPS[0], PORT)).is_err(), "nobody has a route there");
    seat.services().namespaces.remove(&cookie()).unwrap();
    assert!(TcpStream::connect((VIPS[0], PORT)).is_err());
    assert_eq!(seat.counted(), (3, 0));
}

#[test]
fn datagrams_go_to_one_backend_as_long_as_that_serves_and_answers_come_from_where_they_were_sent_to() {
    let seat = Seat::take();
    for (n, vip) in (0..).zip(VIPS) {
        let sockets = listeners(vip);
        let asked = SocketAddr::new(ip(vip), PORT);
        let service = (ip(vip), UDP);
        seat.serve(service, 10 + n, &addresses(&sockets), 0);
        let any = if vip.contains(':') { "[::]:0" } else { "0.0.0.0:0" };
        let client = UdpSocket::bind(any).unwrap();
        for _ in 0..8 {
            client.send_to(b"?", asked).unwrap();
        }
        let counts = heard(&sockets);
        let chosen = counts.iter().position(|count| *count == 8).unwrap();
        client.send_to(b"?", asked).unwrap();
        let from = sockets[chosen].recv_from(&mut [0]).unwrap().1;
        sockets[chosen].send_to(b"!", from).unwrap();
        assert_eq!(client.recv_from(&mut [0; 2]).unwrap(), (1, asked));

        // Another set that it is in, and one that it is not in.
        let reversed: Vec<_> = addresses(&sockets).into_iter().rev().collect();
        seat.serve(service, 20 + n, &reversed, 0);
        client.send_to(b"?", asked).unwrap();
        assert_eq!(heard(&sockets)[chosen], 1);
        let other = 1 - chosen;
        seat.serve(service, 30 + n, &[addresses(&sockets)[other]], 0);
        client.send_to(b"?", asked).unwrap();
        assert_eq!(heard(&sockets)[other], 1, "its own does not serve any more");

        // One that is connected is led once.
        let connected = UdpSocket::bind(any).unwrap();
        connected.connect(asked).unwrap();
        assert_eq!(connected.peer_addr().unwrap(), asked);
        connected.send(b"?").unwrap();
        let from = sockets[other].recv_from(&mut [0]).unwrap().1;
        sockets[other].send_to(b"!", from).unwrap();
        assert_eq!(connected.recv_from(&mut [0; 2]).unwrap(), (1, asked));
    }
}

#[test]
fn backends_are_chosen_evenly_and_a_client_that_stays_with_one_does() {
    const BACKENDS: usize = 10;
    const CONNECTIONS: usize = 4000;
    let seat = Seat::take();
    let sockets: Vec<_> = (1..=BACKENDS)
        .map(|n| {
            let socket = UdpSocket::bind((ip(&format!("127.0.1.{n}")), 0)).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        })
        .collect();
    let vip = ip(VIPS[0]);
    let connect = |times: usize| {
        let mut all = BTreeMap::new();
        for _ in 0..times {
            let client = UdpSocket::bind("0.0.0.0:0").unwrap();
            client.connect((vip, PORT)).unwrap();
            client.send(b"?").unwrap();
            for (n, count) in heard(&sockets).into_iter().enumerate().filter(|(_, count)| *count > 0) {
                *all.entry(n).or_insert(0) += count;
            }
        }
        all
    };
    seat.serve((vip, UDP), 1, &addresses(&sockets), 0);
    let counts = connect(CONNECTIONS);
    let expected = (CONNECTIONS / BACKENDS) as f64;
    let chi_squared: f64 = counts.values().map(|count| (*count as f64 - expected).powi(2) / expected).sum();
    assert_eq!(counts.values().sum::<usize>(), CONNECTIONS);
    assert!(chi_squared < CHI_SQUARED_MAX && counts.len() == BACKENDS, "{chi_squared}: {counts:?}");

    seat.serve((vip, UDP), 2, &addresses(&sockets), FOREVER);
    let counts = connect(50);
    assert_eq!(counts.len(), 1, "{counts:?}");
    let left: Vec<_> = addresses(&sockets).into_iter().enumerate().filter(|(n, _)| !counts.contains_key(n)).collect();
    seat.serve((vip, UDP), 3, &left.into_iter().map(|(_, at)| at).collect::<Vec<_>>(), FOREVER);
    let next = connect(50);
    assert!(next.len() == 1 && next.keys().ne(counts.keys()), "{counts:?}, {next:?}");
}

#[test]
fn who_cannot_be_served_is_told_at_once_and_who_is_on_loopback_is_left_alone() {
    let seat = Seat::take();
    for vip in VIPS {
        for protocol in [TCP, UDP] {
            seat.front((ip(vip), protocol), abi::frontend { service: SERVICE, ..abi::frontend::default() });
        }
        let error = TcpStream::connect((vip, PORT)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{vip}");
        let client = UdpSocket::bind(if vip.contains(':') { "[::]:0" } else { "0.0.0.0:0" }).unwrap();
        assert_eq!(client.send_to(b"?", (vip, PORT)).unwrap_err().kind(), ErrorKind::ConnectionRefused, "{vip}");
        let flags = abi::FRONTEND_ELSEWHERE;
        seat.front((ip(vip), TCP), abi::frontend { service: SERVICE, flags, ..abi::frontend::default() });
        assert_eq!(TcpStream::connect((vip, PORT)).unwrap_err().kind(), ErrorKind::HostUnreachable, "{vip}");
    }
    assert_eq!(seat.counted(), (0, 6));
    // By its address it would reach nobody.
    for (own, vip) in [("127.0.0.1:0", VIPS[0]), ("[::1]:0", VIPS[1])] {
        let sockets = listeners(vip);
        seat.serve((ip(vip), UDP), 7, &addresses(&sockets), 0);
        let client = UdpSocket::bind(own).unwrap();
        let _ = client.send_to(b"?", (vip, PORT));
        let _ = client.connect((vip, PORT)).and_then(|()| client.send(b"?"));
        assert_eq!(heard(&sockets), [0, 0], "{vip}");
    }
    assert_eq!(seat.counted(), (0, 6));
}

#[test]
fn the_next_agent_takes_over_and_sockets_are_led_meanwhile() {
    let seat = Seat::take();
    let listener = TcpListener::bind((hosts(VIPS[0])[0], 0)).unwrap();
    seat.serve((ip(VIPS[0]), TCP), 1, &[listener.local_addr().unwrap()], 0);
    let next = Loaded::load(&seat.world.directory, Telling::Flows).unwrap().enforce().unwrap();
    assert!(next.services().is_served());
    TcpStream::connect((VIPS[0], PORT)).unwrap();
    next.services().serve(&seat.cgroup).unwrap();
    TcpStream::connect((VIPS[0], PORT)).unwrap();
    assert_eq!(seat.counted(), (2, 0), "by one of them each");
    // Whoever takes the pins away, as `weft uninstall` does, leaves sockets alone.
    let is_ours = |pin: &fs::DirEntry| pin.file_name().to_string_lossy().starts_with("weft_socket_");
    let pins = fs::read_dir(&seat.world.directory).unwrap().flatten().filter(is_ours);
    pins.for_each(|pin| fs::remove_file(pin.path()).unwrap());
    drop(next);
    assert!(TcpStream::connect((VIPS[0], PORT)).is_err() && !seat.services().is_served());
}
