//! A run as the guest of another loop: poll(2), epoll by hand, glib, winit; no thread and no other executor is needed.
//!
//! ```text
//!   Guest::start(main) ─► the loop outside: ┌─► tick() ─┬─ Done(value)
//!                                           │           ├─ Ready ─────────────► tick again, after the loop's own events
//!                                           │           └─ Idle { timeout } ──┐
//!                                           └─ the descriptor is readable ◄── wait for it, at most so long
//!                                              (events, other threads, and what code of the loop has done to the run)
//! ```
//!
//! Rules:
//! * A tick never waits. The thread is back after 64 polls, however many tasks are ready.
//! * **One Thing To Wait For**: whatever there is to do after an idle tick and before its timeout makes the descriptor
//!   readable. A tick that nobody needed does nothing, and is not taken for something that happened.
//! * The run is active on its thread from its start to its end, also between ticks: see `run/visit.rs`.

use crate::cancel::Reason;
use crate::clock::Clock;
use crate::run::visit::{Step, Visit, rest};
use crate::runtime::{self, Hosting, Runtime};
use std::fmt;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

/// A run that another loop drives, tick by tick.
///
/// The loop waits for the guest's descriptor ([`AsFd`]) to become readable, and calls [`tick`](Guest::tick). The
/// descriptor is an epoll instance: it can be watched by `poll`, `select` and `epoll` in any mode, and is not to be read.
/// Who watches it by edges clears them before a tick and not after it.
///
/// Between two ticks code of the loop is outside of any task, and inside the run: it may spawn into it, send to it, cancel it
/// and move its deadlines, all of which makes the descriptor readable if the guest has to look at it.
///
/// Dropping it before its end abandons the run: instruments are told
/// ([`abandoned`](crate::instrument::Instrument::abandoned)), then main and all of its tasks are dropped where they stand, calls of
/// other threads that were accepted are made, and the thread is free for another run. No code after an await is run. The graceful way is
/// [`cancel`](Guest::cancel), and ticks until it is done.
///
/// Source: trio's `start_guest_run`.
///
/// ```
/// use pleach_executor::{Cancelled, guest::{Guest, Tick}, sleep};
/// use std::time::Duration;
///
/// let mut guest = Guest::start(async {
///     sleep(Duration::from_millis(1)).await?;
///     Ok::<_, Cancelled>(7)
/// })?;
/// let value = loop {
///     match guest.tick() {
///         Tick::Done(value) => break value,
///         Tick::Ready => {}
///         // In place of poll(2): nothing but time ends this wait.
///         Tick::Idle { timeout } => std::thread::sleep(timeout.expect("it sleeps")),
///     }
/// };
/// assert_eq!(value.unwrap(), 7);
/// # Ok::<_, std::io::Error>(())
/// ```
#[must_use = "a guest does nothing unless it is ticked, and is abandoned when it is dropped"]
pub struct Guest<F: Future> {
    /// `None` once it is over.
    visit: Option<Visit<F>>,
    /// The reactor's, as long as that lives and beyond.
    epoll: Rc<OwnedFd>,
    /// Makes it readable.
    bell: Waker,
    /// The run belongs to its thread.
    _local: PhantomData<*const ()>,
}

/// What a tick has come to, and when the next one is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "it says when to come back, or is the value of main"]
pub enum Tick<T> {
    /// Main and everything it started have ended: the value of main.
    Done(T),
    /// There is more to do already: tick again without waiting, as soon as the loop has looked at its own events.
    Ready,
    /// Nothing can run. Tick again when the descriptor is readable or `timeout` is over, whichever comes first; `None`: when
    /// the descriptor is readable. A loop that counts in milliseconds rounds up: one that comes a little early finds nothing to
    /// do, and is asked to wait for the rest.
    Idle {
        /// How long until the next deadline.
        timeout: Option<Duration>,
    },
}

impl<F: Future> Guest<F> {
    /// Begins a run on this thread. None of its code has run when this returns, but the run is there: handles into it
    /// ([`RunHandle`](crate::RunHandle)), calls and tasks of the system are taken from now on, and run with the first tick.
    ///
    /// # Errors
    ///
    /// Of `epoll_create(2)` and `eventfd(2)`, if the process has no descriptors left. `main` is dropped, and there is no
    /// run then.
    ///
    /// # Panics
    ///
    /// If a run is active on this thread already: one of its own, a hosted one, or another guest.
    #[track_caller]
    pub fn start(main: F) -> io::Result<Self> {
        runtime::with(|rt| {
            rt.open(Clock::Real, 0);
            rt.set_hosting(Hosting::Guest);
        });
        match runtime::with(Runtime::face) {
            Ok((epoll, bell)) => {
                let visit = Some(Visit::begin(Box::pin(Some(main))));
                Ok(Guest { visit, epoll, bell, _local: PhantomData })
            }
            Err(e) => {
                runtime::with(Runtime::close);
                Err(e)
            }
        }
    }

    /// Does what there is to do, without waiting: looks at descriptors, other threads and deadlines, polls up to 64
    /// ready tasks, and says when it wants to be called again.
    ///
    /// # Panics
    ///
    /// As [`run`](crate::run). The run is over then, its tasks have been dropped, and the thread is free. After its end.
    #[track_caller]
    pub fn tick(&mut self) -> Tick<F::Output> {
        // Out of its place while it runs: a panic ends the run.
        let Some(mut visit) = self.visit.take() else {
            panic!("this run has ended: a guest is not ticked after its value or a panic has come out of it")
        };
        let until = match visit.step() {
            Step::Done(value) => return Tick::Done(value),
            Step::Ready => {
                self.visit = Some(visit);
                return Tick::Ready;
            }
            Step::Idle(until) => until,
        };
        self.visit = Some(visit);
        let timeout = until.map(|at| at - Clock::Real.now());
        if timeout == Some(Duration::ZERO) || !rest(self.bell.clone()) {
            return Tick::Ready;
        }
        Tick::Idle { timeout }
    }

    /// Asks the run to end: main and everything in it is cancelled, and goes on being so. What it makes of that comes with
    /// the ticks that follow. Does nothing after the end.
    pub fn cancel(&self) {
        if self.visit.is_some() {
            runtime::cancel(runtime::with(Runtime::root), Reason::Requested { by: None });
        }
    }

    /// Has its value, or a panic, come out of it?
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.visit.is_none()
    }
}

/// The descriptor to wait for. It is readable when there is something to do. After the end it is not.
impl<F: Future> AsFd for Guest<F> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

impl<F: Future> Unpin for Guest<F> {}

impl<F: Future> fmt::Debug for Guest<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guest").field("epoll", &self.epoll).field("over", &self.is_over()).finish()
    }
}
