//! Who has a say about packets from one endpoint to another.

use weft_kernel::nft::Policy;

use crate::world::*;

/// What Debian's portmap writes with iptables-nft for one published port.
const PORTMAP: &str = "*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:CNI-HOSTPORT-DNAT - [0:0]
:CNI-HOSTPORT-MASQ - [0:0]
:CNI-HOSTPORT-SETMARK - [0:0]
:CNI-DN-0123456789 - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A POSTROUTING -m comment --comment \"CNI portfwd requiring masquerade\" -j CNI-HOSTPORT-MASQ
-A CNI-DN-0123456789 -s 10.1.0.0/24 -p tcp -m tcp --dport 8080 -j CNI-HOSTPORT-SETMARK
-A CNI-DN-0123456789 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.1.0.2:80
-A CNI-HOSTPORT-DNAT -p tcp -m multiport --dports 8080 -j CNI-DN-0123456789
-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE
-A CNI-HOSTPORT-SETMARK -j MARK --set-xmark 0x2000/0x2000
COMMIT
";

/// What Debian's firewall plugin writes.
const FIREWALL: &str = "*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:CNI-ADMIN - [0:0]
:CNI-FORWARD - [0:0]
-A FORWARD -m comment --comment \"CNI firewall plugin rules\" -j CNI-FORWARD
-A CNI-FORWARD -m comment --comment \"CNI firewall plugin admin overrides\" -j CNI-ADMIN
-A CNI-FORWARD -d 10.1.0.2/32 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A CNI-FORWARD -s 10.1.0.2/32 -j ACCEPT
COMMIT
";

/// The chain that has a say when `script` is all that `tool` was told, and weft's own table is there.
fn say(tool: &str, script: &str) -> Option<String> {
    let (netns, mut nft) = empty();
    nft.replace(&table(vec![chain("forward", forward(Policy::Drop), vec![])])).expect("replaced");
    run(&netns, tool, script);
    nft.chain_with_a_say().expect("read").map(|chain| chain.to_string())
}

#[test]
fn rules_about_the_host_s_own_addresses_have_none() {
    assert_eq!(say("nft -f -", ""), None, "our own table is none of the others'");
    assert_eq!(say("iptables-nft-restore", PORTMAP), None);
    let native = "table ip nat {
        chain pre { type nat hook prerouting priority -100; fib daddr type local tcp dport 8080 dnat to 10.1.0.2:80; }
        chain post { type nat hook postrouting priority 100; meta mark & 0x2000 == 0x2000 masquerade; }
        chain marked { type filter hook forward priority 0; meta mark 7 drop; }
        chain to_host { type filter hook input priority 0; policy drop; }
        chain from_host { type filter hook output priority 0; ip daddr 10.0.0.0/8 drop; }
        chain nothing { type filter hook forward priority 1; policy accept; }
        chain unused { drop; }
    }";
    assert_eq!(say("nft -f -", native), None);
}

#[test]
fn any_other_rule_has_one() {
    let forward = "chain ip filter FORWARD";
    assert_eq!(say("iptables-nft-restore", FIREWALL).as_deref(), Some(forward));
    let policy = "*filter\n:FORWARD DROP [0:0]\nCOMMIT\n";
    assert_eq!(say("iptables-nft-restore", policy).as_deref(), Some(forward));
    let elsewhere = "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -m addrtype ! --dst-type LOCAL -j ACCEPT\nCOMMIT\n";
    assert_eq!(say("iptables-nft-restore", elsewhere).as_deref(), Some("chain ip nat PREROUTING"));
    for rule in [
        "tcp dport 80 redirect to 8080",
        "fib saddr type local accept",
        "fib daddr type != local accept",
        "meta mark != 7 drop",
        "meta mark 0 drop",
        "goto rest",
    ] {
        let rest = "table inet t { chain rest { accept; }";
        let script = format!("{rest}; chain pre {{ type nat hook prerouting priority -100; {rule}; }}; }}");
        assert_eq!(say("nft -f -", &script).as_deref(), Some("chain inet t pre"), "{rule}");
    }
    let bridged = "table bridge t { chain c { type filter hook forward priority 0; ether type arp drop; }; }";
    assert_eq!(say("nft -f -", bridged).as_deref(), Some("chain bridge t c"));
}
