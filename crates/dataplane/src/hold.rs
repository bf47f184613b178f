//! Programs in front of all others on both hooks of a link (tcx), held by pins that outlive the agent.

use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use libbpf_rs::libbpf_sys::{self, BPF_TCX_EGRESS, BPF_TCX_INGRESS};
use libbpf_rs::{Link, ProgramHandle};
use rustix::io::Errno;

use crate::DataplaneError;

const HOOKS: [u32; 2] = [BPF_TCX_INGRESS, BPF_TCX_EGRESS];

/// How the programs of a link are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// In front of those of others (tcx).
    InFront,
    /// Not at all: this kernel, before Linux 6.6, has filters only.
    ByFilters,
}

/// Links of one kind, whose programs are held.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held<'a> {
    /// Where pins are.
    pub(crate) root: &'a Path,
    /// What the names of pins begin with; a number and a side follow.
    pub(crate) prefix: &'static str,
}

impl Held<'_> {
    /// Has the link with this number, which must be in the calling thread's namespace, hold these programs: of what
    /// comes in, and of what goes out. Waits some ten milliseconds for each that is not there yet, as the kernel does.
    pub(crate) fn put(&self, link: u32, programs: [&ProgramHandle; 2]) -> Result<Hold, DataplaneError> {
        for (hook, program) in HOOKS.into_iter().zip(programs) {
            if self.hold(link, hook, program)? == Hold::ByFilters {
                return Ok(Hold::ByFilters);
            }
        }
        Ok(Hold::InFront)
    }

    /// Whether the link holds both.
    pub(crate) fn has(&self, link: u32) -> bool {
        HOOKS.iter().all(|hook| is_held(&self.pin(link, *hook)))
    }

    /// Lets go of both. Such a link may be gone.
    pub(crate) fn remove(&self, link: u32) -> Result<(), DataplaneError> {
        for hook in HOOKS {
            let pin = self.pin(link, hook);
            match std::fs::remove_file(&pin) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(DataplaneError::new("remove", pin.display().to_string(), &error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Numbers of all links that hold programs, or did when they were there.
    pub(crate) fn links(&self) -> impl Iterator<Item = u32> {
        let pins = std::fs::read_dir(self.root).into_iter().flatten().flatten();
        pins.filter_map(|pin| pin.file_name().to_str()?.strip_prefix(self.prefix)?.split('_').next()?.parse().ok())
    }

    fn pin(&self, link: u32, hook: u32) -> PathBuf {
        let side = if hook == BPF_TCX_INGRESS { "in" } else { "out" };
        self.root.join(format!("{}{link}_{side}", self.prefix))
    }

    fn hold(&self, link: u32, hook: u32, program: &ProgramHandle) -> Result<Hold, DataplaneError> {
        let pin = self.pin(link, hook);
        if is_held(&pin) {
            return Ok(Hold::InFront);
        }
        let refused = |error: &dyn std::fmt::Display| DataplaneError::new("hold", format!("link {link}"), error);
        let options = libbpf_sys::bpf_link_create_opts {
            sz: size_of::<libbpf_sys::bpf_link_create_opts>() as u64,
            flags: libbpf_sys::BPF_F_BEFORE,
            ..libbpf_sys::bpf_link_create_opts::default()
        };
        let fd = program.as_fd().as_raw_fd();
        // SAFETY: the options live through the call; what is relative to no other program is in front of all.
        let held = unsafe { libbpf_sys::bpf_link_create(fd, link.cast_signed(), hook, &raw const options) };
        if held < 0 {
            return match Errno::from_raw_os_error(-held) {
                Errno::INVAL | Errno::OPNOTSUPP => Ok(Hold::ByFilters),
                error => Err(refused(&error)),
            };
        }
        // SAFETY: the kernel has just made it, for nobody else.
        let held = unsafe { OwnedFd::from_raw_fd(held) };
        keep(&held, &pin).map_err(|error| refused(&error))?;
        Ok(Hold::InFront)
    }
}

/// Pins what holds a program: it outlives the agent.
fn keep(held: &OwnedFd, pin: &Path) -> std::io::Result<()> {
    // One that holds nothing any more.
    let _ = std::fs::remove_file(pin);
    let path = std::ffi::CString::new(pin.as_os_str().as_encoded_bytes())?;
    // SAFETY: the path is a string that lives through the call.
    let pinned = unsafe { libbpf_sys::bpf_obj_pin(held.as_raw_fd(), path.as_ptr()) };
    if pinned < 0 { Err(std::io::Error::from_raw_os_error(-pinned)) } else { Ok(()) }
}

/// Whether what is pinned there holds a program to a link that lives.
fn is_held(pin: &Path) -> bool {
    if !pin.exists() {
        return false;
    }
    let info = Link::open(pin).and_then(|link| link.info());
    info.is_ok_and(|info| matches!(info.info, libbpf_rs::query::LinkTypeInfo::Tcx(tcx) if tcx.ifindex != 0))
}
