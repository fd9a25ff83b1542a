//! Connected sockets: what TCP and Unix streams have in common.
//!
//! ```text
//!   std's socket, non-blocking ─ AsyncFd ─► Stream ─► read │ read_exact │ write │ write_all │ send_eof │ split
//! ```
//!
//! * `stream.rs`: the operations. `stream/socket.rs`: what they ask of a socket. `stream/traits.rs`: a stream as reader and writer.
//!
//! Rules:
//! * All operations take `&self`: one task may read while another writes. `&stream` is a half already; for two tasks that own
//!   theirs there is [`Stream::split`](crate::io::split).
//! * One system call for an operation that finds data or room: a stream that gave or took less than it was asked to has no
//!   more for now (epoll(7), question 9), and is not asked again before its next event.
//! * Nothing here blocks the thread, and no write raises SIGPIPE, whatever the process does with it.
//! * Closed means that we did it: after [`Stream::send_eof`] a write is refused here, before the system sees it.

mod socket;
mod traits;

use super::along::Along;
use crate::fd::{AsyncFd, ReadyError};
use crate::reactor::Direction;
use crate::sys;
use std::cell::Cell;
use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;

pub use socket::StreamSocket;
pub(super) use socket::sealed;

/// A connected stream socket: a [`TcpStream`](super::TcpStream) or a [`UnixStream`](super::UnixStream).
///
/// It is closed when it is dropped, at once: what was written is still delivered, in the background.
#[derive(Debug)]
pub struct Stream<S: StreamSocket> {
    pub(super) fd: AsyncFd<S>,
    /// Have we said that we write no more?
    write_ended: Cell<bool>,
    /// What may come along with what we read.
    pub(super) along: Cell<Along>,
}

impl<S: StreamSocket> Stream<S> {
    /// Takes over a socket of std's; it becomes non-blocking.
    ///
    /// # Errors
    ///
    /// Of `fcntl(2)` and `epoll_ctl(2)`.
    ///
    /// # Panics
    ///
    /// Outside a run.
    #[track_caller]
    pub fn from_std(socket: S) -> io::Result<Self> {
        socket.make_nonblocking()?;
        Self::from_nonblocking(socket)
    }

    #[track_caller]
    pub(super) fn from_nonblocking(socket: S) -> io::Result<Self> {
        Ok(Self::from_fd(AsyncFd::sole(socket)?))
    }

    pub(super) fn from_fd(fd: AsyncFd<S>) -> Self {
        Stream { fd, write_ended: Cell::new(false), along: Cell::new(Along::Anything) }
    }

    /// Gives std's socket back, non-blocking as it is.
    ///
    /// # Panics
    ///
    /// In a forked child that inherited it.
    #[must_use]
    #[track_caller]
    pub fn into_std(self) -> S {
        self.fd.into_inner()
    }

    /// Std's socket, for its addresses and options. It is non-blocking.
    ///
    /// # Panics
    ///
    /// In a forked child that inherited it.
    #[must_use]
    #[track_caller]
    pub fn as_std(&self) -> &S {
        self.fd.get_ref()
    }

    /// Reads what is there, at least one byte; 0 is the end, or there was no room.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: a cancelled read has taken nothing.
    ///
    /// # Errors
    ///
    /// Of `recv(2)`; a `Cancelled` as `io::Error`; `ResourceBusy` if another task reads; `NotConnected` after
    /// [`end_waits`](Stream::end_waits). Whose fault it is says [`Fault::of`](crate::io::Fault::of).
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    #[track_caller]
    pub fn read(&self, bytes: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        self.fd.io_unless(bytes.is_empty(), Direction::Read, |s| {
            if bytes.is_empty() {
                return Ok(0);
            }
            let room = bytes.len();
            self.received(room, |along| s.receive(bytes, along))
        })
    }

    /// Reads into `parts`, one after the other, what is there.
    ///
    /// # Cancellation
    ///
    /// As [`read`](Stream::read).
    ///
    /// # Errors
    ///
    /// As [`read`](Stream::read).
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    #[track_caller]
    pub fn read_vectored(&self, parts: &mut [IoSliceMut<'_>]) -> impl Future<Output = io::Result<usize>> {
        let room = parts.iter().map(|part| part.len()).sum();
        self.fd.io_unless(room == 0, Direction::Read, move |s| {
            if room == 0 {
                return Ok(0);
            }
            self.received(room, |along| s.receive_vectored(parts, along))
        })
    }

    /// Does a read with room for `room` bytes, and says how many it gave; remembers if there are no more.
    #[inline]
    fn received(
        &self,
        room: usize,
        read: impl FnOnce(Along) -> io::Result<(usize, bool)>,
    ) -> io::Result<usize> {
        let (n, came_along) = self.receive(room, read)?;
        if 0 < n && n < room && !came_along {
            self.fd.clear_readable_after_short_read();
        }
        Ok(n)
    }

    /// Does a read with room for `room` bytes, in the way that what may come along asks for.
    #[inline]
    fn receive(
        &self,
        room: usize,
        read: impl FnOnce(Along) -> io::Result<(usize, bool)>,
    ) -> io::Result<(usize, bool)> {
        let along = self.along.get();
        let outcome = read(along);
        if along == Along::Leftovers {
            self.along.set(along.after(&outcome, room));
        }
        outcome
    }

    /// Fills `bytes`; no other task reads in between.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always. **Lossy**: how many bytes have been taken is not told; use
    /// [`read_exact_counting`](Stream::read_exact_counting) to know.
    ///
    /// # Errors
    ///
    /// Kind `UnexpectedEof` if the end came first; else as [`read`](Stream::read).
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    #[track_caller]
    pub fn read_exact(&self, bytes: &mut [u8]) -> impl Future<Output = io::Result<()>> {
        let mut done = 0;
        self.fd.io_unless(bytes.is_empty(), Direction::Read, move |s| self.fill(s, bytes, &mut done))
    }

    /// Fills `bytes` from index `done` on. `done` grows as bytes come, so that it tells how far it got, whatever ended it.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: called again with the same arguments it goes on where it was.
    ///
    /// # Errors
    ///
    /// As [`read_exact`](Stream::read_exact).
    ///
    /// # Panics
    ///
    /// If `done` is beyond the end of `bytes`; if it belongs to another run.
    #[track_caller]
    pub fn read_exact_counting(
        &self,
        bytes: &mut [u8],
        done: &mut usize,
    ) -> impl Future<Output = io::Result<()>> {
        self.fd.io_unless(bytes[*done..].is_empty(), Direction::Read, |s| self.fill(s, bytes, done))
    }

    /// Reads until `bytes` is full, as long as there is something.
    #[inline]
    fn fill(&self, socket: &S, bytes: &mut [u8], done: &mut usize) -> io::Result<()> {
        while *done < bytes.len() {
            let rest = &mut bytes[*done..];
            match self.receive(rest.len(), |along| socket.receive(rest, along))?.0 {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => *done += n,
            }
        }
        Ok(())
    }

    /// Writes as much as there is room for, at least one byte unless `bytes` is empty; says how much.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: a cancelled write has written nothing.
    ///
    /// # Errors
    ///
    /// Of `send(2)` (never a SIGPIPE); a `Cancelled` as `io::Error`; `ResourceBusy` if another task writes; `NotConnected`
    /// after [`end_waits`](Stream::end_waits) or [`send_eof`](Stream::send_eof). Whose fault it is says
    /// [`Fault::of`](crate::io::Fault::of).
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    #[track_caller]
    pub fn write(&self, bytes: &[u8]) -> impl Future<Output = io::Result<usize>> {
        self.fd.io_unless(self.is_nothing(bytes.len()), Direction::Write, |s| {
            self.send(bytes.len(), || sys::send_bytes(s.as_fd(), bytes))
        })
    }

    /// Writes as much of `parts`, one after the other, as there is room for; says how much.
    ///
    /// # Cancellation
    ///
    /// As [`write`](Stream::write).
    ///
    /// # Errors
    ///
    /// As [`write`](Stream::write).
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    #[track_caller]
    pub fn write_vectored(&self, parts: &[IoSlice<'_>]) -> impl Future<Output = io::Result<usize>> {
        let len = parts.iter().take(sys::MAX_PARTS).map(|part| part.len()).sum();
        self.fd.io_unless(self.is_nothing(len), Direction::Write, move |s| {
            self.send(len, || sys::send(s.as_fd(), parts, &[]))
        })
    }

    /// Writes all of `bytes`; no other task writes in between.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always. **Lossy**: how much was written is not told; use
    /// [`write_all_counting`](Stream::write_all_counting) to know.
    ///
    /// # Errors
    ///
    /// As [`write`](Stream::write).
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    #[track_caller]
    pub fn write_all(&self, bytes: &[u8]) -> impl Future<Output = io::Result<()>> {
        let mut done = 0;
        self.fd.io_unless(self.is_nothing(bytes.len()), Direction::Write, move |s| {
            self.send_rest(s, bytes, &mut done)
        })
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
    /// As [`write`](Stream::write).
    ///
    /// # Panics
    ///
    /// If `done` is beyond the end of `bytes`; if it belongs to another run.
    ///
    /// ```
    /// use pleach_executor::{In, net::UnixStream, run};
    /// use std::time::Duration;
    /// type Run = In<std::io::Error>;
    ///
    /// run(async {
    ///     let (a, b) = UnixStream::pair()?;
    ///     let (bytes, mut done) = (vec![7; 4 << 20], 0);
    ///     // Nobody reads: it ends by its limit.
    ///     Run::move_on_after(Duration::from_millis(1), async |_| a.write_all_counting(&bytes, &mut done).await).await?;
    ///     assert!(0 < done && done < bytes.len());
    ///     let sent = done;
    ///     Run::nursery(async |n| {
    ///         n.spawn(async {
    ///             a.write_all_counting(&bytes, &mut done).await?;
    ///             a.send_eof()
    ///         });
    ///         let mut all = vec![0; bytes.len()];
    ///         b.read_exact(&mut all).await
    ///     }).await?;
    ///     assert!(sent < bytes.len());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[track_caller]
    pub fn write_all_counting(&self, bytes: &[u8], done: &mut usize) -> impl Future<Output = io::Result<()>> {
        self.fd.io_unless(self.is_nothing(bytes[*done..].len()), Direction::Write, |s| {
            self.send_rest(s, bytes, done)
        })
    }

    /// One write of what is left from index `done` on. `WouldBlock` if some is left still.
    #[inline]
    fn send_rest(&self, socket: &S, bytes: &[u8], done: &mut usize) -> io::Result<()> {
        let rest = &bytes[*done..];
        *done += self.send(rest.len(), || sys::send_bytes(socket.as_fd(), rest))?;
        if *done < bytes.len() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    }

    /// Is there nothing to do for a write: no bytes, or an end that refuses all?
    fn is_nothing(&self, len: usize) -> bool {
        len == 0 || self.write_ended.get()
    }

    /// Does one write of `len` bytes, if it is any; remembers if there is no more room.
    pub(super) fn send(&self, len: usize, call: impl FnOnce() -> io::Result<usize>) -> io::Result<usize> {
        if self.write_ended.get() {
            return Err(ReadyError::Closed.into());
        }
        if len == 0 {
            return Ok(0);
        }
        let n = call()?;
        if n < len {
            self.fd.clear_writable();
        }
        Ok(n)
    }

    /// Reads what is there without waiting; `None` if nothing is.
    ///
    /// # Errors
    ///
    /// Of `recv(2)`; `ResourceBusy` if another task reads; `NotConnected` after [`end_waits`](Stream::end_waits).
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    #[track_caller]
    pub fn try_read(&self, bytes: &mut [u8]) -> io::Result<Option<usize>> {
        self.fd.try_io(Direction::Read, |s| {
            let room = bytes.len();
            Ok(self.receive(room, |along| s.receive(bytes, along))?.0)
        })
    }

    /// Writes what there is room for without waiting; `None` if there is none.
    ///
    /// # Errors
    ///
    /// Of `send(2)`; `ResourceBusy` if another task writes, which may have written a part; `NotConnected` after
    /// [`send_eof`](Stream::send_eof) or [`end_waits`](Stream::end_waits).
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    #[track_caller]
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<Option<usize>> {
        self.fd.try_io(Direction::Write, |s| self.send(bytes.len(), || sys::send_bytes(s.as_fd(), bytes)))
    }

    /// Ends our direction: the peer reads what was written, and then the end; reading goes on. Again is fine, and does
    /// nothing. Source: trio's `send_eof`.
    ///
    /// # Cancellation
    ///
    /// Never a checkpoint: it does not wait.
    ///
    /// # Errors
    ///
    /// `ResourceBusy` while another task writes; of `shutdown(2)`, `ENOTCONN` if the peer has broken the connection.
    ///
    /// # Panics
    ///
    /// In a forked child that inherited it.
    pub fn send_eof(&self) -> io::Result<()> {
        if self.fd.is_claimed(Direction::Write) {
            return Err(ReadyError::Busy.into());
        }
        if self.write_ended.get() {
            return Ok(());
        }
        self.shutdown(Shutdown::Write)
    }

    /// Ends one direction or both, in the middle of whatever other tasks do with it; the other end sees the end of the
    /// stream, and so does a reader of this one. To end writing in good order, use [`send_eof`](Stream::send_eof).
    ///
    /// # Errors
    ///
    /// Of `shutdown(2)`: then nothing has ended by it, and what a write meets is what the system says.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.fd.get_ref().end(how)?;
        if how != Shutdown::Read {
            self.write_ended.set(true);
        }
        Ok(())
    }

    /// Ends every read and write that waits, now and from now on: see [`AsyncFd::end_waits`].
    pub fn end_waits(&self) {
        self.fd.end_waits();
    }

    /// In a forked child, for a socket that was granted to it: see [`AsyncFd::adopt`].
    ///
    /// # Errors
    ///
    /// Of `epoll_ctl(2)`.
    ///
    /// # Panics
    ///
    /// Outside a run.
    #[track_caller]
    pub fn adopt(&mut self) -> io::Result<()> {
        self.fd.adopt()
    }
}
