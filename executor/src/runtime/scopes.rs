//! The tree of scopes in effect: the scope that is current, changes of the tree, and whom they wake.
//!
//! ```text
//!   enter, cancel, set_shield, … ─► change: the tree as data ─► aftermath, outside of its borrow: wake, drop
//!   check, checkpoints ─► report: is nobody cancelled at all? else look at the current scope
//! ```
//!
//! Rules:
//! * **Current Scope**: `scope` is the scope around the code that is being polled right now, NONE outside.
//! * **Quiet**: `quiet` says that no scope of the tree is cancelled; [`Runtime::change`], through which every change
//!   goes, keeps it true.

use super::stats::bump;
use super::{Runtime, TimerTarget, try_with, with};
use crate::cancel::tree::{Aftermath, Limit, Origin, Tree, WaiterKey};
use crate::cancel::{Reason, ScopeId};
use crate::clock::Instant;
use crate::error::Cancelled;
use crate::panics::Steps;
use crate::waits::Waits;
use std::panic::Location;
use std::task::Waker;

impl Runtime {
    pub(crate) fn scope(&self) -> ScopeId {
        self.scope.get()
    }

    /// Changes the tree, and then does what is left to do outside of its borrow.
    pub(super) fn change<R>(&self, f: impl FnOnce(&mut Tree) -> R) -> R {
        let mut tree = self.scopes.borrow_mut();
        let r = f(&mut tree);
        self.quiet.set(!tree.any_cancelled());
        let is_done = !tree.has_aftermath();
        drop(tree);
        if !is_done {
            self.finish();
        }
        r
    }

    #[cold]
    fn finish(&self) {
        let mut steps = Steps::new();
        loop {
            let aftermath = self.scopes.borrow_mut().take_aftermath();
            let Some(Aftermath { mut woken, dead }) = aftermath else { break };
            self.wake_all(&mut steps, woken.drain(..));
            steps.step(|| drop(dead));
            self.scopes.borrow_mut().reuse(woken);
        }
        steps.resume();
    }

    /// Makes `scope` the current one until the guard goes. Re-parents it if it is entered below another scope than
    /// before: a scope's parent is the scope that is current when it is polled.
    #[inline]
    pub(crate) fn enter(&self, scope: ScopeId) -> Entered<'_> {
        let inside = self.enter_as_is(scope);
        if !self.scopes.borrow().hangs_below(scope, inside.before) {
            self.change(|tree| tree.reparent(scope, inside.before));
        }
        inside
    }

    /// Makes `scope` current without touching its place in the tree: for children, whose scope hangs where it hangs.
    #[inline]
    pub(crate) fn enter_as_is(&self, scope: ScopeId) -> Entered<'_> {
        Entered { rt: self, before: self.scope.replace(scope) }
    }

    /// Is `scope` cancelled, by itself or from outside?
    #[inline]
    pub(crate) fn is_cancelled(&self, scope: ScopeId) -> bool {
        !self.quiet.get() && self.scopes.borrow().effective(scope).is_some()
    }

    /// Reports the current scope's cancellation, if there is one.
    #[inline]
    pub(crate) fn report(&self) -> Result<(), Cancelled> {
        if self.quiet.get() { Ok(()) } else { self.look_up_and_report() }
    }

    #[cold]
    #[inline(never)]
    fn look_up_and_report(&self) -> Result<(), Cancelled> {
        bump(&self.counters.checks);
        let reason = match self.scopes.borrow().effective(self.scope.get()) {
            None => return Ok(()),
            Some(reason) => reason.clone(),
        };
        bump(&self.counters.delivered);
        Err(Cancelled::mint(reason))
    }

    /// Has every question whether the current scope is cancelled counted, or no longer.
    #[cfg(feature = "testing")]
    pub(crate) fn watch_checks(&self, on: bool) {
        self.change(|tree| tree.watch(on));
    }

    /// Cancels a scope; says whether it was the first to.
    pub(super) fn cancel(&self, scope: ScopeId, reason: Reason) -> bool {
        if self.is_watched() {
            return self.cancel_watched(scope, reason);
        }
        self.change(|tree| tree.cancel(scope, reason))
    }

    /// Gives a scope the timer that its limit asks for, in place of the one before.
    fn arm(&self, scope: ScopeId) {
        let mut scopes = self.scopes.borrow_mut();
        if !scopes.is_live(scope) {
            return;
        }
        let at = match scopes.limit(scope) {
            Limit::At(at) => Some(at),
            Limit::Nothing | Limit::After(_) => None,
        };
        let at = at.map(|at| (at, self.clock().now()));
        let due = at.is_some_and(|(at, now)| at <= now);
        let wanted = at.filter(|(at, _)| scopes.is_entered(scope) && !due && *at < Instant::MAX);
        let mut timers = self.timers.borrow_mut();
        match (wanted, scopes.timer(scope)) {
            (Some((at, _)), Some(timer)) if timers.update(timer, at) => {}
            (wanted, before) => {
                // A timer of a scope holds nothing of a user.
                let _ = before.and_then(|timer| timers.remove(timer));
                let armed = wanted.map(|(at, now)| timers.insert(at, now, TimerTarget::Scope(scope)));
                scopes.set_timer(scope, armed);
            }
        }
        drop((timers, scopes));
        self.ring_host();
        if due {
            self.cancel(scope, Reason::Deadline);
        }
    }

    /// A parked operation waits on: perhaps in another scope, with another waker.
    fn park_on(&self, key: WaiterKey, waker: &Waker) {
        let scope = self.scope.get();
        if self.scopes.borrow_mut().keep_parked(key, scope, waker) {
            return;
        }
        // Cloned before the tree is borrowed, and dropped after: a foreign waker may do anything.
        let waker = waker.clone();
        let before = self.scopes.borrow_mut().repark(key, scope, waker);
        drop(before);
    }

    /// These scopes are over, and with them their timers. One that is no more is passed over.
    pub(crate) fn end_scopes<const N: usize>(&self, scopes: [ScopeId; N]) {
        self.change(|tree| {
            for timer in scopes.into_iter().filter_map(|scope| tree.remove(scope)) {
                // A timer of a scope holds nothing of a user.
                let _ = self.timers.borrow_mut().remove(timer);
            }
        });
    }
}

/// A scope is current as long as this lives.
#[must_use = "the scope is current only while the guard lives"]
pub(crate) struct Entered<'rt> {
    rt: &'rt Runtime,
    before: ScopeId,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.rt.scope.set(self.before);
    }
}

// ---- for the files that hold keys of scopes

/// A new scope below the current one. It changes nothing for any other, so there is nobody to be told.
pub(crate) fn new_scope(origin: Origin) -> ScopeId {
    with(|rt| rt.scopes.borrow_mut().insert(rt.scope.get(), origin))
}

/// The same, opened by the current task at `at`.
#[inline]
pub(crate) fn new_scope_at(at: &'static Location<'static>) -> ScopeId {
    with(|rt| rt.scopes.borrow_mut().insert(rt.scope.get(), Origin::Opened { at, by: rt.task() }))
}

pub(crate) fn new_scope_below(parent: ScopeId, origin: Origin) -> ScopeId {
    with(|rt| rt.scopes.borrow_mut().insert(parent, origin))
}

/// A new scope between `scope` and its parent, of which nobody below takes notice.
pub(crate) fn new_scope_above(scope: ScopeId, origin: Origin) -> ScopeId {
    with(|rt| rt.change(|tree| tree.insert_above(scope, origin)))
}

#[inline]
pub(crate) fn end_scope(scope: ScopeId) {
    let _ = try_with(|rt| rt.end_scopes([scope]));
}

pub(crate) fn reparent(scope: ScopeId, parent: ScopeId) {
    with(|rt| rt.change(|tree| tree.reparent(scope, parent)));
}

pub(crate) fn cancel(scope: ScopeId, reason: Reason) -> bool {
    with(|rt| rt.cancel(scope, reason))
}

/// Was this scope itself cancelled? One whose deadline has passed is from here on, whether the loop has looked or not.
pub(crate) fn cancel_called(scope: ScopeId) -> bool {
    with(|rt| {
        let scopes = rt.scopes.borrow();
        if scopes.own(scope).is_some() {
            return true;
        }
        let overdue = matches!(scopes.limit(scope), Limit::At(at) if at <= rt.clock().now());
        drop(scopes);
        if overdue {
            rt.cancel(scope, Reason::Deadline);
        }
        overdue
    })
}

pub(crate) fn set_shield(scope: ScopeId, on: bool) {
    with(|rt| rt.change(|tree| tree.set_shield(scope, on)));
}

/// Sets or clears the deadline of a scope. One that has passed cancels at once; another has a timer from the scope's
/// entry on.
pub(crate) fn set_deadline(scope: ScopeId, at: Option<Instant>) {
    with(|rt| {
        rt.scopes.borrow_mut().set_limit(scope, at.map_or(Limit::Nothing, Limit::At));
        rt.arm(scope);
    });
}

/// A scope is entered: if for the first time, its limit begins to count.
#[inline]
pub(crate) fn arm_on_entry(scope: ScopeId) {
    with(|rt| {
        let first = rt.scopes.borrow_mut().enter(scope, || rt.clock().now());
        if !matches!(first, None | Some(Limit::Nothing)) {
            rt.arm(scope);
        }
    });
}

/// The earliest deadline that can cancel the code around this call.
pub(crate) fn effective_deadline() -> Option<Instant> {
    with(|rt| {
        let scope = rt.scope.get();
        if rt.is_cancelled(scope) {
            return Some(Instant::from_nanos(0));
        }
        rt.scopes.borrow().effective_deadline(scope)
    })
}

pub(crate) fn effective(scope: ScopeId) -> Option<Reason> {
    with(|rt| rt.scopes.borrow().effective(scope).cloned())
}

/// Charges a ready operation to the task's budget, if there is some left and no scope at all is cancelled.
#[inline]
pub(crate) fn begins_quietly() -> bool {
    with(|rt| rt.quiet.get() && rt.charge())
}

/// Reports the current scope's cancellation, if there is one.
#[inline]
pub(crate) fn report() -> Result<(), Cancelled> {
    with(Runtime::report)
}

/// Parks a waiting operation in the current scope.
pub(crate) fn park(key: &mut Option<WaiterKey>, waker: &Waker, what: Waits) {
    with(|rt| match *key {
        Some(key) => rt.park_on(key, waker),
        None => {
            // Cloned before the tree is borrowed: a foreign waker may do anything.
            let waker = waker.clone();
            *key = Some(rt.scopes.borrow_mut().park(rt.scope.get(), waker, what));
        }
    });
}

pub(crate) fn unpark(key: WaiterKey) {
    let waker = try_with(|rt| rt.scopes.borrow_mut().unpark(key));
    drop(waker);
}
