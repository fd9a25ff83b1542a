//! Wakes, polls and nurseries, as effects on the scheduler.
//!
//! ```text
//!   waker ─► wake(word) ─┬─ of this thread: queued, up to the loop │ or to a foreign waker, which is woken last
//!                        └─ of another: into that executor's inbox
//! ```
//!
//! Rules:
//! * **All Are Woken**: a batch is woken to its end, also if a foreign waker in it panics.

use super::{BUDGET, PASSES_PER_POLL, Runtime, try_with, with};
use crate::cancel::{Reason, ScopeId};
use crate::panics::{Payload, Steps, keep_first};
use crate::registry;
use crate::task::TaskId;
use crate::task::raw::{self, Boxed, Child};
use crate::task::sched::{Cause, Due, HubIndex, InHub, Left};
use crate::task::word::Word;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

impl Runtime {
    /// Wakes every one of them (All Are Woken).
    pub(crate) fn wake_all(&self, steps: &mut Steps, wakers: impl IntoIterator<Item = Waker>) {
        let mut sched = self.sched.borrow_mut();
        for waker in wakers {
            if let Some(waker) = sched.wake_own(waker) {
                drop(sched);
                steps.step(|| waker.wake());
                sched = self.sched.borrow_mut();
            }
        }
    }

    /// Wakes a word, of this executor or another. If the way up ends in a foreign executor its waker comes back.
    #[must_use = "a foreign parent has to be woken"]
    pub(crate) fn wake_word(&self, word: Word) -> Option<Waker> {
        let mut sched = self.sched.borrow_mut();
        if sched.executor() == word.executor() {
            return sched.wake(word);
        }
        drop(sched);
        wake_elsewhere(word);
        None
    }

    /// Something has changed that a waiting host has to look at: a deadline, a job.
    #[inline]
    pub(crate) fn ring_host(&self) {
        if self.is_hosted() {
            self.wake_host();
        }
    }

    #[cold]
    fn wake_host(&self) {
        let host = self.sched.borrow_mut().set_host(None);
        if let Some(host) = host {
            host.wake();
        }
    }

    // ---- the task that is being polled

    pub(crate) fn task(&self) -> Option<TaskId> {
        self.task.get()
    }

    /// Charges one ready operation to the task's budget; `false` when it is used up and the task has to yield.
    #[inline]
    pub(crate) fn charge(&self) -> bool {
        let left = self.budget.get();
        self.budget.set(left.saturating_sub(1));
        left > 0
    }

    /// Tasks are polled one after the other from here on.
    pub(crate) fn change_tasks(&self) -> Tasks<'_> {
        self.depth.set(self.depth.get() + 1);
        Tasks {
            rt: self,
            task: self.task.get(),
            cause: self.cause.get(),
            scope: self.scope.get(),
            budget: self.budget.get(),
        }
    }

    /// What is left of the task's budget.
    #[cfg(feature = "testing")]
    pub(crate) fn budget_left(&self) -> u32 {
        self.budget.get()
    }

    /// May there be another poll before the loop looks outside?
    #[inline]
    pub(crate) fn has_poll(&self) -> bool {
        self.polls_left.get() > 0
    }

    /// Takes a poll of those that are left. One that is for a nursery only, on the way to somebody deeper, takes little: so
    /// whoever is deep down gets as many steps a turn as others.
    #[inline]
    pub(crate) fn take_poll(&self, cause: Cause) {
        let cost = if cause == Cause::Any { PASSES_PER_POLL } else { 1 };
        self.polls_left.set(self.polls_left.get().saturating_sub(cost));
    }

    /// In tests a turn is one step of whoever was ready when it began, in nurseries as well.
    pub(crate) fn steps_are_counted(&self) -> bool {
        self.clock().is_virtual() || self.is_seeded()
    }

    // ---- hubs

    /// A poll of a nursery begins: who polls it. Says how many nodes are ready.
    pub(crate) fn enter_hub(&self, hub: HubIndex, waker: &Waker) -> usize {
        {
            let mut sched = self.sched.borrow_mut();
            if self.is_seeded() {
                sched.shuffle_hub(hub, |len| (self.random() % len as u64) as usize);
            }
            if let Some(ready) = sched.enter_hub(hub, waker) {
                return ready;
            }
        }
        // Cloned and dropped outside: a foreign waker may do anything.
        let clone = waker.clone();
        let (ready, before) = self.sched.borrow_mut().enter_hub_from(hub, clone);
        drop(before);
        ready
    }

    /// A poll of a nursery ends: if more has become ready meanwhile, it goes to the back of the queue.
    pub(crate) fn leave_hub(&self, hub: HubIndex) {
        let foreign = self.sched.borrow_mut().leave_hub(hub);
        if let Some(waker) = foreign {
            waker.wake();
        }
    }
}

/// What was current before other tasks were polled, and is so again when this goes.
#[must_use = "what was current is so again when this goes"]
pub(crate) struct Tasks<'rt> {
    rt: &'rt Runtime,
    task: Option<TaskId>,
    cause: Cause,
    scope: ScopeId,
    budget: u32,
}

impl Tasks<'_> {
    /// Polls as the task that is due, in `scope`, with a full budget. It stays the current one until the next is, or
    /// `back`.
    pub(crate) fn poll_as<R>(&self, due: Due, scope: ScopeId, poll: impl FnOnce(&mut Context<'_>) -> R) -> R {
        self.begin(due, scope);
        let waker = raw::waker_of(due.word);
        let _told = if self.rt.is_watched() { Some(self.rt.tell_step(TaskId(due.word))) } else { None };
        poll(&mut Context::from_waker(&waker))
    }

    /// The same for a task that is behind a pointer: two calls of it cost nothing, and the one that nobody watches has no
    /// end to tell of.
    pub(crate) fn poll_task<R>(
        &self,
        due: Due,
        scope: ScopeId,
        task: Pin<&mut (dyn Future<Output = R> + '_)>,
    ) -> Poll<R> {
        self.begin(due, scope);
        let waker = raw::waker_of(due.word);
        let mut cx = Context::from_waker(&waker);
        if self.rt.is_watched() {
            let _told = self.rt.tell_step(TaskId(due.word));
            return task.poll(&mut cx);
        }
        task.poll(&mut cx)
    }

    #[inline]
    fn begin(&self, Due { word, cause }: Due, scope: ScopeId) {
        let rt = self.rt;
        rt.task.set(Some(TaskId(word)));
        rt.cause.set(cause);
        rt.scope.set(scope);
        rt.budget.set(BUDGET);
        rt.count_poll();
    }

    /// The next who is ready in a nursery that is being polled. In `again` everybody who was ready when the poll began has
    /// had a step: then only if nobody else is ready, neither in the same task (which is polled for its nurseries only)
    /// nor elsewhere, so that it need not go to the back of a queue in which it is alone. Not in tests, where each of those
    /// who were ready gets one step a turn.
    #[inline]
    pub(crate) fn next_in_hub(&self, hub: HubIndex, again: bool) -> Option<InHub> {
        if again && (self.cause == Cause::Any || self.rt.steps_are_counted()) {
            return None;
        }
        let mut sched = self.rt.sched.borrow_mut();
        if again && !sched.is_alone(hub) {
            return None;
        }
        sched.next_in_hub(hub)
    }

    /// The next static child of the same nursery, if it is the next in the run queue and the turn lasts. Not in tests, where
    /// the order may be another.
    #[inline]
    pub(crate) fn next_static(&self, hub: HubIndex) -> Option<(Due, Child)> {
        if !self.rt.has_poll() || self.rt.steps_are_counted() {
            return None;
        }
        let next = self.rt.sched.borrow_mut().next_static(hub)?;
        self.rt.take_poll(next.0.cause);
        Some(next)
    }

    /// What was current before is so again, but for the cause: the body of a nursery, which is no task of its own, has one
    /// of its own.
    pub(crate) fn back_for(&self, cause: Cause) {
        self.back();
        self.rt.cause.set(cause);
    }

    /// What was current before is so again.
    fn back(&self) {
        self.rt.task.set(self.task);
        self.rt.cause.set(self.cause);
        self.rt.scope.set(self.scope);
        self.rt.budget.set(self.budget);
    }
}

impl Drop for Tasks<'_> {
    fn drop(&mut self) {
        self.back();
        self.rt.depth.set(self.rt.depth.get() - 1);
    }
}

#[cold]
fn wake_elsewhere(word: Word) {
    if let Some(inbox) = registry::inbox(word.executor()) {
        inbox.push(word.bits());
    }
}

/// Wakes a word from any thread: on its own thread at once, elsewhere through that executor's inbox.
pub(crate) fn wake(word: Word) {
    match try_with(|rt| rt.wake_word(word)) {
        Some(None) => {}
        Some(Some(foreign)) => foreign.wake(),
        None => wake_elsewhere(word),
    }
}

/// Wakes every one of them, however they behave; the first panic goes on when all are woken.
pub(crate) fn wake_each(wakers: impl IntoIterator<Item = Waker>) {
    let mut steps = Steps::new();
    for waker in wakers {
        steps.step(|| waker.wake());
    }
    steps.resume();
}

// ---- flat tasks

/// A nursery as the loop sees it: its static children are polled and dropped in the type they came in with.
pub(crate) trait Group {
    /// One step of a static child, and of those of the same nursery that are next in the run queue. Each is put back, or
    /// has ended, when this returns.
    fn steps(self: Rc<Self>, rt: &Runtime, tasks: &Tasks<'_>, due: Due, child: Child);

    /// Drops a child of a run that gives up on it.
    fn discard(&self, child: Child);
}

/// Starts a task of the run's own.
pub(crate) fn spawn_system(at: &'static Location<'static>, task: Boxed<()>) -> TaskId {
    let (id, host) = with(|rt| {
        let mut sched = rt.sched.borrow_mut();
        // While `task` is a value of a user still, dropped outside of this borrow.
        sched.require_room();
        sched.insert_system(at, task)
    });
    if let Some(host) = host {
        host.wake();
    }
    id
}

// ---- nodes and hubs, for nurseries

pub(crate) fn remove_node(word: Word) {
    let _ = try_with(|rt| rt.sched.borrow_mut().remove(word));
}

/// A child that was its starter's is its nursery's.
pub(crate) fn hand_over(word: Word) {
    let _ = try_with(|rt| rt.sched.borrow_mut().hand_over(word));
}

/// A nursery's hub and its scopes end.
pub(crate) fn close_nursery(hub: HubIndex, scope: ScopeId, kids: ScopeId) {
    let _ = try_with(|rt| {
        let parent = rt.sched.borrow_mut().remove_hub(hub);
        rt.end_scopes([kids, scope]);
        drop(parent);
    });
}

pub(crate) fn signal_hub(hub: HubIndex) {
    let foreign = try_with(|rt| rt.sched.borrow_mut().signal_hub(hub)).flatten();
    if let Some(w) = foreign {
        w.wake();
    }
}

/// The newest child that is left in a nursery which ends.
pub(crate) fn take_newest(hub: HubIndex) -> Option<Left> {
    try_with(|rt| rt.sched.borrow_mut().take_newest(hub)).flatten()
}

/// The nursery has ended: the loop polls no children for it any more.
pub(crate) fn close_hub(hub: HubIndex) {
    let group = try_with(|rt| rt.sched.borrow_mut().close_hub(hub));
    drop(group);
}

// ---- failures that nobody has taken yet

/// Counts failures that are kept for somebody to take, and takes them off the count again.
pub(crate) fn owe(failures: isize) {
    let _ = try_with(|rt| rt.orphan_failures.set(rt.orphan_failures.get() + failures));
}

/// A task whose nursery is gone has ended, well or not: a panic comes out of the run, a failure is counted there.
pub(crate) fn orphan_ended(outcome: Result<bool, Payload>) {
    match outcome {
        Ok(true) => {}
        Ok(false) => owe(1),
        Err(payload) => with(|rt| {
            keep_first(&mut rt.system_panic.borrow_mut(), payload);
        }),
    }
}

/// A task of the system, or a call of another thread, panicked: main is cancelled, and the panic comes out of the run.
pub(crate) fn system_panicked(payload: Payload) {
    orphan_ended(Err(payload));
    // Whoever asks for this has more to do: a foreign waker that panics is one more panic that comes after the first.
    let mut steps = Steps::new();
    steps.step(|| {
        with(|rt| rt.change(|tree| tree.cancel(rt.root(), Reason::Shutdown)));
    });
    if let Some(payload) = steps.into_first() {
        orphan_ended(Err(payload));
    }
}
