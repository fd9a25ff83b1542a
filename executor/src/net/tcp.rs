//! TCP streams: how they come to be, and what only they have.
//!
//! ```text
//!   socket ─ connect ─ EINPROGRESS ─► writable ─► SO_ERROR? ─► connected? ─► Stream<std's TcpStream>
//! ```
//!
//! Rules: those of [`super::stream`]. A connection that was never made is an error of `connect`, not of the first write.

use super::address::RawAddress;
use super::along::Along;
use super::stream::sealed::Calls;
use super::stream::{Stream, StreamSocket};
use crate::fd::AsyncFd;
use crate::sys;
use std::io::{self, IoSliceMut, Read};
use std::net::{self, Shutdown, SocketAddr};
use std::os::fd::AsFd;

/// A TCP connection (`tcp(7)`).
///
/// ```
/// use pleach_executor::{In, net::{TcpListener, TcpStream}, run};
/// type Run = In<std::io::Error>;
///
/// run(Run::nursery(async |n| {
///     let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
///     let address = listener.local_addr()?;
///     n.spawn(async move {
///         let (stream, _peer) = listener.accept().await?;
///         let mut bytes = [0; 5];
///         stream.read_exact(&mut bytes).await?;
///         stream.write_all(&bytes).await
///     });
///     let stream = TcpStream::connect(address).await?;
///     stream.write_all(b"hello").await?;
///     let mut answer = [0; 5];
///     stream.read_exact(&mut answer).await?;
///     assert_eq!(&answer, b"hello");
///     Ok(())
/// })).unwrap();
/// ```
pub type TcpStream = Stream<net::TcpStream>;

impl TcpStream {
    /// Connects to `address`.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: a cancelled connection has been given up, and its socket is closed.
    ///
    /// # Errors
    ///
    /// Of `socket(2)` and `connect(2)`, those told by `SO_ERROR` included: `ConnectionRefused`, `TimedOut`,
    /// `HostUnreachable`, `NetworkUnreachable`, … A `Cancelled` as `io::Error`.
    ///
    /// # Panics
    ///
    /// Outside a run.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        crate::check()?;
        let socket = sys::socket(RawAddress::family(address), libc::SOCK_STREAM)?;
        match sys::connect(socket.as_fd(), RawAddress::ip(address).as_bytes()) {
            // EINTR: it goes on in the background (`connect(2)`).
            Err(e) if !matches!(e.raw_os_error(), Some(libc::EINPROGRESS | libc::EINTR)) => return Err(e),
            _ => {}
        }
        let fd = AsyncFd::sole(net::TcpStream::from(socket))?;
        loop {
            fd.writable().await?;
            if let Some(e) = fd.get_ref().take_error()? {
                return Err(e);
            }
            match fd.get_ref().peer_addr() {
                Ok(_) => return Ok(Stream::from_fd(fd)),
                // Readiness is a hint: it is under way still.
                Err(e) if e.kind() == io::ErrorKind::NotConnected => fd.clear_writable(),
                Err(e) => return Err(e),
            }
        }
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// Of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.fd.get_ref().local_addr()
    }

    /// The address of the other end.
    ///
    /// # Errors
    ///
    /// Of `getpeername(2)`; `NotConnected` if the peer has broken the connection.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.fd.get_ref().peer_addr()
    }

    /// Sends small writes at once, instead of waiting whether more comes (`TCP_NODELAY` in `tcp(7)`). Off in a new socket.
    ///
    /// # Errors
    ///
    /// Of `setsockopt(2)`.
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        self.fd.get_ref().set_nodelay(on)
    }
}

impl Calls for net::TcpStream {
    fn receive(&self, bytes: &mut [u8], _along: Along) -> io::Result<(usize, bool)> {
        (&mut &*self).read(bytes).map(|n| (n, false))
    }

    fn receive_vectored(&self, parts: &mut [IoSliceMut<'_>], _along: Along) -> io::Result<(usize, bool)> {
        (&mut &*self).read_vectored(parts).map(|n| (n, false))
    }

    fn end(&self, how: Shutdown) -> io::Result<()> {
        self.shutdown(how)
    }

    fn make_nonblocking(&self) -> io::Result<()> {
        self.set_nonblocking(true)
    }
}

impl StreamSocket for net::TcpStream {}
