//! One agent per run directory, and one per network namespace.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;

use anyhow::{Context as _, bail};
use rustix::fs::FlockOperation;

/// A name that lives in the network namespace itself (unix(7), abstract sockets): whoever binds it is the agent there.
const NAMESPACE_LOCK: &[u8] = b"weft/agent";

/// Held for as long as the agent runs; the kernel gives it back however the agent ends.
pub struct Lock {
    _file: File,
    _name: UnixListener,
}

/// Takes both locks, or says who has them.
pub fn acquire(run_dir: &Path) -> anyhow::Result<Lock> {
    let path = run_dir.join("weftd.pid");
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
    let file = file.as_mut().map_err(|e| anyhow::anyhow!("cannot open {}: {e}", path.display()))?;
    if rustix::fs::flock(&*file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut holder = String::new();
        let _ = file.read_to_string(&mut holder);
        bail!("weftd is already running on {} (process {})", run_dir.display(), holder.trim());
    }
    let name = SocketAddr::from_abstract_name(NAMESPACE_LOCK).context("name of the lock")?;
    let Ok(name) = UnixListener::bind_addr(&name) else {
        bail!("another weftd is running in this network namespace, with another run directory: stop it first");
    };
    let number = format!("{}\n", std::process::id());
    // In place: a full file system may have no room for a page that was given up.
    let written = file.rewind().and_then(|()| file.write_all(number.as_bytes()));
    let written = written.and_then(|()| file.set_len(number.len() as u64));
    written.with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Lock { _file: file.try_clone()?, _name: name })
}
