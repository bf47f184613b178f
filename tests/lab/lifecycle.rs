//! The agent's own life: it may be killed at any moment, and containers do not notice.

use serde_json::json;
use weft_lab::Host;
use weft_tests::{Api, Call, until};

#[test]
fn a_killed_agent_is_not_missed_and_the_next_one_knows_everything() {
    let host = Host::start("killed").unwrap();
    let mut weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    api.network("app", json!({"mode": "bridge", "pools": ["10.1.0.0/24", "fd61::/64"], "peers": ["back"]}));
    let back = json!({"mode": "routed", "pools": ["10.2.0.0/24", "fd62::/64"], "peers": ["app"]});
    api.network("back", back);
    for (id, network) in [("a", "app"), ("b", "back")] {
        host.netns(id).unwrap();
        Call::new("ADD", id, network).done(&host);
    }
    let talk = || {
        for to in ["10.2.0.1", "fd62::1", "198.51.100.1"] {
            host.run(&["ip", "netns", "exec", "a", "busybox", "ping", "-c1", "-W5", to]).unwrap();
        }
    };
    talk();
    weftd.kill9().unwrap();
    talk();
    assert_eq!(Call::new("ADD", "x", "app").run(&host).output["code"], 11);
    weftd.restart().unwrap();
    talk();
    api.assert_clean();
    assert_eq!(api.endpoints("").len(), 2);
    let changed = &api.get("/v1/status").1["settings"][0];
    assert_eq!(
        (&changed["name"], &changed["was"]),
        (&json!("net/ipv4/ip_forward"), &json!("0")),
        "by an earlier agent"
    );
    weftd.terminate().unwrap();
    talk();
    weftd.restart().unwrap();
    for (id, network) in [("a", "app"), ("b", "back")] {
        Call::new("DEL", id, network).done(&host);
    }
    api.assert_clean();
    assert!(api.endpoints("").is_empty());
}

#[test]
fn what_somebody_else_took_away_comes_back() {
    let host = Host::start("mended").unwrap();
    let mut weftd = host.weftd::<&str>(&[]).unwrap();
    let api = Api::of(&host);
    api.network("app", json!({"mode": "bridge", "pools": ["10.1.0.0/24", "fd61::/64"]}));
    host.netns("a").unwrap();
    Call::new("ADD", "a", "app").done(&host);
    weftd.kill9().unwrap();
    host.run(&["ip", "neigh", "flush", "all"]).unwrap();
    host.run(&["ip", "neigh", "del", "10.1.0.2", "dev", "weftb-app"]).unwrap();
    host.run(&["ip", "route", "del", "10.1.0.2"]).unwrap();
    host.run(&["nft", "delete", "table", "inet", "weft"]).unwrap();
    host.run(&["ip", "link", "add", "weftestray", "group", "2003134068", "type", "bridge"]).unwrap();
    weftd.restart().unwrap();
    api.assert_clean();
    let links = host.run(&["ip", "-o", "link"]).unwrap();
    assert!(!links.contains("weftestray"), "a leftover is swept: {links}");
    host.run(&["ip", "netns", "exec", "a", "busybox", "ping", "-c1", "-W5", "198.51.100.1"]).unwrap();
    host.run(&["nft", "delete", "table", "inet", "weft"]).unwrap();
    until("the rules are back", || host.run(&["nft", "list", "table", "inet", "weft"]).ok());
}

#[test]
fn a_second_agent_refuses_and_names_the_first() {
    let host = Host::start("second").unwrap();
    let weftd = host.weftd::<&str>(&[]).unwrap();
    let error = host.run(&["weftd"]).unwrap_err().to_string();
    assert!(error.contains("weftd is already running on /run/weft (process "), "{error}");
    let error = host.run(&["weftd", "--run-dir", "/run/other", "--state-dir", "/run/other"]).unwrap_err().to_string();
    let pid = std::fs::read_to_string(host.path("/run/weft/weftd.pid")).unwrap();
    let expected = format!("another weftd is running in this network namespace (process {})", pid.trim());
    assert!(error.contains(&expected), "{error}");
    assert!(!weftd.log().is_empty());
}

#[test]
fn the_configuration_is_checked_without_starting() {
    let host = Host::start("config").unwrap();
    host.write("/etc/weft/weft.toml", "run-dir = \"/run/elsewhere\"\n").unwrap();
    let shown = host.run(&["weftd", "--check-config", "--log", "debug"]).unwrap();
    assert!(shown.contains("run-dir = \"/run/elsewhere\"") && shown.contains("log = \"debug\""), "{shown}");
    assert!(shown.contains("socket = \"/run/elsewhere/weft.sock\""), "{shown}");
    host.write("/etc/weft/weft.toml", "rundir = \"/x\"\n").unwrap();
    let error = host.run(&["weftd", "--check-config"]).unwrap_err().to_string();
    assert!(error.contains("/etc/weft/weft.toml") && error.contains("rundir"), "{error}");
}

#[test]
fn two_agents_in_two_private_hosts_never_meet() {
    let hosts = ["meet-one", "meet-two"].map(|name| Host::start(name).unwrap());
    let _agents: Vec<_> = hosts.iter().map(|host| host.weftd::<&str>(&[]).unwrap()).collect();
    for host in &hosts {
        let api = Api::of(host);
        api.network("app", json!({"mode": "bridge", "pools": ["10.1.0.0/24"]}));
        host.netns("c1").unwrap();
        Call::new("ADD", "c1", "app").done(host);
        assert_eq!(api.endpoints("").len(), 1);
        api.assert_clean();
    }
}

#[test]
fn metrics_are_served_by_tcp_where_the_configuration_says_and_nothing_else_is() {
    let host = Host::start("metrics").unwrap();
    let _weftd = host.weftd(&["--metrics", "127.0.0.1:9464"]).unwrap();
    let fetch = |path: &str| host.run(&["busybox", "wget", "-q", "-O-", &format!("http://127.0.0.1:9464{path}")]);
    let metrics = fetch("/metrics").unwrap();
    assert!(metrics.contains("weft_build_info{version=\"0.1.0\"} 1"), "{metrics}");
    assert!(fetch("/v1/status").is_err());
}
