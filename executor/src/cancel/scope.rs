//! The public face of the scope tree: opening a scope, cancelling it, asking it.
//!
//! ```text
//!   CancelScope::new() ─► .shield() .timeout(d) ─► .run(async |scope| …) ─► Ok(Some(v)) │ Ok(None): absorbed │ Err(e)
//!                 └─ .handle() ─► ScopeHandle (handle.rs): cancel it from a sibling task
//! ```
//!
//! Rules:
//! * Who absorbs is decided at the exit: a scope absorbs iff it is effectively cancelled and its parent's
//!   cancellation is not visible through its shield. So the outermost visible one wins.
//! * A scope's parent is the scope that is current when it is polled, not where it was made.
//! * A relative limit counts from the first poll inside.

use super::tree::Limit;
use super::{CancelCause, Reason, ScopeHandle};
use crate::clock::Instant;
use crate::error::{self, Failure, TooSlow};
use crate::runtime;
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// A region of code that is cancelled as one unit. Made free-standing, entered once, by [`run`](CancelScope::run).
///
/// Bound to its thread and its run. Source: trio's `CancelScope`.
///
/// ```
/// use pleach_executor::{CancelScope, Cancelled, run, sleep};
/// use std::time::Duration;
///
/// run(async {
///     // A clean-up that runs although the surroundings are cancelled, and gives up by itself.
///     let said: Result<Option<()>, Cancelled> = CancelScope::new()
///         .shield()
///         .timeout(Duration::from_millis(1))
///         .run(async |_| sleep(Duration::from_secs(3600)).await)
///         .await;
///     assert!(matches!(said, Ok(None)));
/// });
/// ```
#[must_use = "a scope does nothing until code runs inside it"]
pub struct CancelScope {
    pub(super) handle: ScopeHandle,
}

impl Default for CancelScope {
    fn default() -> Self {
        Self::new()
    }
}

impl CancelScope {
    /// A scope below the one around this code. Where it is polled decides about its parent in the end.
    ///
    /// # Panics
    ///
    /// Outside a run.
    #[track_caller]
    pub fn new() -> Self {
        Self::opened_at(Location::caller())
    }

    /// A scope whose place in the source is `at`.
    #[track_caller]
    pub(super) fn opened_at(at: &'static Location<'static>) -> Self {
        let run = runtime::run_key();
        let handle = ScopeHandle::made(runtime::new_scope_at(at), run);
        CancelScope { handle }
    }

    /// Bars cancellation from outside: an outer request or deadline is not seen within.
    ///
    /// # Panics
    ///
    /// If the scope belongs to another run.
    #[track_caller]
    pub fn shield(self) -> Self {
        self.set_shield(true);
        self
    }

    /// Cancels the scope when `d` has passed since it was entered. Zero: cancelled from the first checkpoint on.
    ///
    /// # Panics
    ///
    /// If the scope has a deadline already, or belongs to another run.
    #[track_caller]
    pub fn timeout(self, d: Duration) -> Self {
        runtime::require_run(self.handle.run, "cancel scope");
        let free = runtime::with(|rt| {
            let mut scopes = rt.scopes.borrow_mut();
            let free = !matches!(scopes.limit(self.handle.id), Limit::At(_));
            if free {
                scopes.set_limit(self.handle.id, Limit::After(d));
            }
            free
        });
        assert!(free, "this scope has a deadline already: give it a timeout or a deadline, not both");
        self
    }

    /// Cancels the scope at `at`. A moment that has passed cancels it at once.
    ///
    /// # Panics
    ///
    /// If the scope has a timeout already, or belongs to another run.
    #[track_caller]
    pub fn deadline(self, at: Instant) -> Self {
        self.set_deadline(Some(at));
        self
    }

    /// A handle to cancel it from elsewhere on this thread.
    pub fn handle(&self) -> ScopeHandle {
        self.handle.clone()
    }

    /// Cancels everything inside, now and from now on. Idempotent, irreversible; the first reason stays.
    ///
    /// Before the scope is entered: the first checkpoint inside fails.
    ///
    /// # Panics
    ///
    /// If the scope belongs to another run.
    #[track_caller]
    pub fn cancel(&self) {
        self.handle.cancel();
    }

    /// The same with a cause of an upper layer as the reason.
    ///
    /// # Panics
    ///
    /// If the scope belongs to another run.
    #[track_caller]
    pub fn cancel_because(&self, cause: Arc<dyn CancelCause>) {
        self.handle.cancel_because(cause);
    }

    /// Raises or lowers the shield. Lowering it under a cancelled scope cancels what waits inside, at once.
    ///
    /// # Panics
    ///
    /// If the scope belongs to another run.
    #[track_caller]
    pub fn set_shield(&self, on: bool) {
        self.handle.set_shield(on);
    }

    /// Sets, moves or clears (`None`) the deadline, or clears the timeout. A moment that has passed cancels at once.
    ///
    /// # Panics
    ///
    /// If the scope belongs to another run; if it has a timeout that has not begun to count, and `at` is a moment.
    #[track_caller]
    pub fn set_deadline(&self, at: Option<Instant>) {
        self.handle.set_deadline(at);
    }

    /// The deadline that was set, or that a timeout turned into at the entry; also after it has passed. `None` before
    /// the entry of a scope with a timeout.
    ///
    /// # Panics
    ///
    /// If the scope belongs to another run.
    #[must_use]
    #[track_caller]
    pub fn deadline_at(&self) -> Option<Instant> {
        self.handle.deadline_at()
    }

    /// Was this scope itself cancelled: by request, or by its deadline?
    ///
    /// A deadline that has passed by now counts although no other code has had its turn since: the scope is cancelled by
    /// this question then, with all that is in it. So code that only computes can ask for its limit, without a
    /// checkpoint. [`reason`](CancelScope::reason) and [`check`](crate::check) do not look at the clock.
    /// Once the scope is over the answer is `false`.
    ///
    /// Source: trio's `cancel_called`.
    ///
    /// ```
    /// use pleach_executor::{CancelScope, Cancelled, run};
    /// use std::time::Duration;
    /// let r: Result<Option<u64>, Cancelled> = run(async {
    ///     CancelScope::new().timeout(Duration::from_millis(1)).run(async |scope| {
    ///         let mut rounds = 0;
    ///         while !scope.cancel_called() { rounds += 1; }
    ///         Ok(rounds)    // it has come this far
    ///     }).await
    /// });
    /// assert!(r.unwrap().is_some_and(|rounds| rounds > 0));
    /// ```
    ///
    /// # Panics
    ///
    /// If the scope belongs to another run.
    #[must_use]
    #[track_caller]
    pub fn cancel_called(&self) -> bool {
        self.handle.cancel_called()
    }

    /// Why code inside is cancelled now, by this scope or through it; `None` if it is not.
    ///
    /// # Panics
    ///
    /// If the scope belongs to another run.
    #[must_use]
    #[track_caller]
    pub fn reason(&self) -> Option<Reason> {
        self.handle.reason()
    }

    /// Runs `body` inside the scope.
    ///
    /// `Ok(Some(v))` is the body's value, and `Ok(None)` says that this scope was cancelled and has absorbed the
    /// signal. A body that ends with a value although the scope is cancelled keeps its value.
    ///
    /// # Cancellation
    ///
    /// Not a checkpoint by itself. The signal of an outer scope passes through.
    ///
    /// # Errors
    ///
    /// Whatever `body` fails with, unless it is a `Cancelled` that belongs to this scope.
    ///
    /// # Panics
    ///
    /// If the scope belongs to another run.
    pub async fn run<T, E: Failure>(
        self,
        body: impl AsyncFnOnce(&CancelScope) -> Result<T, E>,
    ) -> Result<Option<T>, E> {
        let id = self.handle.id;
        let outcome = {
            let mut body = pin!(body(&self));
            poll_fn(|cx| {
                runtime::require_run(self.handle.run, "cancel scope");
                runtime::with(|rt| {
                    let _inside = rt.enter(id);
                    runtime::arm_on_entry(id);
                    body.as_mut().poll(cx)
                })
            })
            .await
        };
        match outcome {
            Ok(v) => Ok(Some(v)),
            Err(e) if e.is_cancelled() && runtime::with(|rt| rt.scopes.borrow().absorbs(id)) => {
                error::absorb(e);
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }
}

impl Drop for CancelScope {
    #[inline]
    fn drop(&mut self) {
        if runtime::is_current_epoch(self.handle.run) {
            runtime::end_scope(self.handle.id);
        }
    }
}

/// Runs `body` for at most `d`: `Ok(None)` if the time ran out (or the scope was cancelled otherwise).
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
/// use pleach_executor::{Cancelled, move_on_after, run, sleep};
/// use std::time::Duration;
/// let r: Result<Option<u8>, Cancelled> = run(async {
///     move_on_after(Duration::from_millis(1), async |_| { sleep(Duration::from_secs(3600)).await?; Ok(1) }).await
/// });
/// assert!(matches!(r, Ok(None)));
/// ```
#[track_caller]
pub fn move_on_after<T, E: Failure>(
    d: Duration,
    body: impl AsyncFnOnce(&CancelScope) -> Result<T, E>,
) -> impl Future<Output = Result<Option<T>, E>> {
    let opened_at = Location::caller();
    async move { CancelScope::opened_at(opened_at).timeout(d).run(body).await }
}

/// Runs `body` for at most `d`; running out of time is an error.
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
/// use pleach_executor::{fail_after, run, sleep, sleep_forever};
/// use std::io::{Error, ErrorKind};
/// use std::time::Duration;
/// const MS: Duration = Duration::from_millis(1);
/// let r: Result<u8, Error> = run(async {
///     let first: u8 = fail_after(3600 * MS, async |_| { sleep(MS).await?; Ok::<_, Error>(1) }).await?;
///     fail_after(MS, async |_| { sleep_forever().await?; Ok(first + 1) }).await
/// });
/// assert_eq!(r.unwrap_err().kind(), ErrorKind::TimedOut);
/// ```
#[track_caller]
pub fn fail_after<T, E: Failure + From<TooSlow>>(
    d: Duration,
    body: impl AsyncFnOnce(&CancelScope) -> Result<T, E>,
) -> impl Future<Output = Result<T, E>> {
    let opened_at = Location::caller();
    async move {
        match CancelScope::opened_at(opened_at).timeout(d).run(body).await? {
            Some(v) => Ok(v),
            None => Err(E::from(TooSlow)),
        }
    }
}

/// Runs `body` to its end even if the surroundings are cancelled. Clean-up that should give up by itself takes
/// `CancelScope::new().shield().timeout(d)` instead.
///
/// # Cancellation
///
/// Never a checkpoint: what is outside is not seen within.
///
/// # Errors
///
/// Whatever `body` fails with. If `body` cancels its own scope, the `Cancelled` comes out.
///
/// # Panics
///
/// Outside a run.
///
/// ```
/// use pleach_executor::{CancelScope, Cancelled, checkpoint, run, shielded};
/// let tidied = std::cell::Cell::new(false);
/// let r: Result<Option<()>, Cancelled> = run(async {
///     let body = async |scope: &CancelScope| {
///         scope.cancel();
///         let worked = checkpoint().await;
///         shielded(async |_| { checkpoint().await?; tidied.set(true); Ok::<_, Cancelled>(()) }).await?;
///         worked
///     };
///     CancelScope::new().run(body).await
/// });
/// assert!(matches!(r, Ok(None)) && tidied.get());
/// ```
#[track_caller]
pub fn shielded<T, E: Failure>(
    body: impl AsyncFnOnce(&CancelScope) -> Result<T, E>,
) -> impl Future<Output = Result<T, E>> {
    let opened_at = Location::caller();
    async move {
        let scope = CancelScope::opened_at(opened_at).shield();
        let mut fut = pin!(body(&scope));
        poll_fn(|cx| {
            runtime::require_run(scope.handle.run, "cancel scope");
            runtime::with(|rt| {
                let _inside = rt.enter(scope.handle.id);
                runtime::arm_on_entry(scope.handle.id);
                fut.as_mut().poll(cx)
            })
        })
        .await
    }
}

/// The earliest deadline that can cancel the code around this call: of the scopes around it, up to the first shield.
/// `None` if there is none; a moment long ago if they are cancelled already. Source: trio's `current_effective_deadline`.
///
/// ```
/// use pleach_executor::{Cancelled, effective_deadline, move_on_after, now, run};
/// use std::time::Duration;
/// let r: Result<Option<()>, Cancelled> = run(async {
///     assert_eq!(effective_deadline(), None);
///     move_on_after(Duration::from_secs(9), async |_| {
///         assert!(effective_deadline().is_some_and(|at| at > now()));
///         Ok(())
///     }).await
/// });
/// assert!(matches!(r, Ok(Some(()))));
/// ```
#[must_use]
pub fn effective_deadline() -> Option<Instant> {
    runtime::effective_deadline()
}
