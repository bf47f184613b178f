//! `weft install cni` and `weft uninstall cni`, in directories of their own.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;

use serde_json::Value;

use crate::agent::{Agent, Listening};
use crate::directory::Directory;
use crate::fixture;
use crate::golden::golden;
use crate::weft::{Outcome, weft};

/// A host with the directories of a runtime.
struct Host {
    directory: Directory,
    agent: Listening,
}

impl Host {
    /// `plugins` are there already.
    fn new(plugins: &[&str]) -> Self {
        let directory = Directory::new();
        directory.file("weft-cni", "the shim");
        fs::create_dir(directory.path().join("bin")).expect("make a directory");
        for plugin in plugins {
            directory.file(&format!("bin/{plugin}"), "a plugin");
        }
        let agent = Agent::new()
            .ok("GET /v1/networks/app", &fixture::network())
            .ok("GET /v1/networks/web", &fixture::network())
            .refusal("GET /v1/networks/later", 404, "there is no network \"later\"")
            .start();
        Self { directory, agent }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn weft(&self, verb: &str, flags: &str) -> Outcome {
        let root = self.directory.path().display();
        let line = format!("{verb} cni --bin-dir {root}/bin --conf-dir {root}/net.d {flags}");
        weft(&self.agent.socket, &line)
    }

    fn install(&self, flags: &str) -> Outcome {
        self.weft("install", &format!("--shim {} {flags}", self.path("weft-cni").display()))
    }

    /// Output with the paths of this host taken out.
    fn told(&self, text: &str) -> String {
        let text = text.replace(&self.agent.socket.display().to_string(), "SOCKET");
        text.replace(&self.directory.path().display().to_string(), "")
    }

    fn files(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(directory)).expect("a directory");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
        names.sort();
        names
    }

    fn conflist(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path(&format!("net.d/{name}"))).expect("a file")).expect("JSON")
    }
}

#[test]
fn the_shim_comes_first_and_each_network_has_its_list() {
    let host = Host::new(&["loopback", "portmap"]);
    let told = host.told(&host.install("--network app --network web").out());
    assert_eq!(
        told,
        "wrote /bin/weft-cni\nfound /bin/portmap: published ports are served\n\
         wrote /net.d/05-weft-app.conflist\nwrote /net.d/05-weft-web.conflist\n"
    );
    assert_eq!(host.files("bin"), ["loopback", "portmap", "weft-cni"]);
    assert_eq!(host.files("net.d"), ["05-weft-app.conflist", "05-weft-web.conflist"]);
    assert_eq!(fs::read(host.path("bin/weft-cni")).expect("the shim"), b"the shim");
    let mode = |name: &str| fs::metadata(host.path(name)).expect("metadata").permissions().mode() & 0o7777;
    assert_eq!((mode("bin/weft-cni"), mode("net.d/05-weft-app.conflist")), (0o755, 0o644));
    let text = fs::read_to_string(host.path("net.d/05-weft-app.conflist")).expect("a file");
    golden("install/05-weft-app.conflist", &host.told(&text));
}

#[test]
fn a_second_time_changes_nothing() {
    let host = Host::new(&["loopback", "portmap"]);
    host.install("--network app").out();
    let inodes =
        || ["bin/weft-cni", "net.d/05-weft-app.conflist"].map(|name| fs::metadata(host.path(name)).expect(name).ino());
    let before = inodes();
    let told = host.told(&host.install("--network app").out());
    assert!(told.contains("unchanged /bin/weft-cni\n") && told.contains("unchanged /net.d/05-weft-app.conflist\n"));
    assert_eq!(inodes(), before);
}

#[test]
fn a_file_that_differs_is_replaced_and_never_written_in_place() {
    let host = Host::new(&["loopback", "portmap"]);
    host.directory.file("bin/weft-cni", "an old shim, in use");
    let in_use = fs::File::open(host.path("bin/weft-cni")).expect("open");
    assert!(host.told(&host.install("").out).starts_with("wrote /bin/weft-cni\n"));
    assert_eq!(std::io::read_to_string(in_use).expect("read"), "an old shim, in use");
    fs::set_permissions(host.path("bin/weft-cni"), fs::Permissions::from_mode(0o600)).expect("chmod");
    assert!(host.told(&host.install("").out).starts_with("wrote /bin/weft-cni\n"), "the mode counts as well");
}

#[test]
fn what_a_crash_left_is_cleared_away() {
    let host = Host::new(&["loopback", "portmap"]);
    host.directory.file("bin/.weft-cni.tmp", "half a sh");
    fs::create_dir(host.path("net.d")).expect("make a directory");
    host.directory.file("net.d/.05-weft-app.conflist.tmp", "{");
    host.install("--network app").out();
    assert_eq!(host.files("bin"), ["loopback", "portmap", "weft-cni"]);
    assert_eq!(host.files("net.d"), ["05-weft-app.conflist"]);
}

#[test]
fn without_a_shim_no_runtime_is_told_to_call_it() {
    let host = Host::new(&[]);
    fs::remove_file(host.path("weft-cni")).expect("remove");
    let error = host.told(&host.install("--network app").error());
    assert_eq!(error, "cannot read the shim /weft-cni: No such file or directory (os error 2)");
    assert!(!host.path("net.d").exists());
}

#[test]
fn a_shim_that_cannot_be_placed_leaves_nothing() {
    let host = Host::new(&[]);
    fs::create_dir_all(host.path("bin/weft-cni/x")).expect("a directory in its place");
    let error = host.told(&host.install("--network app").error());
    assert!(error.starts_with("cannot write /bin/weft-cni: "), "{error}");
    assert_eq!(host.files("bin"), ["weft-cni"]);
    assert!(!host.path("net.d").exists());
}

#[test]
fn an_installed_shim_is_kept_where_there_is_no_other() {
    let host = Host::new(&["loopback", "portmap", "weft-cni"]);
    let outcome = host.weft("install", "--network app");
    assert!(host.told(&outcome.out()).starts_with("unchanged /bin/weft-cni\n"));
}

#[test]
fn what_is_missing_is_told() {
    let host = Host::new(&[]);
    let outcome = host.install("--network later");
    assert_eq!(host.told(&outcome.out), "wrote /bin/weft-cni\nwrote /net.d/05-weft-later.conflist\n");
    golden("install/warnings.txt", &host.told(&outcome.err));
    assert_eq!(host.conflist("05-weft-later.conflist")["plugins"].as_array().expect("plugins").len(), 1);
    let outcome = host.install("");
    assert!(outcome.err.contains("no network is offered to runtimes: name one with --network"), "{}", outcome.err);
}

#[test]
fn weftd_need_not_run() {
    let host = Host::new(&["loopback", "portmap"]);
    let root = host.directory.path().display();
    let line = format!("install cni --shim {root}/weft-cni --bin-dir {root}/bin --conf-dir {root}/net.d --network app");
    let outcome = weft(&host.path("nobody"), &line);
    assert!(outcome.err.starts_with("weft: warning: cannot reach weftd at "), "{}", outcome.err);
    assert_eq!(host.conflist("05-weft-app.conflist")["name"], "app");
}

#[test]
fn a_list_may_have_another_name_than_its_network() {
    let host = Host::new(&["loopback"]);
    host.install("--network app --name podnet --portmap").result.expect("installed");
    let list = host.conflist("05-weft-podnet.conflist");
    assert_eq!((&list["name"], &list["plugins"][0]["network"]), (&"podnet".into(), &"app".into()));
    assert_eq!(list["plugins"][1]["type"], "portmap");
    let error = host.install("--network app --network web --name x").error();
    assert_eq!(error, "--name goes with exactly one --network");
}

#[test]
fn only_an_unusual_socket_is_named() {
    let host = Host::new(&["loopback", "portmap"]);
    host.install("--network app").out();
    let named = host.conflist("05-weft-app.conflist")["plugins"][0]["socket"].clone();
    assert_eq!(named, host.agent.socket.display().to_string());
    host.install("--network app --socket /run/weft/weft.sock").result.expect("installed");
    assert!(host.conflist("05-weft-app.conflist")["plugins"][0].get("socket").is_none());
}

#[test]
fn uninstall_takes_away_what_install_wrote_and_nothing_else() {
    let host = Host::new(&["loopback", "portmap"]);
    host.install("--network app --network web").out();
    for (name, text) in [
        ("10-bridge.conflist", r#"{"cniVersion":"1.0.0","name":"b","plugins":[{"type":"bridge"}]}"#),
        ("05-weft-mine.conflist", r#"{"cniVersion":"1.0.0","name":"m","plugins":[{"type":"bridge"}]}"#),
        ("05-weft-broken.conflist", "{"),
        ("99-own.conflist", r#"{"cniVersion":"1.0.0","name":"o","plugins":[{"type":"weft-cni"}]}"#),
    ] {
        host.directory.file(&format!("net.d/{name}"), text);
    }
    assert_eq!(
        host.told(&host.weft("uninstall", "").out()),
        "removed /net.d/05-weft-app.conflist\nremoved /net.d/05-weft-web.conflist\nremoved /bin/weft-cni\n"
    );
    let kept = ["05-weft-broken.conflist", "05-weft-mine.conflist", "10-bridge.conflist", "99-own.conflist"];
    assert_eq!(host.files("net.d"), kept);
    assert_eq!(host.files("bin"), ["loopback", "portmap"]);
    assert_eq!(host.told(&host.weft("uninstall", "").out()), "absent /bin/weft-cni\n");
}

#[test]
fn uninstall_needs_no_directories() {
    let host = Host::new(&[]);
    fs::remove_dir(host.path("bin")).expect("remove");
    assert_eq!(host.told(&host.weft("uninstall", "").out()), "absent /bin/weft-cni\n");
}

#[test]
fn chains_that_limit_rates_by_another_plugin_are_told_of() {
    let host = Host::new(&["loopback", "portmap"]);
    let chain = |kinds: [&str; 2]| {
        let plugins: Vec<_> = kinds.iter().map(|kind| serde_json::json!({ "type": kind })).collect();
        serde_json::json!({ "cniVersion": "1.0.0", "name": "x", "plugins": plugins }).to_string()
    };
    fs::create_dir(host.path("net.d")).expect("make a directory");
    host.directory.file("net.d/10-good.conflist", &chain(["bridge", "bandwidth"]));
    host.directory.file("net.d/10-bad.conflist", &chain(["weft-cni", "bandwidth"]));
    host.directory.file("net.d/10-broken.conflist", "{");
    let told = host.told(&host.install("--network app").err);
    assert!(told.contains("/net.d/10-bad.conflist: plugin bandwidth cannot stand behind weft-cni"), "{told}");
    assert!(told.contains("\"bandwidth\": true") && !told.contains("good") && !told.contains("broken"), "{told}");
}
