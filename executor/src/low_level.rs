//! For the layers that make processes: work between two polls, tasks of the system, and what a fork needs to know.
//!
//! ```text
//!   a task ─ between_polls(job) ─► queue ─► the loop, at top level ─► job() ─► fork ─┬─ parent: returns
//!                                                                                   └─ child: forget_runtime(), run(…)
//! ```
//!
//! Ordinary programs need nothing of this module.

use crate::error::Cancelled;
use crate::runtime;
use crate::signals::{Signal, dispositions};
use crate::task::TaskId;
use crate::threads::{self, BusyThreads};
use std::any::TypeId;
use std::future::Future;
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;

/// Runs `job` on this thread's loop at top level: no task is being polled, and nothing of the runtime is borrowed.
///
/// That is the place to fork. Jobs run in the order in which they were queued, at the latest after 64 polls.
///
/// # Panics
///
/// Outside a run.
///
/// ```
/// use pleach_executor::{checkpoint, current_task, low_level::between_polls, run};
/// use std::{cell::Cell, rc::Rc};
///
/// let done = Rc::new(Cell::new(false));
/// let does = Rc::clone(&done);
/// run(async {
///     between_polls(move || {
///         assert!(current_task().is_none());
///         does.set(true);
///     });
///     assert!(!done.get(), "main is being polled");
///     while !done.get() { checkpoint().await.unwrap(); }
/// });
/// ```
#[track_caller]
pub fn between_polls(job: impl FnOnce() + 'static) {
    let _inside = runtime::run_key();
    runtime::with(|rt| {
        rt.jobs.borrow_mut().push_back(Box::new(job));
        rt.ring_host();
    });
}

/// Starts a task that belongs to the run and not to a nursery. When main has ended it is cancelled with the reason
/// `Shutdown`, and [`crate::run`] returns only after it has ended. Says which task it is.
///
/// For clean-up that must happen although its owner was dropped. A panic in it cancels main, and comes out of `run`.
///
/// # Panics
///
/// Outside a run.
///
/// Source: trio's `spawn_system_task`.
///
/// ```
/// use pleach_executor::{Owner, Reason, low_level::spawn_system, run, sleep_forever, task_tree};
/// use std::{cell::Cell, rc::Rc};
///
/// let ended = Rc::new(Cell::new(false));
/// let ends = Rc::clone(&ended);
/// run(async {
///     let task = spawn_system(async move {
///         let Err(c) = sleep_forever().await;
///         assert!(matches!(c.reason(), Reason::Shutdown));
///         ends.set(true);
///     });
///     assert_eq!(task_tree().task(task).map(|t| t.owner), Some(Owner::Nobody));
/// });
/// assert!(ended.get(), "main had ended before");
/// ```
#[track_caller]
pub fn spawn_system(fut: impl Future<Output = ()> + 'static) -> TaskId {
    let _inside = runtime::run_key();
    let root = runtime::with(runtime::Runtime::root);
    runtime::spawn_system(
        std::panic::Location::caller(),
        Box::pin(async move {
            let mut fut = std::pin::pin!(fut);
            std::future::poll_fn(|cx| {
                runtime::with(|rt| {
                    let _inside = rt.enter_as_is(root);
                    fut.as_mut().poll(cx)
                })
            })
            .await;
        }),
    )
}

/// Gives any task of this run a name, in place of the one before: for [`dump`](crate::dump). Does nothing if it has ended.
///
/// For those that nobody can name where they are spawned: tasks of the system. Children: see
/// [`Nursery::named`](crate::Nursery::named).
///
/// ```
/// use pleach_executor::{dump, low_level::{name_task, spawn_system}, run};
/// run(async {
///     name_task(spawn_system(async {}), "housekeeping");
///     assert!(dump().contains("\"housekeeping\""));
/// });
/// ```
pub fn name_task(task: TaskId, name: impl Into<Rc<str>>) {
    let name = name.into();
    runtime::with(|rt| rt.sched.borrow_mut().set_name(task, name));
}

/// How many forks lie between this process and the one that was exec'd.
///
/// Every object of this crate that owns a descriptor or a key compares it before it cleans up: inherited by a forked
/// child, it forgets itself instead.
#[must_use]
pub fn epoch() -> u64 {
    runtime::epoch()
}

/// The descriptors that this thread's runtime owns by epoch-checked types: its epoll instance, its bell, and every
/// registered descriptor whose owner is one of this crate's types. A forked child closes exactly these numbers.
#[must_use]
pub fn owned_fds() -> Vec<RawFd> {
    runtime::owned_fds()
}

/// In a forked child, first of all: forgets the inherited runtime, which is never dropped, and raises the epoch.
/// After it this thread can [`crate::run`] again, although the parent's `run` lies below on its stack.
///
/// Call it from a job of [`between_polls`] and never return from that job: the parent's loop must not be resumed.
///
/// # Panics
///
/// If a task is being polled, or a part of the runtime is borrowed, which no job of `between_polls` can see.
#[track_caller]
pub fn forget_runtime() {
    runtime::forget();
}

/// Takes a `Cancelled` in on behalf of a scope of an upper layer: it is not counted as swallowed.
pub fn absorb(c: Cancelled) {
    c.absorb();
}

/// Puts a value into this thread's run, in place of the one of that type, which comes back. The values of a run go when it ends.
///
/// There is one place for each type: a layer that keeps a type of its own cannot be disturbed by another. It is for what has to
/// be found without being handed on, such as which actor this process is; what belongs to a task is a
/// [`TaskLocal`](crate::TaskLocal).
///
/// # Panics
///
/// Outside a run.
///
/// # References
///
/// trio's `RunVar`; without a default, which is the caller's own ([`local`]), and without tokens: the value before is what comes
/// back.
///
/// ```
/// use pleach_executor::{low_level::{local, set_local}, run};
/// use std::rc::Rc;
/// struct Settings { retries: u32 }
/// run(async {
///     assert!(set_local(Rc::new(Settings { retries: 3 })).is_none());
///     set_local(Rc::new("somebody else's"));
///     assert_eq!(local::<Settings>().map_or(0, |settings| settings.retries), 3);
/// });
/// assert!(local::<Settings>().is_none());
/// ```
#[track_caller]
pub fn set_local<T: 'static>(value: Rc<T>) -> Option<Rc<T>> {
    let _inside = runtime::run_key();
    let before = runtime::with(|rt| rt.local.borrow_mut().insert(TypeId::of::<T>(), value));
    before.and_then(|value| value.downcast().ok())
}

/// The value of [`set_local`]; `None` outside a run, or if none of type `T` was put there in this run.
#[must_use]
pub fn local<T: 'static>() -> Option<Rc<T>> {
    let value = runtime::with(|rt| rt.local.borrow().get(&TypeId::of::<T>()).cloned())?;
    value.downcast().ok()
}

/// Takes the value of [`set_local`] out of the run.
pub fn take_local<T: 'static>() -> Option<Rc<T>> {
    let value = runtime::with(|rt| rt.local.borrow_mut().remove(&TypeId::of::<T>()))?;
    value.downcast().ok()
}

/// Ends and joins the worker threads of this run that are without work: called right before a fork, which other threads
/// would not survive. New ones are started when they are needed.
///
/// Does nothing outside a run, and in one that never called a thread. Waits for no work.
///
/// # Errors
///
/// [`BusyThreads`] names those that are at work; they, and only they, are still there.
pub fn retire_threads() -> Result<(), BusyThreads> {
    threads::retire()
}

/// Says that the caller's layer installs a handler of its own for a signal: until [`disclaim_signal`] no
/// [`Signals`](crate::signals::Signals) listens to it. Idempotent; a forked child begins without claims.
///
/// So two layers never put back each other's handlers. Any thread.
///
/// # Errors
///
/// `ResourceBusy` if a stream listens to it.
///
/// ```
/// use pleach_executor::{low_level, run, signals::{OpenError, Signal, Signals}};
/// low_level::claim_signal(Signal::USR1).unwrap();
/// run(async { assert!(matches!(Signals::open(&[Signal::USR1]), Err(OpenError::Busy(Signal::USR1)))) });
/// low_level::disclaim_signal(Signal::USR1);
/// ```
pub fn claim_signal(signal: Signal) -> io::Result<()> {
    dispositions::claim(signal)
}

/// Says that the handler of [`claim_signal`] is gone. Any thread.
pub fn disclaim_signal(signal: Signal) {
    dispositions::disclaim(signal);
}
