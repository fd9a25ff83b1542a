//! A process is asked to end, and made to if it does not.
//!
//! ```text
//!   terminate(grace) ─► SIGTERM, SIGCONT ─► ends within the grace ──────────────► its status
//!                                             └ does not ─► SIGKILL ─► ends ────► its status
//!                                                                       └ does not, for 10 s ─► Unkillable
//! ```
//!
//! Rules: whoever else waits for the process gets the same status.

use super::{KILL_LIMIT, Pid, Process};
use crate::signal::Signal;
use crate::status::ExitStatus;
use pleach_executor::{Cancelled, move_on_after};
use std::error::Error;
use std::fmt;
use std::time::Duration;

/// Why [`Process::terminate`] gives no status.
#[derive(Debug)]
#[non_exhaustive]
pub enum TerminateError {
    /// The scope around was cancelled. The process may have been sent a signal; it is still to be waited for.
    Cancelled(Cancelled),
    /// It does not even die of SIGKILL: it waits in the kernel for a device or a file system, or it is not ours to signal any
    /// more. It is still to be waited for.
    Unkillable(Pid),
}

impl From<Cancelled> for TerminateError {
    fn from(c: Cancelled) -> Self {
        Self::Cancelled(c)
    }
}

impl fmt::Display for TerminateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled(c) => c.fmt(f),
            Self::Unkillable(pid) => {
                write!(
                    f,
                    "process {pid} has been sent SIGKILL and has not ended for {KILL_LIMIT:?}: see its wchan"
                )
            }
        }
    }
}

impl Error for TerminateError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Cancelled(c) => Some(c),
            Self::Unkillable(_) => None,
        }
    }
}

impl Process {
    /// Ends it: SIGTERM, and SIGKILL if it has not ended within `grace`. One that is stopped is continued, so that it hears of
    /// it. Gives the status, whatever it ended of; at once if it has ended already.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always. Loses nothing of the process: cancelled, signals may have been sent, no status has been collected,
    /// and another call goes on.
    ///
    /// # Errors
    ///
    /// [`TerminateError`].
    ///
    /// # Panics
    ///
    /// Outside the run that made it, a forked child's included.
    ///
    /// ```no_run
    /// use pleach_spawn::{Forked, Plan, Signal, fork};
    /// use std::time::Duration;
    /// pleach_executor::run(async {
    ///     let Forked { process, .. } = fork(Plan::new("sleeper"), (), |_, _| loop { std::thread::park() }).await?;
    ///     assert_eq!(process.terminate(Duration::from_secs(1)).await?.signal(), Some(Signal::TERM));
    ///     Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
    /// }).unwrap();
    /// ```
    pub async fn terminate(&self, grace: Duration) -> Result<ExitStatus, TerminateError> {
        pleach_executor::check()?;
        if let Some(status) = self.try_status() {
            return Ok(status);
        }
        let _ = self.signal(Signal::TERM);
        let _ = self.signal(Signal::CONT);
        if let Some(status) = self.wait_for(grace).await? {
            return Ok(status);
        }
        let _ = self.signal(Signal::KILL);
        self.wait_for(KILL_LIMIT).await?.ok_or(TerminateError::Unkillable(self.pid()))
    }

    /// Its status, if it ends within `limit`.
    async fn wait_for(&self, limit: Duration) -> Result<Option<ExitStatus>, Cancelled> {
        move_on_after(limit, async |_| self.wait().await).await
    }
}
