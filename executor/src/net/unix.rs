//! Unix stream sockets.
//!
//! ```text
//!   pair │ connect │ from_std ─► AsyncFd<std's UnixStream, non-blocking> ─► read │ write │ descriptors │ credentials
//! ```
//!
//! Rules:
//! * All operations take `&self`: one task may read while another writes.
//! * Nothing here blocks the thread, also not `connect`, and no write raises SIGPIPE, whatever the process does with it.

use crate::fd::AsyncFd;
use crate::reactor::Direction;
use crate::sys;
use std::future::Future;
use std::io::{self, IoSlice, Read};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net;
use std::path::Path;

/// A connected Unix stream socket (`unix(7)`).
///
/// ```
/// use pleach_executor::{net::UnixStream, run};
/// run(async {
///     let (a, b) = UnixStream::pair().unwrap();
///     a.write_all(b"hello").await.unwrap();
///     let mut bytes = [0; 16];
///     assert_eq!(b.read(&mut bytes).await.unwrap(), 5);
/// });
/// ```
#[derive(Debug)]
pub struct UnixStream {
    fd: AsyncFd<net::UnixStream>,
}

/// Who was at the other end when the connection was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerCred {
    /// Process id.
    pub pid: i32,
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
}

impl UnixStream {
    /// The most descriptors that go with one message of [`send_fds`](UnixStream::send_fds).
    pub const MAX_FDS: usize = sys::MAX_FDS;

    /// Two sockets connected to each other, close-on-exec.
    ///
    /// # Errors
    ///
    /// Of `socketpair(2)` and `epoll_ctl(2)`.
    ///
    /// # Panics
    ///
    /// Outside a run.
    #[track_caller]
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = net::UnixStream::pair()?;
        Ok((Self::from_std(a)?, Self::from_std(b)?))
    }

    /// Connects to the socket at `path`, at once: the listener need not have accepted yet.
    ///
    /// # Errors
    ///
    /// Of `connect(2)`; kind `WouldBlock` if the listener's queue is full: it does not keep up, and no event tells when
    /// it does. Kind `InvalidInput` for a path of more than 107 bytes.
    ///
    /// # Panics
    ///
    /// Outside a run.
    #[track_caller]
    pub fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::from_std(sys::connect_unix(path.as_ref())?.into())
    }

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
    pub fn from_std(stream: net::UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(UnixStream { fd: AsyncFd::sole(stream)? })
    }

    /// Gives std's socket back, non-blocking as it is.
    ///
    /// # Panics
    ///
    /// In a forked child that inherited it.
    #[must_use]
    #[track_caller]
    pub fn into_std(self) -> net::UnixStream {
        self.fd.into_inner()
    }

    /// Reads what is there, at least one byte; 0 is the end.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: a cancelled read has taken nothing.
    ///
    /// # Errors
    ///
    /// Of `read(2)`; a `Cancelled` as `io::Error`; `ResourceBusy` if another task reads; `NotConnected` after
    /// [`end_waits`](UnixStream::end_waits).
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    #[track_caller]
    pub fn read(&self, bytes: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        self.fd.io(Direction::Read, |s| self.receive(s, bytes))
    }

    /// What is there now. A stream that gives less than there was room for has no more, unless something came with the
    /// bytes: saves the call that would only say so.
    fn receive(&self, socket: &net::UnixStream, bytes: &mut [u8]) -> io::Result<usize> {
        let (n, came_along) = sys::receive_bytes(socket.as_fd(), bytes)?;
        if n < bytes.len() && !came_along {
            self.fd.clear_readable_after_short_read();
        }
        Ok(n)
    }

    /// Writes as much as there is room for, at least one byte; says how much.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: a cancelled write has written nothing.
    ///
    /// # Errors
    ///
    /// Of `sendmsg(2)` (never a SIGPIPE); a `Cancelled` as `io::Error`; `ResourceBusy` if another task writes;
    /// `NotConnected` after [`end_waits`](UnixStream::end_waits).
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    #[track_caller]
    pub fn write(&self, bytes: &[u8]) -> impl Future<Output = io::Result<usize>> {
        self.fd.io(Direction::Write, |s| sys::send(s.as_fd(), &[IoSlice::new(bytes)], &[]))
    }

    /// Writes as much of `parts`, one after the other, as there is room for, at least one byte; says how much.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: a cancelled write has written nothing.
    ///
    /// # Errors
    ///
    /// As [`write`](UnixStream::write).
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    #[track_caller]
    pub fn write_vectored(&self, parts: &[IoSlice<'_>]) -> impl Future<Output = io::Result<usize>> {
        self.fd.io(Direction::Write, |s| sys::send(s.as_fd(), parts, &[]))
    }

    /// Writes all of `bytes`.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always, unless `bytes` is empty. **Lossy**: how much was written is not told; use
    /// [`write`](UnixStream::write) to know.
    ///
    /// # Errors
    ///
    /// As [`write`](UnixStream::write).
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let n = self.write(bytes).await?;
            bytes = &bytes[n..];
        }
        Ok(())
    }

    /// Reads what is there without waiting; `None` if nothing is.
    ///
    /// # Errors
    ///
    /// Of `read(2)`.
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    #[track_caller]
    pub fn try_read(&self, bytes: &mut [u8]) -> io::Result<Option<usize>> {
        self.fd.try_io(Direction::Read, |mut s| s.read(bytes))
    }

    /// Writes what there is room for without waiting; `None` if there is none.
    ///
    /// # Errors
    ///
    /// Of `sendmsg(2)`.
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    #[track_caller]
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<Option<usize>> {
        self.fd.try_io(Direction::Write, |s| sys::send(s.as_fd(), &[IoSlice::new(bytes)], &[]))
    }

    /// Sends bytes and descriptors with the first of them; says how many bytes went. What is left goes without: the
    /// descriptors have been sent when this returns.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict.
    ///
    /// # Errors
    ///
    /// Of `sendmsg(2)`; a `Cancelled` as `io::Error`; else as [`write`](UnixStream::write).
    ///
    /// # Panics
    ///
    /// Without bytes, since descriptors travel with a byte; with more than [`MAX_FDS`](UnixStream::MAX_FDS)
    /// descriptors. If it belongs to another run.
    ///
    /// # References
    ///
    /// `SCM_RIGHTS` in `unix(7)`.
    #[track_caller]
    pub fn send_fds(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> impl Future<Output = io::Result<usize>> {
        assert!(!bytes.is_empty(), "descriptors travel with a byte: send at least one");
        assert!(fds.len() <= Self::MAX_FDS, "at most {} descriptors go with one message", Self::MAX_FDS);
        self.fd.io(Direction::Write, |s| sys::send(s.as_fd(), &[IoSlice::new(bytes)], fds))
    }

    /// Receives bytes and the descriptors that came with them, close-on-exec; 0 bytes is the end.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict.
    ///
    /// # Errors
    ///
    /// Of `recvmsg(2)`; `EMSGSIZE` if the peer sent more than [`MAX_FDS`](UnixStream::MAX_FDS) at once: they are closed
    /// and the bytes are lost, so end the connection. A `Cancelled` as `io::Error`; else as [`read`](UnixStream::read).
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    #[track_caller]
    pub fn receive_fds(&self, bytes: &mut [u8]) -> impl Future<Output = io::Result<(usize, Vec<OwnedFd>)>> {
        self.fd.io(Direction::Read, |s| sys::receive(s.as_fd(), bytes))
    }

    /// Who was at the other end when the connection was made.
    ///
    /// # Errors
    ///
    /// Of `getsockopt(2)`.
    pub fn peer_cred(&self) -> io::Result<PeerCred> {
        let c = sys::peer_credentials(self.fd.get_ref().as_fd())?;
        Ok(PeerCred { pid: c.pid, uid: c.uid, gid: c.gid })
    }

    /// Ends one direction or both; the other end sees the end of the stream, and so does a reader of this one.
    ///
    /// # Errors
    ///
    /// Of `shutdown(2)`.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.fd.get_ref().shutdown(how)
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

    /// The number that a forked child has to keep if this socket is granted to it.
    #[must_use]
    pub fn grant_fd(&self) -> RawFd {
        self.as_raw_fd()
    }
}

impl AsFd for UnixStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.get_ref().as_fd()
    }
}

impl AsRawFd for UnixStream {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.number()
    }
}

#[cfg(test)]
mod tests;
