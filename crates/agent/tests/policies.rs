//! The loaded programs against the reference of `crates/policy`: random worlds, written to the maps as the agent writes
//! them, change by change, and asked about by trials.

#![allow(clippy::unwrap_used, reason = "a test that fails there says enough")]

#[path = "../../policy/tests/oracle/mod.rs"]
mod oracle;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;

use oracle::{Asked, NAMESPACES, PORTS, Reference, Step, steps};
use proptest::test_runner::{Config, TestRunner};
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::thread::UnshareFlags;
use weft_agent::policies::maps::{Maps, Subject, standing};
use weft_dataplane::{Admission, Dataplane, Door, Loaded, Opening, Telling, Trial, Verdict, abi};
use weft_model::{
    Action, MacAddr, Namespaces, Peer, Policy, PolicyKey, PolicyKind, PolicyMode, Protocol, Requirement, Rule, Scope,
    Tier, Way,
};
use weft_policy::{Identity, IdentityNumber, View, World};

/// Endpoints at most: as many have a link of the namespace's own to be behind.
const ENDPOINTS: usize = 6;
const NETWORK: u32 = 7;
const OUTSIDE: &str = "198.51.100.1";

/// What is known on all sides.
struct Host<'a> {
    dataplane: &'a Dataplane,
    trial: Trial,
    world: World,
    maps: Maps,
    reference: Reference,
    /// By the number of their link.
    endpoints: BTreeMap<u32, (IdentityNumber, Identity)>,
}

fn address(link: u32) -> IpAddr {
    format!("10.1.0.{link}").parse().unwrap()
}

fn mac(link: u32) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, link as u8])
}

impl Host<'_> {
    fn take(&mut self, step: Step) {
        match step {
            Step::Policy(policy) => {
                self.reference.policies.insert(policy.key.clone(), policy.clone());
                self.world.set_policy(policy);
            }
            Step::NoPolicy(key) => {
                self.reference.policies.remove(&key);
                self.world.remove_policy(&key);
            }
            Step::Namespace(namespace, labels) => {
                self.reference.namespaces.insert(NAMESPACES[namespace].to_owned(), labels.clone());
                self.world.set_namespace(NAMESPACES[namespace], labels);
            }
            Step::Hold(identity) => return self.admit(identity),
            Step::Release(place) => {
                if let Some(link) = self.endpoints.keys().nth(place).copied() {
                    self.dismiss(link);
                }
            }
        }
        self.write();
    }

    fn admit(&mut self, identity: Identity) {
        let free = (2..).take(ENDPOINTS).find(|link| !self.endpoints.contains_key(link));
        let Some(link) = free else { return };
        let number = self.world.hold(identity.clone());
        let subject = Subject { identity: number, mode: PolicyMode::Enforce };
        let changes = self.world.take_changes();
        self.maps.admit(self.dataplane, &self.world, changes, (link, subject)).unwrap();
        let admission = Admission {
            addresses: vec![address(link)],
            allowed: Vec::new(),
            mac: mac(link),
            network: NETWORK,
            mtu: 1500,
            isolated: false,
            by_stack: false,
            throttle: None,
            bridge: None,
            seat: None,
            leases: false,
        };
        self.dataplane.admit(link, &admission).unwrap();
        self.endpoints.insert(link, (number, identity));
    }

    fn dismiss(&mut self, link: u32) {
        let (number, _) = self.endpoints.remove(&link).unwrap();
        self.dataplane.dismiss(link).unwrap();
        self.maps.dismiss(self.dataplane, link).unwrap();
        self.world.release(number);
        self.write();
    }

    fn write(&mut self) {
        let changes = self.world.take_changes();
        self.maps.write(self.dataplane, &self.world, changes).unwrap();
    }

    /// About what is enforced; and about what would be if nothing were in audit, which is put in force for that.
    fn agree(&self) {
        self.agree_on(View::Enforced);
        let subjects = &self.dataplane.policies().subjects;
        for link in self.endpoints.keys() {
            let [own, other] = subjects.get(link).unwrap().unwrap().standings;
            assert_eq!(own, other, "nothing changes");
            let whole = |way: usize| if own.audited[way] == 0 { own.sets[way] } else { own.audited[way] };
            let flags = own.flags / (abi::SUBJECT_INGRESS_ISOLATED_AUDITED / abi::SUBJECT_INGRESS_ISOLATED);
            let standing = abi::standing { sets: [whole(0), whole(1)], flags, ..own };
            subjects.put(link, &abi::subject { standings: [standing; 2] }).unwrap();
        }
        self.dataplane.policies().renew().unwrap();
        self.agree_on(View::Whole);
        for link in self.endpoints.keys() {
            let own = standing(&self.world, self.maps.subject(*link).unwrap());
            subjects.put(link, &abi::subject { standings: [own; 2] }).unwrap();
        }
    }

    fn agree_on(&self, view: View) {
        for (link, (_, identity)) in &self.endpoints {
            for (protocol, port) in questions() {
                for (other, (_, of_other)) in self.endpoints.iter().filter(|(other, _)| *other != link) {
                    let asked = |own, way, other, address| {
                        let asked = Asked { own, view, way, other: Some(other), address, protocol, port };
                        self.reference.is_allowed(&asked)
                    };
                    let expected = asked(identity, Way::Egress, of_other, address(*other))
                        && asked(of_other, Way::Ingress, identity, address(*link));
                    let opening = opening(*link, address(*other), protocol, port);
                    let verdict = self.trial.sent_by(Door::Link(*link), &opening).unwrap();
                    let story = format!("{identity:?} to {of_other:?}, {protocol} {port}: {verdict:?}");
                    assert_eq!(verdict == Verdict::Short, expected, "{story}");
                    assert!(expected || is_policys(verdict), "{story}");
                }
                self.agree_about_the_outside(view, *link, identity, (protocol, port));
            }
        }
    }

    fn agree_about_the_outside(&self, view: View, link: u32, identity: &Identity, (protocol, port): (Protocol, u16)) {
        let outside: IpAddr = OUTSIDE.parse().unwrap();
        let asked = |way| Asked { own: identity, view, way, other: None, address: outside, protocol, port };
        let sent = self.trial.sent_by(Door::Link(link), &opening(link, outside, protocol, port)).unwrap();
        assert_eq!(sent == Verdict::Passed, self.reference.is_allowed(&asked(Way::Egress)), "{identity:?} {sent:?}");
        let opening = Opening { from: outside, ..opening(link, address(link), protocol, port) };
        let got = self.trial.sent_to(Door::Link(link), &opening, false).unwrap();
        assert_eq!(got == Verdict::Passed, self.reference.is_allowed(&asked(Way::Ingress)), "{identity:?} {got:?}");
        let by_host = self.trial.sent_to(Door::Link(link), &opening, true).unwrap();
        assert_eq!(by_host, Verdict::Passed, "the host reaches its own");
    }
}

fn is_policys(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Dropped { reason: abi::REASON_POLICY_INGRESS | abi::REASON_POLICY_EGRESS, .. })
}

fn opening(link: u32, to: IpAddr, protocol: Protocol, port: u16) -> Opening {
    let to = SocketAddr::new(to, port);
    Opening { from: address(link), mac: mac(link), to_mac: MacAddr::NONE, to, protocol }
}

fn questions() -> impl Iterator<Item = (Protocol, u16)> {
    let ported = [Protocol::TCP, Protocol::UDP].into_iter();
    ported.flat_map(|protocol| PORTS.map(|port| (protocol, port))).chain([(Protocol::ICMP, 0)])
}

/// A BPF file system and links that nobody but this thread sees, and that go with it.
fn private_host() -> Dataplane {
    // SAFETY: the thread has no file system state that another one relies on.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::NEWNET) }.expect("unshare (as root)");
    for pair in 0..ENDPOINTS / 2 {
        let words = format!("link add a{pair} type veth peer b{pair}");
        assert!(Command::new("ip").args(words.split(' ')).status().unwrap().success());
    }
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
    rustix::mount::mount("bpf", "/sys/fs/bpf", "bpf", MountFlags::empty(), None).unwrap();
    let dataplane = Loaded::load("/sys/fs/bpf/weft".as_ref(), Telling::Flows).unwrap().enforce().unwrap();
    dataplane.set_short_way(true).unwrap();
    dataplane
}

#[test]
fn the_programs_decide_as_the_reference_does() {
    let dataplane = private_host();
    let config = Config { cases: 60, failure_persistence: None, ..Config::default() };
    let ran = TestRunner::new(config).run(&steps(), |steps| {
        let (world, maps, reference) = (World::default(), Maps::default(), Reference::default());
        let trial = dataplane.trial().unwrap();
        let mut host = Host { dataplane: &dataplane, trial, world, maps, reference, endpoints: BTreeMap::new() };
        steps.into_iter().for_each(|step| host.take(step));
        host.agree();
        let keys: Vec<_> = host.reference.policies.keys().cloned().collect();
        keys.into_iter().for_each(|key| host.take(Step::NoPolicy(key)));
        host.agree();
        host.endpoints.keys().copied().collect::<Vec<_>>().into_iter().for_each(|link| host.dismiss(link));
        let maps = dataplane.policies();
        assert!(maps.peers.keys().is_empty() && maps.blocks.keys().is_empty() && maps.ports.keys().is_empty());
        Ok(())
    });
    ran.unwrap();
}

/// Endpoints of other hosts, with labels of their own.
const ELSEWHERE: usize = 8_000;
const SPACES: usize = 80;
const FLAPS: usize = 4_000;

/// `app=web` of a namespace gets what `app=front` there sends.
fn web(space: usize) -> Policy {
    let in_space = |app: &str| Scope {
        namespaces: Namespaces::Named(format!("ns{space}")),
        endpoints: [Requirement::In("app".to_owned(), [app.to_owned()].into())].into_iter().collect(),
    };
    let peers = vec![Peer::Endpoints(in_space("front"))];
    let rule = Rule { name: String::new(), action: Action::Accept, peers, ports: Vec::new() };
    Policy {
        key: PolicyKey { kind: PolicyKind::Namespaced, namespace: format!("ns{space}"), name: "web".to_owned() },
        mode: PolicyMode::Enforce,
        tier: Tier::Network,
        priority: 0,
        subject: in_space("web"),
        ingress: Some(vec![rule]),
        egress: None,
    }
}

fn elsewhere(number: usize, app: &str) -> Identity {
    let labels = [("app".to_owned(), app.to_owned()), ("number".to_owned(), number.to_string())].into();
    Identity { namespace: format!("ns{}", number % SPACES), labels, ports: Vec::new() }
}

#[test]
fn labels_that_flap_on_thousands_elsewhere_cost_what_they_touch_and_the_maps_follow() {
    let dataplane = private_host();
    let (mut world, mut maps) = (World::default(), Maps::default());
    let app = |number: usize| if (number / SPACES).is_multiple_of(2) { "front" } else { "job" };
    let mut numbers: Vec<_> = (0..ELSEWHERE).map(|number| world.hold(elsewhere(number, app(number)))).collect();
    (0..SPACES).for_each(|space| world.set_policy(web(space)));
    // One of them is here.
    let identity = world.hold(elsewhere(0, "web"));
    let changes = world.take_changes();
    maps.admit(&dataplane, &world, changes, (2, Subject { identity, mode: PolicyMode::Enforce })).unwrap();
    let half = dataplane.policies().half().unwrap();
    for flap in 0..FLAPS {
        let number = flap * 7 % ELSEWHERE;
        let other = if app(number) == "front" { "job" } else { "front" };
        for app in [other, app(number)] {
            let held = world.hold(elsewhere(number, app));
            world.release(std::mem::replace(&mut numbers[number], held));
            let changes = world.take_changes();
            assert!(changes.peers.len() <= 1 && changes.tables.is_empty() && changes.blocks.is_empty(), "{changes:?}");
            maps.write(&dataplane, &world, changes).unwrap();
        }
    }
    assert_eq!(dataplane.policies().half().unwrap(), half, "nobody here has to be looked at again");
    let mut written = BTreeMap::new();
    let note = |key: abi::policy_peer, said: abi::policy_said| {
        written.insert((key.set, key.identity), said.tables);
    };
    dataplane.policies().peers.each(note).unwrap();
    let known = world.everything().peers.into_iter().map(|(key, table)| (key, [table.unwrap(); 2])).collect();
    assert_eq!(written, known);
    assert_eq!(written.len(), ELSEWHERE / SPACES / 2, "who may reach the one that is here");
}
