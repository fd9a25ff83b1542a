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
use super::spawn::inheriting;
use super::start::OwnScope;
use crate::cancel::ScopeId;
use crate::error::Failure;
use crate::panics::{Payload, Steps};
use crate::runtime::{self, Group, Runtime, Tasks};
use crate::task::raw::{Boxed, Child};
use crate::task::sched::{Due, InHub, Left};
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
            // leaked, so is the child: no other code takes a borrowed child out of the table, and the table drops none.
            let index = sched.insert_borrowed(self.core.hub, at, unsafe { Child::erase(fut) });
            if let Some(own) = own {
                own.word.set(Some(sched.word(index)));
                sched.set_starter(index, rt.task());
                let _none = self.core.started.borrow_mut().insert(index, own);
            }
        });
    }
}

impl<E: Failure + 'static> Core<E> {
    /// Starts a static child.
    #[track_caller]
    pub(super) fn spawn_static(self: &Rc<Self>, fut: Boxed<Result<(), E>>, at: &'static Location<'static>) {
        self.require_open();
        let fut = inheriting(fut);
        let host = runtime::with(|rt| {
            let mut sched = rt.sched.borrow_mut();
            sched.require_room();
            // SAFETY: Borrowed Child: it borrows nothing that could end before it.
            let child = unsafe { Child::erase(fut) };
            sched.insert_static(self.hub, at, child, || Rc::clone(self) as Rc<dyn Group>)
        });
        if let Some(host) = host {
            host.wake();
        }
    }
}

// ---- one step

impl<E: Failure + 'static> Core<E> {
    /// One step each of the borrowed children that are ready, until the body is: then it says so. `done` of them have had
    /// theirs, `batch` were ready when this poll of the nursery began.
    pub(super) fn poll_borrowed(
        &self,
        rt: &Runtime,
        tasks: &Tasks<'_>,
        batch: usize,
        done: &mut usize,
    ) -> bool {
        // The first is done in any case: else a deep nursery would never get on.
        while *done == 0 || rt.polls_left.get() > 0 {
            let Some(InHub { due, child }) = tasks.next_in_hub(self.hub, *done >= batch) else { break };
            // Every poll counts towards the loop's next look outside, however deep it happens.
            let _ = rt.take_poll();
            *done += 1;
            let Some(child) = child else { return true };
            let _waits = self.step_of(rt, tasks, due, child);
        }
        false
    }

    /// One step of a child; says whether it has ended.
    #[inline(always)]
    fn step_of(&self, rt: &Runtime, tasks: &Tasks<'_>, due: Due, child: Child) -> bool {
        let index = due.word.index();
        let mut future = Some(self.future_of(child));
        let own = self.own_scope(index);
        let scope = own.unwrap_or_else(|| self.kids());
        let mut result = None;
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let _outside = rt.out_of_locals();
            let Some(child) = &mut future else { return };
            let Poll::Ready(r) = tasks.poll_task(due, scope, child.as_mut()) else { return };
            let was_cancelled = r.is_err() && (rt.is_cancelled(scope) || rt.is_cancelled(self.kids()));
            result = Some((r, was_cancelled));
            // Its destructors stand where its code stood: it is still the current task.
            future = None;
        }));
        match (result, polled) {
            (None, Ok(())) => {
                if let Some(future) = future {
                    self.put_back(rt, index, future);
                }
                false
            }
            (Some((Ok(()), _)), Ok(())) if own.is_none() => {
                rt.sched.borrow_mut().end_child(index);
                true
            }
            (result, polled) => {
                self.ended_otherwise(rt, index, result, polled, future);
                true
            }
        }
    }

    /// The end of a child that failed, panicked, or has a scope of its own.
    #[cold]
    fn ended_otherwise(
        &self,
        rt: &Runtime,
        index: u32,
        result: Option<(Result<(), E>, bool)>,
        polled: Result<(), Payload>,
        future: Option<Boxed<Result<(), E>>>,
    ) {
        let own = self.started.borrow_mut().remove(&index);
        let dropped = catch_unwind(AssertUnwindSafe(|| drop((future, own))));
        rt.sched.borrow_mut().end_child(index);
        let (outcome, was_cancelled) = match result {
            Some((r, was_cancelled)) => (Ok(r), was_cancelled),
            None => (Err(()), false),
        };
        // A child has one outcome: what its code panicked with, else what it returned. A panic of its destructors is one more.
        match (outcome, polled) {
            (Ok(r), polled) => {
                self.child_ended(was_cancelled, Ok(r));
                polled.map_or_else(|payload| self.child_ended(false, Err(payload)), |()| {});
            }
            (Err(()), Err(payload)) => self.child_ended(false, Err(payload)),
            (Err(()), Ok(())) => unreachable!("it waits"),
        }
        if let Err(payload) = dropped {
            self.child_ended(false, Err(payload));
        }
    }

    /// The scope of a child that was started.
    fn own_scope(&self, index: u32) -> Option<ScopeId> {
        let started = self.started.borrow();
        if started.is_empty() { None } else { started.get(&index).map(|own| own.id) }
    }

    fn put_back(&self, rt: &Runtime, index: u32, future: Boxed<Result<(), E>>) {
        // SAFETY: Borrowed Child: it came out of the table, and goes back into the same place.
        let left = rt.sched.borrow_mut().put_back(index, unsafe { Child::erase(future) });
        if let Some(child) = left {
            // It has dropped its own nursery: a panic of its destructors has nowhere to go.
            let dropped = catch_unwind(AssertUnwindSafe(|| self.discard(child)));
            std::mem::forget(dropped);
        }
    }

    /// Tells whoever is to know how a child ended.
    fn child_ended(&self, was_cancelled: bool, outcome: Outcome<(), E>) {
        if self.closed.get() {
            // It has dropped its own nursery from the poll in which it ended: the run is the next to be told.
            runtime::orphan_ended(outcome.map(|r| r.is_ok()));
        } else {
            self.ended(was_cancelled, outcome);
        }
    }
}

impl<E: Failure + 'static> Group for Core<E> {
    fn step(self: Rc<Self>, rt: &Runtime, tasks: &Tasks<'_>, due: Due, child: Child) {
        let ended = self.step_of(rt, tasks, due, child);
        // The last one: the nursery looks whether it is over.
        if ended && !self.closed.get() && rt.sched.borrow().is_childless(self.hub) {
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
        // `spawn_static` alone put children, which return a `Result<(), E>`. Borrowed Child is kept by those who do: the
        // nursery's poll, its tear-down, and for static children the loop.
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
        }
        runtime::close_hub(core.hub);
        // On the ordinary way a panic is kept in the core, and resumes after this.
        steps.resume();
    }
}
