//! containerd and podman start real containers on weft's networks.

use serde_json::json;
use weft_lab::{Container, Host, Runtime};
use weft_tests::{Api, until};

fn conflist(network: &str) -> String {
    json!({
        "cniVersion": "1.0.0", "cniVersions": ["0.4.0", "1.0.0", "1.1.0"], "name": network,
        "plugins": [
            {"type": "weft-cni", "capabilities": {"ips": true, "mac": true, "dns": true, "aliases": true}},
            {"type": "portmap", "capabilities": {"portMappings": true}, "snat": true},
        ],
    })
    .to_string()
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
}
