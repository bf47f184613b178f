//! What the command's own mounts show: its network in /sys, and names in /etc.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{ErrorKind, Write as _};

use anyhow::{Context as _, Result};
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_bind, mount_change,
    move_mount, open_tree, unmount,
};
use rustix::thread::UnshareFlags;
use weft_api::EndpointObject;
use weft_model::Dns;

/// Nothing there is run or trusted.
const HARMLESS: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);
const SYS: &str = "/sys";
const CGROUPS: &str = "/sys/fs/cgroup";
const RESOLV_CONF: &str = "/etc/resolv.conf";
const HOSTS: &str = "/etc/hosts";
/// Where systemd-resolved keeps the servers that it asks itself.
const BEHIND_RESOLVED: &str = "/run/systemd/resolve/resolv.conf";

/// What the command finds instead of the host's files.
pub(super) struct Names {
    resolv_conf: String,
    hosts: String,
}

impl Names {
    /// Of whoever has these endpoints; to be asked for where the host's files are.
    pub(super) fn of(name: &str, endpoints: &[EndpointObject]) -> Self {
        let dns = endpoints.first().map(|endpoint| endpoint.status.dns.clone()).unwrap_or_default();
        Self { resolv_conf: resolv_conf(&dns), hosts: hosts(name, endpoints) }
    }

    /// For a pipe.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        format!("{}\0{}", self.resolv_conf, self.hosts).into_bytes()
    }

    /// From that; `None` of one that was closed before.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (resolv_conf, hosts) = std::str::from_utf8(bytes).ok()?.split_once('\0')?;
        Some(Self { resolv_conf: resolv_conf.to_owned(), hosts: hosts.to_owned() })
    }
}

/// Files that cover the host's.
pub(super) struct Covers {
    resolv_conf: File,
    hosts: File,
}

impl Covers {
    /// Parts the mounts of this process from the host's, and covers what the command must not see of these; the files
    /// are empty as yet.
    pub(super) fn mount() -> Result<Self> {
        // SAFETY: this thread is the process's only one, and nobody relies on what its file system state was.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }.context("cannot make a namespace for mounts")?;
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .context("cannot part the mounts")?;
        mount("proc", "/proc", "proc", HARMLESS, None).context("cannot mount /proc")?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
        let cgroups = open_tree(CWD, CGROUPS, flags);
        // Files of their own, in a place that is covered anyway; they stay when it is.
        mount("tmpfs", SYS, "tmpfs", HARMLESS, None).context("cannot mount a place for files")?;
        let covers = Self { resolv_conf: cover(RESOLV_CONF, "resolv")?, hosts: cover(HOSTS, "hosts")? };
        unmount(SYS, UnmountFlags::DETACH)?;
        mount("sysfs", SYS, "sysfs", HARMLESS, None).context("cannot mount /sys")?;
        if let Ok(cgroups) = cgroups {
            move_mount(&cgroups, "", CWD, CGROUPS, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
                .context("cannot mount /sys/fs/cgroup")?;
        }
        Ok(covers)
    }

    /// Writes the files.
    pub(super) fn write(mut self, names: &Names) -> Result<()> {
        for (file, text) in [(&mut self.resolv_conf, &names.resolv_conf), (&mut self.hosts, &names.hosts)] {
            file.write_all(text.as_bytes()).context("cannot write names for the command")?;
        }
        Ok(())
    }
}

/// Where the host has no such file, there is none inside: it would have to be made on the host.
fn cover(path: &str, file: &str) -> Result<File> {
    let own = format!("{SYS}/{file}");
    let made = File::create(&own).with_context(|| format!("cannot write {path}"))?;
    match mount_bind(&own, path) {
        Ok(()) | Err(Errno::NOENT) => Ok(made),
        Err(error) => Err(error).with_context(|| format!("cannot mount {path}")),
    }
}

/// The endpoint's servers, or those of the host that can be reached from elsewhere.
fn resolv_conf(dns: &Dns) -> String {
    if dns.is_empty() {
        let of_host = [RESOLV_CONF, BEHIND_RESOLVED].map(|path| match std::fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            other => other.unwrap_or_default(),
        });
        return reachable(&of_host);
    }
    let mut text = String::new();
    for server in &dns.servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    for (word, list) in [("search", &dns.searches), ("options", &dns.options)] {
        if !list.is_empty() {
            let _ = writeln!(text, "{word} {}", list.join(" "));
        }
    }
    text
}

/// The first of these files that names a server which is not the host's loopback, without those that are.
fn reachable(files: &[String]) -> String {
    let server = |line: &str| line.trim().strip_prefix("nameserver").map(|rest| rest.trim().to_owned());
    let is_far = |server: &str| server.parse::<std::net::IpAddr>().is_ok_and(|ip| !ip.is_loopback());
    let kept = |text: &String| -> Vec<String> {
        text.lines().filter(|line| server(line).is_none_or(|server| is_far(&server))).map(str::to_owned).collect()
    };
    let files: Vec<_> = files.iter().map(kept).collect();
    let found = files.iter().find(|lines| lines.iter().any(|line| server(line).is_some()));
    found.map(|lines| lines.join("\n") + "\n").unwrap_or_default()
}

fn hosts(name: &str, endpoints: &[EndpointObject]) -> String {
    let mut text = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n".to_owned();
    for address in endpoints.iter().flat_map(|endpoint| &endpoint.status.addresses) {
        let _ = writeln!(text, "{}\t{name}", address.split('/').next().unwrap_or_default());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_on_the_hosts_loopback_are_left_out_and_those_behind_them_found() {
        let stub = "# stub\nnameserver 127.0.0.53\noptions edns0\n".to_owned();
        let behind = "nameserver 192.0.2.53\nnameserver ::1\nsearch example.org\n".to_owned();
        assert_eq!(reachable(&[stub.clone(), behind.clone()]), "nameserver 192.0.2.53\nsearch example.org\n");
        assert_eq!(reachable(&[behind, stub.clone()]), "nameserver 192.0.2.53\nsearch example.org\n");
        assert_eq!(reachable(&[stub]), "");
    }

    #[test]
    fn names_come_through_a_pipe_as_they_are() {
        let names = Names { resolv_conf: String::new(), hosts: "::1\tlocalhost\n".to_owned() };
        let heard = Names::from_bytes(&names.to_bytes()).expect("names");
        assert_eq!((heard.resolv_conf, heard.hosts), (names.resolv_conf, names.hosts));
        assert!(Names::from_bytes(b"").is_none());
    }

    #[test]
    fn the_networks_own_servers_come_first() {
        let dns = Dns {
            servers: vec!["10.1.0.1".parse().expect("an address")],
            searches: vec!["a.example".into(), "b.example".into()],
            options: vec!["ndots:2".into()],
        };
        assert_eq!(resolv_conf(&dns), "nameserver 10.1.0.1\nsearch a.example b.example\noptions ndots:2\n");
    }
}
