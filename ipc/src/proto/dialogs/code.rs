//! The bytes of an operation. ◇
//!
//! ```text
//!   ┌──────────────┬──────────┬─────────┬───────────────────────────────┐
//!   │ u32, LE: n   │ kind = 4 │ op: u8  │ fields, by hand; payload last │
//!   └──────────────┴──────────┴─────────┴───────────────────────────────┘
//! ```
//!
//! Rules:
//! * Numbers are LEB128 in their shortest form: one meaning, one sequence of bytes.
//! * Exactly the fields: what is cut off, or followed by more, is a [`Breach::Malformed`].
//!
//! Every byte of it is specified in `docs/dialogs.md`.

use super::credit::Credit;
use super::limit::{BODY, Breach, CAUSE, CHUNK, NAME};
use super::ops::{Class, DialogId, How, KIND, Mode, Op, Refusal, name_of};
use crate::proto::message::WireCause;

/// This bit of a piece's class byte says that the message ends here.
const LAST: u8 = 0x80;

impl Op<'_> {
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
    use super::{Breach, Class, DialogId, Fields, Op, put};
    use crate::proto::dialogs::ops::Side;

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
