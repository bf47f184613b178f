//! What every verb says of itself.

use std::collections::BTreeSet;
use std::fs;

use clap::{Command, CommandFactory as _};

use crate::directory::Directory;
use crate::golden::{directory, golden};
use crate::weft::{Weft, refusal, weft};

/// As wide as a terminal that nobody resized, in columns.
const WIDTH: usize = 100;

#[test]
fn the_command_line_is_sound() {
    Weft::command().debug_assert();
}

#[test]
fn every_verb_has_its_help() {
    let mut command = Weft::command().term_width(WIDTH);
    command.build();
    let mut names = BTreeSet::new();
    check(&mut command, "weft", &mut names);
    let files = fs::read_dir(directory().join("help")).expect("goldens");
    let present: BTreeSet<_> =
        files.map(|file| file.expect("a file").file_name().into_string().expect("UTF-8")).collect();
    assert_eq!(present, names, "one file for each, and no more");
}

fn check(command: &mut Command, name: &str, names: &mut BTreeSet<String>) {
    let file = format!("{name}.txt");
    golden(&format!("help/{file}"), &command.render_long_help().to_string());
    names.insert(file);
    let is_shown = |subcommand: &&mut clap::Command| subcommand.get_name() != "help" && !subcommand.is_hide_set();
    for subcommand in command.get_subcommands_mut().filter(is_shown) {
        let name = format!("{name}-{}", subcommand.get_name());
        check(subcommand, &name, names);
    }
}

#[test]
fn every_shell_has_its_completions() {
    let directory = Directory::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = weft(directory.path(), &format!("completions {shell}")).out();
        assert!(script.contains("masquerade-except"), "{shell}");
    }
}

#[test]
fn every_verb_has_its_manual_page() {
    let directory = Directory::new();
    let pages = directory.path().join("man");
    assert_eq!(weft(directory.path(), &format!("man --dir {}", pages.display())).out(), "");
    for page in ["weft.1", "weft-get.1", "weft-network-create.1", "weft-install-cni.1"] {
        let text = fs::read_to_string(pages.join(page)).expect(page);
        assert!(text.contains(".SH SYNOPSIS"), "{page}");
    }
    assert!(weft(directory.path(), "man").out().contains(".SH SUBCOMMANDS"));
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (line, reason) in [
        ("apply", "--file <FILE>"),
        (
            "get pods",
            "[possible values: networks, endpoints, nodes, services, endpointslices, networkpolicies, \
             clusternetworkpolicies, namespaces]",
        ),
        ("delete", "<KIND>"),
        ("delete network", "<NAME>..."),
        ("delete network a -f b", "cannot be used with"),
        ("network create a", "<--mode <MODE>|--attachment <ATTACHMENT>>"),
        ("network create a --mode brigde", "possible values: bridge, routed"),
        ("network create a --mode bridge --attachment bridge", "cannot be used with"),
        ("network create a --mode bridge --no-masquerade --masquerade-except 10.0.0.0/8", "cannot be used with"),
        ("network create a --mode bridge --mtu big", "write auto, or bytes"),
        ("network create a --mode bridge --dns x", "invalid IP address"),
        ("network create a --mode bridge --label x", "write KEY=VALUE"),
        ("install cni --network A_B", "use 1 to 63 lower-case letters"),
    ] {
        let refusal = refusal(line);
        assert!(refusal.contains(reason), "{line}: {refusal}");
    }
}
