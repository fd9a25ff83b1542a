//! Runs a case in the ordinary order and in orders that seeds decide; a case that hangs fails.
//!
//! ```text
//!   case ─┬─► run_virtual      first in, first out
//!         └─► run_seeded(1..)  any order                each beside a timer that only a hang lets come due
//! ```
//!
//! Rules: time is virtual, so the timer comes due exactly when nothing else can ever happen.

use pleach_executor::sleep;
use pleach_executor::testing::{run_seeded, run_virtual};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::time::Duration;

/// How many seeded orders follow the ordinary one.
const SEEDS: u64 = 8;
/// Further away than any timer of a case.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Says which order a case failed in.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("this was seed {} (0 is the ordinary order)", self.0);
        }
    }
}

/// Runs `case` once in every order.
pub(crate) fn in_every_order(case: impl AsyncFn()) {
    for seed in 0..=SEEDS {
        let _named = Named(seed);
        if seed == 0 {
            run_virtual(or_hang(NEVER, case()));
        } else {
            run_seeded(seed, or_hang(NEVER, case()));
        }
    }
}

/// The value of `fut`, or a panic if it takes `limit` on the clock of the run.
pub(crate) async fn or_hang<T>(limit: Duration, fut: impl Future<Output = T>) -> T {
    let mut guard = pin!(sleep(limit));
    let mut fut = pin!(fut);
    poll_fn(|cx| {
        // The guard first, so that it is armed before the case counts timers.
        assert!(guard.as_mut().poll(cx).is_pending(), "this hangs: nothing but the guard's timer was left");
        fut.as_mut().poll(cx)
    })
    .await
}
