//! Unix stream sockets.
//!
//! ```text
//!   pair │ connect │ from_std ─► AsyncFd<std's UnixStream, non-blocking> ─► read │ write │ descriptors │ credentials
//! ```
//!
//! All operations take `&self`: one task may read while another writes.

use crate::fd::AsyncFd;
use crate::reactor::Direction;
use crate::sys;
use std::io::{self, Read, Write};
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

    /// Connects to the socket at `path`. A Unix socket connects at once or is refused at once.
    ///
    /// # Errors
    ///
    /// Of `connect(2)`.
    ///
    /// # Panics
    ///
    /// Outside a run.
    #[track_caller]
    pub fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::from_std(net::UnixStream::connect(path)?)
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
        Ok(UnixStream { fd: AsyncFd::new(stream)? })
    }

    /// Gives std's socket back, non-blocking as it is.
    #[must_use]
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
    /// Of `read(2)`; a `Cancelled` as `io::Error`; `ResourceBusy` if another task reads.
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    pub async fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        self.fd.io(Direction::Read, |mut s| s.read(bytes)).await
    }

    /// Writes as much as there is room for, at least one byte.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: a cancelled write has written nothing.
    ///
    /// # Errors
    ///
    /// Of `send(2)` (never a SIGPIPE); a `Cancelled` as `io::Error`; `ResourceBusy` if another task writes.
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.fd.io(Direction::Write, |mut s| s.write(bytes)).await
    }

    /// Writes all of `bytes`.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always. **Lossy**: how much was written is not told; use [`write`](UnixStream::write) to know.
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
    pub fn try_read(&self, bytes: &mut [u8]) -> io::Result<Option<usize>> {
        self.fd.try_io(Direction::Read, |mut s| s.read(bytes))
    }

    /// Writes what there is room for without waiting; `None` if there is none.
    ///
    /// # Errors
    ///
    /// Of `send(2)`.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<Option<usize>> {
        self.fd.try_io(Direction::Write, |mut s| s.write(bytes))
    }

    /// Sends bytes (at least one) and descriptors with them; says how many bytes went.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict.
    ///
    /// # Errors
    ///
    /// Of `sendmsg(2)`; a `Cancelled` as `io::Error`.
    ///
    /// # Panics
    ///
    /// With more than 16 descriptors. If it belongs to another run.
    pub async fn send_fds(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
        self.fd.io(Direction::Write, |s| sys::send_with_fds(s.as_fd(), bytes, fds)).await
    }

    /// Receives bytes and the descriptors that came with them, close-on-exec.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict.
    ///
    /// # Errors
    ///
    /// Of `recvmsg(2)`; a `Cancelled` as `io::Error`.
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    pub async fn receive_fds(&self, bytes: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        self.fd.io(Direction::Read, |s| sys::receive_with_fds(s.as_fd(), bytes)).await
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

    /// Ends one direction or both; the other end sees the end of the stream.
    ///
    /// # Errors
    ///
    /// Of `shutdown(2)`.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.fd.get_ref().shutdown(how)
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
    pub fn adopt(&mut self) -> io::Result<()> {
        self.fd.adopt()
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
