//! A runner for tests that fork: every case in a process of its own, with one thread, and an inventory around it.
//!
//! ```text
//!   cargo test, nextest ─► main(cases) ─► for each: the same binary again, PLEACH_CASE=name ─► the case ─► inventory
//!                                └─ output and status, at most 60 s ◄──────────────────────────────────┘
//! ```
//!
//! Speaks the part of libtest's command line that cargo and nextest use. Cases whose name begins with `_` are
//! programs for other cases: not listed, run only by name.

#![allow(dead_code, reason = "not every test binary uses every helper")]

use pleach_spawn::{Process, Signals, no_children, open_fds, reap_stranger, thread_count};
use std::future::poll_fn;
use std::io::{Read, pipe};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::task::Poll;
use std::time::Duration;

/// A case and its name, which is a fact.
pub(crate) type Case = (&'static str, fn());

const CASE: &str = "PLEACH_CASE";

/// Nothing here measures time: this only ends a case that hangs. A larger `COUNT` has more of it.
fn hang_guard() -> Duration {
    Duration::from_secs(60) + Duration::from_millis(50 * count(0))
}

/// Makes a [`Case`] of a function.
#[macro_export]
macro_rules! cases {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), $name)),*] };
}

/// The `main` of a test binary.
pub(crate) fn main(cases: &[Case]) -> ExitCode {
    if let Ok(name) = std::env::var(CASE) {
        let (_, case) = cases.iter().find(|(n, _)| *n == name).expect("a case of that name");
        if name.starts_with('_') {
            case()
        } else {
            with_inventory(*case)
        }
        return ExitCode::SUCCESS;
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| args.iter().any(|a| a == flag);
    let wanted: Vec<&String> =
        args.iter().filter(|a| !a.starts_with('-') && *a != "terse" && *a != "pretty").collect();
    let chosen = cases.iter().filter(|(name, _)| {
        let fits = |w: &&String| if has("--exact") { *name == w.as_str() } else { name.contains(w.as_str()) };
        !name.starts_with('_') && !has("--ignored") && (wanted.is_empty() || wanted.iter().any(fits))
    });
    if has("--list") {
        chosen.for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let (mut passed, mut failed) = (0, 0);
    for (name, _) in chosen {
        match in_own_process(name) {
            Ok(()) => {
                passed += 1;
                println!("test {name} ... ok");
            }
            Err(why) => {
                failed += 1;
                println!("test {name} ... FAILED\n{why}");
            }
        }
    }
    println!("\ntest result: {passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn in_own_process(name: &str) -> Result<(), String> {
    let (mut output, writer) = pipe().expect("a pipe");
    let mut command = program(name);
    command.stdin(Stdio::null()).stdout(writer.try_clone().expect("a number")).stderr(writer);
    let mut child = command.spawn().expect("this binary starts");
    drop(command);
    // EOF says that the case and everything that it started have ended.
    let (all_said, said) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = output.read_to_end(&mut text);
        let _ = all_said.send(String::from_utf8_lossy(&text).into_owned());
    });
    match said.recv_timeout(hang_guard()) {
        Ok(text) => {
            let status = child.wait().expect("our own child");
            if status.success() { Ok(()) } else { Err(format!("{text}\n{status}")) }
        }
        Err(_) => {
            // Its descendants die with it, one after the other.
            let _ = child.kill();
            let _ = child.wait();
            let text = said.recv_timeout(hang_guard()).unwrap_or_default();
            Err(format!("{text}\nhangs: killed after {:?}", hang_guard()))
        }
    }
}

/// This binary again, as one case.
pub(crate) fn program(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this binary has a path"));
    command.env(CASE, name);
    command
}

/// This binary again, as one case, from a shell line that ends in `exec` and first does something that safe Rust
/// cannot.
pub(crate) fn program_after(shell: &str, name: &str) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{shell} \"$0\"")).arg(std::env::current_exe().expect("a path"));
    command.env(CASE, name);
    command
}

/// Runs a program of this binary to its end; what it printed, if it succeeded.
pub(crate) fn output_of(mut command: Command) -> String {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().expect("it starts");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{}: {text}", output.status);
    text
}

fn with_inventory(case: fn()) {
    // The thread's reactor is made on first use and stays.
    pleach_executor::run(async { drop(Signals::listen(&[]).expect("signals")) });
    let before = open_fds().expect("/proc");
    case();
    assert!(no_children(), "children are left");
    assert_eq!(open_fds().expect("/proc"), before, "the descriptors have changed");
    assert_eq!(thread_count().expect("/proc"), 1, "threads are left");
}

/// How often to repeat: the number in `COUNT`, or `otherwise`.
pub(crate) fn count(otherwise: u64) -> u64 {
    std::env::var("COUNT").ok().and_then(|n| n.parse().ok()).unwrap_or(otherwise)
}

/// All that comes over a link until its end.
pub(crate) fn read_all(mut link: UnixStream) -> String {
    let mut text = Vec::new();
    link.read_to_end(&mut text).expect("the link");
    String::from_utf8_lossy(&text).into_owned()
}

/// A process of a test that was forked and not needed any more: ends and is reaped.
pub(crate) async fn end(process: Process) {
    let _ = process.signal(pleach_spawn::Signal::KILL);
    let _ = process.wait().await.expect("not cancelled");
}

/// Collects everybody who was adopted, until there is no child left. This process has to be a subreaper.
pub(crate) async fn reap_all_strangers() -> Vec<pleach_spawn::ExitStatus> {
    let mut ends = Vec::new();
    while !no_children() {
        match reap_stranger() {
            Some((_, status)) => ends.push(status),
            // The death of a stranger is announced by nothing that could be awaited.
            None => pleach_executor::sleep(Duration::from_millis(1)).await.expect("not cancelled"),
        }
    }
    ends
}

/// Polls once: it has to be waiting.
pub(crate) async fn starts_waiting<F: Future>(mut future: Pin<&mut F>) {
    let ready = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await;
    assert!(!ready, "there is nothing to wait for");
}

/// Stands still for ever, deaf to everything but signals.
pub(crate) fn stand_still() -> ! {
    loop {
        std::thread::park();
    }
}
