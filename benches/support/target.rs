//! Where a bench leaves its figures: `bench/` in cargo's target directory.
//!
//! ```text
//!   this program ─► above it: cargo's target directory ─► bench/<name>.jsonl, bench/<name>.run
//! ```

use std::path::PathBuf;

/// `bench/`, which need not exist. Cargo's target directory lies above this program: so `CARGO_TARGET_DIR` counts, however
/// it was given. Cargo keeps what it knows of the compiler there.
pub(crate) fn bench_directory() -> PathBuf {
    let exe = std::env::current_exe().expect("this program has a path");
    let marked = exe.ancestors().find(|directory| directory.join(".rustc_info.json").exists());
    marked.or(exe.parent()).expect("a program lies in a directory").join("bench")
}
