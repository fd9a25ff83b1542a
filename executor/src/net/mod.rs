//! Sockets.
//!
//! ```text
//!   AsyncFd (readiness) ─┐      stream: Stream<S> ─┬─ tcp: TcpStream        listener: Listener<L> ─┬─ TcpListener
//!   sys (the calls)     ─┴─►                       └─ unix: UnixStream        └ serve: accept loop └─ UnixListener
//!   connect: which of several addresses answers first       udp: UdpSocket       datagram: UnixDatagram
//! ```
//!
//! Options that are set once and never wait (time to live, multicast groups, buffer sizes) are on std's sockets: see
//! `as_std` of each type.

mod address;
mod along;
mod connect;
mod datagram;
mod listener;
mod stream;
mod tcp;
mod udp;
mod unix;

pub use connect::{ATTEMPT_DELAY, ConnectError, connect_first};
pub use datagram::UnixDatagram;
pub use listener::{AcceptStats, ListenSocket, Listener, TcpListener, UnixListener};
pub use stream::{Stream, StreamSocket};
pub use tcp::TcpStream;
pub use udp::UdpSocket;
pub use unix::{PeerCred, UnixStream};
