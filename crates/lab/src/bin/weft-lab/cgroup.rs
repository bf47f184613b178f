//! The host's cgroup directories: one, `weft-lab.NAME.KEEPER`, at the top of each hierarchy of the real host.
//!
//! At the top, because below a cgroup2 directory that holds processes there are no controllers to have. Inside, a
//! cgroup namespace makes each directory the root of its hierarchy, mounted where the real one is.

use std::ffi::CString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::mount::MountFlags;
use serde::{Deserialize, Serialize};

/// First part of every directory's name.
const PREFIX: &str = "weft-lab";

/// The child in which the host's own processes are, on cgroup2: one with processes cannot hand controllers on.
const LEAF: &str = "init";

/// How long directories may take to become empty: the kernel lets go of a dead process's cgroup a moment after its
/// parent has heard of its death.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
const DRAIN_POLL: Duration = Duration::from_millis(2);

/// One mounted hierarchy and the host's directory in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hierarchy {
    /// Where it is mounted, on the real host and inside.
    pub(crate) mount: PathBuf,
    /// Mount options of a v1 hierarchy; none on cgroup2.
    v1: Option<String>,
    /// The host's directory.
    group: PathBuf,
}

/// The hierarchies of this machine, with the directory for a new host of this name.
pub(crate) fn discover(name: &str) -> Result<Vec<Hierarchy>> {
    let group = format!("{PREFIX}.{name}.{}", std::process::id());
    let hierarchies =
        parse(&fs::read_to_string("/proc/self/mountinfo")?, &fs::read_to_string("/proc/self/cgroup")?, &group);
    ensure!(!hierarchies.is_empty(), "no cgroup hierarchy is mounted");
    Ok(hierarchies)
}

/// Reads proc_pid_mountinfo(5) and cgroups(7). Which options make a v1 hierarchy only the latter says.
fn parse(mountinfo: &str, membership: &str, group: &str) -> Vec<Hierarchy> {
    let mut hierarchies: Vec<Hierarchy> = Vec::new();
    for line in mountinfo.lines() {
        let Some((mount, file_system)) = line.split_once(" - ") else { continue };
        let Some(mount) = mount.split(' ').nth(4).map(PathBuf::from) else { continue };
        let mut fields = file_system.split(' ');
        let v1 = match (fields.next(), fields.nth(1)) {
            (Some("cgroup2"), _) => None,
            (Some("cgroup"), Some(options)) => match controllers(options, membership) {
                Some(controllers) => Some(controllers),
                None => continue,
            },
            _ => continue,
        };
        if hierarchies.iter().all(|known| known.v1 != v1) {
            hierarchies.push(Hierarchy { group: mount.join(group), mount, v1 });
        }
    }
    hierarchies
}

fn controllers(options: &str, membership: &str) -> Option<String> {
    let mut lists = membership.lines().filter_map(|line| line.split(':').nth(1)).filter(|list| !list.is_empty());
    let list = lists.find(|list| list.split(',').all(|one| options.split(',').any(|option| option == one)))?;
    Some(if list.starts_with("name=") { format!("none,{list}") } else { list.to_owned() })
}

/// Takes away what keepers that were killed have left: directories without processes whose keeper is gone.
pub(crate) fn sweep(hierarchies: &[Hierarchy]) {
    for entry in hierarchies.iter().filter_map(|hierarchy| fs::read_dir(&hierarchy.mount).ok()).flatten().flatten() {
        let name = entry.file_name();
        let parts: Vec<_> = name.to_str().unwrap_or_default().split('.').collect();
        if let [PREFIX, _, keeper] = parts[..]
            // A keeper that died and was not reaped yet has a number, but no program any more.
            && fs::read_link(Path::new("/proc").join(keeper).join("exe")).is_err()
        {
            // A directory that is still in use stays; whoever uses it is alive.
            let _ = remove_tree(&entry.path());
        }
    }
}

/// Makes the directories.
pub(crate) fn create(hierarchies: &[Hierarchy]) -> Result<()> {
    for hierarchy in hierarchies {
        let group = &hierarchy.group;
        fs::create_dir(group).with_context(|| format!("cannot create {}", group.display()))?;
        if hierarchy.v1.is_some() {
            fill_cpuset(hierarchy).with_context(|| format!("cannot fill {}", group.display()))?;
        }
    }
    Ok(())
}

/// A v1 cpuset takes no process before it has processors and memory (cpuset(7)).
fn fill_cpuset(hierarchy: &Hierarchy) -> io::Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"].map(Path::new) {
        if hierarchy.mount.join(file).exists() {
            fs::write(hierarchy.group.join(file), fs::read(hierarchy.mount.join(file))?)?;
        }
    }
    Ok(())
}

/// Moves this process into the directories.
pub(crate) fn join(hierarchies: &[Hierarchy]) -> Result<()> {
    hierarchies.iter().try_for_each(|hierarchy| enter(&hierarchy.group))
}

/// Mounts the hierarchies, inside, each showing this process's directory as its root.
pub(crate) fn mount(hierarchies: &[Hierarchy]) -> Result<()> {
    for Hierarchy { mount, v1, .. } in hierarchies {
        fs::create_dir_all(mount)?;
        let options = v1.as_deref().map(CString::new).transpose()?;
        let kind = if v1.is_some() { "cgroup" } else { "cgroup2" };
        rustix::mount::mount(kind, mount, kind, MountFlags::empty(), options.as_deref())
            .with_context(|| format!("cannot mount {}", mount.display()))?;
    }
    Ok(())
}

/// Moves this process out of the cgroup2 root, inside, and lets containers have the root's controllers.
pub(crate) fn settle(hierarchies: &[Hierarchy]) -> Result<()> {
    for Hierarchy { mount, .. } in hierarchies.iter().filter(|hierarchy| hierarchy.v1.is_none()) {
        let leaf = mount.join(LEAF);
        fs::create_dir(&leaf)?;
        enter(&leaf)?;
        let controllers = fs::read_to_string(mount.join("cgroup.controllers"))?;
        for controller in controllers.split_whitespace() {
            fs::write(mount.join("cgroup.subtree_control"), format!("+{controller}"))
                .with_context(|| format!("cannot enable cgroup controller {controller}"))?;
        }
    }
    Ok(())
}

/// Takes the directories away, with all that was made below; returns those that are still there at the end.
pub(crate) fn remove(hierarchies: &[Hierarchy]) -> Vec<PathBuf> {
    let deadline = Instant::now() + weft_lab::patience(DRAIN_TIMEOUT);
    let mut left: Vec<_> = hierarchies.iter().map(|hierarchy| hierarchy.group.clone()).collect();
    loop {
        left.retain(|group| remove_tree(group).is_err());
        if left.is_empty() || Instant::now() >= deadline {
            return left;
        }
        std::thread::sleep(DRAIN_POLL);
    }
}

/// Only directories can be removed from a cgroup file system, and with them go their files.
fn remove_tree(directory: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(directory)
}

fn enter(group: &Path) -> Result<()> {
    fs::write(group.join("cgroup.procs"), "0").with_context(|| format!("cannot enter {}", group.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(mountinfo: &str, membership: &str) -> Vec<(String, Option<String>)> {
        let found = parse(mountinfo, membership, "weft-lab.x.1");
        found.into_iter().map(|h| (h.group.display().to_string(), h.v1)).collect()
    }

    #[test]
    fn a_unified_machine_has_one_hierarchy() {
        let mountinfo = "29 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n\
                         30 24 0:27 / /sys/fs/bpf rw shared:10 - bpf bpf rw,mode=700\n";
        let group = "/sys/fs/cgroup/weft-lab.x.1".to_owned();
        assert_eq!(of(mountinfo, "0::/user.slice\n"), [(group, None)]);
    }

    #[test]
    fn a_hybrid_machine_has_many_each_taken_once() {
        let mountinfo = "31 25 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
                         32 25 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
                         33 25 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                         34 25 0:30 / /elsewhere rw - cgroup cgroup rw,cpu,cpuacct\n";
        let membership = "3:cpu,cpuacct:/\n1:name=systemd:/\n0::/\n";
        let expected = [
            ("/sys/fs/cgroup/unified/weft-lab.x.1".to_owned(), None),
            ("/sys/fs/cgroup/systemd/weft-lab.x.1".to_owned(), Some("none,name=systemd".to_owned())),
            ("/sys/fs/cgroup/cpu,cpuacct/weft-lab.x.1".to_owned(), Some("cpu,cpuacct".to_owned())),
        ];
        assert_eq!(of(mountinfo, membership), expected);
    }
}
