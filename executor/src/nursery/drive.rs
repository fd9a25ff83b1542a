//! One poll of a nursery's future.
//!
//! ```text
//!   poll ─► hub: who is ready? ─┬─ body            one step each of those that were ready when the poll began
//!                               └─ child ─► children.rs
//!     └─► the body has ended, and there is no child ─► its result
//! ```

use super::Nursery;
use crate::cancel::Reason;
use crate::error::{Cancelled, Failure};
use crate::runtime::{self, Runtime};
use crate::task::raw;
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
            // First of all: from here on nobody may forget the runtime, whatever foreign code runs.
            let tasks = rt.change_tasks();
            self.core.hang(rt);
            let batch = rt.enter_hub(self.core.hub, cx.waker());
            let mut done = 0;
            while let Some(cause) = self.core.poll_borrowed(rt, &tasks, batch, &mut done) {
                if ended.is_none() {
                    tasks.back_for(cause);
                    *ended = self.poll_body(rt, body);
                }
            }
            drop(tasks);
            if ended.is_some() && rt.sched.borrow().is_childless(self.core.hub) {
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
}
