//! Files that a program writes: what is committed must be what it would write now.

use std::process::Command;

use super::Finding;
use super::tree::Tree;

/// One generated file.
struct Generated {
    path: &'static str,
    /// Arguments of the cargo command that prints it.
    made_by: &'static [&'static str],
}

const GENERATED: &[Generated] = &[Generated {
    path: "openapi.json",
    made_by: &["run", "--quiet", "--locked", "--package", "weft-api", "--example", "openapi"],
}];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    GENERATED.iter().filter_map(|generated| check_one(tree, generated)).collect()
}

fn check_one(tree: &Tree, generated: &Generated) -> Option<Finding> {
    let command = format!("cargo {}", generated.made_by.join(" "));
    let instead = format!("{command} > {}", generated.path);
    let finding = |problem: String| Some(Finding::new(generated.path, 1, problem, instead.clone()));
    let made = Command::new("cargo").args(generated.made_by).output();
    let made = match made {
        Ok(output) if output.status.success() => output.stdout,
        Ok(output) => return finding(format!("cannot be made: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => return finding(format!("cannot be made: {error}")),
    };
    let committed = tree.files.iter().find(|file| file.path == generated.path);
    match committed {
        Some(file) if file.text.as_deref().map(str::as_bytes) == Some(&made) => None,
        Some(_) => finding("is not what its program writes now".to_owned()),
        None => finding("is missing".to_owned()),
    }
}
