//! How instruments are told.
//!
//! ```text
//!   spawned, scheduled, exited ─► the scheduler's log ─┐ told first (In Order)
//!   a step, a cancel, a wait, the run ─────────────────┴─► each instrument ─ panics? ─► removed
//! ```
//!
//! Rules:
//! * `watched` is the one flag that anybody looks at who has nothing to tell; the scheduler has a copy of its own.
//! * Nothing is borrowed while an instrument is told, or dropped: it may do anything.

use super::{Runtime, try_with};
use crate::cancel::{Reason, ScopeId};
use crate::instrument::{Instrument, InstrumentKey};
use crate::task::TaskId;
use crate::task::sched::Happened;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

pub(super) struct Instruments {
    /// Is any installed?
    pub(super) watched: Cell<bool>,
    installed: Cell<u64>,
    list: RefCell<BTreeMap<InstrumentKey, Rc<dyn Instrument>>>,
}

impl Instruments {
    pub(super) const fn new() -> Self {
        Instruments {
            watched: Cell::new(false),
            installed: Cell::new(0),
            list: RefCell::new(BTreeMap::new()),
        }
    }

    /// A forked child: they are the parent's.
    pub(super) fn forget(&self) {
        self.watched.set(false);
        std::mem::forget(self.list.replace(BTreeMap::new()));
    }
}

impl Runtime {
    pub(crate) fn install(&self, instrument: Rc<dyn Instrument>) -> InstrumentKey {
        let of = &self.instruments;
        let key = InstrumentKey(of.installed.get());
        of.installed.set(key.0 + 1);
        of.list.borrow_mut().insert(key, instrument);
        self.watch();
        key
    }

    pub(crate) fn is_installed(&self, key: InstrumentKey) -> bool {
        self.instruments.list.borrow().contains_key(&key)
    }

    /// Takes it out. It comes back, to be dropped outside.
    fn take_instrument(&self, key: InstrumentKey) -> Option<Rc<dyn Instrument>> {
        let taken = self.instruments.list.borrow_mut().remove(&key);
        self.watch();
        taken
    }

    fn watch(&self) {
        let any = !self.instruments.list.borrow().is_empty();
        self.instruments.watched.set(any);
        self.sched.borrow_mut().watch(any);
    }

    #[inline]
    pub(crate) fn is_watched(&self) -> bool {
        self.instruments.watched.get()
    }

    /// Tells every instrument, as code of `task` or of none.
    fn tell_each(&self, task: Option<TaskId>, what: impl Fn(&dyn Instrument)) {
        let before = self.task.replace(task);
        let keys: Vec<_> = self.instruments.list.borrow().keys().copied().collect();
        for key in keys {
            // It may have been removed by one before it.
            let Some(instrument) = self.instruments.list.borrow().get(&key).cloned() else { continue };
            let told = catch_unwind(AssertUnwindSafe(|| what(&*instrument)));
            let failed = told.is_err().then(|| self.take_instrument(key));
            // What panics here has been reported by the panic hook, and there is nobody else to hear of it.
            let dropped = catch_unwind(AssertUnwindSafe(|| drop((failed, instrument))));
            [told, dropped].into_iter().filter_map(Result::err).for_each(std::mem::forget);
        }
        self.task.set(before);
    }

    /// Tells what the scheduler has written down (In Order).
    fn tell_log(&self) {
        loop {
            let log = self.sched.borrow_mut().take_log();
            if log.is_empty() {
                return;
            }
            for happened in log {
                match happened {
                    Happened::Spawned(task) => self.tell_each(None, |i| i.task_spawned(task)),
                    Happened::Scheduled(task) => self.tell_each(None, |i| i.task_scheduled(task)),
                    Happened::Exited(task) => self.tell_each(Some(task), |i| i.task_exited(task)),
                }
            }
        }
    }

    /// Tells what has happened outside of any task. Does nothing if nobody listens.
    pub(crate) fn tell(&self, what: impl Fn(&dyn Instrument)) {
        if self.is_watched() {
            self.tell_log();
            self.tell_each(None, what);
        }
    }

    /// Tells of a cancellation before what it wakes.
    #[cold]
    pub(super) fn cancel_watched(&self, scope: ScopeId, reason: Reason) -> bool {
        self.tell_log();
        let told = reason.clone();
        let first = self.change(|tree| tree.cancel(scope, reason));
        if first {
            self.tell_each(None, |i| i.scope_cancelled(scope, &told));
        }
        first
    }

    /// Tells of a poll of a task that somebody watches, as that task: that it begins, and when the guard goes that it ends,
    /// also by a panic.
    #[cold]
    #[inline(never)]
    pub(super) fn tell_step(&self, task: TaskId) -> Step<'_> {
        self.tell_log();
        self.tell_each(Some(task), |i| i.before_step(task));
        Step { rt: self, task }
    }
}

/// A step of a task is under way, and those who watch hear of its end.
#[must_use = "the step ends when this goes"]
pub(super) struct Step<'rt> {
    rt: &'rt Runtime,
    task: TaskId,
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        self.rt.tell_log();
        self.rt.tell_each(Some(self.task), |i| i.after_step(self.task));
    }
}

/// Removes an instrument, if it is there still.
pub(crate) fn uninstall(key: InstrumentKey) {
    let gone = try_with(|rt| rt.take_instrument(key));
    drop(gone);
}
