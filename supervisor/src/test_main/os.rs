//! The system calls the harness needs, by way of the crates below, which may make them.
//!
//! ```text
//!   runner, strays, inventory ─→ os ─→ pleach_spawn (processes) │ pleach_executor (clock)
//! ```
//!
//! Rules:
//! * Nothing else in the harness names those crates.
//! * Any thread may call these; the process must have no other user of `waitid(P_ALL)`.

use super::processes::Pid;
use std::io;

pub(super) use pleach_executor::now;

pub(super) const SIGKILL: u32 = 9;
pub(super) const SIGUSR1: u32 = 10;

/// What `waitid(P_ALL, WEXITED | WNOHANG)` answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaped {
    /// This child had ended, and has been collected.
    One(Pid),
    /// There are children, and none has ended.
    AllRunning,
    /// `ECHILD`.
    NoChildren,
}

/// Makes this process the new parent of orphans below it: `prctl(PR_SET_CHILD_SUBREAPER)`.
pub(super) fn become_subreaper() -> io::Result<()> {
    pleach_spawn::become_subreaper()
}

/// Whether this process has neither a running nor an uncollected child; collects none.
pub(super) fn has_no_children() -> bool {
    pleach_spawn::no_children()
}

/// Collects any one child that has ended.
pub(super) fn reap_any() -> io::Result<Reaped> {
    Ok(match pleach_spawn::reap_stranger() {
        Some((pid, _)) => Reaped::One(pid.as_raw().unsigned_abs()),
        None if has_no_children() => Reaped::NoChildren,
        None => Reaped::AllRunning,
    })
}

/// Sends a signal to a process below this one.
///
/// It cannot hit a stranger: a descendant's number is free only after it was collected, by us (the runner's own
/// thread is here) or by a parent that is a descendant itself.
pub(super) fn signal(pid: Pid, number: u32) -> io::Result<()> {
    let raw = |n: u32| i32::try_from(n).map_err(io::Error::other);
    pleach_spawn::signal_descendant(
        pleach_spawn::Pid::from_raw(raw(pid)?),
        pleach_spawn::Signal::from_raw(raw(number)?),
    )
}
