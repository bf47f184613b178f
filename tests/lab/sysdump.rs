//! `weft sysdump`: what a bug report needs, with and without an agent, and whatever is missing on the host.

use std::path::PathBuf;

use serde_json::{Value, json};
use weft_api::{Method, ROUTES};
use weft_lab::Host;
use weft_tests::{Api, Call};

/// An archive, unpacked on the host.
struct Dump<'h> {
    host: &'h Host,
    /// Where it is, inside.
    root: String,
    /// What the command said.
    said: String,
}

impl<'h> Dump<'h> {
    /// By the command itself, into its directory.
    fn take(host: &'h Host) -> Self {
        let script = "mkdir /tmp/dump && cd /tmp/dump && weft sysdump && tar -xzf weft-sysdump-*Z.tar.gz";
        let said = host.run(&["sh", "-c", script]).unwrap();
        let root = host.run(&["sh", "-c", "echo /tmp/dump/weft-sysdump-*Z"]).unwrap().trim().to_owned();
        Self { host, root, said }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.host.path(&self.root).join(name)
    }

    fn read(&self, name: &str) -> String {
        let bytes = std::fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}: {}", self.said));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What does not depend on the agent.
    fn assert_of_host(&self) {
        for (name, expected) in [
            ("versions.txt", "API weft.dev/v1alpha1"),
            ("files/proc/net/dev", "weftb-app"),
            ("files/proc/net/snmp", "Udp:"),
            ("files/proc/net/netstat", "TcpExt:"),
            ("files/proc/net/softnet_stat", "00000000"),
            ("files/proc/version", "Linux version"),
            ("sysctl.txt", "net/ipv4/ip_forward = 1\n"),
            ("sysctl.txt", "net/ipv4/conf/weftb-app/rp_filter = "),
            ("mounts.txt", " - cgroup2 "),
            ("bpf-pins.txt", "/sys/fs/bpf/weft/weft_programs\n"),
            ("commands/weftd-config.txt", "run-dir = \"/run/weft\""),
            ("commands/ip-link.txt", "weftb-app"),
            ("commands/ip-route.txt", "10.1.0.2 dev weftb-app proto 119"),
            ("commands/ip-6-route.txt", "fd61::2 dev weftb-app proto 119"),
            ("commands/ip-rule.txt", "lookup main"),
            ("commands/ip-neigh.txt", "10.1.0.2 dev weftb-app"),
            ("commands/nft-ruleset.txt", "table inet weft"),
            ("commands/tc-filter.txt", "weft direct-action"),
        ] {
            let text = self.read(name);
            assert!(text.contains(expected), "{name}: {text}");
        }
        for line in ["KiB:\n", "It holds addresses, names and labels of containers", "commands/ip-link.txt"] {
            assert!(self.said.contains(line), "{}", self.said);
        }
    }
}

/// Those that read, but for the one that answers only who asks about something.
fn routes() -> impl Iterator<Item = &'static str> {
    let plain = ROUTES.iter().filter(|route| route.method == Method::Get && !route.path.contains('{'));
    plain.map(|route| route.path).filter(|path| !["/v1/why", "/v1/policies/rules"].contains(path))
}

fn populate(host: &Host) {
    Api::of(host).network("app", json!({"mode": "bridge", "pools": ["10.1.0.0/24", "fd61::/64"]}));
    host.netns("a").unwrap();
    Call::new("ADD", "a", "app").done(host);
}

#[test]
fn every_route_and_all_of_the_host_is_in_it() {
    let host = Host::start("sysdump").unwrap();
    host.write("/etc/weft/weft.toml", "log = \"debug\"\n").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    populate(&host);
    let dump = Dump::take(&host);
    dump.assert_of_host();
    assert_eq!(dump.read("files/etc/weft/weft.toml"), "log = \"debug\"\n");
    assert!(dump.read("weftd/cmdline").starts_with("weftd"));
    let index = dump.read("index.txt");
    for path in routes() {
        let file =
            index.lines().find(|line| line.ends_with(&format!("GET {path}"))).unwrap_or_else(|| panic!("{path}"));
        let text = dump.read(file.split_whitespace().next().unwrap());
        assert!(path == "/metrics" || serde_json::from_str::<Value>(&text).is_ok(), "{path}: {text}");
    }
    assert!(dump.read("api/v1-endpoints.json").contains("\"containerId\":\"a\""));
    assert!(dump.read("api/metrics.txt").ends_with("# EOF\n"));
    let mode = host.run(&["sh", "-c", "stat -c %a /tmp/dump/*.tar.gz"]).unwrap();
    assert_eq!(mode, "600\n");
}

#[test]
fn without_an_agent_and_without_a_tool_the_rest_is_in_it_and_the_index_says_what_is_not() {
    let host = Host::start("sysdump-bare").unwrap();
    let mut weftd = host.weftd::<&str>(&[]).unwrap();
    populate(&host);
    weftd.kill9().unwrap();
    let dump = Dump::take(&host);
    dump.assert_of_host();
    let index = dump.read("index.txt");
    let (present, missing) = index.split_once("missing:\n").unwrap();
    for path in routes() {
        let line =
            missing.lines().find(|line| line.contains(&format!("(GET {path}):"))).unwrap_or_else(|| panic!("{path}"));
        let is_first = path == routes().next().unwrap();
        let reason = if is_first { "cannot reach weftd at /run/weft/weft.sock" } else { "likewise" };
        assert!(line.contains(reason), "{line}");
    }
    assert!(!present.contains("GET ") && !dump.path("api").exists(), "{index}");

    // A file that is there is not written over.
    let refused = host.run(&["weft", "sysdump", "--out", "/etc/hostname"]).unwrap_err().to_string();
    assert!(refused.contains("/etc/hostname is there already: name another file with --out"), "{refused}");

    host.run(&["sh", "-c", "mount --bind /dev/null $(realpath $(command -v nft))"]).unwrap();
    let said = host.run(&["weft", "sysdump", "--out", "/tmp/without.tar.gz"]).unwrap();
    let expected = "commands/nft-ruleset.txt (nft list ruleset): nft: Permission denied";
    assert!(said.contains(expected), "{said}");
    let listed = host.run(&["tar", "-tzf", "/tmp/without.tar.gz"]).unwrap();
    assert!(listed.contains("/commands/ip-link.txt\n") && !listed.contains("nft-ruleset"), "{listed}");
}
