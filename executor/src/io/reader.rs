//! Reading in steps that are not the ones in which bytes come.
//!
//! ```text
//!   R: ReadBytes ─ read ─► [ taken │ bytes │ room ] ─► read │ read_exact │ read_until │ read_line
//! ```
//!
//! Rules:
//! * **Kept**: what has been read and not handed out stays in the buffer, whatever ends an operation. So a record that a
//!   cancellation cut short can be asked for again.
//! * The buffer grows only for a record that is not complete, and never above its caller's limit.

use super::ReadBytes;
use crate::checkpoint::cancellable;
use crate::waits::Waits;
use std::io;
use std::task::Poll;

/// How many bytes it asks for at a time, unless told otherwise.
const CAPACITY: usize = 8 * 1024;

/// A reader with a buffer.
///
/// ```
/// use pleach_executor::{io::BufReader, net::UnixStream, run};
/// run(async {
///     let (a, b) = UnixStream::pair().unwrap();
///     a.write_all(b"one\ntwo\nrest").await.unwrap();
///     a.send_eof().unwrap();
///     let mut reader = BufReader::new(b);
///     assert_eq!(reader.read_line(80).await.unwrap(), Some("one\n".to_owned()));
///     assert_eq!(reader.read_until(b'\n', 80).await.unwrap(), b"two\n");
///     assert_eq!(reader.read_line(80).await.unwrap(), Some("rest".to_owned()));
///     assert_eq!(reader.read_line(80).await.unwrap(), None);
/// });
/// ```
#[derive(Debug)]
pub struct BufReader<R> {
    inner: R,
    buffer: Vec<u8>,
    /// Of `buffer`, what is there: from `start` to `end`.
    start: usize,
    end: usize,
}

impl<R: ReadBytes> BufReader<R> {
    /// With room for 8 KiB.
    pub fn new(inner: R) -> Self {
        Self::with_capacity(CAPACITY, inner)
    }

    /// With room for `capacity` bytes.
    ///
    /// # Panics
    ///
    /// If `capacity` is 0.
    #[track_caller]
    pub fn with_capacity(capacity: usize, inner: R) -> Self {
        assert!(capacity > 0, "a reader without room never reads anything: give it some");
        BufReader { inner, buffer: vec![0; capacity], start: 0, end: 0 }
    }

    /// What has been read and not handed out.
    #[must_use]
    pub fn buffer(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// What it reads from. What that gives to others is missing here.
    pub fn get_ref(&self) -> &R {
        &self.inner
    }

    /// Gives it back, with what was read and not handed out.
    #[must_use = "the bytes in the buffer are nowhere else"]
    pub fn into_parts(mut self) -> (R, Vec<u8>) {
        self.buffer.truncate(self.end);
        self.buffer.drain(..self.start);
        (self.inner, self.buffer)
    }

    /// What is in the buffer, after a read if that was nothing. Empty: the end.
    ///
    /// # Cancellation
    ///
    /// A checkpoint if it has to read; Strict.
    ///
    /// # Errors
    ///
    /// Of the reader.
    pub async fn fill(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            self.read_more(0).await?;
        }
        Ok(self.buffer())
    }

    /// Takes `count` bytes from the front of the buffer.
    ///
    /// # Panics
    ///
    /// If there are not so many.
    #[track_caller]
    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.end - self.start, "only {} bytes are in the buffer", self.end - self.start);
        self.start += count;
    }

    /// Reads what is there, at least one byte; 0 is the end, or there was no room.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict.
    ///
    /// # Errors
    ///
    /// Of the reader.
    pub async fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.start == self.end && bytes.len() >= self.buffer.len() {
            return self.inner.read(bytes).await;
        }
        if self.start < self.end {
            cancellable(Waits::Other, |_| Poll::Ready(())).await?;
        } else {
            self.read_more(0).await?;
        }
        Ok(self.hand_out(bytes))
    }

    /// Fills `bytes`.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always. **Lossy**: how many bytes have been taken is not told; use
    /// [`read_exact_counting`](BufReader::read_exact_counting) to know.
    ///
    /// # Errors
    ///
    /// Kind `UnexpectedEof` if the end came first; else of the reader.
    pub async fn read_exact(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.read_exact_counting(bytes, &mut 0).await
    }

    /// Fills `bytes` from index `done` on. `done` grows as bytes come, so that it tells how far it got, whatever ended it.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: called again with the same arguments it goes on where it was.
    ///
    /// # Errors
    ///
    /// As [`read_exact`](BufReader::read_exact).
    ///
    /// # Panics
    ///
    /// If `done` is beyond the end of `bytes`.
    pub async fn read_exact_counting(&mut self, bytes: &mut [u8], done: &mut usize) -> io::Result<()> {
        loop {
            let room = bytes.len() - *done;
            match self.read(&mut bytes[*done..]).await? {
                0 if room > 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => *done += n,
            }
            if *done == bytes.len() {
                return Ok(());
            }
        }
    }

    /// Reads up to `delimiter` and returns what came with it at its end; or what is left, without it, at the end. Empty: the
    /// end.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: what was read stays in the buffer.
    ///
    /// # Errors
    ///
    /// Kind `FileTooLarge` if there is no delimiter in the first `limit` bytes: they stay in the buffer, to be taken
    /// otherwise. Else of the reader.
    pub async fn read_until(&mut self, delimiter: u8, limit: usize) -> io::Result<Vec<u8>> {
        let len = self.find(delimiter, limit).await?;
        let record = self.buffer()[..len].to_vec();
        self.start += len;
        Ok(record)
    }

    /// Reads a line, its `\n` included unless the end came first. `None`: the end.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: what was read stays in the buffer.
    ///
    /// # Errors
    ///
    /// Kind `InvalidData` if it is not UTF-8: it stays in the buffer, to be taken with
    /// [`read_until`](BufReader::read_until). Else as [`read_until`](BufReader::read_until).
    pub async fn read_line(&mut self, limit: usize) -> io::Result<Option<String>> {
        let len = self.find(b'\n', limit).await?;
        let line = str::from_utf8(&self.buffer()[..len])
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?
            .to_owned();
        self.start += len;
        Ok((len > 0).then_some(line))
    }

    /// How long the record at the front of the buffer is, reading until it is whole.
    async fn find(&mut self, delimiter: u8, limit: usize) -> io::Result<usize> {
        cancellable(Waits::Other, |_| Poll::Ready(())).await?;
        let mut searched = 0;
        loop {
            let bytes = self.buffer();
            let within = &bytes[..bytes.len().min(limit)];
            if let Some(at) = within[searched..].iter().position(|byte| *byte == delimiter) {
                return Ok(searched + at + 1);
            }
            if within.len() == limit {
                let why = "there is no end of this record within its limit";
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
            }
            searched = within.len();
            if self.read_more(limit).await? == 0 {
                return Ok(searched);
            }
        }
    }

    /// One read into the room behind what is there; makes room if there is none, for `limit` bytes at most. 0: the end.
    async fn read_more(&mut self, limit: usize) -> io::Result<usize> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(limit.min(2 * self.end), 0);
        }
        let n = self.inner.read(&mut self.buffer[self.end..]).await?;
        self.end += n;
        Ok(n)
    }

    fn hand_out(&mut self, bytes: &mut [u8]) -> usize {
        let n = bytes.len().min(self.end - self.start);
        bytes[..n].copy_from_slice(&self.buffer[self.start..self.start + n]);
        self.start += n;
        n
    }
}
