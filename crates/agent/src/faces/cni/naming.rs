//! What the interfaces of one call are called: CNI_IFNAME for the first network, the next numbers for the others of its
//! list, and `netN` for the Nth of the pod's annotation, as Multus calls it.
//!
//! Behind a plugin that gave CNI_IFNAME away, the first is an additional one as well.

use std::collections::BTreeSet;

use serde_json::Value;
use weft_model::{Family, IfName};

use super::error::{Code, Failure};
use super::selection::Selection;

/// Where a name with no number at its end is counted on from.
const STEM: &str = "eth";
/// Names of additional interfaces.
const ADDITIONAL_STEM: &str = "net";

/// What plugins in front of weft in the chain have made, as their result has it.
#[derive(Debug, Default)]
pub(super) struct Previous {
    /// Interfaces inside the container.
    pub(super) interfaces: BTreeSet<String>,
    /// Families whose default route one of them has.
    pub(super) defaults: Vec<Family>,
}

impl Previous {
    pub(super) fn read(result: &Value) -> Self {
        let items = |field: &str| result[field].as_array().into_iter().flatten();
        let inside = items("interfaces").filter(|found| found["sandbox"].as_str().is_some_and(|path| !path.is_empty()));
        let is_default = |family: &Family| {
            let everything = family.everything();
            items("routes").any(|route| route["dst"].as_str().and_then(|dst| dst.parse().ok()) == Some(everything))
        };
        Self {
            interfaces: inside.filter_map(|found| found["name"].as_str().map(str::to_owned)).collect(),
            defaults: Family::ALL.into_iter().filter(is_default).collect(),
        }
    }
}

/// The interface of each selection. `present` are those that the container has by other calls.
pub(super) fn interfaces(
    ifname: &IfName,
    selections: &[Selection],
    previous: &Previous,
    present: &BTreeSet<String>,
) -> Result<Vec<IfName>, Failure> {
    let is_behind = previous.interfaces.contains(ifname.as_str());
    let asked = |place: usize, selection: &Selection| match &selection.interface {
        None if place == 0 && !is_behind => Ok(Some(ifname.clone())),
        Some(other) if place == 0 && !is_behind && other != ifname => {
            let reason = format!(
                "{}: interface {other}: the first network's is {ifname}, as CNI_IFNAME says, unless another plugin has \
                 made that: leave it out",
                selection.field
            );
            Err(Failure::new(Code::Config, reason))
        }
        asked => Ok(asked.clone()),
    };
    let asked: Vec<_> =
        selections.iter().enumerate().map(|(place, selection)| asked(place, selection)).collect::<Result<_, _>>()?;
    let mut taken = previous.interfaces.clone();
    for (name, selection) in asked.iter().zip(selections) {
        let Some(name) = name else { continue };
        if !taken.insert(name.to_string()) {
            let reason = format!("{}: interface {name} is another one's already: ask for another", selection.field);
            return Err(Failure::new(Code::Config, reason));
        }
    }
    taken.extend(present.iter().cloned());
    let (stem, number) = counted(ifname.as_str());
    let mut annotated = 0;
    let named = asked.into_iter().enumerate().map(|(place, name)| {
        annotated += usize::from(selections[place].by_annotation);
        let (stem, first) = match place {
            0 => (ADDITIONAL_STEM, 1),
            _ if selections[place].by_annotation => (ADDITIONAL_STEM, annotated),
            _ => (stem, number + 1),
        };
        name.map_or_else(|| next_free(stem, first, &mut taken), Ok)
    });
    named.collect()
}

/// The first of `STEM`N from `first` on that is not taken; it is then.
fn next_free(stem: &str, first: usize, taken: &mut BTreeSet<String>) -> Result<IfName, Failure> {
    let names = (first..=first + taken.len()).map(|number| format!("{stem}{number}"));
    let free = names.into_iter().find(|name| !taken.contains(name)).unwrap_or_default();
    taken.insert(free.clone());
    let faulty = |error| Failure::new(Code::Config, format!("no name for a further interface: {error}: ask for one"));
    IfName::parse(free).map_err(faulty)
}

/// A name's stem, and the number at its end.
fn counted(ifname: &str) -> (&str, usize) {
    let stem = ifname.trim_end_matches(|c: char| c.is_ascii_digit());
    match ifname[stem.len()..].parse() {
        Ok(number) if !stem.is_empty() => (stem, number),
        _ => (STEM, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn named(ifname: &str, asked: &[&str], previous: &[&str], present: &[&str]) -> Result<Vec<String>, String> {
        let selection = |asked: &&str| Selection {
            field: format!("<{asked}>"),
            interface: asked.trim_start_matches('#').strip_prefix('@').map(|name| name.parse().unwrap()),
            by_annotation: asked.contains('#'),
            ..Selection::default()
        };
        let selections: Vec<_> = asked.iter().map(selection).collect();
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let previous = Previous { interfaces: set(previous), ..Previous::default() };
        let names = interfaces(&ifname.parse().unwrap(), &selections, &previous, &set(present));
        names.map(|names| names.iter().map(ToString::to_string).collect()).map_err(|failure| failure.message)
    }

    #[test]
    fn numbers_follow_that_of_the_first_and_skip_what_is_taken() {
        for (ifname, asked, previous, present, expected) in [
            ("eth0", &[""][..], &[][..], &[][..], &["eth0"][..]),
            ("eth0", &["", "", ""], &[], &[], &["eth0", "eth1", "eth2"]),
            ("eth3", &["", ""], &[], &["eth3", "eth4"], &["eth3", "eth5"]),
            ("data", &["", ""], &[], &[], &["data", "eth1"]),
            ("eth0", &["", "", "@eth1"], &[], &[], &["eth0", "eth2", "eth1"]),
            ("eth0", &["@eth0", ""], &[], &[], &["eth0", "eth1"]),
            // As Multus counts: by their place, whatever the others are called.
            ("eth0", &["", "", "#", "#@x", "#"], &[], &[], &["eth0", "eth1", "net1", "x", "net3"]),
            ("eth0", &["", "#"], &[], &["net1"], &["eth0", "net2"]),
            ("eth0", &[""], &["eth0"], &[], &["net1"]),
            ("eth0", &[""], &["eth0", "net1"], &[], &["net2"]),
            ("eth0", &["@data0", "", "#"], &["eth0"], &[], &["data0", "eth1", "net1"]),
            ("eth0", &["", "#"], &["eth0"], &[], &["net1", "net2"]),
            ("eth0", &[""], &["lo"], &[], &["eth0"]),
        ] {
            assert_eq!(
                named(ifname, asked, previous, present).unwrap(),
                expected,
                "{asked:?} {previous:?} {present:?}"
            );
        }
    }

    #[test]
    fn names_that_collide_are_refused() {
        for (asked, previous, expected) in [
            (&["@data0"][..], &[][..], "<@data0>: interface data0: the first network's is eth0"),
            (&["", "@eth0"], &[], "<@eth0>: interface eth0 is another one's already"),
            (&["", "@x", "@x"], &[], "<@x>: interface x is another one's"),
            (&["@eth0"], &["eth0"], "<@eth0>: interface eth0 is another one's"),
        ] {
            let message = named("eth0", asked, previous, &[]).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
        assert!(named("abcdefghijklm99", &["", ""], &[], &[]).unwrap_err().contains("abcdefghijklm100"));
    }

    #[test]
    fn of_a_result_in_front_the_inside_counts_and_its_default_routes() {
        let previous = Previous::read(&json!({
            "interfaces": [{"name": "br0"}, {"name": "veth0", "sandbox": ""}, {"name": "eth0", "sandbox": "/x"}],
            "routes": [{"dst": "10.0.0.0/8"}, {"dst": "0.0.0.0/0", "gw": "10.1.0.1"}, {"gw": "x"}],
        }));
        assert_eq!(previous.interfaces, BTreeSet::from(["eth0".to_owned()]));
        assert_eq!(previous.defaults, [Family::IPv4]);
        assert!(Previous::read(&Value::Null).interfaces.is_empty());
    }
}
