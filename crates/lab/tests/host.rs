//! A private host by itself.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its parts too")]

use std::fs;
use std::path::Path;
use std::process::Stdio;

use weft_lab::{Host, uplink};

/// Directories in which a host leaves files of its own, and the real one must not see any.
const MARKED: [&str; 9] =
    ["/dev/shm", "/etc", "/etc/cni/net.d", "/opt", "/root", "/run", "/tmp", "/usr/local/bin", "/var/lib"];

/// Where on the real host something called `mark` can be seen.
fn traces(mark: &str) -> Vec<String> {
    let nft = std::process::Command::new("nft").args(["list", "ruleset"]).output().unwrap();
    let texts = [fs::read_to_string("/proc/self/mountinfo").unwrap(), String::from_utf8(nft.stdout).unwrap()];
    let mut found: Vec<_> = texts.iter().flat_map(|text| text.lines()).map(str::to_owned).collect();
    for directory in MARKED.iter().chain(&["/sys/class/net", "/run/netns"]) {
        let entries = fs::read_dir(directory).into_iter().flatten();
        found.extend(entries.map(|entry| entry.unwrap().path().display().to_string()));
    }
    found.retain(|trace| trace.contains(mark));
    found
}

/// The cgroup directories of a host, on the real one.
fn cgroups(host: &Host) -> Vec<String> {
    let membership = fs::read_to_string(format!("/proc/{}/cgroup", host.init_pid())).unwrap();
    let mut own = membership.lines().filter_map(|line| line.split('/').find(|part| part.starts_with("weft-lab.")));
    let name = own.next_back().expect("a cgroup of its own").to_owned();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let cgroup_mounts = mounts.lines().filter(|line| line.contains(" - cgroup"));
    cgroup_mounts.map(|line| format!("{}/{name}", line.split(' ').nth(4).unwrap())).collect()
}

#[test]
fn the_real_host_does_not_notice() {
    let switches =
        || ["kernel/hostname", "net/ipv4/ip_forward"].map(|path| fs::read(format!("/proc/sys/{path}")).unwrap());
    let before = switches();
    let mark = format!("lm{}", std::process::id());
    let host = Host::start("quiet").unwrap();
    let cgroups = cgroups(&host);
    assert!(cgroups.iter().any(|cgroup| Path::new(cgroup).exists()));
    let files = MARKED.map(|directory| format!("{directory}/{mark}")).join(" ");
    let leave_marks = format!(
        "ip link add {mark} type bridge
        ip netns add {mark}
        nft add table inet {mark}
        sysctl -qw net.ipv4.ip_forward=$((1 - $(sysctl -n net.ipv4.ip_forward)))
        mount -t tmpfs {mark} /mnt
        mkdir /sys/fs/bpf/{mark}
        touch {files}
        for procs in $(find /sys/fs/cgroup -maxdepth 2 -name cgroup.procs); do mkdir -p ${{procs%/*}}/{mark}/deep; done
        setsid sleep 1000 >/dev/null 2>&1 &"
    );
    host.run(&["sh", "-ec", &leave_marks]).unwrap();
    assert_eq!((traces(&mark), switches()), (vec![], before.clone()));
    host.stop().unwrap();
    assert_eq!((traces(&mark), switches()), (vec![], before));
    assert_eq!(cgroups.iter().filter(|cgroup| Path::new(cgroup).exists()).count(), 0, "{cgroups:?}");
}

#[test]
fn switches_of_the_kernel_are_out_of_reach() {
    let host = Host::start("frozen").unwrap();
    for switch in ["/proc/sys/kernel/panic", "/proc/sys/vm/swappiness"] {
        let error = host.run(&["sh", "-c", &format!("echo 1 > {switch}")]).unwrap_err();
        assert!(error.to_string().contains("Read-only file system"), "{error}");
    }
}

#[test]
fn hosts_of_one_name_live_side_by_side() {
    let hosts = std::thread::scope(|scope| {
        let starts = [(); 4].map(|()| scope.spawn(|| Host::start("twin").unwrap()));
        starts.map(|start| start.join().unwrap())
    });
    for host in &hosts {
        assert_eq!(host.run(&["hostname"]).unwrap(), "twin\n");
        host.run(&["ip", "link", "add", "br0", "type", "bridge"]).unwrap();
    }
    for host in hosts {
        host.stop().unwrap();
    }
}

#[test]
fn the_outside_is_reached_and_knows_no_way_back_to_containers() {
    let host = Host::builder("uplink").mtu(1400).start().unwrap();
    assert_eq!(fs::read_to_string(host.path("/sys/class/net/eth0/mtu")).unwrap(), "1400\n");
    for target in [uplink::OUTSIDE_V4.to_string(), uplink::OUTSIDE_V6.to_string()] {
        host.run(&["busybox", "ping", "-c1", "-W2", &target]).unwrap();
    }
    let error = host.outside().run(&["ip", "route", "get", "10.64.0.2"]).unwrap_err();
    assert!(error.to_string().contains("unreachable"), "{error}");
}

#[test]
fn a_named_namespace_plays_the_container() {
    let host = Host::start("netns").unwrap();
    let container = host.netns("web").unwrap();
    host.run(&["ip", "link", "add", "web0", "type", "veth", "peer", "name", "eth0", "netns", "web"]).unwrap();
    let shown = container.run(&["ip", "-brief", "link", "show", "eth0"]).unwrap();
    assert!(shown.starts_with("eth0@"), "{shown}");
    let inside = container.open().unwrap().run(|| fs::read_to_string("/proc/thread-self/net/dev").unwrap()).unwrap();
    assert!(inside.contains("eth0:"), "{inside}");
    container.delete().unwrap();
}

#[test]
fn a_failed_command_tells_all() {
    let host = Host::start("words").unwrap();
    let error = host.run(&["sh", "-c", "echo said; echo complained >&2; exit 3"]).unwrap_err().to_string();
    for part in ["sh -c", "exit status: 3", "said", "complained"] {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
    let error = host.run(&["no-such-program"]).unwrap_err().to_string();
    assert!(error.contains("cannot start no-such-program"), "{error}");
}

#[test]
fn killing_a_command_kills_its_process_group() {
    let host = Host::start("group").unwrap();
    let mut command = host.command("sh");
    let mut child = command.args(["-c", "sleep 987 & echo started; wait"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
    assert_eq!(line, "started\n");
    child.kill().unwrap();
    child.wait().unwrap();
    // The pipe ends when the last process that holds it does.
    assert_eq!(std::io::copy(&mut stdout, &mut std::io::sink()).unwrap(), 0);
    host.run(&["sh", "-c", "! pgrep -x sleep"]).unwrap();
}

#[test]
fn a_daemon_is_logged_and_ended() {
    let host = Host::start("daemon").unwrap();
    let script = "trap 'echo asked; exit 4' TERM; echo hello; while :; do sleep 0.01; done";
    let mut polite = host.spawn("polite", &["sh", "-c", script]).unwrap();
    polite.wait_ready(|| polite.log().contains("hello")).unwrap();
    assert!(fs::read_to_string(format!("/proc/{}/cmdline", polite.pid())).unwrap().contains("asked"));
    assert_eq!(polite.terminate().unwrap().code(), Some(4));
    assert_eq!(polite.log(), "hello\nasked\n");

    let mut deaf = host.outside().spawn("deaf", &["sleep", "1000"]).unwrap();
    assert!(!deaf.has_ended());
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&deaf.kill9().unwrap()), Some(9));

    let short = host.spawn("short", &["sh", "-c", "echo last words"]).unwrap();
    let error = short.wait_ready(|| false).unwrap_err().to_string();
    assert!(error.contains("short has ended") && error.contains("last words"), "{error}");
}

#[test]
fn a_name_that_is_none_is_refused() {
    for name in ["", "UPPER", "a.b", "../x"] {
        let error = Host::start(name).unwrap_err();
        assert!(format!("{error:#}").contains("is not a name for a host"), "{error:#}");
    }
}
