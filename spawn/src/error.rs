//! Why no process came to be: one enum, all or nothing. When `fork` fails, nothing of the attempt is left.

use pleach_executor::Cancelled;
use std::{error, fmt, io};

/// Why no child was made. Nothing was left behind: no process, no descriptor.
#[derive(Debug)]
#[non_exhaustive]
pub enum SpawnError {
    /// The caller's scope was cancelled before the fork.
    Cancelled(Cancelled),
    /// [`Plan::still_wanted`](crate::Plan::still_wanted) said no.
    Unwanted,
    /// Other threads are alive; what they hold locked would stay locked in the child for ever. End them first.
    NotSingleThreaded {
        /// The names of the other threads, as the kernel knows them.
        others: Vec<String>,
    },
    /// SIGCHLD is ignored or handled by somebody else, who would collect exit statuses that are ours. Restore
    /// `SIG_DFL` before the first spawn.
    SigchldNotDefault,
    /// The fork server has ended, or gave no answer and was killed. Another one can be started.
    ServerGone {
        /// What is known of it.
        why: String,
    },
    /// There can be no fork server here: the system, or a filter, refuses what it needs, or `main` opens descriptors before
    /// [`reborn`](crate::reborn()) that all its children would share. Use another backend.
    NoServer {
        /// What is missing, or in the way.
        why: String,
    },
    /// The operating system refused.
    System {
        /// Which call refused.
        step: &'static str,
        /// What it said.
        error: io::Error,
    },
}

impl SpawnError {
    /// The cancellation, for the caller's scope to absorb, if that is why.
    ///
    /// # Errors
    ///
    /// Itself, if it is another error.
    pub fn into_cancelled(self) -> Result<Cancelled, Self> {
        match self {
            Self::Cancelled(c) => Ok(c),
            other => Err(other),
        }
    }

    pub(crate) fn system(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::System { step, error }
    }
}

impl From<Cancelled> for SpawnError {
    fn from(c: Cancelled) -> Self {
        Self::Cancelled(c)
    }
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled(_) => f.write_str("cancelled before the fork"),
            Self::Unwanted => f.write_str("the child was no longer wanted when its turn came"),
            Self::NotSingleThreaded { others } => write!(
                f,
                "fork needs a process with exactly one thread, and these are alive beside it: {} (end them first; a \
                 plain #[test] always has two)",
                others.join(", ")
            ),
            Self::SigchldNotDefault => f.write_str(
                "SIGCHLD is not at its default disposition, so exit statuses would be lost: restore SIG_DFL first",
            ),
            Self::ServerGone { why } => write!(f, "the fork server is gone: {why}; another one can be started"),
            Self::NoServer { why } => {
                write!(f, "there can be no fork server here: {why}; make processes by exec instead")
            }
            Self::System { step, error } => {
                write!(f, "{step}: {error}")?;
                advice(error).map_or(Ok(()), |advice| write!(f, ": {advice}"))
            }
        }
    }
}

/// What to do about a limit.
fn advice(error: &io::Error) -> Option<&'static str> {
    match error.raw_os_error()? {
        libc::EAGAIN => {
            Some("no more processes are allowed here, see `ulimit -u` and pids.max of the cgroup")
        }
        libc::EMFILE => Some("no descriptor is left in this process, see `ulimit -n`"),
        libc::ENFILE => Some("no descriptor is left in this system"),
        libc::ENOMEM => Some("there is not enough memory, or the cgroup allows no more"),
        _ => None,
    }
}

impl error::Error for SpawnError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Cancelled(c) => Some(c),
            Self::System { error, .. } => Some(error),
            _ => None,
        }
    }
}
