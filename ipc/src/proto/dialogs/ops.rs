//! What the two ends of a connection say to each other about dialogs. ◇
//!
//! ```text
//!   opener   Open ─ Piece(Args) ─ Piece(Item)… ─ Stop                 ─ Cancel
//!   callee           Piece(Started) ─ Piece(Item)… ─ Stop ─ Piece(Return │ Failed) │ Cancelled │ Refused ─ CancelAck
//!   either   Credit, Enough, Skipped; of the connection: Ping, Pong, Goodbye
//! ```
//!
//! Rules: a payload stays where it lies, routing decodes nothing of a user's value; the bytes are in `code.rs`.

use super::credit::Credit;
use crate::proto::message::WireCause;
use std::fmt;

/// The kind byte of frames of dialogs, beside those of [`Kind`](crate::proto::Kind).
pub const KIND: u8 = 4;

/// Which end of the connection: the one that made it, or the one that accepted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// It connected; in a tree: the parent.
    Connector,
    /// It accepted; in a tree: the child.
    Acceptor,
}

impl Side {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Side {
        match self {
            Side::Connector => Side::Acceptor,
            Side::Acceptor => Side::Connector,
        }
    }
}

/// A dialog of one connection: who opened it, and the how manieth of its own, from 1. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialogId {
    /// Which end opened it.
    pub side: Side,
    /// Its number among those of that end, below 2^63.
    pub n: u64,
}

impl DialogId {
    pub(super) const fn wire(self) -> u64 {
        self.n << 1 | matches!(self.side, Side::Acceptor) as u64
    }

    pub(super) const fn from_wire(wire: u64) -> Self {
        let side = if wire & 1 == 0 { Side::Connector } else { Side::Acceptor };
        DialogId { side, n: wire >> 1 }
    }
}

impl fmt::Display for DialogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.side == Side::Connector { 'c' } else { 'a' };
        write!(f, "dialog {side}{}", self.n)
    }
}

/// What kind of conversation it is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Mode {
    /// The callee just runs; its result is the first thing it has to say.
    Call = 0,
    /// The callee says `Started` with a value before anything else.
    Context = 1,
}

/// What a message is, by its place in a dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Class {
    /// The argument: the opener's first message.
    Args = 0,
    /// The callee is up, with a value: its first message, in [`Mode::Context`].
    Started = 1,
    /// One item of a stream.
    Item = 2,
    /// The callee's result: its last message.
    Return = 3,
    /// The callee's error: its last message.
    Failed = 4,
}

/// How a sender ended its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum How {
    /// It has said all it had to say.
    Done = 0,
    /// It failed.
    Error = 1,
    /// It was cancelled, or dropped its end.
    Cancelled = 2,
}

/// Why a dialog was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Refusal {
    /// No endpoint of that name is registered.
    NoEndpoint = 0,
    /// There is one, with other types.
    Schema = 1,
    /// The opener may not call it.
    Forbidden = 2,
    /// The callee is too busy; later it may do.
    Busy = 3,
    /// The callee begins nothing new on this connection: nothing of the dialog has happened, so it may be tried elsewhere.
    Leaving = 4,
}

/// One operation, with its payload where it lies.
#[derive(Clone, Debug, PartialEq)]
pub enum Op<'a> {
    /// A new dialog of the sender.
    Open {
        /// Its number: the next one of its side.
        dialog: DialogId,
        /// What conversation it is to be.
        mode: Mode,
        /// A digest of the endpoint's types, for the callee to compare.
        schema: u64,
        /// The endpoint.
        name: &'a str,
    },
    /// Some or all bytes of a message.
    Piece {
        /// Of which dialog.
        dialog: DialogId,
        /// What the message is.
        class: Class,
        /// The message ends here.
        last: bool,
        /// The bytes; empty only if the whole message is.
        bytes: &'a [u8],
    },
    /// The peer may send up to there.
    Credit {
        /// In which dialog.
        dialog: DialogId,
        /// Up to where, counted from the begin.
        to: Credit,
    },
    /// The sender sends no more items.
    Stop {
        /// In which dialog.
        dialog: DialogId,
        /// How that came.
        how: How,
    },
    /// The sender dropped items at this place.
    Skipped {
        /// In which dialog.
        dialog: DialogId,
        /// How many, at least 1.
        n: u64,
    },
    /// The sender of this wants no more items.
    Enough {
        /// In which dialog.
        dialog: DialogId,
    },
    /// The opener asks the callee to stop.
    Cancel {
        /// Which dialog.
        dialog: DialogId,
        /// The number of the request; it decides who absorbs.
        request: u64,
        /// Why, and who asked.
        cause: WireCause,
    },
    /// The answer to a `Cancel`: what it was for runs no more. Exactly one for each request.
    CancelAck {
        /// Of which dialog.
        dialog: DialogId,
        /// The number of the request.
        request: u64,
    },
    /// The dialog ended because it was cancelled.
    Cancelled {
        /// Which.
        dialog: DialogId,
        /// By this request of the opener; `None`: for a reason of the callee's own.
        request: Option<u64>,
        /// Why.
        cause: WireCause,
    },
    /// The dialog was not begun.
    Refused {
        /// Which.
        dialog: DialogId,
        /// Why.
        why: Refusal,
    },
    /// Are you there?
    Ping {
        /// To be sent back.
        n: u64,
    },
    /// Yes.
    Pong {
        /// Of the last `Ping`.
        n: u64,
    },
    /// The sender begins nothing new: it opens no more dialogs, and of the peer's none above this one was begun.
    Goodbye {
        /// The last of the peer's dialogs that the sender saw; 0: none.
        last: u64,
    },
}

macro_rules! codes {
    ($name:ident { $($variant:ident),* }) => {
        impl $name {
            pub(super) const fn from_byte(byte: u8) -> Option<Self> {
                $(if byte == $name::$variant as u8 { return Some($name::$variant); })*
                None
            }
        }
    };
}
codes!(Mode { Call, Context });
codes!(Class { Args, Started, Item, Return, Failed });
codes!(How { Done, Error, Cancelled });
codes!(Refusal { NoEndpoint, Schema, Forbidden, Busy, Leaving });

impl Op<'_> {
    /// Its number on the wire.
    pub(super) const fn byte(&self) -> u8 {
        match self {
            Op::Open { .. } => 1,
            Op::Piece { .. } => 2,
            Op::Credit { .. } => 3,
            Op::Stop { .. } => 4,
            Op::Skipped { .. } => 5,
            Op::Enough { .. } => 6,
            Op::Cancel { .. } => 7,
            Op::CancelAck { .. } => 8,
            Op::Cancelled { .. } => 9,
            Op::Refused { .. } => 10,
            Op::Ping { .. } => 32,
            Op::Pong { .. } => 33,
            Op::Goodbye { .. } => 34,
        }
    }

    /// Its name, for diagnostics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        name_of(self.byte())
    }

    /// The dialog it is about, if it is about one.
    #[must_use]
    pub const fn dialog(&self) -> Option<DialogId> {
        match self {
            Op::Open { dialog, .. }
            | Op::Piece { dialog, .. }
            | Op::Credit { dialog, .. }
            | Op::Stop { dialog, .. }
            | Op::Skipped { dialog, .. }
            | Op::Enough { dialog }
            | Op::Cancel { dialog, .. }
            | Op::CancelAck { dialog, .. }
            | Op::Cancelled { dialog, .. }
            | Op::Refused { dialog, .. } => Some(*dialog),
            Op::Ping { .. } | Op::Pong { .. } | Op::Goodbye { .. } => None,
        }
    }
}

pub(super) const fn name_of(byte: u8) -> &'static str {
    match byte {
        1 => "Open",
        2 => "Piece",
        3 => "Credit",
        4 => "Stop",
        5 => "Skipped",
        6 => "Enough",
        7 => "Cancel",
        8 => "CancelAck",
        9 => "Cancelled",
        10 => "Refused",
        32 => "Ping",
        33 => "Pong",
        34 => "Goodbye",
        _ => "?",
    }
}
