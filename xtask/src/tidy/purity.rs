//! Tiers 0 and 1 think; they touch nothing, know no time, and give the same answer twice.
//!
//! What other crates they may use is a matter of `layering`; this looks for the doors that std itself opens.

use super::Finding;
use super::tree::{SourceFile, Tree};

/// Where the pure crates are. `crates/netns` is of tier 0 too, and is the stated exception: it enters namespaces.
const PURE: &[&str] = &["crates/model/", "crates/reconcile/", "crates/ipam/", "crates/dhcp/"];

/// The start of a path, and what to do instead of naming it.
const DOORS: &[(&str, &str)] = &[
    ("std::fs", "take the content as an argument"),
    ("std::io::stdin", "take the content as an argument"),
    ("std::net::Tcp", "return what to send as a value"),
    ("std::net::Udp", "return what to send as a value"),
    ("std::os::unix::net", "return what to send as a value"),
    ("std::process", "return what to run as a value"),
    ("std::env", "take the setting as an argument"),
    ("std::thread", "leave threads to the caller"),
    ("Instant::now", "take `now` as an argument"),
    ("SystemTime::now", "take `now` as an argument"),
    ("HashMap", "BTreeMap: its order is the same every time"),
    ("HashSet", "BTreeSet: its order is the same every time"),
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let pure = |path: &str| PURE.iter().any(|start| path.starts_with(start));
    tree.rust().filter(|(file, _)| pure(&file.path)).flat_map(|(file, _)| check_file(file)).collect()
}

fn check_file(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut import: Option<(usize, String)> = None;
    for (number, line) in file.production() {
        match &mut import {
            Some((_, text)) => text.push_str(line.trim()),
            None if is_import(line) => import = Some((number, line.trim().to_owned())),
            None => findings.extend(judge(file, number, line)),
        }
        if let Some((number, text)) = import.take_if(|(_, text)| text.ends_with(';')) {
            findings.extend(paths(&text).iter().flat_map(|path| judge(file, number, path)));
        }
    }
    findings
}

fn judge(file: &SourceFile, number: usize, code: &str) -> Vec<Finding> {
    let named = DOORS.iter().filter(|(door, _)| mentions(code, door));
    named.map(|(door, instead)| Finding::new(&file.path, number, format!("{door} in a pure crate"), *instead)).collect()
}

/// Whether `door` occurs in `code` as the start of a name.
fn mentions(code: &str, door: &str) -> bool {
    let starts_name = |index: usize| !code[..index].ends_with(|c: char| c.is_alphanumeric() || c == '_');
    code.match_indices(door).any(|(index, _)| starts_name(index))
}

fn is_import(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("use ") || (line.starts_with("pub") && line.contains(" use "))
}

/// The full paths of an import: `use std::{fs, net::Ipv4Addr};` names `std::fs` and `std::net::Ipv4Addr`.
fn paths(import: &str) -> Vec<String> {
    let mut paths = Vec::new();
    let mut prefixes = vec![String::new()];
    let mut name = String::new();
    let tree = import.split_once("use ").map_or("", |(_, tree)| tree);
    for c in tree.chars().filter(|c| !c.is_whitespace()) {
        let prefix = prefixes.last().cloned().unwrap_or_default();
        match c {
            '{' => prefixes.push(prefix + &std::mem::take(&mut name)),
            ',' | '}' | ';' => {
                if !name.is_empty() {
                    paths.push(prefix + &std::mem::take(&mut name));
                }
                if c == '}' {
                    prefixes.pop();
                }
            }
            _ => name.push(c),
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::super::tree::fixture;
    use super::*;

    fn found(path: &str, text: &str) -> Vec<(usize, String)> {
        check(&fixture::files(&[(path, text)])).into_iter().map(|it| (it.line, it.problem)).collect()
    }

    #[test]
    fn imports_are_seen_through_their_braces() {
        let paths = paths("pub(crate) use std::{collections::{BTreeMap, HashMap}, fs, net::Ipv4Addr};");
        let expected = ["std::collections::BTreeMap", "std::collections::HashMap", "std::fs", "std::net::Ipv4Addr"];
        assert_eq!(paths, expected);
    }

    #[test]
    fn doors_are_found_in_imports_and_in_code() {
        let text = "use std::{\n    fs,\n    net::TcpStream,\n};\nfn f() { std::env::var(\"A\"); Instant::now(); }\n";
        let expected = ["std::fs", "std::net::Tcp"].map(|door| (1, format!("{door} in a pure crate")));
        assert_eq!(found("crates/ipam/src/lib.rs", text)[..2], expected);
        let expected = ["std::env", "Instant::now"].map(|door| (5, format!("{door} in a pure crate")));
        assert_eq!(found("crates/ipam/src/lib.rs", text)[2..], expected);
    }

    #[test]
    fn what_is_pure_or_tested_or_elsewhere_is_not_found() {
        let pure = "use std::net::Ipv4Addr;\nuse std::collections::BTreeMap;\nfn f(now: Instant) {}\n";
        assert_eq!(found("crates/model/src/lib.rs", pure), []);
        assert_eq!(found("crates/model/src/lib.rs", "#[cfg(test)]\nuse std::fs;\n"), []);
        assert_eq!(found("crates/model/tests/a.rs", "use std::fs;\n"), []);
        assert_eq!(found("crates/netns/src/lib.rs", "use std::fs;\n"), []);
    }
}
