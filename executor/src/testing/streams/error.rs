//! Why an operation on a stream in memory did not happen: own faults apart from the others'.

use std::error::Error;
use std::fmt;

/// Why a [`send_all`](super::MemorySend::send_all) did not happen, or not to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// This end was closed, by its own side: a mistake, or the end of this stream.
    Closed,
    /// The receiver is gone: nobody will ever take it. Stop sending.
    Broken,
    /// Another task sends here: give each end one owner.
    Busy,
}

/// Why a [`receive`](super::MemoryReceive::receive) did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReceiveError {
    /// This end was closed, by its own side: a mistake, or the end of this stream.
    Closed,
    /// The sender is gone and everything has been received: the ordinary end.
    End,
    /// Another task receives here: give each end one owner.
    Busy,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::Closed => "this end of the stream is closed",
            SendError::Broken => "the receiver is gone",
            SendError::Busy => "another task sends on this stream",
        })
    }
}

impl fmt::Display for ReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ReceiveError::Closed => "this end of the stream is closed",
            ReceiveError::End => "the sender is gone and everything has been received",
            ReceiveError::Busy => "another task receives on this stream",
        })
    }
}

impl Error for SendError {}

impl Error for ReceiveError {}
