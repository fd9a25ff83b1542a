//! A process of its own for every case and round: this program, begun anew, measures one thing and prints one line.
//!
//! ```text
//!   parent: measure(question, column, size) ─► exe --case QUESTION COLUMN SIZE ─► "value 12.5" │ "skip why" ─► Outcome
//! ```
//!
//! Rules: nothing that one case leaves behind (a warm heap, a fragmented one, a thread) reaches the next. A case that
//! fails fails the bench, with its own message above.

use std::process::{Command, Stdio};

/// The hidden argument.
pub(crate) const CASE: &str = "--case";

/// A case that hangs is killed after so many seconds.
const LIMIT: u32 = 120;

/// What a case said.
#[derive(Debug)]
pub(crate) enum Outcome {
    Value(f64),
    /// This contender cannot run here, and why.
    Skipped(String),
}

/// Runs one case in a process of its own.
///
/// # Panics
///
/// If it fails, or says nothing that is understood.
pub(crate) fn measure(question: &str, column: &str, full: bool) -> Outcome {
    let exe = std::env::current_exe().expect("this program has a path");
    let output = Command::new(exe)
        .args([CASE, question, column, if full { "full" } else { "smoke" }])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .expect("this program can be begun anew");
    assert!(output.status.success(), "{question}, {column}: {}", output.status);
    let said = String::from_utf8(output.stdout).expect("a case prints text");
    let line = said.lines().last().unwrap_or_default();
    match line.split_once(' ') {
        Some(("value", value)) => Outcome::Value(value.parse().expect("a number")),
        Some(("skip", why)) => Outcome::Skipped(why.to_owned()),
        _ => panic!("{question}, {column} said {line:?}"),
    }
}

/// In the process of a case: runs it, says what it measured, and leaves without destructors.
pub(crate) fn answer(work: impl FnOnce() -> f64) -> ! {
    nix::unistd::alarm::set(LIMIT);
    let value = work();
    println!("value {value}");
    std::process::exit(0)
}

/// In the process of a case: this contender cannot run here.
pub(crate) fn skip(why: &str) -> ! {
    println!("skip {}", why.replace('\n', " "));
    std::process::exit(0)
}
