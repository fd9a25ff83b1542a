//! What a child says that fails before it is up: one complete frame, written without allocating. ◇
//!
//! ```text
//!   (phase, errno, text) ─► buffer on the stack ─► [length│kind│variant│phase│errno│len│text] ─► write(2), _exit
//! ```
//!
//! Safe in a child right after fork: no allocation, no lock, no panic; only the caller's buffer is touched. The
//! decoder reads the frame back as [`Message::LastWords`](super::Message::LastWords); a test holds the two together.

use super::frame::{HEADER_BYTES, Kind, header};
use super::limits::{FrameLen, Limits};
use super::message::LAST_WORDS_VARIANT;

/// Phase, variant, and two numbers of at most five bytes each.
const FIXED: usize = 1 + 1 + 5 + 5;

/// The smallest buffer that [`last_words`] writes anything into, in bytes.
pub const LAST_WORDS_MIN: usize = HEADER_BYTES + FIXED;

/// Writes a whole frame of last words into `buf` and says how many bytes it took. The text is cut to what fits.
///
/// `phase` is the step of the child's boot that failed, `errno` what the system said (0 if it was not the system).
/// A buffer below [`LAST_WORDS_MIN`] takes nothing: the answer is 0. May be called anywhere, also in a child between
/// fork and `_exit`, and in a signal handler.
///
/// ```
/// use pleach_ipc::proto::{Decoder, Limits, Message, last_words};
/// let mut buf = [0; 64];
/// let n = last_words(&mut buf, 2, 24, b"no room for descriptors");
/// let mut decoder = Decoder::new(Limits::default());
/// decoder.handle_bytes(&buf[..n]);
/// let Some(Ok(Message::LastWords(words))) = decoder.poll_message() else { panic!() };
/// assert_eq!((words.phase, words.errno, words.text()), (2, 24, "no room for descriptors".into()));
/// ```
#[must_use = "the number of bytes that are to be written to the link"]
pub fn last_words(buf: &mut [u8], phase: u8, errno: i32, text: &[u8]) -> usize {
    // A boot frame has its own limit, whatever the size of the buffer.
    let room = buf.len().min(Limits::BOOT.as_usize());
    if room < LAST_WORDS_MIN {
        return 0;
    }
    let text = text.get(..text.len().min(room - LAST_WORDS_MIN)).unwrap_or_default();
    let mut pen = Pen { buf, at: HEADER_BYTES };
    pen.byte(LAST_WORDS_VARIANT);
    pen.byte(phase);
    // Zigzag: small numbers stay short whatever their sign.
    pen.varint(((errno << 1) ^ (errno >> 31)).cast_unsigned());
    pen.varint(text.len() as u32);
    text.iter().for_each(|b| pen.byte(*b));
    let end = pen.at;
    let body = FrameLen::new((end - super::frame::LENGTH_BYTES) as u32);
    let mut pen = Pen { buf: pen.buf, at: 0 };
    header(body, Kind::Boot).iter().for_each(|b| pen.byte(*b));
    end
}

struct Pen<'a> {
    buf: &'a mut [u8],
    at: usize,
}

impl Pen<'_> {
    /// One byte. There is room by the choice of the text's length; `get_mut` so that no panic is compiled in.
    fn byte(&mut self, byte: u8) {
        if let Some(slot) = self.buf.get_mut(self.at) {
            *slot = byte;
            self.at += 1;
        }
    }

    /// Seven bits at a time, the lowest first; the high bit says that more follow.
    fn varint(&mut self, mut n: u32) {
        while n >= 0x80 {
            self.byte(n as u8 | 0x80);
            n >>= 7;
        }
        self.byte(n as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::{LAST_WORDS_MIN, last_words};
    use crate::proto::{Decoder, LastWords, Limits, Message, encoder};

    fn read_back(bytes: &[u8]) -> LastWords {
        let mut decoder = Decoder::new(Limits::default());
        decoder.handle_bytes(bytes);
        let Some(Ok(Message::LastWords(words))) = decoder.poll_message() else { panic!("no last words") };
        assert_eq!(decoder.end_of_stream(), Ok(()));
        words
    }

    #[test]
    fn the_bytes_are_those_of_the_encoder() {
        for errno in [0, 1, -1, 63, 64, 4095, i32::MAX, i32::MIN] {
            for len in [0, 1, 127, 128, 20_000] {
                let text = vec![b'x'; len];
                let mut buf = vec![0; 70_000];
                let n = last_words(&mut buf, 9, errno, &text);
                let mut expected = Vec::new();
                let message = Message::LastWords(LastWords { phase: 9, errno, text: text.clone() });
                encoder::frame(&message, &Limits::default(), &mut expected).unwrap();
                assert_eq!(&buf[..n], &expected[..]);
                assert_eq!(read_back(&buf[..n]).text, text);
            }
        }
    }

    #[test]
    fn the_text_is_cut_to_the_buffer_and_to_the_limit_of_a_boot_frame() {
        let text = vec![b'y'; 200_000];
        for size in [LAST_WORDS_MIN, LAST_WORDS_MIN + 1, 100, 65_535, 65_536, 65_537, 150_000] {
            let mut buf = vec![0; size];
            let n = last_words(&mut buf, 0, i32::MIN, &text);
            assert!(n > 0 && n <= size);
            let words = read_back(&buf[..n]);
            assert!(words.text.iter().all(|b| *b == b'y') && words.text.len() <= size - LAST_WORDS_MIN);
        }
    }

    #[test]
    fn a_buffer_without_room_takes_nothing() {
        for size in 0..LAST_WORDS_MIN {
            assert_eq!(last_words(&mut vec![0; size], 1, 2, b"text"), 0);
        }
    }
}
