//! The two directions of one stream, each with an owner of its own.
//!
//! ```text
//!   split(stream) ─► ReadHalf ─┐
//!                 └► WriteHalf ┴─► reunite ─► stream         a WriteHalf that is dropped ends its direction
//! ```
//!
//! Inside a nursery two children can simply borrow the stream: every operation takes `&self`. Halves are for owners that
//! share no frame.

use super::{ReadBytes, WriteBytes};
use std::io::{self, IoSlice};
use std::rc::Rc;

/// The reading direction of a stream.
#[derive(Debug)]
pub struct ReadHalf<S> {
    stream: Rc<S>,
}

/// The writing direction of a stream. When it is dropped the peer is told that there is no more.
#[derive(Debug)]
pub struct WriteHalf<S: WriteBytes> {
    /// `None` only while it is being taken apart.
    stream: Option<Rc<S>>,
}

/// Gives each direction of a stream an owner. The stream is closed when both halves are gone.
///
/// ```
/// use pleach_executor::{io::{ReadBytes, split}, net::UnixStream, run};
/// run(async {
///     let (a, b) = UnixStream::pair().unwrap();
///     let (reader, writer) = split(a);
///     drop(writer);
///     assert_eq!(b.read(&mut [0; 8]).await.unwrap(), 0);
///     b.write_all(b"still").await.unwrap();
///     assert_eq!(reader.read(&mut [0; 8]).await.unwrap(), 5);
/// });
/// ```
#[must_use = "a half that is dropped ends its direction"]
pub fn split<S: ReadBytes + WriteBytes>(stream: S) -> (ReadHalf<S>, WriteHalf<S>) {
    let stream = Rc::new(stream);
    (ReadHalf { stream: Rc::clone(&stream) }, WriteHalf { stream: Some(stream) })
}

impl<S: WriteBytes> ReadHalf<S> {
    /// Puts the stream together again, its writing direction still open.
    ///
    /// # Errors
    ///
    /// Both halves, if they are not of one stream.
    pub fn reunite(self, mut writer: WriteHalf<S>) -> Result<S, (Self, WriteHalf<S>)> {
        if !Rc::ptr_eq(&self.stream, writer.shared()) {
            return Err((self, writer));
        }
        drop(writer.stream.take());
        // The halves were its only two owners.
        Rc::try_unwrap(self.stream)
            .map_err(|stream| (ReadHalf { stream: Rc::clone(&stream) }, WriteHalf { stream: Some(stream) }))
    }
}

impl<S: WriteBytes> WriteHalf<S> {
    fn shared(&self) -> &Rc<S> {
        self.stream.as_ref().expect("there until it is taken apart")
    }
}

impl<S: ReadBytes> ReadBytes for ReadHalf<S> {
    async fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream.read(bytes).await
    }

    async fn read_exact_counting(&self, bytes: &mut [u8], done: &mut usize) -> io::Result<()> {
        self.stream.read_exact_counting(bytes, done).await
    }
}

impl<S: WriteBytes> WriteBytes for WriteHalf<S> {
    async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.shared().write(bytes).await
    }

    async fn write_vectored(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.shared().write_vectored(parts).await
    }

    async fn write_all_counting(&self, bytes: &[u8], done: &mut usize) -> io::Result<()> {
        self.shared().write_all_counting(bytes, done).await
    }

    fn send_eof(&self) -> io::Result<()> {
        self.shared().send_eof()
    }
}

impl<S: WriteBytes> Drop for WriteHalf<S> {
    fn drop(&mut self) {
        if let Some(stream) = &self.stream {
            // The peer is gone already, or the whole stream goes with this half.
            let _ = stream.send_eof();
        }
    }
}
