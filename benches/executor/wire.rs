//! What echo runs over: Unix or TCP sockets of std's, which every contender takes over.
//!
//! ```text
//!   server: bind ─► address ─► accept       load: address ─► connect       one thread: pair
//! ```

use nix::sys::socket::{Backlog, listen};
use std::fmt::Debug;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};

/// A stream socket of std's.
pub(crate) trait Wire: Read + Write + AsFd + Debug + Sized + 'static {
    /// Its name on the command line.
    const NAME: &'static str;
    type Listener;

    /// A listener, and where it is reached.
    fn bind() -> (Self::Listener, String);
    fn accept(listener: &Self::Listener) -> Self;
    fn connect(address: &str) -> Self;
    fn nonblocking(&self);

    /// Two ends of one connection.
    fn pair() -> (Self, Self) {
        let (listener, address) = Self::bind();
        let there = Self::connect(&address);
        (there, Self::accept(&listener))
    }
}

impl Wire for UnixStream {
    const NAME: &'static str = "unix";
    type Listener = UnixListener;

    fn bind() -> (UnixListener, String) {
        let path = std::env::temp_dir().join(format!("pleach-bench-{}", std::process::id()));
        let listener = UnixListener::bind(&path).expect("a fresh path");
        (listener, path.into_os_string().into_string().expect("a path of text"))
    }

    fn accept(listener: &UnixListener) -> Self {
        listener.accept().expect("the load connects").0
    }

    fn connect(address: &str) -> Self {
        UnixStream::connect(address).expect("the server listens")
    }

    fn nonblocking(&self) {
        self.set_nonblocking(true).expect("a socket");
    }

    fn pair() -> (Self, Self) {
        UnixStream::pair().expect("two descriptors")
    }
}

impl Wire for TcpStream {
    const NAME: &'static str = "tcp";
    type Listener = TcpListener;

    fn bind() -> (TcpListener, String) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        // std's line is shorter than the clients are quick, and who finds it full tries again a second later.
        listen(&listener, Backlog::MAXCONN).expect("the line of a listener may be made longer");
        let address = listener.local_addr().expect("it is bound").to_string();
        (listener, address)
    }

    fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().expect("the load connects");
        stream.set_nodelay(true).expect("a TCP socket");
        stream
    }

    fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_nodelay(true).expect("a TCP socket");
        stream
    }

    fn nonblocking(&self) {
        self.set_nonblocking(true).expect("a socket");
    }
}
