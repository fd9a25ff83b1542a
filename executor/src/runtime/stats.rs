//! What an executor counts, and what it says about itself.

use super::{Runtime, try_with, with};
use crate::clock::Instant;
use crate::reactor::Reactor;
use crate::task::TaskId;
use std::cell::Cell;
use std::panic::Location;

/// Counters of this thread's executor, from its first run on.
///
/// ```
/// use pleach_executor::{checkpoint, run, stats};
/// run(async {
///     let before = stats();
///     checkpoint().await.unwrap();
///     assert!(stats().polls > before.polls);
/// });
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Polls of tasks: main, children, bodies.
    pub polls: u64,
    /// Looks outside: at the clock, the descriptors, the inbox.
    pub turns: u64,
    /// Waits for descriptors and other threads, those that did not sleep included: calls of `epoll_wait(2)`.
    pub reactor_waits: u64,
    /// What those waits told: descriptors with news, and the bell.
    pub reactor_events: u64,
    /// Registrations made, changed and taken out: calls of `epoll_ctl(2)`.
    pub reactor_changes: u64,
    /// Deadlines and sleeps that came due.
    pub timers_fired: u64,
    /// How often a checkpoint reported a cancellation.
    pub delivered: u64,
    /// `Cancelled` values dropped outside a scope's exit. Not by itself a mistake: `join!` drops one of two.
    pub swallowed: u64,
    /// The task that swallowed last. While it lives, [`dump`](crate::dump) says of each task how many it has swallowed.
    pub last_swallowed_by: Option<TaskId>,
    /// Where that task was spawned; `None` for main.
    pub last_swallowed_at: Option<&'static Location<'static>>,
    /// Tasks alive now: main, children, bodies of open nurseries.
    pub tasks: usize,
    /// Tasks that wait for nothing but their turn; not the one that asks. A task is among them as well if it is polled only
    /// because a child in a nursery of its own is ready.
    pub runnable: usize,
    /// Cancel scopes open now, the root and those of open nurseries included.
    pub scopes: usize,
    /// Operations waiting now in a cancel scope.
    pub waiting: usize,
    /// Timers armed now.
    pub timers: usize,
    /// The earliest timer that is armed now: a sleep's, or the deadline of a scope that has been entered.
    pub next_deadline: Option<Instant>,
    /// Descriptors registered now.
    pub registrations: usize,
    /// Operations that wait now for a descriptor: one for each direction at most. They are counted when you ask, which costs a
    /// look at every registered descriptor.
    pub waiting_for_io: usize,
    /// What other threads have asked to be done in this run, and was not taken up yet: see
    /// [`RunHandle`](crate::RunHandle).
    pub calls: usize,
}

/// What [`Stats`] counts, each in a cell of its own: a poll touches one.
pub(super) struct Counters {
    pub(super) polls: Cell<u64>,
    turns: Cell<u64>,
    reactor_waits: Cell<u64>,
    reactor_events: Cell<u64>,
    reactor_changes: Cell<u64>,
    timers_fired: Cell<u64>,
    pub(super) delivered: Cell<u64>,
    /// Questions whether the current scope is cancelled: those that had to be looked into.
    pub(super) checks: Cell<u64>,
    swallowed: Cell<u64>,
    last_swallowed_by: Cell<Option<TaskId>>,
    last_swallowed_at: Cell<Option<&'static Location<'static>>>,
    /// Is a `Cancelled` that is dropped now one that a scope has taken in?
    absorbing: Cell<bool>,
}

pub(super) fn bump(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

impl Counters {
    pub(super) const fn new() -> Self {
        Counters {
            polls: Cell::new(0),
            turns: Cell::new(0),
            reactor_waits: Cell::new(0),
            reactor_events: Cell::new(0),
            reactor_changes: Cell::new(0),
            timers_fired: Cell::new(0),
            delivered: Cell::new(0),
            checks: Cell::new(0),
            swallowed: Cell::new(0),
            last_swallowed_by: Cell::new(None),
            last_swallowed_at: Cell::new(None),
            absorbing: Cell::new(false),
        }
    }

    pub(super) fn reset(&self) {
        let waits = [&self.reactor_waits, &self.reactor_events, &self.reactor_changes];
        let counts =
            [&self.polls, &self.turns, &self.timers_fired, &self.delivered, &self.checks, &self.swallowed];
        waits.into_iter().chain(counts).for_each(|c| c.set(0));
        self.last_swallowed_by.set(None);
        self.last_swallowed_at.set(None);
        self.absorbing.set(false);
    }
}

impl Runtime {
    #[cold]
    fn note_swallowed(&self) {
        let task = self.task();
        // Borrowed only if the table itself drops a value of a user, which it does not.
        let at = match (task, self.sched.try_borrow_mut()) {
            (Some(task), Ok(mut sched)) => sched.swallow(task),
            _ => None,
        };
        self.counters.last_swallowed_by.set(task);
        self.counters.last_swallowed_at.set(at);
    }

    pub(crate) fn count_poll(&self) {
        bump(&self.counters.polls);
    }

    pub(crate) fn count_turn(&self) {
        bump(&self.counters.turns);
    }

    pub(crate) fn count_fired(&self) {
        bump(&self.counters.timers_fired);
    }

    #[cfg(feature = "testing")]
    pub(crate) fn checks(&self) -> u64 {
        self.counters.checks.get()
    }

    /// Runs `f`; a `Cancelled` dropped in it counts as absorbed.
    #[inline]
    pub(crate) fn absorbing<R>(&self, f: impl FnOnce() -> R) -> R {
        struct Back<'rt>(&'rt Cell<bool>, bool);
        impl Drop for Back<'_> {
            fn drop(&mut self) {
                self.0.set(self.1);
            }
        }
        let absorbing = &self.counters.absorbing;
        let _back = Back(absorbing, absorbing.replace(true));
        f()
    }

    pub(crate) fn count_reactor_wait(&self, events: usize) {
        bump(&self.counters.reactor_waits);
        self.counters.reactor_events.set(self.counters.reactor_events.get() + events as u64);
    }

    #[inline]
    pub(crate) fn registrations(&self) -> usize {
        self.reactor.borrow().as_ref().map_or(0, Reactor::registrations)
    }
}

/// Counters of this thread's executor. Callable anywhere; zero on a thread that never ran one.
#[must_use]
pub fn stats() -> Stats {
    with(|rt| {
        let (scopes, waiting) = rt.scopes.borrow().counts();
        let next_deadline = rt.timers.borrow_mut().next();
        Stats {
            tasks: rt.sched.borrow().nodes_live(),
            runnable: rt.sched.borrow().runnable(rt.task()),
            scopes,
            waiting,
            timers: rt.timers.borrow().len(),
            next_deadline,
            registrations: rt.registrations(),
            waiting_for_io: rt.reactor.borrow().as_ref().map_or(0, Reactor::waiters),
            calls: rt.calls_if_any().map_or(0, |calls| calls.len()),
            polls: rt.counters.polls.get(),
            turns: rt.counters.turns.get(),
            reactor_waits: rt.counters.reactor_waits.get(),
            reactor_events: rt.counters.reactor_events.get(),
            reactor_changes: rt.counters.reactor_changes.get(),
            timers_fired: rt.counters.timers_fired.get(),
            delivered: rt.counters.delivered.get(),
            swallowed: rt.counters.swallowed.get(),
            last_swallowed_by: rt.counters.last_swallowed_by.get(),
            last_swallowed_at: rt.counters.last_swallowed_at.get(),
        }
    })
}

pub(crate) fn count_reactor_change() {
    let _ = try_with(|rt| bump(&rt.counters.reactor_changes));
}

pub(crate) fn note_swallowed() {
    let _ = try_with(|rt| {
        if !rt.counters.absorbing.get() {
            bump(&rt.counters.swallowed);
            rt.note_swallowed();
        }
    });
}

/// Runs `f`; a `Cancelled` dropped in it counts as absorbed.
pub(crate) fn absorbing<R>(f: impl FnOnce() -> R) -> R {
    // While the thread ends there is nobody to count it.
    let mut f = Some(f);
    let done = try_with(|rt| f.take().map(|f| rt.absorbing(f))).flatten();
    done.unwrap_or_else(|| f.take().expect("not run yet")())
}
