//! Unix stream sockets.
//!
//! ```text
//!   pair │ connect │ from_std ─► Stream<std's UnixStream> ─► what every stream does, and: descriptors │ credentials
//! ```
//!
//! Rules: those of [`super::stream`]. Also `connect` does not block.

use super::address::RawAddress;
use super::along::Along;
use super::stream::sealed::Calls;
use super::stream::{Stream, StreamSocket};
use crate::reactor::Direction;
use crate::sys;
use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut, Read};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
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
pub type UnixStream = Stream<net::UnixStream>;

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
        let socket = sys::socket(libc::AF_UNIX, libc::SOCK_STREAM)?;
        sys::connect(socket.as_fd(), RawAddress::path(path.as_ref())?.as_bytes())?;
        Self::from_nonblocking(socket.into())
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
        self.fd.io(Direction::Write, |s| {
            self.send(bytes.len(), || sys::send(s.as_fd(), &[IoSlice::new(bytes)], fds))
        })
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

    /// Lets no descriptors in any more: whoever sends some gets `EPERM`. Those that have been sent already still come.
    ///
    /// A stream that takes none is read with less effort (`recv(2)` for `recvmsg(2)`, about a twentieth of an echo), so it pays
    /// wherever none are wanted.
    ///
    /// # Errors
    ///
    /// Kind `Unsupported` before Linux 6.16, which let everybody send descriptors to everybody: all is as it was then, and can
    /// stay so. Kind `InvalidInput` if credentials come with what is read (`SO_PASSCRED`, `SO_PASSPIDFD` or `SO_PASSSEC`, set
    /// by [`as_std`](UnixStream::as_std)), because reads stop between those of two writers: do not set them afterwards either.
    /// Else of `setsockopt(2)`.
    ///
    /// # Panics
    ///
    /// In a forked child that inherited it.
    ///
    /// # References
    ///
    /// `SO_PASSRIGHTS`, Linux 6.16.
    ///
    /// ```
    /// use pleach_executor::{net::UnixStream, run};
    /// run(async {
    ///     let (a, b) = UnixStream::pair().unwrap();
    ///     match b.refuse_fds() {
    ///         Ok(()) => {}
    ///         Err(e) if e.kind() == std::io::ErrorKind::Unsupported => {} // an older system: it still takes them
    ///         Err(e) => panic!("{e}"),
    ///     }
    ///     a.write_all(b"bytes").await.unwrap();
    ///     assert_eq!(b.read(&mut [0; 16]).await.unwrap(), 5);
    /// });
    /// ```
    pub fn refuse_fds(&self) -> io::Result<()> {
        sys::refuse_fds(self.as_fd())?;
        if self.along.get() == Along::Anything {
            self.along.set(Along::Leftovers);
        }
        Ok(())
    }

    /// Who was at the other end when the connection was made.
    ///
    /// # Errors
    ///
    /// Of `getsockopt(2)`.
    pub fn peer_cred(&self) -> io::Result<PeerCred> {
        PeerCred::of(self.as_fd())
    }
}

impl PeerCred {
    pub(super) fn of(socket: BorrowedFd<'_>) -> io::Result<Self> {
        let c = sys::peer_credentials(socket)?;
        Ok(PeerCred { pid: c.pid, uid: c.uid, gid: c.gid })
    }
}

impl Calls for net::UnixStream {
    fn receive(&self, bytes: &mut [u8], along: Along) -> io::Result<(usize, bool)> {
        match along {
            Along::Nothing => (&mut &*self).read(bytes).map(|n| (n, false)),
            Along::Anything | Along::Leftovers => {
                sys::receive_bytes(self.as_fd(), &mut [IoSliceMut::new(bytes)])
            }
        }
    }

    fn receive_vectored(&self, parts: &mut [IoSliceMut<'_>], along: Along) -> io::Result<(usize, bool)> {
        match along {
            Along::Nothing => (&mut &*self).read_vectored(parts).map(|n| (n, false)),
            Along::Anything | Along::Leftovers => sys::receive_bytes(self.as_fd(), parts),
        }
    }

    fn end(&self, how: Shutdown) -> io::Result<()> {
        self.shutdown(how)
    }

    fn make_nonblocking(&self) -> io::Result<()> {
        self.set_nonblocking(true)
    }
}

impl StreamSocket for net::UnixStream {}

#[cfg(test)]
mod tests;
