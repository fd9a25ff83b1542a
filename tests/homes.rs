//! Promise: each dangerous name is written in one place only, and process-wide state is the listed state.
//!
//! ```text
//!   source files ──► code (no comments, no literals) ──► names: the poller, the clock, the raw fork, `unsafe`
//!                                                    └─► statics
//! ```
//!
//! Rules:
//! * Every scan is a function of (path, text) and is shown a planted offence as well, so that it can fail.
//! * An exception is a path with its reason in a list here; one that has become unnecessary fails too.

#[path = "support/code.rs"]
mod code;
#[path = "support/source_tree.rs"]
mod source_tree;

use std::collections::BTreeSet;

use code::{code_only, is_rust, mentions, names};
use source_tree::{SourceFile, assert_none, source_files};

// ---- names with one home ---------------------------------------------------------------------------------

/// A name that may be written in one place only.
struct Home {
    /// What the rule is about, for the message.
    what: &'static str,
    /// The words and paths it looks for.
    patterns: &'static [&'static str],
    /// Where they belong: files, or directories ending in `/`.
    homes: &'static [&'static str],
    /// Files elsewhere that may name them nevertheless, each with the reason.
    exceptions: &'static [(&'static str, &'static str)],
}

const MIO: Home =
    Home { what: "the poller", patterns: &["mio"], homes: &["executor/src/reactor/"], exceptions: &[] };

const CLOCK: Home = Home {
    what: "the machine's clock",
    patterns: &[
        "Instant::now",
        "SystemTime::now",
        "std::time::Instant",
        "std::time::SystemTime",
        "clock_gettime",
    ],
    // A bench measures, which needs a clock that our own code has no part in; a host has a clock of its own.
    homes: &["executor/src/clock.rs", "executor/src/sys.rs", "benches/", "examples/under_tokio/driver.rs"],
    exceptions: &[("tests/dialogs_over_tokio.rs", "the clock of the runtime that drives the protocol there")],
};

const RAW_FORK: Home = Home {
    what: "the raw fork",
    patterns: &[
        "libc::fork",
        "libc::vfork",
        "vfork",
        "clone3",
        "SYS_clone",
        "SYS_clone3",
        "SYS_fork",
        "clone_args",
    ],
    homes: &["spawn/src/fork.rs", "spawn/src/sys.rs", "spawn/src/sys/births.rs"],
    exceptions: &[
        ("benches/tree/raw.rs", "the floor that our own fork is measured against"),
        ("benches/spawn/raw.rs", "the floors that our own fork and our fork server are measured against"),
        ("spawn/tests/fork_server.rs", "a filter that forbids the call"),
        ("tests/backends.rs", "a filter that forbids the call"),
    ],
};

const UNSAFE: Home = Home {
    what: "unsafe code",
    patterns: &["unsafe"],
    homes: &[
        "executor/src/task/raw.rs",
        "executor/src/sys.rs",
        "spawn/src/sys.rs",
        "spawn/src/sys/",
        "spawn/src/fork.rs",
        "spawn/src/child.rs",
    ],
    exceptions: &[
        (
            "executor/src/nursery/children.rs",
            "the calls of raw::Child: their obligations are kept there, by who takes a child out of the table and when",
        ),
        ("benches/support/allocations.rs", "an allocator that counts"),
        ("benches/spawn/raw.rs", "bare fork, clone, waitpid and _exit: the floors of making processes"),
        (
            "benches/tree/raw.rs",
            "bare fork, waitid and _exit: the floor that our own fork is measured against",
        ),
    ],
};

impl Home {
    fn is_home(&self, path: &str) -> bool {
        self.homes.iter().any(|home| path == *home || (home.ends_with('/') && path.starts_with(home)))
    }

    fn is_exception(&self, path: &str) -> bool {
        self.exceptions.iter().any(|(exception, _)| *exception == path)
    }

    /// Where `text` names what this rule is about.
    fn uses(&self, path: &str, text: &str) -> Vec<String> {
        let code = code_only(text);
        let lines: BTreeSet<usize> = self.patterns.iter().flat_map(|pattern| names(&code, pattern)).collect();
        lines.into_iter().map(|line| format!("{path}:{line} names {}", self.what)).collect()
    }

    /// The offences of one file.
    fn strays(&self, path: &str, text: &str) -> Vec<String> {
        if !is_rust(path) || self.is_home(path) || self.is_exception(path) {
            return Vec::new();
        }
        self.uses(path, text)
    }

    /// Offences and stale exceptions of the whole tree.
    fn findings(&self, files: &[SourceFile]) -> Vec<String> {
        let mut found: Vec<_> = files.iter().flat_map(|file| self.strays(&file.path, &file.text)).collect();
        for (path, _) in self.exceptions {
            let used = files.iter().any(|file| file.path == *path && !self.uses(path, &file.text).is_empty());
            if !used {
                found.push(format!("{path} is excepted for {} but does not need it", self.what));
            }
        }
        found
    }
}

#[test]
fn mio_is_named_only_by_the_reactor() {
    assert_none("mio belongs to executor/src/reactor/", &MIO.findings(&source_files()));
}

#[test]
fn mio_is_a_dependency_of_the_executor_only() {
    let offence = |file: &SourceFile| {
        let manifest = file.path.ends_with("Cargo.toml");
        let home = ["Cargo.toml", "executor/Cargo.toml"].contains(&file.path.as_str());
        (manifest && !home && !mentions(&file.text, "mio").is_empty()).then(|| file.path.clone())
    };
    assert_none("manifests that name mio", &source_files().iter().filter_map(offence).collect::<Vec<_>>());
    let planted = SourceFile { path: "ipc/Cargo.toml".into(), text: "mio.workspace = true".into() };
    assert!(offence(&planted).is_some());
}

#[test]
fn the_clock_is_read_in_one_place() {
    assert_none("time comes from executor/src/clock.rs", &CLOCK.findings(&source_files()));
}

#[test]
fn the_raw_fork_is_called_in_one_place() {
    assert_none("the raw fork belongs to spawn/src/fork.rs", &RAW_FORK.findings(&source_files()));
}

#[test]
fn unsafe_stands_inside_its_fence() {
    assert_none("unsafe belongs to the fenced files", &UNSAFE.findings(&source_files()));
}

#[test]
fn planted_names_are_found() {
    assert_eq!(MIO.strays("ipc/src/x.rs", "// mio\nfn f() { mio::Poll::new(); }").len(), 1);
    assert_eq!(MIO.strays("executor/src/x.rs", "use mio::Token;").len(), 1);
    assert_eq!(MIO.strays("executor/src/reactor/x.rs", "use mio::Token;").len(), 0);
    assert_eq!(CLOCK.strays("spawn/src/x.rs", "use std::time::{Duration, Instant};").len(), 1);
    assert_eq!(CLOCK.strays("spawn/src/x.rs", "use std::time;\nlet t = time::Instant::now();").len(), 1);
    assert_eq!(CLOCK.strays("spawn/src/x.rs", "use std::time::Duration; // not Instant::now").len(), 0);
    assert_eq!(RAW_FORK.strays("supervisor/src/x.rs", "libc::fork();\nuse libc::{c_int, vfork};").len(), 2);
    assert_eq!(RAW_FORK.strays("supervisor/src/x.rs", "an.fork(\"libc::fork\")").len(), 0);
    assert_eq!(UNSAFE.strays("executor/src/run.rs", "let p = unsafe { *q };").len(), 1);
    assert_eq!(UNSAFE.strays("executor/src/run.rs", "#![forbid(unsafe_code)]").len(), 0);
}

#[test]
fn stale_exceptions_are_found() {
    let rule = Home { exceptions: &[("tests/x.rs", "planted")], ..MIO };
    let file = |text: &str| [SourceFile { path: "tests/x.rs".into(), text: text.into() }];
    assert_eq!(rule.findings(&file("use mio::Poll;")).len(), 0);
    assert_eq!(rule.findings(&file("fn f() {}")).len(), 1);
}

// ---- crates without unsafe -------------------------------------------------------------------------------

/// Crates that refuse `unsafe` as a whole.
const SAFE_CRATES: &[&str] = &["ipc/src/lib.rs", "supervisor/src/lib.rs"];

fn forbids_unsafe(text: &str) -> bool {
    code_only(text).lines().any(|line| line.trim() == "#![forbid(unsafe_code)]")
}

#[test]
fn ipc_and_supervisor_forbid_unsafe_code() {
    let files = source_files();
    let forbids = |path: &&str| files.iter().any(|file| file.path == *path && forbids_unsafe(&file.text));
    let findings: Vec<_> =
        SAFE_CRATES.iter().filter(|path| !forbids(path)).map(|path| path.to_string()).collect();
    assert_none("crates that do not forbid unsafe code", &findings);
    assert!(!forbids_unsafe("// #![forbid(unsafe_code)]\nfn f() {}"));
    assert!(forbids_unsafe("//! Says so.\n#![forbid(unsafe_code)]\nfn f() {}"));
}

// ---- process-wide state ----------------------------------------------------------------------------------

/// Every `static` and `thread_local!` that the crates have: file, name, and what it is.
const STATICS: &[(&str, &str, &str)] = &[
    ("executor/src/registry.rs", "REGISTRY", "the executor registry"),
    ("executor/src/registry.rs", "EPOCH", "the fork epoch"),
    ("executor/src/runtime.rs", "RT", "the per-thread current runtime"),
    (
        "executor/src/signals/handler.rs",
        "HANDLER",
        "what a signal handler, which gets no argument, has to find",
    ),
    (
        "executor/src/signals/dispositions.rs",
        "DISPOSITIONS",
        "who listens to which signal of the process, and what was installed before",
    ),
    ("spawn/src/signal.rs", "HANDLER", "what a signal handler, which gets no argument, has to find"),
    ("spawn/src/held.rs", "HELD", "which children of the process somebody holds"),
    ("executor/src/task/raw.rs", "VTABLE", "functions only: nothing in it can change"),
];

/// The statics that `text` declares, if it belongs to a crate's `src/`.
fn statics(path: &str, text: &str) -> Vec<String> {
    let in_src = path.split('/').nth(1) == Some("src");
    if !in_src || !is_rust(path) {
        return Vec::new();
    }
    let code = code_only(text);
    let mut words = code.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
    let mut found = Vec::new();
    while let Some(word) = words.next() {
        if word == "static" {
            found.extend(words.find(|&word| !["mut", "ref"].contains(&word)).map(str::to_owned));
        }
    }
    found
}

#[test]
fn process_wide_state_is_the_listed_state() {
    let found: BTreeSet<(String, String)> = source_files()
        .iter()
        .flat_map(|file| statics(&file.path, &file.text).into_iter().map(|name| (file.path.clone(), name)))
        .collect();
    let listed: BTreeSet<_> =
        STATICS.iter().map(|(path, name, _)| (path.to_string(), name.to_string())).collect();
    let unlisted =
        found.difference(&listed).map(|(path, name)| format!("{path}: static {name} is not listed"));
    let stale = listed.difference(&found).map(|(path, name)| format!("{path}: static {name} does not exist"));
    assert_none("process-wide state", &unlisted.chain(stale).collect::<Vec<_>>());
}

#[test]
fn planted_statics_are_found() {
    let text =
        "thread_local! { static A: u8 = 0 }\nstatic mut B: u8 = 0;\nfn f(_: &'static str) {} // static C";
    assert_eq!(statics("ipc/src/x.rs", text), ["A", "B"]);
    assert!(statics("tests/x.rs", text).is_empty());
}
