//! A run inside another executor: nurseries, scopes and deadlines on somebody else's thread and clock.
//!
//! ```text
//!   the host polls ─► a step of the visit (`run/visit.rs`) ─┬─ more is ready: wake the host, be polled again
//!                                                           │
//!        Driver: now │ poll_until │ poll_readable ◄─────────┴─ nothing is: wait
//! ```
//!
//! Rules:
//! * What is needed from below is three things, and no more: what time it is, to be woken at a moment, to be woken at all.
//!   That is [`Driver`], and the waker of the poll.
//! * The host gets its thread back after 64 polls, however many tasks are ready.
//! * The run is active on its thread from its first poll to its end, also between polls: code of the host's other tasks
//!   may spawn into it, cancel it, and wake it, and no second run may be there.

use crate::clock::{Clock, Instant};
use crate::reactor::parts::{Bell, HostBell};
use crate::run::visit::{Step, Visit, rest};
use crate::runtime::{self, Hosting, Runtime};
use std::fmt;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};

/// What a hosted run asks of its host.
///
/// ```
/// use pleach_executor::host::Driver;
/// use pleach_executor::Instant;
/// use std::task::{Context, Poll};
///
/// /// A host that has no timers: only for runs without deadlines.
/// struct Timeless;
///
/// impl Driver for Timeless {
///     fn now() -> Instant { Instant::from_nanos(0) }
///     fn poll_until(&mut self, _at: Instant, _cx: &mut Context<'_>) -> Poll<()> { Poll::Pending }
/// }
/// ```
pub trait Driver {
    /// Does [`watch`](Driver::watch) work? If not, everything of this crate that needs a descriptor
    /// watched fails with [`io::ErrorKind::Unsupported`].
    const WATCHES: bool = false;

    /// What time it is for the host. Never goes back. Asked by any code of the thread while the run lasts.
    fn now() -> Instant
    where
        Self: Sized;

    /// Ready once `at` has come; else the task of `cx` is woken when it has, or a little later. Only the last moment that
    /// was asked for counts.
    fn poll_until(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()>;

    /// Takes the descriptor that is to be watched from now on: an epoll instance's, the driver's own. Called at most once,
    /// and only with [`WATCHES`](Driver::WATCHES).
    ///
    /// # Errors
    ///
    /// If the host cannot watch it: the run panics.
    fn watch(&mut self, epoll: OwnedFd) -> io::Result<()> {
        drop(epoll);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Ready when that descriptor may have become readable since this last said so; else the task of `cx` is woken then.
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Pending
    }
}

/// A run that lives in another executor, as a future of its own: made by [`hosted`].
#[must_use = "a future does nothing unless it is polled"]
pub struct Hosted<D, F: Future> {
    driver: D,
    stage: Stage<F>,
    /// Has the driver been given the reactor to watch?
    watched: bool,
    /// Where other threads ring.
    bell: Arc<HostBell>,
    /// The run belongs to its thread.
    _local: PhantomData<*const ()>,
}

/// How far a hosted run has come.
enum Stage<F: Future> {
    New(Pin<Box<Option<F>>>),
    Running(Visit<F>),
    Over,
}

/// [`run`](crate::run) as a future, for a program that has an executor already.
///
/// Nurseries, cancel scopes, deadlines, tasks and everything in [`sync`](crate::sync) work in it as they do in a run of
/// their own. It has to stay on one thread: a current-thread executor, or a local task set.
///
/// # Cancellation
///
/// Dropping it drops main and every task of the run: the hard way. The graceful way is to cancel a scope around main.
///
/// # Panics
///
/// As [`run`](crate::run), from the poll; if another run is active on the thread.
///
/// ```
/// # use pleach_executor::Instant;
/// # use std::task::{Context, Poll};
/// # struct Timeless;
/// # impl pleach_executor::host::Driver for Timeless {
/// #     fn now() -> Instant { Instant::from_nanos(0) }
/// #     fn poll_until(&mut self, _at: Instant, _cx: &mut Context<'_>) -> Poll<()> { Poll::Pending }
/// # }
/// use pleach_executor::{Cancelled, checkpoint, host::hosted, nursery};
///
/// let sum = futures_lite_block_on(hosted(Timeless, async {
///     nursery(async |n| {
///         let a = n.task(async { checkpoint().await?; Ok(3) });
///         let b = n.task(async { Ok(4) });
///         Ok::<_, Cancelled>(a.await? + b.await?)
///     }).await
/// }));
/// assert_eq!(sum.unwrap(), 7);
/// # fn futures_lite_block_on<F: Future>(fut: F) -> F::Output {
/// #     let mut fut = std::pin::pin!(fut);
/// #     loop {
/// #         let mut cx = Context::from_waker(std::task::Waker::noop());
/// #         if let Poll::Ready(v) = fut.as_mut().poll(&mut cx) { return v }
/// #     }
/// # }
/// ```
pub fn hosted<D: Driver, F: Future>(driver: D, main: F) -> Hosted<D, F> {
    Hosted {
        driver,
        stage: Stage::New(Box::pin(Some(main))),
        watched: false,
        bell: Arc::default(),
        _local: PhantomData,
    }
}

impl<D, F: Future> Unpin for Hosted<D, F> {}

impl<D: Driver, F: Future> Future for Hosted<D, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let me = &mut *self;
        // Out of its place while it runs: a panic ends the run.
        let mut visit = match std::mem::replace(&mut me.stage, Stage::Over) {
            Stage::New(main) => {
                runtime::with(|rt| me.open(rt));
                Visit::begin(main)
            }
            Stage::Running(visit) => visit,
            Stage::Over => panic!("this run has ended: a future is not polled after it was ready"),
        };
        me.hear(cx);
        let step = visit.step();
        let Step::Done(value) = step else {
            me.stage = Stage::Running(visit);
            if !me.waits(&step, cx) {
                cx.waker().wake_by_ref();
            }
            return Poll::Pending;
        };
        Poll::Ready(value)
    }
}

impl<D: Driver, F: Future> Hosted<D, F> {
    fn open(&self, rt: &Runtime) {
        rt.open(Clock::Host(D::now), 0);
        rt.set_hosting(Hosting::Host { watches: D::WATCHES });
        rt.inbox().hang_bell(Bell::Host(Arc::clone(&self.bell)));
    }

    /// From now on the host is rung by this waker.
    fn hear(&self, cx: &Context<'_>) {
        let waker = cx.waker().clone();
        let before = self.bell.lock().unwrap_or_else(PoisonError::into_inner).replace(waker);
        drop(before);
    }

    /// Has the host wake this run when there is something to do. `false` if there is already.
    fn waits(&mut self, step: &Step<F::Output>, cx: &mut Context<'_>) -> bool {
        let Step::Idle(until) = step else { return false };
        let due = until.is_some_and(|at| self.driver.poll_until(at, cx).is_ready());
        // Cloned outside: a waker of the host may do anything.
        !due && !self.readable(cx) && rest(cx.waker().clone())
    }

    fn readable(&mut self, cx: &mut Context<'_>) -> bool {
        if !runtime::with(Runtime::has_reactor) {
            return false;
        }
        if !self.watched {
            let given = runtime::with(Runtime::epoll).and_then(|epoll| self.driver.watch(epoll));
            given.unwrap_or_else(|e| panic!("the host cannot watch the reactor: {e}"));
            self.watched = true;
        }
        self.driver.poll_readable(cx).is_ready()
    }
}

impl<D, F: Future> fmt::Debug for Hosted<D, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::New(_) => "new",
            Stage::Running(_) => "running",
            Stage::Over => "over",
        };
        f.debug_struct("Hosted").field("stage", &stage).finish()
    }
}
