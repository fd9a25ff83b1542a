//! What one end can take, as it announces it to the other; and every way to break the protocol of dialogs. ◇
//!
//! ```text
//!   Terms ─ checked ─► announced in the handshake ─► the peer stays below them
//!                                                └─► whoever does not: Breach::Limit, and the connection ends
//! ```
//!
//! Rule: every number that bounds memory is in [`Terms`] or a constant here, and each has one variant of [`Limit`].

use super::credit::Credit;
use super::ops::DialogId;
use std::fmt;
use std::time::Duration;

/// How many bytes of a message one frame carries at most: 64 KiB. A control frame waits for one of these, not for more.
pub const CHUNK: usize = 64 * 1024;
/// The longest body (kind and what follows it) of a frame of dialogs: a chunk, and room for what stands before it.
pub const BODY: usize = CHUNK + 64;
/// The longest name of an endpoint, in bytes.
pub const NAME: usize = 255;
/// The longest cause of a cancellation, encoded, in bytes. Its texts are cut when it is sent, so that it fits.
pub const CAUSE: usize = 16 * 1024;

/// What one end can take. Each end has its own, and tells the other in the handshake.
///
/// ```
/// use pleach_ipc::proto::dialogs::Terms;
///
/// let terms = Terms::default().checked().unwrap();
/// assert_eq!(terms.memory(), 64 * 1024 * 1024);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How many dialogs the peer may have open that it opened. As many again may be open that this end opened.
    /// Default 512.
    pub dialogs: u32,
    /// How far a sender may be ahead of the reader of its dialog, in each direction. Default 64 messages, 64 KiB.
    pub window: Credit,
    /// How many bytes may be here unread, all dialogs together. Default 64 MiB.
    pub in_flight: u64,
}

impl Default for Terms {
    fn default() -> Self {
        Terms { dialogs: 512, window: Credit { items: 64, bytes: CHUNK as u64 }, in_flight: 64 << 20 }
    }
}

impl Terms {
    /// How many bytes of messages can be here unread at most: the windows of all dialogs of both ends.
    #[must_use]
    pub const fn memory(&self) -> u64 {
        (self.dialogs as u64).saturating_mul(2).saturating_mul(self.window.bytes)
    }

    /// These terms, if an end can work with them. Also for those that a peer announces, before they are believed.
    ///
    /// # Errors
    ///
    /// [`Limit::Credit`] for a window that lets nothing through, [`Limit::InFlight`] if the windows of all dialogs
    /// together are more than may be in flight.
    pub const fn checked(self) -> Result<Self, Limit> {
        if self.window.items == 0 || self.window.bytes == 0 {
            return Err(Limit::Credit {
                dialog: None,
                granted: self.window,
                used: Credit { items: 1, bytes: 1 },
            });
        }
        if self.memory() > self.in_flight {
            return Err(Limit::InFlight { most: self.in_flight, asked: self.memory() });
        }
        Ok(self)
    }
}

/// A limit that was broken, and by how much. It ends the connection on which it happened, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// More dialogs than were agreed. Wait for one to end.
    Dialogs {
        /// How many there may be.
        most: u32,
    },
    /// More bytes unread than were agreed: fewer dialogs, or smaller windows.
    InFlight {
        /// How many there may be.
        most: u64,
        /// How many it would be.
        asked: u64,
    },
    /// A frame longer than any of its kind.
    Frame {
        /// How long its body says it is.
        len: u32,
        /// How long it may be.
        most: u32,
    },
    /// More was sent than there was credit for.
    Credit {
        /// In which dialog; `None`: the window itself is of no use.
        dialog: Option<DialogId>,
        /// How far the peer may go.
        granted: Credit,
        /// How far it went.
        used: Credit,
    },
    /// More requests to cancel than there can be dialogs, all unanswered.
    Requests {
        /// How many there may be.
        most: u32,
    },
    /// Nothing was heard for too long.
    Silence {
        /// For how long.
        after: Duration,
    },
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::Dialogs { most } => write!(f, "more than {most} dialogs at once"),
            Limit::InFlight { most, asked } => {
                write!(f, "{asked} bytes may come unread, where {most} are the most")
            }
            Limit::Frame { len, most } => write!(f, "a frame of {len} bytes, where {most} are the most"),
            Limit::Credit { dialog: None, .. } => f.write_str("a window that lets nothing through"),
            Limit::Credit { dialog: Some(dialog), granted, used } => {
                write!(f, "{dialog} sent {used}, where {granted} were granted")
            }
            Limit::Requests { most } => write!(f, "more than {most} unanswered requests to cancel"),
            Limit::Silence { after } => write!(f, "nothing was heard for {after:?}"),
        }
    }
}

impl std::error::Error for Limit {}

/// The peer broke the protocol of dialogs: its fault, and fatal for the connection. Nothing is ever skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Breach {
    /// It went over a limit that it knew.
    Limit(Limit),
    /// A frame of no bytes.
    Empty,
    /// A frame of another kind, where only dialogs are spoken.
    Kind {
        /// The byte that came.
        byte: u8,
    },
    /// No operation has this number.
    UnknownOp {
        /// The byte that came.
        byte: u8,
    },
    /// An operation whose fields are cut off, too long, out of range, or followed by more.
    Malformed {
        /// Which.
        op: &'static str,
    },
    /// An operation at a moment when it may not come.
    Order {
        /// For which dialog.
        dialog: DialogId,
        /// Which operation.
        op: &'static str,
        /// What was the matter.
        why: &'static str,
    },
    /// The stream ended inside a frame.
    Truncated {
        /// How many bytes of the frame had come.
        received: usize,
    },
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the peer broke the protocol: ")?;
        match self {
            Breach::Limit(limit) => limit.fmt(f),
            Breach::Empty => f.write_str("a frame of no bytes"),
            Breach::Kind { byte } => write!(f, "a frame of kind {byte} between dialogs"),
            Breach::UnknownOp { byte } => write!(f, "no operation has the number {byte}"),
            Breach::Malformed { op } => write!(f, "{op} with fields that cannot be"),
            Breach::Order { dialog, op, why } => write!(f, "{op} for {dialog}: {why}"),
            Breach::Truncated { received } => {
                write!(f, "the stream ended inside a frame, {received} bytes after its begin")
            }
        }
    }
}

impl std::error::Error for Breach {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Breach::Limit(limit) => Some(limit),
            _ => None,
        }
    }
}

impl From<Limit> for Breach {
    fn from(limit: Limit) -> Self {
        Breach::Limit(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::{Credit, Limit, Terms};

    #[test]
    fn terms_whose_windows_are_more_than_may_be_in_flight_are_refused() {
        let most = Terms::default();
        assert_eq!(most.checked(), Ok(most));
        let over = Terms { dialogs: 513, ..most };
        assert_eq!(over.checked(), Err(Limit::InFlight { most: 64 << 20, asked: over.memory() }));
        let endless = Terms { dialogs: u32::MAX, window: Credit { items: 1, bytes: u64::MAX }, ..most };
        assert!(matches!(endless.checked(), Err(Limit::InFlight { .. })));
    }

    #[test]
    fn a_window_that_lets_nothing_through_is_refused() {
        for window in [Credit { items: 0, bytes: 1 }, Credit { items: 1, bytes: 0 }] {
            assert!(matches!(Terms { window, ..Terms::default() }.checked(), Err(Limit::Credit { .. })));
        }
    }
}
