//! A cancel scope as others hold it: who cancels it, changes its limits and asks how it is.
//!
//! ```text
//!   CancelScope ─ handle() ─► ScopeHandle { which scope, of which run } ─ require_run ─► the tree of the active run
//! ```
//!
//! Rules:
//! * A handle keeps nothing alive: of a scope that is over it does nothing, and says that nothing was asked for.
//! * Used in another run it panics, naming both, at the place of the caller's.

use super::tree::Limit;
use super::{CancelCause, Reason, ScopeId};
use crate::clock::Instant;
use crate::runtime::{self, RunKey};
use std::marker::PhantomData;
use std::sync::Arc;

/// A way to a [`CancelScope`](crate::CancelScope) from elsewhere on its thread. Once the scope is over it does nothing.
#[derive(Clone)]
pub struct ScopeHandle {
    pub(super) id: ScopeId,
    pub(super) run: RunKey,
    /// An index into this thread's tree.
    _local: PhantomData<*const ()>,
}

impl ScopeHandle {
    pub(super) fn made(id: ScopeId, run: RunKey) -> Self {
        ScopeHandle { id, run, _local: PhantomData }
    }

    /// The handle of a scope that somebody else owns.
    pub(crate) fn of(id: ScopeId) -> Self {
        Self::made(id, runtime::run_key())
    }

    /// Its place in the tree of the active run.
    #[track_caller]
    pub(super) fn id_here(&self) -> ScopeId {
        runtime::require_run(self.run, "cancel scope");
        self.id
    }

    /// Which scope this is, as an [`Instrument`](crate::instrument::Instrument) is told.
    #[must_use]
    pub fn id(&self) -> ScopeId {
        self.id
    }

    /// See [`CancelScope::cancel`](crate::CancelScope::cancel).
    ///
    /// # Panics
    ///
    /// If the scope belongs to another run.
    #[track_caller]
    pub fn cancel(&self) {
        runtime::require_run(self.run, "cancel scope");
        let by = runtime::with(runtime::Runtime::task);
        runtime::cancel(self.id, Reason::Requested { by });
    }

    /// See [`CancelScope::cancel_because`](crate::CancelScope::cancel_because).
    ///
    /// # Panics
    ///
    /// If the scope belongs to another run.
    #[track_caller]
    pub fn cancel_because(&self, cause: Arc<dyn CancelCause>) {
        runtime::require_run(self.run, "cancel scope");
        runtime::cancel(self.id, Reason::External(cause));
    }

    /// See [`CancelScope::set_shield`](crate::CancelScope::set_shield).
    ///
    /// # Panics
    ///
    /// If the scope belongs to another run.
    #[track_caller]
    pub fn set_shield(&self, on: bool) {
        runtime::require_run(self.run, "cancel scope");
        runtime::set_shield(self.id, on);
    }

    /// See [`CancelScope::set_deadline`](crate::CancelScope::set_deadline).
    ///
    /// # Panics
    ///
    /// As [`CancelScope::set_deadline`](crate::CancelScope::set_deadline).
    #[track_caller]
    pub fn set_deadline(&self, at: Option<Instant>) {
        runtime::require_run(self.run, "cancel scope");
        let limit = runtime::with(|rt| rt.scopes.borrow().limit(self.id));
        assert!(
            at.is_none() || !matches!(limit, Limit::After(_)),
            "this scope has a timeout already: give it a timeout or a deadline, not both"
        );
        runtime::set_deadline(self.id, at);
    }

    /// See [`CancelScope::deadline_at`](crate::CancelScope::deadline_at).
    ///
    /// # Panics
    ///
    /// If the scope belongs to another run.
    #[must_use]
    #[track_caller]
    pub fn deadline_at(&self) -> Option<Instant> {
        runtime::require_run(self.run, "cancel scope");
        match runtime::with(|rt| rt.scopes.borrow().limit(self.id)) {
            Limit::At(at) => Some(at),
            Limit::Nothing | Limit::After(_) => None,
        }
    }

    /// See [`CancelScope::cancel_called`](crate::CancelScope::cancel_called).
    ///
    /// # Panics
    ///
    /// If the scope belongs to another run.
    #[must_use]
    #[track_caller]
    pub fn cancel_called(&self) -> bool {
        runtime::require_run(self.run, "cancel scope");
        runtime::cancel_called(self.id)
    }

    /// See [`CancelScope::reason`](crate::CancelScope::reason).
    ///
    /// # Panics
    ///
    /// If the scope belongs to another run.
    #[must_use]
    #[track_caller]
    pub fn reason(&self) -> Option<Reason> {
        runtime::require_run(self.run, "cancel scope");
        runtime::effective(self.id)
    }
}
