//! What this kernel tells programs of itself: where things are in its structures, and which functions it has for them
//! (BTF).

use std::ptr::NonNull;
use std::sync::OnceLock;

/// The function that leads to the socket that sent a packet (bpf/core/sender.h).
const CAST: &std::ffi::CStr = c"bpf_cast_to_kern_ctx";

/// What the programs of parents are built on, of what this kernel tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Nothing: they cannot be loaded.
    Nothing,
    /// Not where the socket is that sent a packet.
    NoSenders,
    /// All.
    All,
}

/// What this kernel tells. Asked once: the answer is some megabytes.
pub fn told() -> Told {
    static TOLD: OnceLock<Told> = OnceLock::new();
    *TOLD.get_or_init(|| {
        // SAFETY: takes nothing, and gives NULL or what is ours to free.
        let Some(types) = NonNull::new(unsafe { libbpf_rs::libbpf_sys::btf__load_vmlinux_btf() }) else {
            return Told::Nothing;
        };
        let kind = libbpf_rs::libbpf_sys::BTF_KIND_FUNC;
        // SAFETY: both pointers are valid; the types are freed once, and not used after that.
        let found = unsafe {
            let found = libbpf_rs::libbpf_sys::btf__find_by_name_kind(types.as_ptr(), CAST.as_ptr(), kind);
            libbpf_rs::libbpf_sys::btf__free(types.as_ptr());
            found
        };
        if found > 0 { Told::All } else { Told::NoSenders }
    })
}
