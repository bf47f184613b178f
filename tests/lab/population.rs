//! Many endpoints on one host, all of which talk, and an agent that takes them over.

use std::net::{IpAddr, UdpSocket};
use std::time::{Duration, Instant};

use serde_json::json;
use weft_lab::{Host, uplink};
use weft_netns::Netns;
use weft_tests::{Api, Call, assert_deserted, leftovers, namespaces, unname, until, until_none};

/// Callers at once.
const CALLERS: usize = 4;
/// Endpoints that a new agent takes over.
const TAKEN_OVER: usize = 250;
/// Endpoints that talk at once: what they send must fit the queue of one socket of the host.
const WINDOW: usize = 100;
const PORT: u16 = 7;
/// Far longer than a datagram takes from one namespace to the other.
const ARRIVAL_MAX: Duration = Duration::from_secs(5);

#[test]
fn a_thousand_routed_endpoints_talk_and_a_new_agent_takes_them_over() {
    let host = Host::start("thousand").unwrap();
    let mut weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    api.network("net", json!({"mode": "routed", "pools": ["10.1.0.0/16", "fd61::/64"]}));
    let mut endpoints = give_birth(&host, 0..TAKEN_OVER);
    weftd.kill9().unwrap();
    let began = Instant::now();
    weftd.restart().unwrap();
    println!("serves after {:.0?} with {TAKEN_OVER} endpoints", began.elapsed());
    endpoints.extend(give_birth(&host, TAKEN_OVER..1000));
    api.assert_clean();
    everybody_talks(&host, &endpoints);
    let (_, status) = api.get("/v1/status");
    println!("{} kB resident with {} endpoints", status["residentBytes"].as_u64().unwrap() / 1024, endpoints.len());
    take_all(&host, endpoints.len());
    assert_deserted(&host, &api);
}

#[test]
fn three_hundred_endpoints_of_a_bridge_talk_and_die_at_once_without_a_word() {
    let host = Host::start("hundreds").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    api.network("net", json!({"mode": "bridge", "pools": ["10.1.0.0/16", "fd61::/64"]}));
    let endpoints = give_birth(&host, 0..300);
    api.assert_clean();
    everybody_talks(&host, &endpoints);
    unname(&host, (0..endpoints.len()).map(name));
    let names = || api.endpoints("").iter().map(|endpoint| endpoint["metadata"]["name"].to_string()).collect();
    until_none("endpoints whose namespaces died", leftovers::SWEEP_MAX, names);
    assert_deserted(&host, &api);
}

fn name(n: usize) -> String {
    format!("c{n}")
}

/// Their addresses, IPv4 and IPv6.
fn give_birth(host: &Host, numbers: std::ops::Range<usize>) -> Vec<[IpAddr; 2]> {
    namespaces(host, numbers.clone().map(name));
    let began = Instant::now();
    let born = by_several(numbers.clone(), |n| {
        let answer = Call::new("ADD", &name(n), "net").ask(host);
        assert!(answer.ok, "{answer:?}");
        let addresses: Vec<IpAddr> = answer.addresses().iter().map(|address| address.parse().unwrap()).collect();
        addresses.try_into().unwrap()
    });
    println!("{} births in {:.1?}", born.len(), began.elapsed());
    born
}

fn take_all(host: &Host, number: usize) {
    let began = Instant::now();
    by_several(0..number, |n| assert!(Call::new("DEL", &name(n), "net").ask(host).ok));
    println!("{number} deaths in {:.1?}", began.elapsed());
}

/// Does `work` for each number, several at a time.
fn by_several<T: Send>(numbers: std::ops::Range<usize>, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let share = numbers.len().div_ceil(CALLERS);
    std::thread::scope(|scope| {
        let work = &work;
        let shares = numbers.clone().step_by(share).map(|first| {
            let last = (first + share).min(numbers.end);
            scope.spawn(move || (first..last).map(work).collect::<Vec<_>>())
        });
        let callers: Vec<_> = shares.collect();
        callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect()
    })
}

/// Everybody tells its neighbour in the ring its number, and asks the host for an echo, over IPv4 and IPv6.
fn everybody_talks(host: &Host, endpoints: &[[IpAddr; 2]]) {
    let began = Instant::now();
    let hosts = [IpAddr::V4(uplink::HOST_V4), IpAddr::V6(uplink::HOST_V6)];
    let echo = sockets(format!("/proc/{}/ns/net", host.init_pid()), hosts);
    for first in (0..endpoints.len()).step_by(WINDOW) {
        let last = (first + WINDOW).min(endpoints.len());
        let numbers: Vec<usize> = (first..=last).map(|n| n % endpoints.len()).collect();
        let open = |n: &usize| sockets(host.path(format!("/run/netns/{}", name(*n))), endpoints[*n]);
        let talkers: Vec<_> = numbers.iter().map(open).collect();
        for family in 0..2 {
            for (pair, n) in talkers.windows(2).zip(&numbers) {
                let to = pair[1][family].local_addr().unwrap();
                pair[0][family].send_to(&n.to_be_bytes(), to).unwrap();
                assert_eq!(hear(&pair[1][family], &format!("{n} to its neighbour")).0, *n);
                pair[0][family].send_to(&n.to_be_bytes(), (hosts[family], PORT)).unwrap();
            }
            for _ in first..last {
                let (n, from) = hear(&echo[family], "somebody to the host");
                echo[family].send_to(&n.to_be_bytes(), from).unwrap();
            }
            for (talker, n) in talkers.iter().zip(&numbers[..last - first]) {
                assert_eq!(hear(&talker[family], &format!("the host to {n}")).0, *n);
            }
        }
    }
    println!("{} have talked in {:.1?}", endpoints.len(), began.elapsed());
    let neighbours = host.run(&["ip", "neigh"]).unwrap();
    let of_weft: Vec<_> = neighbours.lines().filter(|line| line.contains(" dev weft")).collect();
    assert_eq!(of_weft.len(), 2 * endpoints.len());
    let inside = |n: usize| host.run(&["ip", "-n", &name(n), "neigh"]).unwrap();
    let some = [inside(0), inside(endpoints.len() / 2), inside(endpoints.len() - 1)];
    let learned = of_weft.into_iter().chain(some.iter().flat_map(|text| text.lines()));
    let learned: Vec<_> = learned.filter(|line| !line.contains(" PERMANENT")).collect();
    assert!(learned.is_empty(), "{learned:#?}");
}

/// A socket for each family, in the namespace at `path`.
fn sockets(path: impl AsRef<std::path::Path>, addresses: [IpAddr; 2]) -> [UdpSocket; 2] {
    // What another test's child was given along lives on for a moment, until that runs its own program: one of these
    // sockets that has just been closed here, too.
    let bind = |address| until("its port is free", || UdpSocket::bind((address, PORT)).ok());
    let open = || addresses.map(bind);
    let sockets = Netns::open(path).unwrap().run(open).unwrap();
    sockets.iter().for_each(|socket| socket.set_read_timeout(Some(ARRIVAL_MAX)).unwrap());
    sockets
}

fn hear(socket: &UdpSocket, what: &str) -> (usize, std::net::SocketAddr) {
    let mut bytes = [0; size_of::<usize>()];
    let (_, from) = socket.recv_from(&mut bytes).unwrap_or_else(|error| panic!("never heard: {what}: {error}"));
    (usize::from_be_bytes(bytes), from)
}
