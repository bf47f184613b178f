//! Compiles the programs that a bench compares weft's with, and has `weft` be linked so that it always lies at one
//! place in memory: nothing in it has to be moved when it starts, which is a fifth of the time that that takes.

#[path = "../../crates/dataplane/build/compile.rs"]
mod compile;

use std::env;
use std::path::{Path, PathBuf};

const CARRY: &str = "src/bench/path/contender/carry.bpf.c";

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    println!("cargo:rerun-if-changed={CARRY}");
    println!("cargo:rustc-link-arg-bins=-no-pie");
    compile::compile(&Path::new(env!("CARGO_MANIFEST_DIR")).join(CARRY), &out.join("carry.bpf.o"));
}
