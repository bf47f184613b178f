//! One agent per run directory, and one per network namespace.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;

use anyhow::{Context as _, bail};
use rustix::fs::FlockOperation;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// A name that lives in the network namespace itself (unix(7), abstract sockets): whoever binds it is the agent there.
const NAMESPACE_LOCK: &[u8] = b"weft/agent";
/// The file that is locked, with its holder's number in it.
pub const FILE: &str = "weftd.pid";

/// Held for as long as the agent runs; the kernel gives it back however the agent ends.
pub struct Lock {
    _file: Option<File>,
    _name: UnixListener,
}

/// Takes both locks, or says who has them.
pub fn acquire(run_dir: &Path) -> anyhow::Result<Lock> {
    let path = run_dir.join(FILE);
    let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = file.map_err(|e| anyhow::anyhow!("cannot open {}: {e}", path.display()))?;
    lock_file(&mut file, run_dir)?;
    let name = lock_name()?;
    let number = format!("{}\n", std::process::id());
    // In place: a full file system may have no room for a page that was given up.
    let written = file.rewind().and_then(|()| file.write_all(number.as_bytes()));
    let written = written.and_then(|()| file.set_len(number.len() as u64));
    written.with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Lock { _file: Some(file), _name: name })
}

/// Takes both locks for who is no agent, or says who has them: nothing is written, and a run directory that is not
/// there is not made.
pub fn keep_out(run_dir: &Path) -> anyhow::Result<Lock> {
    let path = run_dir.join(FILE);
    let file = match File::open(&path) {
        Ok(mut file) => {
            lock_file(&mut file, run_dir)?;
            Some(file)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("cannot open {}", path.display())),
    };
    Ok(Lock { _file: file, _name: lock_name()? })
}

fn lock_file(file: &mut File, run_dir: &Path) -> anyhow::Result<()> {
    if rustix::fs::flock(&*file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut holder = String::new();
        let _ = file.read_to_string(&mut holder);
        bail!("weftd is already running on {} (process {})", run_dir.display(), holder.trim());
    }
    Ok(())
}

fn lock_name() -> anyhow::Result<UnixListener> {
    let name = SocketAddr::from_abstract_name(NAMESPACE_LOCK).context("name of the lock")?;
    let Ok(name) = UnixListener::bind_addr(&name) else {
        let holder = name_holder().map_or_else(|_| String::new(), |pid| format!(" (process {pid})"));
        bail!("another weftd is running in this network namespace{holder}, with another run directory: stop it first");
    };
    Ok(name)
}

/// The process that has the name, as a connection to it tells; nobody accepts that.
fn name_holder() -> rustix::io::Result<i32> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new_abstract_name(NAMESPACE_LOCK)?)?;
    Ok(rustix::net::sockopt::socket_peercred(&socket)?.pid.as_raw_nonzero().get())
}
