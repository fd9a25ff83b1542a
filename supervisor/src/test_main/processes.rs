//! What `/proc` says about processes: one of them, all below one, and a dump for a case that hangs.
//!
//! ```text
//!   /proc/PID/stat ─text→ Process::parse ◇ ─→ Process ─→ below(root): the tree in order │ dump: what each one waits for
//! ```
//!
//! Rules:
//! * A process may end between two reads: what is gone is left out, it is no error.
//! * A zombie is listed like any other (state `Z`): it has ended, but nobody has collected its status.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::fs;
use std::path::Path;

/// A process id, as the kernel counts them.
pub(super) type Pid = u32;

/// One process at the moment it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: Pid,
    pub(super) parent: Pid,
    /// `R`unning, `S`leeping, `D` (uninterruptible), s`T`opped, `Z`ombie, …: see proc_pid_stat(5).
    pub(super) state: char,
    /// The first 15 bytes of the program's or the thread's name.
    pub(super) comm: String,
    /// The kernel's `PF_…` bits.
    flags: u64,
}

/// Of [`Process::flags`]: it is past the last instruction of its own (`include/linux/sched.h`).
const PF_EXITING: u64 = 0x4;

impl Process {
    /// Reads the text of a `stat` file of a process or thread.
    fn parse(stat: &str) -> Option<Process> {
        // The name may hold blanks and parentheses: it ends at the last one.
        let (pid, rest) = stat.split_once(" (")?;
        let (comm, rest) = rest.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        Some(Process {
            pid: pid.parse().ok()?,
            parent: fields.get(1)?.parse().ok()?,
            state: fields.first()?.chars().next()?,
            comm: comm.to_owned(),
            flags: fields.get(6)?.parse().ok()?,
        })
    }

    /// The process or thread whose directory below `/proc` this is, if it still exists.
    pub(super) fn read(directory: &Path) -> Option<Process> {
        let stat = fs::read(directory.join("stat")).ok()?;
        Process::parse(&String::from_utf8_lossy(&stat))
    }

    /// Whether it has ended, though its status may not have been collected.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }

    /// Whether it will run no more instructions of its own; a thread that has been joined is at least here.
    pub(super) fn is_exiting(&self) -> bool {
        self.flags & PF_EXITING != 0
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Process { pid, parent, state, comm, .. } = self;
        write!(f, "pid {pid} `{comm}` (state {state}, parent {parent})")
    }
}

/// Every process below `root`, parents before their children.
pub(super) fn below(root: Pid) -> Vec<Process> {
    let mut children: HashMap<Pid, Vec<Process>> = HashMap::new();
    for name in names("/proc").iter().filter(|n| n.bytes().all(|b| b.is_ascii_digit())) {
        if let Some(process) = Process::read(&Path::new("/proc").join(name)) {
            children.entry(process.parent).or_default().push(process);
        }
    }
    let mut found: Vec<Process> = children.remove(&root).unwrap_or_default();
    let mut next = 0;
    while let Some(process) = found.get(next) {
        let below = children.remove(&process.pid).unwrap_or_default();
        found.extend(below);
        next += 1;
    }
    found
}

/// The children of `parent`, ended ones included.
pub(super) fn children(parent: Pid) -> Vec<Process> {
    below(parent).into_iter().filter(|p| p.parent == parent).collect()
}

/// Whether the process has a handler for signal number `signal`.
pub(super) fn catches(pid: Pid, signal: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    mask.is_some_and(|m| u64::from_str_radix(m.trim(), 16).is_ok_and(|m| m >> (signal - 1) & 1 == 1))
}

/// What is known about these processes from outside, for someone who wants to know why they do not end.
pub(super) fn dump(processes: &[Process]) -> String {
    let mut text = String::new();
    for process in processes {
        describe(&mut text, process).expect("writing to a String cannot fail");
    }
    text
}

fn describe(text: &mut String, process: &Process) -> fmt::Result {
    let root = format!("/proc/{}", process.pid);
    let command = fs::read(format!("{root}/cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command).replace('\0', " ");
    writeln!(text, "  {process}: {}", command.trim_end())?;
    for thread in names(&format!("{root}/task")) {
        let task = format!("{root}/task/{thread}");
        let Some(seen) = Process::read(Path::new(&task)) else { continue };
        let word = |file: &str| match fs::read_to_string(format!("{task}/{file}")) {
            Ok(text) if !text.trim().is_empty() => text.trim().to_owned(),
            _ => "?".to_owned(),
        };
        let (wchan, syscall) = (word("wchan"), word("syscall"));
        writeln!(
            text,
            "    thread {thread} `{}` {}: wchan {wchan}, syscall {syscall}",
            seen.comm, seen.state
        )?;
    }
    for fd in names(&format!("{root}/fd")) {
        if let Ok(target) = fs::read_link(format!("{root}/fd/{fd}")) {
            writeln!(text, "    fd {fd} -> {}", target.display())?;
        }
    }
    Ok(())
}

/// The names in a directory of numbers, smallest first; none if it is gone.
fn names(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|e| e.file_name().into_string().ok()).collect();
    names.sort_by_key(|n| n.parse::<u64>().unwrap_or(u64::MAX));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "17 (a) b (c)) S 5 17 17 0 -1 4194564 100 0";
        let process = Process::parse(stat).expect("a stat line");
        assert_eq!(
            (process.pid, process.parent, process.state, process.comm.as_str()),
            (17, 5, 'S', "a) b (c)")
        );
        assert!(process.is_exiting() && !process.has_ended());
        assert_eq!(process.to_string(), "pid 17 `a) b (c)` (state S, parent 5)");
    }

    #[test]
    fn half_a_line_is_nobody() {
        for stat in ["", "17", "17 (a", "17 (a) S", "17 (a) S 5 17 17 0 -1", "x (a) S 5 17 17 0 -1 0"] {
            assert_eq!(Process::parse(stat), None, "{stat}");
        }
    }

    #[test]
    fn this_process_is_below_its_parent() {
        let me = std::process::id();
        let myself = Process::read(Path::new("/proc/self")).expect("our own stat");
        assert_eq!(myself.pid, me);
        assert!(!myself.has_ended());
        assert!(children(myself.parent).iter().any(|p| p.pid == me));
        assert!(dump(&[myself]).contains(&format!("    thread {me} ")));
    }
}
