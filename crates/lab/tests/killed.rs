//! Nothing stays of a host whose owner, or whose keeper, was killed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its parts too")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use weft_lab::Host;

/// How long what a killed owner leaves may be seen.
const VANISH_TIMEOUT: Duration = Duration::from_secs(2);

/// `weft-lab run`, as an owner that can be killed; returns once a command runs inside.
fn owner(name: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weft-lab"));
    command.args(["run", name, "sh", "-c", "ip link add br0 type bridge; setsid sleep 1000 & echo runs; wait"]);
    let mut owner = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(owner.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "runs\n");
    owner
}

/// All living processes of the machine in a host of this name, by their cgroup. The dead that their parent has not
/// reaped run no program.
fn processes(name: &str) -> Vec<u32> {
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let of_host = |pid: &u32| {
        let membership = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        membership.contains(&format!("/weft-lab.{name}.")) && fs::read_link(format!("/proc/{pid}/exe")).is_ok()
    };
    pids.filter(of_host).collect()
}

/// All cgroup directories of hosts of this name.
fn cgroups(name: &str) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let tops = mounts.lines().filter(|line| line.contains(" - cgroup")).filter_map(|line| line.split(' ').nth(4));
    let entries = tops.flat_map(|top| fs::read_dir(top).unwrap()).map(|entry| entry.unwrap());
    let of_host = entries.filter(|entry| entry.file_name().to_str().unwrap().starts_with(&format!("weft-lab.{name}.")));
    of_host.map(|entry| entry.path()).collect()
}

fn await_that(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + VANISH_TIMEOUT;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {VANISH_TIMEOUT:?}: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn nothing_stays_when_the_owner_is_killed() {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut owner = owner("orphan");
    assert!(processes("orphan").len() >= 4, "pid 1, launcher, shell, sleep");
    owner.kill().unwrap();
    owner.wait().unwrap();
    await_that("no process", || processes("orphan").is_empty());
    await_that("no cgroup", || cgroups("orphan").is_empty());
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), mounts);
}

#[test]
fn what_stays_of_a_killed_keeper_goes_with_the_next() {
    let mut owner = owner("sweep");
    let keeper = cgroups("sweep")[0].extension().unwrap().to_str().unwrap().to_owned();
    assert!(Command::new("kill").args(["-9", &keeper]).status().unwrap().success());
    owner.wait().unwrap();
    await_that("no process", || processes("sweep").is_empty());
    assert!(!cgroups("sweep").is_empty());
    // The kernel holds a group for a moment after its last process is gone.
    await_that("no cgroup", || {
        Host::start("sweeper").unwrap().stop().unwrap();
        cgroups("sweep").is_empty()
    });
}
