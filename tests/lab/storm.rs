//! Many at once, the same thing twice, and an agent that is killed in the middle of it.

mod book;
mod caller;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use book::Book;
use caller::{Caller, Storm};
use serde_json::json;
use weft_lab::Host;
use weft_tests::{Api, Dice, assert_deserted, endurance, namespaces};

use crate::strace::{Strace, threads};

/// How long a storm lasts if nobody asks for more.
const SHORT: Duration = Duration::from_secs(6);
/// The networks: pools so small that addresses come round quickly.
const NETWORKS: [(&str, &str, u8); 2] = [("app", "bridge", 1), ("back", "routed", 2)];

fn make_networks(api: &Api) {
    for (name, mode, n) in NETWORKS {
        api.network(name, json!({"mode": mode, "pools": [format!("10.{n}.0.0/26"), format!("fd6{n}::/122")]}));
    }
}

/// Ends a storm, also if what goes on meanwhile panics.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// `callers` of `containers`, some of them of the same one; `meanwhile` goes on until it has enough, hearing of every
/// call.
fn rage(host: &Host, [callers, containers]: [usize; 2], agent_dies: bool, meanwhile: impl FnOnce(&Receiver<()>)) {
    let calls = AtomicUsize::new(0);
    let storm = Storm { host, book: Book::default(), over: AtomicBool::new(false), calls, agent_dies };
    namespaces(host, (0..containers).map(|n| format!("c{n}")));
    let began = Instant::now();
    std::thread::scope(|scope| {
        let (bell, rung) = channel();
        for n in 0..callers {
            let of = n % containers;
            let (network, _, pool) = NETWORKS[of % NETWORKS.len()];
            let is_alone = (0..callers).filter(|other| other % containers == of).count() == 1;
            let caller = Caller {
                storm: &storm,
                container: format!("c{of}"),
                network,
                wanted: (1..=4).map(|last| format!("10.{pool}.0.{}", last * 10)).collect(),
                is_alone,
                dice: Dice::new(n as u64),
                bell: bell.clone(),
            };
            scope.spawn(move || caller.run());
        }
        drop(bell);
        let _end = End(&storm.over);
        meanwhile(&rung);
    });
    let calls = storm.calls.load(Ordering::Relaxed);
    println!("{calls} calls by {callers} callers of {containers} containers in {:.1?}", began.elapsed());
    storm.book.assert_closed();
}

/// Callers in each other's way, while the agent looks over everything again whenever a foreign link changes.
fn rage_with_unrest(host: &Host, api: &Api) {
    let deadline = Instant::now() + endurance(SHORT);
    rage(host, [64, 48], false, |_| {
        while Instant::now() < deadline {
            host.run(&["ip", "link", "add", "unrest", "type", "bridge"]).unwrap();
            host.run(&["ip", "link", "del", "unrest"]).unwrap();
            api.assert_clean();
        }
    });
    assert_deserted(host, api);
}

#[test]
fn callers_in_each_others_way_get_results_or_refusals_and_no_address_twice() {
    let host = Host::start("storm").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    make_networks(&api);
    rage_with_unrest(&host, &api);
}

/// What looks over everything compares what it read a while ago. Slowed down, it must still harm nobody who was born
/// since.
#[test]
fn an_agent_that_is_slow_to_look_takes_no_newborn_for_a_leftover() {
    let host = Host::start("slow").unwrap();
    let weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    make_networks(&api);
    let slow = ["-o", "/dev/null", "-e", "trace=sendto", "-e", "inject=sendto:delay_enter=10000"];
    let strace = Strace::attach(&threads(&weftd, &["reconciler"]), &slow);
    rage_with_unrest(&host, &api);
    drop(strace);
}

#[test]
fn an_agent_killed_at_any_moment_forgets_nothing_and_leaves_nothing() {
    let host = Host::start("kill9").unwrap();
    let mut weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    make_networks(&api);
    let deadline = Instant::now() + endurance(SHORT);
    let (mut dice, mut kills) = (Dice::new(9), 0);
    rage(&host, [8, 6], true, |rung| {
        while Instant::now() < deadline {
            let calls = 1 + dice.below(24) as usize;
            assert_eq!(rung.iter().take(calls).count(), calls, "nobody calls any more");
            weftd.kill9().unwrap();
            weftd.restart().unwrap();
            kills += 1;
        }
    });
    println!("killed {kills} times");
    assert_deserted(&host, &api);
}
