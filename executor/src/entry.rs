//! The entry queue: how code on any thread gets something done on the thread of a run.
//!
//! ```text
//!   any thread: RunHandle::call_soon(f) ─► line (reactor/calls.rs) ─► the loop, between two batches of polls: f()
//!               Nudge::call_soon()  ─ in line already? that call is it ─┘
//!   main and all tasks have ended ─► the line is over ─► what is left in it is called ─► later ones: RunFinished
//! ```
//!
//! Rules:
//! * First in, first out, plain calls and nudges in one line.
//! * A call that was accepted is made before the run returns, also if main fails or panics.
//! * **Whoever Was There**: the loop makes the calls that were in line when it looked, once. What they ask for has its turn
//!   after the next batch of polls, so that calls which ask for themselves again starve nobody.
//! * Calls are made at top level: no task, no task-local value, the run's root scope, nothing borrowed.
//! * A panic of a call is the run's: main is cancelled, the other calls are made, and the panic comes out of the run.
//! * Nothing of this exists in a run that nobody asked for its handle. A forked child has none of its parent's: for a handle
//!   it inherited the run is over.

use crate::reactor::calls::{Calls, leaves_line};
use crate::reactor::parts::AtomicBool;
use crate::runtime::{self, Runtime};
use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Something another thread wants done here.
pub(crate) enum Call {
    Once(Box<dyn FnOnce() + Send>),
    Nudge(Arc<NudgeCell>),
}

pub(crate) struct NudgeCell {
    in_line: AtomicBool,
    call: Box<dyn Fn() + Send + Sync>,
}

impl Call {
    fn make(self) {
        match self {
            Call::Once(call) => call(),
            Call::Nudge(cell) => {
                leaves_line(&cell.in_line);
                (cell.call)();
            }
        }
    }
}

/// The way into a run from any thread.
///
/// It can be cloned and sent, it keeps nothing alive, and two are equal if they lead into the same run.
///
/// Source: trio's `TrioToken`.
///
/// ```
/// use pleach_executor::{RunHandle, run, sync::Event};
/// use std::rc::Rc;
///
/// let handle = run(async {
///     let handle = RunHandle::current();
///     let there = handle.clone();
///     std::thread::spawn(move || there.call_soon(|| println!("in the loop")).unwrap()).join().unwrap();
///     handle
/// });
/// assert!(handle.call_soon(|| unreachable!()).is_err());
/// ```
#[derive(Clone)]
pub struct RunHandle {
    calls: Arc<Calls<Call>>,
    epoch: u64,
}

impl RunHandle {
    /// The handle of the run that is active on this thread.
    ///
    /// # Panics
    ///
    /// Outside a run.
    #[must_use]
    #[track_caller]
    pub fn current() -> Self {
        let _inside = runtime::run_key();
        RunHandle { calls: runtime::with(Runtime::calls), epoch: runtime::epoch() }
    }

    /// Any thread: has the run's loop call `f`, soon, and does not wait for it. (trio's `run_sync_soon`.)
    ///
    /// Calls are made in the order in which they were asked for. One that was accepted is made before the run returns.
    /// Its panic cancels main and comes out of the run.
    ///
    /// # Errors
    ///
    /// [`RunFinished`] if the run is over; `f` has been dropped.
    pub fn call_soon(&self, f: impl FnOnce() + Send + 'static) -> Result<(), RunFinished> {
        if self.is_inherited() {
            return Err(RunFinished);
        }
        self.calls.put(Call::Once(Box::new(f))).map_err(|_| RunFinished)
    }

    /// A call that is in line at most once, however often it is asked for: see [`Nudge`].
    #[must_use]
    pub fn nudge(&self, f: impl Fn() + Send + Sync + 'static) -> Nudge {
        let cell = NudgeCell { in_line: AtomicBool::new(false), call: Box::new(f) };
        Nudge { run: self.clone(), cell: Arc::new(cell) }
    }

    /// Any thread: is the run over?
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.is_inherited() || self.calls.is_over()
    }

    /// Does it lead into the run that is active on this thread?
    pub(crate) fn is_here(&self) -> bool {
        runtime::has_calls(&self.calls)
    }

    /// In a forked child a lock of the parent's may be held for ever: it is not touched.
    fn is_inherited(&self) -> bool {
        self.epoch != runtime::epoch()
    }
}

impl PartialEq for RunHandle {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.calls, &other.calls)
    }
}

impl Eq for RunHandle {}

impl fmt::Debug for RunHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunHandle").field("finished", &self.is_finished()).finish()
    }
}

/// One call into a run, which many may ask for while it is in line, and which is then made once for all of them.
///
/// Whoever asks after it has begun has it made again. (trio's `run_sync_soon` with `idempotent=True`; there equal calls are
/// one, here clones of one nudge are.)
///
/// ```
/// use pleach_executor::{RunHandle, checkpoint, run};
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
///
/// let called = Arc::new(AtomicU32::new(0));
/// run(async {
///     let count = Arc::clone(&called);
///     let nudge = RunHandle::current().nudge(move || _ = count.fetch_add(1, SeqCst));
///     for _ in 0..1000 {
///         nudge.call_soon().unwrap();
///     }
///     checkpoint().await.unwrap();
/// });
/// assert_eq!(called.load(SeqCst), 1);
/// ```
#[derive(Clone)]
pub struct Nudge {
    run: RunHandle,
    cell: Arc<NudgeCell>,
}

impl Nudge {
    /// Any thread: has the run's loop make the call, unless it is going to anyway.
    ///
    /// # Errors
    ///
    /// [`RunFinished`] if the run is over.
    pub fn call_soon(&self) -> Result<(), RunFinished> {
        if self.run.is_inherited() {
            return Err(RunFinished);
        }
        let call = || Call::Nudge(Arc::clone(&self.cell));
        self.run.calls.put_once(&self.cell.in_line, call).map_err(|_over| RunFinished)
    }
}

impl fmt::Debug for Nudge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nudge").field("run", &self.run).finish_non_exhaustive()
    }
}

/// The run has ended, and takes no calls any more: there is nobody to make them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunFinished;

impl fmt::Display for RunFinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the run has ended, or is another process': keep the handle no longer than the run")
    }
}

impl Error for RunFinished {}

// ---- the owner's side

/// Makes the calls that are in line now (Whoever Was There).
pub(crate) fn make_calls() {
    let mut batch = runtime::with(|rt| rt.called.take());
    runtime::with(|rt| rt.calls_if_any().inspect(|calls| calls.take(&mut batch)));
    make_each(batch.drain(..));
    runtime::with(|rt| rt.called.replace(batch));
}

/// The run is over, or nearly: takes no more calls, and makes those that it has accepted.
pub(crate) fn end_calls() {
    let calls = runtime::with(Runtime::calls_if_any);
    make_each(calls.map(|calls| calls.end()).unwrap_or_default());
}

fn make_each(calls: impl IntoIterator<Item = Call>) {
    for call in calls {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| call.make())) {
            runtime::system_panicked(payload);
        }
    }
}
