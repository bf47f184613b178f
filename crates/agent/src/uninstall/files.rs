//! What agents wrote into the file system, by the names that they give it: nothing else in those directories is theirs.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::apply::settings;
use crate::config::Config;
use crate::ledger;
use crate::shell::lock;

/// What the names of weft's pins begin with.
const PIN_PREFIX: &str = "weft_";

/// Ledger, settings, lock and socket, and drafts of them.
pub(super) fn of_run(config: &Config) -> Vec<PathBuf> {
    let file = |name| config.run_dir.join(name);
    let written = [file(ledger::FILE), file(settings::FILE)];
    let drafts = written.clone().map(|path| path.with_extension("new"));
    let others = [file(lock::FILE), config.socket.clone()];
    written.into_iter().chain(drafts).chain(others).filter(|path| is_there(path)).collect()
}

/// The store and its draft.
pub(super) fn of_state(config: &Config) -> Vec<PathBuf> {
    let store = config.store();
    [store.with_added_extension("new"), store].into_iter().filter(|path| is_there(path)).collect()
}

/// A socket of which nobody knows the other end is there, too.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Pins of every layout, in the order of their names.
pub(super) fn pins(bpf_dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut pins = Vec::new();
    let layouts: Vec<_> = list(bpf_dir)?.into_iter().filter(|path| is_layout(path)).collect();
    for directory in layouts.iter().map(PathBuf::as_path).chain([bpf_dir]) {
        pins.extend(list(directory)?.into_iter().filter(|path| name(path).starts_with(PIN_PREFIX)));
    }
    Ok(pins)
}

/// `v1`, `v2` and so on.
fn is_layout(path: &Path) -> bool {
    let name = name(path);
    let number = name.strip_prefix('v').unwrap_or_default();
    !number.is_empty() && number.bytes().all(|c| c.is_ascii_digit()) && path.is_dir()
}

/// Takes pins away, and the directories that are then empty.
pub(super) fn remove_pins(pins: &[PathBuf], config: &Config) -> anyhow::Result<()> {
    let mut directories: Vec<&Path> = pins.iter().filter_map(|pin| pin.parent()).collect();
    directories.dedup();
    directories.push(&config.bpf_dir);
    remove(pins, &directories)
}

/// Takes files away, and those of the directories that are then empty.
pub(super) fn remove(files: &[PathBuf], directories: &[&Path]) -> anyhow::Result<()> {
    let mut faults = Vec::new();
    for file in files {
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != ErrorKind::NotFound => faults.push(format!("{}: {error}", file.display())),
            _ => {}
        }
    }
    for directory in directories {
        let left = [ErrorKind::NotFound, ErrorKind::DirectoryNotEmpty, ErrorKind::ResourceBusy];
        match std::fs::remove_dir(directory) {
            Err(error) if !left.contains(&error.kind()) => faults.push(format!("{}: {error}", directory.display())),
            _ => {}
        }
    }
    if faults.is_empty() { Ok(()) } else { bail!("cannot remove {}", faults.join(", ")) }
}

/// What is in a directory; nothing, if it is not there.
fn list(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let read = || -> std::io::Result<Vec<PathBuf>> {
        let mut paths: Vec<_> =
            std::fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
        paths.sort();
        Ok(paths)
    };
    match read() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        other => other.with_context(|| format!("cannot list {}", directory.display())),
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Flags;

    #[test]
    fn only_what_bears_a_name_of_wefts_is_found_and_directories_of_others_stay() {
        let root = std::env::temp_dir().join(format!("weft-uninstall-{}", std::process::id()));
        for file in ["v1/weft_programs", "v12/weft_peers", "v1/cilium_x", "vx/weft_a", "weft_b", "v2"] {
            let path = root.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let pins = pins(&root).unwrap();
        assert_eq!(pins, ["v1/weft_programs", "v12/weft_peers", "weft_b"].map(|pin| root.join(pin)));
        let flags = Flags { bpf_dir: Some(root.clone()), ..Flags::default() };
        let config = Config::load(&flags).unwrap();
        remove_pins(&pins, &config).unwrap();
        remove_pins(&pins, &config).unwrap();
        assert_eq!((root.join("v1").exists(), root.join("v12").exists()), (true, false));
        std::fs::remove_dir_all(&root).unwrap();
        assert!(super::pins(&root).unwrap().is_empty());
    }
}
