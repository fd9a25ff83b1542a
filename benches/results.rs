//! `RESULTS.md`: the last full run of every bench that writes `bench/<name>.jsonl` in cargo's target directory.
//!
//! ```text
//!   target/bench/*.jsonl, *.run ─► support/document.rs ─► Markdown ─► stdout, or benches/RESULTS.md
//! ```
//!
//! `cargo bench -p pleach-benches --bench results` prints it, `-- --write` keeps it. It measures nothing itself.

#[path = "support/document.rs"]
mod document;
#[expect(dead_code, reason = "nothing is measured here")]
#[path = "support/stats.rs"]
mod stats;
#[path = "support/target.rs"]
mod target;

use document::{Section, figures, render};
use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    let has = |option: &str| std::env::args().any(|arg| arg == option);
    let sections = sections(&target::bench_directory());
    let text = render(&sections);
    if !has("--bench") {
        println!("{} benches have figures; `cargo bench` shows them", sections.len());
    } else if has("--write") {
        assert!(!sections.is_empty(), "no bench has left figures: run one before");
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/RESULTS.md");
        fs::write(path, text).expect("the repository can be written");
        println!("{} benches in {path}", sections.len());
    } else {
        print!("{text}");
    }
}

/// A section for each `.jsonl` file, by name.
fn sections(directory: &Path) -> Vec<Section> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<_> =
        entries.map(|entry| entry.expect("a directory that can be read").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "jsonl"));
    paths.sort();
    let section = |path: &PathBuf| {
        let text = fs::read_to_string(path).expect("a bench wrote it");
        let figures = figures(&text).unwrap_or_else(|line| panic!("{}: {line:?}", path.display()));
        let run = fs::read_to_string(path.with_extension("run")).unwrap_or_default();
        let name = path.file_stem().expect("it has an ending").to_string_lossy().into_owned();
        Section { name, figures, run }
    };
    paths.iter().map(section).collect()
}
