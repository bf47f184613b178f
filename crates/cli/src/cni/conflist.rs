//! The configuration of a network for runtimes (CNI SPEC.md, section 1), and the name of its file.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::SHIM;

/// Runtimes take the first file in the order of names: early, with room for what must come earlier.
const PREFIX: &str = "05-weft-";
const SUFFIX: &str = ".conflist";

/// What weft-cni serves (CNI CONVENTIONS.md): runtimes send nothing else.
const CAPABILITIES: &[&str] =
    &["aliases", "bandwidth", "cgroupPath", "deviceID", "dns", "io.kubernetes.cri.pod-annotations", "ips", "mac"];

/// A list of plugins. Runtimes with libcni before 1.2 send `cniVersion` and take no newer result; later ones choose the
/// newest of `cniVersions`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Conflist<'a> {
    cni_version: &'a str,
    cni_versions: &'a [&'a str],
    name: &'a str,
    plugins: Vec<Plugin<'a>>,
}

#[derive(Debug, Default, Serialize)]
struct Plugin<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    socket: Option<&'a Path>,
    capabilities: BTreeMap<&'a str, bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snat: Option<bool>,
}

impl<'a> Conflist<'a> {
    /// The list `name` that joins containers to `network`; `socket` is named where weftd does not listen as usual.
    pub(crate) fn new(name: &'a str, network: &'a str, socket: Option<&'a Path>) -> Self {
        let capabilities = CAPABILITIES.iter().map(|name| (*name, true)).collect();
        let network = Some(network).filter(|network| *network != name);
        let weft = Plugin { kind: SHIM, network, socket, capabilities, snat: None };
        Self { cni_version: "1.0.0", cni_versions: &["0.4.0", "1.0.0", "1.1.0"], name, plugins: vec![weft] }
    }

    /// Has ports published by the portmap plugin of the CNI project.
    pub(crate) fn with_portmap(mut self) -> Self {
        let capabilities = BTreeMap::from([("portMappings", true)]);
        self.plugins.push(Plugin { kind: "portmap", capabilities, snat: Some(true), ..Plugin::default() });
        self
    }
}

/// Name of the file of the list called `name`.
pub(crate) fn file_name(name: &str) -> String {
    format!("{PREFIX}{name}{SUFFIX}")
}

/// The plugin that limits rates by queueing disciplines of its own, for which weft's filters leave no room.
pub(crate) const RIVAL: &str = "bandwidth";

/// Whether a file has a chain with [`RIVAL`] behind weft.
pub(crate) fn has_rival(path: &Path) -> bool {
    let list: Value = fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    let kinds = list["plugins"].as_array().into_iter().flatten().filter_map(|plugin| plugin["type"].as_str());
    kinds.skip_while(|kind| *kind != SHIM).any(|kind| kind == RIVAL)
}

/// Whether a file is one of those that `weft install cni` writes.
pub(crate) fn is_ours(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let list = || serde_json::from_slice::<Value>(&fs::read(path).ok()?).ok();
    name.starts_with(PREFIX) && name.ends_with(SUFFIX) && list().is_some_and(|list| list["plugins"][0]["type"] == SHIM)
}
