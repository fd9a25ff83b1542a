//! What the children of one nursery report to: who failed, who was cancelled, who still lives.
//!
//! ```text
//!   child ends ─► ended(outcome)        ─┬─ Ok                          nothing
//!                                        ├─ Cancelled, scope cancelled  kept: passed on if an outer scope did it
//!                                        ├─ any other error             kept: cancels the siblings and comes out
//!                                        └─ panic                       kept: cancels the siblings, then unwinds on
//!   all ended  ─► verdict(body's result) ─► Result of the nursery
//! ```
//!
//! Rules:
//! * A real error wins over a `Cancelled`, a panic over both; a group never holds a `Cancelled`.
//! * A `Cancelled` from a child whose scope is *not* cancelled is a failure like any other.

use crate::cancel::{Reason, ScopeId};
use crate::error::{self, Failure, Failures};
use crate::runtime::{self, RunKey};
use crate::task::sched::HubIndex;
use crate::task::word::Word;
use slab::Slab;
use std::any::Any;
use std::cell::{Cell, RefCell};

/// What a panic carries.
pub(crate) type Payload = Box<dyn Any + Send>;

/// How a child or the body ended: a result, or a panic.
pub(crate) type Outcome<T, E> = Result<Result<T, E>, Payload>;

pub(crate) struct Core<E> {
    pub(crate) run: RunKey,
    pub(crate) hub: HubIndex,
    /// Around the body and the children: cancelled by a failure.
    pub(crate) scope: ScopeId,
    /// Around the children alone: cancelled by `Nursery::cancel`. Made when first needed.
    kids: Cell<ScopeId>,
    failures: RefCell<Vec<E>>,
    cancelled: RefCell<Option<E>>,
    panic: RefCell<Option<Payload>>,
    /// The static children, so that a nursery that is dropped can drop them.
    pub(crate) flats: RefCell<Slab<Word>>,
    pub(crate) closed: Cell<bool>,
    owed: Cell<isize>,
}

impl<E: Failure> Core<E> {
    pub(crate) fn open() -> Self {
        let run = runtime::run_key();
        Core {
            run,
            hub: runtime::with(|rt| rt.sched.borrow_mut().insert_hub()),
            scope: runtime::new_scope(),
            kids: Cell::new(ScopeId::NONE),
            failures: RefCell::default(),
            cancelled: RefCell::default(),
            panic: RefCell::default(),
            flats: RefCell::default(),
            closed: Cell::new(false),
            owed: Cell::new(0),
        }
    }

    pub(crate) fn kids(&self) -> ScopeId {
        if self.kids.get() == ScopeId::NONE {
            self.kids.set(runtime::new_scope_below(self.scope));
        }
        self.kids.get()
    }

    /// A child has ended; `was_cancelled` says whether the scope it ran in was cancelled then.
    pub(crate) fn ended(&self, was_cancelled: bool, outcome: Outcome<(), E>) {
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(e)) if was_cancelled && e.is_cancelled() => {
                let before = self.cancelled.borrow_mut().replace(e);
                error::absorb(before);
            }
            Ok(Err(e)) => {
                self.failures.borrow_mut().push(e);
                self.owe(1);
                self.failed();
            }
            Err(payload) => self.panicked(payload),
        }
    }

    /// The first payload is kept; a later one has nowhere to go but its own hook's report.
    pub(crate) fn panicked(&self, payload: Payload) {
        let surplus = {
            let mut first = self.panic.borrow_mut();
            if first.is_none() {
                *first = Some(payload);
                None
            } else {
                Some(payload)
            }
        };
        if surplus.is_none() {
            self.owe(1);
        }
        // A payload may panic when dropped; forgetting it is the only answer that is always right.
        std::mem::forget(surplus);
        self.failed();
    }

    /// Failures that are kept here until somebody takes them. If nobody ever does, because the nursery was leaked, the
    /// end of the run says so.
    fn owe(&self, failures: isize) {
        self.owed.set(self.owed.get() + failures);
        runtime::owe(failures);
    }

    pub(crate) fn failed(&self) {
        runtime::cancel(self.scope, Reason::SiblingFailed);
    }

    pub(crate) fn take_panic(&self) -> Option<Payload> {
        self.panic.borrow_mut().take()
    }

    /// Everything has ended, nobody panicked: the nursery's result.
    pub(crate) fn verdict<T>(&self, body: Result<T, E>) -> Result<T, E> {
        let mut failures = std::mem::take(&mut *self.failures.borrow_mut());
        let cancelled = self.cancelled.borrow_mut().take();
        let (value, signal) = match body {
            Ok(v) => (Some(v), cancelled),
            Err(e) if e.is_cancelled() => {
                error::absorb(cancelled);
                (None, Some(e))
            }
            Err(e) => {
                failures.push(e);
                (None, cancelled)
            }
        };
        // A stale `Cancelled` counts as a failure only as long as there is no real one.
        let (stale, mut real): (Vec<E>, Vec<E>) = failures.into_iter().partition(Failure::is_cancelled);
        if real.is_empty() {
            if let Some(e) = stale.into_iter().reduce(|first, next| {
                error::absorb(next);
                first
            }) {
                error::absorb(signal);
                return Err(e);
            }
            return match (value, signal) {
                (None, Some(e)) => Err(e),
                // Somebody further out cancelled, and a child is incomplete because of it: pass the signal on.
                (Some(_), Some(e)) if self.outer_cancelled() => Err(e),
                (Some(v), signal) => {
                    error::absorb(signal);
                    Ok(v)
                }
                (None, None) => unreachable!("a body without value has failed"),
            };
        }
        error::absorb(stale);
        error::absorb(signal);
        Err(if real.len() == 1 { real.remove(0) } else { E::merge(Failures::new(real)) })
    }

    fn outer_cancelled(&self) -> bool {
        runtime::with(|rt| rt.scopes.borrow().outer_cancelled(self.scope))
    }
}

impl<E> Drop for Core<E> {
    fn drop(&mut self) {
        if !runtime::is_current_epoch(self.run) {
            return;
        }
        // Whoever ends or drops the nursery has taken them, or does without.
        if runtime::is_current_run(self.run) {
            runtime::owe(-self.owed.get());
        }
        if self.kids.get() != ScopeId::NONE {
            runtime::end_scope(self.kids.get());
        }
        runtime::end_scope(self.scope);
        runtime::remove_hub(self.hub);
    }
}
