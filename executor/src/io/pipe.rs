//! Pipes.
//!
//! ```text
//!   pipe() ─► PipeWriter ─► the system ─► PipeReader          from_std: either end of std's, of a child process too
//! ```
//!
//! Rules: as [`crate::net::Stream`]: `&self`, one owner for each direction, nothing blocks.

use super::{ReadBytes, WriteBytes};
use crate::checkpoint::cancellable;
use crate::fd::{AsyncFd, ReadyError};
use crate::reactor::Direction;
use crate::sys;
use crate::waits::Waits;
use std::cell::RefCell;
use std::future::Future;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::task::Poll;

/// The end of a pipe that is read from.
#[derive(Debug)]
pub struct PipeReader {
    fd: AsyncFd<io::PipeReader>,
}

/// The end of a pipe that is written to. The other end sees the end of the bytes when it, and every copy of it in other
/// processes, is closed.
#[derive(Debug)]
pub struct PipeWriter {
    /// `None` once it is closed.
    fd: RefCell<Option<Rc<AsyncFd<io::PipeWriter>>>>,
}

/// A new pipe, close-on-exec.
///
/// # Errors
///
/// Of `pipe(2)` and `epoll_ctl(2)`.
///
/// # Panics
///
/// Outside a run.
///
/// ```
/// use pleach_executor::{io::pipe, run};
/// run(async {
///     let (reader, writer) = pipe().unwrap();
///     writer.write_all(b"hello").await.unwrap();
///     drop(writer);
///     let mut bytes = [0; 16];
///     assert_eq!(reader.read(&mut bytes).await.unwrap(), 5);
///     assert_eq!(reader.read(&mut bytes).await.unwrap(), 0);
/// });
/// ```
#[track_caller]
pub fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    Ok((PipeReader::from_std(reader)?, PipeWriter::from_std(writer)?))
}

impl PipeReader {
    /// Takes over the reading end of a pipe of std's, also of a child process (`ChildStdout`, `ChildStderr`); it becomes
    /// non-blocking, which the other end does not see.
    ///
    /// # Errors
    ///
    /// Of `fcntl(2)` and `epoll_ctl(2)`.
    ///
    /// # Panics
    ///
    /// Outside a run.
    #[track_caller]
    pub fn from_std(pipe: impl Into<OwnedFd>) -> io::Result<Self> {
        let pipe = pipe.into();
        sys::set_nonblocking(pipe.as_fd())?;
        Ok(PipeReader { fd: AsyncFd::sole(pipe.into())? })
    }

    /// Reads what is there, at least one byte; 0 is the end, or there was no room.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: a cancelled read has taken nothing.
    ///
    /// # Errors
    ///
    /// Of `read(2)`; a `Cancelled` as `io::Error`; `ResourceBusy` if another task reads; `NotConnected` after
    /// [`end_waits`](PipeReader::end_waits).
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    #[track_caller]
    pub fn read(&self, bytes: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        self.fd.io_unless(bytes.is_empty(), Direction::Read, |mut pipe| {
            let n = pipe.read(bytes)?;
            if 0 < n && n < bytes.len() {
                self.fd.clear_readable_after_short_read();
            }
            Ok(n)
        })
    }

    /// Ends every wait, now and from now on: see [`AsyncFd::end_waits`].
    pub fn end_waits(&self) {
        self.fd.end_waits();
    }
}

impl ReadBytes for PipeReader {
    async fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        PipeReader::read(self, bytes).await
    }
}

impl AsFd for PipeReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.get_ref().as_fd()
    }
}

impl AsRawFd for PipeReader {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.number()
    }
}

impl PipeWriter {
    /// Takes over the writing end of a pipe of std's, also of a child process (`ChildStdin`); it becomes non-blocking, which
    /// the other end does not see.
    ///
    /// # Errors
    ///
    /// Of `fcntl(2)` and `epoll_ctl(2)`.
    ///
    /// # Panics
    ///
    /// Outside a run.
    #[track_caller]
    pub fn from_std(pipe: impl Into<OwnedFd>) -> io::Result<Self> {
        let pipe = pipe.into();
        sys::set_nonblocking(pipe.as_fd())?;
        Ok(PipeWriter { fd: RefCell::new(Some(Rc::new(AsyncFd::sole(pipe.into())?))) })
    }

    /// The descriptor, if it is not closed. A refusal is a checkpoint as well: a loop over it can be cancelled.
    async fn open(&self) -> io::Result<Rc<AsyncFd<io::PipeWriter>>> {
        let fd = self.fd.borrow().clone();
        if fd.is_none() {
            cancellable(Waits::Other, |_| Poll::Ready(())).await?;
        }
        fd.ok_or_else(|| ReadyError::Closed.into())
    }

    /// Writes as much as there is room for, at least one byte unless `bytes` is empty; says how much.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: a cancelled write has written nothing.
    ///
    /// # Errors
    ///
    /// Of `write(2)`: kind `BrokenPipe` if nobody can read any more (and a SIGPIPE, which Rust's programs ignore unless told
    /// otherwise). A `Cancelled` as `io::Error`; `ResourceBusy` if another task writes; `NotConnected` after
    /// [`send_eof`](PipeWriter::send_eof) or [`end_waits`](PipeWriter::end_waits).
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let fd = self.open().await?;
        fd.io_unless(bytes.is_empty(), Direction::Write, |pipe| write(&fd, pipe, bytes)).await
    }

    /// Writes all of `bytes`; no other task of ours writes in between.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always. **Lossy**: how much was written is not told; use
    /// [`write_all_counting`](PipeWriter::write_all_counting) to know.
    ///
    /// # Errors
    ///
    /// As [`write`](PipeWriter::write).
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    pub async fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        self.write_all_counting(bytes, &mut 0).await
    }

    /// Writes `bytes` from index `done` on. `done` grows as they are written, so that it tells how far it got, whatever ended
    /// it.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: called again with the same arguments it goes on where it was.
    ///
    /// # Errors
    ///
    /// As [`write`](PipeWriter::write).
    ///
    /// # Panics
    ///
    /// If `done` is beyond the end of `bytes`; if it belongs to another run.
    pub async fn write_all_counting(&self, bytes: &[u8], done: &mut usize) -> io::Result<()> {
        let fd = self.open().await?;
        fd.io_unless(bytes[*done..].is_empty(), Direction::Write, |pipe| {
            *done += write(&fd, pipe, &bytes[*done..])?;
            if *done < bytes.len() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        })
        .await
    }

    /// Closes this end: the reader reads what was written, and then the end. Again is fine, and does nothing.
    ///
    /// # Cancellation
    ///
    /// Never a checkpoint: it does not wait.
    ///
    /// # Errors
    ///
    /// `ResourceBusy` while another task writes.
    pub fn send_eof(&self) -> io::Result<()> {
        if self.fd.borrow().as_ref().is_some_and(|fd| fd.is_claimed(Direction::Write)) {
            return Err(ReadyError::Busy.into());
        }
        // Closed outside of the borrow: deregistering may wake somebody.
        let fd = self.fd.take();
        drop(fd);
        Ok(())
    }

    /// Ends every wait, now and from now on: see [`AsyncFd::end_waits`].
    pub fn end_waits(&self) {
        let fd = self.fd.borrow().clone();
        if let Some(fd) = fd {
            fd.end_waits();
        }
    }
}

/// One write, if it is any; remembers if there is no more room.
fn write(fd: &AsyncFd<io::PipeWriter>, mut pipe: &io::PipeWriter, bytes: &[u8]) -> io::Result<usize> {
    if bytes.is_empty() {
        return Ok(0);
    }
    let n = pipe.write(bytes)?;
    if n < bytes.len() {
        fd.clear_writable();
    }
    Ok(n)
}

impl WriteBytes for PipeWriter {
    async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        PipeWriter::write(self, bytes).await
    }

    async fn write_all_counting(&self, bytes: &[u8], done: &mut usize) -> io::Result<()> {
        PipeWriter::write_all_counting(self, bytes, done).await
    }

    fn send_eof(&self) -> io::Result<()> {
        PipeWriter::send_eof(self)
    }
}
