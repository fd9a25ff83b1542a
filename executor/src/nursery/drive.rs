//! The life of a nursery's future: one poll of it, and its tear-down.
//!
//! ```text
//!   poll ─► hub: who is ready? ─┬─ body            one step each of those that were ready when the poll began
//!                               └─ slot ─► child ─┬─ waits: back into its slot
//!                                                 └─ ended: dropped, then its outcome goes to core.rs
//!   dropped open ─► TearDown ─► every child that is left
//! ```

use super::Nursery;
use crate::cancel::Reason;
use crate::error::{Cancelled, Failure};
use crate::panics::Steps;
use crate::runtime::{self, Runtime, Tasks};
use crate::task::raw;
use crate::task::sched::{BODY, Due};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

impl<E: Failure + 'static> Nursery<'_, '_, E> {
    /// One poll of the nursery's future: those that were ready when it began, one step each.
    pub(super) fn poll<T, B: Future<Output = Result<T, E>>>(
        &self,
        body: &mut Pin<&mut B>,
        ended: &mut Option<Result<T, E>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<T, E>> {
        runtime::with(|rt| {
            rt.require_run(self.core.run, "nursery");
            self.core.hang(rt);
            let (batch, mut next) = rt.enter_hub(self.core.hub, cx.waker());
            let tasks = rt.change_tasks();
            let mut done = 0;
            while let Some((slot, due)) = next {
                // Every poll counts towards the loop's next look outside, however deep it happens. The first is done in
                // any case: else a deep nursery would never get on.
                let _ = rt.take_poll();
                if slot != BODY {
                    self.poll_child(rt, &tasks, slot, due);
                } else if ended.is_none() {
                    tasks.back();
                    *ended = self.poll_body(rt, body);
                }
                done += 1;
                if rt.polls_left.get() == 0 {
                    break;
                }
                next = tasks.next_in_hub(self.core.hub, done >= batch);
            }
            drop(tasks);
            if ended.is_some() && self.slots.borrow().live() == 0 && self.core.flats.borrow().is_empty() {
                // A schedule point, as every operation: a loop over empty nurseries lets others run.
                if rt.charge() {
                    return Poll::Ready(ended.take().expect("just checked"));
                }
                cx.waker().wake_by_ref();
            }
            rt.leave_hub(self.core.hub);
            Poll::Pending
        })
    }

    fn poll_body<T, B: Future<Output = Result<T, E>>>(
        &self,
        rt: &Runtime,
        body: &mut Pin<&mut B>,
    ) -> Option<Result<T, E>> {
        let waker = raw::waker_of(self.core.body);
        let mut cx = Context::from_waker(&waker);
        let _inside = rt.enter_as_is(self.core.scope());
        rt.count_poll();
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let Poll::Ready(r) = body.as_mut().poll(&mut cx) else { return None };
            // Asked in here, because the answer is a user's code as well.
            let failed = r.as_ref().is_err_and(|e| !e.is_cancelled() || !rt.is_cancelled(self.core.scope()));
            Some((r, failed))
        }));
        let (r, failed) = match polled {
            Ok(ended) => ended?,
            Err(payload) => {
                self.core.panicked(payload);
                (Err(E::from(Cancelled::mint(Reason::SiblingFailed))), false)
            }
        };
        self.core.body_ended.set(true);
        if failed {
            self.core.failed();
        }
        Some(r)
    }

    fn poll_child(&self, rt: &Runtime, tasks: &Tasks<'_>, slot: u32, due: Due) {
        let Some((mut child, own)) = self.slots.borrow_mut().take(slot) else { return };
        let scope = own.unwrap_or_else(|| self.core.kids());
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let _outside = rt.out_of_locals();
            tasks.poll_task(due, scope, child.as_mut())
        }));
        let outcome = match polled {
            Ok(Poll::Pending) => return self.slots.borrow_mut().put_back(slot, child),
            Ok(Poll::Ready(r)) => Ok(r),
            Err(payload) => Err(payload),
        };
        let was_cancelled = rt.is_cancelled(scope) || rt.is_cancelled(self.core.kids());
        // Its destructors stand where its code stood: it is still the current task.
        let own = if own.is_some() { self.slots.borrow_mut().take_own(slot) } else { None };
        let dropped = catch_unwind(AssertUnwindSafe(|| drop((child, own))));
        rt.sched.borrow_mut().remove_borrowed(due.word.index());
        self.slots.borrow_mut().vacate(slot);
        self.core.ended(was_cancelled, outcome);
        if let Err(payload) = dropped {
            self.core.panicked(payload);
        }
    }
}

/// Ends a nursery's node, and drops whatever is left of its children. On the ordinary way nothing is.
pub(super) struct TearDown<'a, 's, 'env, E: 'static>(pub(super) &'a Nursery<'s, 'env, E>);

impl<E> Drop for TearDown<'_, '_, '_, E> {
    fn drop(&mut self) {
        let n = self.0;
        n.core.closed.set(true);
        if !runtime::is_current_epoch(n.core.run) {
            // A forked child: the body's number may be that of a task there, and these children are the parent's.
            while let Some(place) = n.slots.borrow_mut().pop() {
                std::mem::forget(place);
            }
            return;
        }
        runtime::remove_node(n.core.body);
        let mut steps = Steps::new();
        // One by one, out of the slots: a destructor may use the nursery.
        loop {
            let place = n.slots.borrow_mut().pop();
            let Some(place) = place else { break };
            runtime::remove_borrowed(place.node);
            // With the child goes the scope of its own, and with that a cause of a user's making.
            steps.step(|| drop(place));
        }
        loop {
            let word = n.core.flats.borrow_mut().pop();
            let Some(word) = word else { break };
            if let Some(task) = runtime::take_flat(word) {
                steps.step(|| drop(task));
            }
        }
        // On the ordinary way a panic is kept in the core, and resumes after this.
        steps.resume();
    }
}
