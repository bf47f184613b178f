//! `weft demo`: the main job, shown on a private host of its own. Every line it prints is checked; it fails with the
//! first that is not true.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use weft_api::{Counter, EndpointObject, IpamCheck, List, ServiceObject};
use weft_lab::{Container, Containerd, Host, Podman, Runtime as _, Weftd, stdout_of, uplink};

/// Agents that are killed under traffic, and how many packets there are, with so many seconds between two of them.
const KILLED: u32 = 10;
const PINGS: &str = "1000";
const PACE_S: &str = "0.005";

/// Where the HTTP servers of containers listen.
const SERVED: u16 = 8080;

/// What the containers run.
const IDLE: [&str; 2] = ["sleep", "1000"];

/// Runs the demo.
pub(crate) fn run() -> anyhow::Result<()> {
    say("A private host: namespaces of its own, and an uplink to an outside. Yours is not touched.");
    let host = Host::start("demo")?;
    shell(&host, &["ip", "-brief", "address"])?;

    say("weftd starts on its embedded store.");
    let mut weftd = host.weftd::<&str>(&[])?;
    shell(&host, &["weft", "version"])?;

    say("Two networks: containers on a bridge, and containers routed by the host. weft picks the addresses.");
    println!("Networks are apart unless each lists the other as a peer.");
    shell(&host, &["weft", "network", "create", "app", "--mode", "bridge", "--peer", "back"])?;
    shell(&host, &["weft", "network", "create", "back", "--mode", "routed", "--peer", "app"])?;
    shell(&host, &["weft", "get", "networks"])?;

    say("Container runtimes are told by CNI.");
    shell(&host, &["weft", "install", "cni", "--network", "app", "--network", "back"])?;

    say("containerd starts one container, podman two.");
    let rootfs = host.rootfs("busybox")?;
    let containers = Containers { containerd: host.containerd()?, podman: host.podman()? };
    containers.start(&rootfs)?;
    shell(&host, &["weft", "get", "endpoints"])?;
    let endpoints = endpoints(&host)?;
    ensure!(endpoints.len() == 3, "three endpoints were expected, not {}", endpoints.len());

    say("Each has its addresses and routes.");
    for place in PLACES {
        println!("{}:", place.title());
        println!("{}", indent(&containers.exec(place, &["ip", "address", "show", "dev", "eth0"])?));
        println!("{}", indent(&containers.exec(place, &["ip", "route"])?));
    }

    say("They talk to each other, to the host, and out through the host, in IPv4 and IPv6.");
    talk(&host, &containers, &endpoints)?;
    shell(&host, &["nft", "list", "chain", "inet", "weft", "postrouting"])?;

    say("A container claims another's address. Its packets stop at its own door, counted and named.");
    claim(&host, &endpoints)?;
    shell(&host, &["weft", "endpoint", "stats", Place::Containerd.endpoint()])?;

    shell(&host, &["weft", "observe", "--verdict", "dropped"])?;

    say("Who speaks to whom, with names, and which way: past the host's stack, where nothing there has a say.");
    shell(&host, &["weft", "observe", "--from", "api", "--to", "db", "--last", "4"])?;
    shell(&host, &["weft", "connections", "--from", "api", "--to", "db"])?;
    shell(&host, &["weft", "why", "api", "db:5432"])?;

    say("A policy, as Kubernetes has them, takes hold between containers of containerd and podman, and lets go again.");
    forbid(&host, &containers, &endpoints)?;

    say("A service: an address that leads containers of any runtime, and the host, to whoever serves it.");
    serve(&host, &containers)?;

    say("The agent is killed and started anew under traffic, ten times. Not one packet is lost.");
    kill_under_traffic(&mut weftd, &containers, &endpoints)?;
    shell(&host, &["weft", "ipam", "check"])?;

    say("The containers end, and nothing of them is left.");
    containers.remove()?;
    let left = self::endpoints(&host)?;
    ensure!(left.is_empty(), "endpoints are left: {left:?}");
    let check: IpamCheck = json(&host, &["weft", "ipam", "check", "-o", "json"])?;
    ensure!(check.findings.is_empty(), "ledger, kernel and namespaces do not agree: {:?}", check.findings);
    shell(&host, &["weft", "status"])?;
    drop(weftd);
    drop(containers);
    host.stop()?;
    say("All of it was true.");
    Ok(())
}

/// A container of the demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Containerd,
    PodmanApp,
    PodmanBack,
}

const PLACES: [Place; 3] = [Place::Containerd, Place::PodmanApp, Place::PodmanBack];

impl Place {
    /// What the runtime calls it.
    fn id(self) -> &'static str {
        match self {
            Place::Containerd => "web",
            Place::PodmanApp => "api",
            Place::PodmanBack => "db",
        }
    }

    /// What weft calls it: ctr puts its namespace in front.
    fn endpoint(self) -> &'static str {
        if self == Place::Containerd { "default-web" } else { self.id() }
    }

    fn title(self) -> String {
        let runtime = if self == Place::Containerd { "containerd" } else { "podman" };
        format!("{} ({runtime})", self.id())
    }
}

struct Containers<'h> {
    containerd: Containerd<'h>,
    podman: Podman<'h>,
}

impl Containers<'_> {
    fn start(&self, rootfs: &Path) -> anyhow::Result<()> {
        for place in PLACES {
            let container = Container::new(place.id(), rootfs).command(&IDLE);
            match place {
                // ctr takes the first configuration there is: app.
                Place::Containerd => self.containerd.start(&container)?,
                Place::PodmanApp => self.podman.start(&container.network("app"))?,
                Place::PodmanBack => self.podman.start(&container.network("back"))?,
            }
            println!("    started {}", place.title());
        }
        Ok(())
    }

    fn exec(&self, place: Place, argv: &[&str]) -> anyhow::Result<String> {
        match place {
            Place::Containerd => self.containerd.exec(place.id(), argv),
            Place::PodmanApp | Place::PodmanBack => self.podman.exec(place.id(), argv),
        }
    }

    fn remove(&self) -> anyhow::Result<()> {
        self.containerd.remove(Place::Containerd.id())?;
        self.podman.remove(Place::PodmanApp.id())?;
        self.podman.remove(Place::PodmanBack.id())
    }
}

/// Everybody asks everybody, and the outside; the host asks everybody.
fn talk(host: &Host, containers: &Containers<'_>, endpoints: &[EndpointObject]) -> anyhow::Result<()> {
    let mut targets: Vec<(String, String)> = Vec::new();
    for place in PLACES {
        let found = endpoints.iter().find(|endpoint| endpoint.metadata.name == place.endpoint());
        let endpoint = found.with_context(|| format!("{} has no endpoint", place.title()))?;
        for address in &endpoint.status.addresses {
            targets.push((place.id().to_owned(), bare(address)));
        }
    }
    let fixed: [(&str, IpAddr); 4] = [
        ("host", uplink::HOST_V4.into()),
        ("host", uplink::HOST_V6.into()),
        ("outside", uplink::OUTSIDE_V4.into()),
        ("outside", uplink::OUTSIDE_V6.into()),
    ];
    targets.extend(fixed.map(|(name, address)| (name.to_owned(), address.to_string())));
    for (name, address) in &targets {
        let ping = ["ping", "-c1", "-W5", address];
        let mut reached_by = Vec::new();
        for place in PLACES {
            containers.exec(place, &ping).with_context(|| format!("{} does not reach {name}", place.title()))?;
            reached_by.push(place.id());
        }
        let from_host = [&["busybox"], &ping[..]].concat();
        host.run(&from_host).with_context(|| format!("the host does not reach {name}"))?;
        reached_by.push("host");
        println!("    {name:<8} {address:<24} answers {}", reached_by.join(", "));
    }
    Ok(())
}

/// A rule without which nobody would be kept from db, and what becomes of it.
fn forbid(host: &Host, containers: &Containers<'_>, endpoints: &[EndpointObject]) -> anyhow::Result<()> {
    let found = endpoints.iter().find(|endpoint| endpoint.metadata.name == Place::PodmanBack.endpoint());
    let addresses: Vec<_> = found.context("db has no endpoint")?.status.addresses.iter().map(|net| bare(net)).collect();
    let whole = |address: &String| format!("\"{address}/{}\"", if address.contains(':') { 128 } else { 32 });
    let networks = addresses.iter().map(whole).collect::<Vec<_>>().join(", ");
    let to = format!("    to: [{{ networks: [{networks}] }}]");
    let manifest = [
        "apiVersion: policy.networking.k8s.io/v1alpha2",
        "kind: ClusterNetworkPolicy",
        "metadata: { name: private }",
        "spec:",
        "  tier: Admin",
        "  priority: 10",
        "  subject: { namespaces: {} }",
        "  egress:",
        "  - name: nobody-asks-db",
        "    action: Deny",
        &to,
    ]
    .join("\n");
    println!("{}", indent(&manifest));
    let path = "/run/private.yaml";
    std::fs::write(host.path(path), manifest)?;
    shell(host, &["weft", "apply", "-f", path])?;
    let ping = |address: &String| ["ping".to_owned(), "-c1".to_owned(), "-W1".to_owned(), address.clone()];
    let asks = |place: Place, address: &String| {
        let words = ping(address);
        containers.exec(place, &words.iter().map(String::as_str).collect::<Vec<_>>())
    };
    for place in [Place::Containerd, Place::PodmanApp] {
        for address in &addresses {
            ensure!(asks(place, address).is_err(), "{} reaches db at {address} all the same", place.title());
            println!("    {} does not reach db at {address}", place.title());
        }
    }
    shell(host, &["sh", "-c", "weft why api db:5432; test $? = 3"])?;
    shell(host, &["weft", "policy", "explain", Place::PodmanApp.endpoint()])?;
    shell(host, &["weft", "delete", "clusternetworkpolicy", "private"])?;
    for address in &addresses {
        asks(Place::Containerd, address).context("db is not reached again")?;
    }
    println!("    db is reached again");
    Ok(())
}

/// Two HTTP servers behind one address, and who is led to which.
fn serve(host: &Host, containers: &Containers<'_>) -> anyhow::Result<()> {
    for place in [Place::PodmanApp, Place::PodmanBack] {
        // They share a root file system.
        let name = place.id();
        let page = format!("mkdir /{name} && echo {name} > /{name}/index.html && httpd -p {SERVED} -h /{name}");
        containers.exec(place, &["sh", "-c", &page])?;
        shell(host, &["weft", "endpoint", "label", place.endpoint(), "tier=shop"])?;
    }
    let manifest = [
        "apiVersion: v1",
        "kind: Service",
        "metadata: { name: shop }",
        "spec:",
        "  selector: { tier: shop }",
        &format!("  ports: [{{ port: 80, targetPort: {SERVED} }}]"),
    ]
    .join("\n");
    println!("{}", indent(&manifest));
    let path = "/run/shop.yaml";
    std::fs::write(host.path(path), manifest)?;
    shell(host, &["weft", "apply", "-f", path])?;
    shell(host, &["weft", "service", "describe", "shop"])?;
    let service: ServiceObject = json(host, &["weft", "get", "service", "shop", "-o", "json"])?;
    // Who answers whom, asked so often that both do but once in a million times.
    let answers = |client: Option<Place>, address: &str| -> anyhow::Result<BTreeSet<String>> {
        let ask =
            format!("for n in $(seq 20); do printf 'GET / HTTP/1.0\r\n\r\n' | $0 nc {address} 80 | tail -n1; done");
        let text = match client {
            Some(place) => containers.exec(place, &["sh", "-c", &ask, ""])?,
            None => host.run(&["sh", "-c", &ask, "busybox"])?,
        };
        Ok(text.lines().map(str::to_owned).collect())
    };
    let both = BTreeSet::from([Place::PodmanApp.id().to_owned(), Place::PodmanBack.id().to_owned()]);
    let clients = [Some(Place::Containerd), Some(Place::PodmanApp), None];
    let name = |client: Option<Place>| client.map_or_else(|| "the host".to_owned(), Place::title);
    for client in clients {
        for address in &service.spec.cluster_ips {
            let answered = answers(client, address)?;
            ensure!(answered == both, "{} was answered by {answered:?} at {address}", name(client));
            println!("    {} asks {address}: answered by api and db", name(client));
        }
    }
    shell(host, &["weft", "observe", "--from", Place::Containerd.endpoint(), "--last", "2"])?;
    shell(host, &["weft", "endpoint", "label", Place::PodmanBack.endpoint(), "tier-"])?;
    for client in clients {
        let answered = answers(client, &service.spec.cluster_ips[0])?;
        ensure!(!answered.contains(Place::PodmanBack.id()), "{} is still led to db", name(client));
    }
    println!("    without the label, nobody is led to db any more");
    shell(host, &["weft", "delete", "service", "shop"])
}

/// A container asks another a thousand times, while one agent after the other is killed.
fn kill_under_traffic(
    weftd: &mut Weftd<'_>,
    containers: &Containers<'_>,
    endpoints: &[EndpointObject],
) -> anyhow::Result<()> {
    let found = endpoints.iter().find(|endpoint| endpoint.metadata.name == Place::PodmanBack.endpoint());
    let address = found.and_then(|endpoint| endpoint.status.addresses.last()).context("db has no address")?;
    let ping = ["ping", "-q", "-i", PACE_S, "-c", PINGS, &bare(address)];
    let asked = std::thread::scope(|scope| {
        let asking = scope.spawn(|| containers.exec(Place::PodmanApp, &ping));
        for _ in 0..KILLED {
            weftd.kill9()?;
            weftd.restart()?;
        }
        asking.join().map_err(|_| anyhow::anyhow!("asking broke off"))?
    })?;
    println!("  api $ {}", ping.join(" "));
    println!("{}", indent(&asked));
    ensure!(asked.contains(" 0% packet loss"), "packets were lost");
    Ok(())
}

/// Inside the first container, as whoever broke out into its namespace could: another's address, and a packet from it.
fn claim(host: &Host, endpoints: &[EndpointObject]) -> anyhow::Result<()> {
    let named = |place: Place| {
        let found = endpoints.iter().find(|endpoint| endpoint.metadata.name == place.endpoint());
        found.with_context(|| format!("{} has no endpoint", place.title()))
    };
    let (own, other) = (named(Place::Containerd)?, named(Place::PodmanApp)?);
    let address = |endpoint: &EndpointObject| endpoint.status.addresses.first().map(|net| bare(net));
    let (Some(stolen), Some(gateway)) = (address(other), own.status.gateways.first().cloned()) else {
        bail!("{} or {} has no address", own.metadata.name, other.metadata.name);
    };
    let inside = ["nsenter", &format!("--net={}", own.status.netns)];
    let claimed = format!("{stolen}/32");
    shell(host, &[&inside[..], &["ip", "address", "add", &claimed, "dev", "eth0"]].concat())?;
    let ping = [&inside[..], &["busybox", "ping", "-c1", "-W1", "-I", &stolen, &gateway]].concat();
    println!("  $ {}", ping.join(" "));
    ensure!(host.run(&ping).is_err(), "the forged packet was answered");
    println!("    nobody answers");
    let counters: List<Counter> = json(host, &["weft", "endpoint", "stats", &own.metadata.name, "-o", "json"])?;
    let dropped = counters.items.iter().find(|counter| counter.reason == "source_address");
    ensure!(dropped.is_some_and(|counter| counter.packets >= 1), "the forged packet was not counted: {counters:?}");
    shell(host, &[&inside[..], &["ip", "address", "delete", &claimed, "dev", "eth0"]].concat())
}

fn endpoints(host: &Host) -> anyhow::Result<Vec<EndpointObject>> {
    let list: List<EndpointObject> = json(host, &["weft", "get", "endpoints", "-o", "json"])?;
    Ok(list.items)
}

fn json<T: serde::de::DeserializeOwned>(host: &Host, argv: &[&str]) -> anyhow::Result<T> {
    let text = host.run(argv)?;
    serde_json::from_str(&text).with_context(|| format!("{}: {text}", argv.join(" ")))
}

/// Shows a command and what it says; it must succeed.
fn shell(host: &Host, argv: &[&str]) -> anyhow::Result<()> {
    println!("  $ {}", argv.join(" "));
    let Some((program, arguments)) = argv.split_first() else { bail!("nothing to run") };
    let text = stdout_of(host.command(program).args(arguments))?;
    println!("{}", indent(&text));
    Ok(())
}

fn bare(address: &str) -> String {
    address.split('/').next().unwrap_or_default().to_owned()
}

fn indent(text: &str) -> String {
    text.trim_end().lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

fn say(text: &str) {
    println!("\n{text}");
}
