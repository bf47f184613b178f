//! Policies that change while traffic flows, while containers are born, and while the agent is killed; and more of them
//! than there is room for.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use serde_json::{Value, json};
use weft_api::{Client, Method};
use weft_lab::Host;
use weft_tests::{Api, Call, inside, until};

use super::{apply, born, join, policy, pools};
use crate::strace::{Strace, counts, rests, threads};

/// Where what is forbidden goes, and what is allowed.
const FORBIDDEN: u16 = 9;
const ALLOWED: u16 = 10;
/// Policies besides those that matter.
const OTHERS: usize = 1000;
/// In one request.
const BATCH: usize = weft_api::OBJECTS_MAX;
/// Changes from the one state to the other.
const TURNS: usize = 100;
/// The agent's socket, inside, and where strace writes.
const SOCKET: &str = "/run/weft/weft.sock";
const TRACE: &str = "/tmp/trace";
/// Points at which the agent is killed, of those that there are.
const KILLS: usize = 40;
/// Containers that are born while policies change.
const NEWBORNS: usize = 30;

/// Datagrams from a container to an address, by a socket that stays and by new ones, until it is dropped.
struct Flood {
    stop: Arc<AtomicBool>,
    sender: Option<JoinHandle<()>>,
}

impl Flood {
    fn start(host: &Host, from: &str, to: SocketAddr) -> Self {
        let (netns, stop) = (inside(host, from), Arc::new(AtomicBool::new(false)));
        let is_over = Arc::clone(&stop);
        let send = move || {
            let bind = || UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
            let to = SocketAddr::new(mapped(to.ip()), to.port());
            let lasting = bind();
            while !is_over.load(Ordering::Relaxed) {
                // There may be no way yet, or none any more.
                let _ = lasting.send_to(b"lasting", to);
                let _ = bind().send_to(b"new", to);
            }
        };
        let sender = std::thread::spawn(move || netns.within(send).unwrap());
        Self { stop, sender: Some(sender) }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.sender.take().map(JoinHandle::join);
    }
}

fn mapped(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().into(),
        IpAddr::V6(ip) => ip.into(),
    }
}

/// A socket that hears what comes to a port of a container.
fn hear(host: &Host, netns: &str, port: u16) -> UdpSocket {
    let socket = inside(host, netns).within(|| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port)).unwrap()).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// How many datagrams have come since the last time.
fn heard(socket: &UdpSocket) -> usize {
    std::iter::from_fn(|| socket.recv_from(&mut [0; 16]).ok()).count()
}

fn selected(app: &str) -> Value {
    json!({"matchLabels": {"app": app}})
}

/// What `a` may send and what `b` gets: in either state, one of them forbids what `a` sends to the forbidden port of
/// `b`; both allow the other port.
fn state(is_second: bool) -> Value {
    let to = |ports: Value| json!([{"ports": ports}]);
    let one = json!([{"port": ALLOWED, "protocol": "UDP"}]);
    let both = json!([{"port": ALLOWED, "protocol": "UDP"}, {"port": FORBIDDEN, "protocol": "UDP"}]);
    let (out, into) = if is_second { (both, one) } else { (one, both) };
    json!([
        policy("shop", "a", json!({"podSelector": selected("a"), "policyTypes": ["Egress"], "egress": to(out)})),
        policy("shop", "b", json!({"podSelector": selected("b"), "ingress": to(into)})),
    ])
}

/// Policies about the same endpoints, none of which accepts the forbidden port.
fn others(n: usize) -> Vec<Value> {
    let spec = |n: usize| {
        let port = 1000 + n;
        let rule = json!([{"ports": [{"port": port, "endPort": port + n % 7, "protocol": "UDP"}]}]);
        match n % 3 {
            0 => json!({"podSelector": selected("a"), "policyTypes": ["Egress"], "egress": rule}),
            1 => json!({"podSelector": selected("b"), "ingress": rule}),
            _ => json!({"podSelector": selected("c"), "ingress": rule, "policyTypes": ["Ingress"]}),
        }
    };
    (0..n).map(|n| policy("shop", &format!("other-{n}"), spec(n))).collect()
}

fn populate(host: &Host) -> Api {
    let api = Api::of(host);
    api.network("app", pools("bridge"));
    for id in ["a", "b", "c"] {
        born(host, id, "app", "shop", json!({"app": id}));
    }
    api
}

fn at(api: &Api, endpoint: &str, family: usize, port: u16) -> SocketAddr {
    SocketAddr::new(api.address(endpoint, family).parse().unwrap(), port)
}

#[test]
fn what_two_states_forbid_never_passes_from_one_to_the_other_and_what_both_allow_always_does() {
    let host = Host::start("policy-turns").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = populate(&host);
    apply(&api, state(false));
    let (forbidden, allowed) = (hear(&host, "b", FORBIDDEN), hear(&host, "b", ALLOWED));
    for by_stack in [false, true] {
        if by_stack {
            // Each packet passes two doors then, one after the other, and policies may change in between.
            let limit = json!({"endpoint": "shop/b", "ingress": {"rate": 10_000_000_000_u64}});
            assert_eq!(api.post("/v1/endpoints/limits", &limit).0, 200);
        }
        let _floods = [(0, FORBIDDEN), (1, FORBIDDEN), (0, ALLOWED)]
            .map(|(family, port)| Flood::start(&host, "a", at(&api, "shop/b", family, port)));
        until("what is allowed comes", || (heard(&allowed) > 0).then_some(()));
        let dropped = || {
            let [out, into] = [("shop/a", "out"), ("shop/b", "in")].map(|(who, way)| {
                ["policy_egress", "policy_ingress"].map(|reason| api.counted(who, way, reason)).iter().sum::<u64>()
            });
            out + into
        };
        let before = dropped();
        for turn in 0..TURNS {
            apply(&api, state(turn % 2 == 0));
            assert_eq!(heard(&forbidden), 0, "turn {turn}, {by_stack}");
            until("what is allowed comes", || (heard(&allowed) > 0).then_some(()));
        }
        assert!(dropped() > before, "somebody tried");
        if !by_stack {
            for batch in others(OTHERS).chunks(BATCH) {
                apply(&api, json!(batch));
                assert_eq!(heard(&forbidden), 0);
            }
            assert_eq!(api.items("/v1/networkpolicies").len(), OTHERS + 2);
            for n in 0..OTHERS {
                let (status, answer) = api.delete(&format!("/v1/networkpolicies/shop/other-{n}"));
                assert_eq!(status, 200, "{answer}");
                assert_eq!(heard(&forbidden), 0, "other-{n}");
            }
        }
        until("what is allowed comes", || (heard(&allowed) > 0).then_some(()));
    }
    // If one of the two were not there, it would come.
    let _flood = Flood::start(&host, "a", at(&api, "shop/b", 0, FORBIDDEN));
    apply(&api, state(true));
    host.run(&["weft", "delete", "networkpolicy", "b", "--namespace", "shop"]).unwrap();
    until("it comes", || (heard(&forbidden) > 0).then_some(()));
    api.assert_clean();
}

#[test]
fn newborns_are_held_by_policies_that_change_while_they_are_born() {
    let host = Host::start("policy-newborns").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = populate(&host);
    let closed = json!({"podSelector": {}, "policyTypes": ["Egress"],
                        "egress": [{"ports": [{"port": ALLOWED, "protocol": "UDP"}]}]});
    let open = json!({"podSelector": selected("b"), "ingress": [{}]});
    apply(&api, json!([policy("new", "closed", closed), policy("shop", "open", open)]));
    let (forbidden, allowed) = (hear(&host, "b", FORBIDDEN), hear(&host, "b", ALLOWED));
    let is_over = AtomicBool::new(false);
    let changes = std::thread::scope(|scope| {
        let changing = scope.spawn(|| {
            let mut changes = 0;
            while !is_over.load(Ordering::Relaxed) {
                let mut batch = others(20);
                let rule = json!([{"from": [{"namespaceSelector": {}}], "ports": [{"port": 1000 + changes % 50}]}]);
                batch.push(policy("new", "more", json!({"podSelector": selected("new"), "ingress": rule})));
                let team = json!({"name": "new", "labels": {"team": format!("t{changes}")}});
                batch.push(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": team}));
                apply(&api, json!(batch));
                assert_eq!(api.delete("/v1/networkpolicies/shop/other-1").0, 200);
                changes += 1;
            }
            changes
        });
        // Whatever way this ends.
        let over = Over(&is_over);
        for n in 0..NEWBORNS {
            let id = format!("new-{n}");
            host.netns(&id).unwrap();
            // From before there is any link.
            let _floods = [FORBIDDEN, ALLOWED].map(|port| Flood::start(&host, &id, at(&api, "shop/b", n % 2, port)));
            join(&host, &id, "app", "new", json!({"app": "new"}));
            until("what it may send comes", || (heard(&allowed) > 0).then_some(()));
            assert_eq!(heard(&forbidden), 0, "{id}");
            if n % 3 == 0 {
                Call::new("DEL", &id, "app").done(&host);
            }
        }
        drop(over);
        changing.join().unwrap()
    });
    assert!(changes > 3, "{changes} changes");
    api.assert_clean();
}

/// Says that something is over when it is dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn an_agent_that_is_killed_in_the_middle_of_a_change_leaves_the_one_state_or_the_other() {
    const WORKERS: [&str; 2] = ["worker", "weftd"];
    let host = Host::start("policy-kills").unwrap();
    let mut weftd = host.weftd::<&str>(&[]).unwrap();
    let api = populate(&host);
    let client = Client::new(host.path(SOCKET));
    let change = |is_second: bool| {
        let body = json!({"items": state(is_second)}).to_string().into_bytes();
        client.exchange(Method::Post, "/v1/apply", body).is_ok_and(|(status, _)| status == 200)
    };
    let (forbidden, allowed) = (hear(&host, "b", FORBIDDEN), hear(&host, "b", ALLOWED));
    assert!(change(false));
    let _floods = [FORBIDDEN, ALLOWED].map(|port| Flood::start(&host, "a", at(&api, "shop/b", 0, port)));

    let file = host.path(TRACE);
    let watched = threads(&weftd, &WORKERS);
    let strace = Strace::attach(&watched, &["-o", file.to_str().unwrap()]);
    assert!(change(true));
    until("the agent rests", || rests(&watched));
    drop(strace);
    let calls = counts(&std::fs::read_to_string(file).unwrap());
    let turns: Vec<_> = calls.into_iter().flat_map(|(name, n)| (1..=n).map(move |when| (name.clone(), when))).collect();
    assert!(turns.len() > KILLS, "{} system calls", turns.len());
    let (mut killed, mut is_second) = (0, true);
    for (name, when) in turns.iter().step_by(turns.len() / KILLS) {
        let watched = threads(&weftd, &WORKERS);
        let inject = format!("inject={name}:signal=KILL:when={when}");
        let strace = Strace::attach(&watched, &["-o", "/dev/null", "-e", &inject]);
        let is_done = change(!is_second);
        let survived = until("the agent rests, or is dead", || rests(&watched));
        drop(strace);
        assert!(is_done || !survived, "{name} {when}");
        if !survived {
            killed += 1;
            assert_eq!(heard(&forbidden), 0, "without an agent: {name} {when}");
            weftd.restart().unwrap();
        }
        // One or the other, whole, and in force.
        let written: Vec<Value> =
            api.items("/v1/networkpolicies").into_iter().map(|item| item["spec"].clone()).collect();
        let same = |second: bool| {
            let wanted = state(second);
            wanted.as_array().unwrap().iter().map(|object| object["spec"].clone()).collect::<Vec<_>>()
                == stripped(&written, &wanted)
        };
        is_second = same(true);
        assert!(is_second || same(false), "{name} {when}: {written:?}");
        let why = host.run(&["sh", "-c", &format!("weft why shop/a shop/b:{FORBIDDEN}/udp || true")]).unwrap();
        assert!(why.contains(if is_second { "policy_ingress" } else { "policy_egress" }), "{name} {when}: {why}");
        assert_eq!(heard(&forbidden), 0, "{name} {when}");
        heard(&allowed);
        until("what is allowed comes", || (heard(&allowed) > 0).then_some(()));
        api.assert_clean();
    }
    assert!(killed > KILLS / 2, "killed {killed} times");
}

/// What was written, without what the agent filled in.
fn stripped(written: &[Value], wanted: &Value) -> Vec<Value> {
    let keys = |n: usize| wanted[n]["spec"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let strip = |(n, spec): (usize, &Value)| keys(n).into_iter().map(|key| (key.clone(), spec[&key].clone())).collect();
    written.iter().enumerate().map(strip).map(Value::Object).collect()
}

#[test]
fn what_there_is_no_room_for_is_refused_and_what_was_before_holds() {
    let host = Host::start("policy-room").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = populate(&host);
    // Together, more than 131,072 address blocks that are told apart.
    let block = |n: u32| json!({"ipBlock": {"cidr": format!("11.{}.{}.{}/32", n >> 15, n >> 7 & 255, n << 1 & 255)}});
    let spec = |app: &str, blocks: std::ops::Range<u32>| {
        let from: Vec<Value> = blocks.map(block).collect();
        json!({"podSelector": selected(app), "ingress": [{"from": from}]})
    };
    let large = |app: &str| {
        let one = |n: u32| policy("shop", &format!("{app}{n}"), spec(app, n * 20_000..(n + 1) * 20_000));
        (0..7).map(one).collect::<Vec<_>>()
    };
    apply(&api, json!([policy("shop", "b0", spec("b", 0..4))]));
    let (status, answer) = api.post("/v1/apply", &json!({"items": large("b")}));
    assert_eq!(status, 409, "{answer}");
    let error = answer["errors"][0].as_str().unwrap();
    assert!(error.contains("NetworkPolicy \"shop/b0\" and 6 more") && error.contains("address blocks"), "{error}");
    let one = policy("shop", "huge", spec("b", 0..40_000));
    let (status, answer) = api.post("/v1/apply", &json!({"items": [one]}));
    assert_eq!(status, 413, "{answer}");
    let (_, list) = api.get("/v1/networkpolicies");
    let (spec_now, status) = (&list["items"][0]["spec"], &list["items"][0]["status"]);
    assert_eq!(spec_now["ingress"][0]["from"].as_array().unwrap().len(), 4);
    let accepted = status["conditions"].as_array().unwrap().iter().find(|condition| condition["type"] == "Accepted");
    let accepted = accepted.unwrap();
    assert_eq!(accepted["status"], "False", "{status}");
    assert!(accepted["message"].as_str().unwrap().contains("there is room for"), "{status}");
    assert!(api.metrics().contains("weft_policy_refusals_total 1\n"));
    let forbidden = hear(&host, "b", FORBIDDEN);
    {
        let _flood = Flood::start(&host, "a", at(&api, "shop/b", 0, FORBIDDEN));
        until("it is dropped", || (api.counted("shop/a", "out", "policy_ingress") > 0).then_some(()));
    }
    assert_eq!(heard(&forbidden), 0);

    // Of whom nobody is there yet, nothing has to be written; whoever comes then is not born.
    apply(&api, json!(large("big")));
    host.netns("big").unwrap();
    let labels = json!({"cni": {"labels": [{"key": "app", "value": "big"}]}});
    let call =
        Call::new("ADD", "big", "app").env("CNI_ARGS", "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=big").with("args", labels);
    let refused = call.ask(&host);
    assert!(!refused.ok && refused.output.to_string().contains("there is room for"), "{refused:?}");
    assert!(api.metrics().contains("weft_policy_refusals_total 2\n"));
    assert_eq!(api.endpoints("").len(), 3);
    assert_eq!(weft_tests::leftovers::links_of(&host, "big"), ["lo"]);
    api.assert_clean();
    born(&host, "small", "app", "shop", json!({"app": "small"}));
}
