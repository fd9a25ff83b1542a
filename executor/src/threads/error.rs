//! Why a call to a thread, or back from one, has no value.

use crate::entry::RunFinished;
use crate::error::Cancelled;
use std::error::Error;
use std::fmt;
use std::io;

/// Why [`to_thread`](super::to_thread) has no value.
#[derive(Debug)]
#[non_exhaustive]
pub enum ThreadError {
    /// The scope around the caller is cancelled: hand it back with `?`.
    Cancelled(Cancelled),
    /// The operating system refused a new thread: run fewer, or try again later. The function was not called.
    NotStarted(io::Error),
}

impl From<Cancelled> for ThreadError {
    fn from(c: Cancelled) -> Self {
        ThreadError::Cancelled(c)
    }
}

impl From<ThreadError> for io::Error {
    fn from(e: ThreadError) -> Self {
        match e {
            ThreadError::Cancelled(c) => c.into(),
            ThreadError::NotStarted(e) => e,
        }
    }
}

impl fmt::Display for ThreadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ThreadError::Cancelled(c) => c.fmt(f),
            ThreadError::NotStarted(e) => write!(f, "no thread could be started: {e}"),
        }
    }
}

impl Error for ThreadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            ThreadError::Cancelled(c) => Some(c),
            ThreadError::NotStarted(e) => Some(e),
        }
    }
}

/// Why a call from a thread into the run that it works for ([`Host`](super::Host)) has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// The task that waited for this thread is gone: nobody wants its value any more. End early.
    CallerGone,
    /// The run is over.
    RunFinished,
}

impl From<RunFinished> for CallError {
    fn from(_: RunFinished) -> Self {
        CallError::RunFinished
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::CallerGone => f.write_str("the task that this thread works for has gone: end early"),
            CallError::RunFinished => RunFinished.fmt(f),
        }
    }
}

impl Error for CallError {}

/// Threads are at work for this run, so that it cannot be forked: they would be missing in the child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusyThreads {
    /// What they are called.
    pub names: Vec<String>,
}

impl fmt::Display for BusyThreads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "threads are at work: {}; wait for their calls first", self.names.join(", "))
    }
}

impl Error for BusyThreads {}
