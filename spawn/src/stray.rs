//! A child that came from elsewhere: adopted by a subreaper when its parent died.
//!
//! ```text
//!   its parent dies ─► our child ─ Stray::adopt ─► pidfd ─ reap().await ─► ExitStatus
//! ```
//!
//! Rules:
//! * It is collected by its pidfd alone, so nobody else's child loses a status.

use crate::process::{Pid, only_waiter};
use crate::status::ExitStatus;
use crate::sys::{self, Who};
use pleach_executor::Cancelled;
use pleach_executor::fd::AsyncFd;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// A child that was adopted, and that no [`Process`](crate::Process) stands for. Dropping it does nothing to it.
#[derive(Debug)]
pub struct Stray {
    pid: Pid,
    pidfd: AsyncFd<OwnedFd>,
}

impl Stray {
    /// Takes hold of a child, which is alive or dead and not reaped. The number is its own as long as that holds.
    ///
    /// # Errors
    ///
    /// If there is no such process, and of `epoll_ctl(2)`.
    ///
    /// # Panics
    ///
    /// Outside a run.
    pub fn adopt(pid: Pid) -> io::Result<Self> {
        Ok(Self { pid, pidfd: AsyncFd::sole(sys::pidfd_open(pid)?)? })
    }

    /// Which it is.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits until it has ended, and collects its exit status; none if somebody else has.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always. **Strict**: cancelled, nothing has been collected.
    ///
    /// # Errors
    ///
    /// [`Cancelled`], from the scope around.
    ///
    /// # Panics
    ///
    /// If another task waits for it at the same time; outside the run that made it.
    pub async fn reap(&self) -> Result<Option<ExitStatus>, Cancelled> {
        loop {
            only_waiter(self.pidfd.readable().await)?;
            let pidfd = self.pidfd.get_ref().as_fd();
            match sys::wait(Who::Pidfd(pidfd), libc::WNOHANG) {
                Ok(None) => self.pidfd.clear_readable(),
                Ok(Some((_, status))) => return Ok(Some(status)),
                Err(_) => return Ok(None),
            }
        }
    }

    /// Sends it SIGKILL.
    pub fn kill(&self) {
        let _ = sys::pidfd_send_signal(self.pidfd.get_ref().as_fd(), libc::SIGKILL);
    }
}
