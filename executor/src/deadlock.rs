//! Idle for ever: tasks wait, and nothing of this thread can wake them.
//!
//! ```text
//!   nothing can run ─► a timer? a descriptor? idleness waited for? a wake announced? ─ none ─► stuck ─┬─ forbidden: panic, with the dump
//!                                                                                                     └─ told to instruments, then waited
//! ```
//!
//! Rules:
//! * **No False Alarm**: a waker is a number that any thread may hold without the executor knowing of it. So being stuck is not a
//!   deadlock until somebody says that no other thread will wake: [`forbid_deadlock`]. Without that it is told to those who
//!   listen, and the run waits on.
//! * A run under the virtual clock is a test: there it is forbidden from the beginning, so that a test that can never go on fails
//!   with the picture instead of hanging.
//! * A thread that will wake can be announced ([`expect_wake`]): while one is, nothing is stuck.
//! * Not seen: a hosted run, whose host has wake-ups of its own, and a task that waits for ever beside one that has a timer.

use crate::dump::dump;
use crate::runtime;
use crate::task::task_tree;
use std::fmt;
use std::marker::PhantomData;

/// Says that tasks of this run are woken by this run alone: by one another, by timers and by descriptors. From now on until the
/// run ends it panics out of [`run`](crate::run), with the [`dump`](crate::dump), when all of its tasks wait and nothing of that
/// is left to wake them. Under a virtual clock (`testing`) that is so from the beginning.
///
/// Threads that wake nevertheless are announced by [`expect_wake`]. Descriptors that are watched count as something that wakes,
/// whoever is at their other end.
///
/// # Panics
///
/// Outside a run.
///
/// ```should_panic
/// use pleach_executor::{forbid_deadlock, run, sync::Event};
/// run(async {
///     forbid_deadlock();
///     let nobody_sets_this = Event::new();
///     let _ = nobody_sets_this.wait().await;
/// });
/// ```
#[track_caller]
pub fn forbid_deadlock() {
    let _inside = runtime::run_key();
    runtime::with(|rt| rt.deadlock_forbidden.set(true));
}

/// While this lives, something that the run does not know of is going to wake a task of it.
#[must_use = "the wake is expected only as long as this lives"]
pub struct ExpectedWake {
    run: runtime::RunKey,
    /// It is this thread's.
    _local: PhantomData<*const ()>,
}

/// Announces a wake from another thread, or from anything else that the run does not know of: as long as the value lives, an
/// idle run is not taken for stuck.
///
/// # Panics
///
/// Outside a run.
///
/// ```
/// use pleach_executor::{expect_wake, forbid_deadlock, run};
/// use std::task::Poll;
/// run(async {
///     forbid_deadlock();
///     let _thread = expect_wake();
///     let mut thread = None;
///     std::future::poll_fn(|cx| match &thread {
///         None => {
///             let waker = cx.waker().clone();
///             thread = Some(std::thread::spawn(move || waker.wake()));
///             Poll::Pending
///         }
///         Some(_) => Poll::Ready(()),
///     }).await;
/// });
/// ```
#[track_caller]
pub fn expect_wake() -> ExpectedWake {
    let run = runtime::run_key();
    runtime::with(|rt| rt.expected_wakes.set(rt.expected_wakes.get() + 1));
    ExpectedWake { run, _local: PhantomData }
}

impl Drop for ExpectedWake {
    fn drop(&mut self) {
        if runtime::is_current_epoch(self.run) && runtime::is_current_run(self.run) {
            runtime::with(|rt| rt.expected_wakes.set(rt.expected_wakes.get() - 1));
        }
    }
}

impl fmt::Debug for ExpectedWake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExpectedWake")
    }
}

/// The loop is about to wait with nothing to wait for but other threads.
pub(crate) fn stuck() {
    let (expected, forbidden, watched) =
        runtime::with(|rt| (rt.expected_wakes.get() > 0, rt.deadlock_forbidden.get(), rt.is_watched()));
    if expected {
        return;
    }
    if watched {
        let picture = task_tree();
        runtime::with(|rt| rt.tell(|i| i.stuck(&picture)));
    }
    // What an instrument does may end the wait.
    let still = !runtime::with(runtime::Runtime::is_busy);
    assert!(
        !(forbidden && still),
        "deadlock: every task waits, and no timer and no descriptor is left to wake one:\n{}",
        dump()
    );
}
