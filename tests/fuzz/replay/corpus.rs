//! The committed corpus.

use std::fs;
use std::path::Path;

/// The folder of the fuzz package; the two packages whose tests use this are not in the same place.
fn folder() -> std::path::PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let here = |root: &Path| root.join("tests/fuzz/corpus");
    let beside = here(package);
    if beside.exists() {
        beside
    } else {
        here(&package.join("../.."))
    }
}

/// Runs `body` over every file of the target's corpus; a panic names the file.
pub(crate) fn replay(target: &str, body: fn(&[u8])) {
    let mut files: Vec<_> = fs::read_dir(folder().join(target))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no corpus for {target}");
    for file in files {
        let data = fs::read(&file).unwrap();
        if let Err(panic) = std::panic::catch_unwind(|| body(&data)) {
            panic!("{} fails: {panic:?}", file.display());
        }
    }
    body(&[]);
}
