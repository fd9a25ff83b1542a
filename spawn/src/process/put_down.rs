//! A child that cannot be kept: killed and reaped by the thread, without the loop.
//!
//! ```text
//!   made, and then: no number for its pidfd, no place in the reactor ─► put_down ─► SIGKILL ─► waitid, for a bounded time
//! ```
//!
//! Rules: nothing of an attempt to make a process is left when it fails.

use super::{KILL_LIMIT, Pid};
use crate::held::Hold;
use crate::sys::{self, Who};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// Kills and reaps a child that cannot be kept, without the loop, for at most [`KILL_LIMIT`].
///
/// Without a pidfd of its own, `/proc/<pid>` serves as one (pidfd_send_signal(2) takes both); where no number is free for that
/// either, it is killed by its own number. The child is not reaped, so both names are its own.
pub(crate) fn put_down(pid: Pid, pidfd: Option<OwnedFd>) {
    const STEP: Duration = Duration::from_millis(5);
    let _hold = Hold::new(pid);
    let fd = pidfd.or_else(|| std::fs::File::open(format!("/proc/{pid}")).ok().map(OwnedFd::from));
    match fd {
        Some(fd) => _ = sys::pidfd_send_signal(fd.as_fd(), libc::SIGKILL),
        None => sys::kill_child(pid),
    }
    let mut waited = Duration::ZERO;
    while let Ok(None) = sys::wait(Who::Child(pid), libc::WNOHANG)
        && waited < KILL_LIMIT
    {
        sys::stand_still_for(STEP);
        waited += STEP;
    }
}

#[cfg(test)]
mod tests {
    use super::{Pid, put_down};

    #[test]
    fn a_child_without_pidfd_is_put_down_by_its_proc_entry() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().expect("there is a sleep");
        put_down(Pid::from_raw(child.id() as i32), None);
        assert_eq!(
            child.try_wait().map_err(|e| e.raw_os_error()).err(),
            Some(Some(libc::ECHILD)),
            "already reaped"
        );
    }
}
