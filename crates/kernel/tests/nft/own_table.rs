//! weft's own table: written, read by `nft`, and told apart from anything else by its digest.

use weft_kernel::nft::{Field, Hook, HookPoint, Match, Nft, OWN_TABLE, Policy, State, Statement, Table};
use weft_netns::Netns;

use crate::world::*;

/// Every kind of match and statement once.
fn everything() -> Table {
    use Field::*;
    use Match::{Is, Not};
    use Statement::*;
    let forwarded = vec![
        rule("known", vec![Is(State(vec![self::State::Established, self::State::Related]))], vec![Counter, Accept]),
        rule("broken", vec![Is(State(vec![self::State::Invalid]))], vec![Drop]),
        rule("not new", vec![Not(State(vec![self::State::New]))], vec![Return]),
        rule("published", vec![Is(DestinationTranslated)], vec![Accept]),
        rule("not published", vec![Not(DestinationTranslated)], vec![Counter]),
        rule("web", vec![Is(Input(prefixed("weft"))), Not(Output(named("eth0")))], vec![Jump("web".to_owned())]),
        rule("udp", vec![Is(Protocol(17)), Not(Protocol(6))], vec![Counter]),
        rule("ping", vec![Is(Icmp(8))], vec![Accept]),
        rule("ping6", vec![Not(Icmpv6(128))], vec![Accept]),
        rule("", vec![], vec![Counter, Drop]),
    ];
    let translated = vec![
        rule("out", vec![Is(source("10.64.0.0/16")), Not(destination("10.64.0.0/16"))], vec![Masquerade]),
        rule("out6", vec![Is(source("fd64::/48")), Not(destination("fd64::1/128"))], vec![Masquerade]),
        rule("fixed", vec![Is(source("10.65.0.7/23"))], vec![SourceNat([192, 0, 2, 1].into())]),
        rule("fixed6", vec![Is(source("::/0"))], vec![SourceNat("2001:db8::1".parse().expect("an address"))]),
    ];
    table(vec![
        chain("forward", forward(Policy::Drop), forwarded),
        chain("postrouting", postrouting(), translated),
        chain("web", None, vec![rule("end", vec![], vec![Return])]),
    ])
}

fn installed(table: &Table) -> (Netns, Nft) {
    let (netns, mut nft) = empty();
    nft.replace(table).expect("replaced");
    (netns, nft)
}

#[test]
fn nft_reads_what_was_meant() {
    let (netns, _nft) = installed(&everything());
    let expected = r#"
table inet weft {
chain forward {
type filter hook forward priority filter; policy drop;
ct state established,related counter accept comment "known"
ct state invalid drop comment "broken"
ct state ! new return comment "not new"
ct status dnat accept comment "published"
ct status ! dnat counter comment "not published"
iifname "weft*" oifname != "eth0" jump web comment "web"
meta l4proto udp meta l4proto != tcp counter comment "udp"
icmp type echo-request accept comment "ping"
icmpv6 type != echo-request accept comment "ping6"
counter drop
}

chain postrouting {
type nat hook postrouting priority srcnat; policy accept;
ip saddr 10.64.0.0/16 ip daddr != 10.64.0.0/16 masquerade comment "out"
ip6 saddr fd64::/48 ip6 daddr != fd64::1 masquerade comment "out6"
ip saddr 10.65.0.0/23 snat ip to 192.0.2.1 comment "fixed"
ip6 saddr ::/0 snat ip6 to 2001:db8::1 comment "fixed6"
}

chain web {
return comment "end"
}
}"#;
    assert_eq!(listing(&netns).join("\n"), expected.trim_start());
}

#[test]
fn replacing_leaves_exactly_this_table_and_no_other_touched() {
    let (netns, mut nft) = installed(&everything());
    run(&netns, "nft -f -", "table inet other { chain kept { counter drop; }; }\n");
    run(&netns, "nft -f -", "table inet weft { chain stray { drop; }; set s { type ipv4_addr; }; }\n");
    nft.replace(&everything()).expect("replaced");
    let first = listing(&netns);
    nft.replace(&everything()).expect("replaced again");
    assert_eq!(listing(&netns), first);
    assert!(!first.contains(&"chain stray {".to_owned()) && first.contains(&"chain kept {".to_owned()));
    nft.delete(OWN_TABLE).expect("deleted");
    nft.delete(OWN_TABLE).expect("nothing to delete");
    assert_eq!(listing(&netns).join(" "), "table inet other { chain kept { counter drop } }");
}

#[test]
fn the_digest_of_the_installed_is_the_digest_of_the_wanted() {
    let (netns, mut nft) = empty();
    assert_eq!(nft.digest(OWN_TABLE).expect("read"), None);
    let bare = table(vec![]);
    let mut reordered = everything();
    reordered.chains.reverse();
    let mut rehooked = everything();
    let moved = rehooked.chains[0].hook.as_mut().expect("hooked");
    *moved = Hook { at: HookPoint::Output, priority: -10, ..*moved };
    let mut longest = everything();
    longest.chains[1].rules[1].matches = vec![Match::Not(source("fd64::/48")); 30];
    for table in [everything(), bare, everything(), reordered, rehooked, longest, everything()] {
        nft.replace(&table).expect("replaced");
        assert_eq!(nft.digest(OWN_TABLE).expect("read"), Some(table.digest().expect("sayable")));
    }
    nft.delete(OWN_TABLE).expect("deleted");
    assert_eq!(nft.digest(OWN_TABLE).expect("read"), None);
    assert_eq!(listing(&netns), Vec::<String>::new());
}

#[test]
fn chains_that_stay_are_kept_and_strays_that_jump_are_not() {
    let (netns, mut nft) = installed(&everything());
    let before = run(&netns, "nft -a list table inet weft", "");
    run(
        &netns,
        "nft -f -",
        "table inet weft { chain stray { jump web; }; chain web { jump postweb; }; chain postweb { }; }\n",
    );
    nft.replace(&everything()).expect("replaced");
    let after = run(&netns, "nft -a list table inet weft", "");
    let chains =
        |text: &str| text.lines().filter(|line| line.contains("chain ")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(chains(&after), chains(&before));
}

#[test]
fn two_writers_do_not_trip_over_each_other() {
    let (netns, mut nft) = empty();
    let mut bare = everything();
    bare.chains.truncate(1);
    bare.chains[0].rules.clear();
    std::thread::scope(|scope| {
        let mut other = open(&netns);
        scope.spawn(move || (0..200).for_each(|_| other.replace(&bare).expect("replaced")));
        (0..200).for_each(|_| nft.replace(&everything()).expect("replaced"));
    });
    nft.replace(&everything()).expect("replaced");
    assert_eq!(nft.digest(OWN_TABLE).expect("read"), Some(everything().digest().expect("sayable")));
}

#[test]
fn the_digest_changes_with_whatever_another_hand_changes() {
    let (netns, mut nft) = empty();
    let wanted = everything();
    let changes = [
        "flush chain inet weft web",
        "flush table inet weft",
        "add rule inet weft web drop",
        "insert rule inet weft web drop",
        "add rule inet weft web log",
        "replace rule inet weft web handle 19 return",
        "delete rule inet weft forward handle 5",
        "replace rule inet weft forward handle 5 ct state established counter accept comment \"known\"",
        "chain inet weft forward { policy accept; }",
        "add chain inet weft more",
        "add set inet weft s { type ipv4_addr; }",
        "add table inet weft { flags dormant; }",
        "delete table inet weft",
    ];
    for change in changes {
        nft.replace(&wanted).expect("replaced");
        let handle = |line: &str| first_handle(&netns, line);
        let change = change.replace("handle 5", &handle("known")).replace("handle 19", &handle("end"));
        run(&netns, "nft -f -", &change);
        assert_ne!(nft.digest(OWN_TABLE).expect("read"), Some(wanted.digest().expect("sayable")), "{change}");
    }
}

/// `handle N` of the rule with this comment.
fn first_handle(netns: &Netns, comment: &str) -> String {
    let listing = run(netns, "nft -a list table inet weft", "");
    let marked = format!("comment \"{comment}\"");
    let line = listing.lines().find(|line| line.contains(&marked)).expect("the rule is there");
    line.rsplit("# ").next().expect("a handle").to_owned()
}

#[test]
fn counting_packets_is_no_change() {
    let world = World::new();
    let mut nft = world.nft();
    let counted = vec![rule("all", vec![], vec![Statement::Counter, Statement::Accept])];
    let table = table(vec![chain("forward", forward(Policy::Accept), counted)]);
    nft.replace(&table).expect("replaced");
    assert!(world.seen_by_right(RIGHT_V4).is_some());
    assert!(run(&world.router, "nft list ruleset", "").contains("counter packets 1 "));
    assert_eq!(nft.digest(OWN_TABLE).expect("read"), Some(table.digest().expect("sayable")));
}

#[test]
fn two_hundred_rules_are_one_transaction() {
    let rules = (0..200).map(|n: u8| {
        let matches = vec![Match::Is(source(&format!("10.{n}.0.0/16"))), Match::Not(destination("fd64::/64"))];
        rule(&format!("pool {n}"), matches, vec![Statement::Counter, Statement::Drop])
    });
    let table = table(vec![chain("forward", forward(Policy::Accept), rules.collect())]);
    let (netns, mut nft) = installed(&table);
    assert_eq!(listing(&netns).iter().filter(|line| line.contains("pool")).count(), 200);
    assert_eq!(nft.digest(OWN_TABLE).expect("read"), Some(table.digest().expect("sayable")));
}

#[test]
fn a_refusal_names_the_rule_and_changes_nothing() {
    let (netns, mut nft) = installed(&everything());
    let before = listing(&netns);
    let astray = rule("astray", vec![], vec![Statement::Jump("nowhere".to_owned())]);
    let rules = vec![rule("fine", vec![], vec![Statement::Accept]), astray];
    let error = nft.replace(&table(vec![chain("forward", forward(Policy::Drop), rules)])).expect_err("no such chain");
    assert!(error.is_absent());
    let expected = "cannot add rule \"astray\" in chain inet weft forward: No such file or directory (os error 2)";
    assert_eq!(error.to_string(), expected);
    assert_eq!(listing(&netns), before);
    nft.replace(&everything()).expect("the socket is as good as before");
}

#[test]
fn every_rule_refused_is_one_error_about_the_first() {
    let (_netns, mut nft) = empty();
    let astray = |n: u32| rule(&format!("astray {n}"), vec![], vec![Statement::Jump("nowhere".to_owned())]);
    let table = table(vec![chain("forward", forward(Policy::Drop), (0..2000).map(astray).collect())]);
    let error = nft.replace(&table).expect_err("no such chain");
    assert!(error.to_string().contains("\"astray 0\""), "{error}");
    assert_eq!(nft.digest(OWN_TABLE).expect("read"), None);
}

#[test]
fn the_kernels_own_words_are_passed_on() {
    let (_netns, mut nft) = empty();
    let mut named_too_long = everything();
    named_too_long.name = "t".repeat(300);
    let error = nft.replace(&named_too_long).expect_err("too long a name");
    // Linux 6.1 has none for this.
    let is_silent = rustix::system::uname().release().to_bytes().starts_with(b"6.1.");
    let words = if is_silent { "" } else { ": Attribute failed policy validation" };
    assert!(error.to_string().ends_with(&format!("(os error 34){words}")), "{error}");
}

#[test]
fn what_cannot_be_said_is_not_sent() {
    let (_netns, mut nft) = empty();
    let long = rule(&"c".repeat(129), vec![], vec![Statement::Accept]);
    let unnameable = rule("if", vec![Match::Is(Field::Input(named("an-interface-too-long")))], vec![]);
    let endless = rule("endless", vec![Match::Is(source("10.0.0.1/32")); 64], vec![]);
    let huge = rule("huge", vec![], vec![Statement::Jump("c".repeat(70_000))]);
    for (rule, reason) in [
        (long, "its comment is too long"),
        (unnameable, "an interface name is empty or too long"),
        (endless, "it has too many matches"),
        (huge, "it is too long for one message"),
    ] {
        let table = table(vec![chain("forward", forward(Policy::Accept), vec![rule])]);
        let error = nft.replace(&table).expect_err(reason).to_string();
        assert!(error.ends_with(reason), "{error}");
        assert_eq!(table.digest().expect_err(reason).to_string(), error);
    }
    assert_eq!(nft.digest(OWN_TABLE).expect("read"), None);
}
