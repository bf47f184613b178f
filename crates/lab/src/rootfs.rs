//! Root file systems for containers, made of Debian's busybox-static.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::Host;

const BUSYBOX: &str = "/bin/busybox";

/// What a runtime mounts on, and what programs expect.
const DIRECTORIES: [&str; 6] = ["bin", "dev", "etc", "proc", "sys", "tmp"];

pub(crate) fn build(host: &Host, name: &str) -> Result<PathBuf> {
    let inside = Path::new("/var/lib/weft-lab/rootfs").join(name);
    let root = host.path(&inside);
    if root.exists() {
        return Ok(inside);
    }
    for directory in DIRECTORIES {
        std::fs::create_dir_all(root.join(directory))?;
    }
    let bin = root.join("bin");
    std::fs::copy(BUSYBOX, bin.join("busybox")).context("package busybox-static is needed: scripts/packages")?;
    for applet in host.run(&[BUSYBOX, "--list"])?.lines().filter(|applet| *applet != "busybox") {
        symlink("busybox", bin.join(applet))?;
    }
    std::fs::write(root.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n")?;
    std::fs::write(root.join("etc/group"), "root:x:0:\n")?;
    Ok(inside)
}
