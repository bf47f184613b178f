//! Programs that see a link's packets before weft's do.

use libbpf_rs::libbpf_sys::{BPF_TCX_EGRESS, BPF_TCX_INGRESS, bpf_prog_query_opts};

/// Whether somebody's programs (tcx) are in front of the filters of the link with this number, which must be in the
/// calling thread's namespace. What they let pass need not come by weft's. Linux before 6.6 has no such programs.
pub fn has_programs_in_front(link: u32) -> bool {
    [BPF_TCX_INGRESS, BPF_TCX_EGRESS].into_iter().any(|hook| {
        let mut found =
            bpf_prog_query_opts { sz: size_of::<bpf_prog_query_opts>() as u64, ..bpf_prog_query_opts::default() };
        // SAFETY: the options live through the call, and ask for a count only: their pointers are null.
        let asked = unsafe { libbpf_rs::libbpf_sys::bpf_prog_query_opts(link.cast_signed(), hook, &raw mut found) };
        // SAFETY: both fields of the union are the same number.
        asked == 0 && unsafe { found.__bindgen_anon_1.count } > 0
    })
}
