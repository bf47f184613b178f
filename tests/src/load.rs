//! Steady traffic between two containers, of which every packet counts: numbered datagrams both ways and a loop of
//! requests and responses, in both families.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use weft_lab::Host;
use weft_netns::Netns;

/// Between two datagrams of one sender.
const PACE: Duration = Duration::from_micros(500);
/// Between two requests.
const PAUSE: Duration = Duration::from_millis(1);
/// Of a receiver, in bytes: what comes within seconds. One that gets no processor meanwhile has lost nothing.
const BUFFER_BYTES: libc::c_int = 8 << 20;
/// Far longer than a packet takes.
const ARRIVAL_MAX: Duration = Duration::from_secs(5);
const PORT: u16 = 9;
/// The last datagram's number.
const END: u64 = u64::MAX;

/// The namespace called so on a host of the lab.
pub fn inside(host: &Host, netns: &str) -> Netns {
    Netns::open(host.path(format!("/run/netns/{netns}"))).expect("a namespace of the test's own")
}

/// What one sender and its receiver saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagrams {
    /// Numbers that were sent.
    pub sent: u64,
    /// Those that came, in order.
    pub heard: u64,
    /// Whatever else came.
    pub foreign: u64,
}

/// What one loop of requests saw.
#[derive(Debug, Clone, Copy)]
pub struct Requests {
    /// Requests that were answered.
    pub answered: u64,
    /// Segments that had to be sent again, at either end.
    pub retransmitted: u32,
    /// The longest that one took.
    pub longest: Duration,
}

/// Traffic that goes on until it is finished.
pub struct Load {
    stop: Arc<AtomicBool>,
    senders: Vec<JoinHandle<u64>>,
    receivers: Vec<JoinHandle<(u64, u64)>>,
    requests: Vec<JoinHandle<Requests>>,
}

/// Namespace, and one address of each family.
pub type Container<'a> = (&'a str, &'a [String; 2]);

impl Load {
    /// Begins, between two containers of a host.
    pub fn start(host: &Host, (a, of_a): Container<'_>, (b, of_b): Container<'_>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut load =
            Self { stop: Arc::clone(&stop), senders: Vec::new(), receivers: Vec::new(), requests: Vec::new() };
        for (from, to) in of_a.iter().zip(of_b) {
            let (left, right) = (udp(host, a, from), udp(host, b, to));
            for (from, to) in [(&left, &right), (&right, &left)] {
                let (sender, receiver) = (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"));
                let (to, stop) = (to.local_addr().expect("a bound socket"), Arc::clone(&stop));
                load.senders.push(std::thread::spawn(move || pace(&sender, to, &stop)));
                load.receivers.push(std::thread::spawn(move || heard(&receiver)));
            }
            let (client, server) = tcp(host, (a, b), to);
            let stop = Arc::clone(&stop);
            load.requests.push(std::thread::spawn(move || ask(client, server, &stop)));
        }
        load
    }

    /// Ends, and tells what was seen. Panics if a connection broke.
    pub fn finish(self) -> (Vec<Datagrams>, Vec<Requests>) {
        self.stop.store(true, Ordering::Relaxed);
        let senders: Vec<_> = self.senders.into_iter().map(|thread| thread.join().expect("a sender")).collect();
        let receivers = self.receivers.into_iter().map(|thread| thread.join().expect("a receiver"));
        let datagrams = senders.into_iter().zip(receivers);
        let datagrams = datagrams.map(|(sent, (heard, foreign))| Datagrams { sent, heard, foreign }).collect();
        (datagrams, self.requests.into_iter().map(|thread| thread.join().expect("requests go on")).collect())
    }
}

fn udp(host: &Host, netns: &str, address: &str) -> UdpSocket {
    let address: IpAddr = address.parse().expect("an address");
    let socket = inside(host, netns).within(|| UdpSocket::bind((address, PORT)).expect("a free port"));
    let socket = socket.expect("the namespace lives");
    socket.set_read_timeout(Some(ARRIVAL_MAX)).expect("a time");
    let (bytes, length) = (BUFFER_BYTES, size_of_val(&BUFFER_BYTES) as libc::socklen_t);
    // SAFETY: pointer and length are those of a value that lives through the call.
    let set = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, (&raw const bytes).cast(), length)
    };
    assert_eq!(set, 0, "root sets the size of a buffer");
    socket
}

fn tcp(host: &Host, (from, to): (&str, &str), address: &str) -> (TcpStream, TcpStream) {
    let at = SocketAddr::new(address.parse().expect("an address"), PORT);
    let listener = inside(host, to).within(|| TcpListener::bind(at).expect("a free port")).expect("a namespace");
    let client = inside(host, from).within(|| TcpStream::connect(at).expect("it listens")).expect("a namespace");
    let (server, _) = listener.accept().expect("a connection");
    for end in [&client, &server] {
        end.set_nodelay(true).expect("a socket");
        end.set_read_timeout(Some(ARRIVAL_MAX)).expect("a time");
    }
    (client, server)
}

/// Numbered datagrams at a steady pace until `stop`; how many.
fn pace(from: &UdpSocket, to: SocketAddr, stop: &AtomicBool) -> u64 {
    let began = Instant::now();
    let mut sent = 0u64;
    while !stop.load(Ordering::Relaxed) {
        from.send_to(&sent.to_be_bytes(), to).expect("datagrams can be sent");
        sent += 1;
        // A pace, not a wait: what is measured is a steady sender.
        let due = began + PACE * u32::try_from(sent).expect("a short test");
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    from.send_to(&END.to_be_bytes(), to).expect("datagrams can be sent");
    sent
}

/// The numbers that came, in order; anything else is somebody else's. Ends with the last one.
fn heard(socket: &UdpSocket) -> (u64, u64) {
    let (mut honest, mut foreign) = (0, 0);
    loop {
        let mut bytes = [0; 8];
        let (length, _) = socket.recv_from(&mut bytes).expect("datagrams come until the last one");
        match u64::from_be_bytes(bytes) {
            END if length == 8 => return (honest, foreign),
            number if length == 8 && number >= honest => honest += 1,
            _ => foreign += 1,
        }
    }
}

/// Asks and answers until `stop`.
fn ask(mut client: TcpStream, mut server: TcpStream, stop: &AtomicBool) -> Requests {
    let mut requests = Requests { answered: 0, retransmitted: 0, longest: Duration::ZERO };
    let mut bytes = [0; 64];
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        bytes[..8].copy_from_slice(&requests.answered.to_be_bytes());
        client.write_all(&bytes).expect("a request can be sent");
        server.read_exact(&mut bytes).expect("the request comes");
        server.write_all(&bytes).expect("a response can be sent");
        client.read_exact(&mut bytes).expect("the response comes");
        assert_eq!(bytes[..8], requests.answered.to_be_bytes(), "it is the answer to this request");
        requests.answered += 1;
        requests.longest = requests.longest.max(began.elapsed());
        // A pace as well.
        std::thread::sleep(PAUSE);
    }
    requests.retransmitted = retransmitted(&client) + retransmitted(&server);
    requests
}

/// Segments that this end sent again (tcp(7), `TCP_INFO`).
fn retransmitted(socket: &TcpStream) -> u32 {
    // SAFETY: all bytes zero are a valid tcp_info.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: pointer and length are those of a value that lives through the call.
    let got = unsafe {
        let info = (&raw mut info).cast();
        libc::getsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, info, &raw mut length)
    };
    assert_eq!(got, 0, "{}", std::io::Error::last_os_error());
    info.tcpi_total_retrans
}
