//! Who may depend on whom. Dependencies point down only: ARCHITECTURE.md, "Tiers".

use std::collections::BTreeSet;

use super::Finding;
use super::tree::Tree;
use crate::metadata::Package;

/// What one package may be built with.
struct Layer {
    package: &'static str,
    tier: u8,
    /// Packages of this workspace.
    uses: &'static [&'static str],
    outside: Outside,
}

/// Which packages of others it may be built with.
enum Outside {
    /// What it needs; the licence check still looks at it.
    Any,
    Only(&'static [&'static str]),
}

use Outside::{Any, Only};

/// Every package, lowest first.
const LAYERS: &[Layer] = &[
    Layer { package: "weft-model", tier: 0, uses: &[], outside: Only(&["ipnet", "schemars", "serde", "thiserror"]) },
    Layer { package: "weft-reconcile", tier: 0, uses: &[], outside: Only(&["thiserror"]) },
    Layer { package: "weft-netns", tier: 0, uses: &[], outside: Only(&["rustix", "thiserror"]) },
    Layer { package: "weft-ipam", tier: 1, uses: &["weft-model"], outside: Only(&["ipnet", "thiserror"]) },
    Layer { package: "weft-dhcp", tier: 1, uses: &["weft-model"], outside: Only(&["ipnet", "thiserror"]) },
    Layer { package: "weft-policy", tier: 1, uses: &["weft-model"], outside: Only(&["ipnet"]) },
    Layer { package: "weft-services", tier: 1, uses: &["weft-model"], outside: Only(&["ipnet"]) },
    Layer { package: "weft-store", tier: 2, uses: &["weft-model"], outside: Any },
    Layer { package: "weft-kernel", tier: 2, uses: &["weft-model", "weft-reconcile", "weft-netns"], outside: Any },
    Layer { package: "weft-dataplane", tier: 2, uses: &["weft-model"], outside: Any },
    Layer { package: "weft-api", tier: 3, uses: &["weft-model"], outside: Any },
    Layer {
        package: "weft-agent",
        tier: 3,
        uses: &[
            "weft-model",
            "weft-reconcile",
            "weft-netns",
            "weft-ipam",
            "weft-dhcp",
            "weft-policy",
            "weft-services",
            "weft-store",
            "weft-kernel",
            "weft-dataplane",
            "weft-api",
        ],
        outside: Any,
    },
    Layer { package: "weft-cli", tier: 3, uses: &["weft-model", "weft-api"], outside: Any },
    Layer { package: "weft-cni", tier: 3, uses: &[], outside: Only(&[]) },
    Layer { package: "weft-lab", tier: 4, uses: &["weft-model", "weft-netns", "weft-api"], outside: Any },
    Layer {
        package: "weft-bench",
        tier: 5,
        uses: &[
            "weft-model",
            "weft-netns",
            "weft-kernel",
            "weft-dataplane",
            "weft-agent",
            "weft-api",
            "weft-cli",
            "weft-lab",
        ],
        outside: Any,
    },
    Layer {
        package: "weft",
        tier: 6,
        uses: &["weft-model", "weft-agent", "weft-api", "weft-cli", "weft-lab", "weft-bench"],
        outside: Any,
    },
    Layer { package: "weft-tests", tier: 5, uses: &["weft-netns", "weft-api", "weft-lab"], outside: Any },
    Layer { package: "xtask", tier: 5, uses: &[], outside: Only(&["anyhow", "serde", "serde_json"]) },
];

/// What runs on every host of a user, and must not bring the stage along.
const SHIPPED: &[&str] = &["weft-agent", "weft-cni"];

/// The lowest tier that is never shipped.
const STAGE_TIER: u8 = 4;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let each = tree.metadata.own().flat_map(|package| match layer(&package.name) {
        Some(layer) => check_package(tree, package, layer),
        None => vec![finding(tree, package, "name", "is in no tier", "add its row to xtask/src/tidy/layering.rs")],
    });
    each.chain(SHIPPED.iter().filter_map(|name| check_shipped(tree, name))).collect()
}

fn check_package(tree: &Tree, package: &Package, layer: &Layer) -> Vec<Finding> {
    let refused = |name: &str| match (self::layer(name), &layer.outside) {
        (Some(_), _) if layer.uses.contains(&name) => None,
        (Some(used), _) if used.tier >= layer.tier => Some("move what both need to a lower tier"),
        (Some(_), _) => Some("pass plain data, and let weft-agent join the two"),
        (None, Only(allowed)) if !allowed.contains(&name) => Some("keep this crate pure: leave the work to its caller"),
        (None, _) => None,
    };
    let judge = |name: &str| {
        let problem = format!("may not depend on {name}");
        refused(name).map(|instead| finding(tree, package, name, &problem, instead))
    };
    package.built_with().filter_map(judge).collect()
}

/// Follows the dependencies of a shipped package through the workspace.
fn check_shipped(tree: &Tree, shipped: &str) -> Option<Finding> {
    let own = |name: &str| tree.metadata.own().find(|package| package.name == name);
    let (mut seen, mut open) = (BTreeSet::new(), vec![own(shipped)?]);
    while let Some(package) = open.pop() {
        if layer(&package.name).is_some_and(|layer| layer.tier >= STAGE_TIER) {
            let problem = format!("ships inside {shipped}");
            return Some(finding(tree, package, "name", &problem, "keep the stage above what is shipped"));
        }
        if seen.insert(&package.name) {
            open.extend(package.built_with().filter_map(own));
        }
    }
    None
}

fn layer(package: &str) -> Option<&'static Layer> {
    LAYERS.iter().find(|layer| layer.package == package)
}

fn finding(tree: &Tree, package: &Package, line_start: &str, problem: &str, instead: &str) -> Finding {
    let manifest = tree.metadata.manifest(package);
    let line = tree.line_of(&manifest, line_start);
    Finding::new(&manifest, line, format!("{} {problem}", package.name), instead)
}

#[cfg(test)]
mod tests {
    use super::super::tree::fixture;
    use super::*;

    fn found(packages: &[String]) -> Vec<String> {
        let metadata = fixture::packages(&format!("[{}]", packages.join(",")));
        check(&Tree { files: vec![], metadata }).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn the_table_itself_points_down() {
        for (index, row) in LAYERS.iter().enumerate() {
            for used in row.uses {
                let below = LAYERS[..index].iter().find(|lower| lower.package == *used).expect("listed below");
                assert!(below.tier < row.tier || *used == "weft-api", "{} uses {used}", row.package);
                assert!(row.tier != 2 || below.tier == 0, "{} is of tier 2 and knows only tier 0", row.package);
            }
        }
    }

    #[test]
    fn what_is_allowed_is_not_found() {
        let ipam = fixture::own("weft-ipam", &[("weft-model", None), ("ipnet", None), ("proptest", Some("dev"))]);
        assert_eq!(found(&[ipam, fixture::own("weft-model", &[("weft-lab", Some("dev"))])]), [""; 0]);
    }

    #[test]
    fn what_is_not_allowed_is_found() {
        let cases = [
            ("weft-model", "weft-ipam", "move what both need to a lower tier"),
            ("weft-kernel", "weft-store", "move what both need to a lower tier"),
            ("weft-dataplane", "weft-kernel", "move what both need to a lower tier"),
            ("weft-kernel", "weft-ipam", "pass plain data, and let weft-agent join the two"),
            ("weft-cli", "weft-kernel", "pass plain data, and let weft-agent join the two"),
            ("weft-model", "rustix", "keep this crate pure: leave the work to its caller"),
            ("weft-cni", "serde", "keep this crate pure: leave the work to its caller"),
        ];
        for (package, used, instead) in cases {
            let expected = format!("{package}/Cargo.toml:1: {package} may not depend on {used}; do instead: {instead}");
            for kind in [None, Some("build")] {
                assert_eq!(found(&[fixture::own(package, &[(used, kind)])]).join("\n"), expected);
            }
        }
    }

    #[test]
    fn a_package_without_a_row_is_found() {
        let expected = "weft-fog/Cargo.toml:1: weft-fog is in no tier; \
                        do instead: add its row to xtask/src/tidy/layering.rs";
        assert_eq!(found(&[fixture::own("weft-fog", &[])]), [expected]);
    }

    #[test]
    fn the_stage_is_found_however_deep_it_ships() {
        let agent = fixture::own("weft-agent", &[("weft-api", None)]);
        let api = fixture::own("weft-api", &[("weft-lab", None)]);
        let found = found(&[agent, api, fixture::own("weft-lab", &[])]);
        let expected = "weft-lab/Cargo.toml:1: weft-lab ships inside weft-agent; \
                        do instead: keep the stage above what is shipped";
        assert!(found.contains(&expected.to_owned()), "{found:?}");
    }
}
