//! One C file to one object of eBPF, for every package that has such files.

use std::env;
use std::path::Path;
use std::process::Command;

/// Compilers that are tried where `CLANG` names none.
const COMPILERS: [&str; 2] = ["clang", "clang-14"];
/// The oldest instruction set with 32-bit jumps; Linux 5.1 and newer have it.
const FLAGS: [&str; 9] = ["-target", "bpf", "-mcpu=v3", "-O2", "-mllvm", JUMPS, "-g", "-Wall", "-Werror"];
/// Or what comes after a choice is written once for each way that led to it: twice the code, half as much again of
/// the stack, and the kernel has all of it to verify.
const JUMPS: &str = "-jump-threading-threshold=0";

/// Compiles `source`; panics with what is missing.
pub(crate) fn compile(source: &Path, object: &Path) {
    println!("cargo:rerun-if-env-changed=CLANG");
    let chosen = env::var("CLANG").ok();
    let compilers = chosen.as_deref().map_or_else(|| COMPILERS.to_vec(), |one| vec![one]);
    for compiler in &compilers {
        // The kernel's <asm/types.h> is where Debian keeps it.
        let triplet = format!("-I/usr/include/{}-linux-gnu", env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets it"));
        let mut command = Command::new(compiler);
        command.args(FLAGS).arg(triplet).arg("-c").arg(source).arg("-o").arg(object);
        match command.status() {
            Ok(status) if status.success() => return,
            Ok(status) => panic!("{compiler} cannot compile {}: {status}", source.display()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => panic!("cannot run {compiler}: {error}"),
        }
    }
    panic!("no C compiler for eBPF among {compilers:?}: run scripts/packages build, or set CLANG");
}
