//! What must be gone once containers are: looked for in the kernel and in the file system, not asked of the agent.

use std::path::Path;
use std::time::Duration;

use weft_lab::{Host, uplink};
use weft_netns::Netns;

use crate::{Api, until_none};

/// Whatever endpoints leave behind must be gone by then.
pub const SWEEP_MAX: Duration = Duration::from_secs(5);
/// What an agent keeps in its run directory for as long as the host is up.
const RUN_FILES: [&str; 4] = ["ledger", "settings.json", "weft.sock", "weftd.pid"];
/// What names of links begin with that belong to networks.
const NETWORKS: [&str; 6] = ["weftb-", "weftm-", "weftn-", "weftl-", "wefts-", "weftv-"];
/// What the Ethernet addresses of endpoints begin with that their parents take in.
const STATION: &str = "02:77:";
/// Lists what bears weft's protocol number, and every neighbour.
const TABLES: &str = "ip route show table all proto 119; ip -6 route show table all proto 119; ip neigh";
/// What such a line begins with of a table that leads to a stand-in, which is a network's.
const OF_STAND_IN: &str = "default dev weft";
/// What the host has for addresses that are reached by a link of its own.
const REACHED: &str =
    "ip route show proto 119 scope link; ip -6 route show proto 119 type unicast; ip neigh show nud permanent";
/// Lists rules about weft's links, and those for the local table but for the kernel's own.
const RULES: &str = "ip -6 rule | grep weft; ip -6 rule | grep 'lookup local' | tail -n +2; \
    ip -6 rule | grep -q 'lookup local' || echo 'the local table is asked no more'";

/// No endpoint is left on `host`, nor anything of one; and once the networks are deleted, nothing of weft's.
pub fn assert_deserted(host: &Host, api: &Api) {
    api.assert_clean();
    let endpoints = api.endpoints("");
    assert!(endpoints.is_empty(), "{endpoints:#?}");
    let (_, leases) = api.get("/v1/ipam/leases");
    assert_eq!(leases["items"].as_array().map(Vec::len), Some(0), "{leases}");
    until_none("endpoints left something behind", SWEEP_MAX, || of_endpoints(host));
    let (_, networks) = api.get("/v1/networks");
    for network in networks["items"].as_array().into_iter().flatten() {
        let name = network["metadata"]["name"].as_str().unwrap_or_default();
        let (status, answer) = api.delete(&format!("/v1/networks/{name}"));
        assert_eq!(status, 200, "{answer}");
    }
    until_none("networks left something behind", SWEEP_MAX, || of_networks(host));
}

/// What endpoints left on `host`, in the host and in every named namespace. Networks have bridges, parents and
/// unreachable routes, which do not count.
pub fn of_endpoints(host: &Host) -> Vec<String> {
    let mut left = weft_links(host);
    left.retain(|link| !NETWORKS.iter().any(|prefix| link.starts_with(prefix)));
    left.extend(inside(host));
    left.extend(lines(host, &["bridge", "fdb", "show"]).into_iter().filter(|line| line.starts_with(STATION)));
    left.extend(files(&host.path("/run/weft")).into_iter().filter(|name| !RUN_FILES.contains(&name.as_str())));
    left.extend(lines(host, &["sh", "-c", REACHED]).into_iter().filter(|line| line.contains(" dev eth0")));
    if left.is_empty() {
        let of_tables = lines(host, &["sh", "-c", TABLES]).into_iter().filter(|line| line.contains(" dev weft"));
        left.extend(of_tables.filter(|line| !line.starts_with(OF_STAND_IN)));
    }
    left
}

fn of_networks(host: &Host) -> Vec<String> {
    let of_tables = lines(host, &["sh", "-c", TABLES]).into_iter();
    let of_tables = of_tables.filter(|line| line.contains("proto 119") || line.contains(" dev weft"));
    let rules = lines(host, &["nft", "list", "ruleset"]).into_iter().filter(|line| line.contains("weft"));
    let routing = lines(host, &["sh", "-c", RULES]);
    weft_links(host).into_iter().chain(of_tables).chain(rules).chain(routing).collect()
}

/// Whether links on `host` wait to be deleted.
pub fn is_anything_buried(host: &Host) -> bool {
    weft_links(host).iter().any(|link| link.starts_with("weft-x"))
}

fn weft_links(host: &Host) -> Vec<String> {
    let table = std::fs::read_to_string(format!("/proc/{}/net/dev", host.init_pid())).unwrap_or_default();
    links(&table).into_iter().filter(|link| link.starts_with("weft")).collect()
}

/// Every link but loopback in namespaces of containers, which are all that have names but one.
fn inside(host: &Host) -> Vec<String> {
    let names = files(&host.path("/run/netns")).into_iter().filter(|name| name != uplink::OUTSIDE);
    let of_one = |name: String| -> Vec<String> {
        let found = links_of(host, &name).into_iter().filter(|link| link != "lo");
        found.map(|link| format!("{link} in {name}")).collect()
    };
    names.flat_map(of_one).collect()
}

/// The links of the namespace called `name`; none, if it is not there.
pub fn links_of(host: &Host, name: &str) -> Vec<String> {
    let Ok(netns) = Netns::open(host.path("/run/netns").join(name)) else { return Vec::new() };
    let table = netns.run(|| std::fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default());
    links(&table.unwrap_or_default())
}

/// Reads proc_pid_net(5), "dev": two lines of heading, then a link each.
fn links(table: &str) -> Vec<String> {
    table.lines().skip(2).filter_map(|line| line.split(':').next()).map(|name| name.trim().to_owned()).collect()
}

fn lines(host: &Host, argv: &[&str]) -> Vec<String> {
    let text = host.run(argv).unwrap_or_else(|error| panic!("{argv:?}: {error:#}"));
    text.lines().map(|line| line.trim().to_owned()).collect()
}

fn files(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
