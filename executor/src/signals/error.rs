//! Why signals are not listened to, or none was received: one type for each operation.

use super::Signal;
use super::number::Refusal;
use std::error::Error;
use std::fmt;
use std::io;

/// Why a stream of signals was not opened. Then nothing has changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// No signal was named, and nothing would ever come: name at least one.
    Empty,
    /// There is no such signal, or the C library keeps it for itself: use the names of [`Signal`].
    Invalid(Signal),
    /// The kernel lets nobody catch it (SIGKILL, SIGSTOP): ask for SIGTERM or SIGTSTP, and be asked with it.
    Uncatchable(Signal),
    /// It tells of a fault in the code that it interrupts (SIGSEGV and its kin), which would be met again when a handler
    /// returns: leave it alone, or install a handler that does not return.
    Fault(Signal),
    /// Another layer of this process has its own handler for it, as the root of an actor tree has for Ctrl-C: hear of
    /// it there.
    Busy(Signal),
    /// So many streams are open in this process that there is no place for another: share one.
    Full,
    /// What the operating system says.
    Io(io::Error),
}

impl OpenError {
    pub(super) fn of(signal: Signal, refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid => OpenError::Invalid(signal),
            Refusal::Uncatchable => OpenError::Uncatchable(signal),
            Refusal::Fault => OpenError::Fault(signal),
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Empty => f.write_str("no signal was named: name at least one"),
            OpenError::Invalid(signal) => write!(f, "{signal} does not exist, or is the C library's own"),
            OpenError::Uncatchable(signal) => {
                write!(f, "the kernel lets nobody catch {signal}: use SIGTERM or SIGTSTP")
            }
            OpenError::Fault(signal) => {
                write!(f, "{signal} tells of a fault that a stream cannot mend: leave it alone")
            }
            OpenError::Busy(signal) => {
                write!(f, "another layer of this process handles {signal}: hear of it there")
            }
            OpenError::Full => f.write_str("too many streams of signals are open in this process: share one"),
            OpenError::Io(e) => e.fmt(f),
        }
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            OpenError::Io(e) => Some(e),
            _ => None,
        }
    }
}

impl From<io::Error> for OpenError {
    fn from(e: io::Error) -> Self {
        OpenError::Io(e)
    }
}

impl From<OpenError> for io::Error {
    fn from(e: OpenError) -> Self {
        match e {
            OpenError::Io(e) => e,
            e @ (OpenError::Busy(_) | OpenError::Full) => io::Error::new(io::ErrorKind::ResourceBusy, e),
            e => io::Error::new(io::ErrorKind::InvalidInput, e),
        }
    }
}

/// Why a [`receive`](super::Signals::receive) gave no signal.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReceiveError {
    /// Another task receives from this stream: give it one reader, or open a second stream.
    Busy,
    /// Somebody has closed the descriptor of this stream: find out who closes what is not theirs.
    Broken(io::Error),
}

const BUSY: &str = "another task receives from this stream of signals";

impl fmt::Display for ReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReceiveError::Busy => f.write_str(BUSY),
            ReceiveError::Broken(e) => write!(f, "the descriptor of this stream of signals is gone: {e}"),
        }
    }
}

impl Error for ReceiveError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            ReceiveError::Busy => None,
            ReceiveError::Broken(e) => Some(e),
        }
    }
}

impl From<ReceiveError> for io::Error {
    fn from(e: ReceiveError) -> Self {
        match e {
            ReceiveError::Busy => io::Error::new(io::ErrorKind::ResourceBusy, e),
            ReceiveError::Broken(e) => e,
        }
    }
}

/// Why a [`try_receive`](super::Signals::try_receive) gave no signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TryReceiveError {
    /// Another task receives from this stream: give it one reader, or open a second stream.
    Busy,
    /// None has come: [`receive`](super::Signals::receive) would wait.
    WouldBlock,
}

impl fmt::Display for TryReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryReceiveError::Busy => BUSY,
            TryReceiveError::WouldBlock => "no signal has come",
        })
    }
}

impl Error for TryReceiveError {}

impl From<TryReceiveError> for io::Error {
    fn from(e: TryReceiveError) -> Self {
        let kind = match e {
            TryReceiveError::Busy => io::ErrorKind::ResourceBusy,
            TryReceiveError::WouldBlock => io::ErrorKind::WouldBlock,
        };
        io::Error::new(kind, e)
    }
}
