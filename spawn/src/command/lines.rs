//! What a program says, line by line.
//!
//! ```text
//!   bytes, as they come ─► Lines ─► whole lines, without their ends ─► a function │ Relay: "label: line\n" in one write
//! ```
//!
//! Rules:
//! * A line that is longer than [`LONGEST`] comes in pieces of that size, so that no program decides how much memory it takes.
//! * A last line without an end is one all the same.
//! * Relays that share a stream write whole lines, one after the other.

use pleach_executor::io::WriteBytes;
use pleach_executor::sync::Lock;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;

/// The longest line that is kept together.
pub(super) const LONGEST: usize = 64 << 10;

/// What gets the lines of a program, without their ends.
pub type EachLine = Box<dyn FnMut(&[u8])>;

/// Bytes on their way to being lines. ◇ pure
#[derive(Debug, Default)]
pub(super) struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    /// The lines that end in these bytes; what is left waits for its end.
    pub(super) fn take_in(&mut self, mut bytes: &[u8], mut line: impl FnMut(&[u8])) {
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            self.grow(&bytes[..end], &mut line);
            line(&self.begun);
            self.begun.clear();
            bytes = &bytes[end + 1..];
        }
        self.grow(bytes, &mut line);
    }

    /// More of a line, in pieces if it is too long.
    fn grow(&mut self, mut bytes: &[u8], line: &mut impl FnMut(&[u8])) {
        while self.begun.len() + bytes.len() > LONGEST {
            let (now, later) = bytes.split_at(LONGEST - self.begun.len());
            self.begun.extend_from_slice(now);
            line(&self.begun);
            self.begun.clear();
            bytes = later;
        }
        self.begun.extend_from_slice(bytes);
    }

    /// The last line, if it has no end.
    pub(super) fn end(&mut self, mut line: impl FnMut(&[u8])) {
        if !self.begun.is_empty() {
            line(&std::mem::take(&mut self.begun));
        }
    }
}

type Write = dyn Fn(Vec<u8>) -> Pin<Box<dyn Future<Output = io::Result<()>>>>;

/// Where the lines of programs go, each with a label: for [`Output::Relay`](super::Output::Relay).
///
/// ```
/// use pleach_executor::io::stderr;
/// use pleach_spawn::{Command, CommandError, Output, Relay};
/// pleach_executor::run(async {
///     let all = Relay::to(stderr().unwrap());
///     let echo = |word: &str| Command::new("echo").arg(word).stdout(Output::Relay(all.labelled(word)));
///     echo("one").run().await?; // one: one
///     echo("two").run().await?; // two: two
///     Ok::<(), CommandError>(())
/// }).unwrap();
/// ```
#[derive(Clone)]
pub struct Relay {
    label: Rc<str>,
    write: Rc<Write>,
}

impl Relay {
    /// Into this stream: [`pleach_executor::io::stderr`], a file, a connection. What is made of it by
    /// [`labelled`](Relay::labelled) writes there as well, a line at a time. Without a label lines are relayed as they are.
    pub fn to(stream: impl WriteBytes + 'static) -> Self {
        let shared = Rc::new(Lock::new(stream));
        let write = move |line: Vec<u8>| -> Pin<Box<dyn Future<Output = io::Result<()>>>> {
            let shared = Rc::clone(&shared);
            Box::pin(async move {
                let stream = shared.lock().await.map_err(io::Error::from)?.map_err(io::Error::other)?;
                stream.write_all(&line).await
            })
        };
        Relay { label: "".into(), write: Rc::new(write) }
    }

    /// Into the same stream, each line behind `label` and a colon.
    #[must_use]
    pub fn labelled(&self, label: impl Into<Rc<str>>) -> Self {
        Relay { label: label.into(), write: Rc::clone(&self.write) }
    }

    /// Writes these lines, each with its label.
    pub(super) async fn write(&self, lines: &[Vec<u8>]) -> io::Result<()> {
        for line in lines {
            let mut whole = Vec::with_capacity(self.label.len() + line.len() + 3);
            if !self.label.is_empty() {
                whole.extend_from_slice(self.label.as_bytes());
                whole.extend_from_slice(b": ");
            }
            whole.extend_from_slice(line);
            whole.push(b'\n');
            (self.write)(whole).await?;
        }
        Ok(())
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("label", &self.label).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, Lines};

    /// The lines of a text that comes in pieces of this size.
    fn lines(text: &[u8], piece: usize) -> Vec<Vec<u8>> {
        let (mut lines, mut all) = (Lines::default(), Vec::new());
        for bytes in text.chunks(piece) {
            lines.take_in(bytes, |line| all.push(line.to_vec()));
        }
        lines.end(|line| all.push(line.to_vec()));
        all
    }

    #[test]
    fn lines_are_whole_however_they_come() {
        for piece in 1..20 {
            assert_eq!(lines(b"one\n\nthree\nlast", piece), [&b"one"[..], b"", b"three", b"last"]);
            assert_eq!(lines(b"one\n", piece), [b"one"]);
            assert!(lines(b"", piece).is_empty());
        }
    }

    #[test]
    fn a_line_without_end_takes_no_more_than_its_share() {
        let long = [vec![b'x'; 3 * LONGEST + 7], b"\nshort".to_vec()].concat();
        for piece in [1000, LONGEST, 10 * LONGEST] {
            let lens: Vec<_> = lines(&long, piece).iter().map(Vec::len).collect();
            assert_eq!(lens, [LONGEST, LONGEST, LONGEST, 7, 5]);
        }
    }
}
