//! Unix datagram sockets.
//!
//! ```text
//!   pair ──────────────► send │ recv │ send_fds │ receive_fds
//!   bind ─┬─► send_to │ recv
//!         └─ connect ─► send │ send_fds
//! ```
//!
//! Rules: as [`super::udp`], and nothing is lost on the way: a sender waits while its peer's queue is full.

use super::PeerCred;
use super::address::RawAddress;
use crate::fd::AsyncFd;
use crate::reactor::Direction;
use crate::sys;
use std::future::Future;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net;
use std::path::Path;

/// A Unix datagram socket (`unix(7)`): whole messages, in order, none lost.
///
/// ```
/// use pleach_executor::{net::UnixDatagram, run};
/// run(async {
///     let (a, b) = UnixDatagram::pair().unwrap();
///     a.send(b"one").await.unwrap();
///     a.send(b"two").await.unwrap();
///     let mut bytes = [0; 16];
///     assert_eq!(b.recv(&mut bytes).await.unwrap(), 3);
/// });
/// ```
#[derive(Debug)]
pub struct UnixDatagram {
    fd: AsyncFd<net::UnixDatagram>,
}

impl UnixDatagram {
    /// The most descriptors that go with one message of [`send_fds`](UnixDatagram::send_fds).
    pub const MAX_FDS: usize = sys::MAX_FDS;

    /// Two sockets connected to each other.
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
        let (a, b) = net::UnixDatagram::pair()?;
        Ok((Self::from_std(a)?, Self::from_std(b)?))
    }

    /// A socket without an address: it can send, and nobody can answer.
    ///
    /// # Errors
    ///
    /// Of `socket(2)` and `epoll_ctl(2)`.
    ///
    /// # Panics
    ///
    /// Outside a run.
    #[track_caller]
    pub fn unbound() -> io::Result<Self> {
        let socket = sys::socket(libc::AF_UNIX, libc::SOCK_DGRAM)?;
        Ok(UnixDatagram { fd: AsyncFd::sole(socket.into())? })
    }

    /// A socket at `path`, which must not exist; nobody removes it afterwards.
    ///
    /// # Errors
    ///
    /// Of `socket(2)`, `bind(2)` and `epoll_ctl(2)`. Kind `InvalidInput` for a path of more than 107 bytes.
    ///
    /// # Panics
    ///
    /// Outside a run.
    #[track_caller]
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        let address = RawAddress::path(path.as_ref())?;
        let this = Self::unbound()?;
        sys::bind(this.as_fd(), address.as_bytes())?;
        Ok(this)
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
    pub fn from_std(socket: net::UnixDatagram) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(UnixDatagram { fd: AsyncFd::sole(socket)? })
    }

    /// Std's socket, for its addresses and options. It is non-blocking.
    ///
    /// # Panics
    ///
    /// In a forked child that inherited it.
    #[must_use]
    #[track_caller]
    pub fn as_std(&self) -> &net::UnixDatagram {
        self.fd.get_ref()
    }

    /// Names the one peer that [`send`](UnixDatagram::send) is for, and the only one to receive from. Does not wait.
    ///
    /// # Errors
    ///
    /// Of `connect(2)`.
    pub fn connect(&self, peer: impl AsRef<Path>) -> io::Result<()> {
        sys::connect(self.as_fd(), RawAddress::path(peer.as_ref())?.as_bytes())
    }

    /// Sends one message to the peer; says how long it was. Waits while the peer's queue is full.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: a cancelled one has not been sent.
    ///
    /// # Errors
    ///
    /// Of `send(2)` (never a SIGPIPE): `EMSGSIZE` if it is too long, `ENOTCONN` without a peer, `ConnectionRefused` if that
    /// is gone. A `Cancelled` as `io::Error`; `ResourceBusy` if another task sends; `NotConnected` after
    /// [`end_waits`](UnixDatagram::end_waits).
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    #[track_caller]
    pub fn send(&self, bytes: &[u8]) -> impl Future<Output = io::Result<usize>> {
        self.fd.io(Direction::Write, |s| sys::send_bytes(s.as_fd(), bytes))
    }

    /// Sends one message to the socket at `peer`, if there is room in its queue.
    ///
    /// # Errors
    ///
    /// Of `sendto(2)`; kind `WouldBlock` if that queue is full: no event tells when it is not, unless it is the peer of
    /// [`connect`](UnixDatagram::connect).
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    #[track_caller]
    pub fn try_send_to(&self, bytes: &[u8], peer: impl AsRef<Path>) -> io::Result<usize> {
        let sent = self.fd.try_whole(Direction::Write, |s| s.send_to(bytes, peer))?;
        sent.ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    /// Receives one message; says how long it was. What has no room in `bytes` is lost, and so are descriptors that came
    /// with it.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: a cancelled one has taken no message.
    ///
    /// # Errors
    ///
    /// Of `recv(2)`; a `Cancelled` as `io::Error`; `ResourceBusy` if another task receives; `NotConnected` after
    /// [`end_waits`](UnixDatagram::end_waits).
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    #[track_caller]
    pub fn recv(&self, bytes: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        self.fd.io(Direction::Read, |s| s.recv(bytes))
    }

    /// The same, with the sender's address: nameless, unless the sender has bound one.
    ///
    /// # Cancellation
    ///
    /// As [`recv`](UnixDatagram::recv).
    ///
    /// # Errors
    ///
    /// As [`recv`](UnixDatagram::recv).
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    #[track_caller]
    pub fn recv_from(&self, bytes: &mut [u8]) -> impl Future<Output = io::Result<(usize, net::SocketAddr)>> {
        self.fd.io(Direction::Read, |s| s.recv_from(bytes))
    }

    /// Sends one message and descriptors with it to the peer.
    ///
    /// # Cancellation
    ///
    /// As [`send`](UnixDatagram::send).
    ///
    /// # Errors
    ///
    /// As [`send`](UnixDatagram::send).
    ///
    /// # Panics
    ///
    /// With more than [`MAX_FDS`](UnixDatagram::MAX_FDS) descriptors. If it belongs to another run.
    #[track_caller]
    pub fn send_fds(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> impl Future<Output = io::Result<usize>> {
        assert!(fds.len() <= Self::MAX_FDS, "at most {} descriptors go with one message", Self::MAX_FDS);
        self.fd.io(Direction::Write, |s| sys::send(s.as_fd(), &[IoSlice::new(bytes)], fds))
    }

    /// Receives one message and the descriptors that came with it, close-on-exec.
    ///
    /// # Cancellation
    ///
    /// As [`recv`](UnixDatagram::recv).
    ///
    /// # Errors
    ///
    /// As [`recv`](UnixDatagram::recv); `EMSGSIZE` if the peer sent more than [`MAX_FDS`](UnixDatagram::MAX_FDS)
    /// descriptors: they are closed and the message is lost.
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    #[track_caller]
    pub fn receive_fds(&self, bytes: &mut [u8]) -> impl Future<Output = io::Result<(usize, Vec<OwnedFd>)>> {
        self.fd.io(Direction::Read, |s| sys::receive(s.as_fd(), bytes))
    }

    /// Who made this pair.
    ///
    /// # Errors
    ///
    /// Of `getsockopt(2)`; of a socket that is not one of a pair the answer means nothing.
    pub fn peer_cred(&self) -> io::Result<PeerCred> {
        PeerCred::of(self.as_fd())
    }

    /// Ends every wait, now and from now on: see [`AsyncFd::end_waits`].
    pub fn end_waits(&self) {
        self.fd.end_waits();
    }
}

impl AsFd for UnixDatagram {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.get_ref().as_fd()
    }
}

impl AsRawFd for UnixDatagram {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.number()
    }
}
