//! Links `weft` so that it always lies at one place in memory: nothing in it has to be moved when it starts, which is
//! a fifth of the time that it takes to start.

fn main() {
    println!("cargo:rustc-link-arg-bins=-no-pie");
    println!("cargo:rerun-if-changed=build.rs");
}
