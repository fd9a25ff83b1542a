//! Readiness of any descriptor: what pipes, sockets and pidfds are waited for with.
//!
//! ```text
//!   AsyncFd::new(fd) ─► registered once ─► readable().await ─► try the call ─► would block? clear_readable, again
//!                                                └ or try_io: the call and the clearing in one
//! ```
//!
//! Rules:
//! * Readiness is an event that is remembered: it holds until [`AsyncFd::clear_readable`] (or [`AsyncFd::try_io`] with
//!   `WouldBlock`) says that it is used up. It may be false: another process can have taken what was there.
//! * **One Owner Each Way**: whoever waits for a direction has claimed it until its operation ends, also while it is
//!   woken and has not been polled: a second one is told `Busy`, and never gets in between.
//! * Deregistered before it is closed.
//! * **One Run**: a token means something to the reactor of its run only. Operations panic elsewhere; destructors leave
//!   a reactor that is not theirs alone.
//! * **Forgets Itself**: inherited by a forked child it closes nothing. The child's prelude has closed the number, and
//!   what it names now is somebody else's.

mod error;
mod owner;
mod wait;

pub use crate::reactor::Direction;
pub use error::ReadyError;
pub use owner::SoleOwner;

use crate::reactor::{Asks, Reactor, Source};
use crate::runtime::{self, RunKey};
use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::rc::Rc;
#[cfg(feature = "stream")]
pub(crate) use wait::Reads;
use wait::{Claims, Operation};

/// A descriptor whose readiness can be awaited. It owns what it is made of, and closes it on drop.
///
/// The descriptor's flags stay as they are: one that blocks may be used right after it was said to be ready, once.
///
/// A type without a destructor (`BorrowedFd`, `&File`) does not own its descriptor: then the number stays open in a
/// forked child, as its owner's. Every other type is taken to own it.
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
    source: Rc<Source>,
    run: RunKey,
    /// Is `inner` the only owner of the number?
    sole: bool,
    claims: Claims,
}

impl<T: AsFd> AsyncFd<T> {
    /// Registers a descriptor with the active run.
    ///
    /// # Errors
    ///
    /// Of `epoll_ctl(2)`, at once: `EBADF` for a closed number, `EEXIST` for one that is registered already. Kind
    /// `Unsupported` for a regular file or a directory: these are always ready and cannot be waited for. `inner` is
    /// dropped then.
    ///
    /// # Panics
    ///
    /// Outside a run.
    #[track_caller]
    pub fn new(inner: T) -> io::Result<Self> {
        Self::register_new(inner, false)
    }

    #[track_caller]
    fn register_new(inner: T, sole: bool) -> io::Result<Self> {
        let run = runtime::run_key();
        let source = register(&inner, sole)?;
        Ok(AsyncFd { inner: Some(inner), source, run, sole, claims: Claims::default() })
    }

    /// The same for a value that is the only owner of its descriptor. A forked child then closes the number at once,
    /// while of any other value it keeps the number covered, because somebody may still believe to own it.
    ///
    /// # Errors
    ///
    /// As [`new`](AsyncFd::new).
    ///
    /// # Panics
    ///
    /// Outside a run.
    #[track_caller]
    pub fn sole(inner: T) -> io::Result<Self>
    where
        T: SoleOwner,
    {
        Self::register_new(inner, true)
    }

    /// The same for a descriptor that may still be in blocking mode: makes it non-blocking first.
    ///
    /// The mode belongs to the open file description: whoever shares it, by `dup` or by inheritance, sees it too.
    ///
    /// # Errors
    ///
    /// Of `fcntl(2)`; else as [`AsyncFd::new`].
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
    /// Of `op`; a `Cancelled` as `io::Error`; `ResourceBusy` if another task reads; `NotConnected` after
    /// [`AsyncFd::end_waits`].
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    #[track_caller]
    pub fn read_with<R>(&self, op: impl FnMut(&T) -> io::Result<R>) -> impl Future<Output = io::Result<R>> {
        self.io(Direction::Read, op)
    }

    /// Does a write, waiting until it does not say `WouldBlock`. For descriptors in non-blocking mode.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: a cancelled one has not been done.
    ///
    /// # Errors
    ///
    /// Of `op`; a `Cancelled` as `io::Error`; `ResourceBusy` if another task writes; `NotConnected` after
    /// [`AsyncFd::end_waits`].
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    #[track_caller]
    pub fn write_with<R>(&self, op: impl FnMut(&T) -> io::Result<R>) -> impl Future<Output = io::Result<R>> {
        self.io(Direction::Write, op)
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
    /// In the run it belongs to it does nothing.
    ///
    /// # Errors
    ///
    /// As [`AsyncFd::new`]. Then it stays what it was: inherited, and forgotten on drop.
    ///
    /// # Panics
    ///
    /// Outside a run.
    #[track_caller]
    pub fn adopt(&mut self) -> io::Result<()> {
        let run = runtime::run_key();
        if run != self.run {
            self.source = register(self.inner(), self.sole)?;
            self.run = run;
            // Waits of the other run are no more: whoever has it mutably holds none of them.
            self.claims = Claims::default();
        }
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
    #[track_caller]
    pub fn readable(&self) -> impl Future<Output = Result<(), ReadyError>> {
        self.wait(Direction::Read, Asks::WhetherReady, |_| Ok(()))
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
    #[track_caller]
    pub fn writable(&self) -> impl Future<Output = Result<(), ReadyError>> {
        self.wait(Direction::Write, Asks::WhetherReady, |_| Ok(()))
    }

    /// Says that a read would have blocked: it is not readable until the next event.
    pub fn clear_readable(&self) {
        self.clear(Direction::Read);
    }

    /// Says that a read of a stream gave less than there was room for, so that nothing is left for now: saves the call that
    /// would only say so. It is not readable until the next event; if the end of the stream has been seen to come, it
    /// stays readable.
    ///
    /// For streams only (pipes, stream sockets without credentials or descriptors in flight), where less than asked means
    /// all there was.
    ///
    /// # References
    ///
    /// epoll(7), question 9.
    pub fn clear_readable_after_short_read(&self) {
        self.source.clear_moved_all(Direction::Read);
    }

    /// Says that a write would have blocked: it is not writable until the next event.
    pub fn clear_writable(&self) {
        self.clear(Direction::Write);
    }

    /// Does `op`, which must not block, at once. `None` if it would block; then the direction is not ready until the
    /// next event.
    ///
    /// # Errors
    ///
    /// Of `op`; `ResourceBusy` if another task waits for this direction, which may be in the middle of something (One Owner
    /// Each Way); `NotConnected` after [`end_waits`](AsyncFd::end_waits).
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    #[track_caller]
    pub fn try_io<R>(
        &self,
        direction: Direction,
        op: impl FnOnce(&T) -> io::Result<R>,
    ) -> io::Result<Option<R>> {
        if self.is_claimed(direction) {
            // Of another run it is a mistake all the same, whoever waits there.
            runtime::require_run(self.run, "descriptor");
            return Err(ReadyError::Busy.into());
        }
        self.try_whole(direction, op)
    }

    /// The same for what is whole by itself, as a message is: nobody can be in the middle of it.
    #[track_caller]
    pub(crate) fn try_whole<R>(
        &self,
        direction: Direction,
        op: impl FnOnce(&T) -> io::Result<R>,
    ) -> io::Result<Option<R>> {
        runtime::require_run(self.run, "descriptor");
        if self.source.is_gone() {
            return Err(ReadyError::Closed.into());
        }
        match op(self.inner()) {
            Ok(r) => Ok(Some(r)),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                self.clear(direction);
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    /// Ends every wait for it, now and from now on, with [`ReadyError::Closed`]. It is closed on drop, as ever.
    ///
    /// For an owner that is about to close what others hold by reference. Source: trio's `notify_closing`.
    pub fn end_waits(&self) {
        self.deregister();
    }

    /// Does `op` when the direction is ready, again until it does not say `WouldBlock`.
    #[track_caller]
    pub(crate) fn io<R, F: FnMut(&T) -> io::Result<R>>(
        &self,
        direction: Direction,
        op: F,
    ) -> Operation<'_, T, F, io::Error> {
        self.operation(direction, Asks::WhetherToTry, op)
    }

    /// The same for an operation that may have nothing to do: no bytes to move. That one never says `WouldBlock`; it is a
    /// checkpoint, and fails if the descriptor is closed or another task is in that direction, but does not wait.
    #[track_caller]
    pub(crate) fn io_unless<R, F: FnMut(&T) -> io::Result<R>>(
        &self,
        nothing: bool,
        direction: Direction,
        op: F,
    ) -> Operation<'_, T, F, io::Error> {
        self.operation(direction, if nothing { Asks::Nothing } else { Asks::WhetherToTry }, op)
    }

    /// Does another task wait for this direction?
    pub(crate) fn is_claimed(&self, direction: Direction) -> bool {
        self.claims.is_claimed(direction)
    }

    /// The same, for those who tell the reasons apart why it was not done.
    #[track_caller]
    pub(crate) fn wait<R, F: FnMut(&T) -> io::Result<R>>(
        &self,
        direction: Direction,
        asks: Asks,
        op: F,
    ) -> Operation<'_, T, F, ReadyError> {
        self.operation(direction, asks, op)
    }

    #[track_caller]
    fn operation<F, E>(&self, direction: Direction, asks: Asks, op: F) -> Operation<'_, T, F, E> {
        runtime::require_run(self.run, "descriptor");
        Operation::new(self, direction, asks, op)
    }

    fn clear(&self, direction: Direction) {
        self.source.clear(direction);
    }

    fn deregister(&self) {
        let mut waiters = [None, None];
        self.if_reactor(|r| waiters = r.deregister(&self.source));
        runtime::wake_each(waiters.into_iter().flatten());
    }

    /// One Run: with the reactor the token is from, if that is there still.
    fn if_reactor(&self, f: impl FnOnce(&mut Reactor)) {
        runtime::if_reactor(|r| {
            if r.run() == self.run {
                f(r);
            }
        });
    }
}

#[track_caller]
fn register<T: AsFd>(inner: &T, sole: bool) -> io::Result<Rc<Source>> {
    let fd = inner.as_fd().as_raw_fd();
    runtime::with_reactor(|r| r.register(fd, sole))?.map_err(|e| match e.raw_os_error() {
        Some(libc::EPERM) => io::Error::new(
            io::ErrorKind::Unsupported,
            "this descriptor is always ready (a regular file or a directory) and cannot be waited for: use a thread",
        ),
        _ => e,
    })
}

impl<T: AsFd> Drop for AsyncFd<T> {
    fn drop(&mut self) {
        if !runtime::is_current_epoch(self.run) {
            // Forgets Itself.
            std::mem::forget(self.inner.take());
        } else if self.inner.is_some() {
            self.deregister();
        }
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for AsyncFd<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncFd").field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
