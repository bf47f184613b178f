//! Compiles the programs that a bench compares weft's with.

#[path = "../dataplane/build/compile.rs"]
mod compile;

use std::env;
use std::path::{Path, PathBuf};

const CARRY: &str = "src/path/contender/carry.bpf.c";

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    println!("cargo:rerun-if-changed={CARRY}");
    compile::compile(&Path::new(env!("CARGO_MANIFEST_DIR")).join(CARRY), &out.join("carry.bpf.o"));
}
