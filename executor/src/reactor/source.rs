//! One descriptor's readiness: what the reactor has heard, and what operations ask. Nothing here talks to epoll.
//!
//! ```text
//!   reactor ─ heard(event) ─► Source { read, write: readiness, waiter } ◄─ poll_ready, park, clear ─ the operations of `fd`
//! ```
//!
//! Rules:
//! * It is shared by the reactor and its descriptor's owner, so that an operation that finds what it needs asks nobody else.
//! * The wakers in here are taken out and handed on, never called.
//! * Gone once, gone for good: what waits for a source that is gone has been handed out, and nothing more is parked.

use std::cell::Cell;
use std::os::fd::RawFd;
use std::task::Waker;

/// Reading or writing: the two things a descriptor can be ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// There are bytes or the end to be read; what counts as reading for other kinds, such as the death of a pidfd's process.
    Read,
    /// There is room to write.
    Write,
}

/// What somebody who comes to wait is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PollReady {
    Ready,
    /// Parked with this waker: it is called when the direction becomes ready.
    Parked,
    /// Not ready, and this waker is not parked: [`Source::park`] it.
    Park,
    /// The registration is gone.
    Gone,
}

/// What somebody wants to know before an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    /// Whether to try it: yes, unless a try has failed since the last event.
    WhetherToTry,
    /// Whether it would succeed, from epoll itself.
    WhetherReady,
    /// Only whether the registration is there.
    Nothing,
}

/// What is known of a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Readiness {
    /// Nothing yet: epoll was not asked, and nobody has tried.
    Untold,
    Ready,
    Not,
}

struct Half {
    readiness: Cell<Readiness>,
    /// The end has come: nothing more will be told, so this stays ready whatever was read.
    ended: Cell<bool>,
    /// Does epoll tell of this direction?
    armed: Cell<bool>,
    waiter: Cell<Option<Waker>>,
}

impl Half {
    fn new(readiness: Readiness, armed: bool) -> Self {
        Half {
            readiness: Cell::new(readiness),
            ended: Cell::new(false),
            armed: Cell::new(armed),
            waiter: Cell::new(None),
        }
    }
}

/// A registered descriptor.
pub(crate) struct Source {
    fd: RawFd,
    /// Does one of this crate's types own the descriptor?
    owned: bool,
    token: mio::Token,
    gone: Cell<bool>,
    read: Half,
    write: Half,
}

impl Source {
    /// Of a descriptor that epoll tells of when it can be read.
    pub(super) fn new(fd: RawFd, owned: bool, token: mio::Token) -> Self {
        let (read, write) = (Half::new(Readiness::Not, true), Half::new(Readiness::Untold, false));
        Source { fd, owned, token, gone: Cell::new(false), read, write }
    }

    pub(super) fn fd(&self) -> RawFd {
        self.fd
    }

    pub(super) fn is_owned(&self) -> bool {
        self.owned
    }

    pub(super) fn token(&self) -> mio::Token {
        self.token
    }

    #[inline]
    fn half(&self, direction: Direction) -> &Half {
        match direction {
            Direction::Read => &self.read,
            Direction::Write => &self.write,
        }
    }

    // ---- for the reactor

    /// Takes an event in: who is woken by it, and was it one that nobody needed?
    #[inline]
    pub(super) fn heard(&self, event: &mio::event::Event, wake: &mut impl FnMut(Waker)) -> bool {
        // A hang-up or an error is for both: the operation itself finds out what it is.
        let read_closed = event.is_read_closed();
        let broken = event.is_error() || read_closed && event.is_write_closed();
        let readable = event.is_readable() || read_closed || broken;
        let writable = event.is_writable() || event.is_write_closed() || broken;
        let mut waits_to_write = false;
        if readable {
            self.read.readiness.set(Readiness::Ready);
            if read_closed || broken {
                self.read.ended.set(true);
            }
            if let Some(waiter) = self.read.waiter.take() {
                wake(waiter);
            }
        }
        if writable {
            self.write.readiness.set(Readiness::Ready);
            if let Some(waiter) = self.write.waiter.take() {
                waits_to_write = true;
                wake(waiter);
            }
        }
        writable && !readable && self.write.armed.get() && !waits_to_write
    }

    /// In how many directions somebody waits for it.
    pub(super) fn waiters(&self) -> usize {
        let waits = |half: &Half| {
            let waiter = half.waiter.take();
            let waits = waiter.is_some();
            half.waiter.set(waiter);
            usize::from(waits)
        };
        waits(&self.read) + waits(&self.write)
    }

    /// From now on epoll tells of room to write, or no longer.
    pub(super) fn set_tells_of_room(&self, tells: bool) {
        self.write.armed.set(tells);
    }

    /// It is no longer registered. Whoever waits comes back, to be woken outside: it will find it gone.
    pub(super) fn end(&self) -> [Option<Waker>; 2] {
        self.gone.set(true);
        [self.read.waiter.take(), self.write.waiter.take()]
    }

    // ---- for operations

    /// Is it no longer registered?
    #[inline]
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.get()
    }

    /// Does epoll tell of this direction? Else it has to be asked before somebody waits.
    #[inline]
    pub(crate) fn is_told_of(&self, direction: Direction) -> bool {
        self.half(direction).armed.get()
    }

    /// Is the direction ready?
    #[inline]
    pub(crate) fn poll_ready(&self, direction: Direction, asks: Asks, waker: &Waker) -> PollReady {
        if self.gone.get() {
            return PollReady::Gone;
        }
        let half = self.half(direction);
        match (half.readiness.get(), asks) {
            (Readiness::Ready, _) | (_, Asks::Nothing) => PollReady::Ready,
            (Readiness::Untold, Asks::WhetherToTry) => {
                half.readiness.set(Readiness::Ready);
                PollReady::Ready
            }
            _ => {
                let parked = half.waiter.take();
                let same = parked.as_ref().is_some_and(|w| w.will_wake(waker));
                half.waiter.set(parked);
                if same { PollReady::Parked } else { PollReady::Park }
            }
        }
    }

    /// Parks a waker until the direction is ready. The one it has replaced comes back, to be dropped outside.
    pub(crate) fn park(&self, direction: Direction, waker: Waker) -> Option<Waker> {
        debug_assert!(!self.is_gone() && self.is_told_of(direction));
        self.half(direction).waiter.replace(Some(waker))
    }

    /// The operation said "would block": not ready until the next event.
    #[inline]
    pub(crate) fn clear(&self, direction: Direction) {
        self.half(direction).readiness.set(Readiness::Not);
    }

    /// The operation moved less than it was asked to: not ready until the next event, unless the end has come, which is
    /// told only once.
    #[inline]
    pub(crate) fn clear_moved_all(&self, direction: Direction) {
        let half = self.half(direction);
        half.readiness.set(if half.ended.get() { Readiness::Ready } else { Readiness::Not });
    }

    /// The wait for a direction is over. Its waker comes back to be dropped outside.
    #[inline]
    pub(crate) fn leave(&self, direction: Direction) -> Option<Waker> {
        self.half(direction).waiter.take()
    }
}
