//! Promise: the repository keeps its own rules of form, so that no reader has to check them.
//!
//! ```text
//!   source files ──► one scan per rule: fn(path, text) -> findings ──► a test over the tree, a test that plants
//!                                                                     an offence
//! ```
//!
//! Rules: a scan looks at one file and knows nothing of the others, unless its arguments say so.

#[path = "support/manifest.rs"]
mod manifest;
#[path = "support/source_tree.rs"]
mod source_tree;

use manifest::declarations;
use source_tree::{SourceFile, assert_none, source_files};

/// Runs `scan` over every file.
fn scan_all(scan: impl Fn(&SourceFile) -> Vec<String>) -> Vec<String> {
    source_files().iter().flat_map(scan).collect()
}

// ---- manifests ------------------------------------------------------------------------------------------

/// The dependencies of a manifest that have no comment on the line above.
fn unexplained_dependencies(path: &str, text: &str) -> Vec<String> {
    if !path.ends_with("Cargo.toml") {
        return Vec::new();
    }
    let bare = declarations(text).into_iter().filter(|declaration| !declaration.explained);
    bare.map(|declaration| format!("{path}:{}: {}", declaration.line, declaration.text)).collect()
}

#[test]
fn every_dependency_says_why() {
    let findings = scan_all(|file| unexplained_dependencies(&file.path, &file.text));
    assert_none("a dependency needs a comment line above it", &findings);
}

#[test]
fn planted_unexplained_dependencies_are_found() {
    let found = |text: &str| unexplained_dependencies("x/Cargo.toml", text).len();
    assert_eq!(found("[dependencies]\n# Why.\na = \"1\"\nb.workspace = true\n"), 1);
    assert_eq!(
        found("[dev-dependencies]\n# Why.\na = { version = \"1\", features = [\n  \"x\",\n] }\nb = \"1\""),
        1
    );
    assert_eq!(found("[target.x.dependencies]\na = \"1\""), 1);
    assert_eq!(found("[dependencies.a]\nversion = \"1\""), 1);
    assert_eq!(found("[package]\nname = \"a\"\n[features]\na = [\"b\"]"), 0);
}

// ---- documents ------------------------------------------------------------------------------------------

const DOCUMENTS: &[&str] = &["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"];

/// The paths that a document names: code spans and link targets that look like one.
fn named_paths(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_block = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
            continue;
        }
        if in_block {
            continue;
        }
        let spans = line.split('`').skip(1).step_by(2);
        let links = line.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        let tokens = spans.chain(links).filter(|token| looks_like_path(token));
        found.extend(tokens.map(|token| (number + 1, token.trim_end_matches('/').to_owned())));
    }
    found
}

fn looks_like_path(token: &str) -> bool {
    let file = [".rs", ".md", ".toml", ".lock"].iter().any(|ending| token.ends_with(ending));
    let strange = token.contains(|c: char| c.is_whitespace() || "<>(){}*$|:=\"'".contains(c));
    (file || token.contains('/')) && !strange && !token.starts_with(['/', '-', '.']) || token == ".ci/run"
}

/// The paths that `document` names and that are neither a file nor a directory of the tree.
fn dangling_paths(document: &str, text: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let named = named_paths(text).into_iter().filter(|(_, path)| !exists(path));
    named.map(|(line, path)| format!("{document}:{line} names {path}, which does not exist")).collect()
}

#[test]
fn documents_name_only_paths_that_exist() {
    let files = source_files();
    let exists = |path: &str| {
        let below = format!("{path}/");
        files.iter().any(|file| file.path == path || file.path.starts_with(&below))
    };
    for document in DOCUMENTS {
        let file = files.iter().find(|file| file.path == *document);
        let file = file.unwrap_or_else(|| panic!("{document} is missing"));
        assert_none("documents and tree disagree", &dangling_paths(document, &file.text, exists));
    }
}

#[test]
fn planted_dangling_paths_are_found() {
    let text =
        "`a/b.rs` `cargo test` `x::y` [c](gone.md#part) `d/`\n```text\nnot/looked/at.rs\n```\n`.ci/run`";
    let found = dangling_paths("X.md", text, |path| path == "a/b.rs");
    assert_eq!(found.len(), 3, "{found:?}");
}

// ---- files ----------------------------------------------------------------------------------------------

/// Cases for the compiler to reject: what they show stands in the test that lists them.
const COMPILE_FAIL: &str = "compile_fail/";

/// A Rust file that does not open by saying what it is for.
fn missing_header(path: &str, text: &str) -> Vec<String> {
    let opens =
        text.lines().next().is_some_and(|line| line.starts_with("//! ") && line.len() > "//! x".len());
    if !path.ends_with(".rs") || path.contains(COMPILE_FAIL) || opens {
        return Vec::new();
    }
    vec![format!("{path} does not open with a `//!` sentence")]
}

#[test]
fn every_source_file_opens_with_its_purpose() {
    assert_none("headers", &scan_all(|file| missing_header(&file.path, &file.text)));
}

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] =
    &["util", "utils", "helper", "helpers", "common", "misc", "type", "types", "prelude"];

fn empty_name(path: &str) -> Vec<String> {
    let mut parts = path.split('/').map(|part| part.split('.').next().unwrap_or_default());
    let empty = parts.find(|part| EMPTY_NAMES.contains(part));
    empty.map(|name| format!("{path}: `{name}` does not say what is inside")).into_iter().collect()
}

#[test]
fn every_file_has_a_name_that_means_something() {
    assert_none("names", &scan_all(|file| empty_name(&file.path)));
}

#[test]
fn planted_headers_and_names_are_found() {
    assert_eq!(missing_header("a/src/x.rs", "use std::fmt;\n//! late").len(), 1);
    assert_eq!(missing_header("a/src/x.rs", "//! x\n").len(), 1);
    assert_eq!(missing_header("a/src/x.rs", "//! What this is for.\n").len(), 0);
    assert_eq!(empty_name("ipc/src/utils.rs").len(), 1);
    assert_eq!(empty_name("ipc/src/common/frame.rs").len(), 1);
    assert_eq!(empty_name("ipc/src/frame.rs").len(), 0);
}

// ---- words ----------------------------------------------------------------------------------------------

/// What no file may say, each cut in two so that this file does not say it: places on one machine, and how or
/// by whom something was written (that is for the history, and does not help to read the code).
const UNSAID: &[(&str, &str)] = &[
    ("/wo", "rk/"),
    ("/ro", "ot/"),
    ("/ho", "me/"),
    ("/tmp/", "t-"),
    ("/tmp/", "notes"),
    ("clau", "de"),
    ("anthro", "pic"),
    ("open", "ai"),
    ("chat", "gpt"),
    ("copi", "lot"),
    ("language ", "model"),
    ("co-author", "ed-by"),
    ("generated ", "with"),
    ("generated ", "by a"),
];

/// Words that count only when they stand alone, in this spelling.
const UNSAID_WORDS: &[(&str, &str)] = &[("A", "I"), ("L", "LM"), ("G", "PT")];

fn unsaid(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let lower = line.to_lowercase();
        let phrases = UNSAID.iter().map(|(a, b)| format!("{a}{b}")).filter(|phrase| lower.contains(phrase));
        let alone =
            |word: &String| line.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|w| w == word);
        let words = UNSAID_WORDS.iter().map(|(a, b)| format!("{a}{b}")).filter(alone);
        found.extend(phrases.chain(words).map(|what| format!("{path}:{} says `{what}`", number + 1)));
    }
    found
}

#[test]
fn no_file_names_a_machine_or_an_author() {
    assert_none("words", &scan_all(|file| unsaid(&file.path, &file.text)));
}

#[test]
fn planted_words_are_found() {
    for (a, b) in UNSAID.iter().chain(UNSAID_WORDS) {
        assert_eq!(unsaid("x.md", &format!("see {a}{b} there")).len(), 1, "{a}{b}");
    }
    assert!(unsaid("x.md", "AI_PASSIVE, homework, a rooted tree").is_empty());
}
