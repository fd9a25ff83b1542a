//! What the user of a connection is told, and how it ends and fails to open a dialog. ◇

use crate::proto::dialogs::ended::{EndedBy, Loss};
use crate::proto::dialogs::limit::Limit;
use crate::proto::dialogs::ops::{DialogId, Mode};
use crate::proto::message::WireCause;
use std::fmt;

/// Something the user of a connection wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The peer opened a dialog. Its argument comes by [`Mux::receive`](super::Mux::receive). Run it and [`Mux::finish`](super::Mux::finish), or
    /// [`Mux::refuse`](super::Mux::refuse) it.
    Opened {
        /// Which.
        dialog: DialogId,
        /// Of which endpoint.
        name: String,
        /// The digest of the endpoint's types at the peer.
        schema: u64,
        /// What conversation it is to be.
        mode: Mode,
    },
    /// Something can be received. Do so until there is nothing; then comes the next of these.
    Readable(DialogId),
    /// There is room again for an item that was given back by [`SendError::WouldBlock`](crate::proto::dialogs::SendError::WouldBlock). Where that will never be,
    /// `Enough` or `Ended` comes instead.
    Writable(DialogId),
    /// The peer wants no more items. What waits to leave was given up.
    Enough(DialogId),
    /// The opener asks this end to stop. It comes once for a dialog, with the first request.
    Cancel {
        /// Which dialog.
        dialog: DialogId,
        /// The number of the request.
        request: u64,
        /// Why, and who asked.
        cause: WireCause,
    },
    /// What this end asked for has been done at the peer.
    Answered {
        /// For which dialog.
        dialog: DialogId,
        /// The number of the request.
        request: u64,
    },
    /// The dialog is over; what has come of it stays to be received. It comes once for every dialog.
    Ended {
        /// Which.
        dialog: DialogId,
        /// How.
        by: EndedBy,
    },
    /// The peer opens and begins no more dialogs. Those that are open go on.
    Goodbye,
    /// The connection is lost, and so were the dialogs that were open.
    Lost(Loss),
}

/// How a callee ends its dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With a result. Everything it sent before comes first.
    Return(Vec<u8>),
    /// With an error. Everything it sent before comes first.
    Failed(Vec<u8>),
    /// It was cancelled. Items that have not left are given up. If the opener had asked for it, it is the opener's
    /// cancellation; else it is this.
    Cancelled(WireCause),
}

/// Why no dialog was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// As many are open as the peer takes. Wait for one to end.
    Limit(Limit),
    /// One of the ends has said goodbye. Use another connection.
    Leaving,
    /// The connection is lost.
    Lost(Loss),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Limit(limit) => limit.fmt(f),
            OpenError::Leaving => f.write_str("one of the ends has said goodbye"),
            OpenError::Lost(loss) => loss.fmt(f),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OpenError::Limit(limit) => Some(limit),
            OpenError::Lost(loss) => Some(loss),
            OpenError::Leaving => None,
        }
    }
}
