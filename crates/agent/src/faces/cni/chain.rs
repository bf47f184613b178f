//! Plugins that cannot stand behind weft in a chain. A plugin is told its own part alone, so the host's configurations
//! are looked at, where runtimes keep them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::error::{Code, Failure};

/// Where runtimes keep configurations.
const DIRECTORY: &str = "/etc/cni/net.d";
/// The shim, by which a chain is known to be weft's.
const SHIM: &str = "weft-cni";
/// It limits rates by queueing disciplines of its own, for which weft's filters leave no room: the kernel refuses them
/// at the first limited container ("Exclusivity flag on").
const RIVAL: &str = "bandwidth";

/// Refuses the chain called `name` if it has a plugin that cannot stand behind weft.
pub(super) fn refuse_rivals(name: &str) -> Result<(), Failure> {
    match rival_in(Path::new(DIRECTORY), name) {
        Some(path) => {
            let message = format!(
                "plugin {RIVAL} in {} cannot stand behind {SHIM}, which limits rates itself: take it out, and put \
                 \"{RIVAL}\": true among the capabilities of {SHIM}",
                path.display()
            );
            Err(Failure::new(Code::Unavailable, message))
        }
        None => Ok(()),
    }
}

/// The file of the chain, if the rival is behind weft there.
fn rival_in(directory: &Path, name: &str) -> Option<PathBuf> {
    let paths = fs::read_dir(directory).ok()?.flatten().map(|entry| entry.path());
    let mut lists = paths.filter(|path| path.extension().is_some_and(|extension| extension == "conflist"));
    lists.find(|path| {
        let list: Value = fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        let plugins = list["plugins"].as_array().into_iter().flatten().filter_map(|plugin| plugin["type"].as_str());
        list["name"] == name && plugins.skip_while(|kind| *kind != SHIM).any(|kind| kind == RIVAL)
    })
}
