//! containerd and podman start real containers on weft's networks.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use weft_lab::{Container, Host, Runtime};
use weft_tests::{Api, until};

fn conflist(network: &str) -> String {
    chained(network, &json!({"type": "portmap", "capabilities": {"portMappings": true}, "snat": true}))
}

/// A configuration with another plugin behind weft.
fn chained(network: &str, next: &Value) -> String {
    let own = json!({"type": "weft-cni", "capabilities": {"ips": true, "mac": true, "dns": true, "aliases": true}});
    let versions = ["0.4.0", "1.0.0", "1.1.0"];
    json!({"cniVersion": "1.0.0", "cniVersions": versions, "name": network, "plugins": [own, next]}).to_string()
}

/// Which ways the connections between the two went.
fn ways(api: &Api, from: &str, to: &str) -> BTreeSet<String> {
    let found = api.items(&format!("/v1/connections?from={from}&to={to}&protocol=tcp"));
    found.iter().map(|row| row["way"].as_str().unwrap().to_owned()).collect()
}

fn address(api: &Api, name: &str, family: usize) -> String {
    let endpoint = until(name, || api.endpoints(name).into_iter().next());
    let address = endpoint["status"]["addresses"][family].as_str().unwrap().to_owned();
    address.split('/').next().unwrap().to_owned()
}

#[test]
fn containers_of_two_runtimes_talk_to_each_other_the_host_and_the_outside() {
    let host = Host::start("containers").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    api.network("app", json!({"mode": "bridge", "peers": ["back"]}));
    api.network("back", json!({"mode": "routed", "peers": ["app"]}));
    host.cni_conflist("app", &conflist("app")).unwrap();
    host.cni_conflist("back", &conflist("back")).unwrap();
    let rootfs = host.rootfs("busybox").unwrap();
    let containerd = host.containerd().unwrap();
    let podman = host.podman().unwrap();
    let sleep = ["sleep", "1000"];
    // ctr takes the first configuration by name: app.
    containerd.start(&Container::new("k1", &rootfs).command(&sleep)).unwrap();
    podman.start(&Container::new("p1", &rootfs).network("app").command(&sleep)).unwrap();
    podman.start(&Container::new("p2", &rootfs).network("back").command(&sleep)).unwrap();

    let _ = host.outside().run(&["ip", "route", "show"]).unwrap();
    for family in [0, 1] {
        let targets = ["default-k1", "p1", "p2"].map(|name| address(&api, name, family));
        let outside = ["198.51.100.1", "2001:db8:100::1"][family].to_owned();
        for target in targets.iter().chain([&outside]) {
            let ping = ["ping", "-c1", "-W2", target.as_str()];
            containerd.exec("k1", &ping).unwrap();
            podman.exec("p1", &ping).unwrap();
            podman.exec("p2", &ping).unwrap();
            host.run(&["busybox", "ping", "-c1", "-W2", target]).unwrap();
        }
    }
    api.assert_clean();

    podman.remove("p1").unwrap();
    podman.remove("p2").unwrap();
    containerd.remove("k1").unwrap();
    until("every endpoint is gone", || api.endpoints("").is_empty().then_some(()));
    api.assert_clean();
}

#[test]
fn a_published_port_reaches_its_container_by_debians_portmap() {
    let host = Host::start("portmap").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    api.network("app", json!({"mode": "bridge"}));
    host.cni_conflist("app", &conflist("app")).unwrap();
    let rootfs = host.rootfs("busybox").unwrap();
    let podman = host.podman().unwrap();
    let serve = ["sh", "-c", "while true; do echo hello-from-inside | nc -l -p 80; done"];
    let web = Container::new("web", &rootfs).network("app").options(&["-p", "8080:80"]).command(&serve);
    podman.start(&web).unwrap();
    let fetched = until("an answer from the published port", || {
        let answer = host.outside().run(&["busybox", "timeout", "2", "busybox", "nc", "198.51.100.2", "8080"]).ok()?;
        answer.contains("hello-from-inside").then_some(answer)
    });
    assert!(fetched.contains("hello-from-inside"));
    // Hairpin: the container reaches itself by the published port.
    until("the container's own published port", || {
        let own = podman.exec("web", &["timeout", "2", "nc", "198.51.100.2", "8080"]).ok()?;
        own.contains("hello-from-inside").then_some(())
    });
    // Another one by the published port, which the host translates, and past it.
    podman.start(&Container::new("other", &rootfs).network("app").command(&["sleep", "1000"])).unwrap();
    let inside = address(&api, "web", 0);
    for (to, port) in [("198.51.100.2", "8080"), (inside.as_str(), "80")] {
        until("an answer for the other container", || {
            let answer = podman.exec("other", &["timeout", "2", "nc", to, port]).ok()?;
            answer.contains("hello-from-inside").then_some(())
        });
    }
    assert_eq!(ways(&api, "other", "198.51.100.2"), BTreeSet::from(["stack".to_owned()]));
    assert!(ways(&api, "other", "web").contains("short"), "what the host does not translate goes past it");
}

#[test]
fn containers_behind_debians_firewall_plugin_go_by_the_stack() {
    let host = Host::start("fwplugin").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    api.network("app", json!({"mode": "routed"}));
    host.cni_conflist("app", &chained("app", &json!({"type": "firewall", "backend": "iptables"}))).unwrap();
    let rootfs = host.rootfs("busybox").unwrap();
    let podman = host.podman().unwrap();
    let serve = ["sh", "-c", "while true; do echo hello-from-inside | nc -l -p 80; done"];
    podman.start(&Container::new("web", &rootfs).network("app").command(&serve)).unwrap();
    podman.start(&Container::new("other", &rootfs).network("app").command(&["sleep", "1000"])).unwrap();
    let by_stack = || {
        let status = api.get("/v1/status").1["features"].to_string();
        status.contains("chain ip filter FORWARD has a say").then_some(())
    };
    until("weft sees the plugin's chains", by_stack);
    let inside = address(&api, "web", 0);
    until("an answer", || {
        let answer = podman.exec("other", &["timeout", "2", "nc", &inside, "80"]).ok()?;
        answer.contains("hello-from-inside").then_some(())
    });
    assert_eq!(ways(&api, "other", "web"), BTreeSet::from(["stack".to_owned()]));
    podman.remove("other").unwrap();
    podman.remove("web").unwrap();
    until("every endpoint is gone", || api.endpoints("").is_empty().then_some(()));
    api.assert_clean();
}
