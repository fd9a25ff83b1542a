//! Writing in steps that are smaller than those in which bytes should go.
//!
//! ```text
//!   write_all ─► [ bytes │ room ] ─ when it is full, or by flush ─ write ─► W: WriteBytes
//! ```
//!
//! Rules:
//! * **Kept**: a byte leaves the buffer when it has been written and not before, whatever ends an operation. So a cancelled
//!   flush has lost nothing, and the next one goes on where it was.
//! * Dropping writes nothing: a destructor cannot wait. What is in the buffer then is lost.

use super::WriteBytes;
use crate::checkpoint::cancellable;
use crate::waits::Waits;
use std::io;
use std::task::Poll;

/// How many bytes it gathers, unless told otherwise.
const CAPACITY: usize = 8 * 1024;

/// A writer with a buffer. [`flush`](BufWriter::flush) it before it is dropped.
///
/// ```
/// use pleach_executor::{io::BufWriter, net::UnixStream, run};
/// run(async {
///     let (a, b) = UnixStream::pair().unwrap();
///     let mut writer = BufWriter::new(a);
///     writer.write_all(b"one ").await.unwrap();
///     writer.write_all(b"two").await.unwrap();
///     assert_eq!(b.try_read(&mut [0; 8]).unwrap(), None);
///     writer.flush().await.unwrap();
///     assert_eq!(b.read(&mut [0; 8]).await.unwrap(), 7);
/// });
/// ```
#[derive(Debug)]
pub struct BufWriter<W> {
    inner: W,
    buffer: Vec<u8>,
    /// Of `buffer`, what has been written.
    written: usize,
    capacity: usize,
}

impl<W: WriteBytes> BufWriter<W> {
    /// With room for 8 KiB.
    pub fn new(inner: W) -> Self {
        Self::with_capacity(CAPACITY, inner)
    }

    /// With room for `capacity` bytes.
    pub fn with_capacity(capacity: usize, inner: W) -> Self {
        BufWriter { inner, buffer: Vec::with_capacity(capacity), written: 0, capacity }
    }

    /// What has not been written yet.
    #[must_use]
    pub fn buffer(&self) -> &[u8] {
        &self.buffer[self.written..]
    }

    /// What it writes to. What others write there may come before what is in the buffer.
    pub fn get_ref(&self) -> &W {
        &self.inner
    }

    /// Gives it back, with what has not been written.
    #[must_use = "the bytes in the buffer are nowhere else"]
    pub fn into_parts(mut self) -> (W, Vec<u8>) {
        self.buffer.drain(..self.written);
        (self.inner, self.buffer)
    }

    /// Takes all of `bytes`: into the buffer if there is room, else after what is there has been written; more than the
    /// buffer holds goes straight through.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always. Strict for what fits into the buffer, **Lossy** for more: how much of it was taken is not told;
    /// use [`write_all_counting`](BufWriter::write_all_counting) to know.
    ///
    /// # Errors
    ///
    /// Of the writer.
    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all_counting(bytes, &mut 0).await
    }

    /// Takes `bytes` from index `done` on. `done` grows as they are taken, so that it tells how far it got, whatever ended
    /// it.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: called again with the same arguments it goes on where it was.
    ///
    /// # Errors
    ///
    /// Of the writer.
    ///
    /// # Panics
    ///
    /// If `done` is beyond the end of `bytes`.
    pub async fn write_all_counting(&mut self, bytes: &[u8], done: &mut usize) -> io::Result<()> {
        cancellable(Waits::Other, |_| Poll::Ready(())).await?;
        let rest = &bytes[*done..];
        if rest.len() > self.capacity - self.buffer.len() {
            self.flush().await?;
        }
        if rest.len() >= self.capacity {
            return self.inner.write_all_counting(bytes, done).await;
        }
        self.buffer.extend_from_slice(rest);
        *done = bytes.len();
        Ok(())
    }

    /// Writes everything that is in the buffer.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict for each byte: what has not been written stays in the buffer.
    ///
    /// # Errors
    ///
    /// Of the writer.
    pub async fn flush(&mut self) -> io::Result<()> {
        let written = self.inner.write_all_counting(&self.buffer, &mut self.written).await;
        if self.written == self.buffer.len() {
            self.buffer.clear();
            self.written = 0;
        }
        written
    }

    /// Writes everything, and then ends the direction.
    ///
    /// # Cancellation
    ///
    /// As [`flush`](BufWriter::flush); a cancelled one has not ended it.
    ///
    /// # Errors
    ///
    /// Of the writer.
    pub async fn finish(&mut self) -> io::Result<()> {
        self.flush().await?;
        self.inner.send_eof()
    }
}
