//! Which way packets among endpoints go: from door to door, or by the host's stack where that has a say.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};
use weft_lab::Host;
use weft_tests::{Api, Call, inside, pings, populate, until};

const PORT: u16 = 80;
/// Far longer than an answer takes.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// More than any window holds, so that both ends wait for each other.
const BYTES: usize = 4 << 20;

/// A connection from one container to another.
struct Talk {
    client: TcpStream,
    server: TcpStream,
}

impl Talk {
    fn open(host: &Host, from: &str, to: (&str, &str)) -> Self {
        let address: SocketAddr = (to.1.parse::<IpAddr>().unwrap(), PORT).into();
        let listener = inside(host, to.0).within(|| TcpListener::bind(address).unwrap()).unwrap();
        let client = inside(host, from).within(|| TcpStream::connect_timeout(&address, ANSWER_MAX).unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        for end in [&client, &server] {
            end.set_read_timeout(Some(ANSWER_MAX)).unwrap();
            end.set_write_timeout(Some(ANSWER_MAX)).unwrap();
        }
        Self { client, server }
    }

    /// Whether what is said at both ends is heard at the other.
    fn goes_on(&mut self) -> bool {
        let mut heard = [0; 5];
        let mut say = |from: &mut TcpStream, to: &mut TcpStream| {
            from.write_all(b"hello").is_ok() && to.read_exact(&mut heard).is_ok() && heard == *b"hello"
        };
        say(&mut self.client, &mut self.server) && say(&mut self.server, &mut self.client)
    }

    /// Many bytes, each at its place, and the end.
    fn carries_much(mut self) {
        let sent: Vec<u8> = (0..BYTES).map(|n| (n % 251) as u8).collect();
        let got = std::thread::scope(|scope| {
            scope.spawn(|| {
                self.client.write_all(&sent).unwrap();
                self.client.shutdown(Shutdown::Write).unwrap();
            });
            let mut got = Vec::new();
            self.server.read_to_end(&mut got).unwrap();
            got
        });
        assert!(got == sent, "{} of {} bytes, or others", got.len(), sent.len());
    }
}

/// The ways of all TCP connections between the two.
fn ways(api: &Api, from: &str, to: &str) -> Vec<String> {
    let found = api.items(&format!("/v1/connections?from={from}&to={to}&protocol=tcp"));
    found.iter().map(|row| row["way"].as_str().unwrap().to_owned()).collect()
}

/// Why packets go by the stack, if they must.
fn say(api: &Api) -> Option<String> {
    let (_, status) = api.get("/v1/status");
    let is_meant = |row: &&Value| row["feature"] == "path";
    let row = status["features"].as_array().unwrap().iter().find(is_meant).unwrap().clone();
    (row["available"] == false).then(|| row["reason"].as_str().unwrap().to_owned())
}

#[test]
fn containers_of_a_host_talk_from_door_to_door_and_to_the_outside_by_the_stack() {
    for mode in ["bridge", "routed"] {
        let host = Host::start(&format!("short-{mode}")).unwrap();
        let _weftd = host.weftd::<&str>(&[]).unwrap();
        let api = populate(&host, mode);
        assert_eq!(say(&api), None);
        for family in [0, 1] {
            let b = api.address("b", family);
            let mut talk = Talk::open(&host, "a", ("b", &b));
            assert!(talk.goes_on());
            assert_eq!(ways(&api, "a", "b"), vec!["short"; family + 1], "{mode}");
            talk.carries_much();
            let outside = ["198.51.100.1", "2001:db8:100::1"][family];
            // The uplink looks for duplicates of its addresses first.
            until("the outside answers", || pings(&host, "a", outside).then_some(()));
            let echoes = api.items(&format!("/v1/connections?from=a&to={outside}"));
            assert!(!echoes.is_empty() && echoes.iter().all(|echo| echo["way"] == "stack"), "{echoes:?}");
        }
        // The stack never saw them: its counter of forwarded packets has the outside's alone.
        let forwarded = host.run(&["sh", "-c", "nstat -asz IpForwDatagrams | awk '/Forw/ {print $2}'"]).unwrap();
        assert!(forwarded.trim().parse::<u64>().unwrap() < 20, "{mode}: {forwarded}");
        api.assert_clean();
    }
}

#[test]
fn a_connection_outlives_a_firewall_that_comes_and_goes_and_obeys_it() {
    for mode in ["bridge", "routed"] {
        let host = Host::start(&format!("firewall-{mode}")).unwrap();
        let _weftd = host.weftd::<&str>(&[]).unwrap();
        let api = populate(&host, mode);
        let mut talks = [0, 1].map(|family| Talk::open(&host, "a", ("b", &api.address("b", family))));
        let mut all_go_on = || talks.iter_mut().all(Talk::goes_on);
        assert!(all_go_on());
        let nft = |script: &str| drop(host.run(&["nft", script]).unwrap());
        nft("table inet fw { chain through { type filter hook forward priority 0; ct state invalid drop; }; }");
        let reason = until("the firewall is seen", || say(&api));
        assert!(reason.contains("chain inet fw through"), "{reason}");
        assert!(all_go_on(), "by the stack now, both directions");
        nft("add rule inet fw through tcp dport 80 counter drop");
        assert!(!all_go_on(), "{mode}: the rule holds for a connection that was there before it");
        assert_eq!(ways(&api, "a", "b"), ["short"; 2], "that is how they were opened");
        nft("delete table inet fw");
        until("the firewall is gone", || say(&api).is_none().then_some(()));
        // What was lost meanwhile is sent again.
        let mut talk = Talk::open(&host, "a", ("b", &api.address("b", 0)));
        assert!(talk.goes_on());
    }
}

#[test]
fn a_container_that_takes_anothers_place_gets_none_of_its_connections() {
    let host = Host::start("reborn").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = populate(&host, "routed");
    let address = api.address("b", 0);
    let mut talk = Talk::open(&host, "a", ("b", &address));
    assert!(talk.goes_on());
    Call::new("DEL", "b", "app").done(&host);
    host.netns("c").unwrap();
    Call::new("ADD", "c", "app").with("runtimeConfig", json!({"ips": [address]})).done(&host);
    assert_eq!(api.address("c", 0), address);
    talk.client.write_all(b"hello").unwrap();
    let count = || api.counted("a", "out", "no_connection");
    until("what is said to the dead one is dropped", || (count() > 0).then_some(()));
    let mut anew = Talk::open(&host, "a", ("c", &address));
    assert!(anew.goes_on());
}
