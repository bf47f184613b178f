//! Services: addresses that lead to any of those who serve them, on the real kernel.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use serde_json::{Value, json};
use weft_lab::Host;
use weft_tests::{Api, Call, inside, until};

const WEB: u16 = 80;
const SERVED: u16 = 8080;

fn born(host: &Host, id: &str, network: &str, app: &str) {
    host.netns(id).unwrap();
    join(host, id, network, app, "eth0");
}

fn join(host: &Host, id: &str, network: &str, app: &str, ifname: &str) {
    let call = Call::new("ADD", id, network)
        .env("CNI_IFNAME", ifname)
        .env("CNI_ARGS", &format!("K8S_POD_NAMESPACE=shop;K8S_POD_NAME={id}"))
        .with("args", json!({"cni": {"labels": [{"key": "app", "value": app}]}}))
        .with("runtimeConfig", json!({"io.kubernetes.cri.pod-annotations": {"weft.dev/ports": "web=8080/TCP"}}));
    call.done(host);
}

/// Somebody who tells everyone who comes what he is called.
struct Server {
    address: SocketAddr,
    netns: weft_netns::Netns,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(host: &Host, name: &'static str) -> Self {
        let netns = inside(host, name);
        let listener = netns.within(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, SERVED))).unwrap().unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                // Who hangs up first is not told.
                let _ = stream.and_then(|mut stream| writeln!(stream, "{name}"));
            }
        });
        let address = SocketAddr::from((Ipv6Addr::LOCALHOST, SERVED));
        Self { address, netns, is_over, thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let _ = self.netns.within(|| std::net::TcpStream::connect(self.address));
        self.thread.take().into_iter().for_each(|thread| drop(thread.join()));
    }
}

/// Who answers a process of the host, or of `from`, at an address: as often as it asks.
fn answers(host: &Host, from: Option<&str>, address: &str, times: usize) -> Result<BTreeMap<String, usize>, String> {
    let script =
        format!("set -e; for n in $(seq {times}); do exec 3<>/dev/tcp/{address}/{WEB}; cat <&3; exec 3>&-; done");
    let inside = from.map_or_else(Vec::new, |from| vec!["ip", "netns", "exec", from]);
    let ran = host.run(&[&inside[..], &["timeout", "10", "bash", "-c", &script]].concat());
    let text = ran.map_err(|error| format!("{error:#}"))?;
    let mut counts = BTreeMap::new();
    text.lines().for_each(|line| *counts.entry(line.to_owned()).or_default() += 1);
    Ok(counts)
}

fn apply(api: &Api, objects: Value) {
    let (status, answer) = api.post("/v1/apply", &json!({"items": objects}));
    assert_eq!(status, 200, "{answer}");
}

fn service(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "shop", "name": name}, "spec": spec})
}

fn web() -> Value {
    service("web", json!({"selector": {"app": "web"}, "ports": [{"port": WEB, "targetPort": "web"}]}))
}

fn addresses(api: &Api, name: &str) -> Vec<String> {
    let services = api.items("/v1/services");
    let service = services.iter().find(|service| service["metadata"]["name"] == name).unwrap();
    service["spec"]["clusterIPs"].as_array().unwrap().iter().map(|ip| ip.as_str().unwrap().to_owned()).collect()
}

#[test]
fn sockets_of_containers_and_of_the_host_are_led_to_who_serves() {
    let host = Host::start("service").unwrap();
    let mut weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    api.network("app", json!({"mode": "bridge", "pools": ["10.1.0.0/24", "fd61::/64"]}));
    for (id, app) in [("one", "web"), ("two", "web"), ("front", "front")] {
        born(&host, id, "app", app);
    }
    let (one, two) = (Server::start(&host, "one"), Server::start(&host, "two"));
    apply(&api, json!([web()]));
    let vips = addresses(&api, "web");
    assert!(vips[0].starts_with("10.247.") && vips[1].starts_with("fd77:6566:7400:"), "{vips:?}");
    for vip in &vips {
        for from in [Some("front"), Some("one"), None] {
            let answered = answers(&host, from, vip, 24).unwrap();
            assert_eq!(answered.values().sum::<usize>(), 24, "{answered:?}");
            assert_eq!(answered.len(), 2, "each serves, also itself: {from:?} {answered:?}");
        }
    }
    let listed = host.run(&["weft", "service", "list"]).unwrap();
    assert!(listed.contains("80/TCP") && listed.contains("144"), "{listed}");
    let backends = host.run(&["weft", "service", "backends", "shop/web"]).unwrap();
    assert!(backends.contains("shop/one") && backends.contains("[fd61::") && backends.contains("ready"), "{backends}");

    // Who looks on sees by what a connection was led, and who asks is told.
    until("flows name the service", || {
        let flows = host.run(&["weft", "observe", "--from", "shop/front", "-o", "json"]).unwrap();
        flows.contains("\"shop/web\"").then_some(())
    });
    let why = host.run(&["weft", "why", "shop/front", &format!("{}:{WEB}", vips[0])]).unwrap();
    assert!(
        why.contains("service shop/web") && why.contains("one of 2") && why.matches("allowed:").count() == 2,
        "{why}"
    );
    let metrics = api.metrics();
    for expected in
        ["weft_service_connections_total{service=\"shop/web\"} 144", "weft_service_backends{service=\"shop/web\"} 4"]
    {
        assert!(metrics.contains(expected), "{expected}: {metrics}");
    }

    // While no agent runs, sockets are led as before; the next one goes on.
    weftd.kill9().unwrap();
    assert_eq!(answers(&host, Some("front"), &vips[0], 24).unwrap().len(), 2);
    weftd.restart().unwrap();
    assert_eq!(addresses(&api, "web"), vips);
    assert_eq!(answers(&host, Some("front"), &vips[1], 24).unwrap().len(), 2);
    // One that cannot reach the cgroup serves networks all the same, says so, and leaves the former one's programs.
    weftd.terminate().unwrap();
    let lost = host.weftd(&["--cgroup-root", "/nowhere"]).unwrap();
    let status = host.run(&["weft", "status"]).unwrap();
    assert!(status.contains("ServicesLed") && status.contains("--cgroup-root"), "{status}");
    assert_eq!(answers(&host, Some("front"), &vips[0], 24).unwrap().len(), 2);
    drop(lost);
    weftd.restart().unwrap();
    let tracked = host.run(&["weft", "connections", "--from", "shop/front"]).unwrap();
    assert!(tracked.contains(" shop/web") && !tracked.contains("not there any more"), "{tracked}");

    // Whose container dies, is out at once.
    drop(two);
    Call::new("DEL", "two", "app").done(&host);
    for vip in &vips {
        assert_eq!(answers(&host, Some("front"), vip, 12).unwrap(), [("one".to_owned(), 12)].into());
    }
    // Who is born, is in; by its labels as they are.
    born(&host, "three", "app", "front");
    let _three = Server::start(&host, "three");
    host.run(&["weft", "endpoint", "label", "shop/three", "app=web"]).unwrap();
    assert_eq!(answers(&host, Some("front"), &vips[0], 24).unwrap().len(), 2);
    host.run(&["weft", "endpoint", "label", "shop/three", "app=front"]).unwrap();
    assert_eq!(answers(&host, Some("front"), &vips[0], 12).unwrap(), [("one".to_owned(), 12)].into());

    // Nobody serves: refused, and not left to wait.
    drop(one);
    Call::new("DEL", "one", "app").done(&host);
    for vip in &vips {
        let error = answers(&host, Some("front"), vip, 1).unwrap_err();
        assert!(error.contains("Connection refused"), "{error}");
        let why = format!("weft why shop/front [{vip}]:{WEB}; echo code $?");
        let why = host.run(&["sh", "-c", &why]).unwrap();
        assert!(why.contains("nobody serves it") && why.contains("code 3"), "{why}");
    }
    // The address stays with its name, and leads nowhere without it.
    host.run(&["weft", "delete", "service", "shop/web"]).unwrap();
    let error = answers(&host, Some("front"), &vips[0], 1).unwrap_err();
    assert!(!error.contains("refused"), "{error}");
    apply(&api, json!([web()]));
    assert_eq!(addresses(&api, "web"), vips);
    host.run(&["weft", "delete", "service", "web", "--namespace", "shop"]).unwrap();
    until("its pool leads nowhere any more", || {
        (!host.run(&["ip", "route"]).unwrap().contains("unreachable 10.247.0.0/16")).then_some(())
    });
}

#[test]
fn clients_are_led_to_those_whom_they_reach() {
    let host = Host::start("service-view").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    api.network("app", json!({"mode": "bridge", "pools": ["10.1.0.0/24", "fd61::/64"]}));
    api.network("other", json!({"mode": "routed", "pools": ["10.2.0.0/24", "fd62::/64"]}));
    for (id, on, app) in [("one", "app", "web"), ("two", "other", "web"), ("near", "app", "x"), ("far", "other", "x")] {
        born(&host, id, on, app);
    }
    let _servers = [Server::start(&host, "one"), Server::start(&host, "two")];
    apply(&api, json!([web()]));
    for vip in addresses(&api, "web") {
        assert_eq!(answers(&host, Some("near"), &vip, 12).unwrap(), [("one".to_owned(), 12)].into());
        assert_eq!(answers(&host, Some("far"), &vip, 12).unwrap(), [("two".to_owned(), 12)].into());
        assert_eq!(answers(&host, None, &vip, 24).unwrap().len(), 2, "the host reaches all");
    }
    // Who shares the host's namespace is the host, which goes on when he ends.
    api.network("hosts", json!({"mode": "host"}));
    host.run(&["weft", "attach", "--netns", "/proc/1/ns/net", "--network", "hosts", "--name", "guest"]).unwrap();
    assert_eq!(answers(&host, None, &addresses(&api, "web")[0], 24).unwrap().len(), 2);
    host.run(&["weft", "detach", "guest"]).unwrap();
    assert_eq!(answers(&host, None, &addresses(&api, "web")[0], 24).unwrap().len(), 2);
    // A container on both reaches both, and one that it is not on is nothing to it any more.
    join(&host, "near", "other", "x", "eth1");
    let vip = addresses(&api, "web").remove(0);
    assert_eq!(answers(&host, Some("near"), &vip, 24).unwrap().len(), 2);
    Call::new("DEL", "near", "other").env("CNI_IFNAME", "eth1").done(&host);
    assert_eq!(answers(&host, Some("near"), &vip, 12).unwrap().len(), 1);

    // Addresses that somebody else names; of those that may not serve, none does.
    let slice = |ready: bool| {
        json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
               "metadata": {"namespace": "shop", "name": "named-1", "labels": {"kubernetes.io/service-name": "named"}},
               "endpoints": [{"addresses": [api.address("shop/two", 0)], "conditions": {"ready": ready}}],
               "ports": [{"name": "", "port": SERVED, "protocol": "TCP"}]})
    };
    let named = service("named", json!({"clusterIP": "10.99.0.1", "ports": [{"port": WEB}]}));
    apply(&api, json!([named, slice(true)]));
    assert_eq!(answers(&host, Some("far"), "10.99.0.1", 6).unwrap(), [("two".to_owned(), 6)].into());
    apply(&api, json!([slice(false)]));
    assert!(answers(&host, Some("far"), "10.99.0.1", 1).unwrap_err().contains("refused"));
    host.run(&["weft", "delete", "endpointslice", "shop/named-1"]).unwrap();

    // What is faulty, or somebody else's, is told and changes nothing.
    for (spec, expected) in [
        (json!({"ports": [{"port": 0}]}), "spec.ports[0].port"),
        (json!({"type": "NodePort", "ports": [{"port": 1}]}), "spec.type"),
        (json!({"clusterIP": "10.99.0.1", "ports": [{"port": 1}]}), "\"shop/named\" has it"),
        (json!({"clusterIP": "10.1.0.9", "ports": [{"port": 1}]}), "a pool of network app"),
    ] {
        let (status, answer) = api.post("/v1/apply", &json!({"items": [service("bad", spec)]}));
        let error = answer["errors"][0].as_str().unwrap();
        assert!([400, 409].contains(&status) && error.contains(expected), "{status}: {error}");
    }
    assert_eq!(api.items("/v1/services").len(), 2);
}

#[test]
fn no_connection_fails_while_agents_are_killed_and_backends_come_and_go() {
    const CONNECTIONS: usize = 1500;
    const KILLED: usize = 3;
    let host = Host::start("service-storm").unwrap();
    let mut weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    api.network("app", json!({"mode": "bridge", "pools": ["10.1.0.0/24", "fd61::/64"]}));
    for (id, app) in [("one", "web"), ("two", "web"), ("front", "front")] {
        born(&host, id, "app", app);
    }
    let _servers = [Server::start(&host, "one"), Server::start(&host, "two")];
    apply(&api, json!([web()]));
    let load = |vip: &str| {
        let script = format!(
            "set -e; for n in $(seq {CONNECTIONS}); do exec 3<>/dev/tcp/{vip}/{WEB}; read -u 3 name; \
             exec 3>&-; done; echo all of them"
        );
        let log = format!("load-{vip}").replace(':', "-");
        host.spawn(&log, &["ip", "netns", "exec", "front", "bash", "-c", &script]).unwrap()
    };
    let loads: Vec<_> = addresses(&api, "web").iter().map(|vip| load(vip)).collect();
    let mut turns = 0;
    for n in 0.. {
        let is_over = loads.iter().all(weft_lab::Daemon::has_ended);
        if is_over && turns >= KILLED {
            break;
        }
        // Who does not serve any more answers those who were led to him all the same.
        for app in ["x", "web"] {
            host.run(&["weft", "endpoint", "label", "shop/two", &format!("app={app}")]).unwrap();
        }
        if n % 10 == 0 && turns < KILLED {
            weftd.kill9().unwrap();
            weftd.restart().unwrap();
            turns += 1;
        }
    }
    for load in &loads {
        assert_eq!(load.log().trim(), "all of them");
    }
}

#[test]
fn what_there_is_no_room_for_is_refused_and_what_was_there_before_stays() {
    const SERVICES: usize = 263;
    const BACKENDS: usize = 1000;
    let host = Host::start("service-room").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    let objects = |n: usize| {
        let address = |backend: usize| format!("198.{}.{}.{}", 18 + n / 250, n % 250, backend % 250 + 1);
        // Ports tell apart those whose addresses are the same.
        let slice = |part: usize| {
            let endpoints: Vec<_> = (0..250).map(|backend| json!({"addresses": [address(backend)]})).collect();
            json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                   "metadata": {"namespace": "shop", "name": format!("s{n}-{part}"),
                                "labels": {"kubernetes.io/service-name": format!("s{n}")}},
                   "endpoints": endpoints, "ports": [{"name": "", "port": 1000 + part}]})
        };
        let spec = json!({"ports": [{"port": WEB}]});
        [service(&format!("s{n}"), spec)].into_iter().chain((0..BACKENDS / 250).map(slice)).collect::<Vec<_>>()
    };
    let mut refusal = None;
    for n in 0..SERVICES {
        let (status, answer) = api.post("/v1/apply", &json!({"items": objects(n)}));
        if status != 200 {
            refusal = Some((n, status, answer["errors"][0].as_str().unwrap().to_owned()));
            break;
        }
    }
    let (n, status, error) = refusal.expect("there is no room for so many");
    assert_eq!((n, status), (SERVICES - 1, 409), "{error}");
    assert!(error.contains("263000 entries of backends, and there is room for 262144"), "{error}");
    assert_eq!(api.items("/v1/services").len(), SERVICES - 1);
    host.run(&["weft", "delete", "service", "shop/s0"]).unwrap();
    let (status, answer) = api.post("/v1/apply", &json!({"items": objects(n)}));
    assert_eq!(status, 200, "{answer}");
}
