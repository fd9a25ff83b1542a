//! How a process ended, as the kernel told it, or that nobody can know. ◇ pure
//!
//! ```text
//!   waitid ─(code, status)─┐
//!                          ├─► ExitStatus ─► "exit status 3" | "killed by SIGKILL" | "exit status unknown"
//!   pidfd info ─wait word──┘
//! ```

use crate::signal::Signal;
use std::fmt;

/// How a process ended. Collected once, kept, never guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "how a process ended is an event somebody has to hear of"]
#[non_exhaustive]
pub enum ExitStatus {
    /// It left by `_exit` with this code (the low eight bits of what it passed).
    Exited(i32),
    /// A signal ended it.
    Signaled {
        /// Which one.
        signal: Signal,
        /// Whether the kernel wrote a core dump.
        core_dumped: bool,
    },
    /// Somebody else collected the status (user code with `waitpid(-1)`), and the kernel is too old to tell
    /// afterwards.
    Unknown,
}

impl ExitStatus {
    /// True only for exit code 0; an unknown status is not a success.
    #[must_use]
    pub fn success(self) -> bool {
        self == Self::Exited(0)
    }

    /// The exit code, if the process left by itself.
    #[must_use]
    pub fn code(self) -> Option<i32> {
        match self {
            Self::Exited(code) => Some(code),
            _ => None,
        }
    }

    /// The signal that ended the process, if one did.
    #[must_use]
    pub fn signal(self) -> Option<Signal> {
        match self {
            Self::Signaled { signal, .. } => Some(signal),
            _ => None,
        }
    }

    /// From `si_code` and `si_status` of waitid(2).
    pub(crate) fn from_siginfo(code: i32, status: i32) -> Self {
        match code {
            libc::CLD_EXITED => Self::Exited(status),
            libc::CLD_KILLED => Self::Signaled { signal: Signal::from_raw(status), core_dumped: false },
            libc::CLD_DUMPED => Self::Signaled { signal: Signal::from_raw(status), core_dumped: true },
            _ => Self::Unknown,
        }
    }

    /// From the status word of wait(2), which is also what `PIDFD_GET_INFO` reports.
    pub(crate) fn from_wait_word(word: i32) -> Self {
        if libc::WIFEXITED(word) {
            Self::Exited(libc::WEXITSTATUS(word))
        } else if libc::WIFSIGNALED(word) {
            let signal = Signal::from_raw(libc::WTERMSIG(word));
            Self::Signaled { signal, core_dumped: libc::WCOREDUMP(word) }
        } else {
            Self::Unknown
        }
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exit status {code}"),
            Self::Signaled { signal, core_dumped: false } => write!(f, "killed by {signal}"),
            Self::Signaled { signal, core_dumped: true } => write!(f, "killed by {signal} (core dumped)"),
            Self::Unknown => f.write_str("exit status unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ExitStatus;
    use crate::signal::Signal;

    #[test]
    fn both_sources_agree() {
        assert_eq!(ExitStatus::from_siginfo(libc::CLD_EXITED, 3), ExitStatus::from_wait_word(3 << 8));
        assert_eq!(ExitStatus::from_siginfo(libc::CLD_KILLED, 9), ExitStatus::from_wait_word(9));
        assert_eq!(ExitStatus::from_siginfo(libc::CLD_DUMPED, 11), ExitStatus::from_wait_word(11 | 0x80));
    }

    #[test]
    fn texts_name_code_and_signal() {
        assert_eq!(ExitStatus::Exited(3).to_string(), "exit status 3");
        let killed = ExitStatus::Signaled { signal: Signal::KILL, core_dumped: false };
        assert_eq!(killed.to_string(), "killed by SIGKILL");
        assert_eq!(ExitStatus::Unknown.to_string(), "exit status unknown");
    }

    #[test]
    fn an_unknown_status_is_no_success() {
        assert!(!ExitStatus::Unknown.success());
        assert!(ExitStatus::Exited(0).success());
    }
}
