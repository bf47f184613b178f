//! What every store does, checked on every backend; and what the embedded one does with its file.

mod conformance;
mod crash;
mod file;
mod full_disk;
mod reference;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory of its own for one test; gone when dropped.
struct Scratch {
    directory: PathBuf,
}

impl Scratch {
    fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("weft-store-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir(&directory).expect("make the scratch directory");
        Self { directory }
    }

    /// Where this test keeps its store.
    fn store(&self) -> PathBuf {
        self.path().join("weft.redb")
    }

    fn path(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A failed removal must not hide why the test failed.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
