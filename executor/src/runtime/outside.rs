//! What a run has to do with the world outside its thread: the reactor, the inbox, the line of calls.
//!
//! ```text
//!   descriptors ─► reactor ─┐
//!   other threads ─► inbox ─┴─► the loop        both made once somebody needs them
//! ```

use super::{Hosting, Runtime, run_key, try_with, with};
use crate::entry::Call;
use crate::reactor::Reactor;
use crate::reactor::calls::Calls;
use crate::reactor::notify::Inbox;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

#[cold]
fn no_watch() -> io::Error {
    let text =
        "this run is hosted by another executor whose driver watches no descriptors: use the host's own I/O";
    io::Error::new(io::ErrorKind::Unsupported, text)
}

impl Runtime {
    /// The inbox of the active run. `f` asks it something, and no more than that.
    #[inline]
    pub(crate) fn with_inbox<R>(&self, f: impl FnOnce(&Inbox) -> R) -> R {
        f(self.inbox.borrow().as_deref().expect("an active run has an inbox"))
    }

    pub(crate) fn inbox(&self) -> Arc<Inbox> {
        self.inbox.borrow().clone().expect("an active run has an inbox")
    }

    /// The line of calls into this run, made on first use.
    pub(crate) fn calls(&self) -> Arc<Calls<Call>> {
        let inbox = self.inbox();
        Arc::clone(self.calls.borrow_mut().get_or_insert_with(|| Arc::new(Calls::new(inbox))))
    }

    pub(crate) fn calls_if_any(&self) -> Option<Arc<Calls<Call>>> {
        self.calls.borrow().clone()
    }

    /// The reactor of the run, made on first use.
    pub(crate) fn reactor<R>(&self, f: impl FnOnce(&mut Reactor) -> R) -> io::Result<R> {
        self.make_reactor()?;
        Ok(f(self.reactor.borrow_mut().as_mut().expect("just made")))
    }

    /// What has come from outside, if there is a reactor: wakes who is of this run, and gives the other wakers. Says how many
    /// events there were.
    #[inline]
    pub(crate) fn take_events_in(&self, foreign: &mut Vec<Waker>) -> usize {
        let mut reactor = self.reactor.borrow_mut();
        let Some(reactor) = reactor.as_mut() else { return 0 };
        let mut sched = self.sched.borrow_mut();
        let seen = reactor.take_in(|waker| foreign.extend(sched.wake_own(waker)));
        self.count_reactor_wait(seen);
        seen
    }

    #[inline]
    pub(crate) fn make_reactor(&self) -> io::Result<()> {
        if self.has_reactor() { Ok(()) } else { self.new_reactor() }
    }

    #[cold]
    fn new_reactor(&self) -> io::Result<()> {
        let reactor = match self.hosting.get() {
            Hosting::Own | Hosting::Guest => {
                let reactor = Reactor::new()?;
                self.with_inbox(|inbox| reactor.hang_bell(inbox));
                reactor
            }
            // Other threads ring the host.
            Hosting::Host { watches: true } => Reactor::new()?,
            Hosting::Host { watches: false } => return Err(no_watch()),
        };
        *self.reactor.borrow_mut() = Some(reactor);
        Ok(())
    }

    /// A second descriptor of the epoll instance, for a host to watch.
    pub(crate) fn epoll(&self) -> io::Result<OwnedFd> {
        self.reactor(|r| r.epoll())?
    }

    /// What the loop that this run is a guest of waits for, and what makes that readable.
    pub(crate) fn face(&self) -> io::Result<(Rc<OwnedFd>, Waker)> {
        self.reactor(|r| r.face())?
    }

    pub(crate) fn has_reactor(&self) -> bool {
        self.reactor.borrow().is_some()
    }
}

/// The reactor of the active run, made on first use.
#[track_caller]
pub(crate) fn with_reactor<R>(f: impl FnOnce(&mut Reactor) -> R) -> io::Result<R> {
    let _inside = run_key();
    with(|rt| rt.reactor(f))
}

/// The same for destructors: does nothing if there is no reactor (any more).
pub(crate) fn if_reactor(f: impl FnOnce(&mut Reactor)) {
    let _ = try_with(|rt| {
        if let Some(reactor) = rt.reactor.borrow_mut().as_mut() {
            f(reactor);
        }
    });
}

/// Is this the line of the run that is active on this thread?
pub(crate) fn has_calls(calls: &Arc<Calls<Call>>) -> bool {
    try_with(|rt| rt.calls.borrow().as_ref().is_some_and(|ours| Arc::ptr_eq(ours, calls))).unwrap_or(false)
}

pub(crate) fn owned_fds() -> Vec<RawFd> {
    with(|rt| rt.reactor.borrow().as_ref().map_or_else(Vec::new, Reactor::owned_fds))
}
