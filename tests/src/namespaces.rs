//! Namespaces by the hundred.

use std::fmt::Write as _;

use weft_lab::Host;

/// Where the names are put for `ip -batch`, inside.
const BATCH: &str = "/tmp/namespaces.ip";

/// Makes a namespace for each of `names`, as [`Host::netns`] does for one, with one process for all.
pub fn namespaces<S: AsRef<str>>(host: &Host, names: impl IntoIterator<Item = S>) {
    run(host, "add", names);
}

/// Takes the names of namespaces away, and with them the namespaces.
pub fn unname<S: AsRef<str>>(host: &Host, names: impl IntoIterator<Item = S>) {
    run(host, "delete", names);
}

fn run<S: AsRef<str>>(host: &Host, action: &str, names: impl IntoIterator<Item = S>) {
    let mut batch = String::new();
    for name in names {
        let _ = writeln!(batch, "netns {action} {}", name.as_ref());
    }
    host.write(BATCH, batch).unwrap_or_else(|error| panic!("{error:#}"));
    host.run(&["ip", "-batch", BATCH]).unwrap_or_else(|error| panic!("{error:#}"));
}
