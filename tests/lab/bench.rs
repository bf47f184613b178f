//! The benches work. What they find out is no matter of tests.

use std::process::Command;

use serde_json::Value;
use weft_lab::{programs, stdout_of};

/// Of those that every machine can run: two CPUs are not asked for.
const CASES: [&str; 4] = ["exchange", "exchange-ipv6", "streams", "connect"];
/// A case of physical networks alone, where weft competes with the kernel.
const CASE_PHYSICAL: &str = "streams-ipv6";
const CONTENDERS: usize = 5;
const CONTENDERS_PHYSICAL: usize = 2;

#[test]
fn packets_take_every_path_that_is_compared_and_all_of_them_arrive() {
    let mut weft = Command::new(programs::find("weft").unwrap());
    weft.args(["bench", "path", "--rounds", "1", "-o", "json"]);
    weft.args(CASES.iter().chain([&CASE_PHYSICAL]).flat_map(|case| ["--case", case]));
    let report: Value = serde_json::from_str(&stdout_of(&mut weft).unwrap()).unwrap();
    let figures = report["figures"].as_array().unwrap();
    let expected = CASES.len() * (CONTENDERS + CONTENDERS_PHYSICAL) + CONTENDERS_PHYSICAL;
    assert_eq!(figures.len(), expected, "{report:#}");
    for figure in figures {
        assert_eq!((&figure["turns"], &figure["failed"]), (&1.into(), &0.into()), "{figure:#}");
        assert!(figure["median"].as_f64().unwrap() > 0.0, "{figure:#}");
    }
    // Each exchange has three rivals, the others have one; weft is there on two networks. On the physical one, it has
    // one in every case.
    assert_eq!(report["answers"].as_array().unwrap().len(), (3 + 3 + 1 + 1) * 2 + 5, "{report:#}");
}

#[test]
fn who_joins_the_physical_network_is_held_against_debian_s_plugin_of_the_kind() {
    for (mode, plugin) in [("macvlan", "macvlan"), ("device", "host-device")] {
        let mut weft = Command::new(programs::find("weft").unwrap());
        weft.args(["bench", "attach", "--rounds", "1", "--mode", mode, "--case", "physical", "-o", "json"]);
        let report: Value = serde_json::from_str(&stdout_of(&mut weft).unwrap()).unwrap();
        let figures = report["figures"].as_array().unwrap();
        // ADD and DEL of three.
        assert_eq!(figures.len(), 3 * 2, "{report:#}");
        assert!(figures.iter().all(|figure| figure["failed"] == 0 && figure["succeeded"] != 0), "{report:#}");
        let answers = report["answers"].as_array().unwrap();
        let asked: Vec<_> = answers.iter().map(|answer| answer["question"].as_str().unwrap()).collect();
        let expected = ["", ", IPv4 alone"].map(|families| {
            let both = if families.is_empty() { "" } else { ", both" };
            format!("mean ADD: {plugin}+host-local{families} / weft{both}")
        });
        assert_eq!(asked, expected, "{report:#}");
        assert_eq!(report["absent"].as_array().unwrap().len(), 0, "{report:#}");
    }
}

#[test]
fn commands_on_every_network_are_held_against_one_in_an_empty_namespace() {
    let mut weft = Command::new(programs::find("weft").unwrap());
    let report: Value =
        serde_json::from_str(&stdout_of(weft.args(["bench", "run", "--rounds", "1", "-o", "json"])).unwrap()).unwrap();
    let [figures, answers, absent] = ["figures", "answers", "absent"].map(|part| report[part].as_array().unwrap());
    let networks = 4 - absent.len();
    assert_eq!((figures.len(), answers.len()), (networks + 1, networks), "{report:#}");
    for figure in figures {
        assert_eq!((&figure["turns"], &figure["failed"]), (&1.into(), &0.into()), "{figure:#}");
    }
}

#[test]
fn telling_of_flows_is_weighed_against_telling_of_none() {
    let mut weft = Command::new(programs::find("weft").unwrap());
    weft.args(["bench", "sight", "--rounds", "1", "--mode", "routed", "-o", "json"]);
    weft.args(["exchange", "connect"].iter().flat_map(|case| ["--case", case]));
    let report: Value = serde_json::from_str(&stdout_of(&mut weft).unwrap()).unwrap();
    let figures = report["figures"].as_array().unwrap();
    assert_eq!(figures.len(), 2 * 2, "{report:#}");
    for figure in figures {
        assert_eq!((&figure["turns"], &figure["failed"]), (&1.into(), &0.into()), "{figure:#}");
        assert!(figure["median"].as_f64().unwrap() > 0.0, "{figure:#}");
    }
    assert_eq!(report["answers"].as_array().unwrap().len(), 2, "{report:#}");
}

#[test]
fn policies_are_held_against_others_with_the_same_rules() {
    let mut weft = Command::new(programs::find("weft").unwrap());
    weft.args(["bench", "policy", "--rounds", "1", "--rules", "40", "--endpoints", "4", "-o", "json"]);
    let report: Value = serde_json::from_str(&stdout_of(&mut weft).unwrap()).unwrap();
    let figures = report["figures"].as_array().unwrap();
    // Three cases, three who guard, one rule and many; programs in two cases; changes about one and all; two births.
    assert_eq!(figures.len(), 3 * 3 * 2 + 2 * 2 + 2 + 2, "{report:#}");
    for figure in figures {
        assert_eq!((&figure["turns"], &figure["failed"]), (&1.into(), &0.into()), "{figure:#}");
        assert!(figure["median"].as_f64().unwrap() > 0.0, "{figure:#}");
    }
    assert_eq!(report["answers"].as_array().unwrap().len(), 3 * 3 + 2 + 2 + 1, "{report:#}");
}

#[test]
fn services_are_held_against_others_with_the_same_backends() {
    let mut weft = Command::new(programs::find("weft").unwrap());
    weft.args(["bench", "service", "--rounds", "1", "--services", "20", "-o", "json"]);
    let report: Value = serde_json::from_str(&stdout_of(&mut weft).unwrap()).unwrap();
    let figures = report["figures"].as_array().unwrap();
    // Two cases, three who lead and weft's direct way, one service and many; programs; one change, and all.
    assert_eq!(figures.len(), 2 * 4 * 2 + 2 + 2, "{report:#}");
    for figure in figures {
        assert_eq!((&figure["turns"], &figure["failed"]), (&1.into(), &0.into()), "{figure:#}");
        assert!(figure["median"].as_f64().unwrap() > 0.0, "{figure:#}");
    }
    assert_eq!(report["answers"].as_array().unwrap().len(), 2 * 4 + 1 + 2, "{report:#}");
}
