//! Who belongs to a tree: a mark that every process of it is born with, and that outlives its parent's word.
//!
//! ```text
//!   root ─ begin_tree: not marked ─┬─ fork, exec ─► marked ─ fork, exec, anything ─► marked
//!                                  └─ Command ────► not marked: the program's own business
//! ```
//!
//! When an actor is killed, what it had started comes to the root, perhaps before anybody could announce it. The root
//! may have other children, whose status belongs to whoever started them. So each process of a tree ignores one
//! signal that nothing else is likely to ignore: that is inherited from the first instruction on, across fork and exec, and
//! `/proc` shows it also of a process that is dead and not reaped.
//!
//! Rules:
//! * The mark is [`MARK`]: a program that needs that signal in an actor may have it, and loses only this.

use crate::process::Pid;
use crate::sys::{self, Action};
use std::fs;
use std::io;

/// SIGRTMAX as the kernel numbers it.
pub(crate) const MARK: i32 = 64;

/// From now on this process is a root: what it starts by other means than this crate is not of its tree, also if it was
/// started itself by somebody of a tree. And it hears of its children: SIGCHLD is not blocked on this thread any more, if whoever
/// started this process had it blocked (a mask is inherited across exec).
///
/// # Errors
///
/// What the system says; it has nothing to say against this.
pub fn begin_tree() -> io::Result<()> {
    sys::unblock(libc::SIGCHLD);
    sys::set_action(MARK, Action::Default).map(drop)
}

/// Whether this process, alive or dead and not reaped, was made by an actor, or by somebody below one.
#[must_use]
pub fn is_of_a_tree(pid: Pid) -> bool {
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { return false };
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    ignored.is_some_and(|set| set & 1 << (MARK - 1) != 0)
}
