//! Listening sockets, and the loop that accepts into a nursery.
//!
//! ```text
//!   bind ─► Listener ─ accept ─► Stream
//!              └ serve(nursery, handler) ─► accept ─┬─ a connection ─► a child of the nursery
//!                                                   ├─ one that broke before it was taken ─► the next
//!                                                   ├─ out of descriptors or memory ─► a pause, counted; again
//!                                                   └─ else ─► the error
//! ```
//!
//! Rules: what an error of `accept` means is decided in [`verdict`], a pure function. Nothing is retried unseen: every
//! connection that was not taken is counted in [`AcceptStats`].

#[cfg(feature = "stream")]
mod items;
mod verdict;

use super::address::RawAddress;
use super::{Stream, TcpStream, UnixStream};
use crate::error::Failure;
use crate::fd::{AsyncFd, SoleOwner};
use crate::nursery::Nursery;
use crate::reactor::Direction;
use crate::sleep::sleep;
use crate::sys;
use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::SocketAddr as UnixAddr;
use std::path::Path;
use std::time::Duration;
use verdict::{Verdict, verdict};

/// How many connections wait to be accepted, at most, unless the caller or the system (`net.core.somaxconn`) says otherwise.
const BACKLOG: u16 = 1024;

/// How long an accept loop pauses when the process is out of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(100);

/// A socket of std's that [`Listener`] can be made of.
pub trait ListenSocket: SoleOwner + AsFd + sealed::Calls {}

mod sealed {
    use std::io;

    pub trait Calls: Sized {
        /// What accepting gives.
        type Accepted;
        fn accept_now(&self) -> io::Result<Self::Accepted>;
        fn make_nonblocking(&self) -> io::Result<()>;
    }
}

/// A listening socket: a [`TcpListener`] or a [`UnixListener`].
#[derive(Debug)]
pub struct Listener<L: ListenSocket> {
    fd: AsyncFd<L>,
    counts: Cell<AcceptStats>,
}

/// Takes TCP connections. See [`Listener`].
pub type TcpListener = Listener<std::net::TcpListener>;

/// Takes connections to a Unix socket. See [`Listener`].
pub type UnixListener = Listener<std::os::unix::net::UnixListener>;

/// What [`Listener::serve`] has met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AcceptStats {
    /// Connections given to the handler.
    pub accepted: u64,
    /// Connections that broke before they were taken.
    pub aborted: u64,
    /// Pauses because the process or the system was out of descriptors or memory. The connection still waits then, unless
    /// it was its registration (`epoll_ctl(2)`) that found no room: it had been taken by then, and is closed.
    pub exhausted: u64,
}

impl TcpListener {
    /// Listens at `address`; port 0 is one that the system chooses ([`local_addr`](TcpListener::local_addr)).
    ///
    /// The address can be bound although connections of its former user are fading out (`SO_REUSEADDR`), not while
    /// another socket listens there.
    ///
    /// # Errors
    ///
    /// Of `socket(2)`, `bind(2)`, `listen(2)` and `epoll_ctl(2)`: `AddrInUse`, `AddrNotAvailable`, `PermissionDenied`, …
    ///
    /// # Panics
    ///
    /// Outside a run.
    #[track_caller]
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        Self::bind_with_backlog(address, BACKLOG)
    }

    /// The same, with room for at most `backlog` connections that wait to be accepted.
    ///
    /// # Errors
    ///
    /// As [`bind`](TcpListener::bind).
    ///
    /// # Panics
    ///
    /// Outside a run.
    #[track_caller]
    pub fn bind_with_backlog(address: SocketAddr, backlog: u16) -> io::Result<Self> {
        let socket = sys::socket(RawAddress::family(address), libc::SOCK_STREAM)?;
        sys::set_reuse_address(socket.as_fd())?;
        sys::bind(socket.as_fd(), RawAddress::ip(address).as_bytes())?;
        sys::listen(socket.as_fd(), backlog)?;
        Self::from_nonblocking(socket.into())
    }

    /// The address it listens at.
    ///
    /// # Errors
    ///
    /// Of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.fd.get_ref().local_addr()
    }
}

impl UnixListener {
    /// Listens at `path`, which must not exist; nobody removes it afterwards.
    ///
    /// # Errors
    ///
    /// Of `socket(2)`, `bind(2)`, `listen(2)` and `epoll_ctl(2)`: `AddrInUse` if there is something at `path`, also a
    /// socket nobody listens to any more. Kind `InvalidInput` for a path of more than 107 bytes.
    ///
    /// # Panics
    ///
    /// Outside a run.
    #[track_caller]
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        let address = RawAddress::path(path.as_ref())?;
        let socket = sys::socket(libc::AF_UNIX, libc::SOCK_STREAM)?;
        sys::bind(socket.as_fd(), address.as_bytes())?;
        sys::listen(socket.as_fd(), BACKLOG)?;
        Self::from_nonblocking(socket.into())
    }

    /// The address it listens at.
    ///
    /// # Errors
    ///
    /// Of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<UnixAddr> {
        self.fd.get_ref().local_addr()
    }
}

impl<L: ListenSocket> Listener<L> {
    /// Takes over a listening socket of std's; it becomes non-blocking.
    ///
    /// # Errors
    ///
    /// Of `fcntl(2)` and `epoll_ctl(2)`.
    ///
    /// # Panics
    ///
    /// Outside a run.
    #[track_caller]
    pub fn from_std(socket: L) -> io::Result<Self> {
        socket.make_nonblocking()?;
        Self::from_nonblocking(socket)
    }

    #[track_caller]
    fn from_nonblocking(socket: L) -> io::Result<Self> {
        Ok(Listener { fd: AsyncFd::sole(socket)?, counts: Cell::default() })
    }

    /// Std's socket, for its options. It is non-blocking.
    ///
    /// # Panics
    ///
    /// In a forked child that inherited it.
    #[must_use]
    #[track_caller]
    pub fn as_std(&self) -> &L {
        self.fd.get_ref()
    }

    /// The next connection: of TCP the stream and its peer's address, of a Unix socket the stream.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: a cancelled one has taken no connection.
    ///
    /// # Errors
    ///
    /// Of `accept(2)`, whose page names many that leave the listener as good as before: [`serve`](Listener::serve)
    /// knows them. A `Cancelled` as `io::Error`; `ResourceBusy` if another task accepts; `NotConnected` after
    /// [`end_waits`](Listener::end_waits).
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    #[track_caller]
    pub fn accept(&self) -> impl Future<Output = io::Result<L::Accepted>> {
        self.fd.io(Direction::Read, L::accept_now)
    }

    /// Accepts connections, each into a child of `nursery` that runs `handler` with it, until it is cancelled or fails.
    ///
    /// The children are the nursery's: a handler that fails cancels the others and this loop, if that runs in the
    /// nursery too. A handler whose peer may break the connection at will deals with that itself.
    ///
    /// A connection that broke before it was taken is passed over. When the process or the system is out of descriptors or
    /// memory, the loop pauses for 100 ms on the run's clock, the connection being where [`AcceptStats::exhausted`] says. Both
    /// are counted: [`stats`](Listener::stats).
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: a cancelled one has taken no connection that its handler did not get.
    ///
    /// # Errors
    ///
    /// The first error of `accept(2)` that says that the listener itself is of no use; a `Cancelled`.
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    ///
    /// # References
    ///
    /// `accept(2)`, section "Error handling"; trio's `serve_listeners`.
    ///
    /// ```
    /// use pleach_executor::{In, net::{TcpListener, TcpStream}, run};
    /// type Run = In<std::io::Error>;
    ///
    /// run(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    ///     Run::nursery(async |n| {
    ///         n.spawn(async {
    ///             listener.serve(n, async |(stream, _peer): (TcpStream, _)| stream.write_all(b"hello").await).await?;
    ///             Ok(())
    ///         });
    ///         let client = TcpStream::connect(listener.local_addr()?).await?;
    ///         let mut bytes = [0; 5];
    ///         client.read_exact(&mut bytes).await?;
    ///         n.cancel();
    ///         Ok(())
    ///     }).await
    /// }).unwrap();
    /// ```
    pub async fn serve<'s, E, H, F>(
        &self,
        nursery: &'s Nursery<'s, '_, E>,
        mut handler: H,
    ) -> Result<Infallible, E>
    where
        E: Failure + From<io::Error> + 'static,
        H: FnMut(L::Accepted) -> F,
        F: Future<Output = Result<(), E>> + 's,
    {
        loop {
            match self.accept().await {
                Ok(accepted) => {
                    self.count(|c| c.accepted += 1);
                    nursery.spawn(handler(accepted));
                }
                Err(e) => match verdict(&e) {
                    Verdict::Next => self.count(|c| c.aborted += 1),
                    Verdict::Pause => {
                        self.count(|c| c.exhausted += 1);
                        sleep(PAUSE).await?;
                    }
                    Verdict::Fail => return Err(e.into()),
                },
            }
        }
    }

    /// What [`serve`](Listener::serve) has met so far.
    #[must_use]
    pub fn stats(&self) -> AcceptStats {
        self.counts.get()
    }

    fn count(&self, change: impl FnOnce(&mut AcceptStats)) {
        let mut counts = self.counts.get();
        change(&mut counts);
        self.counts.set(counts);
    }

    /// Ends the wait for a connection, now and from now on: see [`AsyncFd::end_waits`].
    pub fn end_waits(&self) {
        self.fd.end_waits();
    }
}

impl sealed::Calls for std::net::TcpListener {
    type Accepted = (TcpStream, SocketAddr);

    fn accept_now(&self) -> io::Result<Self::Accepted> {
        let mut peer = RawAddress::room();
        let (socket, len) = sys::accept(self.as_fd(), peer.as_room())?;
        peer.set_len(len);
        let peer = peer.to_ip()?;
        Ok((Stream::from_nonblocking(socket.into())?, peer))
    }

    fn make_nonblocking(&self) -> io::Result<()> {
        self.set_nonblocking(true)
    }
}

impl ListenSocket for std::net::TcpListener {}

impl sealed::Calls for std::os::unix::net::UnixListener {
    type Accepted = UnixStream;

    fn accept_now(&self) -> io::Result<Self::Accepted> {
        let (socket, _) = sys::accept(self.as_fd(), RawAddress::room().as_room())?;
        Stream::from_nonblocking(socket.into())
    }

    fn make_nonblocking(&self) -> io::Result<()> {
        self.set_nonblocking(true)
    }
}

impl ListenSocket for std::os::unix::net::UnixListener {}

impl<L: ListenSocket> AsFd for Listener<L> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.get_ref().as_fd()
    }
}

impl<L: ListenSocket> AsRawFd for Listener<L> {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.number()
    }
}
