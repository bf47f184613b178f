//! Containers that have a device of the host's for themselves: an end of a veth stands for a NIC here, whose other end
//! is on a switch outside.

mod functions;

use serde_json::{Value, json};
use weft_lab::Host;
use weft_tests::{Api, Call, assert_deserted, namespaces, pings, until};

/// The switch's own address, by family.
pub(crate) const SWITCH: [&str; 2] = ["192.0.2.1", "2001:db8:200::1"];
/// NICs of the machine that a test may give away, the second on one segment with the first: set where they are there
/// for that (scripts/vm/suites).
const NICS_VARIABLE: &str = "WEFT_TEST_NICS";

/// Gives `host` NICs that are called nic0, nic1 …
pub(crate) fn plug(host: &Host, count: usize) {
    let outside = "ip -n outside link add switch type bridge && ip -n outside link set switch up && \
                   ip -n outside address add 192.0.2.1/24 dev switch && \
                   ip -n outside address add 2001:db8:200::1/64 dev switch nodad";
    host.run(&["sh", "-c", outside]).unwrap();
    for n in 0..count {
        let nic = format!(
            "ip link add nic{n} address 02:00:00:00:00:0{n} type veth peer name far{n} netns outside && \
             ip -n outside link set far{n} master switch up && ip link set nic{n} mtu 1480 up"
        );
        host.run(&["sh", "-c", &nic]).unwrap();
    }
}

/// All that a host has of a device, but what follows from its other end.
pub(crate) fn nic(host: &Host, name: &str) -> String {
    let shown = host.run(&["ip", "-o", "link", "show", "dev", name]).unwrap_or_default();
    let passing = ["DOWN", "UP", "LOWERLAYERDOWN", "UNKNOWN", "noop", "noqueue"];
    let words = shown.split_whitespace().filter(|word| !passing.contains(word));
    words.collect::<Vec<_>>().join(" ").replace(",LOWER_UP", "").replace("NO-CARRIER,", "")
}

/// A network of the host's NICs.
pub(crate) fn wire(more: Value) -> Value {
    let mut spec = json!({
        "mode": "device",
        "pools": ["192.0.2.0/24", "2001:db8:200::/64"],
        "device": {"names": ["nic0"]},
    });
    spec.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    spec
}

fn settled(host: &Host) -> String {
    host.run(&["weft", "status"]).unwrap()
}

fn has_nobody(api: &Api) {
    until("nobody is left", || api.endpoints("").is_empty().then_some(()));
}

#[test]
fn a_device_works_inside_and_comes_back_as_it_was() {
    let host = Host::start("devices").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    plug(&host, 1);
    let (api, before) = (Api::of(&host), nic(&host, "nic0"));
    api.network("wire", wire(json!({"mtu": 1400})));
    namespaces(&host, ["a"]);
    let asked = json!({"mac": "02:00:00:00:00:99"});
    let result = Call::new("ADD", "a", "wire").with("runtimeConfig", asked.clone()).done(&host);
    assert_eq!(result["interfaces"][0]["mac"], "02:00:00:00:00:99", "{result}");
    assert_eq!(nic(&host, "nic0"), "", "it is not on the host");
    let inside = host.run(&["ip", "-n", "a", "-o", "link", "show", "dev", "eth0"]).unwrap();
    assert!(inside.contains("mtu 1400") && inside.contains("02:00:00:00:00:99"), "{inside}");
    for (family, switch) in SWITCH.iter().enumerate() {
        until("the switch answers", || pings(&host, "a", switch).then_some(()));
        assert!(pings(&host, "outside", &api.address("a", family)));
    }
    api.assert_clean();
    Call::new("CHECK", "a", "wire").with("runtimeConfig", asked).with("prevResult", result).done(&host);
    Call::new("DEL", "a", "wire").done(&host);
    assert_eq!(nic(&host, "nic0"), before);
    Call::new("DEL", "a", "wire").done(&host);
    assert_eq!(nic(&host, "nic0"), before, "once is enough");
    // Down is down again, and so is another group.
    host.run(&["ip", "link", "set", "nic0", "group", "7", "down"]).unwrap();
    let before = nic(&host, "nic0");
    Call::new("ADD", "a", "wire").done(&host);
    until("the switch answers", || pings(&host, "a", SWITCH[0]).then_some(()));
    Call::new("DEL", "a", "wire").done(&host);
    assert_eq!(nic(&host, "nic0"), before);
    assert_deserted(&host, &api);
}

#[test]
fn that_nothing_checks_what_it_sends_is_said_wherever_somebody_looks() {
    let host = Host::start("devices-advisory").unwrap();
    let weftd = host.weftd::<&str>(&[]).unwrap();
    plug(&host, 2);
    let api = Api::of(&host);
    api.network("wire", wire(json!({"device": {"names": ["nic0", "nic1"]}})));
    namespaces(&host, ["a"]);
    Call::new("ADD", "a", "wire").done(&host);
    let status = &api.endpoints("a")[0]["status"];
    assert_eq!((&status["enforcement"], &status["device"]), (&json!("advisory"), &json!("nic0")), "{status}");
    let (_, network) = api.get("/v1/networks/wire");
    let devices = &network["status"]["devices"];
    assert_eq!((&devices[0]["name"], &devices[0]["holder"]), (&json!("nic0"), &json!("default/a@eth0")), "{devices}");
    assert_eq!((&devices[1]["name"], &devices[1]["state"]), (&json!("nic1"), &json!("free")), "{devices}");
    let run = |argv: &[&str]| host.run(argv).unwrap();
    let described = run(&["weft", "describe", "network", "wire"]);
    assert!(described.contains("default/a@eth0") && described.contains("Devices:"), "{described}");
    let described = run(&["weft", "describe", "endpoint", "a"]);
    assert!(described.contains("Enforcement:") && described.contains("advisory"), "{described}");
    let why = host.run(&["weft", "why", "a", "192.0.2.1:80"]).unwrap();
    assert!(why.contains("nothing of weft's decides (advisory: the container has the device itself"), "{why}");
    let told = settled(&host);
    assert!(told.contains("SourcesEnforced") && told.contains("default/a@eth0"), "{told}");
    assert!(weftd.log().contains("enforcement=\"advisory\""), "{}", weftd.log());
    Call::new("DEL", "a", "wire").done(&host);
    assert!(!settled(&host).contains("SourcesEnforced"));
}

#[test]
fn a_birth_that_fails_leaves_the_device_where_it_was() {
    let host = Host::start("devices-fail").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    plug(&host, 2);
    let api = Api::of(&host);
    // The kernel moves no bridge to another namespace; no macvlan takes larger packets than what it sits on, and when
    // that turns out it is inside.
    let unfit =
        "ip link add br9 group 9 type bridge && ip link set br9 up && ip link add upper9 link nic1 type macvlan";
    host.run(&["sh", "-c", unfit]).unwrap();
    api.network("wire", wire(json!({})));
    let of =
        |name: &str, pool: &str| json!({"mode": "device", "pools": [pool], "device": {"names": [name]}, "mtu": 1500});
    api.network("bridges", of("br9", "198.18.0.0/24"));
    api.network("uppers", of("upper9", "198.18.1.0/24"));
    let shown = || ["nic0", "br9", "upper9"].map(|name| nic(&host, name));
    let before = shown();
    namespaces(&host, ["a"]);
    host.run(&["ip", "-n", "a", "link", "add", "eth0", "type", "bridge"]).unwrap();
    let refused = Call::new("ADD", "a", "wire").refused(&host, 100);
    assert!(refused.contains("already has an interface eth0"), "{refused}");
    host.run(&["ip", "-n", "a", "link", "delete", "eth0"]).unwrap();
    let refused = Call::new("ADD", "a", "bridges").refused(&host, 5);
    assert!(refused.contains("cannot move device br9"), "{refused}");
    let refused = Call::new("ADD", "a", "uppers").refused(&host, 5);
    assert!(refused.contains("cannot set link eth0"), "{refused}");
    assert_eq!(shown(), before);
    assert_eq!(host.run(&["ip", "-n", "a", "-o", "link"]).unwrap().lines().count(), 1, "loopback alone");
    assert_deserted(&host, &api);
}

#[test]
fn each_container_gets_another_device_until_none_is_left() {
    const NICS: usize = 4;
    let host = Host::start("devices-pool").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    plug(&host, NICS);
    let api = Api::of(&host);
    let macs: Vec<_> = (0..NICS).map(|n| format!("02:00:00:00:00:0{n}")).collect();
    api.network("wire", wire(json!({"device": {"macs": macs, "driver": "veth"}})));
    let ids: Vec<_> = (0..NICS + 2).map(|n| format!("c{n}")).collect();
    namespaces(&host, ids.iter().map(String::as_str));
    let before: Vec<_> = (0..NICS).map(|n| nic(&host, &format!("nic{n}"))).collect();
    for round in 0..3 {
        let all: Vec<_> = std::thread::scope(|scope| {
            let call = |id: &String| Call::new("ADD", id, "wire").ask(&host);
            let calls: Vec<_> = ids.iter().map(|id| scope.spawn(move || call(id))).collect();
            calls.into_iter().map(|call| call.join().unwrap()).collect()
        });
        let refused: Vec<_> = all.iter().filter(|answer| !answer.ok).collect();
        assert_eq!(refused.len(), 2, "round {round}: {all:?}");
        for answer in refused {
            assert_eq!(answer.code(), Some(101), "{answer:?}");
        }
        let mut had: Vec<_> = api.endpoints("").iter().map(|e| e["status"]["device"].to_string()).collect();
        had.sort();
        assert_eq!(had, ["\"nic0\"", "\"nic1\"", "\"nic2\"", "\"nic3\""]);
        let missing = ids.iter().find(|id| api.endpoints(id).is_empty()).unwrap();
        let refused = Call::new("ADD", missing, "wire").refused(&host, 101);
        assert!(refused.contains("nic0 is with default/c"), "{refused}");
        std::thread::scope(|scope| {
            for id in &ids {
                scope.spawn(|| Call::new("DEL", id, "wire").done(&host));
            }
        });
        let after: Vec<_> = (0..NICS).map(|n| nic(&host, &format!("nic{n}"))).collect();
        assert_eq!(after, before, "round {round}");
    }
    assert_deserted(&host, &api);
}

#[test]
fn a_container_that_joins_further_networks_may_say_which_device_it_gets() {
    let host = Host::start("devices-asked").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    plug(&host, 3);
    let api = Api::of(&host);
    api.network("app", json!({"mode": "routed", "pools": ["10.1.0.0/24"]}));
    api.network("wire", wire(json!({"device": {"names": ["nic0", "nic1"]}})));
    namespaces(&host, ["a", "b"]);
    Call::new("ADD", "a", "app").done(&host);
    let attach = |more: &[&str]| host.run(&[&["weft", "attach"], more].concat());
    let refused = |more: &[&str], told: &str| {
        let error = attach(more).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    };
    attach(&["a", "--network", "wire", "--device", "nic1"]).unwrap();
    assert_eq!(api.endpoints("a@eth1")[0]["status"]["device"], "nic1");
    until("the switch answers", || pings(&host, "a", SWITCH[0]).then_some(()));
    let into_b = ["--netns", "/run/netns/b", "--network", "wire", "--device"];
    let with = |device| [&into_b[..], &[device]].concat();
    refused(&with("nic1"), "no device is free: nic1 is with default/a");
    refused(&with("02:00:00:00:00:01"), "no device is free: nic1 is with default/a");
    refused(&with("nic2"), "device nic2 is none of those that spec.device says");
    refused(&with("nic7"), "the host has no device that is nic7");
    refused(&with("0000:zz:01.0"), "device: \"0000:zz:01.0\" is not a PCI address");
    refused(&["--netns", "/run/netns/b", "--network", "app", "--device", "nic0"], "attachment routed takes no device");
    attach(&with("02:00:00:00:00:00")).unwrap();
    assert_eq!(api.endpoints("b")[0]["status"]["device"], "nic0");
    for endpoint in ["a@eth1", "b"] {
        host.run(&["weft", "detach", endpoint]).unwrap();
    }
    let ran =
        host.run(&["weft", "run", "--network", "wire", "--device", "nic1", "--", "cat", "/sys/class/net/eth0/address"]);
    assert_eq!(ran.unwrap().trim(), "02:00:00:00:00:01");
    Call::new("DEL", "a", "app").done(&host);
    assert_deserted(&host, &api);
}

#[test]
fn what_the_host_uses_itself_is_not_taken_unless_it_is_named() {
    let host = Host::start("devices-used").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    plug(&host, 3);
    let api = Api::of(&host);
    let used = "ip address add 203.0.113.9/24 dev nic0 && ip link add br7 type bridge && \
                ip link set nic1 master br7 && ip link add link nic2 name upper7 type macvlan";
    host.run(&["sh", "-c", used]).unwrap();
    api.network("any", json!({"mode": "device", "pools": ["198.18.0.0/24"], "device": {"driver": "veth"}}));
    api.network("none", json!({"mode": "device", "pools": ["198.18.1.0/24"]}));
    api.network("wire", wire(json!({})));
    namespaces(&host, ["a"]);
    let refused = Call::new("ADD", "a", "any").refused(&host, 101);
    for reason in [
        "eth0 is the host's way to the outside",
        "nic0 has the host's address 203.0.113.9/24",
        "nic1 is a port of br7",
        "nic2 has upper7 on it",
    ] {
        assert!(refused.contains(reason), "{refused}");
    }
    let refused = Call::new("ADD", "a", "none").refused(&host, 101);
    assert!(refused.contains("say which in spec.device, by --device, or have the runtime send"), "{refused}");
    let elsewhere = json!({"deviceID": "0000:7f:1f.7"});
    let refused = Call::new("ADD", "a", "none").with("runtimeConfig", elsewhere.clone()).refused(&host, 101);
    assert!(refused.contains("the host has no device that is 0000:7f:1f.7"), "{refused}");
    api.network("app", json!({"mode": "routed", "pools": ["10.1.0.0/24"]}));
    let refused = Call::new("ADD", "a", "app").with("runtimeConfig", elsewhere).refused(&host, 7);
    assert!(refused.contains("attachment routed takes no device"), "{refused}");
    Call::new("ADD", "a", "wire").done(&host);
    assert_eq!(api.endpoints("a")[0]["status"]["device"], "nic0");
    Call::new("DEL", "a", "wire").done(&host);
    assert_deserted(&host, &api);
}

#[test]
fn the_next_agent_knows_who_has_what_and_gives_it_back() {
    let host = Host::start("devices-agents").unwrap();
    let mut weftd = host.weftd::<&str>(&[]).unwrap();
    plug(&host, 1);
    let (api, before) = (Api::of(&host), nic(&host, "nic0"));
    api.network("wire", wire(json!({})));
    namespaces(&host, ["a", "b"]);
    Call::new("ADD", "a", "wire").done(&host);
    until("the switch answers", || pings(&host, "a", SWITCH[0]).then_some(()));
    weftd.kill9().unwrap();
    assert!(pings(&host, "a", SWITCH[0]), "without an agent");
    weftd.restart().unwrap();
    assert!(pings(&host, "a", SWITCH[0]), "with the next one");
    api.assert_clean();
    Call::new("ADD", "b", "wire").refused(&host, 101);
    // Whatever the container calls it and has changed.
    let inside = "ip link set eth0 down name other address 02:00:00:00:00:77 mtu 1290 group 5 && \
                  ip link set other promisc on allmulticast on up";
    host.run(&["ip", "netns", "exec", "a", "sh", "-c", inside]).unwrap();
    Call::new("DEL", "a", "wire").done(&host);
    assert_eq!(nic(&host, "nic0"), before);
    assert_deserted(&host, &api);
}

#[test]
fn a_device_whose_name_is_taken_meanwhile_comes_back_under_another_and_that_is_said() {
    let host = Host::start("devices-name").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    plug(&host, 1);
    let api = Api::of(&host);
    api.network("wire", wire(json!({})));
    namespaces(&host, ["a"]);
    Call::new("ADD", "a", "wire").done(&host);
    host.run(&["ip", "link", "add", "nic0", "type", "bridge"]).unwrap();
    Call::new("DEL", "a", "wire").done(&host);
    let links = host.run(&["ip", "-o", "link"]).unwrap();
    let back = links.lines().find(|line| line.contains("02:00:00:00:00:00")).unwrap_or_else(|| panic!("{links}"));
    assert!(back.contains("mtu 1480") && back.contains("group default"), "{back}");
    assert!(nic(&host, "nic0").contains("mtu 1500"), "that of another is as it was");
    assert_deserted(&host, &api);
}

#[test]
fn a_device_that_is_gone_for_good_frees_its_endpoint_and_that_is_said() {
    let host = Host::start("devices-gone").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    plug(&host, 2);
    let api = Api::of(&host);
    api.network("wire", wire(json!({"device": {"names": ["nic0", "nic1"]}})));
    namespaces(&host, ["a", "b"]);
    for id in ["a", "b"] {
        Call::new("ADD", id, "wire").done(&host);
    }
    // Pulled out of the machine; and a virtual link goes with its namespace.
    host.run(&["ip", "-n", "outside", "link", "delete", "far0"]).unwrap();
    host.run(&["ip", "netns", "delete", "b"]).unwrap();
    has_nobody(&api);
    let told = settled(&host);
    for lost in ["nic0 (veth) is gone from this machine; default/a had it last", "nic1 (veth) is gone"] {
        assert!(told.contains("DevicesReturned") && told.contains(lost), "{told}");
    }
    Call::new("DEL", "a", "wire").done(&host);
    host.run(&["sh", "-c", "ip link add nic0 type bridge; ip link add nic1 type bridge"]).unwrap();
    until("they are there again", || (!settled(&host).contains("DevicesReturned")).then_some(()));
    assert_deserted(&host, &api);
}

#[test]
fn a_device_that_somebody_moves_to_the_host_is_made_what_it_was() {
    let host = Host::start("devices-moved").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    plug(&host, 1);
    let (api, before) = (Api::of(&host), nic(&host, "nic0"));
    api.network("wire", wire(json!({"mtu": 1400})));
    namespaces(&host, ["a"]);
    Call::new("ADD", "a", "wire").with("runtimeConfig", json!({"mac": "02:00:00:00:00:99"})).done(&host);
    // As the kernel does with hardware when its namespace ends: the number stays, the name is any.
    host.run(&["ip", "-n", "a", "link", "set", "eth0", "netns", "1", "name", "dev7"]).unwrap();
    has_nobody(&api);
    // Its number is one of weft's now: only another namespace would give it the old one.
    let rest = |shown: &str| shown.split_once(": ").map(|(_, rest)| rest.to_owned());
    until("it is what it was", || (rest(&nic(&host, "nic0")) == rest(&before)).then_some(()));
    Call::new("ADD", "a", "wire").done(&host);
    until("the switch answers", || pings(&host, "a", SWITCH[0]).then_some(()));
    Call::new("DEL", "a", "wire").done(&host);
    assert_deserted(&host, &api);
}

#[test]
fn whoever_takes_weft_off_a_host_gets_its_devices_back() {
    let host = Host::start("devices-uninstall").unwrap();
    let mut weftd = host.weftd::<&str>(&[]).unwrap();
    plug(&host, 1);
    let (api, before) = (Api::of(&host), nic(&host, "nic0"));
    api.network("wire", wire(json!({})));
    namespaces(&host, ["a"]);
    Call::new("ADD", "a", "wire").done(&host);
    weftd.terminate().unwrap();
    let told = host.run(&["weft", "uninstall", "--bin-dir", "/var/local/cni", "--yes"]).unwrap();
    assert!(told.contains("gave back 1 device"), "{told}");
    assert_eq!(nic(&host, "nic0"), before);
}

/// The test that needs one, as a list of those that were skipped has it.
const REAL: &str = "devices::a_real_nic_is_known_by_its_place_on_the_bus_and_comes_home_from_a_dead_namespace";

/// A NIC of the machine that may be given away, and one on the same segment; what is to be skipped is told.
fn nics(test: &str) -> Option<(String, String)> {
    let named = std::env::var(NICS_VARIABLE).unwrap_or_default();
    let found = named.split_once(' ').map(|(nic, peer)| (nic.to_owned(), peer.to_owned()));
    if found.is_none() {
        weft_tests::skip(test, &format!("no NIC may be given away: {NICS_VARIABLE} names none"));
    }
    found
}

/// Runs a command on the machine itself, where it has NICs for that alone.
fn on_machine(line: &str) -> String {
    let output = std::process::Command::new("sh").args(["-c", line]).output().unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The name of the link that has this Ethernet address, on the machine itself.
fn link_of(mac: &str) -> Option<String> {
    let links = on_machine("ip -o link");
    let line = links.lines().find(|line| line.contains(mac))?;
    line.split(": ").nth(1).map(|name| name.split('@').next().unwrap_or(name).to_owned())
}

#[test]
fn a_real_nic_is_known_by_its_place_on_the_bus_and_comes_home_from_a_dead_namespace() {
    let Some((nic_name, peer)) = nics(REAL) else { return };
    let mac = on_machine(&format!("cat /sys/class/net/{nic_name}/address")).trim().to_owned();
    let path = on_machine(&format!("readlink -f /sys/class/net/{nic_name}/device"));
    let pci =
        path.trim().split('/').rfind(|part| part.matches(':').count() == 2).expect("it is on the PCI bus").to_owned();
    on_machine(&format!("ip address replace 192.0.2.1/24 dev {peer} && ip link set {peer} up"));
    let host = Host::start("devices-real").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    on_machine(&format!("ip link set {nic_name} down && ip link set {nic_name} netns {} name enp0", host.init_pid()));
    let (api, before) = (Api::of(&host), nic(&host, "enp0"));
    api.network("wire", json!({"mode": "device", "pools": ["192.0.2.0/24"]}));
    namespaces(&host, ["a"]);
    let add = || Call::new("ADD", "a", "wire").with("runtimeConfig", json!({"deviceID": pci}));
    let result = add().done(&host);
    assert_eq!(result["interfaces"][0]["pciID"], json!(pci), "{result}");
    until("the other NIC answers", || pings(&host, "a", SWITCH[0]).then_some(()));
    Call::new("DEL", "a", "wire").done(&host);
    assert_eq!(nic(&host, "enp0"), before);

    add().with("runtimeConfig", json!({"deviceID": pci, "mac": "02:00:00:00:00:99"})).done(&host);
    host.run(&["ip", "netns", "delete", "a"]).unwrap();
    // The kernel takes it to the machine's first namespace, which is not that of this lab's host.
    let stray = until("the kernel moves it", || link_of("02:00:00:00:00:99"));
    // The runtime can do nothing about that; nobody else gets the device until it is back.
    Call::new("DEL", "a", "wire").done(&host);
    namespaces(&host, ["a"]);
    let busy = add().run(&host);
    assert!(!busy.ok, "it is not here: {busy:?}");
    on_machine(&format!("ip link set {stray} netns {} name stray", host.init_pid()));
    has_nobody(&api);
    until("it is what it was", || nic(&host, "enp0").contains(&mac).then_some(()));
    assert_deserted(&host, &api);
    drop(host);
    let home = until("it is the machine's again", || link_of(&mac));
    on_machine(&format!("ip link set {home} down && ip link set {home} name {nic_name}"));
}
