//! Does this code notice cancellation, and does it let others run? Two questions at once: was it a checkpoint?
//!
//! ```text
//!   poll ─► asked whether it is cancelled? ─┐
//!        └► suspended, or charged? ─────────┴─► both: a checkpoint │ neither: none │ one of them: wrong in any case
//! ```
//!
//! Rules:
//! * Counting costs nobody who does not: while somebody watches, the tree of scopes takes every question for one that it
//!   has to look into, and there they are counted.

use crate::runtime;
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::pin;

/// What a future did that a checkpoint does.
#[derive(Clone, Copy, Default)]
struct Did {
    /// It asked whether its scope is cancelled.
    check: bool,
    /// It suspended, or was charged for not doing so.
    schedule: bool,
}

/// While this lives, questions are counted.
struct Watch;

impl Watch {
    fn begin() -> Self {
        runtime::with(|rt| rt.watch_checks(true));
        Watch
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        runtime::with(|rt| rt.watch_checks(false));
    }
}

async fn watched<F: Future>(fut: F) -> (F::Output, Did) {
    let mut fut = pin!(fut);
    let mut did = Did::default();
    let value = poll_fn(|cx| {
        let _watch = Watch::begin();
        let (checks, budget) = runtime::with(|rt| (rt.checks(), rt.budget_left()));
        let polled = fut.as_mut().poll(cx);
        let (checks_after, budget_after) = runtime::with(|rt| (rt.checks(), rt.budget_left()));
        did.check |= checks_after != checks;
        did.schedule |= polled.is_pending() || budget_after < budget;
        polled
    })
    .await;
    (value, did)
}

/// Runs `fut`, and panics if it was no checkpoint: if it never asked whether its scope is cancelled, or neither suspended
/// nor was charged to the task's budget.
///
/// Source: trio's `assert_checkpoints`.
///
/// # Cancellation
///
/// As `fut`.
///
/// # Panics
///
/// If `fut` ended without a checkpoint. Outside a run.
///
/// ```
/// use pleach_executor::{checkpoint, run, sync::Event, testing::assert_checkpoints};
/// run(async {
///     assert_checkpoints(checkpoint()).await.unwrap();
///     let up = Event::new();
///     up.set();
///     assert_checkpoints(up.wait()).await.unwrap();   // It does not suspend, and is charged for that.
/// });
/// ```
#[track_caller]
pub fn assert_checkpoints<F: Future>(fut: F) -> impl Future<Output = F::Output> {
    let at = Location::caller();
    async move {
        let (value, did) = watched(fut).await;
        match did {
            Did { check: true, schedule: true } => value,
            Did { check: false, schedule: false } => panic!("no checkpoint at {at}: nothing in it waits"),
            Did { check: false, .. } => {
                panic!("no checkpoint at {at}: it suspends, but never asks whether it is cancelled")
            }
            Did { schedule: false, .. } => {
                panic!("no checkpoint at {at}: it asks whether it is cancelled, but lets nobody else run")
            }
        }
    }
}

/// Runs `fut`, and panics if it did anything that a checkpoint does: ask whether its scope is cancelled, suspend, or be
/// charged to the task's budget.
///
/// Source: trio's `assert_no_checkpoints`.
///
/// # Cancellation
///
/// As `fut`.
///
/// # Panics
///
/// If `fut` had a checkpoint, or half of one. Outside a run.
///
/// ```
/// use pleach_executor::{run, testing::assert_no_checkpoints};
/// assert_eq!(run(assert_no_checkpoints(async { 1 + 1 })), 2);
/// ```
#[track_caller]
pub fn assert_no_checkpoints<F: Future>(fut: F) -> impl Future<Output = F::Output> {
    let at = Location::caller();
    async move {
        let (value, did) = watched(fut).await;
        assert!(!did.check, "a checkpoint at {at}: it asks whether it is cancelled");
        assert!(!did.schedule, "a checkpoint at {at}: it suspends, or is charged for not doing so");
        value
    }
}
