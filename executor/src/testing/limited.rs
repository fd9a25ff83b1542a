//! A time limit for a test, which says who hangs and where.
//!
//! ```text
//!   limited(limit, fut) ─┬─ fut ends ─► its value
//!                        └─ the limit passes ─► panic: who is there, and what each waits for
//! ```
//!
//! Rules: what never returns from a poll is not seen by any timer; the limit of the test harness is for that.

use crate::clock::now;
use crate::sleep::Timer;
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// [`crate::run`] for at most `limit`: a test that hangs fails, and says where every task stands.
///
/// # Panics
///
/// As [`crate::run`]; if `limit` passes before `main` has ended, with the
/// [picture of the run](crate::dump).
///
/// ```should_panic
/// use pleach_executor::{sleep_forever, testing::run_limited};
/// use std::time::Duration;
/// let _ = run_limited(Duration::from_millis(1), sleep_forever());
/// ```
#[track_caller]
pub fn run_limited<F: Future>(limit: Duration, main: F) -> F::Output {
    crate::run(limited(limit, main))
}

/// The value of `fut`, or a panic if it takes longer than `limit` on the clock of the run: that of the machine, or virtual
/// time, where the limit passes exactly when nothing else can ever happen before it.
///
/// # Cancellation
///
/// As `fut`.
///
/// # Panics
///
/// If `limit` passes first, with the [picture of the run](crate::dump). Outside a run.
///
/// A limit together with a seed and virtual time:
///
/// ```
/// use pleach_executor::{sleep, testing::{limited, run_seeded}};
/// use std::time::Duration;
/// const HOUR: Duration = Duration::from_secs(3600);
/// run_seeded(3, limited(9 * HOUR, sleep(HOUR))).unwrap();
/// ```
#[track_caller]
pub fn limited<F: Future>(limit: Duration, fut: F) -> impl Future<Output = F::Output> {
    let at = Location::caller();
    async move {
        let mut fut = pin!(fut);
        let mut timer = Timer::new();
        let start = now();
        timer.set(start + limit, start);
        poll_fn(|cx| {
            if let Poll::Ready(value) = fut.as_mut().poll(cx) {
                return Poll::Ready(value);
            }
            assert!(
                timer.poll(cx).is_pending(),
                "this takes longer than {limit:?}, the limit set at {at}:\n{}",
                crate::dump()
            );
            Poll::Pending
        })
        .await
    }
}
