//! How many threads work for this run, and waiting until none does: for tests, and before what bears no thread.
//!
//! ```text
//!   a call begins ─► at_work() + 1 ─ its end comes through the entry queue ─► - 1 ─ none left ─► wait_for_all() returns
//! ```

use super::crew::Crew;
use crate::checkpoint::cancellable;
use crate::error::Cancelled;
use crate::waits::Waits;
use std::task::Poll;

/// How many functions of [`to_thread`](super::to_thread) are at work for this run in a thread now: those that somebody waits
/// for, and those that were abandoned and run on. Idle workers do not count. Zero outside a run.
///
/// Source: trio's `active_thread_count`.
#[must_use]
pub fn at_work() -> usize {
    Crew::if_any().map_or(0, |crew| crew.at_work())
}

/// Waits until no function is [at work](at_work) in a thread for this run. Calls that were abandoned have no other end
/// that can be waited for. By the time the caller goes on another task may have called a thread again.
///
/// The virtual clock stands still meanwhile, as for a caller who waits for a thread.
///
/// # Cancellation
///
/// A checkpoint always; Strict.
///
/// # Errors
///
/// [`Cancelled`] if the scope around the call is cancelled.
///
/// # Panics
///
/// Outside a run.
///
/// Source: trio's `wait_all_threads_completed`.
///
/// ```
/// use pleach_executor::{Cancelled, move_on_after, run, threads::{ToThread, at_work, wait_for_all}};
/// use std::sync::mpsc::channel;
/// use std::time::Duration;
///
/// let (open, gate) = channel::<()>();
/// let r: Result<(), Cancelled> = run(async {
///     let call = ToThread::new().abandonable().run(move |_| gate.recv());
///     let given_up = move_on_after(Duration::from_millis(1), async |_| call.await.map_err(std::io::Error::from)).await;
///     assert!(matches!(given_up, Ok(None)) && at_work() == 1);
///     drop(open);
///     wait_for_all().await?;
///     assert_eq!(at_work(), 0);
///     Ok(())
/// });
/// r.unwrap();
/// ```
pub async fn wait_for_all() -> Result<(), Cancelled> {
    let crew = Crew::current();
    if crew.at_work() == 0 {
        return cancellable(Waits::Thread, |_| Poll::Ready(())).await;
    }
    // Somebody is at work in this very poll, and `park` is in line at once: no end comes in between.
    crew.none_at_work.park_for(Waits::Thread).await
}
