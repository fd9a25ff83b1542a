//! A run in a loop that is not its own: driven step by step, told when to come back.
//!
//! ```text
//!   the loop outside ─ step ─► what has come (descriptors, other threads, deadlines) ─► one pass of the course ─┬─ Done
//!        ▲                                                                                                    ├─ Ready: at once
//!        └── rings, timer, descriptors ── rest: from now on whatever has to be looked at rings ◄──────────────┴─ Idle
//! ```
//!
//! Rules:
//! * A step never waits, and hands the thread back after 64 polls, however many tasks are ready.
//! * The run is active on its thread between two steps as well: code of the loop outside may spawn into it, cancel it, and
//!   wake it, and no second run may be there.
//! * **Nobody Is Dropped Unheard**: a run whose loop gives up on it is reported to instruments before anything of it goes.

use super::course::{Course, Pass};
use super::{Pause, ask_reactor, drain_inbox, fire_due, wake_idle};
use crate::clock::Instant;
use crate::reactor::EVENTS;
use crate::reactor::notify::Inbox;
use crate::runtime::{self, Runtime};
use crate::task::task_tree;
use std::future::Future;
use std::pin::Pin;
use std::task::Waker;
use std::time::Duration;

/// A run that has begun. Dropped in the order in which it stands here: main in its run.
pub(crate) struct Visit<F: Future> {
    main: Pin<Box<Option<F>>>,
    course: Course<F::Output>,
    /// Since when nothing has happened, if somebody waits for that.
    quiet: Option<Instant>,
    whereabouts: Whereabouts,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Whereabouts {
    /// In a step. Who leaves from here has panicked, and that tells enough.
    Inside,
    /// Between two.
    Outside,
    Over,
}

/// What a step has come to.
pub(crate) enum Step<T> {
    Done(T),
    /// There is more to do.
    Ready,
    /// Not before this moment, unless something rings.
    Idle(Option<Instant>),
}

impl<F: Future> Visit<F> {
    /// Of the run that has just been opened.
    pub(crate) fn begin(main: Pin<Box<Option<F>>>) -> Self {
        Visit { main, course: Course::begin(), quiet: None, whereabouts: Whereabouts::Outside }
    }

    /// One batch of polls, with what has come since the last.
    #[track_caller]
    pub(crate) fn step(&mut self) -> Step<F::Output> {
        self.whereabouts = Whereabouts::Inside;
        wake();
        let all_seen = self.look_back() < EVENTS;
        let step = match self.course.pass(self.main.as_mut()) {
            Pass::Done(value) => Step::Done(value),
            // A loop that watches by edges is not told again of what is left over.
            Pass::Pause(_) if !all_seen => Step::Ready,
            Pass::Pause(pause) => self.step_for(pause),
        };
        let is_over = matches!(step, Step::Done(_));
        self.whereabouts = if is_over { Whereabouts::Over } else { Whereabouts::Outside };
        step
    }

    /// What has come from outside, and whether that is nothing for as long as somebody waits for.
    /// Says how many events there were.
    fn look_back(&mut self) -> usize {
        let seen = runtime::with(|rt| {
            let seen = ask_reactor(rt, Some(Duration::ZERO));
            drain_inbox(rt);
            fire_due(rt);
            seen
        });
        if seen > 0 || runtime::with(Runtime::is_busy) {
            self.quiet = None;
        }
        let (Some(since), Some(cushion)) = (self.quiet, runtime::with(Runtime::cushion)) else { return seen };
        if runtime::clock().now() >= since + cushion {
            self.quiet = None;
            runtime::with(wake_idle);
        }
        seen
    }

    fn step_for(&mut self, pause: Pause) -> Step<F::Output> {
        match pause {
            Pause::None => Step::Ready,
            Pause::Until(until) => Step::Idle(until),
            // The loop outside has wake-ups of its own, of which nothing is known here.
            Pause::Stuck => Step::Idle(None),
            Pause::Quiet { until, cushion } => {
                let since = *self.quiet.get_or_insert_with(|| runtime::clock().now());
                // Not told as a moment: a host may have no timers.
                if cushion.is_zero() {
                    return Step::Ready;
                }
                let end = since + cushion;
                Step::Idle(Some(until.map_or(end, |until| until.min(end))))
            }
            Pause::Standstill => unreachable!("no loop outside drives a virtual clock"),
        }
    }
}

impl<F: Future> Drop for Visit<F> {
    fn drop(&mut self) {
        if self.whereabouts != Whereabouts::Outside || !runtime::is_there() {
            return;
        }
        wake();
        // Nobody Is Dropped Unheard.
        runtime::with(|rt| {
            if rt.is_watched() {
                let picture = task_tree();
                rt.tell(|i| i.abandoned(&picture));
            }
        });
    }
}

/// The thread is here: whatever happens from now on is seen without a ring.
fn wake() {
    let before = runtime::with(|rt| {
        rt.with_inbox(Inbox::awake);
        rt.sched.borrow_mut().set_host(None)
    });
    drop(before);
}

/// The loop outside goes to wait: whatever has to be looked at rings from now on, on this thread with `waker`. `false` if
/// something has come, and it is not to wait.
#[must_use = "who waits in spite of mail may wait for ever"]
pub(crate) fn rest(waker: Waker) -> bool {
    let (before, sleeps) =
        runtime::with(|rt| (rt.sched.borrow_mut().set_host(Some(waker)), rt.with_inbox(Inbox::sleep)));
    drop(before);
    sleeps
}
