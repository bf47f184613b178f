//! What a change costs: as much as it changes, however much there is besides.

use weft_model::{
    Action, Labels, Namespaces, Peer, Policy, PolicyKey, PolicyKind, PolicyMode, Requirement, Rule, Scope, Selector,
    Tier,
};
use weft_policy::{Identity, View, Work, World};

/// Endpoints with labels of their own.
const IDENTITIES: usize = 8_000;
const NAMESPACES: usize = 80;

fn labelled(key: &str, value: &str) -> Selector {
    [Requirement::In(key.to_owned(), [value.to_owned()].into())].into_iter().collect()
}

fn identity(n: usize, app: &str) -> Identity {
    let labels = [("app", app.to_owned()), ("pod", n.to_string())];
    let labels: Labels = labels.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Identity { namespace: format!("ns{}", n % NAMESPACES), labels, ports: Vec::new() }
}

/// In each namespace, `app=web` gets what `app=front` there sends.
fn policy(namespace: usize) -> Policy {
    let own = Namespaces::Named(format!("ns{namespace}"));
    let from = Peer::Endpoints(Scope { namespaces: own.clone(), endpoints: labelled("app", "front") });
    let rule = Rule { name: String::new(), action: Action::Accept, peers: vec![from], ports: Vec::new() };
    Policy {
        key: PolicyKey { kind: PolicyKind::Namespaced, namespace: format!("ns{namespace}"), name: "web".to_owned() },
        mode: PolicyMode::Enforce,
        tier: Tier::Network,
        priority: 0,
        subject: Scope { namespaces: own, endpoints: labelled("app", "web") },
        ingress: Some(vec![rule]),
        egress: None,
    }
}

#[test]
fn a_label_that_changes_among_thousands_touches_what_it_selects() {
    let mut world = World::default();
    let app = |n: usize| ["web", "front", "db", "job"][n / NAMESPACES % 4];
    let numbers: Vec<_> = (0..IDENTITIES).map(|n| world.hold(identity(n, app(n)))).collect();
    (0..NAMESPACES).for_each(|namespace| world.set_policy(policy(namespace)));
    world.take_changes();

    // A job becomes a front: its namespace's set hears of it, and nobody else.
    let job = 3 * NAMESPACES;
    let front = world.hold(identity(job, "front"));
    world.release(numbers[job]);
    let changes = world.take_changes();
    assert_eq!(changes.work, Work { looked_at: 1, worked_out: 1 });
    assert_eq!(changes.peers.len(), 1, "{:?}", changes.peers);
    assert!(changes.tables.is_empty() && changes.blocks.is_empty());
    assert_eq!(changes.identities.len(), 1, "what it was; nothing holds for what it is");

    // A front becomes a web: it is selected, and looked for no more.
    let web = world.hold(identity(job, "web"));
    world.release(front);
    let changes = world.take_changes();
    assert_eq!(changes.work, Work { looked_at: 1, worked_out: 0 });
    assert_eq!(changes.peers.values().filter(|table| table.is_none()).count(), 1);
    assert!(world.sets(web, View::Enforced).is_ingress_isolated);
    let all = world.everything();
    assert_eq!(all.peers.len(), NAMESPACES * IDENTITIES / NAMESPACES / 4);
    assert_eq!(all.tables.len(), NAMESPACES, "one for each rule");
}

#[test]
fn a_policy_that_changes_touches_the_endpoints_that_it_selects() {
    let mut world = World::default();
    for n in 0..IDENTITIES {
        world.hold(identity(n, if (n / NAMESPACES).is_multiple_of(2) { "web" } else { "front" }));
    }
    (0..NAMESPACES).for_each(|namespace| world.set_policy(policy(namespace)));
    world.take_changes();
    let mut closed = policy(0);
    closed.ingress = Some(Vec::new());
    world.set_policy(closed);
    let changes = world.take_changes();
    let per_namespace = IDENTITIES / NAMESPACES;
    assert_eq!(changes.identities.len(), per_namespace / 2, "those that it selects");
    assert_eq!(changes.peers.len(), per_namespace / 2, "those that it accepted");
    assert!(changes.work.looked_at <= per_namespace as u64, "{:?}", changes.work);
}

#[test]
fn who_is_born_is_held_against_what_asks_for_its_labels() {
    let mut world = World::default();
    let own = || Namespaces::Named("ns0".to_owned());
    for n in 0..1000 {
        let key = PolicyKey { name: n.to_string(), ..policy(0).key };
        let subject = Scope { namespaces: own(), endpoints: labelled("app", &n.to_string()) };
        world.set_policy(Policy { key, subject, ..policy(0) });
    }
    world.hold(identity(0, "7"));
    world.take_changes();
    world.hold(identity(NAMESPACES, "7"));
    assert_eq!(world.take_changes().work.looked_at, 1);
}
