//! The course of a run: main runs, what it leaves behind is awaited, all has ended.
//!
//! ```text
//!   begin ─► Running ─ main ends ─► Ending, until nobody is left or the grace is over ─► Over, and the value
//!              each `pass`: a batch of polls ─► jobs ─► due deadlines ─► Pause
//! ```
//!
//! Rules:
//! * A pass never waits, and never asks for events: what a [`Pause`] means is up to whoever drives, [`run`](super::run) on
//!   its own thread, or a [`Visit`](super::visit::Visit) in another loop.
//! * Main is dropped in its run: it lies with the driver, which drops it before the course.

use super::{Pause, between_batches, poll_batch};
use crate::cancel::Reason;
use crate::clock::{Clock, Instant};
use crate::entry;
use crate::panics::Steps;
use crate::runtime::{self, Runtime};
use crate::task::sched::Flat;
use crate::task::word::Word;
use std::future::Future;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::time::Duration;

/// How long tasks that outlive main (their nursery was leaked) may take to end once they are cancelled.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(15);

/// The active run of this thread, on its way.
pub(crate) struct Course<T> {
    stage: Stage<T>,
}

enum Stage<T> {
    Running(Session),
    /// The value goes before the run does.
    Ending {
        value: T,
        session: Session,
        until: Instant,
    },
    Over,
}

/// What has come of a pass.
#[must_use = "a run that is not driven on stands still"]
pub(crate) enum Pass<T> {
    /// All has ended.
    Done(T),
    /// To be waited for before the next one.
    Pause(Pause),
}

impl<T> Course<T> {
    /// Of the run that has just been opened.
    pub(crate) fn begin() -> Self {
        Course { stage: Stage::Running(Session::start()) }
    }

    /// One batch of polls.
    #[track_caller]
    pub(crate) fn pass<F: Future<Output = T>>(&mut self, mut main: Pin<&mut Option<F>>) -> Pass<T> {
        if let Some(value) = runtime::with(|rt| poll_batch(rt, &mut main)) {
            main.set(None);
            self.main_ended(value);
        }
        if let Some(until) = self.grace()
            && let Some(value) = self.all_ended(until)
        {
            return Pass::Done(value);
        }
        Pass::Pause(runtime::with(|rt| between_batches(rt, self.grace())))
    }

    /// Until when what main has left behind is waited for.
    pub(crate) fn grace(&self) -> Option<Instant> {
        match self.stage {
            Stage::Ending { until, .. } => Some(until),
            Stage::Running(_) | Stage::Over => None,
        }
    }

    /// The value, if all has ended or the grace is over.
    #[cold]
    #[track_caller]
    fn all_ended(&mut self, until: Instant) -> Option<T> {
        if !all_over() && grace_clock().now() < until {
            return None;
        }
        let Stage::Ending { value, session, .. } = std::mem::replace(&mut self.stage, Stage::Over) else {
            unreachable!("the grace begins with main's end");
        };
        session.all_ended();
        Some(value)
    }

    /// Main has ended with this value, and has been dropped: what it has left behind is cancelled.
    #[cold]
    pub(super) fn main_ended(&mut self, value: T) {
        let Stage::Running(session) = std::mem::replace(&mut self.stage, Stage::Over) else {
            unreachable!("main ends once");
        };
        session.main_ended();
        let until = grace_clock().now() + SHUTDOWN_GRACE;
        self.stage = Stage::Ending { value, session, until };
    }
}

/// What the grace is measured by: nobody's virtual time.
pub(super) fn grace_clock() -> Clock {
    let clock = runtime::clock();
    if clock.is_virtual() { Clock::Real } else { clock }
}

/// Has every task ended, and were the last calls of other threads made? These may start tasks of the system.
fn all_over() -> bool {
    if flat_live() == 0 {
        entry::end_calls();
    }
    flat_live() == 0
}

fn flat_live() -> usize {
    runtime::with(|rt| rt.sched.borrow().flat_live())
}

/// An active run: ended in order by [`Session::main_ended`] and [`Session::all_ended`], in haste when it is dropped.
struct Session {
    main: Word,
}

impl Session {
    fn start() -> Self {
        runtime::with(|rt| {
            let mut sched = rt.sched.borrow_mut();
            let main = sched.insert_main();
            let _main_has_no_parent = sched.wake(main);
            Session { main }
        })
    }

    /// Main has ended, and has been dropped: whatever is left is cancelled.
    fn main_ended(&self) {
        runtime::remove_node(self.main);
        runtime::with(|rt| {
            rt.shutting_down.set(true);
            runtime::cancel(rt.root(), Reason::Shutdown);
        });
    }

    /// The run ends. What had nobody to go to until now comes out here.
    #[track_caller]
    fn all_ended(self) {
        let ignored = flat_live();
        drop(self);
        runtime::with(|rt| {
            if let Some(payload) = rt.system_panic.take() {
                resume_unwind(payload);
            }
            let failures = rt.orphan_failures.replace(0);
            assert!(
                failures <= 0,
                "{failures} task(s) failed whose nursery had been leaked: their errors had nobody to go to"
            );
            assert!(
                ignored == 0,
                "{ignored} task(s) ignored their cancellation for {SHUTDOWN_GRACE:?} and were dropped"
            );
        });
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !runtime::is_there() {
            // A guest that was kept in a thread-local: the thread ends, and the runtime was dropped before.
            return;
        }
        runtime::remove_node(self.main);
        // What panics from here on has nowhere to go.
        let mut steps = Steps::new();
        // Jobs that nobody waits for any more: they are not the next run's.
        let jobs = runtime::with(|rt| std::mem::take(&mut *rt.jobs.borrow_mut()));
        steps.step(|| drop(jobs));
        loop {
            // Accepted Is Made, also if main has panicked, and in this place for what a destructor asks for.
            steps.step(entry::end_calls);
            let task = runtime::with(|rt| rt.sched.borrow_mut().take_any_flat());
            let Some(task) = task else { break };
            steps.step(|| match task {
                Flat::Static(child, group) => group.discard(child),
                Flat::System(task) => drop(task),
            });
        }
        std::mem::forget(steps.into_first());
        runtime::with(Runtime::close);
    }
}
