//! Every file of the repository, as text: what the layering and tidiness tests read.
//!
//! ```text
//!   directory walk ──minus .git and .gitignore──► Vec<SourceFile { path, text }> ──► one scan per rule
//! ```
//!
//! Rules:
//! * Paths are relative to the workspace root and use `/`.
//! * A file counts whether it is committed or not: a rule should fail before the commit, not after it.
//! * `.gitignore` holds only lines of the form `/name`, so that this walk and git agree about what is ignored.

use std::fs;
use std::path::{Path, PathBuf};

/// One file of the repository.
pub(crate) struct SourceFile {
    /// Where it is, relative to the workspace root.
    pub(crate) path: String,
    /// What it holds; bytes that are not UTF-8 are replaced.
    pub(crate) text: String,
}

/// The workspace root: the directory above this package.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a member lies below the workspace root").to_owned()
}

/// All files below the root, sorted by path.
pub(crate) fn source_files() -> Vec<SourceFile> {
    let root = root();
    let ignored =
        ignored_names(&fs::read_to_string(root.join(".gitignore")).expect(".gitignore is readable"));
    let mut found = Vec::new();
    let mut open = vec![root.clone()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("a directory of the tree is readable") {
            let entry = entry.expect("a directory entry is readable");
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == ".git" || (directory == root && ignored.contains(&name)) {
                continue;
            }
            let kind = entry.file_type().expect("the kind of an entry is readable");
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file() {
                // An editor's swap file may vanish between the listing and this line.
                let Ok(bytes) = fs::read(&path) else { continue };
                let relative = path.strip_prefix(&root).expect("the walk started at the root");
                found.push(SourceFile {
                    path: relative.to_string_lossy().into_owned(),
                    text: String::from_utf8_lossy(&bytes).into_owned(),
                });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.iter().any(|f| f.path == "Cargo.toml"), "the walk did not start at the workspace root");
    found
}

/// The names that `.gitignore` keeps out, all of them directly below the root.
fn ignored_names(gitignore: &str) -> Vec<String> {
    let rules = gitignore.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    rules
        .map(|rule| {
            let name = rule.strip_prefix('/').unwrap_or_default().trim_end_matches('/');
            assert!(!name.is_empty() && !name.contains(['/', '*']), ".gitignore: write `{rule}` as `/name`");
            name.to_owned()
        })
        .collect()
}

/// Fails with all findings, one a line.
#[track_caller]
pub(crate) fn assert_none(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{rule}:\n  {}", findings.join("\n  "));
}
