//! Compiles the programs of `bpf/` and makes the Rust side of what they share with the agent.

use std::env;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

#[path = "build/compile.rs"]
mod compile;

use compile::compile;

const ABI: [&str; 9] =
    ["verdict.h", "endpoint.h", "flow.h", "event.h", "capture.h", "knob.h", "hook.h", "policy.h", "service.h"];

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bpf");
    println!("cargo:rerun-if-changed={}", source.display());
    for name in [
        "endpoint_check",
        "endpoint_in",
        "endpoint_out",
        "endpoint_stub",
        "parent_check",
        "parent_in",
        "parent_out",
        "socket",
        "uplink_in",
        "uplink_out",
    ] {
        compile(&source.join(format!("{name}.bpf.c")), &out.join(format!("{name}.bpf.o")));
    }
    bind(&source, &out.join("abi.rs"));
    std::fs::write(out.join("reasons.rs"), reasons(&source.join("abi/verdict.h"))).expect("OUT_DIR can be written");
}

fn bind(source: &Path, to: &Path) {
    let header = ABI.iter().fold("#include <linux/types.h>\n".to_owned(), |mut text, name| {
        let _ = writeln!(text, "#include \"{}\"", source.join("abi").join(name).display());
        text
    });
    let bindings = bindgen::builder()
        .header_contents("abi.h", &header)
        .allowlist_file(".*/bpf/abi/.*")
        .parse_callbacks(Box::new(Plain))
        .default_enum_style(bindgen::EnumVariation::Consts)
        .prepend_enum_name(false)
        .derive_default(true)
        .derive_eq(true)
        .derive_hash(true)
        .layout_tests(false)
        .generate_comments(true)
        .generate()
        .expect("bpf/abi is C");
    bindings.write_to_file(to).expect("OUT_DIR can be written");
}

/// What crosses to the kernel is plain bytes without gaps: bytemuck proves it.
#[derive(Debug)]
struct Plain;

impl bindgen::callbacks::ParseCallbacks for Plain {
    fn add_derives(&self, _: &bindgen::callbacks::DeriveInfo<'_>) -> Vec<String> {
        vec!["bytemuck::Pod".to_owned(), "bytemuck::Zeroable".to_owned()]
    }
}

/// A table of the reasons: name and the sentence in front of it.
fn reasons(header: &Path) -> String {
    let header = std::fs::read_to_string(header).expect("bpf/abi/verdict.h is there");
    let mut sentence = String::new();
    let mut rows = Vec::new();
    for line in header.lines().map(str::trim) {
        if let Some(comment) = line.strip_prefix("/* ").and_then(|line| line.strip_suffix(" */")) {
            comment.clone_into(&mut sentence);
        } else if let Some(name) = line.strip_prefix("REASON_").and_then(|line| line.split(' ').next()) {
            rows.push(format!("    ({:?}, {sentence:?}),\n", name.to_lowercase()));
        }
    }
    rows.pop();
    format!(
        "/// By number: name, and what it means.\npub const REASONS: [(&str, &str); {}] = [\n{}];\n",
        rows.len(),
        rows.concat()
    )
}
