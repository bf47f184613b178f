//! Finding weft's own programs.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// What a host shows of weft: the program's name and its directory inside.
const SHOWN: [(&str, &str); 4] = [
    ("weft", "/usr/local/bin"),
    ("weft-bench", "/usr/local/bin"),
    ("weftd", "/usr/local/bin"),
    ("weft-cni", "/opt/cni/bin"),
];

/// The path of `name` beside the running program.
pub fn find(name: &str) -> Result<PathBuf> {
    let path = directory()?.join(name);
    ensure!(path.is_file(), "{} is not there; build it with: cargo build --bin {name}", path.display());
    Ok(path)
}

/// Those of weft's programs that are built: (path on the real host, path inside).
pub(crate) fn shown() -> Result<Vec<(PathBuf, PathBuf)>> {
    let directory = directory()?;
    let pairs = SHOWN.map(|(name, inside)| (directory.join(name), Path::new(inside).join(name)));
    Ok(pairs.into_iter().filter(|(program, _)| program.is_file()).collect())
}

/// Where cargo, or an installation, puts programs: `$WEFT_BIN_DIR`, or the directory of the running program. Cargo
/// keeps tests and examples one level below the rest.
fn directory() -> Result<PathBuf> {
    if let Some(directory) = std::env::var_os("WEFT_BIN_DIR") {
        return std::path::absolute(directory).context("WEFT_BIN_DIR");
    }
    let running = std::env::current_exe().context("cannot find the running program")?;
    let own = running.parent().context("the running program has no directory")?;
    let below = own.ends_with("deps") || own.ends_with("examples");
    Ok(own.parent().filter(|_| below).unwrap_or(own).to_owned())
}
