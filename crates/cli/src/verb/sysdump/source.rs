//! What goes into the archive besides the API's answers: tables of files, settings and commands.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Links whose filters are asked for; two processes each.
const LINKS_MAX: usize = 64;
/// Pins that are listed, of weft's and of others.
const PINS_MAX: usize = 10_000;
/// What the names of weft's links begin with.
const LINK_PREFIX: &str = "weft";

/// Files that are taken as they are.
pub(super) const FILES: &[&str] = &[
    "/etc/os-release",
    "/etc/weft/weft.toml",
    "/proc/cmdline",
    "/proc/version",
    "/proc/meminfo",
    "/proc/net/dev",
    "/proc/net/snmp",
    "/proc/net/snmp6",
    "/proc/net/netstat",
    "/proc/net/softnet_stat",
    "/proc/sys/kernel/osrelease",
];

/// Commands that read, with the file that their output goes to.
pub(super) const COMMANDS: &[(&str, &[&str])] = &[
    ("commands/weftd-version.txt", &["weftd", "--version"]),
    ("commands/weftd-config.txt", &["weftd", "--check-config"]),
    ("commands/weftd-log.txt", &["journalctl", "--unit", "weftd", "--lines", "5000", "--no-pager"]),
    ("commands/ip-link.txt", &["ip", "-d", "-s", "link"]),
    ("commands/ip-address.txt", &["ip", "address"]),
    ("commands/ip-route.txt", &["ip", "route", "show", "table", "all"]),
    ("commands/ip-6-route.txt", &["ip", "-6", "route", "show", "table", "all"]),
    ("commands/ip-rule.txt", &["ip", "rule"]),
    ("commands/ip-6-rule.txt", &["ip", "-6", "rule"]),
    ("commands/ip-neigh.txt", &["ip", "neigh"]),
    ("commands/bridge-fdb.txt", &["bridge", "fdb"]),
    ("commands/nft-ruleset.txt", &["nft", "list", "ruleset"]),
    ("commands/tc-qdisc.txt", &["tc", "-s", "qdisc"]),
];

/// Settings of the kernel, by their path below /proc/sys; `*` stands for every name there.
const SETTINGS: &[&str] = &[
    "net/ipv4/ip_forward",
    "net/ipv4/conf/*/forwarding",
    "net/ipv4/conf/*/rp_filter",
    "net/ipv4/neigh/default/gc_thresh1",
    "net/ipv4/neigh/default/gc_thresh2",
    "net/ipv4/neigh/default/gc_thresh3",
    "net/ipv6/conf/*/forwarding",
    "net/ipv6/conf/*/accept_ra",
    "net/ipv6/conf/*/disable_ipv6",
    "net/ipv6/neigh/default/gc_thresh1",
    "net/ipv6/neigh/default/gc_thresh2",
    "net/ipv6/neigh/default/gc_thresh3",
    "net/ipv6/route/max_size",
    "net/bridge/bridge-nf-call-iptables",
    "net/bridge/bridge-nf-call-ip6tables",
    "net/core/bpf_jit_enable",
    "net/netfilter/nf_conntrack_max",
    "net/netfilter/nf_conntrack_count",
    "kernel/unprivileged_bpf_disabled",
];

/// The programs that [`COMMANDS`] run, each once.
pub(super) fn programs() -> Vec<&'static str> {
    let mut programs: Vec<_> = COMMANDS.iter().map(|(_, argv)| argv[0]).collect();
    programs.dedup();
    programs
}

/// What is made of several files: name, origin and text.
pub(super) fn listings() -> [(&'static str, &'static str, io::Result<String>); 3] {
    [
        ("sysctl.txt", "/proc/sys", Ok(settings(Path::new("/proc/sys")))),
        ("mounts.txt", "/proc/self/mountinfo, cgroup and bpf", mounts().map(|mounts| mounts.join("\n") + "\n")),
        ("bpf-pins.txt", "every BPF file system", mounts().map(|mounts| pins(&mounts))),
    ]
}

/// Commands that show what the filters of weft's links have seen; and if they are not all, how many links there are.
pub(super) fn filters() -> (Vec<Vec<String>>, Option<String>) {
    let table = fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let names = table.lines().filter_map(|line| Some(line.split_once(':')?.0.trim()));
    let links: Vec<_> = names.filter(|name| name.starts_with(LINK_PREFIX)).collect();
    let both = links.iter().take(LINKS_MAX).flat_map(|link| ["ingress", "egress"].map(|way| (*link, way)));
    let commands = both.map(|(link, way)| ["tc", "-s", "filter", "show", "dev", link, way].map(str::to_owned).to_vec());
    let note = (links.len() > LINKS_MAX).then(|| format!("{LINKS_MAX} of {} links", links.len()));
    (commands.collect(), note)
}

/// `NAME = VALUE`, a line for each that this kernel has.
fn settings(root: &Path) -> String {
    let mut text = String::new();
    for pattern in SETTINGS {
        for path in expand(root, pattern) {
            let Ok(value) = fs::read_to_string(&path) else { continue };
            let name = path.strip_prefix(root).unwrap_or(&path);
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{} = {}", name.display(), value.trim());
        }
    }
    text
}

fn expand(root: &Path, pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once("/*/") else { return vec![root.join(pattern)] };
    let entries = fs::read_dir(root.join(before)).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path().join(after)).collect();
    paths.sort();
    paths
}

/// Lines of proc_pid_mountinfo(5) about cgroups and BPF.
fn mounts() -> io::Result<Vec<String>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let kinds = [" - cgroup ", " - cgroup2 ", " - bpf "];
    let meant = mounts.lines().filter(|line| kinds.iter().any(|kind| line.contains(kind)));
    Ok(meant.map(str::to_owned).collect())
}

/// Paths below the BPF file systems among `mounts`, a line each.
fn pins(mounts: &[String]) -> String {
    let roots = mounts.iter().filter(|mount| mount.contains(" - bpf "));
    let mut open: Vec<PathBuf> = roots.filter_map(|mount| mount.split(' ').nth(4).map(PathBuf::from)).collect();
    let mut pins = Vec::new();
    while pins.len() <= PINS_MAX
        && let Some(directory) = open.pop()
    {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(entry.path()),
                _ => pins.push(entry.path().display().to_string()),
            }
        }
    }
    pins.sort();
    if pins.len() > PINS_MAX {
        pins.truncate(PINS_MAX);
        pins.push(format!("and more: {PINS_MAX} are enough"));
    }
    pins.iter().map(|pin| format!("{pin}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_listed_by_name_for_every_link() {
        let text = settings(Path::new("/proc/sys"));
        for name in ["net/ipv4/ip_forward = ", "net/ipv4/conf/lo/rp_filter = ", "net/ipv4/conf/all/rp_filter = "] {
            assert!(text.lines().any(|line| line.starts_with(name)), "{text}");
        }
        assert!(!text.contains('*'), "{text}");
    }

    #[test]
    fn every_file_of_the_archive_has_one_origin() {
        let mut names: Vec<_> = COMMANDS.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), COMMANDS.len());
        assert_eq!(programs()[..3], ["weftd", "journalctl", "ip"]);
    }
}
