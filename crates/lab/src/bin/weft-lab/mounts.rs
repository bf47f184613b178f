//! What a host sees in place of the real one's files. Everything is mounted in the host's own mount namespace.
//!
//! ```text
//!  /etc /opt /root /usr/local /var   the real ones below, writes go to memory
//!  /etc/{cni,weft,…} /var/lib/{…}    empty: what weft and the runtimes keep
//!  /run /tmp /dev/shm                empty
//!  /proc /sys /sys/fs/{bpf,cgroup}   those of the host's own namespaces
//!  all the rest                      the real host's
//! ```

use std::ffi::CString;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

use crate::cgroup;
use crate::keeper::Orders;

/// The real ones show through; what is written goes to memory.
const OVERLAID: [&str; 5] = ["/etc", "/opt", "/root", "/usr/local", "/var"];

/// Empty, with the mode.
const EMPTY: [(&str, &str); 12] = [
    ("/dev/shm", "mode=1777"),
    ("/run", "mode=755"),
    ("/tmp", "mode=1777"),
    ("/etc/cni", "mode=755"),
    ("/etc/containerd", "mode=755"),
    ("/etc/containers", "mode=755"),
    ("/etc/weft", "mode=755"),
    ("/opt/cni", "mode=755"),
    ("/var/lib/cni", "mode=755"),
    ("/var/lib/containerd", "mode=755"),
    ("/var/lib/containers", "mode=755"),
    ("/var/lib/weft", "mode=755"),
];

/// Made for what comes.
const DIRECTORIES: [&str; 5] = ["/etc/cni/net.d", "/opt/cni/bin", "/run/lab/log", "/run/lock", "/run/netns"];

/// Switches of the one kernel, which no namespace divides; what there is depends on its configuration. Of `/proc/sys`,
/// only `net` is the host's own.
const READ_ONLY: [&str; 3] = ["/proc/sysrq-trigger", "/sys/kernel", "/sys/module"];

/// Where the overlays' layers are made. It is gone again before anyone is told of the host; the overlays keep them.
const STAGE: &str = "/tmp";

/// Makes the mounts of a host in the calling process's mount namespace, which must be its own.
pub(crate) fn make_private(orders: &Orders) -> Result<()> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).context("cannot make the mounts private")?;
    // Opened first: a program may lie below a directory that is about to be covered.
    let programs = open_programs(&orders.setup.programs)?;
    let links = symlinks(Path::new("/sys/fs/cgroup"))?;
    overlay()?;
    for (target, mode) in EMPTY {
        fs::create_dir_all(target)?;
        mount("tmpfs", target, mode)?;
    }
    for directory in DIRECTORIES {
        fs::create_dir_all(directory)?;
    }
    mount("proc", "/proc", "")?;
    mount_sys(orders, &links)?;
    freeze_kernel()?;
    programs.iter().try_for_each(|(program, target)| show(program, target))
}

fn overlay() -> Result<()> {
    mount("tmpfs", STAGE, "mode=700")?;
    for directory in OVERLAID {
        let (upper, work) = (format!("{STAGE}{directory}/upper"), format!("{STAGE}{directory}/work"));
        fs::create_dir_all(&upper)?;
        fs::create_dir_all(&work)?;
        mount("overlay", directory, &format!("lowerdir={directory},upperdir={upper},workdir={work}"))?;
    }
    rustix::mount::unmount(STAGE, UnmountFlags::DETACH).context("cannot take the stage away")
}

/// A new sysfs shows the links of the network namespace it is made in. The old one must go: runtimes read in mountinfo
/// where the cgroup hierarchies are, and would find those of the real host.
fn mount_sys(orders: &Orders, links: &[(PathBuf, PathBuf)]) -> Result<()> {
    rustix::mount::unmount("/sys", UnmountFlags::DETACH).context("cannot unmount /sys")?;
    mount("sysfs", "/sys", "")?;
    mount("bpf", "/sys/fs/bpf", "mode=700")?;
    let top = Path::new("/sys/fs/cgroup");
    if orders.hierarchies.iter().all(|hierarchy| hierarchy.mount != top) {
        mount("tmpfs", "/sys/fs/cgroup", "mode=755")?;
    }
    cgroup::mount(&orders.hierarchies)?;
    links.iter().try_for_each(|(link, target)| symlink(target, link)).context("cannot link cgroup hierarchies")
}

/// The links in a directory: systemd names each hierarchy of joined controllers (`cpu,cpuacct`) by each of them.
fn symlinks(directory: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
    let mut links = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_symlink() {
            links.push((entry.path(), fs::read_link(entry.path())?));
        }
    }
    Ok(links)
}

fn open_programs(programs: &[(PathBuf, PathBuf)]) -> Result<Vec<(OwnedFd, &Path)>> {
    let mut opened = Vec::new();
    for (program, target) in programs {
        let fd = rustix::fs::open(program, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        opened.push((fd.with_context(|| format!("cannot open {}", program.display()))?, target.as_path()));
    }
    Ok(opened)
}

fn show(program: &OwnedFd, target: &Path) -> Result<()> {
    fs::File::create(target)?;
    rustix::mount::mount_bind(format!("/proc/self/fd/{}", program.as_raw_fd()), target)
        .with_context(|| format!("cannot show {}", target.display()))
}

fn freeze_kernel() -> Result<()> {
    for path in READ_ONLY.map(Path::new).into_iter().filter(|path| path.exists()) {
        freeze(path)?;
    }
    for entry in fs::read_dir("/proc/sys")? {
        let entry = entry?;
        if entry.file_name() != "net" {
            freeze(&entry.path())?;
        }
    }
    Ok(())
}

fn freeze(path: &Path) -> Result<()> {
    rustix::mount::mount_bind(path, path)
        .and_then(|()| rustix::mount::mount_remount(path, MountFlags::BIND | MountFlags::RDONLY, ""))
        .with_context(|| format!("cannot make {} read-only", path.display()))
}

fn mount(kind: &str, target: &str, options: &str) -> Result<()> {
    let options = CString::new(options)?;
    rustix::mount::mount(kind, target, kind, MountFlags::empty(), options.as_c_str())
        .with_context(|| format!("cannot mount {kind} at {target}"))
}
