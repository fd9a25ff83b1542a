//! A run inside another executor: nurseries, scopes and deadlines on somebody else's thread and clock.
//!
//! ```text
//!   the host polls ─► up to 64 polls of ready tasks ─► due deadlines, descriptors, other threads ─┬─ more is ready: wake
//!                                                                                                 │  the host, be polled again
//!        Driver: now │ poll_until │ poll_readable ◄───────────────────────────────────────────────┴─ nothing is: wait
//! ```
//!
//! Rules:
//! * What is needed from below is three things, and no more: what time it is, to be woken at a moment, to be woken at all.
//!   That is [`Driver`], and the waker of the poll.
//! * The host gets its thread back after 64 polls, however many tasks are ready.
//! * The run is active on its thread from its first poll to its end, also between polls: code of the host's other tasks
//!   may spawn into it, cancel it, and wake it, and no second run may be there.

use crate::clock::{Clock, Instant};
use crate::entry;
use crate::reactor::parts::{Bell, HostBell};
use crate::run::{
    SHUTDOWN_GRACE, Session, ask_reactor, drain_inbox, fire_due, flat_live, poll_batch, run_jobs, wake_idle,
};
use crate::runtime::{self, Hosting, Runtime};
use std::fmt;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

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

/// How far a hosted run has come. What is dropped goes in the order in which it stands here: main in its run.
enum Stage<F: Future> {
    New(Pin<Box<F>>),
    Running { main: Option<Pin<Box<F>>>, session: Session },
    Ending { value: F::Output, session: Session, until: Instant },
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
        stage: Stage::New(Box::pin(main)),
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
        me.hear(cx);
        // Out of its place while it runs: a panic ends the run.
        let stage = match std::mem::replace(&mut me.stage, Stage::Over) {
            Stage::New(main) => {
                runtime::with(|rt| me.open(rt));
                turn(Stage::Running { session: Session::start(), main: Some(main) })
            }
            Stage::Over => panic!("this run has ended: a future is not polled after it was ready"),
            running => turn(running),
        };
        match stage {
            Stage::Ending { value, session, until }
                if all_over() || runtime::with(Runtime::clock).now() >= until =>
            {
                session.all_ended();
                Poll::Ready(value)
            }
            stage => {
                let until = match &stage {
                    Stage::Ending { until, .. } => Some(*until),
                    _ => None,
                };
                me.stage = stage;
                me.wait(until, cx);
                Poll::Pending
            }
        }
    }
}

impl<D: Driver, F: Future> Hosted<D, F> {
    fn open(&self, rt: &Runtime) {
        rt.open(Clock::Host(D::now), 0);
        rt.set_hosting(Hosting::Host { watches: D::WATCHES });
        rt.inbox().hang_bell(Bell::Host(Arc::clone(&self.bell)));
    }

    /// The host is here, and from now on it is rung by this waker.
    fn hear(&self, cx: &Context<'_>) {
        let waker = cx.waker().clone();
        let before = self.bell.lock().unwrap_or_else(PoisonError::into_inner).replace(waker);
        drop(before);
        let before = runtime::with(|rt| {
            if rt.is_active() {
                rt.inbox().awake();
            }
            rt.sched.borrow_mut().set_host(None)
        });
        drop(before);
    }

    /// Has the host wake this run when there is something to do.
    fn wait(&mut self, until: Option<Instant>, cx: &mut Context<'_>) {
        let (busy, idlers) = runtime::with(|rt| {
            let busy = rt.sched.borrow().has_ready() || !rt.jobs.borrow().is_empty() || rt.inbox().has_mail();
            (busy, rt.cushion().is_some())
        });
        if !busy && idlers {
            wake_idle();
        }
        let next = runtime::with(|rt| rt.timers.borrow_mut().look_again_at());
        let next = next.into_iter().chain(until).min();
        let due = next.is_some_and(|at| self.driver.poll_until(at, cx).is_ready());
        if busy || idlers || due || self.readable(cx) {
            cx.waker().wake_by_ref();
            return;
        }
        // Cloned outside: a waker of the host may do anything.
        let waker = Some(cx.waker().clone());
        let (before, sleeps) =
            runtime::with(|rt| (rt.sched.borrow_mut().set_host(waker), rt.inbox().sleep()));
        drop(before);
        if !sleeps {
            cx.waker().wake_by_ref();
        }
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

/// Has every task ended, and were the last calls of other threads made? These may start tasks of the system.
fn all_over() -> bool {
    if flat_live() == 0 {
        entry::end_calls();
    }
    flat_live() == 0
}

/// One batch of polls and one look outside.
fn turn<F: Future>(stage: Stage<F>) -> Stage<F> {
    let stage = match stage {
        Stage::Running { mut main, session } => {
            let ended = runtime::with(|rt| poll_batch(rt, session.main, Some(&mut Pin::new(&mut main))));
            match ended {
                None => Stage::Running { main, session },
                Some(value) => {
                    drop(main);
                    session.main_ended();
                    let until = runtime::with(Runtime::clock).now() + SHUTDOWN_GRACE;
                    Stage::Ending { value, session, until }
                }
            }
        }
        Stage::Ending { value, session, until } => {
            let nobody = None::<&mut Pin<&mut Option<std::future::Ready<()>>>>;
            let _ended = runtime::with(|rt| poll_batch(rt, session.main, nobody));
            Stage::Ending { value, session, until }
        }
        stage @ (Stage::New(_) | Stage::Over) => stage,
    };
    run_jobs();
    fire_due();
    if runtime::with(Runtime::has_reactor) {
        ask_reactor(Some(Duration::ZERO));
    }
    drain_inbox();
    stage
}

impl<D, F: Future> fmt::Debug for Hosted<D, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::New(_) => "new",
            Stage::Running { .. } => "running",
            Stage::Ending { .. } => "ending",
            Stage::Over => "over",
        };
        f.debug_struct("Hosted").field("stage", &stage).finish()
    }
}
