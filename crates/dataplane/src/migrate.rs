//! From the maps of one layout to those of another: what an agent of another version knew, connections among it, is
//! known to this one.
//!
//! A map keeps its name for as long as it means the same, and its key does not change. New fields of a value go to its
//! end, and zero in them means what it meant without them. So a value that grew is filled with zeros, one that shrank
//! is cut, and an older agent can come back.

use std::path::{Path, PathBuf};

use libbpf_rs::{MapCore as _, MapFlags, MapHandle, MapType};

use crate::DataplaneError;

/// Copies what the maps of other layouts below `root` hold into those of `directory`, where that has nothing by that
/// key. May be run again.
pub(crate) fn copy(root: &Path, directory: &Path) -> Result<(), DataplaneError> {
    for former in others(root, directory)? {
        for pin in list(&former)? {
            let Some(name) = pin.file_name() else { continue };
            let now = directory.join(name);
            if now.exists() {
                copy_map(&open(&pin)?, &open(&now)?);
            }
        }
    }
    Ok(())
}

/// Takes the maps of other layouts away.
pub(crate) fn forget(root: &Path, directory: &Path) -> Result<(), DataplaneError> {
    for former in others(root, directory)? {
        let gone = std::fs::remove_dir_all(&former);
        gone.map_err(|e| DataplaneError::new("remove maps in", former.display().to_string(), &e))?;
    }
    Ok(())
}

/// Directories of other layouts.
fn others(root: &Path, directory: &Path) -> Result<Vec<PathBuf>, DataplaneError> {
    let is_layout = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.strip_prefix('v').is_some_and(|number| number.parse::<u32>().is_ok())
    };
    Ok(list(root)?.into_iter().filter(|path| path != directory && is_layout(path) && path.is_dir()).collect())
}

fn list(directory: &Path) -> Result<Vec<PathBuf>, DataplaneError> {
    let refused = |e: std::io::Error| DataplaneError::new("list", directory.display().to_string(), &e);
    let entries = std::fs::read_dir(directory).map_err(refused)?;
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(refused)).collect()
}

fn open(pin: &Path) -> Result<MapHandle, DataplaneError> {
    MapHandle::from_pinned_path(pin).map_err(|e| DataplaneError::new("open map", pin.display().to_string(), &e))
}

/// An entry that finds no room is lost, as it would be if it came now.
fn copy_map(from: &MapHandle, to: &MapHandle) {
    if from.key_size() != to.key_size() || from.map_type() != to.map_type() {
        return;
    }
    let size = to.value_size() as usize;
    let resized = |mut value: Vec<u8>| {
        value.resize(size, 0);
        value
    };
    match from.map_type() {
        MapType::Hash | MapType::LruHash | MapType::LpmTrie | MapType::Array => {
            for key in from.keys() {
                if let Ok(Some(value)) = from.lookup(&key, MapFlags::ANY) {
                    let _ = to.update(&key, &resized(value), newness(to));
                }
            }
        }
        MapType::PercpuHash | MapType::PercpuArray => {
            for key in from.keys() {
                if let Ok(Some(values)) = from.lookup_percpu(&key, MapFlags::ANY) {
                    let values: Vec<_> = values.into_iter().map(resized).collect();
                    let _ = to.update_percpu(&key, &values, newness(to));
                }
            }
        }
        // What is told and not heard yet is not waited for.
        _ => {}
    }
}

/// What is there already is newer; but of arrays everything is there from the beginning.
fn newness(map: &MapHandle) -> MapFlags {
    let is_array = [MapType::Array, MapType::PercpuArray].contains(&map.map_type());
    if is_array { MapFlags::ANY } else { MapFlags::NO_EXIST }
}
