//! A Unix stream socket as a transport: readiness apart from the call. (`unix(7)`)
//!
//! ```text
//!   readable().await ─► try_read: n bytes │ nothing there │ the end
//!   writable().await ─► try_write: n bytes │ no room
//! ```
//!
//! The bytes of a connection live in its channel's buffers, to which others may append between two polls: so nothing
//! here holds a borrow of them while it waits.
//!
//! Rules:
//! * A peer that is gone with bytes unread is at its end like any other: `ECONNRESET` on reading is an end. What it had
//!   written before comes first, the kernel sees to that.

use pleach_executor::fd::{AsyncFd, ReadyError};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;

/// A connected, non-blocking Unix stream socket.
#[derive(Debug)]
pub struct Uds {
    fd: AsyncFd<UnixStream>,
}

impl Uds {
    /// Takes over a socket; it becomes non-blocking.
    ///
    /// # Errors
    ///
    /// Of `fcntl(2)` and `epoll_ctl(2)`.
    ///
    /// # Panics
    ///
    /// Outside a run.
    #[track_caller]
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Uds { fd: AsyncFd::sole(stream)? })
    }

    /// Gives the socket back, non-blocking as it is.
    #[must_use]
    pub fn into_std(self) -> UnixStream {
        self.fd.into_inner()
    }

    /// Waits until there is something to read, an end included.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict.
    ///
    /// # Errors
    ///
    /// [`ReadyError::Busy`] if another task waits for it.
    pub async fn readable(&self) -> Result<(), ReadyError> {
        self.fd.readable().await
    }

    /// Waits until there is room to write, or writing fails.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict.
    ///
    /// # Errors
    ///
    /// [`ReadyError::Busy`] if another task waits for it.
    pub async fn writable(&self) -> Result<(), ReadyError> {
        self.fd.writable().await
    }

    /// Reads what is there. `None`: nothing yet; 0: the end.
    ///
    /// # Errors
    ///
    /// Of `recv(2)`, without `EAGAIN`, `EINTR` and `ECONNRESET`.
    pub fn try_read(&self, bytes: &mut [u8]) -> io::Result<Option<usize>> {
        match again(|| self.fd.get_ref().read(bytes)) {
            Ok(n) => {
                // A link carries neither credentials nor descriptors, so this was all there is.
                if 0 < n && n < bytes.len() {
                    self.fd.clear_readable_after_short_read();
                }
                Ok(Some(n))
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                self.fd.clear_readable();
                Ok(None)
            }
            Err(e) if e.kind() == ErrorKind::ConnectionReset => Ok(Some(0)),
            Err(e) => Err(e),
        }
    }

    /// Writes what there is room for. `None`: no room.
    ///
    /// # Errors
    ///
    /// Of `send(2)`, without `EAGAIN` and `EINTR`. Never a SIGPIPE.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<Option<usize>> {
        match again(|| self.fd.get_ref().write(bytes)) {
            Ok(n) => Ok(Some(n)),
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                self.fd.clear_writable();
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    /// The peer sees the end of the stream after what was written.
    ///
    /// # Errors
    ///
    /// Of `shutdown(2)`.
    pub fn close_write(&self) -> io::Result<()> {
        self.fd.get_ref().shutdown(Shutdown::Write)
    }
}

/// Until no signal interrupts it.
fn again(mut op: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match op() {
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

impl AsFd for Uds {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.get_ref().as_fd()
    }
}

impl AsRawFd for Uds {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.get_ref().as_raw_fd()
    }
}
