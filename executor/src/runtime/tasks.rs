//! Wakes, polls and nurseries, as effects on the scheduler.
//!
//! ```text
//!   waker ─► wake(word) ─┬─ of this thread: queued, up to the loop │ or to a foreign waker, which is woken last
//!                        └─ of another: into that executor's inbox
//! ```
//!
//! Rules:
//! * **All Are Woken**: a batch is woken to its end, also if a foreign waker in it panics.

use super::{BUDGET, Runtime, try_with, with};
use crate::cancel::{Reason, ScopeId};
use crate::panics::{Payload, Steps, keep_first};
use crate::registry;
use crate::task::TaskId;
use crate::task::raw;
use crate::task::sched::{Flat, HubIndex};
use crate::task::word::Word;
use std::task::{Context, Waker};

impl Runtime {
    /// Wakes every one of them (All Are Woken).
    pub(crate) fn wake_all(&self, steps: &mut Steps, wakers: impl IntoIterator<Item = Waker>) {
        for waker in wakers {
            let foreign = match raw::word_of(&waker) {
                Some(word) => self.wake_word(word),
                None => Some(waker),
            };
            if let Some(waker) = foreign {
                steps.step(|| waker.wake());
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
    pub(crate) fn charge(&self) -> bool {
        let left = self.budget.get();
        self.budget.set(left.saturating_sub(1));
        left > 0
    }

    /// Polls as the task `word`, in `scope`, with a full budget; whatever was current before is so again afterwards.
    pub(crate) fn poll_as<R>(
        &self,
        word: Word,
        scope: ScopeId,
        poll: impl FnOnce(&mut Context<'_>) -> R,
    ) -> R {
        struct Before<'rt> {
            rt: &'rt Runtime,
            task: Option<TaskId>,
            scope: ScopeId,
            budget: u32,
        }
        impl Drop for Before<'_> {
            fn drop(&mut self) {
                self.rt.task.set(self.task);
                self.rt.scope.set(self.scope);
                self.rt.budget.set(self.budget);
            }
        }
        let _before = Before {
            rt: self,
            task: self.task.replace(Some(TaskId(word))),
            scope: self.scope.replace(scope),
            budget: self.budget.replace(BUDGET),
        };
        self.count_poll();
        let waker = raw::waker_of(word);
        poll(&mut Context::from_waker(&waker))
    }

    /// What is left of the task's budget.
    #[cfg(feature = "testing")]
    pub(crate) fn budget_left(&self) -> u32 {
        self.budget.get()
    }

    /// Takes one of the polls that are left until the loop looks outside.
    pub(crate) fn take_poll(&self) -> bool {
        let left = self.polls_left.get();
        self.polls_left.set(left.saturating_sub(1));
        left > 0
    }

    // ---- hubs

    /// A poll of a nursery begins: who polls it. Says how many nodes are ready, and which is the first.
    pub(crate) fn enter_hub(&self, hub: HubIndex, waker: &Waker) -> (usize, Option<(u32, Word)>) {
        {
            let mut sched = self.sched.borrow_mut();
            if self.is_seeded() {
                sched.shuffle_hub(hub, |len| (self.random() % len as u64) as usize);
            }
            if let Some(ready) = sched.enter_hub(hub, waker) {
                return (ready, sched.next_in_hub(hub));
            }
        }
        // Cloned and dropped outside: a foreign waker may do anything.
        let clone = waker.clone();
        let mut sched = self.sched.borrow_mut();
        let (ready, before) = sched.enter_hub_from(hub, clone);
        let first = sched.next_in_hub(hub);
        drop(sched);
        drop(before);
        (ready, first)
    }

    /// A poll of a nursery ends: if more has become ready meanwhile, it goes to the back of the queue.
    pub(crate) fn leave_hub(&self, hub: HubIndex) {
        let foreign = self.sched.borrow_mut().leave_hub(hub);
        if let Some(waker) = foreign {
            waker.wake();
        }
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

/// A place for a flat task of a nursery, or of nobody ([`NO_HUB`](crate::task::sched::NO_HUB)): [`fill_flat`] puts the task there. In between nothing of a user runs.
pub(crate) fn reserve_flat(owner: HubIndex) -> Word {
    with(|rt| rt.sched.borrow_mut().reserve_flat(owner))
}

/// Puts a task into its place, ready.
pub(crate) fn fill_flat(word: Word, task: Flat) {
    let (refused, host) = with(|rt| {
        let mut sched = rt.sched.borrow_mut();
        (sched.put_back(word, task), sched.wake(word))
    });
    debug_assert!(refused.is_none(), "nobody has dropped a task that was not there yet");
    if let Some(host) = host {
        host.wake();
    }
}

/// Takes a static child out of the executor, to be dropped; one that is being polled goes when its poll returns.
pub(crate) fn take_flat(word: Word) -> Option<Flat> {
    try_with(|rt| rt.sched.borrow_mut().remove(word)).flatten()
}

// ---- nodes and hubs, for nurseries

pub(crate) fn remove_node(word: Word) {
    let task = try_with(|rt| rt.sched.borrow_mut().remove(word));
    drop(task);
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

/// A borrowed child goes with its nursery.
pub(crate) fn remove_borrowed(index: u32) {
    let _ = try_with(|rt| rt.sched.borrow_mut().remove_borrowed(index));
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
    with(|rt| rt.change(|tree| tree.cancel(rt.root(), Reason::Shutdown)));
}
