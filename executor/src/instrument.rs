//! Instruments: code that is told what the executor does, while it does it.
//!
//! ```text
//!   install(instrument) ─► Installed ─ dropped ─► gone
//!                             │ told:  run_began ─► task_spawned ─► task_scheduled ─► before_step ─► after_step ─► … ─► task_exited
//!                             └──────  scope_cancelled      before_io_wait ─► after_io_wait                      ─► run_ended
//! ```
//!
//! * `instrument.rs`: what an instrument is. `instrument/traced.rs`: one that tells the crate `tracing` (feature `tracing`).
//! * `runtime/instruments.rs`: how they are told.
//!
//! Rules:
//! * Nobody pays who has none: the executor then looks at a flag, once in a poll and once in a wake.
//! * **In Order**: every instrument is told everything in the order in which it happened. What happens inside a step (a
//!   spawn, a wake, an end) is told at the latest before the next step begins or ends.
//! * An instrument that panics is removed. The run, and the other instruments, do not notice.

#[cfg(feature = "tracing")]
mod traced;

#[cfg(feature = "tracing")]
pub use traced::Traced;

use crate::cancel::{Reason, ScopeId};
use crate::runtime;
use crate::task::{TaskId, TaskTree};
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

/// Code that is told what the executor of its thread does. Each method is told one kind of event and does nothing unless it is
/// written; none may block.
///
/// All are called inside the run. [`current_task`](crate::current_task) is the task in question for steps and exits, and
/// `None` otherwise. They may use everything that does not wait: spawn, cancel, wake, [`task_tree`](crate::task_tree),
/// install and remove instruments. What they cause is told as well.
///
/// Source: trio's `Instrument`.
///
/// ```
/// use pleach_executor::instrument::{Instrument, install};
/// use pleach_executor::{TaskId, checkpoint, run};
/// use std::cell::Cell;
/// use std::rc::Rc;
///
/// #[derive(Default)]
/// struct Steps(Cell<u32>);
///
/// impl Instrument for Steps {
///     fn before_step(&self, _task: TaskId) { self.0.set(self.0.get() + 1); }
/// }
///
/// let steps = Rc::new(Steps::default());
/// let installed = install(Rc::clone(&steps));
/// run(async { checkpoint().await.unwrap() });
/// assert_eq!(steps.0.get(), 2);
/// drop(installed);
/// ```
pub trait Instrument {
    /// A run has begun on this thread.
    fn run_began(&self) {}

    /// The run ends: every task has.
    fn run_ended(&self) {}

    /// A task has come in: main, or a child.
    fn task_spawned(&self, task: TaskId) {
        let _ = task;
    }

    /// A task that waited can run. A task is told here as well if it will be polled only because a child that lives in a
    /// nursery of its own can run.
    fn task_scheduled(&self, task: TaskId) {
        let _ = task;
    }

    /// A task is about to be polled. A child that borrows is polled inside of its opener's step.
    fn before_step(&self, task: TaskId) {
        let _ = task;
    }

    /// A task has been polled.
    fn after_step(&self, task: TaskId) {
        let _ = task;
    }

    /// A task has ended, or was dropped.
    fn task_exited(&self, task: TaskId) {
        let _ = task;
    }

    /// A scope was cancelled: by request, by its deadline, by a failure. Told once for each; not for those below it.
    fn scope_cancelled(&self, scope: ScopeId, reason: &Reason) {
        let _ = (scope, reason);
    }

    /// The executor is about to ask the operating system for events, and to wait for them at most so long; `None`: as long as
    /// it takes. A run that is hosted waits in its host, which is not told.
    fn before_io_wait(&self, timeout: Option<Duration>) {
        let _ = timeout;
    }

    /// The executor is about to wait although no timer and no descriptor is left that could end it: only another thread can, or
    /// nothing. `picture` says who waits for what. Not told in a run that is hosted.
    fn stuck(&self, picture: &TaskTree) {
        let _ = picture;
    }

    /// The loop that a run is a guest of has given up on it: everything of it is dropped next. `picture` says who was there.
    fn abandoned(&self, picture: &TaskTree) {
        let _ = picture;
    }

    /// It has asked; `timeout` is what `before_io_wait` was told.
    fn after_io_wait(&self, timeout: Option<Duration>) {
        let _ = timeout;
    }
}

/// A shared instrument, so that somebody else can look at it.
impl<I: Instrument + ?Sized> Instrument for Rc<I> {
    fn run_began(&self) {
        (**self).run_began();
    }
    fn run_ended(&self) {
        (**self).run_ended();
    }
    fn task_spawned(&self, task: TaskId) {
        (**self).task_spawned(task);
    }
    fn task_scheduled(&self, task: TaskId) {
        (**self).task_scheduled(task);
    }
    fn before_step(&self, task: TaskId) {
        (**self).before_step(task);
    }
    fn after_step(&self, task: TaskId) {
        (**self).after_step(task);
    }
    fn task_exited(&self, task: TaskId) {
        (**self).task_exited(task);
    }
    fn scope_cancelled(&self, scope: ScopeId, reason: &Reason) {
        (**self).scope_cancelled(scope, reason);
    }
    fn before_io_wait(&self, timeout: Option<Duration>) {
        (**self).before_io_wait(timeout);
    }
    fn after_io_wait(&self, timeout: Option<Duration>) {
        (**self).after_io_wait(timeout);
    }
    fn stuck(&self, picture: &TaskTree) {
        (**self).stuck(picture);
    }
    fn abandoned(&self, picture: &TaskTree) {
        (**self).abandoned(picture);
    }
}

/// An instrument is installed as long as this lives; dropping it removes it.
#[must_use = "dropping this removes the instrument: bind it to a name"]
pub struct Installed {
    key: InstrumentKey,
    epoch: u64,
    /// It is this thread's.
    _local: PhantomData<*const ()>,
}

/// Which instrument: never used again on its thread.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct InstrumentKey(pub(crate) u64);

/// Installs an instrument on this thread: it is told of the run that is active, from now on, and of those to come. Several may
/// be installed; each is told in the order in which they were.
///
/// One that panics is removed at once; nothing else notices.
pub fn install(instrument: impl Instrument + 'static) -> Installed {
    let key = runtime::with(|rt| rt.install(Rc::new(instrument)));
    Installed { key, epoch: runtime::epoch(), _local: PhantomData }
}

impl Installed {
    /// Has it panicked, and was removed for that?
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.epoch == runtime::epoch() && !runtime::with(|rt| rt.is_installed(self.key))
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        if self.epoch == runtime::epoch() {
            runtime::uninstall(self.key);
        }
    }
}

impl fmt::Debug for Installed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Installed").field("failed", &self.has_failed()).finish()
    }
}
