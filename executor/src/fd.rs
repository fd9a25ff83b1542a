//! Readiness of any descriptor: what pipes, sockets and pidfds are waited for with.
//!
//! ```text
//!   AsyncFd::new(fd) ─► registered once ─► readable().await ─► try the call ─► would block? clear_readable, again
//! ```
//!
//! Rules:
//! * Readiness is an event that is remembered: it holds until [`AsyncFd::clear_readable`] (or `try_io` with
//!   `WouldBlock`) says that it is used up.
//! * Deregistered before it is closed. Inherited by a forked child it forgets itself: the number is not ours there.

use crate::checkpoint::Wait;
use crate::error::Cancelled;
use crate::reactor::{Direction, PollReady, Token};
use crate::runtime::{self, RunKey};
use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::task::{Context, Poll};

/// Why waiting for a descriptor ended without readiness.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadyError {
    /// The scope around the caller is cancelled: hand it back with `?`.
    Cancelled(Cancelled),
    /// Another task waits for the same direction of the same descriptor: give each direction one owner.
    Busy,
}

impl From<Cancelled> for ReadyError {
    fn from(c: Cancelled) -> Self {
        ReadyError::Cancelled(c)
    }
}

impl From<ReadyError> for io::Error {
    fn from(e: ReadyError) -> Self {
        match e {
            ReadyError::Cancelled(c) => c.into(),
            e @ ReadyError::Busy => io::Error::new(io::ErrorKind::ResourceBusy, e),
        }
    }
}

impl fmt::Display for ReadyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadyError::Cancelled(c) => c.fmt(f),
            ReadyError::Busy => f.write_str("another task waits for this direction of this descriptor"),
        }
    }
}

impl std::error::Error for ReadyError {}

/// A descriptor whose readiness can be awaited. It owns what it is made of, and closes it on drop.
///
/// The descriptor's flags stay as they are: one that blocks may be used right after it was said to be ready, once.
///
/// ```
/// use pleach_executor::{fd::AsyncFd, run};
/// use std::io::{Read, Write};
/// run(async {
///     let (reader, mut writer) = std::io::pipe().unwrap();
///     let reader = AsyncFd::new(reader).unwrap();
///     writer.write_all(b"x").unwrap();
///     reader.readable().await.unwrap();
///     assert_eq!(reader.get_ref().read(&mut [0; 8]).unwrap(), 1);
/// });
/// ```
pub struct AsyncFd<T: AsFd> {
    /// `None` only while it is being taken apart.
    inner: Option<T>,
    token: Token,
    run: RunKey,
    waits: Cell<u64>,
}

impl<T: AsFd> AsyncFd<T> {
    /// Registers a descriptor with the active run.
    ///
    /// # Errors
    ///
    /// Of `epoll_ctl(2)`: `EPERM` for a regular file, which is always ready and cannot be waited for.
    ///
    /// # Panics
    ///
    /// Outside a run.
    #[track_caller]
    pub fn new(inner: T) -> io::Result<Self> {
        let run = runtime::run_key();
        let fd = inner.as_fd().as_raw_fd();
        let token = runtime::with_reactor(|r| r.register(fd, true))??;
        Ok(AsyncFd { inner: Some(inner), token, run, waits: Cell::new(0) })
    }

    /// The same for a descriptor that may still be in blocking mode: makes it non-blocking first.
    ///
    /// The mode belongs to the open file description: whoever shares it, by `dup` or by inheritance, sees it too.
    ///
    /// # Errors
    ///
    /// Of `fcntl(2)` and `epoll_ctl(2)`.
    ///
    /// # Panics
    ///
    /// Outside a run.
    #[track_caller]
    pub fn nonblocking(inner: T) -> io::Result<Self> {
        crate::sys::set_nonblocking(inner.as_fd())?;
        Self::new(inner)
    }

    /// Does a read, waiting until it does not say `WouldBlock`. For descriptors in non-blocking mode.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: a cancelled one has not been done.
    ///
    /// # Errors
    ///
    /// Of `op`; a `Cancelled` as `io::Error`; `ResourceBusy` if another task reads.
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    pub async fn read_with<R>(&self, op: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.io(Direction::Read, op).await
    }

    /// Does a write, waiting until it does not say `WouldBlock`. For descriptors in non-blocking mode.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: a cancelled one has not been done.
    ///
    /// # Errors
    ///
    /// Of `op`; a `Cancelled` as `io::Error`; `ResourceBusy` if another task writes.
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    pub async fn write_with<R>(&self, op: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.io(Direction::Write, op).await
    }

    /// What it is made of.
    ///
    /// # Panics
    ///
    /// In a forked child that inherited it without a grant: the number is closed there, and may be anybody's.
    #[track_caller]
    pub fn get_ref(&self) -> &T {
        self.require_epoch();
        self.inner()
    }

    fn inner(&self) -> &T {
        self.inner.as_ref().expect("there until it is taken apart")
    }

    #[track_caller]
    fn require_epoch(&self) {
        assert!(
            runtime::is_current_epoch(self.run),
            "this descriptor belongs to {}, and was used in fork epoch {}: grant it to the child to use it there",
            self.run,
            runtime::epoch()
        );
    }

    /// Its number, whatever the epoch: for handing it to a forked child, and for taking it up there.
    pub fn number(&self) -> RawFd {
        self.inner().as_fd().as_raw_fd()
    }

    /// Gives it back, deregistered.
    ///
    /// # Panics
    ///
    /// As [`get_ref`](AsyncFd::get_ref).
    #[must_use]
    #[track_caller]
    pub fn into_inner(mut self) -> T {
        self.require_epoch();
        self.deregister();
        self.inner.take().expect("there until it is taken apart")
    }

    /// In a forked child, for a value that was granted to it: registers the inherited number with this process' run.
    ///
    /// # Errors
    ///
    /// Of `epoll_ctl(2)`.
    ///
    /// # Panics
    ///
    /// Outside a run.
    pub fn adopt(&mut self) -> io::Result<()> {
        let run = runtime::run_key();
        let fd = self.number();
        self.token = runtime::with_reactor(|r| r.register(fd, true))??;
        self.run = run;
        Ok(())
    }

    /// Waits until it can be read, or has hung up or broken, which reading finds out.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict.
    ///
    /// # Errors
    ///
    /// [`ReadyError::Busy`] if another task waits to read it.
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    pub async fn readable(&self) -> Result<(), ReadyError> {
        self.ready(Direction::Read).await
    }

    /// Waits until it can be written, or has hung up or broken, which writing finds out.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict.
    ///
    /// # Errors
    ///
    /// [`ReadyError::Busy`] if another task waits to write it.
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    pub async fn writable(&self) -> Result<(), ReadyError> {
        self.ready(Direction::Write).await
    }

    /// Says that a read would have blocked: it is not readable until the next event.
    pub fn clear_readable(&self) {
        self.clear(Direction::Read);
    }

    /// Says that a write would have blocked: it is not writable until the next event.
    pub fn clear_writable(&self) {
        self.clear(Direction::Write);
    }

    async fn ready(&self, direction: Direction) -> Result<(), ReadyError> {
        self.io(direction, |_| Ok(())).await.map_err(|e| match e.downcast::<Cancelled>() {
            Ok(c) => ReadyError::Cancelled(c),
            Err(_) => ReadyError::Busy,
        })
    }

    fn clear(&self, direction: Direction) {
        runtime::if_reactor(|r| r.clear_ready(self.token, direction));
    }

    /// Does `op` when the direction is ready, again until it does not say `WouldBlock`.
    pub(crate) async fn io<R>(
        &self,
        direction: Direction,
        mut op: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        runtime::require_run(self.run, "descriptor");
        let waiting = Waiting { fd: self, direction, wait: self.waits.get() };
        self.waits.set(waiting.wait + 1);
        let mut wait = Wait::new();
        poll_fn(|cx| wait.poll(cx, |cx| waiting.attempt(cx, &mut op))).await?
    }

    /// Does `op` at once, without waiting; `None` if it would block.
    pub(crate) fn try_io<R>(
        &self,
        direction: Direction,
        op: impl FnOnce(&T) -> io::Result<R>,
    ) -> io::Result<Option<R>> {
        match op(self.get_ref()) {
            Ok(r) => Ok(Some(r)),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                self.clear(direction);
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    fn deregister(&self) {
        if !runtime::is_current_epoch(self.run) {
            return;
        }
        let mut waiters = [None, None];
        runtime::if_reactor(|r| waiters = r.deregister(self.token));
        waiters.into_iter().flatten().for_each(std::task::Waker::wake);
    }
}

/// One wait for one direction; leaves the reactor when it is over.
struct Waiting<'a, T: AsFd> {
    fd: &'a AsyncFd<T>,
    direction: Direction,
    wait: u64,
}

impl<T: AsFd> Waiting<'_, T> {
    fn attempt<R>(
        &self,
        cx: &mut Context<'_>,
        op: &mut impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            let polled =
                runtime::with_reactor(|r| r.poll_ready(self.fd.token, self.direction, self.wait, cx.waker()));
            let (ready, before) = match polled {
                Ok(polled) => polled,
                Err(e) => return Poll::Ready(Err(e)),
            };
            drop(before);
            match ready {
                PollReady::Pending => return Poll::Pending,
                PollReady::Busy => return Poll::Ready(Err(ReadyError::Busy.into())),
                PollReady::Gone => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
                PollReady::Ready => match op(self.fd.get_ref()) {
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.fd.clear(self.direction),
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    r => return Poll::Ready(r),
                },
            }
        }
    }
}

impl<T: AsFd> Drop for Waiting<'_, T> {
    fn drop(&mut self) {
        if runtime::is_current_epoch(self.fd.run) {
            let mut waker = None;
            runtime::if_reactor(|r| waker = r.leave(self.fd.token, self.direction, self.wait));
            drop(waker);
        }
    }
}

impl<T: AsFd> Drop for AsyncFd<T> {
    fn drop(&mut self) {
        // A forked child's prelude has closed this number; what it names there now is somebody else's.
        if !runtime::is_current_epoch(self.run) {
            std::mem::forget(self.inner.take());
        } else if self.inner.is_some() {
            self.deregister();
        }
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for AsyncFd<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncFd").field("inner", &self.inner).field("token", &self.token).finish()
    }
}
