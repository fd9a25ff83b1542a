//! Promise: dependencies point one way, and examples use only what a user can use.
//!
//! ```text
//!   cargo tree ───────► the packages that a layer links, pinned by name
//!   manifests ────────► the workspace members that a layer may know
//!   examples ─────────► the crates and names that they reach for
//! ```
//!
//! Rules: every scan is a function of its text and is shown a planted offence as well, so that it can fail.

#[path = "support/code.rs"]
mod code;
#[path = "support/manifest.rs"]
mod manifest;
#[path = "support/source_tree.rs"]
mod source_tree;

use std::collections::BTreeSet;
use std::process::Command;

use code::{code_only, imports, is_rust, mentions};
use manifest::declarations;
use source_tree::{assert_none, root, source_files};

// ---- packages --------------------------------------------------------------------------------------------

/// Everything that linking `pleach-executor` with its default features links.
const EXECUTOR_LINKS: &[&str] =
    &["pleach-executor", "mio", "crossbeam-channel", "crossbeam-utils", "slab", "libc"];

/// Everything that `pleach-ipc` without its feature `runtime` needs: serde with its derive, postcard, and what
/// those two bring along at compile time. What runs is serde, serde_core, postcard, cobs and thiserror.
const PROTOCOL_LINKS: &[&str] = &[
    "pleach-ipc",
    "serde",
    "serde_core",
    "serde_derive",
    "postcard",
    "cobs",
    "thiserror",
    "thiserror-impl",
    "proc-macro2",
    "quote",
    "syn",
    "unicode-ident",
];

/// For every layer: its directory, its package, and the layers that it may know. Tests and benches stand above
/// all of them.
const LAYERS: &[(&str, &str, &[&str])] = &[
    ("executor", "pleach-executor", &[]),
    ("ipc", "pleach-ipc", &["pleach-executor"]),
    ("spawn", "pleach-spawn", &["pleach-executor"]),
    ("supervisor", "pleach", &["pleach-executor", "pleach-ipc", "pleach-spawn"]),
];

/// The package names that `cargo tree` prints for `package`, itself included.
fn tree(package: &str, options: &[&str]) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["tree", "--offline", "--locked", "--prefix", "none", "--package", package])
        .args(options)
        .current_dir(root())
        .output()
        .expect("cargo can be started");
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("cargo tree prints UTF-8");
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// What is in one of the two sets only, said in words.
fn differences(expected: &[&str], found: &BTreeSet<String>) -> Vec<String> {
    let expected: BTreeSet<String> = expected.iter().map(|&name| name.to_owned()).collect();
    let extra = found.difference(&expected).map(|name| format!("{name} is linked but not pinned here"));
    let missing = expected.difference(found).map(|name| format!("{name} is pinned here but not linked"));
    extra.chain(missing).collect()
}

/// The workspace members that `manifest`, the one of the layer in `directory`, declares and must not know.
fn forbidden_members(directory: &str, manifest: &str) -> Vec<String> {
    let (_, _, allowed) =
        LAYERS.iter().find(|layer| layer.0 == directory).expect("the layer is in the table");
    let mut found = Vec::new();
    for declaration in declarations(manifest) {
        // A rename says the package's name in its value, so the whole line counts.
        let words = declaration.text.split(|c: char| !(c.is_alphanumeric() || c == '-'));
        let ours = words.filter(|word| LAYERS.iter().any(|(_, package, _)| word == package));
        let strange = ours.filter(|word| !allowed.contains(word));
        found.extend(strange.map(|word| format!("{directory}/Cargo.toml:{} names {word}", declaration.line)));
    }
    found
}

#[test]
fn executor_links_exactly_the_pinned_packages() {
    let found = tree("pleach-executor", &["--edges", "normal"]);
    assert_none("dependencies of pleach-executor", &differences(EXECUTOR_LINKS, &found));
}

#[test]
fn protocol_without_runtime_links_only_serde_and_postcard() {
    let found = tree("pleach-ipc", &["--edges", "normal", "--no-default-features"]);
    assert_none("dependencies of pleach-ipc without `runtime`", &differences(PROTOCOL_LINKS, &found));
}

#[test]
fn layers_know_only_the_layers_below() {
    let files = source_files();
    for (directory, _, _) in LAYERS {
        let path = format!("{directory}/Cargo.toml");
        let file = files.iter().find(|file| file.path == path).unwrap_or_else(|| panic!("{path} is missing"));
        assert_none("direction of dependencies", &forbidden_members(directory, &file.text));
    }
}

#[test]
fn planted_packages_are_found() {
    let set = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(differences(&["a", "b"], &set(&["b", "log"])).len(), 2);
    let forbidden =
        |layer: &str, line: &str| forbidden_members(layer, &format!("[dev-dependencies]\n{line}")).len();
    assert_eq!(forbidden("ipc", "pleach-spawn.workspace = true"), 1);
    assert_eq!(forbidden("ipc", "x = { package = \"pleach-spawn\", path = \"../x\" }"), 1);
    assert_eq!(forbidden("executor", "pleach.workspace = true"), 1);
    assert_eq!(
        forbidden("supervisor", "pleach-executor = { workspace = true, features = [\"testing\"] }"),
        0
    );
}

// ---- examples --------------------------------------------------------------------------------------------

/// The crates that an example may name: ours by its one public door, and what any user's program may have.
const EXAMPLE_CRATES: &[&str] = &[
    "pleach",
    "std",
    "serde",
    "serde_json",
    "lexopt",
    "indicatif",
    "tokio",
    "driver",
    "crate",
    "self",
    "super",
];

/// The names that crates hide from their documentation, found in `text`.
fn hidden_names(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if !line.trim_start().starts_with("#[doc(hidden)]") {
            continue;
        }
        let mut rest = lines.by_ref().filter(|line| !line.trim_start().starts_with(['#', '/']));
        let item = rest.next().unwrap_or_default();
        let words = item.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
        let keywords = [
            "pub", "crate", "const", "unsafe", "async", "fn", "mod", "struct", "enum", "trait", "use", "type",
        ];
        names.extend(words.skip_while(|word| keywords.contains(word)).take(1).map(str::to_owned));
    }
    names
}

/// How the example `path` steps past the public interface; `hidden` are the names it must not say.
fn example_offences(path: &str, text: &str, hidden: &[String]) -> Vec<String> {
    if !path.starts_with("examples/") || !is_rust(path) {
        return Vec::new();
    }
    let code = code_only(text);
    let mut found = Vec::new();
    for import in imports(&code) {
        let first = import.path.split("::").next().unwrap_or_default();
        if !EXAMPLE_CRATES.contains(&first) {
            found.push(format!("{path}:{} imports from {first}", import.line));
        }
    }
    let internal = ["pleach_executor", "pleach_ipc", "pleach_spawn", "libc", "low_level", "unsafe", "extern"];
    for name in internal.into_iter().chain(hidden.iter().map(String::as_str)) {
        found.extend(mentions(&code, name).into_iter().map(|line| format!("{path}:{line} names {name}")));
    }
    let included =
        code.lines().enumerate().filter(|(_, line)| line.contains("#[path") || line.contains("include!"));
    found.extend(included.map(|(line, _)| format!("{path}:{} includes another file", line + 1)));
    found
}

#[test]
fn examples_use_only_the_public_interface() {
    let files = source_files();
    let sources = files.iter().filter(|file| is_rust(&file.path) && file.path.contains("/src/"));
    let hidden: Vec<_> = sources.flat_map(|file| hidden_names(&file.text)).collect();
    let findings: Vec<_> =
        files.iter().flat_map(|file| example_offences(&file.path, &file.text, &hidden)).collect();
    assert_none("examples show what a user can write", &findings);
}

#[test]
fn planted_example_offences_are_found() {
    let hidden = hidden_names("#[doc(hidden)]\n/// For the macro.\npub fn test_entry() {}");
    assert_eq!(hidden, ["test_entry"]);
    let offences = |text: &str| example_offences("examples/x.rs", text, &hidden).len();
    assert_eq!(offences("use pleach::actors;\nuse std::io;\nmod y;"), 0);
    assert_eq!(offences("use mio::Poll;"), 1);
    assert_eq!(offences("fn f() { pleach_executor::run(g()); }"), 1);
    assert_eq!(offences("pleach::low_level::epoch();"), 1);
    assert_eq!(offences("#[path = \"../spawn/src/fork.rs\"]\nmod fork;"), 1);
    assert_eq!(offences("pleach::test_entry();"), 1);
}
