//! What is known of single tasks beside their nodes: what happens to them, while somebody looks; names; who started them; the
//! cancellations they have swallowed.
//!
//! ```text
//!   spawned, scheduled, forget ─ is anything kept? ─no─► nothing          take_log ─► what has happened since
//!                                        └─yes─► the log, the names, the starters
//! ```
//!
//! Rules: every end of a task looks at one flag. The last end that had something to forget lowers it.

use super::{HubIndex, Sched};
use crate::task::TaskId;
use crate::task::nodes::{Kind, Place};
use crate::task::word::Word;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What instruments are told of, as it happens in here.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Happened {
    Spawned(TaskId),
    Scheduled(TaskId),
    Exited(TaskId),
}

pub(super) struct Known {
    /// Is everything that happens to be written down?
    watched: bool,
    /// Is anything kept: a log, names, starters?
    any: bool,
    log: Vec<Happened>,
    /// Names of those that have one, by index.
    names: BTreeMap<u32, Rc<str>>,
    /// How many cancellations tasks have swallowed, by index.
    swallowed: BTreeMap<u32, u64>,
    /// Children that have not said yet that they are ready, by index, and who started them.
    starters: BTreeMap<u32, Option<TaskId>>,
}

impl Known {
    pub(super) const fn new() -> Self {
        Known {
            watched: false,
            any: false,
            log: Vec::new(),
            names: BTreeMap::new(),
            swallowed: BTreeMap::new(),
            starters: BTreeMap::new(),
        }
    }

    /// Who has started this child and waits for it to be ready.
    pub(super) fn starter(&self, index: u32) -> Option<Option<TaskId>> {
        self.starters.get(&index).copied()
    }
}

impl Sched {
    /// From now on everything that happens is written down, or nothing.
    pub(crate) fn watch(&mut self, on: bool) {
        self.known.watched = on;
        self.known.any |= on;
        if !on {
            self.known.log = Vec::new();
        }
    }

    /// What has happened since this was last asked.
    pub(crate) fn take_log(&mut self) -> Vec<Happened> {
        std::mem::take(&mut self.known.log)
    }

    /// Writes down what happens to a task. A nursery's body is none.
    #[cold]
    fn note(&mut self, index: u32, happened: fn(TaskId) -> Happened) {
        if self.nodes.get(index).kind() != Kind::Body {
            let happened = happened(TaskId(self.word(index)));
            self.known.log.push(happened);
        }
    }

    #[inline]
    pub(super) fn spawned(&mut self, index: u32) {
        if self.known.watched {
            self.note(index, Happened::Spawned);
        }
    }

    #[inline]
    pub(super) fn spawned_ready(&mut self, index: u32) {
        if self.known.watched {
            self.note(index, Happened::Spawned);
            self.note(index, Happened::Scheduled);
        }
    }

    #[inline]
    pub(super) fn scheduled(&mut self, index: u32) {
        if self.known.watched {
            self.note(index, Happened::Scheduled);
        }
    }

    /// A task ends: what is known of it goes with it.
    #[inline]
    pub(super) fn forget(&mut self, index: u32) {
        if self.known.any {
            self.forget_one(index);
        }
    }

    #[cold]
    fn forget_one(&mut self, index: u32) {
        if self.known.watched {
            self.note(index, Happened::Exited);
        }
        let known = &mut self.known;
        let _ = known.starters.remove(&index);
        let _ = known.names.remove(&index);
        let _ = known.swallowed.remove(&index);
        let kept = [known.starters.is_empty(), known.names.is_empty(), known.swallowed.is_empty()];
        known.any = known.watched || kept.contains(&false);
    }

    /// A child is its starter's until it is ready.
    pub(crate) fn set_starter(&mut self, index: u32, starter: Option<TaskId>) {
        let _none = self.known.starters.insert(index, starter);
        self.known.any = true;
    }

    /// It is the nursery's.
    pub(crate) fn hand_over(&mut self, word: Word) {
        if self.node(word).is_some() {
            let _ = self.known.starters.remove(&word.index());
        }
    }

    /// A task has dropped a cancellation. Where it was spawned, if it was.
    pub(crate) fn swallow(&mut self, task: TaskId) -> Option<Place> {
        let at = self.node(task.0)?.at;
        *self.known.swallowed.entry(task.0.index()).or_default() += 1;
        self.known.any = true;
        at
    }

    /// How many cancellations the task at `index` has dropped.
    pub(super) fn swallowed(&self, index: u32) -> u64 {
        self.known.swallowed.get(&index).copied().unwrap_or(0)
    }

    /// Gives a task a name.
    pub(crate) fn set_name(&mut self, task: TaskId, name: Rc<str>) {
        if self.node(task.0).is_some() {
            let _before = self.known.names.insert(task.0.index(), name);
            self.known.any = true;
        }
    }

    /// Gives the newest child of a nursery a name.
    pub(crate) fn name_newest(&mut self, h: HubIndex, name: Rc<str>) {
        let _none = self.known.names.insert(self.hubs[h as usize].first, name);
        self.known.any = true;
    }

    /// Every name.
    pub(crate) fn names(&self) -> Vec<(TaskId, Rc<str>)> {
        let name = |(index, name): (&u32, &Rc<str>)| (TaskId(self.word(*index)), Rc::clone(name));
        self.known.names.iter().map(name).collect()
    }
}
