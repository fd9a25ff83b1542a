//! A cancel scope as other threads can reach it.
//!
//! ```text
//!   ScopeHandle::remote() ─► RemoteScope (Send) ─ cancel() ─► entry queue ─► the loop: the scope is cancelled
//! ```

use super::{CancelCause, Reason, ScopeHandle, ScopeId};
use crate::entry::{RunFinished, RunHandle};
use crate::runtime;
use std::fmt;
use std::sync::Arc;

/// A way to a [`CancelScope`](super::CancelScope) from any thread: made by [`ScopeHandle::remote`].
///
/// A request takes the way of [`RunHandle::call_soon`]: the scope is cancelled a little later, after what was asked for
/// before. Once the scope is over it does nothing.
///
/// ```
/// use pleach_executor::{CancelScope, Cancelled, run, sleep_forever};
/// let r: Result<Option<()>, Cancelled> = run(async {
///     CancelScope::new().run(async |scope| {
///         let remote = scope.handle().remote();
///         std::thread::spawn(move || remote.cancel());
///         sleep_forever().await.map(|_| ())
///     }).await
/// });
/// assert!(matches!(r, Ok(None)));
/// ```
#[derive(Clone)]
pub struct RemoteScope {
    id: ScopeId,
    run: RunHandle,
}

impl ScopeHandle {
    /// The same scope, to be cancelled from any thread.
    ///
    /// # Panics
    ///
    /// If the scope belongs to another run.
    #[must_use]
    #[track_caller]
    pub fn remote(&self) -> RemoteScope {
        RemoteScope { id: self.id_here(), run: RunHandle::current() }
    }
}

impl RemoteScope {
    /// Any thread: see [`CancelScope::cancel`](super::CancelScope::cancel).
    ///
    /// # Errors
    ///
    /// [`RunFinished`] if the run is over, and with it the scope.
    pub fn cancel(&self) -> Result<(), RunFinished> {
        self.cancel_with(Reason::Requested { by: None })
    }

    /// Any thread: see [`CancelScope::cancel_because`](super::CancelScope::cancel_because).
    ///
    /// # Errors
    ///
    /// As [`cancel`](RemoteScope::cancel).
    pub fn cancel_because(&self, cause: Arc<dyn CancelCause>) -> Result<(), RunFinished> {
        self.cancel_with(Reason::External(cause))
    }

    fn cancel_with(&self, reason: Reason) -> Result<(), RunFinished> {
        let id = self.id;
        self.run.call_soon(move || _ = runtime::cancel(id, reason))
    }
}

impl fmt::Debug for RemoteScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteScope").field("id", &self.id).field("run", &self.run).finish()
    }
}
