//! What the tests of the examples share: start one, hear it line by line, see that nothing of it is left.
//!
//! ```text
//!   Run::start ─exec→ example ─stdout→ reader thread ─lines→ Run::line   (waits GUARD at most)
//!                        └────stderr→ reader thread ─text──→ Run::finish ─→ Ended { status, lines, stderr }
//! ```
//!
//! Rules:
//! * Every wait has a limit. When it is over the tree is described and killed, and the case fails.
//! * Orders come from lines of output and from the kernel (an exit status, ECHILD), never from time.
//! * The case process is a subreaper, so whatever a tree leaves behind becomes its child and is seen.

#![allow(dead_code, reason = "each of the tests that include this file uses a part of it")]

use pleach::inventory;
use pleach::test_main::adopt_strays;
use pleach_spawn::{Pid, Signal, signal_descendant};
use serde_json::Value;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// So long a tree may say nothing, or take to end after its last word. Far above all that is needed: a hang is caught,
/// a slow machine is not.
pub(crate) const GUARD: Duration = Duration::from_secs(60);

/// How often a case repeats what it does: as the environment says, else `small`.
pub(crate) fn runs(small: u32) -> u32 {
    match env::var("PLEACH_RUNS") {
        Ok(text) => {
            text.parse().unwrap_or_else(|e| panic!("PLEACH_RUNS must be a number, not `{text}`: {e}"))
        }
        Err(_) => small,
    }
}

/// The binary of an example of this package, which cargo builds before it runs the tests.
pub(crate) fn example(name: &str) -> PathBuf {
    let this = env::current_exe().expect("a running program has a path");
    let profile = this.parent().and_then(|deps| deps.parent()).expect("tests live in target/PROFILE/deps");
    let path = profile.join("examples").join(name);
    assert!(
        path.is_file(),
        "there is no {}: `cargo test -p pleach` builds it, `cargo test --test …` does not (`cargo build -p pleach --examples`)",
        path.display()
    );
    path
}

/// The backend that this target is about: every file is compiled once for each, and the name of the target says for
/// which.
pub(crate) const BACKEND: &str = {
    match env!("CARGO_CRATE_NAME").as_bytes() {
        [.., b'_', b'e', b'x', b'e', b'c'] => "exec",
        [.., b'_', b's', b'e', b'r', b'v', b'e', b'r'] => "server",
        _ => "fork",
    }
};

/// The example on this target's [`BACKEND`], with these arguments, separated by blanks.
pub(crate) fn command(name: &str, args: &str) -> Command {
    let mut command = Command::new(example(name));
    command
        .args(["--backend", BACKEND])
        .args(args.split_whitespace())
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// A program that runs below this case.
pub(crate) struct Run {
    child: Child,
    lines: Receiver<String>,
    stderr: Option<Receiver<String>>,
    readers: Vec<JoinHandle<()>>,
}

/// What is known of a [`Run`] when it is over.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// The lines of its output that [`Run::line`] had not given out.
    pub(crate) lines: Vec<String>,
    /// Empty unless it was to be collected.
    pub(crate) stderr: String,
}

impl Run {
    /// Starts it with its standard output on a pipe that is read all the time; its standard error too if it is piped.
    pub(crate) fn start(mut command: Command) -> Run {
        adopt_strays().expect("a process may become a subreaper");
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the program can be started");
        let (sender, lines) = channel();
        let stdout = child.stdout.take().expect("it is piped");
        let mut readers = vec![thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let line = line.expect("a pipe can be read, and what comes is text");
                // The case has given up.
                if sender.send(line).is_err() {
                    return;
                }
            }
        })];
        let stderr = child.stderr.take().map(|mut stderr| {
            let (sender, text) = channel();
            readers.push(thread::spawn(move || {
                let mut all = Vec::new();
                stderr.read_to_end(&mut all).expect("a pipe can be read");
                let _ = sender.send(String::from_utf8_lossy(&all).into_owned());
            }));
            text
        });
        Run { child, lines, stderr, readers }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What goes to its standard input, if that is piped.
    pub(crate) fn stdin(&mut self) -> &mut std::process::ChildStdin {
        self.child.stdin.as_mut().expect("its standard input was piped")
    }

    /// The next line of its output; none when no process that could write is left.
    pub(crate) fn line(&mut self) -> Option<String> {
        match self.lines.recv_timeout(GUARD) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => hang("nothing was written, and nothing ended"),
        }
    }

    /// Reads on until a line is this one.
    pub(crate) fn wait_for(&mut self, wanted: &str) {
        loop {
            match self.line() {
                Some(line) if line == wanted => return,
                Some(_) => {}
                None => panic!("the output ended without a line `{wanted}`"),
            }
        }
    }

    /// A signal for the process itself. It cannot hit another: only [`Run::finish`] takes its status.
    pub(crate) fn signal(&self, signal: Signal) {
        send(self.pid(), signal).expect("a child that was not waited for can be sent a signal");
    }

    /// Waits until the output is closed by all, and for the process.
    pub(crate) fn finish(mut self) -> Ended {
        let mut lines = Vec::new();
        while let Some(line) = self.line() {
            lines.push(line);
        }
        let stderr = self.stderr.take().map(|text| match text.recv_timeout(GUARD) {
            Ok(text) => text,
            Err(_) => hang("standard error was not closed"),
        });
        let status = wait(&mut self.child);
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader has no reason to panic");
        }
        Ended { status, lines, stderr: stderr.unwrap_or_default() }
    }
}

/// The status of a child that is to end by itself.
pub(crate) fn wait(child: &mut Child) -> ExitStatus {
    let give_up = pleach::now() + GUARD;
    loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return status;
        }
        if pleach::now() >= give_up {
            hang("the process did not end");
        }
        pause();
    }
}

#[expect(clippy::disallowed_methods, reason = "no executor runs here, and waitid(2) has no time limit")]
fn pause() {
    thread::sleep(Duration::from_millis(1));
}

/// The tree has left nothing: neither a child nor a stray that became one.
pub(crate) fn assert_nothing_left() {
    assert!(inventory::no_children(), "left behind:\n{}", describe(&below(std::process::id())));
}

/// Waits until a process is in this state of proc_pid_stat(5).
pub(crate) fn until_state(pid: u32, state: char) {
    let give_up = pleach::now() + GUARD;
    while !field(pid, "State:").is_some_and(|text| text.starts_with(state)) {
        if pleach::now() >= give_up {
            hang(&format!("process {pid} did not come to state {state}"));
        }
        pause();
    }
}

/// Hears `nested_errors --json` to its end: exit status 0, and of every run a report without complaint whose sums are
/// right. `shape` is breadth and depth.
pub(crate) fn comes_home(mut run: Run, shape: (u64, u32), all_fail: bool, runs: u32) {
    let (breadth, depth) = shape;
    let leaves = breadth.pow(depth);
    let actors: u64 = (1..=depth).map(|level| breadth.pow(level)).sum();
    let mut reports = 0;
    while let Some(line) = run.line() {
        reports += 1;
        let report: Value =
            serde_json::from_str(line.trim_end()).unwrap_or_else(|e| panic!("`{line}` is no JSON: {e}"));
        assert_eq!(report["complaints"], Value::Array(Vec::new()), "{line}");
        assert_eq!(report["run"], reports, "{line}");
        let number =
            |key: &str| report[key].as_u64().unwrap_or_else(|| panic!("no number `{key}` in {line}"));
        let (failed, cancelled) = (number("leaves_failed"), number("leaves_cancelled"));
        assert_eq!(failed + cancelled, leaves, "{line}");
        assert!(failed >= 1, "somebody must have failed first: {line}");
        assert!(number("actors_started") <= actors, "{line}");
        if all_fail {
            assert_eq!((failed, number("actors_started")), (leaves, actors), "{line}");
        }
    }
    let ended = run.finish();
    assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(0), ""), "after {reports} runs");
    assert_eq!(reports, runs, "one line per run");
}

/// Sends a signal to a process below this one; an error if it is gone.
pub(crate) fn send(pid: u32, signal: Signal) -> std::io::Result<()> {
    signal_descendant(Pid::from_raw(i32::try_from(pid).expect("a process id")), signal)
}

/// Describes the tree, kills it, and fails.
fn hang(what: &str) -> ! {
    let tree = below(std::process::id());
    let text = describe(&tree);
    for &pid in &tree {
        // It may be gone by now.
        let _ = send(pid, Signal::KILL);
    }
    panic!("hung for {} s: {what}; there were\n{text}", GUARD.as_secs());
}

/// Every process below `root`, parents before their children.
pub(crate) fn below(root: u32) -> Vec<u32> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc can be listed") {
        let Some(pid) = entry.ok().and_then(|e| e.file_name().to_str()?.parse::<u32>().ok()) else {
            continue;
        };
        // It may have ended since it was listed.
        let Some(parent) = field(pid, "PPid:").and_then(|text| text.parse::<u32>().ok()) else { continue };
        parents.push((pid, parent));
    }
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&above) = found.get(next) {
        found.extend(parents.iter().filter(|(_, parent)| *parent == above).map(|(pid, _)| *pid));
        next += 1;
    }
    found.remove(0);
    found
}

/// Has this process got past the first steps of its boot, so that its life is tied to its parent's?
///
/// Everything is blocked in a child until then, and in its parent while it forks. Whoever is stopped in between, before
/// the first system call of its own, has no ties yet: if its parent is killed as well, it stays stopped until somebody
/// continues it. No process can do anything about that for itself (`ARCHITECTURE.md`, "What is not kept").
pub(crate) fn has_ties(pid: u32) -> bool {
    field(pid, "SigBlk:").is_some_and(|mask| mask.bytes().all(|b| b == b'0'))
}

fn field(pid: u32, name: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(status.lines().find_map(|line| line.strip_prefix(name))?.trim().to_owned())
}

fn describe(pids: &[u32]) -> String {
    let mut text = String::new();
    for &pid in pids {
        let fields = ["Name:", "State:", "PPid:", "SigPnd:", "ShdPnd:", "SigBlk:", "SigIgn:", "SigCgt:"];
        let fields = fields.map(|name| format!("{name} {}", field(pid, name).unwrap_or_default()));
        let waits = fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default();
        let call = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
        text.push_str(&format!("  pid {pid} {}; waits in {waits}, call {}\n", fields.join(" "), call.trim()));
    }
    text
}

/// Two programs that take all the time they get, until this is dropped.
pub(crate) struct Busy(Vec<Child>);

impl Busy {
    pub(crate) fn both_cores() -> Busy {
        let spin = || {
            let mut command = Command::new("sh");
            command.args(["-c", "while :; do :; done"]).stdin(Stdio::null());
            command.spawn().expect("there is a shell")
        };
        Busy(vec![spin(), spin()])
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for child in &mut self.0 {
            child.kill().expect("it runs until it is killed");
            wait(child);
        }
    }
}
