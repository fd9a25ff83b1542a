//! Scopes that end at a moment, where `scope.rs` has those that last for a length of time.
//!
//! ```text
//!   move_on_at(at, …) ─► CancelScope with that deadline ─► Ok(Some(v)) │ Ok(None): cut off
//!   fail_at(at, …)    ─►            the same            ─► Ok(v)       │ Err(TooSlow)
//! ```

use super::CancelScope;
use crate::clock::Instant;
use crate::error::{Failure, TooSlow};
use std::future::Future;
use std::panic::Location;

/// Runs `body` until `at` at the latest: `Ok(None)` if the moment came (or the scope was cancelled otherwise).
///
/// A moment that has passed cuts off at the first checkpoint. Several calls of one task that share a deadline share it
/// exactly, which a timeout that is counted anew in each cannot. Source: trio's `move_on_at`.
///
/// # Cancellation
///
/// As [`CancelScope::run`].
///
/// # Errors
///
/// Whatever `body` fails with.
///
/// # Panics
///
/// Outside a run.
///
/// ```
/// use pleach_executor::{Cancelled, move_on_at, now, run, sleep_forever};
/// use std::time::Duration;
/// let r: Result<(), Cancelled> = run(async {
///     let at = now() + Duration::from_millis(1);
///     let first = move_on_at(at, async |_| { sleep_forever().await?; Ok(()) }).await?;
///     let second = move_on_at(at, async |_| { sleep_forever().await?; Ok(()) }).await?; // at once
///     assert!(first.is_none() && second.is_none());
///     Ok(())
/// });
/// r.unwrap();
/// ```
#[track_caller]
pub fn move_on_at<T, E: Failure>(
    at: Instant,
    body: impl AsyncFnOnce(&CancelScope) -> Result<T, E>,
) -> impl Future<Output = Result<Option<T>, E>> {
    let opened_at = Location::caller();
    async move { CancelScope::opened_at(opened_at).deadline(at).run(body).await }
}

/// Runs `body` until `at` at the latest; being cut off is an error. Source: trio's `fail_at`.
///
/// # Cancellation
///
/// As [`CancelScope::run`].
///
/// # Errors
///
/// [`TooSlow`] iff the scope absorbed a cancellation, whatever its cause; any error of `body` wins over it.
///
/// # Panics
///
/// Outside a run.
///
/// ```
/// use pleach_executor::{checkpoint, fail_at, now, run};
/// use std::io::{Error, ErrorKind};
/// let r: Result<(), Error> = run(async {
///     let long_ago = now();
///     fail_at(long_ago, async |_| { checkpoint().await?; Ok(()) }).await
/// });
/// assert_eq!(r.unwrap_err().kind(), ErrorKind::TimedOut);
/// ```
#[track_caller]
pub fn fail_at<T, E: Failure + From<TooSlow>>(
    at: Instant,
    body: impl AsyncFnOnce(&CancelScope) -> Result<T, E>,
) -> impl Future<Output = Result<T, E>> {
    let opened_at = Location::caller();
    async move {
        match CancelScope::opened_at(opened_at).deadline(at).run(body).await? {
            Some(v) => Ok(v),
            None => Err(E::from(TooSlow)),
        }
    }
}
