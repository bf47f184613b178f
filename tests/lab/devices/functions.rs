//! Virtual functions (SR-IOV) of a real card: what its physical one has them do for as long as a container has one, and
//! that all is as it was afterwards.

use serde_json::{Value, json};
use weft_lab::Host;
use weft_tests::{Api, Call, assert_deserted, namespaces, pings, until};

use super::{NICS_VARIABLE, SWITCH, has_nobody, link_of, nic, on_machine};

/// The machine's card, by its PCI address: set where it is there for these tests (scripts/vm/suites).
const CARD_VARIABLE: &str = "WEFT_TEST_CARD";
/// What containers wish to be called.
const WISHED: &str = "02:00:00:00:00:99";

/// The PCI address of the card; what is to be skipped is told.
fn card(test: &str) -> Option<String> {
    let found = std::env::var(CARD_VARIABLE).ok();
    if found.is_none() {
        let reason = format!("no card with virtual functions may be given away: {CARD_VARIABLE} names none");
        weft_tests::skip(&format!("devices::functions::{test}"), &reason);
    }
    found
}

/// A card that a host has: its physical function as `pf0`, and two virtual ones as `vf0` and `vf1`.
struct Card<'a> {
    address: String,
    host: &'a Host,
}

impl<'a> Card<'a> {
    fn plug(address: String, host: &'a Host) -> Self {
        let card = Self { address, host };
        let pf = card.take("", "pf0");
        // The physical function answers in its mailbox from when it is raised, and a driver asks there at once.
        card.write("sriov_drivers_autoprobe", "0");
        card.write("sriov_numvfs", "2");
        card.write("sriov_drivers_autoprobe", "1");
        host.run(&["ip", "link", "set", &pf, "up"]).unwrap();
        card.has_carrier(&pf);
        for n in 0..2 {
            let probe = "basename $(readlink -f /sys/bus/pci/devices";
            on_machine(&format!("{probe}/{}/virtfn{n}) > /sys/bus/pci/drivers_probe", card.address));
            card.take(&format!("/virtfn{n}"), &format!("vf{n}"));
        }
        card
    }

    /// Gives the host a link of the card's, which the machine's first namespace has or is about to have.
    fn take(&self, function: &str, name: &str) -> String {
        let links = format!("ls /sys/bus/pci/devices/{}{function}/net 2>/dev/null || true", self.address);
        let found = until("the card has its link", || on_machine(&links).split_whitespace().next().map(str::to_owned));
        let pid = self.host.init_pid();
        on_machine(&format!("ip link set {found} down && ip link set {found} netns {pid} name {name}"));
        name.to_owned()
    }

    fn has_carrier(&self, name: &str) {
        let carrier = || self.host.run(&["cat", &format!("/sys/class/net/{name}/carrier")]).ok();
        until("the card has its carrier", || carrier().filter(|shown| shown.trim() == "1"));
    }

    fn write(&self, attribute: &str, value: &str) {
        on_machine(&format!("echo {value} > /sys/bus/pci/devices/{}/{attribute}", self.address));
    }
}

impl Drop for Card<'_> {
    fn drop(&mut self) {
        let pf = format!("ip link set $(ls /sys/bus/pci/devices/{}/net) down", self.address);
        let _ = self.host.run(&["sh", "-c", &pf]);
        self.write("sriov_numvfs", "0");
    }
}

/// All that a host has of a virtual function, but the queue that it gets when it is raised, and the address that its
/// driver remembers until the next reset.
fn shown(host: &Host, name: &str) -> String {
    let all = nic(host, name).replace(" fq_codel", "");
    all.split(" permaddr").next().unwrap_or_default().to_owned()
}

/// What a physical function has its virtual ones do.
fn settings(host: &Host, pf: &str) -> Value {
    let shown = host.run(&["ip", "-json", "link", "show", "dev", pf]).unwrap();
    let mut shown: Value = serde_json::from_str(&shown).unwrap();
    shown[0]["vfinfo_list"].take()
}

/// The other NIC of the machine's, on the card's segment.
fn peer() -> String {
    let named = std::env::var(NICS_VARIABLE).unwrap_or_default();
    let peer = named.split_once(' ').map(|(_, peer)| peer.to_owned()).expect("where the card is, others are");
    on_machine(&format!("ip address replace {}/24 dev {peer} && ip link set {peer} up", SWITCH[0]));
    peer
}

/// A network of the card's virtual functions.
fn fabric(more: Value) -> Value {
    let mut spec = json!({"mode": "device", "pools": ["192.0.2.0/24"], "device": {"pf": "pf0"}});
    spec.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    spec
}

fn mac(host: &Host, name: &str) -> String {
    host.run(&["cat", &format!("/sys/class/net/{name}/address")]).unwrap().trim().to_owned()
}

#[test]
fn a_function_is_set_at_its_pf_for_as_long_as_a_container_has_it() {
    let Some(address) = card("a_function_is_set_at_its_pf_for_as_long_as_a_container_has_it") else { return };
    let host = Host::start("functions").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let _card = Card::plug(address, &host);
    let peer = peer();
    on_machine(&format!(
        "ip link show fabric || ip link add link {peer} name fabric type vlan id 42; \
         ip address replace 198.51.100.1/24 dev fabric && ip link set fabric up"
    ));
    let odd = "ip link set pf0 vf 0 spoofchk off && ip link set pf0 vf 0 trust on && \
               ip link set pf0 vf 0 vlan 7 qos 3 && ip link set pf0 vf 0 max_tx_rate 50 && \
               ip link set vf0 mtu 1480 up";
    host.run(&["sh", "-c", odd]).unwrap();
    let (own, link, before) = (mac(&host, "vf0"), shown(&host, "vf0"), settings(&host, "pf0"));
    let api = Api::of(&host);
    let vf = json!({"spoofCheck": true, "trust": false, "rate": 100, "vlan": 42});
    let device = json!({"pf": "pf0", "names": ["vf0"]});
    api.network("fabric", fabric(json!({"pools": ["198.51.100.0/24"], "vf": vf, "device": device})));
    namespaces(&host, ["a"]);
    for _ in 0..2 {
        Call::new("ADD", "a", "fabric").done(&host);
        let now = settings(&host, "pf0");
        assert_eq!(now[0]["address"], json!(own), "{now}");
        assert_eq!(now[0]["vlan_list"], json!([{"vlan": 42}]), "{now}");
        assert_eq!(now[0]["rate"], json!({"max_tx": 100, "min_tx": 0}), "{now}");
        assert_eq!((&now[0]["spoofchk"], &now[0]["trust"]), (&json!(true), &json!(false)), "{now}");
        assert_eq!(now[1], before[1], "of the other one nothing is");
        assert_eq!(api.endpoints("a")[0]["status"]["enforcement"], "vf");
        until("who is in the VLAN answers", || pings(&host, "a", "198.51.100.1").then_some(()));
        api.assert_clean();
        Call::new("DEL", "a", "fabric").done(&host);
        assert_eq!(settings(&host, "pf0"), before);
        assert_eq!(shown(&host, "vf0"), link);
    }
    assert_deserted(&host, &api);
    on_machine("ip link delete fabric");
}

#[test]
fn a_function_has_the_address_that_a_container_wishes_and_its_own_again() {
    let Some(address) = card("a_function_has_the_address_that_a_container_wishes_and_its_own_again") else { return };
    let host = Host::start("functions-mac").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let _card = Card::plug(address, &host);
    peer();
    let api = Api::of(&host);
    api.network("fabric", fabric(json!({"device": {"names": ["vf0"]}, "vf": {"spoofCheck": true}})));
    let wished = json!({"mac": WISHED});
    // Nobody has fixed its address yet; then the first container's has been, and the second time it is up.
    for state in ["down", "up"] {
        host.run(&["ip", "link", "set", "vf0", state]).unwrap();
        let (link, before) = (shown(&host, "vf0"), settings(&host, "pf0"));
        namespaces(&host, ["a"]);
        let result = Call::new("ADD", "a", "fabric").with("runtimeConfig", wished.clone()).done(&host);
        assert_eq!(result["interfaces"][0]["mac"], WISHED, "{result}");
        let inside = host.run(&["ip", "-n", "a", "-o", "link", "show", "dev", "eth0"]).unwrap();
        assert!(inside.contains(WISHED), "{inside}");
        assert_eq!(settings(&host, "pf0")[0]["address"], WISHED);
        until("the other NIC answers", || pings(&host, "a", SWITCH[0]).then_some(()));
        // The container has it no other way.
        host.run(&["ip", "-n", "a", "link", "set", "eth0", "address", "02:00:00:00:00:77"]).unwrap_err();
        Call::new("DEL", "a", "fabric").done(&host);
        assert_eq!((shown(&host, "vf0"), settings(&host, "pf0")), (link, before));
        host.run(&["ip", "netns", "delete", "a"]).unwrap();
    }
    assert_deserted(&host, &api);
}

#[test]
fn a_function_comes_home_from_a_dead_namespace_and_is_set_as_it_was() {
    let Some(address) = card("a_function_comes_home_from_a_dead_namespace_and_is_set_as_it_was") else { return };
    let host = Host::start("functions-dead").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let _card = Card::plug(address, &host);
    host.run(&["sh", "-c", "ip link set pf0 vf 0 spoofchk off && ip link set vf0 up"]).unwrap();
    let (link, before) = (shown(&host, "vf0"), settings(&host, "pf0"));
    let api = Api::of(&host);
    let vf = json!({"spoofCheck": true, "rate": 100});
    api.network("fabric", fabric(json!({"device": {"names": ["vf0"]}, "vf": vf})));
    namespaces(&host, ["a"]);
    Call::new("ADD", "a", "fabric").with("runtimeConfig", json!({"mac": WISHED})).done(&host);
    assert_ne!(settings(&host, "pf0"), before);
    host.run(&["ip", "netns", "delete", "a"]).unwrap();
    // The kernel takes it to the machine's first namespace, which is not that of this lab's host.
    let stray = until("the kernel moves it", || link_of(WISHED));
    on_machine(&format!("ip link set {stray} netns {} name stray", host.init_pid()));
    has_nobody(&api);
    // Its number is one of weft's now: only another namespace would give it the old one.
    let rest = |shown: &str| shown.split_once(": ").map(|(_, rest)| rest.to_owned());
    until("it is what it was", || (rest(&shown(&host, "vf0")) == rest(&link)).then_some(()));
    assert_eq!(settings(&host, "pf0"), before);
    assert_deserted(&host, &api);
}

#[test]
fn each_container_gets_another_function_of_a_pf() {
    let Some(address) = card("each_container_gets_another_function_of_a_pf") else { return };
    let host = Host::start("functions-pool").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let _card = Card::plug(address, &host);
    let api = Api::of(&host);
    api.network("fabric", fabric(json!({})));
    namespaces(&host, ["a", "b", "c"]);
    let both = || ["vf0", "vf1"].map(|name| shown(&host, name));
    let (links, before) = (both(), settings(&host, "pf0"));
    for id in ["a", "b"] {
        Call::new("ADD", id, "fabric").done(&host);
    }
    let mut had: Vec<_> = api.endpoints("").iter().map(|e| e["status"]["device"].to_string()).collect();
    had.sort();
    assert_eq!(had, ["\"vf0\"", "\"vf1\""]);
    let refused = Call::new("ADD", "c", "fabric").refused(&host, 101);
    assert!(refused.contains("vf0 is with default/a") || refused.contains("vf0 is with default/b"), "{refused}");
    let (_, network) = api.get("/v1/networks/fabric");
    assert_eq!(network["status"]["devices"][0]["pf"], "pf0", "{network}");
    // The two see one another by the card's own switch, and nothing else of the host's.
    until("the other one answers", || pings(&host, "a", &api.address("b", 0)).then_some(()));
    for id in ["a", "b"] {
        Call::new("DEL", id, "fabric").done(&host);
    }
    assert_eq!((both(), settings(&host, "pf0")), (links, before));
    assert_deserted(&host, &api);
}

#[test]
fn a_function_without_an_address_at_its_pf_has_none_there_again() {
    let Some(address) = card("a_function_without_an_address_at_its_pf_has_none_there_again") else { return };
    let host = Host::start("functions-none").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let _card = Card::plug(address, &host);
    peer();
    host.run(&["ip", "link", "set", "pf0", "vf", "0", "mac", "00:00:00:00:00:00"]).unwrap();
    let (own, link, before) = (mac(&host, "vf0"), shown(&host, "vf0"), settings(&host, "pf0"));
    assert_eq!(before[0]["address"], "00:00:00:00:00:00");
    let api = Api::of(&host);
    api.network("fabric", fabric(json!({"device": {"names": ["vf0"]}, "vf": {"spoofCheck": true}})));
    namespaces(&host, ["a"]);
    Call::new("ADD", "a", "fabric").done(&host);
    assert_eq!(settings(&host, "pf0")[0]["address"], json!(own), "it is held to its own");
    until("the other NIC answers", || pings(&host, "a", SWITCH[0]).then_some(()));
    Call::new("DEL", "a", "fabric").done(&host);
    assert_eq!((shown(&host, "vf0"), settings(&host, "pf0")), (link.clone(), before.clone()));
    Call::new("ADD", "a", "fabric").with("runtimeConfig", json!({"mac": WISHED})).done(&host);
    assert_eq!(settings(&host, "pf0")[0]["address"], WISHED);
    Call::new("DEL", "a", "fabric").done(&host);
    assert_eq!(shown(&host, "vf0"), link);
    // It has told the physical function its own address when it was given that again: nothing fixes it.
    host.run(&["ip", "link", "set", "vf0", "address", "02:00:00:00:00:77"]).unwrap();
    assert_eq!(settings(&host, "pf0")[0]["address"], "02:00:00:00:00:77");
    assert_deserted(&host, &api);
}

#[test]
fn a_pf_that_is_renamed_meanwhile_sets_its_function_as_it_was() {
    let Some(address) = card("a_pf_that_is_renamed_meanwhile_sets_its_function_as_it_was") else { return };
    let host = Host::start("functions-renamed").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let card = Card::plug(address, &host);
    let (link, before) = (shown(&host, "vf0"), settings(&host, "pf0"));
    let api = Api::of(&host);
    api.network("fabric", fabric(json!({"device": {"names": ["vf0"]}, "vf": {"trust": true, "vlan": 42}})));
    namespaces(&host, ["a"]);
    Call::new("ADD", "a", "fabric").done(&host);
    // Up, it could be renamed from Linux 6.2 on only.
    let renamed = "ip link set pf0 down && ip link set pf0 name pf9 up && ip link add pf0 type bridge";
    host.run(&["sh", "-c", renamed]).unwrap();
    card.has_carrier("pf9");
    assert_eq!(settings(&host, "pf9")[0]["trust"], true);
    Call::new("DEL", "a", "fabric").done(&host);
    assert_eq!((shown(&host, "vf0"), settings(&host, "pf9")), (link, before));
    assert_deserted(&host, &api);
}
