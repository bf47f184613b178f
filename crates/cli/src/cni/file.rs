//! Files that others watch: they are there whole, or as they were.

use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is new, or has a new content.
    Wrote,
    /// It was so already.
    Unchanged,
    /// It is gone.
    Removed,
    /// It was not there.
    Absent,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Change::Wrote => "wrote",
            Change::Unchanged => "unchanged",
            Change::Removed => "removed",
            Change::Absent => "absent",
        })
    }
}

/// Gives `path` this content and mode, by way of a file beside it. That one's name begins with a dot and ends in
/// `.tmp`: runtimes read neither, and what a crash leaves of it is overwritten next time.
pub(crate) fn place(path: &Path, content: &[u8], mode: u32) -> Result<Change> {
    if is_so(path, content, mode) {
        return Ok(Change::Unchanged);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.tmp"));
    let placed = write(&temporary, content, mode).and_then(|()| fs::rename(&temporary, path));
    if placed.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&temporary);
    }
    placed.and_then(|()| sync_directory(path)).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Change::Wrote)
}

/// Takes `path` away.
pub(crate) fn remove(path: &Path) -> Result<Change> {
    match fs::remove_file(path) {
        Ok(()) => Ok(Change::Removed),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Change::Absent),
        Err(error) => Err(error).with_context(|| format!("cannot remove {}", path.display())),
    }
}

/// The files of a directory in the order of their names; none if there is no directory.
pub(crate) fn list(directory: &Path) -> Result<Vec<PathBuf>> {
    let read = || -> io::Result<Vec<PathBuf>> {
        let mut paths = fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        paths.sort();
        Ok(paths)
    };
    match read() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        result => result.with_context(|| format!("cannot list {}", directory.display())),
    }
}

fn is_so(path: &Path, content: &[u8], mode: u32) -> bool {
    let has_mode = |metadata: fs::Metadata| metadata.permissions().mode() & 0o7777 == mode;
    fs::metadata(path).is_ok_and(has_mode) && fs::read(path).is_ok_and(|present| present == content)
}

fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(content)?;
    // The process's umask may have taken bits away.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

/// Makes the new name last.
fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}
