//! Text that was looked at once, and must not change unseen.

use std::fs;
use std::path::PathBuf;

/// Holds `text` against the file, or writes the file if `WEFT_BLESS` is set.
pub(crate) fn golden(name: &str, text: &str) {
    let path = directory().join(name);
    if std::env::var_os("WEFT_BLESS").is_some() {
        fs::create_dir_all(path.parent().expect("a directory")).expect("make the directory");
        fs::write(&path, text).expect("write");
    }
    let expected = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(text == expected, "{} is otherwise:\n{text}", path.display());
}

/// Where they are.
pub(crate) fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}
