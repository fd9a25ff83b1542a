//! The way back: what the function of a thread can ask of the run that it works for, and what any thread can with a handle.
//!
//! ```text
//!   Host::call(f) ──────► errand ─► the caller's poll ─► f() ─► answer ─► the thread goes on    (in the caller's task)
//!   RunHandle::call(f) ─► entry queue ─► the loop ─────► f() ─► answer                          (in no task)
//!   …::call_async(f) the same with a future; by a handle it is a task of the system
//! ```
//!
//! Rules:
//! * The thread waits. So the loop's own thread is refused: it would wait for itself.
//! * A panic continues in the thread that waits. A task that is dropped leaves the thread with an error, never waiting.

use super::call::{Answer, Call, Errand};
use super::crew::Crew;
use super::error::CallError;
use crate::entry::{RunFinished, RunHandle};
use crate::error::Cancelled;
use crate::low_level::spawn_system;
use crate::panics::Payload;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

/// The run that a thread works for, as the function in the thread sees it.
///
/// It can be shared by threads that the function starts itself and joins.
pub struct Host {
    call: Arc<Call>,
    run: RunHandle,
    way: Way,
}

/// Where the function's calls run.
#[derive(Clone, Copy)]
pub(super) enum Way {
    /// In the task that waits for it.
    Caller,
    /// In the loop, because the caller may go.
    System,
}

impl Host {
    pub(super) fn new(call: Arc<Call>, run: RunHandle, way: Way) -> Self {
        Host { call, run, way }
    }

    /// Has `f` called in the loop, and waits for its value. (trio's `from_thread.run_sync`.)
    ///
    /// It is called by the task that waits for this thread, in its cancel scope and with its task-local values; for a call
    /// that can be abandoned ([`ToThread::abandonable`](super::ToThread::abandonable)), at top level.
    ///
    /// # Errors
    ///
    /// [`CallError`] if the caller or the run is gone; `f` was not called, or its value is lost.
    ///
    /// # Panics
    ///
    /// With the panic of `f`.
    pub fn call<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> Result<T, CallError> {
        self.call_async(async move || f())
    }

    /// The same with an async function, which may wait. In a cancelled scope its checkpoints fail.
    ///
    /// For a call that can be abandoned it runs as a task of the system: see [`RunHandle::call_async`].
    ///
    /// # Errors
    ///
    /// As [`call`](Host::call).
    ///
    /// # Panics
    ///
    /// With the panic of `f`.
    pub fn call_async<T, F>(&self, f: F) -> Result<T, CallError>
    where
        T: Send + 'static,
        F: AsyncFnOnce() -> T + Send + 'static,
    {
        match self.way {
            Way::System => Ok(self.run.call_async(f)?),
            Way::Caller => {
                let (answer, hears) = bounded(1);
                let posted = self.call.post(Box::new(move || errand(f, answer)));
                let call = Arc::clone(&self.call);
                if posted && self.run.call_soon(move || call.arrived()).is_err() {
                    // The run ends, and there is no line to be behind any more; its last callers still serve their threads.
                    self.call.arrived();
                }
                let value = hear(&hears).ok_or_else(|| self.gone())?;
                Ok(value)
            }
        }
    }

    fn gone(&self) -> CallError {
        if self.run.is_finished() { CallError::RunFinished } else { CallError::CallerGone }
    }

    /// Is the caller cancelled, or gone? For a function that can stop early: hand the value back, and it reaches the
    /// caller's scope. (trio's `from_thread.check_cancelled`.)
    ///
    /// Once it fails it always does, whatever is shielded later.
    ///
    /// # Errors
    ///
    /// [`Cancelled`], with the reason of the first cancellation that the caller saw.
    pub fn check_cancelled(&self) -> Result<(), Cancelled> {
        self.call.check_cancelled()
    }

    /// A handle of the run.
    #[must_use]
    pub fn run_handle(&self) -> &RunHandle {
        &self.run
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("run", &self.run).finish_non_exhaustive()
    }
}

/// Blocking calls, for other threads.
impl RunHandle {
    /// Any thread but the run's: has the loop call `f`, at top level, and waits for its value.
    ///
    /// # Errors
    ///
    /// [`RunFinished`] if the run is over; `f` was not called.
    ///
    /// # Panics
    ///
    /// With the panic of `f`. On the thread of the run, which would wait for itself.
    ///
    /// ```
    /// use pleach_executor::{RunHandle, current_task, run, to_thread};
    /// run(async {
    ///     let handle = RunHandle::current();
    ///     let in_a_task = to_thread(move || handle.call(|| current_task().is_some())).await.unwrap();
    ///     assert_eq!(in_a_task, Ok(false));
    /// });
    /// ```
    #[track_caller]
    pub fn call<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> Result<T, RunFinished> {
        self.require_elsewhere();
        let (answer, hears) = bounded(1);
        self.call_soon(move || _ = answer.send(catch_unwind(AssertUnwindSafe(f))))?;
        hear(&hears).ok_or(RunFinished)
    }

    /// Any thread but the run's: runs an async function as a task of the run, and waits for its value. (trio's
    /// `from_thread.run` with a token.)
    ///
    /// The task belongs to no nursery. It is cancelled with the reason `Shutdown` when main has ended.
    ///
    /// # Errors
    ///
    /// [`RunFinished`] if the run is over, or ended in haste before `f` did.
    ///
    /// # Panics
    ///
    /// As [`call`](RunHandle::call).
    #[track_caller]
    pub fn call_async<T, F>(&self, f: F) -> Result<T, RunFinished>
    where
        T: Send + 'static,
        F: AsyncFnOnce() -> T + Send + 'static,
    {
        self.require_elsewhere();
        let (answer, hears) = bounded(1);
        self.call_soon(move || {
            spawn_system(async move {
                let answer = in_loop(errand(f, answer)).await;
                answer();
            });
        })?;
        hear(&hears).ok_or(RunFinished)
    }

    #[track_caller]
    fn require_elsewhere(&self) {
        assert!(
            !self.is_here(),
            "this thread runs the loop that would have to answer: call or await the function itself"
        );
    }
}

/// The value that comes as an answer, or its panic; `None` if whoever was to give it is gone.
fn hear<T>(hears: &Receiver<Result<T, Payload>>) -> Option<T> {
    match hears.recv().ok()? {
        Ok(value) => Some(value),
        Err(payload) => resume_unwind(payload),
    }
}

/// Runs `f` to its end, or its panic; whoever gets the answer lets the thread go on with it.
fn errand<T, F>(f: F, answer: Sender<Result<T, Payload>>) -> Errand
where
    T: Send + 'static,
    F: AsyncFnOnce() -> T + Send + 'static,
{
    Box::pin(async move {
        let outcome = {
            let mut fut = pin!(async move { f().await });
            poll_fn(|cx| {
                let polled = catch_unwind(AssertUnwindSafe(|| fut.as_mut().poll(cx)));
                polled.map_or_else(|payload| Poll::Ready(Err(payload)), |polled| polled.map(Ok))
            })
            .await
        };
        // It has room for one, and the thread waits.
        Box::new(move || _ = answer.send(outcome)) as Answer
    })
}

/// Polls an errand; as long as it waits, its thread waits for the loop.
pub(super) async fn in_loop(errand: Errand) -> Answer {
    struct Waits(Rc<Crew>);
    impl Drop for Waits {
        fn drop(&mut self) {
            self.0.in_loop.set(self.0.in_loop.get() - 1);
        }
    }
    let crew = Crew::current();
    crew.in_loop.set(crew.in_loop.get() + 1);
    let _waits = Waits(crew);
    errand.await
}
