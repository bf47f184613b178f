//! Too little of something, or something gone too early.

use std::sync::Barrier;

use serde_json::json;
use weft_lab::Host;
use weft_tests::{Api, Call, assert_deserted, leftovers, namespaces, until_none};

/// More births than what the ledger has reserved for suffices for.
const BIRTHS_MAX: usize = 500;
/// How often a birth fails half way.
const HALF_BIRTHS: usize = 10;
/// How often a namespace is taken away in the middle of a birth.
const VANISHING_ROUNDS: usize = 50;
/// How often a birth and a death race.
const RACES: usize = 100;

#[test]
fn a_full_run_directory_refuses_births_and_never_a_death_nor_an_agent() {
    let host = Host::start("fullrun").unwrap();
    host.run(&["mount", "-o", "remount,size=8m", "/run"]).unwrap();
    let mut weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    api.network("app", json!({"mode": "routed", "pools": ["10.1.0.0/16", "fd61::/64"]}));
    namespaces(&host, (0..BIRTHS_MAX).map(|n| format!("c{n}")));
    let add = |n: usize| Call::new("ADD", &format!("c{n}"), "app").ask(&host);
    assert!(add(0).ok);
    fill_run(&host);

    let (refused, answer) = (1..BIRTHS_MAX).map(|n| (n, add(n))).find(|(_, answer)| !answer.ok).unwrap();
    assert_eq!(answer.code(), Some(5), "{answer:?}");
    let message = answer.output["msg"].as_str().unwrap();
    assert!(message.contains("/run/weft/ledger: No space left on device"), "{message}");
    assert!(message.contains("is its file system full"), "{message}");
    let live = api.endpoints("");
    assert_eq!(live.len(), refused);
    assert_eq!(leftovers::links_of(&host, &format!("c{refused}")), ["lo"]);
    api.assert_clean();

    weftd.kill9().unwrap();
    weftd.restart().unwrap();
    assert_eq!(api.endpoints(""), live);
    api.assert_clean();
    assert_eq!(add(refused).code(), Some(5));
    for n in 0..refused {
        let answer = Call::new("DEL", &format!("c{n}"), "app").ask(&host);
        assert!(answer.ok, "{answer:?}");
    }
    assert!(api.endpoints("").is_empty());
    weftd.kill9().unwrap();
    weftd.restart().unwrap();
    assert!(api.endpoints("").is_empty(), "every death was written down");

    host.run(&["rm", "/run/filler"]).unwrap();
    assert!(add(refused).ok);
    Call::new("DEL", &format!("c{refused}"), "app").done(&host);
    assert_deserted(&host, &api);
}

#[test]
fn deaths_that_could_not_be_written_down_are_before_the_next_birth() {
    const ENDPOINTS: usize = 60;
    let host = Host::start("behind").unwrap();
    host.run(&["mount", "-o", "remount,size=8m", "/run"]).unwrap();
    let mut weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    api.network("app", json!({"mode": "routed", "pools": ["10.1.0.0/26", "fd61::/122"]}));
    namespaces(&host, (0..2 * ENDPOINTS).map(|n| format!("c{n}")));
    let put = |command, n: usize| Call::new(command, &format!("c{n}"), "app").ask(&host);
    assert!((0..ENDPOINTS).all(|n| put("ADD", n).ok));
    weftd.kill9().unwrap();
    // Takes away the room that was reserved for their deaths.
    host.run(&["sh", "-c", "truncate -s $(stat -c %s /run/weft/ledger) /run/weft/ledger"]).unwrap();
    fill_run(&host);
    weftd.restart().unwrap();
    assert!((0..ENDPOINTS).all(|n| put("DEL", n).ok));
    assert_eq!(put("ADD", ENDPOINTS).code(), Some(5));
    host.run(&["rm", "/run/filler"]).unwrap();
    // They get the addresses of the dead.
    assert!((ENDPOINTS..2 * ENDPOINTS).all(|n| put("ADD", n).ok));
    weftd.kill9().unwrap();
    weftd.restart().unwrap();
    assert_eq!(api.endpoints("").len(), ENDPOINTS);
    api.assert_clean();
    assert!((ENDPOINTS..2 * ENDPOINTS).all(|n| put("DEL", n).ok));
    assert_deserted(&host, &api);
}

fn fill_run(host: &Host) {
    host.run(&["sh", "-c", "dd if=/dev/zero of=/run/filler bs=4k 2>&1 | grep 'No space left'"]).unwrap();
}

#[test]
fn a_birth_that_fails_half_way_leaves_nothing() {
    let host = Host::start("halfway").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    // The kernel refuses a next hop that is the container itself, which comes out when its link is there already.
    let networks = [("app", "bridge", "10.1.0.0/24", "10.1.0.2"), ("back", "routed", "10.2.0.0/24", "10.2.0.1")];
    for (name, mode, pool, own) in networks {
        let routes = json!([{"to": "192.0.2.0/24", "via": own}]);
        api.network(name, json!({"mode": mode, "pools": [pool], "routes": routes}));
        host.netns(name).unwrap();
    }
    // The agent may find what is left by chance, when something else makes it look around: not so often.
    for (name, _, _, own) in networks.iter().cycle().take(HALF_BIRTHS) {
        let message = Call::new("ADD", name, name).env("CNI_ARGS", &format!("IP={own}")).refused(&host, 5);
        assert!(message.contains("192.0.2.0/24"), "{message}");
        assert!(!leftovers::links_of(&host, name).contains(&"eth0".to_owned()), "undone before the answer");
        until_none(name, leftovers::SWEEP_MAX, || leftovers::of_endpoints(&host));
    }
    assert_deserted(&host, &api);
}

#[test]
fn a_namespace_that_vanishes_during_a_birth_takes_everything_with_it() {
    let host = Host::start("vanish").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    api.network("app", json!({"mode": "bridge", "pools": ["10.1.0.0/24", "fd61::/64"]}));
    api.network("back", json!({"mode": "routed", "pools": ["10.2.0.0/24", "fd62::/64"]}));
    let name = |n: usize| format!("c{n}");
    namespaces(&host, (0..VANISHING_ROUNDS).map(name));
    let mut born = 0;
    for n in 0..VANISHING_ROUNDS {
        let add = Call::new("ADD", &name(n), ["app", "back"][n % 2]);
        let answer = std::thread::scope(|scope| {
            // Both are processes to be started first, which take about the same time.
            let answer = scope.spawn(|| add.run(&host));
            host.run(&["ip", "netns", "delete", &name(n)]).unwrap();
            answer.join().unwrap()
        });
        born += usize::from(answer.ok);
        assert!(answer.ok || answer.code() == Some(8), "{answer:?}");
    }
    println!("{born} of {VANISHING_ROUNDS} were born before their namespace went");
    let endpoints = || api.endpoints("").iter().map(|endpoint| endpoint["metadata"]["name"].to_string()).collect();
    until_none("endpoints without a namespace", leftovers::SWEEP_MAX, endpoints);
    assert_deserted(&host, &api);
}

#[test]
fn a_birth_and_a_death_at_once_leave_all_or_nothing() {
    let host = Host::start("race").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    api.network("app", json!({"mode": "bridge", "pools": ["10.1.0.0/24", "fd61::/64"]}));
    api.network("back", json!({"mode": "routed", "pools": ["10.2.0.0/24", "fd62::/64"]}));
    namespaces(&host, ["c"]);
    let mut alive = 0;
    for n in 0..RACES {
        let call = |command| Call::new(command, "c", ["app", "back"][n % 2]);
        let start = Barrier::new(2);
        let put = |command| {
            start.wait();
            call(command).ask(&host)
        };
        let (birth, death) = std::thread::scope(|scope| {
            let birth = scope.spawn(|| put("ADD"));
            (put("DEL"), birth.join().unwrap())
        });
        assert!(birth.ok && death.ok, "{birth:?} {death:?}");
        let is_known = !api.endpoints("c@eth0").is_empty();
        let is_there = leftovers::links_of(&host, "c").iter().any(|link| link == "eth0");
        assert_eq!(is_known, is_there, "round {n}");
        api.assert_clean();
        alive += usize::from(is_known);
        call("DEL").ask(&host);
    }
    println!("{alive} of {RACES} were alive afterwards");
    assert_deserted(&host, &api);
}
