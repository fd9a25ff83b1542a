//! Nurseries and scopes with the error type named once.
//!
//! ```text
//!   type Run = In<MyError>;  ─►  Run::nursery(…)  Run::move_on_after(…)  Run::fail_after(…)  Run::shielded(…)
//! ```

use super::{Nursery, nursery};
use crate::cancel::CancelScope;
use crate::clock::Instant;
use crate::error::{Failure, TooSlow};
use std::future::Future;
use std::marker::PhantomData;
use std::time::Duration;

/// Names the error type once per crate, so that `?` behind a nursery needs no hints.
///
/// ```
/// use pleach_executor::{In, checkpoint, run};
/// type Run = In<std::io::Error>;
///
/// async fn both() -> std::io::Result<u8> {
///     Run::nursery(async |n| {
///         n.spawn(async { checkpoint().await?; Ok(()) });
///         Ok(())
///     })
///     .await?;
///     Ok(7)
/// }
/// assert_eq!(run(both()).unwrap(), 7);
/// ```
#[derive(Debug)]
pub struct In<E>(PhantomData<E>);

impl<E: Failure + 'static> In<E> {
    /// See [`nursery`].
    ///
    /// # Cancellation
    ///
    /// As [`nursery`].
    ///
    /// # Errors
    ///
    /// As [`nursery`].
    ///
    /// # Panics
    ///
    /// As [`nursery`].
    #[track_caller]
    pub fn nursery<'env, T>(
        body: impl for<'s> AsyncFnOnce(&'s Nursery<'s, 'env, E>) -> Result<T, E>,
    ) -> impl Future<Output = Result<T, E>> {
        nursery(body)
    }

    /// See [`crate::move_on_after`].
    ///
    /// # Cancellation
    ///
    /// As [`CancelScope::run`].
    ///
    /// # Errors
    ///
    /// As [`crate::move_on_after`].
    ///
    /// # Panics
    ///
    /// Outside a run.
    #[track_caller]
    pub fn move_on_after<T>(
        d: Duration,
        body: impl AsyncFnOnce(&CancelScope) -> Result<T, E>,
    ) -> impl Future<Output = Result<Option<T>, E>> {
        crate::cancel::move_on_after(d, body)
    }

    /// See [`crate::fail_after`].
    ///
    /// # Cancellation
    ///
    /// As [`CancelScope::run`].
    ///
    /// # Errors
    ///
    /// As [`crate::fail_after`].
    ///
    /// # Panics
    ///
    /// Outside a run.
    #[track_caller]
    pub fn fail_after<T>(
        d: Duration,
        body: impl AsyncFnOnce(&CancelScope) -> Result<T, E>,
    ) -> impl Future<Output = Result<T, E>>
    where
        E: From<TooSlow>,
    {
        crate::cancel::fail_after(d, body)
    }

    /// See [`crate::move_on_at`].
    ///
    /// # Cancellation
    ///
    /// As [`CancelScope::run`].
    ///
    /// # Errors
    ///
    /// As [`crate::move_on_at`].
    ///
    /// # Panics
    ///
    /// Outside a run.
    #[track_caller]
    pub fn move_on_at<T>(
        at: Instant,
        body: impl AsyncFnOnce(&CancelScope) -> Result<T, E>,
    ) -> impl Future<Output = Result<Option<T>, E>> {
        crate::cancel::move_on_at(at, body)
    }

    /// See [`crate::fail_at`].
    ///
    /// # Cancellation
    ///
    /// As [`CancelScope::run`].
    ///
    /// # Errors
    ///
    /// As [`crate::fail_at`].
    ///
    /// # Panics
    ///
    /// Outside a run.
    #[track_caller]
    pub fn fail_at<T>(
        at: Instant,
        body: impl AsyncFnOnce(&CancelScope) -> Result<T, E>,
    ) -> impl Future<Output = Result<T, E>>
    where
        E: From<TooSlow>,
    {
        crate::cancel::fail_at(at, body)
    }

    /// See [`crate::shielded`].
    ///
    /// # Cancellation
    ///
    /// Never a checkpoint.
    ///
    /// # Errors
    ///
    /// As [`crate::shielded`].
    ///
    /// # Panics
    ///
    /// Outside a run.
    #[track_caller]
    pub fn shielded<T>(
        body: impl AsyncFnOnce(&CancelScope) -> Result<T, E>,
    ) -> impl Future<Output = Result<T, E>> {
        crate::cancel::shielded(body)
    }
}
