//! How a dialog ended, and whose doing it was. ◇

use super::limit::Breach;
use super::ops::Refusal;
use crate::proto::message::WireCause;
use std::fmt;

/// How a dialog ended, the same at both ends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndedBy {
    /// The callee returned.
    Returned,
    /// The callee failed.
    Failed,
    /// The opener asked for it: this request of its is absorbed where it was made.
    Cancelled {
        /// Its number.
        request: u64,
    },
    /// The callee was cancelled, by somebody else than the opener.
    Stopped {
        /// Why, and who asked.
        cause: WireCause,
    },
    /// The callee did not begin.
    Refused(Refusal),
    /// The connection ended before the dialog.
    Lost(Loss),
}

/// Whose doing the end of a dialog was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ender {
    /// Of the one that opened it.
    Opener,
    /// Of the one that was called.
    Callee,
    /// Of neither: the connection is gone.
    Connection,
}

impl EndedBy {
    /// Whose doing it was.
    #[must_use]
    pub const fn ender(&self) -> Ender {
        match self {
            EndedBy::Returned | EndedBy::Failed | EndedBy::Stopped { .. } | EndedBy::Refused(_) => {
                Ender::Callee
            }
            EndedBy::Cancelled { .. } => Ender::Opener,
            EndedBy::Lost(_) => Ender::Connection,
        }
    }
}

/// How a connection ended while it still had dialogs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loss {
    /// The stream ended, between two frames: the peer is gone, or has closed.
    Closed,
    /// The transport broke.
    Broken,
    /// The peer broke the protocol, or was silent for too long.
    Breach(Breach),
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Loss::Closed => f.write_str("the peer closed the connection"),
            Loss::Broken => f.write_str("the connection broke"),
            Loss::Breach(breach) => breach.fmt(f),
        }
    }
}

impl std::error::Error for Loss {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Loss::Breach(breach) => Some(breach),
            _ => None,
        }
    }
}
