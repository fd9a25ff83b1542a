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
//! * Values of users are asked, dropped and woken in here: a panic of theirs is the child's, and comes out like one.
//! * **Children's Scope**: while the body runs, the children have a scope of their own below the nursery's. Once the body
//!   has ended, and left nothing behind, the nursery's is theirs: most nurseries never need a second one. If somebody
//!   then asks for the children's scope, the nursery's own moves up, above it, and nobody below sees a difference.

use super::children::Started;
use crate::cancel::tree::Origin;
use crate::cancel::{Reason, ScopeId};
use crate::error::{self, Failure, Failures};
use crate::panics::{Payload, Steps, keep_first};
use crate::runtime::{self, RunKey, Runtime};
use crate::task::sched::HubIndex;
use crate::task::word::Word;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};

/// How a child or the body ended: a result, or a panic.
pub(crate) type Outcome<T, E> = Result<Result<T, E>, Payload>;

pub(crate) struct Core<E> {
    pub(crate) run: RunKey,
    pub(crate) hub: HubIndex,
    /// The node through which the body is woken.
    pub(crate) body: Word,
    pub(crate) body_ended: Cell<bool>,
    /// Around the body and the children: cancelled by a failure.
    scope: Cell<ScopeId>,
    /// The scope that this one was last seen to hang below.
    below: Cell<ScopeId>,
    /// Around the children alone: cancelled by `Nursery::cancel`. Chosen when first needed (Children's Scope).
    kids: Cell<ScopeId>,
    failures: RefCell<Vec<E>>,
    cancelled: RefCell<Option<E>>,
    panic: RefCell<Option<Payload>>,
    pub(super) started: RefCell<Started>,
    /// Is there any? Every step of a child asks.
    pub(super) any_started: Cell<bool>,
    pub(crate) closed: Cell<bool>,
    owed: Cell<isize>,
}

impl<E: Failure> Core<E> {
    /// For a nursery that is opened at `at`.
    pub(crate) fn open(at: &'static Location<'static>) -> Self {
        let run = runtime::run_key();
        let (hub, body, id) = runtime::with(|rt| {
            let mut sched = rt.sched.borrow_mut();
            let (hub, body) = sched.open_hub(rt.task(), at);
            (hub, body, sched.nursery(hub))
        });
        Core {
            run,
            hub,
            body,
            body_ended: Cell::new(false),
            scope: Cell::new(runtime::new_scope(Origin::Nursery(id))),
            below: Cell::new(ScopeId::UNKNOWN),
            kids: Cell::new(ScopeId::NONE),
            failures: RefCell::default(),
            cancelled: RefCell::default(),
            panic: RefCell::default(),
            started: RefCell::new(Started::new()),
            any_started: Cell::new(false),
            closed: Cell::new(false),
            owed: Cell::new(0),
        }
    }

    pub(crate) fn scope(&self) -> ScopeId {
        self.scope.get()
    }

    /// Hangs the nursery's scope below the one around this poll. Nobody else moves it, and a scope that has gone does not
    /// come back: so it is looked for only if the one around has changed.
    pub(crate) fn hang(&self, rt: &Runtime) {
        let around = rt.scope();
        if self.below.get() != around {
            drop(rt.enter(self.scope.get()));
            self.below.set(around);
        }
    }

    /// The scope that children run in: the same for all of them, from the first on.
    pub(crate) fn kids(&self) -> ScopeId {
        match self.kids.get() {
            ScopeId::NONE => self.choose_kids(),
            kids => kids,
        }
    }

    /// Why the children are cancelled, if they are.
    pub(crate) fn kids_reason(&self) -> Option<Reason> {
        let chosen = self.kids.get() != ScopeId::NONE;
        runtime::effective(if chosen { self.kids.get() } else { self.scope.get() })
    }

    fn origin(&self) -> Origin {
        Origin::Nursery(runtime::with(|rt| rt.sched.borrow().nursery(self.hub)))
    }

    fn choose_kids(&self) -> ScopeId {
        let scope = self.scope.get();
        let alone = self.body_ended.get() && runtime::with(|rt| rt.scopes.borrow().is_bare(scope));
        self.kids.set(if alone { scope } else { runtime::new_scope_below(scope, self.origin()) });
        self.kids.get()
    }

    /// The same, when it has to be told apart from the nursery's.
    pub(crate) fn kids_apart(&self) -> ScopeId {
        let kids = self.kids();
        if kids == self.scope.get() {
            self.scope.set(runtime::new_scope_above(kids, self.origin()));
            self.below.set(ScopeId::UNKNOWN);
        }
        // Its deadline counts from when it is set: there is no moment at which somebody enters it.
        runtime::arm_on_entry(kids);
        kids
    }

    /// A child has ended; `was_cancelled` says whether the scope it ran in was cancelled then.
    pub(crate) fn ended(&self, was_cancelled: bool, outcome: Outcome<(), E>) {
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(e)) if was_cancelled => runtime::with(|rt| self.ended_cancelled(rt, e)),
            Ok(Err(e)) => self.failed_with(e),
            Err(payload) => self.panicked(payload),
        }
    }

    /// A child has ended with an error, in a scope that is cancelled: mostly because of that.
    #[inline]
    pub(super) fn ended_cancelled(&self, rt: &Runtime, e: E) {
        let other = catch_unwind(AssertUnwindSafe(|| {
            if !e.is_cancelled() {
                return Some(e);
            }
            let mut kept = self.cancelled.borrow_mut();
            if kept.is_none() {
                *kept = Some(e);
            } else {
                drop(kept);
                rt.absorbing(|| drop(e));
            }
            None
        }));
        match other {
            Ok(None) => {}
            Ok(Some(e)) => self.failed_with(e),
            Err(payload) => self.panicked(payload),
        }
    }

    #[cold]
    fn failed_with(&self, e: E) {
        self.failures.borrow_mut().push(e);
        self.owe(1);
        self.failed();
    }

    /// A panic of a child, of the body, or of a value of theirs.
    pub(crate) fn panicked(&self, payload: Payload) {
        self.keep_panic(payload);
        self.failed();
    }

    /// The first payload is kept; a later one has nowhere to go but its own hook's report.
    fn keep_panic(&self, payload: Payload) {
        if keep_first(&mut self.panic.borrow_mut(), payload) {
            self.owe(1);
        }
    }

    pub(crate) fn failed(&self) {
        let mut steps = Steps::new();
        steps.step(|| {
            runtime::cancel(self.scope.get(), Reason::SiblingFailed);
        });
        // A foreign waker has panicked; everybody else has been woken before it came out.
        if let Some(payload) = steps.into_first() {
            self.keep_panic(payload);
        }
    }

    /// Failures that are kept here until somebody takes them. If nobody ever does, because the nursery was leaked, the
    /// end of the run says so.
    fn owe(&self, failures: isize) {
        self.owed.set(self.owed.get() + failures);
        runtime::owe(failures);
    }

    /// Everything has ended and somebody panicked: errors are dropped, and the panic goes on.
    fn resume_panic<T>(&self, payload: Payload, body: Result<T, E>) -> ! {
        let mut steps = Steps::new();
        // None of them is left to be dropped while the panic unwinds, when a second one would abort the process.
        steps.step(|| error::absorb(body));
        steps.step(|| error::absorb(self.failures.take()));
        steps.step(|| error::absorb(self.cancelled.take()));
        std::mem::forget(steps.into_first());
        resume_unwind(payload)
    }

    /// Everything has ended: the nursery's result, or its panic.
    pub(crate) fn verdict<T>(&self, body: Result<T, E>) -> Result<T, E> {
        if let Some(payload) = self.panic.take() {
            self.resume_panic(payload, body);
        }
        if body.is_ok() && self.failures.borrow().is_empty() && self.cancelled.borrow().is_none() {
            return body;
        }
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
        runtime::with(|rt| rt.scopes.borrow().outer_cancelled(self.scope.get()))
    }
}

impl<E> Drop for Core<E> {
    fn drop(&mut self) {
        if !runtime::is_current_epoch(self.run) {
            return;
        }
        // Whoever ends or drops the nursery has taken them, or does without.
        if self.owed.get() != 0 && runtime::is_current_run(self.run) {
            runtime::owe(-self.owed.get());
        }
        runtime::close_nursery(self.hub, self.scope.get(), self.kids.get());
    }
}
