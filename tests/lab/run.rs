//! Commands on weft's networks without any container runtime.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use serde_json::json;
use weft_lab::Host;
use weft_tests::{Api, assert_deserted, pings, until};

fn networks(host: &Host) -> Api {
    let api = Api::of(host);
    api.network(
        "one",
        json!({"mode": "bridge", "pools": ["10.1.0.0/24", "fd61::/64"],
        "dns": {"servers": ["10.1.0.1"], "searches": ["one.example"]}}),
    );
    api.network("two", json!({"mode": "routed", "pools": ["10.2.0.0/24", "fd62::/64"]}));
    api
}

/// `weft run` on the host, whose output is read.
fn start(host: &Host, args: &[&str]) -> Child {
    let mut command: Command = host.command("weft");
    command.arg("run").args(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The first line that it prints.
fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    line.trim().to_owned()
}

#[test]
fn a_command_has_its_networks_names_and_processes_and_leaves_nothing() {
    let host = Host::start("run").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = networks(&host);
    let script = "cat /etc/resolv.conf /etc/hosts; ls /sys/class/net; ls /proc | grep -c '^[0-9]'; ip -o route; exit 7";
    let args = ["--network", "one,two", "--name", "probe", "--namespace", "lab", "--label", "tier=test"];
    let done = start(&host, &[&args[..], &["--", "sh", "-c", script]].concat()).wait_with_output().unwrap();
    let said = String::from_utf8(done.stdout).unwrap();
    assert_eq!(done.status.code(), Some(7), "the command's own: {said} {}", String::from_utf8_lossy(&done.stderr));
    for expected in
        ["nameserver 10.1.0.1", "search one.example", "\tprobe\n", "eth0\neth1\nlo\n", "default via 10.1.0.1"]
    {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert!(!said.contains("default via 169.254.1.1"), "the first network has it: {said}");
    let host_resolv = host.run(&["cat", "/etc/resolv.conf"]).unwrap_or_default();
    assert!(!host_resolv.contains("10.1.0.1"), "{host_resolv}");
    for (args, code, expected) in [
        (&["--network", "none", "--", "true"][..], 1, "network \"none\""),
        (&["--network", "one", "--", "no-such-command"], 127, "no-such-command"),
        (&["--network", "one", "--", "/etc/passwd"], 126, "/etc/passwd"),
        (&["--network", "one", "--", "sh", "-c", "kill -TERM $$"], 143, ""),
        (&["--network", "one", "--address", "10.9.9.9", "--", "true"], 1, "10.9.9.9"),
        (&["--network", "one,one", "--", "true"], 1, "is on network one already, by eth0"),
        (&["--network", "one"], 2, "COMMAND"),
    ] {
        let done = start(&host, args).wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(expected), "{args:?}: {said}");
    }
    assert_deserted(&host, &api);
}

#[test]
fn signals_reach_the_command_and_whoever_is_killed_nothing_is_left() {
    let host = Host::start("run-ends").unwrap();
    let _weftd = host.weftd::<&str>(&[]).unwrap();
    let api = networks(&host);
    host.netns("b").unwrap();
    weft_tests::Call::new("ADD", "b", "one").done(&host);
    let trap = "trap 'echo heard; exit 3' TERM; sleep 1000 & echo ready; wait";
    for ending in ["TERM", "KILL"] {
        let mut run = start(&host, &["--network", "one", "--name", "web", "--", "sh", "-c", trap]);
        assert_eq!(first_line(&mut run), "ready");
        assert!(pings(&host, "b", &api.address("web", 0)), "it is there for others");
        let inside = host.run(&["weft", "exec", "web", "--", "ip", "-o", "address"]).unwrap();
        assert!(inside.contains(&api.address("web", 1)), "{inside}");
        let refused = host.run(&["weft", "exec", "web", "--", "no-such-command"]).unwrap_err().to_string();
        assert!(refused.contains("127") && refused.contains("no-such-command"), "{refused}");
        // As the host counts processes: the endpoint's namespace is that of `weft run`.
        let netns = api.endpoints("web")[0]["status"]["netns"].as_str().unwrap().to_owned();
        let pid = netns.split('/').nth(2).unwrap().to_owned();
        host.run(&["kill", &format!("-{ending}"), &pid]).unwrap();
        let mut rest = String::new();
        run.stdout.as_mut().unwrap().read_to_string(&mut rest).unwrap();
        let code = run.wait().unwrap().code();
        if ending == "TERM" {
            assert_eq!((rest.trim(), code), ("heard", Some(3)));
        }
        until("nothing is left", || api.endpoints("web").is_empty().then_some(()));
        let left = host.run(&["ps", "ax"]).unwrap();
        assert!(!left.contains("sleep 1000"), "{left}");
    }
    weft_tests::Call::new("DEL", "b", "one").done(&host);
    assert_deserted(&host, &api);
}
