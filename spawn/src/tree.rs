//! What the kernel says of this process: its children, threads, descriptors and signals. For roots, dumps and tests.
//!
//! ```text
//!   /proc/self/{task, fd, status}, /proc/*/stat, waitid(P_ALL) ─► plain values
//! ```
//!
//! Rules:
//! * A look at `/proc` is a look: by the time it is read it may have changed, except for what only this thread
//!   changes.
//! * [`reap_stranger`] collects whoever is there. It is for processes that own all their children (a `Program`, a
//!   test), and after their own children have been reaped: others would lose statuses by it.

use crate::process::{Pid, field_of_stat, start_time_of};
use crate::signal::Signal;
use crate::status::ExitStatus;
use crate::sys::{self, Who};
use std::fs;
use std::io;
use std::os::fd::{AsFd, RawFd};

/// Makes this process the parent of all descendants whose own parent dies.
///
/// # Errors
///
/// What prctl(2) says; never, on a kernel since 3.4.
pub fn become_subreaper() -> io::Result<()> {
    sys::become_subreaper()
}

/// Leaves at once with this status: no destructors, no `atexit` handlers, no flush of inherited buffers. How a forked child
/// ends (exit_group(2)).
pub fn exit_now(status: i32) -> ! {
    sys::exit_now(status)
}

/// When this process started: clock ticks since boot (field 22 of proc_pid_stat(5)).
///
/// # Errors
///
/// If `/proc` cannot be read.
pub fn start_time() -> io::Result<u64> {
    start_time_of(Pid::this())
}

/// Sends a signal to a process below this one, by a pidfd made for it.
///
/// For harnesses and supervisors that know the number is not reused: a descendant's number is free only after it was
/// collected, by us or by a parent that is a descendant itself.
///
/// # Errors
///
/// ESRCH if it is gone; what pidfd_open(2) and pidfd_send_signal(2) say.
pub fn signal_descendant(pid: Pid, signal: Signal) -> io::Result<()> {
    let pidfd = sys::pidfd_open(pid)?;
    sys::pidfd_send_signal(pidfd.as_fd(), signal.as_raw())
}

/// The children of this process, dead ones that are not reaped among them.
///
/// # Errors
///
/// If `/proc` cannot be read.
pub fn children() -> io::Result<Vec<Pid>> {
    let me = u64::try_from(Pid::this().as_raw()).unwrap_or(0);
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // It may have ended since it was listed.
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        if field_of_stat(&stat, 4) == Some(me) {
            found.push(Pid::from_raw(pid));
        }
    }
    Ok(found)
}

/// The same at a glance: in the time that the number of children takes, and not that of all processes. It may miss one, while
/// others come and go; so it is for who looks again.
///
/// # Errors
///
/// If `/proc` cannot be read.
///
/// # References
///
/// proc_tid_children(5). Where the kernel was built without it, this is [`children`].
pub fn glance_at_children() -> io::Result<Vec<Pid>> {
    let mut found = Vec::new();
    for task in fs::read_dir("/proc/self/task")? {
        match fs::read_to_string(task?.path().join("children")) {
            Ok(listed) => {
                found.extend(
                    listed.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw),
                );
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => return children(),
            Err(e) => return Err(e),
        }
    }
    Ok(found)
}

/// Collects a dead child that no [`Process`](crate::Process) stands for, if there is one. Never waits.
///
/// It takes whichever child is dead. Only for processes that own all their children, after their own have been
/// reaped: a `std::process::Child` elsewhere in the program would lose its status by it.
pub fn reap_stranger() -> Option<(Pid, ExitStatus)> {
    sys::wait(Who::Any, libc::WNOHANG).ok().flatten()
}

/// Whether this process has no children at all, neither living nor dead.
#[must_use]
pub fn no_children() -> bool {
    let answer = sys::wait(Who::Any, libc::WNOHANG | libc::WNOWAIT);
    answer.is_err_and(|e| e.raw_os_error() == Some(libc::ECHILD))
}

/// The open descriptors of this process with what they stand for, in ascending order. A file whose name somebody has
/// removed since is called by it all the same: it is the same file.
///
/// # Errors
///
/// If `/proc` cannot be read.
pub fn open_fds() -> io::Result<Vec<(RawFd, String)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        let Some(fd) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let target = fs::read_link(entry.path()).unwrap_or_default();
        let target = target.to_string_lossy();
        found.push((fd, target.strip_suffix(" (deleted)").unwrap_or(&target).to_owned()));
    }
    // The listing's own descriptor is gone by now.
    let listing = format!("/proc/{}/fd", Pid::this());
    found.retain(|(_, target)| *target != listing);
    found.sort_unstable();
    Ok(found)
}

/// How many threads this process has.
///
/// # Errors
///
/// If `/proc` cannot be read.
pub fn thread_count() -> io::Result<usize> {
    Ok(other_threads()?.len() + 1)
}

/// Empty if this is the only thread, for sure. One call where there is one.
pub(crate) fn busy_threads() -> io::Result<Vec<String>> {
    if sys::unshare_thread().is_ok() {
        return Ok(Vec::new());
    }
    // Several threads; or one, and a sandbox that forbids the question. Or the others are on their way out.
    other_threads()
}

/// The names of the threads beside the calling one that can still run code of this program.
///
/// A thread that has been joined may be on its way through the kernel's exit for a moment longer; it is marked as
/// exiting (PF_EXITING) before its joiner is woken, touches no memory of the program any more, and does not count.
pub(crate) fn other_threads() -> io::Result<Vec<String>> {
    const PF_EXITING: u64 = 0x4;
    let me = fs::read_link("/proc/thread-self")?;
    let mut others = Vec::new();
    for entry in fs::read_dir("/proc/self/task")? {
        let path = entry?.path();
        if path.file_name() == me.file_name() {
            continue;
        }
        // It may have ended since it was listed.
        let Ok(stat) = fs::read_to_string(path.join("stat")) else { continue };
        if field_of_stat(&stat, 9).is_some_and(|flags| flags & PF_EXITING == 0) {
            let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
            others.push(name.trim_end().to_owned());
        }
    }
    Ok(others)
}

/// Signals as the kernel sees them for this thread: bit `n - 1` stands for signal `n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalState {
    /// Blocked on this thread.
    pub blocked: u64,
    /// Ignored.
    pub ignored: u64,
    /// Caught by a handler.
    pub caught: u64,
}

/// Which signals are blocked, ignored and caught.
///
/// # Errors
///
/// If `/proc` cannot be read.
pub fn signal_state() -> io::Result<SignalState> {
    let status = fs::read_to_string("/proc/thread-self/status")?;
    let set = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).ok_or(io::ErrorKind::InvalidData)
    };
    Ok(SignalState { blocked: set("SigBlk:")?, ignored: set("SigIgn:")?, caught: set("SigCgt:")? })
}
