//! Kernel settings under /proc/sys, of the calling thread's namespace where they belong to one.

use std::path::PathBuf;

use crate::netlink::KernelError;

fn path(name: &str) -> PathBuf {
    PathBuf::from("/proc/sys").join(name)
}

/// Reads a setting by its path below /proc/sys, such as `net/ipv4/ip_forward`; `None` if this kernel has none such.
pub fn read(name: &str) -> Result<Option<String>, KernelError> {
    match std::fs::read_to_string(path(name)) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(KernelError::io("read setting", name, &e)),
    }
}

/// Writes a setting.
pub fn write(name: &str, value: &str) -> Result<(), KernelError> {
    std::fs::write(path(name), value).map_err(|e| KernelError::io("write setting", name, &e))
}
