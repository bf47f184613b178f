//! containerd and podman in a private host, with the reference plugins of Debian.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its parts too")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use weft_lab::{Container, Host, Runtime, Stay};

/// A bridge of its own with addresses from a pool, masqueraded towards the outside.
const BRIDGE: &str = r#"{
  "cniVersion": "0.4.0",
  "name": "lab",
  "plugins": [{
    "type": "bridge", "bridge": "lab0", "isGateway": true, "ipMasq": true,
    "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.9.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}
  }]
}"#;

fn host(name: &str) -> Host {
    let host = Host::start(name).unwrap();
    host.cni_conflist("10-lab", BRIDGE).unwrap();
    host
}

fn container(host: &Host, id: &str) -> Container {
    Container::new(id, &host.rootfs("busybox").unwrap()).network("lab").command(&["sleep", "1000"])
}

fn address(runtime: &impl Runtime, id: &str) -> String {
    let shown = runtime.exec(id, &["ip", "-4", "addr", "show", "eth0"]).unwrap();
    let inet = shown.lines().find_map(|line| line.trim().strip_prefix("inet ")).expect("an address");
    inet.split('/').next().expect("a prefix length").to_owned()
}

/// Two containers reach each other, their gateway and the outside, and are the host's in every hierarchy.
fn two_containers_talk(host: &Host, runtime: &impl Runtime) {
    for id in ["one", "two"] {
        runtime.start(&container(host, id)).unwrap();
    }
    let two = address(runtime, "two");
    assert_ne!(address(runtime, "one"), two);
    for target in [two.as_str(), "10.9.0.1", "198.51.100.1"] {
        runtime.exec("one", &["ping", "-c1", "-W2", "-q", target]).unwrap();
    }
    for pid in host.run(&["pgrep", "-x", "sleep"]).unwrap().lines() {
        for line in std::fs::read_to_string(host.path(Path::new("/proc").join(pid).join("cgroup"))).unwrap().lines() {
            assert!(line.contains(&format!("/weft-lab.{}.", host.name())), "{pid} is not in the host's cgroup: {line}");
        }
    }
    for id in ["one", "two"] {
        runtime.remove(id).unwrap();
    }
}

/// The names of the addresses in use.
fn leases(host: &Host) -> Vec<String> {
    let leases = std::fs::read_dir(host.path("/var/lib/cni/networks/lab")).unwrap();
    let names = leases.map(|lease| lease.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("10.")).collect()
}

#[test]
fn containers_of_containerd_talk() {
    let host = host("ctr");
    let containerd = host.containerd().unwrap();
    two_containers_talk(&host, &containerd);
    host.stop().unwrap();
}

#[test]
fn containers_of_podman_talk() {
    let host = host("podman");
    let podman = host.podman().unwrap();
    two_containers_talk(&host, &podman);
    assert!(leases(&host).is_empty());
    host.stop().unwrap();
}

#[test]
fn a_container_of_containerd_in_the_foreground_gives_its_address_back() {
    let host = host("foreground");
    let containerd = host.containerd().unwrap();
    let shown = containerd.run(&container(&host, "one").command(&["ip", "-4", "addr"])).unwrap();
    assert!(shown.contains("inet 10.9.0.2/24"), "{shown}");
    assert!(leases(&host).is_empty());

    let waiting = container(&host, "two").command(&["sh", "-c", "echo runs; sleep 1000"]);
    let mut waiting = containerd.run_command(&waiting, Stay::Foreground).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(waiting.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!((line.as_str(), leases(&host).len()), ("runs\n", 1));
    containerd.kill("two").unwrap();
    assert_eq!(waiting.wait().unwrap().code(), Some(137));
    assert!(leases(&host).is_empty());
}
