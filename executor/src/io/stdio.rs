//! The three standard streams.
//!
//! ```text
//!   0, 1, 2 ─┬─ a terminal ─ opened once more, non-blocking ─► ours alone
//!            ├─ a pipe, a socket ─► as it is; each call says that it must not wait
//!            └─ a file, /dev/null ─► always ready: the call itself, at once
//! ```
//!
//! Rules:
//! * **Not Ours**: whether a description blocks is a property that all processes share which have inherited it, the shell
//!   among them. It is never changed here.
//! * Nothing is closed here but what was opened here, and nothing is buffered: what std has buffered of the same stream comes
//!   before or after, as it was flushed.
//! * Where the system can neither open the terminal again (it is another user's) nor make a call that does not wait (an old
//!   kernel, a named pipe), a call is made when `poll(2)` says that it will not wait. If another process takes what was there
//!   in between, the thread waits with it.

use super::{ReadBytes, WriteBytes};
use crate::checkpoint::cancellable;
use crate::fd::{AsyncFd, ReadyError};
use crate::reactor::Direction;
use crate::sys::{self, Patience};
use crate::waits::Waits;
use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::task::Poll;

/// How much is written at once where a call may wait: what a pipe that is said to have room has room for (`PIPE_BUF`).
const SURELY_FITS: usize = 4096;

/// How a standard stream is used without holding the thread.
#[derive(Debug)]
enum Way<H: AsFd> {
    /// A terminal, opened again: non-blocking, and ours alone.
    Own(AsyncFd<File>),
    /// As it was inherited.
    Inherited(AsyncFd<H>),
    /// Never to be waited for.
    Always(H),
}

#[derive(Debug)]
struct Standard<H: AsFd> {
    way: Way<H>,
    ended: Cell<bool>,
}

impl<H: AsFd + IsTerminal> Standard<H> {
    #[track_caller]
    fn open(stream: H, direction: Direction) -> io::Result<Self> {
        let again = if stream.is_terminal() { open_again(stream.as_fd(), direction).ok() } else { None };
        let way = match again {
            Some(own) => Way::Own(AsyncFd::sole(own)?),
            None if is_always_ready(stream.as_fd())? => Way::Always(stream),
            None => Way::Inherited(AsyncFd::new(stream)?),
        };
        Ok(Standard { way, ended: Cell::new(false) })
    }

    async fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        let nothing = bytes.is_empty();
        match &self.way {
            Way::Own(fd) => {
                fd.io_unless(nothing, Direction::Read, |f| sys::read(f.as_fd(), bytes, Patience::AsItIs))
                    .await
            }
            Way::Inherited(fd) => {
                fd.io_unless(nothing, Direction::Read, |h| {
                    at_once(h.as_fd(), Direction::Read, |fd, patience| sys::read(fd, bytes, patience))
                })
                .await
            }
            Way::Always(h) => ready(|| sys::read(h.as_fd(), bytes, Patience::AsItIs)).await,
        }
    }

    async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        if self.ended.get() {
            // A checkpoint as well: a loop over refusals can be cancelled.
            return ready(|| Err(ReadyError::Closed.into())).await;
        }
        let nothing = bytes.is_empty();
        let (write, all) = (Direction::Write, Patience::AsItIs);
        match &self.way {
            Way::Own(fd) => fd.io_unless(nothing, write, |f| sys::write(f.as_fd(), bytes, all)).await,
            Way::Inherited(fd) => {
                fd.io_unless(nothing, write, |h| {
                    at_once(h.as_fd(), write, |fd, patience| match patience {
                        Patience::None => sys::write(fd, bytes, patience),
                        Patience::AsItIs => sys::write(fd, &bytes[..bytes.len().min(SURELY_FITS)], patience),
                    })
                })
                .await
            }
            Way::Always(h) => ready(|| sys::write(h.as_fd(), bytes, all)).await,
        }
    }
}

/// Opens the file behind a descriptor once more, non-blocking.
fn open_again(fd: BorrowedFd<'_>, direction: Direction) -> io::Result<File> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let mut options = OpenOptions::new();
    options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    match direction {
        Direction::Read => options.read(true),
        Direction::Write => options.write(true),
    };
    options.open(path)
}

/// Can this not be waited for, because it never has to be? What epoll says, without keeping the registration.
#[track_caller]
fn is_always_ready(fd: BorrowedFd<'_>) -> io::Result<bool> {
    match AsyncFd::new(fd) {
        Ok(_registered) => Ok(false),
        Err(e) if e.kind() == io::ErrorKind::Unsupported => Ok(true),
        Err(e) => Err(e),
    }
}

/// Does a call that must not wait; where it cannot say so itself, only if `poll(2)` says that it will not.
fn at_once(
    fd: BorrowedFd<'_>,
    direction: Direction,
    mut call: impl FnMut(BorrowedFd<'_>, Patience) -> io::Result<usize>,
) -> io::Result<usize> {
    match call(fd, Patience::None) {
        Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP) => {}
        r => return r,
    }
    if !sys::is_ready(fd, direction)? {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    call(fd, Patience::AsItIs)
}

/// An operation that is always ready.
async fn ready<R>(op: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
    cancellable(Waits::Other, |_| Poll::Ready(())).await?;
    op()
}

/// The process' standard input.
///
/// The stream itself stays as it is, because other processes share it. A terminal is opened once more; a regular file is read
/// at once, for as long as that takes. There can be several in a run only of a terminal or a file.
#[derive(Debug)]
pub struct Stdin(Standard<io::Stdin>);

/// The standard input of the process, to be read without blocking the thread.
///
/// # Errors
///
/// Of `epoll_ctl(2)`: `EEXIST` if there is one already. A process that was begun without this stream has an empty one
/// in its place.
///
/// # Panics
///
/// Outside a run.
#[track_caller]
pub fn stdin() -> io::Result<Stdin> {
    Standard::open(io::stdin(), Direction::Read).map(Stdin)
}

impl Stdin {
    /// Reads what is there, at least one byte; 0 is the end, or there was no room.
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
        self.0.read(bytes).await
    }
}

impl ReadBytes for Stdin {
    async fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes).await
    }
}

/// The process' standard output, or its error output.
///
/// The stream itself stays as it is, because other processes share it. A terminal is opened once more; a regular file is
/// written at once, for as long as that takes. There can be several of one stream in a run only of a terminal or a file.
#[derive(Debug)]
pub struct Stdout(Output);

#[derive(Debug)]
enum Output {
    Out(Standard<io::Stdout>),
    Err(Standard<io::Stderr>),
}

/// The standard output of the process, to be written without blocking the thread.
///
/// # Errors
///
/// Of `epoll_ctl(2)`: `EEXIST` if there is one already. What a process that was begun without this stream writes fails
/// with `EBADF`.
///
/// # Panics
///
/// Outside a run.
#[track_caller]
pub fn stdout() -> io::Result<Stdout> {
    Ok(Stdout(Output::Out(Standard::open(io::stdout(), Direction::Write)?)))
}

/// The standard error output of the process, to be written without blocking the thread.
///
/// # Errors
///
/// As [`stdout`].
///
/// # Panics
///
/// Outside a run.
#[track_caller]
pub fn stderr() -> io::Result<Stdout> {
    Ok(Stdout(Output::Err(Standard::open(io::stderr(), Direction::Write)?)))
}

impl Stdout {
    /// Writes as much as there is room for, at least one byte unless `bytes` is empty; says how much.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: a cancelled write has written nothing.
    ///
    /// # Errors
    ///
    /// Of `write(2)`: kind `BrokenPipe` if nobody can read any more (and a SIGPIPE, which Rust's programs ignore unless told
    /// otherwise). A `Cancelled` as `io::Error`; `ResourceBusy` if another task writes; `NotConnected` after `send_eof`.
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Output::Out(s) => s.write(bytes).await,
            Output::Err(s) => s.write(bytes).await,
        }
    }
}

impl WriteBytes for Stdout {
    async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        Stdout::write(self, bytes).await
    }

    /// Refuses further writes. The stream itself stays open: it is the process', not ours.
    fn send_eof(&self) -> io::Result<()> {
        match &self.0 {
            Output::Out(s) => s.ended.set(true),
            Output::Err(s) => s.ended.set(true),
        }
        Ok(())
    }
}
