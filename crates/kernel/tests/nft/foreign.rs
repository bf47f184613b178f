//! The forward chains of Docker, firewalld, ufw and others, as their owners write them.

use weft_kernel::nft::{ChainRef, Family, Field, ForwardChain, Match, Policy, State};
use weft_netns::Netns;

use crate::world::*;

/// What dockerd 24 writes with iptables-nft, and its IPv6 sister.
const DOCKER: &str = "*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
-A DOCKER-USER -j RETURN
COMMIT
";

/// The forward path of ufw with its defaults.
const UFW: &str = "*filter
:FORWARD DROP [0:0]
:ufw-before-forward - [0:0]
:ufw-after-forward - [0:0]
-A FORWARD -j ufw-before-forward
-A FORWARD -j ufw-after-forward
-A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-forward -p icmp --icmp-type 8 -j ACCEPT
COMMIT
";

/// The forward path of firewalld 1.x: policy accept, and a last rule that rejects the rest.
const FIREWALLD: &str = "table inet firewalld {
    chain filter_FORWARD {
        type filter hook forward priority filter + 10; policy accept;
        ct state { established, related } accept
        ct status dnat accept
        iifname \"lo\" accept
        ct state invalid drop
        jump filter_FORWARD_POLICIES
        log counter reject with icmpx admin-prohibited
    }
    chain filter_FORWARD_POLICIES {
        accept
    }
}
";

fn at(family: Family, table: &str, chain: &str) -> ChainRef {
    ChainRef { family, table: table.to_owned(), chain: chain.to_owned() }
}

fn closed(at: ChainRef, policy: Policy, priority: i32) -> ForwardChain {
    ForwardChain { at, priority, policy, refuses: true, reserved: None }
}

fn inward() -> Vec<Match> {
    vec![Match::Is(Field::Output(prefixed("weft")))]
}

fn outward() -> Vec<Match> {
    vec![Match::Is(Field::Input(prefixed("weft")))]
}

/// Finds the one foreign chain, puts both accepts where they belong twice, and takes them away again.
fn marks_and_unmarks(world: &World, expected: &ForwardChain) -> Vec<String> {
    let mut nft = world.nft();
    assert_eq!(nft.forward_chains().expect("listed"), std::slice::from_ref(expected));
    assert_eq!(world.seen_by_right(RIGHT_V4), None);
    let before = listing(&world.router);
    for fresh in [true, false] {
        assert_eq!(nft.insert_accept(expected.place(), &outward(), "weft out").expect("inserted"), fresh);
        assert_eq!(nft.insert_accept(expected.place(), &inward(), "weft in").expect("inserted"), fresh);
    }
    assert!(world.seen_by_right(RIGHT_V4).is_some());
    assert!(world.seen_by_left(LEFT_V4).is_some());
    let marked = listing(&world.router);
    assert_eq!(marked.len(), before.len() + 2);
    let accepts = nft.accepts("weft out").expect("listed");
    assert_eq!(accepts.iter().map(|accept| &accept.at).collect::<Vec<_>>(), [expected.place()]);
    for comment in ["weft out", "weft in", "weft in"] {
        nft.remove_accepts(comment).expect("removed");
        assert_eq!(nft.accepts(comment).expect("listed"), []);
    }
    assert_eq!(listing(&world.router), before);
    marked
}

/// What iptables prints of `chain` beyond the line that declares it.
fn iptables_rules(netns: &Netns, chain: &str) -> Vec<String> {
    run(netns, &format!("iptables-nft -S {chain}"), "").lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn docker_keeps_a_place_for_us() {
    let world = World::new();
    run(&world.router, "iptables-nft-restore", DOCKER);
    let mut chain = closed(at(Family::Ip, "filter", "FORWARD"), Policy::Drop, 0);
    chain.reserved = Some(at(Family::Ip, "filter", "DOCKER-USER"));
    let marked = marks_and_unmarks(&world, &chain);
    let place = marked.iter().position(|line| line == "chain DOCKER-USER {").expect("listed");
    assert_eq!(marked[place + 2], "iifname \"weft*\" counter accept comment \"weft out\"");
}

#[test]
fn ufw_and_firewalld_get_it_into_the_chain_itself() {
    let world = World::new();
    run(&world.router, "iptables-nft-restore", UFW);
    marks_and_unmarks(&world, &closed(at(Family::Ip, "filter", "FORWARD"), Policy::Drop, 0));
    let world = World::new();
    run(&world.router, "nft -f -", &FIREWALLD.replace("accept\n    }\n}", "continue\n    }\n}"));
    let chain = closed(at(Family::Inet, "firewalld", "filter_FORWARD"), Policy::Accept, 10);
    marks_and_unmarks(&world, &chain);
}

#[test]
fn iptables_goes_on_listing_and_saving_our_accept() {
    let (netns, mut nft) = empty();
    run(&netns, "iptables-nft-restore", DOCKER);
    let user = at(Family::Ip, "filter", "DOCKER-USER");
    let precise = vec![
        Match::Is(Field::Input(prefixed("weft"))),
        Match::Not(Field::Output(named("eth0"))),
        Match::Is(source("10.64.0.0/12")),
        Match::Not(destination("10.64.0.1/32")),
        Match::Is(Field::Protocol(6)),
    ];
    nft.insert_accept(&user, &precise, "weft precise").expect("inserted");
    nft.insert_accept(&at(Family::Ip, "filter", "FORWARD"), &outward(), "weft out").expect("inserted");
    let expected = "-A DOCKER-USER -s 10.64.0.0/12 ! -d 10.64.0.1/32 -i weft+ ! -o eth0 -p tcp \
                    -m comment --comment \"weft precise\" -j ACCEPT";
    assert_eq!(iptables_rules(&netns, "DOCKER-USER"), [expected, "-A DOCKER-USER -j RETURN"]);
    let forward = iptables_rules(&netns, "FORWARD");
    assert_eq!(forward[0], "-A FORWARD -i weft+ -m comment --comment \"weft out\" -j ACCEPT");
    assert!(run(&netns, "iptables-nft -L -v -n", "").contains("/* weft out */"));
    run(&netns, "ip6tables-nft-restore", DOCKER);
    let user = at(Family::Ip6, "filter", "DOCKER-USER");
    nft.insert_accept(&user, &[Match::Not(source("fd64::/61"))], "weft out").expect("inserted");
    let listed = run(&netns, "ip6tables-nft -S DOCKER-USER", "");
    assert!(listed.contains("-A DOCKER-USER ! -s fd64::/61 -m comment --comment \"weft out\" -j ACCEPT\n"), "{listed}");
}

#[test]
fn an_accept_that_iptables_saved_and_restored_is_still_ours() {
    let (netns, mut nft) = empty();
    run(&netns, "iptables-nft-restore", DOCKER);
    let user = at(Family::Ip, "filter", "DOCKER-USER");
    nft.insert_accept(&user, &outward(), "weft out").expect("inserted");
    let saved = run(&netns, "iptables-nft-save", "");
    run(&netns, "iptables-nft-restore", &saved);
    assert!(!nft.insert_accept(&user, &outward(), "weft out").expect("found"));
    assert_eq!(nft.accepts("weft out").expect("listed").len(), 1);
    nft.remove_accepts("weft out").expect("removed");
    assert_eq!(iptables_rules(&netns, "DOCKER-USER"), ["-A DOCKER-USER -j RETURN"]);
}

#[test]
fn what_iptables_could_not_list_is_refused() {
    let (netns, mut nft) = empty();
    run(&netns, "iptables-nft-restore", DOCKER);
    let user = at(Family::Ip, "filter", "DOCKER-USER");
    let known = [Match::Is(Field::State(vec![State::Established]))];
    let error = nft.insert_accept(&user, &known, "weft known").expect_err("not listable");
    let expected = "rule \"weft known\" in chain ip filter DOCKER-USER cannot be written: iptables could not list it";
    assert_eq!(error.to_string(), expected);
    nft.insert_accept(&user, &outward(), "").expect_err("not to be found again");
    nft.insert_accept(&user, &[Match::Is(source("fd64::/64"))], "weft").expect_err("IPv6 in an IPv4 table");
    let error = nft.insert_accept(&at(Family::Ip, "filter", "GONE"), &outward(), "weft").expect_err("no such chain");
    assert!(error.is_absent(), "{error}");
}

#[test]
fn every_family_is_seen_and_only_closed_chains_are_called_so() {
    let (netns, mut nft) = empty();
    nft.replace(&table(vec![chain("forward", forward(Policy::Drop), vec![])])).expect("replaced");
    run(&netns, "ip6tables-nft-restore", DOCKER);
    run(&netns, "iptables-nft -A FORWARD -j REJECT", "");
    run(
        &netns,
        "nft -f -",
        "add table bridge filter
         add chain bridge filter through { type filter hook forward priority -5; policy drop; }
         add table inet open
         add chain inet open through { type filter hook forward priority 7; }
         add rule inet open through iifname \"x\" drop
         add chain inet open inward { type filter hook input priority 0; policy drop; }
         add table arp filter
         add chain arp filter inward { type filter hook input priority 0; policy drop; }\n",
    );
    let mut docker6 = closed(at(Family::Ip6, "filter", "FORWARD"), Policy::Drop, 0);
    docker6.reserved = Some(at(Family::Ip6, "filter", "DOCKER-USER"));
    let open = ForwardChain { refuses: false, ..closed(at(Family::Inet, "open", "through"), Policy::Accept, 7) };
    let mut found = nft.forward_chains().expect("listed");
    found.sort_by_key(|chain| chain.at.clone());
    let expected = [
        open,
        closed(at(Family::Ip, "filter", "FORWARD"), Policy::Accept, 0),
        closed(at(Family::Bridge, "filter", "through"), Policy::Drop, -5),
        docker6,
    ];
    assert_eq!(found, expected);
    for chain in found {
        assert!(nft.insert_accept(chain.place(), &outward(), "weft").expect("inserted"));
    }
    let bridge = at(Family::Bridge, "filter", "through");
    nft.insert_accept(&bridge, &[Match::Is(source("10.64.0.0/16"))], "weft v4").expect("inserted");
    nft.insert_accept(&bridge, &[Match::Is(source("fd64::/64"))], "weft v6").expect("inserted");
    let listing = listing(&netns);
    assert!(listing.iter().any(|line| line.starts_with("ip saddr 10.64.0.0/16 counter accept")), "{listing:?}");
    assert!(listing.iter().any(|line| line.starts_with("ip6 saddr fd64::/64 counter accept")), "{listing:?}");
    assert_eq!(nft.accepts("weft").expect("listed").len(), 4);
    nft.remove_accepts("weft").expect("removed");
    assert_eq!(nft.accepts("weft").expect("listed"), []);
}
