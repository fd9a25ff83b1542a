//! UDP sockets.
//!
//! ```text
//!   bind ─┬─► send_to │ recv_from            any peer
//!         └─ connect ─► send │ recv          one peer; its "port unreachable" is an error here
//! ```
//!
//! Rules: all operations take `&self`: one task may receive while another sends. One message is one operation: sent or
//! received whole or not at all; what has no room in the caller's bytes is cut off.

use super::address::RawAddress;
use crate::fd::AsyncFd;
use crate::reactor::Direction;
use crate::sys;
use std::future::Future;
use std::io;
use std::net::{self, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

/// A UDP socket (`udp(7)`).
///
/// ```
/// use pleach_executor::{net::UdpSocket, run};
/// run(async {
///     let any = "127.0.0.1:0".parse().unwrap();
///     let (a, b) = (UdpSocket::bind(any).unwrap(), UdpSocket::bind(any).unwrap());
///     a.send_to(b"hello", b.local_addr().unwrap()).await.unwrap();
///     let mut bytes = [0; 16];
///     assert_eq!(b.recv_from(&mut bytes).await.unwrap(), (5, a.local_addr().unwrap()));
/// });
/// ```
#[derive(Debug)]
pub struct UdpSocket {
    fd: AsyncFd<net::UdpSocket>,
}

impl UdpSocket {
    /// A socket at `address`; port 0 is one that the system chooses.
    ///
    /// # Errors
    ///
    /// Of `socket(2)`, `bind(2)` and `epoll_ctl(2)`: `AddrInUse`, `AddrNotAvailable`, `PermissionDenied`, …
    ///
    /// # Panics
    ///
    /// Outside a run.
    #[track_caller]
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = sys::socket(RawAddress::family(address), libc::SOCK_DGRAM)?;
        sys::bind(socket.as_fd(), RawAddress::ip(address).as_bytes())?;
        Ok(UdpSocket { fd: AsyncFd::sole(socket.into())? })
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
    pub fn from_std(socket: net::UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(UdpSocket { fd: AsyncFd::sole(socket)? })
    }

    /// Std's socket, for its options: time to live, broadcast, multicast groups. It is non-blocking.
    ///
    /// # Panics
    ///
    /// In a forked child that inherited it.
    #[must_use]
    #[track_caller]
    pub fn as_std(&self) -> &net::UdpSocket {
        self.fd.get_ref()
    }

    /// Names the one peer that [`send`](UdpSocket::send) and [`recv`](UdpSocket::recv) are for. Does not wait: nothing is
    /// sent.
    ///
    /// # Errors
    ///
    /// Of `connect(2)`.
    pub fn connect(&self, peer: SocketAddr) -> io::Result<()> {
        sys::connect(self.as_fd(), RawAddress::ip(peer).as_bytes())
    }

    /// The address of this socket.
    ///
    /// # Errors
    ///
    /// Of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.fd.get_ref().local_addr()
    }

    /// Sends one message to `peer`; says how long it was.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: a cancelled one has not been sent.
    ///
    /// # Errors
    ///
    /// Of `sendto(2)`: `EMSGSIZE` if it is too long for one message. A `Cancelled` as `io::Error`; `ResourceBusy` if another
    /// task sends; `NotConnected` after [`end_waits`](UdpSocket::end_waits).
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    #[track_caller]
    pub fn send_to(&self, bytes: &[u8], peer: SocketAddr) -> impl Future<Output = io::Result<usize>> {
        self.fd.io(Direction::Write, move |s| s.send_to(bytes, peer))
    }

    /// Receives one message; says how long it was, and whose. What has no room in `bytes` is lost.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: a cancelled one has taken no message.
    ///
    /// # Errors
    ///
    /// Of `recvfrom(2)`. A `Cancelled` as `io::Error`; `ResourceBusy` if another task receives; `NotConnected` after
    /// [`end_waits`](UdpSocket::end_waits).
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    #[track_caller]
    pub fn recv_from(&self, bytes: &mut [u8]) -> impl Future<Output = io::Result<(usize, SocketAddr)>> {
        self.fd.io(Direction::Read, |s| s.recv_from(bytes))
    }

    /// Sends one message to the peer named by [`connect`](UdpSocket::connect); says how long it was.
    ///
    /// # Cancellation
    ///
    /// As [`send_to`](UdpSocket::send_to).
    ///
    /// # Errors
    ///
    /// As [`send_to`](UdpSocket::send_to); `EDESTADDRREQ` without a peer; `ConnectionRefused` if it has answered an earlier
    /// one so.
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    #[track_caller]
    pub fn send(&self, bytes: &[u8]) -> impl Future<Output = io::Result<usize>> {
        self.fd.io(Direction::Write, |s| s.send(bytes))
    }

    /// Receives one message of the peer; says how long it was. What has no room in `bytes` is lost.
    ///
    /// # Cancellation
    ///
    /// As [`recv_from`](UdpSocket::recv_from).
    ///
    /// # Errors
    ///
    /// As [`recv_from`](UdpSocket::recv_from); `ConnectionRefused` if the peer has answered so.
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    #[track_caller]
    pub fn recv(&self, bytes: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        self.fd.io(Direction::Read, |s| s.recv(bytes))
    }

    /// Ends every wait, now and from now on: see [`AsyncFd::end_waits`].
    pub fn end_waits(&self) {
        self.fd.end_waits();
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.get_ref().as_fd()
    }
}

impl AsRawFd for UdpSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.number()
    }
}
