//! What the maps take of the kernel's memory.

use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;

use libbpf_rs::MapHandle;

/// Bytes of all maps pinned in `directory`, as the kernel accounts for them (proc(5), "memlock" of `fdinfo`). Before
/// Linux 6.4 it says what they may come to take.
pub(crate) fn of_maps(directory: &Path) -> u64 {
    let pins = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let maps = pins.filter_map(|pin| MapHandle::from_pinned_path(pin.path()).ok());
    maps.filter_map(|map| bytes_of(&map)).sum()
}

fn bytes_of(map: &MapHandle) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", map.as_fd().as_raw_fd())).ok()?;
    text.lines().find_map(|line| line.strip_prefix("memlock:"))?.trim().parse().ok()
}
