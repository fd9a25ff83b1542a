//! Why waiting for a descriptor ended without readiness.

use crate::error::Cancelled;
use std::error::Error;
use std::fmt;
use std::io;

/// Why waiting for a descriptor ended without readiness.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadyError {
    /// The scope around the caller is cancelled: hand it back with `?`.
    Cancelled(Cancelled),
    /// Another task waits for the same direction of the same descriptor: give each direction one owner.
    Busy,
    /// It was closed on this side: its owner has ended all waits for it
    /// ([`AsyncFd::end_waits`](super::AsyncFd::end_waits)), or has said that it writes no more. Stop using it.
    Closed,
    /// The operating system refused this run its epoll instance, the process being out of descriptors.
    Io(io::Error),
}

impl From<Cancelled> for ReadyError {
    fn from(c: Cancelled) -> Self {
        ReadyError::Cancelled(c)
    }
}

impl From<ReadyError> for io::Error {
    fn from(e: ReadyError) -> Self {
        match e {
            ReadyError::Cancelled(c) => c.into(),
            ReadyError::Io(e) => e,
            e @ ReadyError::Busy => io::Error::new(io::ErrorKind::ResourceBusy, e),
            e @ ReadyError::Closed => io::Error::new(io::ErrorKind::NotConnected, e),
        }
    }
}

impl fmt::Display for ReadyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadyError::Cancelled(c) => c.fmt(f),
            ReadyError::Busy => f.write_str("another task waits for this direction of this descriptor"),
            ReadyError::Closed => f.write_str("closed on this side: do not use it any more"),
            ReadyError::Io(e) => e.fmt(f),
        }
    }
}

impl Error for ReadyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            ReadyError::Cancelled(c) => Some(c),
            ReadyError::Io(e) => Some(e),
            ReadyError::Busy | ReadyError::Closed => None,
        }
    }
}
