//! A nursery's children in the table of nodes: how they get in, one step of each, and how they go.
//!
//! ```text
//!   spawn_in, spawn_static ─► Child in a node of the hub ◄───────────────────────────┐
//!                               └─ poll_borrowed, step ─► a future again ─┬─ waits: put back
//!                                                                         └─ ended: dropped, then its outcome to core.rs
//!   torn down ─► take_newest, one by one ─► dropped
//! ```
//!
//! Rules:
//! * **Own Hub** (see `task/raw.rs`): the hub of a nursery has children of this one file only, so they all return a
//!   `Result<(), E>`.
//! * **Whole Until Empty**: a nursery that is torn down drops every child, each under `catch_unwind`, while it is whole.
//! * A child is out of the table while it is polled, so that it may spawn siblings, or, if it is static, drop its nursery.

use super::Nursery;
use super::core::{Core, Outcome};
use super::named::Label;
use super::spawn::inheriting;
use super::start::OwnScope;
use crate::cancel::ScopeId;
use crate::error::Failure;
use crate::panics::{Payload, Steps};
use crate::runtime::{self, Group, Runtime, Tasks};
use crate::task::raw::{Boxed, Child};
use crate::task::sched::{Cause, Due, InHub, Left};
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

/// The scopes of children that were started, by node; the others run in the scope of the children.
pub(super) type Started = BTreeMap<u32, Rc<OwnScope>>;

// ---- coming in

impl<'s, E: Failure + 'static> Nursery<'s, '_, E> {
    /// Starts a child in a scope of its own, or in that of the children.
    #[track_caller]
    pub(super) fn spawn_in(
        &'s self,
        name: impl Label,
        own: Option<Rc<OwnScope>>,
        fut: Pin<Box<dyn Future<Output = Result<(), E>> + 's>>,
        at: &'static Location<'static>,
    ) {
        self.core.require_open();
        let fut = inheriting(fut);
        runtime::with(|rt| {
            let mut sched = rt.sched.borrow_mut();
            // While `fut` is a value of a user still, dropped outside of this borrow.
            sched.require_room();
            // SAFETY: Borrowed Child. The type of the nursery's future carries 's. `poll_borrowed` is the only code that
            // polls a child of the hub's ready list, and it is called from that future's poll alone. `TearDown`, in that
            // future's frame and declared after the nursery, drops every child before the frame ends. If the frame is
            // leaked, so is the child: no other code takes a borrowed child out of the table, and the table drops none. A
            // table that was forgotten, after a fork, is never looked at again.
            let index = sched.insert_borrowed(self.core.hub, at, unsafe { Child::erase(fut) });
            if let Some(own) = own {
                own.word.set(Some(sched.word(index)));
                sched.set_starter(index, rt.task());
                let _none = self.core.started.borrow_mut().insert(index, own);
                self.core.any_started.set(true);
            }
            name.give(&mut sched, self.core.hub);
        });
    }
}

impl<E: Failure + 'static> Core<E> {
    /// Starts a static child.
    #[track_caller]
    pub(super) fn spawn_static(
        self: &Rc<Self>,
        name: impl Label,
        fut: Boxed<Result<(), E>>,
        at: &'static Location<'static>,
    ) {
        self.require_open();
        let fut = inheriting(fut);
        let host = runtime::with(|rt| {
            let mut sched = rt.sched.borrow_mut();
            sched.require_room();
            // SAFETY: Borrowed Child: it borrows nothing that could end before it.
            let child = unsafe { Child::erase(fut) };
            let host = sched.insert_static(self.hub, at, child, || Rc::clone(self) as Rc<dyn Group>);
            name.give(&mut sched, self.hub);
            host
        });
        if let Some(host) = host {
            host.wake();
        }
    }
}

// ---- one step

impl<E: Failure + 'static> Core<E> {
    /// One step each of the borrowed children that are ready, until the body is: then it says why. `done` of them have had
    /// theirs, `batch` were ready when this poll of the nursery began.
    pub(super) fn poll_borrowed(
        &self,
        rt: &Runtime,
        tasks: &Tasks<'_>,
        batch: usize,
        done: &mut usize,
    ) -> Option<Cause> {
        // The first is done in any case: else a deep nursery would never get on.
        while *done == 0 || rt.has_poll() {
            let Some(InHub { due, child }) = tasks.next_in_hub(self.hub, *done >= batch) else { break };
            // Every poll counts towards the loop's next look outside, however deep it happens.
            rt.take_poll(due.cause);
            *done += 1;
            let Some(child) = child else { return Some(due.cause) };
            let _waits = self.step_of::<false>(rt, tasks, due, child);
        }
        None
    }

    /// One step of a child; says whether it has ended. Made twice, so that each of its two loops has it in one piece.
    #[inline(always)]
    fn step_of<const STATIC: bool>(&self, rt: &Runtime, tasks: &Tasks<'_>, due: Due, child: Child) -> bool {
        let index = due.word.index();
        let mut future = self.future_of(child);
        let own = self.own_scope(index);
        let scope = own.unwrap_or_else(|| self.kids());
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let _outside = rt.out_of_locals();
            tasks.poll_task(due, scope, future.as_mut())
        }));
        let outcome = match polled {
            Ok(Poll::Pending) => {
                self.put_back::<STATIC>(rt, index, future);
                return false;
            }
            Ok(Poll::Ready(r)) => Ok(r),
            Err(payload) => Err(payload),
        };
        self.end::<STATIC>(rt, index, scope, future, outcome);
        true
    }

    /// The end of a child.
    #[inline(always)]
    fn end<const STATIC: bool>(
        &self,
        rt: &Runtime,
        index: u32,
        scope: ScopeId,
        future: Boxed<Result<(), E>>,
        outcome: Outcome<(), E>,
    ) {
        let was_cancelled =
            matches!(outcome, Ok(Err(_))) && (rt.is_cancelled(scope) || rt.is_cancelled(self.kids()));
        let own = if self.any_started.get() { self.take_own(index) } else { None };
        // Its destructors stand where its code stood: it is still the current task.
        let dropped = catch_unwind(AssertUnwindSafe(|| drop((future, own))));
        rt.sched.borrow_mut().end_child(index);
        match (outcome, dropped) {
            (Ok(Ok(())), Ok(())) => {}
            (Ok(Err(e)), Ok(())) if was_cancelled && !self.closed.get() => self.ended_cancelled(rt, e),
            (outcome, dropped) => self.ended_badly(was_cancelled, outcome, dropped),
        }
    }

    /// A child has failed or panicked, or its destructors have.
    #[cold]
    fn ended_badly(&self, was_cancelled: bool, outcome: Outcome<(), E>, dropped: Result<(), Payload>) {
        if self.closed.get() {
            // It has dropped its own nursery from the poll in which it ended: the run is the next to be told.
            runtime::orphan_ended(outcome.map(|r| r.is_ok()));
            if let Err(payload) = dropped {
                runtime::orphan_ended(Err(payload));
            }
            return;
        }
        self.ended(was_cancelled, outcome);
        if let Err(payload) = dropped {
            self.panicked(payload);
        }
    }

    /// The scope of a child that was started.
    #[inline]
    fn own_scope(&self, index: u32) -> Option<ScopeId> {
        if self.any_started.get() { self.started.borrow().get(&index).map(|own| own.id) } else { None }
    }

    #[cold]
    fn take_own(&self, index: u32) -> Option<Rc<OwnScope>> {
        let mut started = self.started.borrow_mut();
        let own = started.remove(&index);
        self.any_started.set(!started.is_empty());
        own
    }

    #[inline(always)]
    fn put_back<const STATIC: bool>(&self, rt: &Runtime, index: u32, future: Boxed<Result<(), E>>) {
        // SAFETY: Borrowed Child: it came out of the table, and goes back into the same place. The number is its own while it
        // is out, and nobody puts another table there while somebody is polled (`Runtime::forget`).
        let left = rt.sched.borrow_mut().put_back(index, unsafe { Child::erase(future) });
        if let Some(child) = left {
            self.discard_quietly(child);
        }
    }

    /// A child has dropped its own nursery: a panic of its destructors has nowhere to go.
    #[cold]
    fn discard_quietly(&self, child: Child) {
        let dropped = catch_unwind(AssertUnwindSafe(|| self.discard(child)));
        std::mem::forget(dropped);
    }
}

impl<E: Failure + 'static> Group for Core<E> {
    fn steps(self: Rc<Self>, rt: &Runtime, tasks: &Tasks<'_>, due: Due, child: Child) {
        let (mut next, mut ended) = (Some((due, child)), false);
        while let Some((due, child)) = next {
            ended |= self.step_of::<true>(rt, tasks, due, child);
            // One that has dropped its own nursery has dropped the others as well.
            next = if self.closed.get() { return } else { tasks.next_static(self.hub) };
        }
        // The last one: the nursery looks whether it is over.
        if ended && rt.sched.borrow().is_childless(self.hub) {
            runtime::signal_hub(self.hub);
        }
    }

    fn discard(&self, child: Child) {
        drop(self.future_of(child));
    }
}

impl<E> Core<E> {
    /// A child of this nursery in the type it came in with.
    fn future_of(&self, child: Child) -> Boxed<Result<(), E>> {
        // SAFETY: Own Hub: whoever calls this has taken the child out of this nursery's hub, where `spawn_in` and
        // `spawn_static` alone put children, which return a `Result<(), E>`. The hub's number is the nursery's until its core
        // goes, and in its table: nobody is polled on in another, and the tear-down looks. Borrowed Child is kept by those
        // who take it: the nursery's poll, its tear-down, and for static children the loop.
        unsafe { child.into_future() }
    }
}

// ---- tear-down

/// Ends a nursery's node, and drops whatever is left of its children. On the ordinary way nothing is.
pub(super) struct TearDown<'a, 's, 'env, E: 'static>(pub(super) &'a Nursery<'s, 'env, E>);

impl<E> Drop for TearDown<'_, '_, '_, E> {
    fn drop(&mut self) {
        let core = &self.0.core;
        core.closed.set(true);
        if !runtime::is_current_epoch(core.run) {
            // A forked child: the numbers may be those of tasks there, and these children are the parent's.
            return;
        }
        runtime::remove_node(core.body);
        let mut steps = Steps::new();
        // One by one, out of the table: a destructor may use the nursery.
        while let Some(left) = runtime::take_newest(core.hub) {
            let Left::AtRest { index, child } = left else { continue };
            let own = core.started.borrow_mut().remove(&index);
            // With the child goes the scope of its own, and with that a cause of a user's making.
            steps.step(|| drop((core.future_of(child), own)));
            if !runtime::is_current_epoch(core.run) {
                // It has forgotten the runtime, and the hub's number is a stranger's.
                return steps.resume();
            }
        }
        runtime::close_hub(core.hub);
        // On the ordinary way a panic is kept in the core, and resumes after this.
        steps.resume();
    }
}
