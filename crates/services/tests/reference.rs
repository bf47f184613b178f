//! What the catalogue comes to, after any changes in any order, against rules that are asked one by one.

#![allow(clippy::unwrap_used, reason = "a test that fails there says enough")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use proptest::prelude::*;
use weft_model::{
    ContainerId, EndpointKey, IfName, NetworkName, PortTarget, Protocol, Service, ServiceKey, ServicePort, Slice,
    SliceEndpoint, SlicePort, TrafficPolicy,
};
use weft_services::{Backend, Candidate, Catalog, Frontend, HOST, Reach, ViewNumber};

const NODE: &str = "here";
const VIP: [&str; 4] = ["10.9.0.1", "fd09::1", "10.9.0.2", "fd09::2"];
const NETWORKS: [&str; 3] = ["a", "b", "c"];

fn network(n: usize) -> NetworkName {
    NetworkName::parse(NETWORKS[n]).unwrap()
}

fn key(name: usize) -> ServiceKey {
    ServiceKey { namespace: "shop".to_owned(), name: format!("s{name}") }
}

/// A step of a world's life.
#[derive(Debug, Clone)]
enum Step {
    Service { name: usize, app: usize, target: u16, is_local: bool },
    NoService(usize),
    Slice { name: usize, service: usize, endpoints: Vec<SliceEndpoint> },
    NoSlice(usize),
    Endpoint { container: usize, interface: usize, network: usize, app: usize },
    NoEndpoint { container: usize, interface: usize },
    Networks(Vec<(bool, Vec<usize>)>),
}

fn step() -> impl Strategy<Value = Step> {
    let endpoint = (0..6usize, any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    // Some are addresses of endpoints of this host.
    let endpoint = endpoint.prop_map(|(n, is_ready, is_serving, is_terminating, is_here)| SliceEndpoint {
        address: if n < 4 { own(n, 0)[0] } else { format!("192.0.2.{n}").parse().unwrap() },
        is_ready,
        is_serving,
        is_terminating,
        node: is_here.then(|| NODE.to_owned()),
    });
    let reach = proptest::collection::vec((any::<bool>(), proptest::collection::vec(0..3usize, 0..2)), 3);
    prop_oneof![
        3 => (0..2usize, 0..2usize, prop_oneof![Just(80u16), Just(8080)], any::<bool>())
            .prop_map(|(name, app, target, is_local)| Step::Service { name, app, target, is_local }),
        1 => (0..2usize).prop_map(Step::NoService),
        2 => (0..2usize, 0..2usize, proptest::collection::vec(endpoint, 0..3))
            .prop_map(|(name, service, endpoints)| Step::Slice { name, service, endpoints }),
        1 => (0..2usize).prop_map(Step::NoSlice),
        4 => (0..3usize, 0..2usize, 0..3usize, 0..2usize)
            .prop_map(|(container, interface, network, app)| Step::Endpoint { container, interface, network, app }),
        1 => (0..3usize, 0..2usize).prop_map(|(container, interface)| Step::NoEndpoint { container, interface }),
        1 => reach.prop_map(Step::Networks),
    ]
}

fn own(container: usize, interface: usize) -> [IpAddr; 2] {
    let n = container * 2 + interface;
    [format!("10.1.0.{n}").parse().unwrap(), format!("fd01::{n:x}").parse().unwrap()]
}

fn endpoint_key(container: usize, interface: usize) -> EndpointKey {
    EndpointKey {
        container: ContainerId::parse(format!("c{container}")).unwrap(),
        ifname: IfName::parse(format!("eth{interface}")).unwrap(),
    }
}

/// Somebody who serves.
#[derive(Clone)]
struct Server {
    /// Network and container, of an endpoint.
    place: Option<(NetworkName, String)>,
    is_local: bool,
    is_ready: bool,
    is_serving: bool,
    is_terminating: bool,
}

#[derive(Default)]
struct World {
    services: BTreeMap<ServiceKey, Service>,
    slices: BTreeMap<ServiceKey, Slice>,
    endpoints: BTreeMap<EndpointKey, Candidate>,
    networks: BTreeMap<NetworkName, Reach>,
}

impl World {
    fn take(&mut self, step: &Step, catalog: &mut Catalog) {
        match step {
            Step::Service { name, app, target, is_local } => {
                let service = Service {
                    key: key(*name),
                    addresses: VIP[name * 2..name * 2 + 2].iter().map(|text| text.parse().unwrap()).collect(),
                    selector: [("app".to_owned(), app.to_string())].into(),
                    ports: vec![ServicePort {
                        name: "web".to_owned(),
                        protocol: Protocol::TCP,
                        number: 80,
                        target: PortTarget::Number(*target),
                    }],
                    affinity_s: None,
                    internal_policy: if *is_local { TrafficPolicy::Local } else { TrafficPolicy::Cluster },
                };
                catalog.set_service(service.clone());
                self.services.insert(service.key.clone(), service);
            }
            Step::NoService(name) => {
                catalog.remove_service(&key(*name));
                self.services.remove(&key(*name));
            }
            Step::Slice { name, service, endpoints } => {
                let port = SlicePort { name: "web".to_owned(), protocol: Protocol::TCP, number: Some(80) };
                let (service, endpoints) = (Some(key(*service).name), endpoints.clone());
                let slice = Slice { key: key(*name), service, endpoints, ports: vec![port] };
                catalog.set_slice(slice.clone());
                self.slices.insert(slice.key.clone(), slice);
            }
            Step::NoSlice(name) => {
                catalog.remove_slice(&key(*name));
                self.slices.remove(&key(*name));
            }
            Step::Endpoint { container, interface, network: on, app } => {
                let candidate = Candidate {
                    key: endpoint_key(*container, *interface),
                    namespace: "shop".to_owned(),
                    labels: [("app".to_owned(), app.to_string())].into(),
                    ports: Vec::new(),
                    network: network(*on),
                    addresses: own(*container, *interface).into(),
                };
                catalog.set_candidate(candidate.clone());
                self.endpoints.insert(candidate.key.clone(), candidate);
            }
            Step::NoEndpoint { container, interface } => {
                catalog.remove_candidate(&endpoint_key(*container, *interface));
                self.endpoints.remove(&endpoint_key(*container, *interface));
            }
            Step::Networks(reaches) => {
                let reach = |(n, (is_internal, peers)): (usize, &(bool, Vec<usize>))| {
                    let peers = peers.iter().map(|peer| network(*peer)).collect();
                    (network(n), Reach { peers, is_internal: *is_internal })
                };
                self.networks = reaches.iter().enumerate().map(reach).collect();
                catalog.set_networks(self.networks.clone());
            }
        }
    }

    /// Whom a client on these networks gets at an address: `None` if it does not know the service. `clients` is `None`
    /// of the host.
    fn expected(&self, service: &Service, clients: Option<&BTreeSet<NetworkName>>, vip: IpAddr) -> Option<Expected> {
        let mut servers: BTreeMap<(IpAddr, u16), Server> = BTreeMap::new();
        let of = |address: IpAddr| self.endpoints.values().find(|endpoint| endpoint.addresses.contains(&address));
        let PortTarget::Number(target) = service.ports[0].target else { return None };
        for endpoint in self.endpoints.values().filter(|e| e.labels["app"] == service.selector["app"]) {
            for address in &endpoint.addresses {
                let place = Some((endpoint.network.clone(), endpoint.key.container.to_string()));
                let server = Server { place, is_local: true, is_ready: true, is_serving: true, is_terminating: false };
                servers.insert((*address, target), server);
            }
        }
        for slice in self.slices.values().filter(|slice| slice.service.as_ref() == Some(&service.key.name)) {
            for named in &slice.endpoints {
                let here = of(named.address);
                let place = here.map(|here| (here.network.clone(), here.key.container.to_string()));
                let is_local = here.is_some() || named.node.as_deref() == Some(NODE);
                let nothing =
                    Server { place, is_local: false, is_ready: false, is_serving: false, is_terminating: true };
                let known = servers.entry((named.address, 80)).or_insert(nothing);
                known.is_local |= is_local;
                known.is_ready |= named.is_ready;
                known.is_serving |= named.is_serving;
                known.is_terminating &= named.is_terminating;
            }
        }
        servers.retain(|(address, _), _| address.is_ipv4() == vip.is_ipv4());
        if servers.is_empty() {
            return Some(Expected::Refused);
        }
        // How near each is: 0 on an own network, 1 on a peer, 2 outside.
        let near = |place: &Option<(NetworkName, String)>| -> Option<u8> {
            let Some(clients) = clients else { return Some(0) };
            let mut near = clients.iter().filter_map(|own| match place {
                Some((network, _)) if own == network => Some(0),
                Some((network, _)) => self.networks.get(own)?.peers.contains(network).then_some(1),
                None => (!self.networks.get(own)?.is_internal).then_some(2),
            });
            let all: Vec<u8> = near.by_ref().collect();
            all.into_iter().min()
        };
        let mut reached: Vec<_> =
            servers.iter().filter_map(|(at, server)| Some((near(&server.place)?, *at, server.clone()))).collect();
        if reached.is_empty() {
            return None;
        }
        let all = reached.clone();
        // Of one container, the nearest interface.
        reached.retain(|(nearness, at, server)| match &server.place {
            None => true,
            Some((_, container)) => all.iter().all(|(other_nearness, other_at, other)| {
                other.place.as_ref().is_none_or(|(_, name)| name != container)
                    || (*nearness, at.0) <= (*other_nearness, other_at.0)
            }),
        });
        let backends = |is_wanted: &dyn Fn(bool) -> bool| -> BTreeSet<(IpAddr, u16)> {
            let fit: Vec<_> = reached.iter().filter(|(_, _, server)| is_wanted(server.is_local)).collect();
            let ready: BTreeSet<_> =
                fit.iter().filter(|(_, _, server)| server.is_ready).map(|(_, at, _)| *at).collect();
            let ending =
                fit.iter().filter(|(_, _, server)| server.is_serving && server.is_terminating).map(|(_, at, _)| *at);
            if ready.is_empty() { ending.collect() } else { ready }
        };
        let everywhere = backends(&|_| true);
        if everywhere.is_empty() {
            return Some(Expected::Refused);
        }
        let chosen = match service.internal_policy {
            TrafficPolicy::Cluster => everywhere,
            TrafficPolicy::Local => backends(&|is_local| is_local),
        };
        Some(if chosen.is_empty() { Expected::Elsewhere } else { Expected::Led(chosen) })
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Expected {
    Led(BTreeSet<(IpAddr, u16)>),
    Refused,
    Elsewhere,
}

/// The programs' maps, as changes make them.
#[derive(Default)]
struct Maps {
    frontends: BTreeMap<Frontend, weft_services::Target>,
    sets: BTreeMap<u32, weft_services::Set>,
}

impl Maps {
    fn write(&mut self, changes: weft_services::Changes) {
        self.sets.extend(changes.sets);
        for (frontend, target) in changes.frontends {
            match target {
                Some(target) => self.frontends.insert(frontend, target),
                None => self.frontends.remove(&frontend),
            };
        }
        for number in changes.gone.keys() {
            self.sets.remove(number).expect("what goes was there");
        }
    }

    fn found(&self, view: ViewNumber, address: IpAddr) -> Option<Expected> {
        let target = self.frontends.get(&Frontend { view, address, protocol: Protocol::TCP, port: 80 })?;
        if target.count == 0 {
            return Some(if target.is_elsewhere { Expected::Elsewhere } else { Expected::Refused });
        }
        let set = &self.sets[&target.set];
        assert_eq!(set.backends.len(), target.count as usize);
        Some(Expected::Led(set.backends.iter().map(|Backend { address, port }| (*address, *port)).collect()))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn sockets_are_led_as_the_rules_say(steps in proptest::collection::vec(step(), 1..40)) {
        let (mut world, mut catalog, mut maps) = (World::default(), Catalog::new(NODE), Maps::default());
        let clients: [BTreeSet<NetworkName>; 3] =
            [[network(0)].into(), [network(1)].into(), [network(0), network(2)].into()];
        let views: Vec<ViewNumber> = clients.iter().map(|networks| catalog.hold_view(networks.clone())).collect();
        for step in &steps {
            world.take(step, &mut catalog);
            maps.write(catalog.take_changes());
            for (n, vip) in VIP.iter().enumerate() {
                let vip: IpAddr = vip.parse().unwrap();
                let service = world.services.get(&key(n / 2));
                let expected = |networks: Option<&BTreeSet<NetworkName>>| world.expected(service?, networks, vip);
                prop_assert_eq!(maps.found(HOST, vip), expected(None), "the host, {} after {:?}", vip, step);
                for (view, networks) in views.iter().zip(&clients) {
                    let found = maps.found(*view, vip);
                    prop_assert_eq!(found, expected(Some(networks)), "{:?}, {} after {:?}", networks, vip, step);
                }
            }
            // What nobody names is not kept.
            let named = maps.frontends.values().map(|target| target.set).filter(|set| *set != 0);
            let named: BTreeSet<u32> = named.collect();
            prop_assert_eq!(named, maps.sets.keys().copied().collect::<BTreeSet<_>>());
        }
        let mut anew = Maps::default();
        anew.write(catalog.everything());
        prop_assert_eq!(anew.frontends, maps.frontends);
        prop_assert_eq!(anew.sets, maps.sets);
    }
}

#[test]
fn one_backend_costs_as_much_as_its_service_has_however_many_services_there_are() {
    let asked = |services: usize| {
        let mut catalog = Catalog::new(NODE);
        let (mut world, networks) = (World::default(), Step::Networks(vec![(false, Vec::new()); 3]));
        world.take(&networks, &mut catalog);
        for n in 0..services {
            let key = ServiceKey { namespace: "shop".to_owned(), name: format!("s{n}") };
            let port = ServicePort {
                name: String::new(),
                protocol: Protocol::TCP,
                number: 80,
                target: PortTarget::Number(80),
            };
            catalog.set_service(Service {
                key,
                addresses: vec![IpAddr::from([10, 9, (n / 250) as u8, (n % 250) as u8])],
                selector: [("app".to_owned(), n.to_string())].into(),
                ports: vec![port],
                affinity_s: None,
                internal_policy: TrafficPolicy::Cluster,
            });
        }
        catalog.take_changes();
        let born = Step::Endpoint { container: 0, interface: 0, network: 0, app: 7 };
        world.take(&born, &mut catalog);
        let changes = catalog.take_changes();
        (changes.asked, changes.frontends.len(), changes.sets.len())
    };
    // The host's view, and one for each network of which one reaches it.
    assert_eq!(asked(10), (4, 4, 1));
    assert_eq!(asked(1000), asked(10));
}

#[test]
fn a_port_keeps_its_number_whoever_counts() {
    let numbers = |names: [usize; 2]| {
        let mut catalog = Catalog::new(NODE);
        for name in names {
            let step = Step::Service { name, app: 0, target: 80, is_local: false };
            World::default().take(&step, &mut catalog);
        }
        catalog.take_changes();
        [0, 1].map(|name| catalog.number(&key(name), "web").unwrap())
    };
    let [one, other] = numbers([0, 1]);
    assert!(one != other && [one, other] == numbers([1, 0]));
}
