//! Why a channel did not do what it was asked for: one enum, whose names say whose fault it was.
//!
//! ```text
//!   Cancelled ─ our caller   Encode, Closed, Busy ─ our user   Protocol ─ the peer   Broken ─ the world
//! ```

use crate::proto::{EncodeError, ProtocolError};
use pleach_executor::Cancelled;
use pleach_executor::fd::ReadyError;
use std::{fmt, io};

/// Why a message was not sent or received.
#[derive(Debug)]
#[non_exhaustive]
pub enum ChannelError {
    /// The scope around the caller is cancelled: hand it back with `?`.
    Cancelled(Cancelled),
    /// The peer broke the protocol: end the connection.
    Protocol(ProtocolError),
    /// This end's message: too large, or (without waiting) no room for it.
    Encode(EncodeError),
    /// This end has closed its side: send before that.
    Closed,
    /// The socket does not work any more. If that was sending: what the peer had written can still be received.
    Broken(io::Error),
    /// Another task receives already: a channel has one receiver.
    Busy,
}

impl From<Cancelled> for ChannelError {
    fn from(c: Cancelled) -> Self {
        ChannelError::Cancelled(c)
    }
}

impl From<ReadyError> for ChannelError {
    fn from(e: ReadyError) -> Self {
        match e {
            ReadyError::Cancelled(c) => ChannelError::Cancelled(c),
            _ => ChannelError::Busy,
        }
    }
}

impl fmt::Display for ChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChannelError::Cancelled(c) => c.fmt(f),
            ChannelError::Protocol(e) => e.fmt(f),
            ChannelError::Encode(e) => e.fmt(f),
            ChannelError::Closed => f.write_str("this end of the channel is closed"),
            ChannelError::Broken(e) => write!(f, "the channel is broken: {e}"),
            ChannelError::Busy => f.write_str("another task receives from this channel: it has one receiver"),
        }
    }
}

impl std::error::Error for ChannelError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ChannelError::Cancelled(c) => Some(c),
            ChannelError::Protocol(e) => Some(e),
            ChannelError::Encode(e) => Some(e),
            ChannelError::Broken(e) => Some(e),
            ChannelError::Closed | ChannelError::Busy => None,
        }
    }
}
