//! What cargo knows of the workspace: packages, their dependencies, licences and targets.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// The output of `cargo metadata`, as far as it is used here.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    /// Those of the workspace and all that they depend on.
    pub(crate) packages: Vec<Package>,
    /// Where cargo builds.
    pub(crate) target_directory: PathBuf,
    workspace_root: PathBuf,
}

/// One package.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// An SPDX expression.
    pub(crate) license: Option<String>,
    pub(crate) dependencies: Vec<Dependency>,
    /// Absent for packages of the workspace.
    source: Option<String>,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

/// One line of a `[dependencies]` table.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    kind: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Target {
    src_path: PathBuf,
}

impl Metadata {
    /// Asks cargo: without the network if what is needed was fetched before.
    pub(crate) fn read() -> Result<Self> {
        let output = match ask(&["--offline"]) {
            Ok(output) => output,
            Err(_) => ask(&[])?,
        };
        Self::parse(&output)
    }

    pub(crate) fn parse(json: &[u8]) -> Result<Self> {
        serde_json::from_slice(json).context("read the output of cargo metadata")
    }

    /// The packages that are developed here.
    pub(crate) fn own(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.is_own())
    }

    /// Where `package` is declared, seen from the root.
    pub(crate) fn manifest(&self, package: &Package) -> String {
        self.relative(&package.manifest_path)
    }

    /// The files that cargo hands to the compiler, seen from the root.
    pub(crate) fn roots(&self) -> impl Iterator<Item = String> {
        self.own().flat_map(|package| &package.targets).map(|target| self.relative(&target.src_path))
    }

    /// `path` seen from the root.
    pub(crate) fn relative(&self, path: &Path) -> String {
        path.strip_prefix(&self.workspace_root).unwrap_or(path).display().to_string()
    }
}

impl Package {
    pub(crate) fn is_own(&self) -> bool {
        self.source.is_none()
    }

    /// What it is built with and from; its tests may use more.
    pub(crate) fn built_with(&self) -> impl Iterator<Item = &str> {
        self.dependencies.iter().filter(|it| it.kind.as_deref() != Some("dev")).map(|it| it.name.as_str())
    }
}

fn ask(more: &[&str]) -> Result<Vec<u8>> {
    // Only Linux: the packages of other systems may never have been fetched.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", &platform])
        .args(more)
        .output()
        .context("run cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}
