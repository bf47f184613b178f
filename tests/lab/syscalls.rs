//! The agent killed at every system call of one birth and of one death in turn, each time started anew.
//!
//! One operation is watched first. strace counts each kind of system call by itself, in each thread by itself; so the
//! turns are the first `sendto`, the second, and so on, and threads that do different things have turns of their own.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde_json::{Value, json};
use weft_api::{Client, Method};
use weft_lab::{Host, Weftd, uplink};
use weft_tests::{Answer, Api, Call, assert_deserted, leftovers, namespaces, until, until_none};

use crate::devices::{nic, plug, wire};
use crate::leases::{V4, dnsmasq, leased, leases_of};
use crate::strace::{Strace, counts, rests, threads};

/// Where strace writes, inside.
const TRACE: &str = "/tmp/trace";
/// The agent's socket, inside.
const SOCKET: &str = "/run/weft/weft.sock";
/// The routes by which an endpoint is changed while its container runs.
const LIMITS: &str = "/v1/endpoints/limits";
const ALLOWANCES: &str = "/v1/endpoints/allowances";
/// What a runtime is told if the agent is away.
const TRY_AGAIN: u64 = 11;
/// Threads by what their names begin with, and the number of kill points: below the first something is wrong with the
/// test, and of more than the second so many are taken, evenly spread.
type Sweep = (&'static [&'static str], RangeInclusive<usize>);
/// Those that read requests and do the work.
const WORKERS: Sweep = (&["worker", "weftd"], 40..=usize::MAX);
const BACKGROUND: Sweep = (&["reaper", "reconciler", "watch-"], 3..=usize::MAX);
const ALL: [Sweep; 2] = [WORKERS, BACKGROUND];
/// Where each new agent loads the programs of segments, too, which takes a debug build two seconds.
const OF_SEGMENTS: [Sweep; 2] = [(WORKERS.0, 15..=30), (BACKGROUND.0, 2..=6)];
/// Of births that wait for a server of the LAN, each half a second.
const SAMPLED: Sweep = (WORKERS.0, 5..=7);

/// The prefixes of the host's uplink, and what is free there.
const PHYSICAL: [&str; 2] = ["198.51.100.0/24", "2001:db8:100::/64"];
const RANGES: [&str; 2] = ["198.51.100.64/26", "2001:db8:100::1:0/112"];

struct Stage<'h> {
    host: &'h Host,
    api: Api,
    weftd: Weftd<'h>,
    /// What endpoints are born with, as CNI has it.
    runtime: Value,
    /// A device that is lent to them, as the host has it otherwise.
    lent: Option<String>,
    /// Addresses of each.
    addresses: usize,
}

impl Stage<'_> {
    /// Kills the agent at one system call of `command` after the other, in the threads whose names begin with one of
    /// `names`, but not more than `most` times. Gives back how often it was killed.
    fn sweep(&mut self, command: &str, names: &[&str], most: usize) -> usize {
        let calls = self.watch(command, names);
        let turns = calls.into_iter().flat_map(|(name, count)| (1..=count).map(move |when| (name.clone(), when)));
        let turns: Vec<_> = turns.collect();
        let taken = turns.iter().step_by(turns.len().div_ceil(most).max(1));
        taken.filter(|(name, when)| self.is_killed(command, names, name, *when)).count()
    }

    /// The system calls of one operation that is left alone.
    fn watch(&mut self, command: &str, names: &[&str]) -> BTreeMap<String, usize> {
        let file = self.host.path(TRACE);
        self.prepare(command);
        let threads = threads(&self.weftd, names);
        let strace = Strace::attach(&threads, &["-o", file.to_str().unwrap()]);
        self.ask(command);
        until("the agent rests", || self.rests(&threads));
        drop(strace);
        self.recover("left alone");
        counts(&std::fs::read_to_string(file).unwrap())
    }

    /// One turn. False if the operation was over before it came to that.
    fn is_killed(&mut self, command: &str, names: &[&str], name: &str, when: usize) -> bool {
        self.prepare(command);
        let threads = threads(&self.weftd, names);
        let inject = format!("inject={name}:signal=KILL:when={when}");
        let strace = Strace::attach(&threads, &["-o", "/dev/null", "-e", &inject]);
        let answer = match change(command) {
            Some(change) => self.try_change(&change),
            // With a descriptor of the namespace, or without, by turns.
            None if when.is_multiple_of(2) => self.call(command).run(self.host),
            None => self.call(command).ask(self.host),
        };
        let survived = until("the agent rests, or is dead", || self.rests(&threads));
        drop(strace);
        assert!(answer.ok || answer.is_away() && !survived, "{command}, {name} {when}: {answer:?}");
        if !survived {
            self.weftd.restart().unwrap();
        }
        self.recover(&format!("{command}, {name} {when}"));
        !survived
    }

    /// Once the agent has nothing to do, or is dead: whether it lives.
    fn rests(&self, threads: &[u32]) -> Option<bool> {
        rests(threads).filter(|lives| !lives || !leftovers::is_anything_buried(self.host))
    }

    fn prepare(&self, command: &str) {
        if command != "ADD" {
            self.ask("ADD");
        }
    }

    fn call(&self, command: &str) -> Call {
        Call::new(command, "c", "net").with("runtimeConfig", self.runtime.clone())
    }

    fn try_change(&self, (route, request): &(&str, Value)) -> Answer {
        let client = Client::new(self.host.path(SOCKET));
        let (ok, output) = match client.exchange(Method::Post, route, request.to_string().into_bytes()) {
            Ok((status, body)) => (status == 200, serde_json::from_slice(&body).unwrap()),
            Err(error) => (false, json!({"code": TRY_AGAIN, "msg": error.to_string()})),
        };
        Answer { ok, output, log: String::new() }
    }

    /// There is all of an endpoint or nothing; and after what a runtime does when it was not answered, which is DEL,
    /// the same can be had again.
    fn recover(&self, after: &str) {
        self.api.assert_clean();
        let endpoints = self.api.endpoints("").len();
        let (_, leases) = self.api.get("/v1/ipam/leases");
        assert_eq!(leases["items"].as_array().map(Vec::len), Some(self.addresses * endpoints), "{after}: {leases}");
        if endpoints == 0 {
            // What is buried in a container, an agent that died knows of alone: the next birth there deletes it.
            let is_lasting = |left: &String| !(left.starts_with("weft-x") && left.ends_with(" in c"));
            until_none(after, leftovers::SWEEP_MAX, || {
                leftovers::of_endpoints(self.host).into_iter().filter(is_lasting).collect()
            });
            self.assert_given_back(after);
        }
        self.ask("DEL");
        let result = self.ask("ADD").output;
        let check = self.call("CHECK").with("prevResult", result).ask(self.host);
        assert!(check.ok, "{after}: {check:?}");
        self.ask("DEL");
        until_none(after, leftovers::SWEEP_MAX, || leftovers::of_endpoints(self.host));
        self.assert_given_back(after);
        let granted = || std::fs::read_to_string(self.host.path(leases_of(uplink::OUTSIDE))).unwrap_or_default();
        until(after, || granted().is_empty().then_some(()));
    }

    fn assert_given_back(&self, after: &str) {
        if let Some(lent) = &self.lent {
            assert_eq!(&nic(self.host, "nic0"), lent, "{after}");
        }
    }

    fn ask(&self, command: &str) -> Answer {
        let answer = match change(command) {
            Some(change) => self.try_change(&change),
            None => self.call(command).ask(self.host),
        };
        assert!(answer.ok, "{command}: {answer:?}");
        answer
    }
}

/// What is asked for where the operation is none of CNI's: other limits or allowances, or none.
fn change(command: &str) -> Option<(&'static str, Value)> {
    let limits = |rate: u64| json!({"endpoint": "c", "ingress": {"rate": rate}, "egress": {"rate": rate}});
    match command {
        "LIMIT" => Some((LIMITS, limits(20_000_000))),
        "LIFT" => Some((LIMITS, limits(0))),
        "ALLOW" => Some((ALLOWANCES, json!({"endpoint": "c", "add": ["10.7.0.9", "fd67::/64"]}))),
        "FORBID" => Some((ALLOWANCES, json!({"endpoint": "c", "removeAll": true}))),
        _ => None,
    }
}

fn kill_everywhere(sweeps: &[Sweep], mode: &str, runtime: &Value, commands: &[&str]) {
    let host = Host::start(&format!("syscalls-{mode}-{}", commands.concat().to_lowercase())).unwrap();
    let mut weftd = host.weftd(&["--allow-by-annotation", "on"]).unwrap();
    let api = Api::of(&host);
    let lent = (mode == "device").then(|| {
        plug(&host, 1);
        nic(&host, "nic0")
    });
    let _server = (mode == "leased").then(|| dnsmasq(&host, &[V4]));
    let spec = match mode {
        "device" => wire(json!({"mtu": 1400})),
        "leased" => leased(json!({"families": ["IPv4"]})),
        // On a parent, the addresses are those of the physical network.
        "macvlan" => json!({"mode": mode, "pools": PHYSICAL, "ranges": RANGES}),
        _ => json!({"mode": mode, "pools": ["10.1.0.0/24", "fd61::/64"]}),
    };
    api.network("net", spec);
    namespaces(&host, ["c"]);
    // Threads that helped to make the network end when they like.
    weftd.restart().unwrap();
    let addresses = if mode == "leased" { 1 } else { 2 };
    let mut stage = Stage { host: &host, api, weftd, runtime: runtime.clone(), lent, addresses };
    for (names, points) in sweeps {
        for command in commands {
            let killed = stage.sweep(command, names, *points.end());
            println!("{mode} {command}: killed at {killed} system calls of {}", names.join(", "));
            assert!(killed >= *points.start(), "{killed} is too few");
        }
    }
    assert_deserted(&host, &stage.api);
}

#[test]
fn a_bridge_endpoint_survives_an_agent_killed_at_any_system_call() {
    kill_everywhere(&ALL, "bridge", &json!({}), &["ADD", "DEL"]);
}

#[test]
fn a_routed_endpoint_survives_an_agent_killed_at_any_system_call() {
    kill_everywhere(&ALL, "routed", &json!({}), &["ADD", "DEL"]);
}

#[test]
fn a_macvlan_endpoint_survives_an_agent_killed_at_any_system_call() {
    kill_everywhere(&OF_SEGMENTS, "macvlan", &json!({}), &["ADD", "DEL"]);
}

#[test]
fn a_limited_endpoint_survives_an_agent_killed_at_any_system_call() {
    let limited = json!({"bandwidth": {"ingressRate": 10_000_000, "egressRate": 10_000_000}});
    kill_everywhere(&ALL, "bridge", &limited, &["ADD", "DEL", "LIFT"]);
    kill_everywhere(&ALL, "routed", &json!({}), &["LIMIT"]);
}

#[test]
fn an_endpoint_that_is_allowed_more_survives_an_agent_killed_at_any_system_call() {
    let annotations = json!({"weft.dev/allowed-addresses": "10.7.0.8, fd67::/64"});
    let allowed = json!({"io.kubernetes.cri.pod-annotations": annotations});
    // Nothing of it is left to the threads in the background.
    kill_everywhere(&[WORKERS], "routed", &allowed, &["ADD", "FORBID"]);
    kill_everywhere(&[WORKERS], "bridge", &json!({}), &["ALLOW"]);
}

#[test]
fn a_device_comes_back_from_an_agent_killed_at_any_system_call() {
    let wishes = json!({"mac": "02:00:00:00:00:99"});
    kill_everywhere(&[WORKERS], "device", &wishes, &["ADD", "DEL"]);
}

#[test]
fn an_endpoint_that_its_lan_numbers_survives_an_agent_killed_at_system_calls() {
    kill_everywhere(&[SAMPLED], "leased", &json!({}), &["ADD", "DEL"]);
}
