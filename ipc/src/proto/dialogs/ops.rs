//! What the two ends of a connection say to each other about dialogs, and its bytes. ◇
//!
//! ```text
//!   ┌──────────────┬──────────┬─────────┬───────────────────────────────┐
//!   │ u32, LE: n   │ kind = 4 │ op: u8  │ fields, by hand; payload last │
//!   └──────────────┴──────────┴─────────┴───────────────────────────────┘
//! ```
//!
//! Rules:
//! * Laid out by hand, so that the payload stays where it is: routing decodes nothing of a user's value.
//! * Numbers are LEB128 in their shortest form: one meaning, one sequence of bytes.
//! * Exactly the fields: what is cut off, or followed by more, is a [`Breach::Malformed`].
//!
//! Every byte of it is specified in `docs/dialogs.md`.

use super::credit::Credit;
use super::limit::{BODY, Breach, CAUSE, CHUNK, NAME};
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
    const fn wire(self) -> u64 {
        self.n << 1 | matches!(self.side, Side::Acceptor) as u64
    }

    const fn from_wire(wire: u64) -> Self {
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

/// This bit of a piece's class byte says that the message ends here.
const LAST: u8 = 0x80;

impl Op<'_> {
    /// Its number on the wire.
    const fn byte(&self) -> u8 {
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

    /// Appends the frame of this operation.
    ///
    /// # Panics
    ///
    /// If a piece is longer than [`CHUNK`], or the name of an endpoint longer than [`NAME`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0, 0, 0, 0, KIND, self.byte()]);
        if let Some(dialog) = self.dialog() {
            put(out, dialog.wire());
        }
        match self {
            Op::Open { mode, schema, name, .. } => {
                assert!(name.len() <= NAME, "the name of an endpoint has at most {NAME} bytes");
                out.push(*mode as u8);
                out.extend_from_slice(&schema.to_le_bytes());
                out.extend_from_slice(name.as_bytes());
            }
            Op::Piece { class, last, bytes, .. } => {
                assert!(bytes.len() <= CHUNK, "a piece has at most {CHUNK} bytes");
                out.push(*class as u8 | if *last { LAST } else { 0 });
                out.extend_from_slice(bytes);
            }
            Op::Credit { to, .. } => {
                put(out, to.items);
                put(out, to.bytes);
            }
            Op::Stop { how, .. } => out.push(*how as u8),
            Op::Enough { .. } => {}
            Op::Cancel { request, cause, .. } => {
                put(out, *request);
                put_cause(out, cause);
            }
            Op::CancelAck { request, .. } => put(out, *request),
            Op::Cancelled { request, cause, .. } => {
                out.push(u8::from(request.is_some()));
                request.iter().for_each(|request| put(out, *request));
                put_cause(out, cause);
            }
            Op::Refused { why, .. } => out.push(*why as u8),
            Op::Skipped { n, .. } | Op::Ping { n } | Op::Pong { n } | Op::Goodbye { last: n } => put(out, *n),
        }
        let body = out.len() - start - 4;
        debug_assert!(body <= BODY, "no operation is longer than a frame");
        out[start..start + 4].copy_from_slice(&(body as u32).to_le_bytes());
    }

    /// The operation that the body of a frame (what follows the kind byte) holds.
    ///
    /// # Errors
    ///
    /// [`Breach`]: it is none.
    pub fn decode(body: &[u8]) -> Result<Op<'_>, Breach> {
        let (&byte, fields) = body.split_first().ok_or(Breach::Empty)?;
        if name_of(byte) == "?" {
            return Err(Breach::UnknownOp { byte });
        }
        let mut rest = Fields(fields);
        match rest.op(byte) {
            Some(op) if rest.0.is_empty() => Ok(op),
            _ => Err(Breach::Malformed { op: name_of(byte) }),
        }
    }
}

const fn name_of(byte: u8) -> &'static str {
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

fn put(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn put_cause(out: &mut Vec<u8>, cause: &WireCause) {
    // It cannot fail: a cause is made of texts and numbers, and its texts are cut to 4 KiB each.
    let bytes = postcard::to_allocvec(cause).expect("a cause always has a wire form");
    debug_assert!(bytes.len() <= CAUSE, "three texts of 4 KiB");
    out.extend_from_slice(&bytes);
}

/// What is left of a frame.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn op(&mut self, byte: u8) -> Option<Op<'a>> {
        Some(match byte {
            32 => Op::Ping { n: self.number()? },
            33 => Op::Pong { n: self.number()? },
            34 => Op::Goodbye { last: self.number()? },
            _ => {
                let dialog = DialogId::from_wire(self.number()?);
                // Numbers begin at 1, so that a last one of 0 can say: none.
                return if dialog.n == 0 { None } else { self.of(dialog, byte) };
            }
        })
    }

    fn of(&mut self, dialog: DialogId, byte: u8) -> Option<Op<'a>> {
        Some(match byte {
            1 => Op::Open {
                dialog,
                mode: Mode::from_byte(self.byte()?)?,
                schema: u64::from_le_bytes(*self.0.split_off(..8)?.first_chunk()?),
                name: str::from_utf8(self.rest()).ok().filter(|name| name.len() <= NAME)?,
            },
            2 => {
                let class = self.byte()?;
                let (last, bytes) = (class & LAST != 0, self.rest());
                // Pieces of nothing would cost us memory or time, and the peer no credit.
                if bytes.len() > CHUNK || bytes.is_empty() && !last {
                    return None;
                }
                Op::Piece { dialog, class: Class::from_byte(class & !LAST)?, last, bytes }
            }
            3 => Op::Credit { dialog, to: Credit { items: self.number()?, bytes: self.number()? } },
            4 => Op::Stop { dialog, how: How::from_byte(self.byte()?)? },
            5 => Op::Skipped { dialog, n: self.number().filter(|n| *n > 0)? },
            6 => Op::Enough { dialog },
            7 => Op::Cancel { dialog, request: self.number()?, cause: self.cause()? },
            8 => Op::CancelAck { dialog, request: self.number()? },
            9 => {
                let request = match self.byte()? {
                    0 => None,
                    1 => Some(self.number()?),
                    _ => return None,
                };
                Op::Cancelled { dialog, request, cause: self.cause()? }
            }
            10 => Op::Refused { dialog, why: Refusal::from_byte(self.byte()?)? },
            _ => return None,
        })
    }

    fn byte(&mut self) -> Option<u8> {
        self.0.split_off_first().copied()
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn number(&mut self) -> Option<u64> {
        let mut n = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if shift == 63 && bits > 1 {
                return None;
            }
            n |= bits << shift;
            if byte & 0x80 == 0 {
                // A last byte of zero says nothing: not the shortest form.
                return (byte != 0 || shift == 0).then_some(n);
            }
        }
        None
    }

    fn cause(&mut self) -> Option<WireCause> {
        let bytes = self.rest();
        if bytes.len() > CAUSE {
            return None;
        }
        let (cause, left) = postcard::take_from_bytes(bytes).ok()?;
        self.0 = left;
        Some(cause)
    }
}

#[cfg(test)]
mod tests {
    use super::{Breach, Class, DialogId, Fields, Op, Side, put};

    const ID: DialogId = DialogId { side: Side::Acceptor, n: 3 };

    #[test]
    fn a_number_has_one_form() {
        for n in [0, 1, 127, 128, 16_383, 16_384, u64::MAX >> 1, u64::MAX] {
            let mut bytes = Vec::new();
            put(&mut bytes, n);
            assert_eq!(Fields(&bytes).number(), Some(n));
        }
        for wrong in
            [&[0x80][..], &[0x80, 0], &[0xff; 10], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]]
        {
            assert_eq!(Fields(wrong).number(), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_piece_is_its_bytes_behind_four_fields() {
        let mut out = Vec::new();
        Op::Piece { dialog: ID, class: Class::Item, last: true, bytes: b"hi" }.encode(&mut out);
        assert_eq!(out, [6, 0, 0, 0, 4, 2, 7, 0x82, b'h', b'i']);
    }

    #[test]
    fn every_malformed_operation_is_refused_by_name() {
        let refused = |body: &[u8]| Op::decode(body).unwrap_err();
        assert_eq!(refused(&[]), Breach::Empty);
        assert_eq!(refused(&[11, 2]), Breach::UnknownOp { byte: 11 });
        // No dialog 0, no piece of nothing, no unknown class, how or flag, nothing cut off, nothing behind.
        for (body, op) in [
            (&[6, 0][..], "Enough"),
            (&[2, 2, 2], "Piece"),
            (&[2, 2, 0x85], "Piece"),
            (&[4, 2, 3], "Stop"),
            (&[5, 2, 0], "Skipped"),
            (&[9, 2, 2, 0, 0], "Cancelled"),
            (&[3, 2, 1], "Credit"),
            (&[8, 2, 1, 0], "CancelAck"),
            (&[1, 2, 0, 1, 2, 3], "Open"),
            (&[7, 2, 1, 200], "Cancel"),
        ] {
            assert_eq!(refused(body), Breach::Malformed { op }, "{body:?}");
        }
    }
}
