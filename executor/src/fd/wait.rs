//! One operation that waits for one direction of a descriptor.
//!
//! ```text
//!   claim the direction ─► ready? ─yes─► op ─ "would block" ─► not ready any more ─┐
//!                            ▲  └─no──► park, sleep ─► event ─┐                     │
//!                            └───────────────────────────────┴─────────────────────┘     done or dropped: claim ends
//! ```
//!
//! Rules: see [`super`], One Owner Each Way and One Run. An operation of several steps (write all of this) is one
//! operation here: it holds its claim from the first step to the last.

use super::{AsyncFd, ReadyError};
use crate::checkpoint::Wait;
use crate::reactor::{Asks, Direction, PollReady};
use crate::runtime;
use crate::waits::Waits;
use std::cell::Cell;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Which directions are being waited for.
#[derive(Debug, Default)]
pub(super) struct Claims {
    read: Cell<bool>,
    write: Cell<bool>,
}

impl Claims {
    pub(super) fn is_claimed(&self, direction: Direction) -> bool {
        self.of(direction).get()
    }

    fn of(&self, direction: Direction) -> &Cell<bool> {
        match direction {
            Direction::Read => &self.read,
            Direction::Write => &self.write,
        }
    }
}

/// How far an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Not polled, or refused.
    Outside,
    /// The direction is claimed.
    Claimed,
    /// And a waker may be in the reactor.
    Parked,
}

/// Where one operation on one direction is; leaves the source and gives up its claim when it is dropped.
struct Waiting<'a, T: AsFd> {
    fd: &'a AsyncFd<T>,
    direction: Direction,
    asks: Asks,
    stage: Stage,
}

impl<T: AsFd> Waiting<'_, T> {
    #[inline]
    fn attempt<R>(
        &mut self,
        cx: &mut Context<'_>,
        op: &mut impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<Result<R, ReadyError>> {
        runtime::require_run(self.fd.run, "descriptor");
        if self.stage == Stage::Outside {
            if self.fd.claims.of(self.direction).replace(true) {
                return Poll::Ready(Err(ReadyError::Busy));
            }
            self.stage = Stage::Claimed;
        }
        loop {
            match self.fd.source.poll_ready(self.direction, self.asks, cx.waker()) {
                PollReady::Gone => return Poll::Ready(Err(ReadyError::Closed)),
                PollReady::Parked => return Poll::Pending,
                PollReady::Park => return self.park(cx).map(Err),
                PollReady::Ready => match op(self.fd.inner()) {
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.fd.clear(self.direction),
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    r => return Poll::Ready(r.map_err(ReadyError::Io)),
                },
            }
        }
    }

    /// Sleeps until an event, unless epoll refuses, because somebody has closed the number.
    fn park(&mut self, cx: &Context<'_>) -> Poll<ReadyError> {
        // Before anything is looked at: a foreign waker may do anything when it is cloned, also end the waits.
        let waker = cx.waker().clone();
        let source = &self.fd.source;
        if source.is_gone() {
            return Poll::Ready(ReadyError::Closed);
        }
        if !source.is_told_of(self.direction)
            && let Err(e) = runtime::with_reactor(|r| r.tell_of_room(source)).flatten()
        {
            return Poll::Ready(ReadyError::Io(e));
        }
        self.stage = Stage::Parked;
        drop(source.park(self.direction, waker));
        Poll::Pending
    }

    /// The operation is over: others may come.
    #[inline]
    fn end(&mut self) {
        match std::mem::replace(&mut self.stage, Stage::Outside) {
            Stage::Outside => {}
            Stage::Claimed => self.fd.claims.of(self.direction).set(false),
            Stage::Parked => {
                self.fd.claims.of(self.direction).set(false);
                drop(self.fd.source.leave(self.direction));
            }
        }
    }
}

impl<T: AsFd> Drop for Waiting<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.end();
    }
}

/// One operation as a future. Written by hand: it is made in the place where it is polled, and is not moved through the states
/// of `async` blocks around it.
#[must_use = "nothing happens before it is awaited"]
pub(crate) struct Operation<'a, T: AsFd, F, E> {
    waiting: Waiting<'a, T>,
    wait: Wait,
    op: F,
    /// What it fails with.
    _error: PhantomData<fn() -> E>,
}

impl<'a, T: AsFd, F, E> Operation<'a, T, F, E> {
    #[inline]
    pub(super) fn new(fd: &'a AsyncFd<T>, direction: Direction, asks: Asks, op: F) -> Self {
        let waiting = Waiting { fd, direction, asks, stage: Stage::Outside };
        Operation { waiting, wait: Wait::on(Waits::Descriptor), op, _error: PhantomData }
    }
}

/// Nothing in it is ever pinned.
impl<T: AsFd, F, E> Unpin for Operation<'_, T, F, E> {}

impl<T: AsFd, F: FnMut(&T) -> io::Result<R>, R, E: From<ReadyError>> Future for Operation<'_, T, F, E> {
    type Output = Result<R, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<R, E>> {
        let Operation { waiting, wait, op, _error } = self.get_mut();
        let polled = wait.poll(cx, |cx| waiting.attempt(cx, op));
        if polled.is_ready() {
            // Whoever awaits it goes on at once, and may begin the next before this is dropped.
            waiting.end();
        }
        polled.map(|ended| ended.map_err(ReadyError::from).flatten().map_err(E::from))
    }
}

/// One read after the other, apart from the descriptor. Between two of them it has no claim. Whoever drops it calls
/// [`Reads::end`] first.
#[cfg(feature = "stream")]
#[derive(Debug)]
pub(crate) struct Reads {
    stage: Stage,
    wait: Wait,
}

#[cfg(feature = "stream")]
impl Reads {
    pub(crate) const fn new() -> Self {
        Reads { stage: Stage::Outside, wait: Wait::on(Waits::Descriptor) }
    }

    /// One poll of a read; the next one after a result is the first of another. It is the same descriptor each time.
    pub(crate) fn poll<T: AsFd, R>(
        &mut self,
        fd: &AsyncFd<T>,
        cx: &mut Context<'_>,
        mut op: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<Result<R, ReadyError>> {
        // With a result, or a panic, this gives up the claim.
        let mut waiting = self.waiting(fd);
        let polled = self.wait.poll(cx, |cx| waiting.attempt(cx, &mut op));
        if polled.is_pending() {
            self.stage = std::mem::replace(&mut waiting.stage, Stage::Outside);
        }
        polled.map(|ended| ended?)
    }

    /// Gives up the claim of a read that waits, if one does.
    pub(crate) fn end<T: AsFd>(&mut self, fd: &AsyncFd<T>) {
        drop(self.waiting(fd));
    }

    fn waiting<'a, T: AsFd>(&mut self, fd: &'a AsyncFd<T>) -> Waiting<'a, T> {
        let stage = std::mem::replace(&mut self.stage, Stage::Outside);
        Waiting { fd, direction: Direction::Read, asks: Asks::WhetherToTry, stage }
    }
}
