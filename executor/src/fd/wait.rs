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
use crate::reactor::{Asks, Direction, Parking, PollReady};
use crate::runtime;
use crate::waits::Waits;
use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd;
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

/// One operation on one direction; leaves the reactor and gives up its claim when it is dropped.
pub(super) struct Waiting<'a, T: AsFd> {
    fd: &'a AsyncFd<T>,
    direction: Direction,
    asks: Asks,
    stage: Stage,
}

impl<'a, T: AsFd> Waiting<'a, T> {
    pub(super) fn new(fd: &'a AsyncFd<T>, direction: Direction, asks: Asks) -> Self {
        Waiting { fd, direction, asks, stage: Stage::Outside }
    }

    pub(super) async fn until_done<R>(
        mut self,
        mut op: impl FnMut(&T) -> io::Result<R>,
    ) -> Result<R, ReadyError> {
        let mut wait = Wait::on(Waits::Descriptor);
        poll_fn(|cx| wait.poll(cx, |cx| self.attempt(cx, &mut op))).await?
    }

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
            let asked = |r: &mut crate::reactor::Reactor| {
                r.poll_ready(self.fd.token, self.direction, self.asks, cx.waker())
            };
            match runtime::with_reactor(asked) {
                Err(e) => return Poll::Ready(Err(ReadyError::Io(e))),
                Ok(PollReady::Gone) => return Poll::Ready(Err(ReadyError::Closed)),
                Ok(PollReady::Parked) => return Poll::Pending,
                Ok(PollReady::Park) => return self.park(cx).map(Err),
                Ok(PollReady::Ready) => match op(self.fd.inner()) {
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.fd.clear(self.direction),
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    r => return Poll::Ready(r.map_err(ReadyError::Io)),
                },
            }
        }
    }

    /// Sleeps until an event, unless epoll refuses, because somebody has closed the number.
    fn park(&mut self, cx: &Context<'_>) -> Poll<ReadyError> {
        self.stage = Stage::Parked;
        // Cloned and dropped outside: a foreign waker may do anything.
        let waker = cx.waker().clone();
        match runtime::with_reactor(|r| r.park(self.fd.token, self.direction, waker)) {
            Ok(Parking::Parked(before)) => {
                drop(before);
                Poll::Pending
            }
            Ok(Parking::Refused(e, _waker)) => Poll::Ready(ReadyError::Io(e)),
            Ok(Parking::Gone(_waker)) => Poll::Ready(ReadyError::Closed),
            Err(e) => Poll::Ready(ReadyError::Io(e)),
        }
    }
}

impl<T: AsFd> Drop for Waiting<'_, T> {
    fn drop(&mut self) {
        if self.stage == Stage::Outside {
            return;
        }
        self.fd.claims.of(self.direction).set(false);
        if self.stage == Stage::Parked {
            let mut waker = None;
            self.fd.if_reactor(|r| waker = r.leave(self.fd.token, self.direction));
            drop(waker);
        }
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
