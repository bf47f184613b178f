//! SCTP: associations from everybody to everybody, by every attachment that has a door.

use std::net::IpAddr;

use serde_json::{Value, json};
use weft_lab::Host;
use weft_netns::Netns;
use weft_tests::sctp::{Association, init, listen};
use weft_tests::{Api, RawSocket, inside, mac, pings, skip, until};

use crate::parents;

const PORT: u16 = 3868;
/// Many packets, of several messages each way.
const BYTES: usize = 256 << 10;
/// Packets that a container forges.
const FORGED: u64 = 50;
/// IANA's number of the protocol.
const SCTP: u8 = 132;

/// Containers `a` and `b` on a network of that attachment; nothing if the kernel lacks it, or SCTP: then `test` is
/// skipped.
fn populate(host: &Host, mode: &str, test: &str) -> Option<Api> {
    let is_physical = ["macvlan", "ipvlan"].contains(&mode);
    let lack = Association::lack().map(str::to_owned);
    let lack = lack.or_else(|| is_physical.then(|| Api::of(host).lack(mode)).flatten());
    if let Some(lack) = lack {
        skip(&format!("sctp::{test}"), &lack);
        return None;
    }
    let api =
        if is_physical { parents::populate(host, json!({"mode": mode})) } else { weft_tests::populate(host, mode) };
    let reaches =
        |from: &str, to: &str| if from == "host" { parents::host_pings(host, to) } else { pings(host, from, to) };
    for (from, to) in pairs(mode) {
        for family in 0..2 {
            // The uplink looks for duplicates of its addresses first.
            until("everybody is reached", || reaches(from, &address(&api, to, family)).then_some(()));
        }
    }
    Some(api)
}

/// Who opens associations to whom.
fn pairs(mode: &str) -> Vec<(&'static str, &'static str)> {
    let mut pairs = vec![("a", "b"), ("a", "host"), ("host", "a"), ("a", "outside")];
    // On other attachments the outside has no way to the containers' own addresses.
    pairs.extend(["macvlan", "ipvlan"].contains(&mode).then_some(("outside", "a")));
    pairs
}

fn address(api: &Api, who: &str, family: usize) -> String {
    let [host, outside] = parents::neighbours(family);
    match who {
        "host" => host,
        "outside" => outside,
        container => api.address(container, family),
    }
}

fn place(host: &Host, who: &str) -> Netns {
    match who {
        "host" => Netns::open(format!("/proc/{}/ns/net", host.init_pid())).unwrap(),
        netns => inside(host, netns),
    }
}

fn open(host: &Host, api: &Api, (from, to): (&str, &str), family: usize) -> Association {
    let ip = |who| address(api, who, family).parse::<IpAddr>().unwrap();
    Association::open((&place(host, from), ip(from)), (&place(host, to), ip(to)), PORT)
}

/// The one that is tracked between two with that port at the end that opened it.
fn tracked(api: &Api, (from, to): (&str, &str), family: usize, port: u16) -> Value {
    let [from, to] = [from, to].map(|who| address(api, who, family));
    let found = api.items(&format!("/v1/connections?from={from}&to={to}&protocol=sctp"));
    let mut found = found.into_iter().filter(|row| row["from"]["port"] == port);
    let one = found.next().unwrap_or_else(|| panic!("{from}:{port} to {to} is not tracked"));
    assert_eq!(found.next(), None);
    one
}

/// What the kernel has counted in a namespace (net/sctp/proc.c).
fn counted(host: &Host, who: &str, what: &str) -> u64 {
    let path = "/proc/net/sctp/snmp";
    let read =
        if who == "host" { host.run(&["cat", path]) } else { host.run(&["ip", "netns", "exec", who, "cat", path]) };
    let read = read.unwrap();
    let line = read.lines().find(|line| line.split_whitespace().next() == Some(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// No packet came with a checksum that is not its own, whoever was to write it.
fn assert_checksums(host: &Host) {
    for who in ["a", "b", "host", "outside"] {
        assert_eq!(counted(host, who, "SctpChecksumErrors"), 0, "{who}");
    }
}

/// They carry data both ways, also while there is no agent, and are seen.
fn associate(mode: &str, test: &str) {
    let host = Host::start(&format!("sctp-{mode}")).unwrap();
    let mut weftd = host.weftd::<&str>(&[]).unwrap();
    let Some(api) = populate(&host, mode, test) else { return };
    for pair in pairs(mode) {
        for family in 0..2 {
            let mut association = open(&host, &api, pair, family);
            association.carry(BYTES);
            let row = tracked(&api, pair, family, association.client_port());
            let way = if pair == ("a", "b") { "short" } else { "stack" };
            let seen = [&row["protocol"], &row["state"], &row["way"], &row["to"]["port"]];
            let expected = [json!("SCTP"), json!("established"), json!(way), json!(PORT)];
            assert_eq!(seen.map(Clone::clone), expected, "{mode}, {pair:?}: {row}");
            association.shut_down();
            open(&host, &api, pair, family).abort();
        }
    }
    // One that was shut down and one that was aborted, in either family; it is the answer that establishes one.
    for (event, server, query) in [("opened", "to", "from=a&to=b"), ("established", "from", "from=b&to=a")] {
        let flows = api.items(&format!("/v1/flows?{query}&protocol=sctp&verdict=passed"));
        let seen = flows.iter().filter(|flow| flow["event"] == event && flow[server]["port"] == PORT);
        assert_eq!(seen.count(), 4, "{mode}: {flows:?}");
    }
    let observed = host.run(&["weft", "observe", "--from", "a", "--to", "b", "--protocol", "SCTP"]).unwrap();
    assert!(observed.contains("SCTP") && observed.contains(&format!(":{PORT}")), "{mode}: {observed}");

    let mut lasting = [0, 1].map(|family| open(&host, &api, ("a", "b"), family));
    weftd.kill9().unwrap();
    lasting.iter_mut().for_each(|association| association.carry(BYTES));
    weftd.restart().unwrap();
    for association in &mut lasting {
        association.carry(BYTES);
    }
    lasting.into_iter().for_each(Association::shut_down);
    assert_checksums(&host);
    api.assert_clean();
}

#[test]
fn containers_of_a_bridge_associate_with_everybody() {
    associate("bridge", "containers_of_a_bridge_associate_with_everybody");
}

#[test]
fn routed_containers_associate_with_everybody() {
    associate("routed", "routed_containers_associate_with_everybody");
}

#[test]
fn containers_with_macvlan_associate_with_everybody() {
    associate("macvlan", "containers_with_macvlan_associate_with_everybody");
}

#[test]
fn containers_with_ipvlan_associate_with_everybody() {
    associate("ipvlan", "containers_with_ipvlan_associate_with_everybody");
}

#[test]
fn associations_hold_to_the_limits_of_rates() {
    for mode in ["bridge", "routed"] {
        let host = Host::start(&format!("sctp-limit-{mode}")).unwrap();
        let _weftd = host.weftd::<&str>(&[]).unwrap();
        let test = "associations_hold_to_the_limits_of_rates";
        if let Some(lack) = Api::of(&host).lack("limits of what is sent") {
            return skip(&format!("sctp::{test}"), &lack);
        }
        let Some(api) = populate(&host, mode, test) else { return };
        // What is held back goes by other links, and these compute no checksums.
        host.run(&["weft", "endpoint", "limit", "a", "--ingress", "50M", "--egress", "50M"]).unwrap();
        for family in 0..2 {
            for pair in [("a", "b"), ("b", "a")] {
                let mut association = open(&host, &api, pair, family);
                association.carry(BYTES);
                let row = tracked(&api, pair, family, association.client_port());
                assert_eq!(row["way"], "stack", "{mode}, {pair:?}: {row}");
                association.shut_down();
            }
        }
        assert_checksums(&host);
    }
}

/// What it says in another's name gets nowhere.
fn forge(mode: &str, test: &str) {
    let host = Host::start(&format!("sctp-forge-{mode}")).unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let Some(api) = populate(&host, mode, test) else { return };
    let b = place(&host, "b");
    let raw = RawSocket::open(&host, "a", "eth0");
    let strangers = if ["bridge", "routed"].contains(&mode) {
        ["10.1.0.77", "fd61::77"]
    } else {
        ["198.51.100.99", "2001:db8:100::99"]
    };
    for (family, stranger) in strangers.into_iter().enumerate() {
        let [own, other] = ["a", "b"].map(|who| api.address(who, family));
        let _listener = listen((&b, other.parse().unwrap()), PORT);
        let say = |from: &str, bytes: &[u8]| raw.packet(next_hop(&host, &other), from, &other, SCTP, bytes);
        let [came, refused] = ["SctpInSCTPPacks", "SctpChecksumErrors"];
        let count = |what| counted(&host, "b", what);
        let before = [came, refused].map(count);
        let dropped = api.counted("a", "out", "source_address");
        let forged = say(stranger, &init(PORT, PORT));
        // Some links say at once that it was dropped.
        (0..FORGED).for_each(|_| drop(raw.try_send(&forged)));
        // In its own name, but damaged on the way: what checks that is who gets it.
        let mut damaged = say(&own, &init(PORT, PORT));
        *damaged.last_mut().unwrap() ^= 1;
        raw.send(&damaged);
        until("what is damaged comes", || (count(refused) > before[1]).then_some(()));
        assert_eq!([came, refused].map(count), [before[0] + 1, before[1] + 1], "{mode}: of all that was sent");
        // All containers of ipvlan send from one Ethernet address: whose that was, nobody knows.
        if mode != "ipvlan" {
            assert_eq!(api.counted("a", "out", "source_address"), dropped + FORGED, "{mode}");
            let drops = api.items("/v1/flows?match=a&verdict=dropped&reason=source_address&protocol=sctp");
            let told = drops.iter().find(|drop| drop["from"]["address"] == stranger).unwrap();
            assert_eq!([&told["from"]["port"], &told["to"]["port"]], [PORT; 2], "{mode}: {told}");
        }
        raw.send(&say(&own, &init(PORT, PORT)));
        until("what is whole comes", || (count(came) > before[0] + 1).then_some(()));
        assert_eq!(count(refused), before[1] + 1, "{mode}");
    }
}

#[test]
fn a_container_of_a_bridge_opens_none_in_anothers_name() {
    forge("bridge", "a_container_of_a_bridge_opens_none_in_anothers_name");
}

#[test]
fn a_routed_container_opens_none_in_anothers_name() {
    forge("routed", "a_routed_container_opens_none_in_anothers_name");
}

#[test]
fn a_container_with_macvlan_opens_none_in_anothers_name() {
    forge("macvlan", "a_container_with_macvlan_opens_none_in_anothers_name");
}

#[test]
fn a_container_with_ipvlan_opens_none_in_anothers_name() {
    forge("ipvlan", "a_container_with_ipvlan_opens_none_in_anothers_name");
}

/// The Ethernet address to which container `a` sends what is for that address.
fn next_hop(host: &Host, to: &str) -> [u8; 6] {
    let known = host.run(&["ip", "-n", "a", "neigh"]).unwrap();
    let is_its = |line: &&str| line.split_whitespace().next() == Some(to);
    let line = known.lines().find(is_its).or_else(|| known.lines().next()).unwrap();
    mac(line.split_whitespace().skip_while(|word| *word != "lladdr").nth(1).unwrap())
}
