//! The time limits of scopes: assigned before or after the entry, and what is left of them further in.
//!
//! ```text
//!   After(d) ─ entry at t ─► At(t + d)          At(at) ─ entry ─► a timer
//!   effective deadline: the earliest from the scope outwards, up to the first shield
//! ```

use super::{NIL, ScopeId, Tree};
use crate::clock::Instant;
use crate::deadline::TimerKey;
use std::time::Duration;

/// How long a scope may last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    Nothing,
    /// From the entry on; only a scope that has not been entered has such a limit.
    After(Duration),
    At(Instant),
}

impl Tree {
    /// The first entry of a scope, at `now`: when it has to end from now on. `None` if this is not the first.
    pub(crate) fn enter(&mut self, id: ScopeId, now: impl FnOnce() -> Instant) -> Option<Limit> {
        let i = self.index(id)?;
        let n = &mut self.nodes[i];
        if std::mem::replace(&mut n.entered, true) {
            return None;
        }
        if let Limit::After(d) = n.limit {
            n.limit = Limit::At(now() + d);
        }
        Some(n.limit)
    }

    pub(crate) fn is_entered(&self, id: ScopeId) -> bool {
        self.index(id).is_some_and(|i| self.nodes[i].entered)
    }

    pub(crate) fn limit(&self, id: ScopeId) -> Limit {
        self.index(id).map_or(Limit::Nothing, |i| self.nodes[i].limit)
    }

    pub(crate) fn set_limit(&mut self, id: ScopeId, limit: Limit) {
        if let Some(i) = self.index(id) {
            self.nodes[i].limit = limit;
        }
    }

    /// The earliest deadline that can cancel what is in `id`: its own, and those further out that no shield bars.
    pub(crate) fn effective_deadline(&self, id: ScopeId) -> Option<Instant> {
        let mut earliest = None;
        let mut at = self.index(id)? as u32;
        while at != NIL {
            let n = &self.nodes[at as usize];
            if let Limit::At(deadline) = n.limit {
                earliest = Some(earliest.map_or(deadline, |e: Instant| e.min(deadline)));
            }
            at = if n.shield { NIL } else { n.parent };
        }
        earliest
    }

    /// The timer of the scope's deadline.
    pub(crate) fn timer(&self, id: ScopeId) -> Option<TimerKey> {
        self.nodes[self.index(id)?].timer
    }

    /// Stores the timer of the scope's deadline.
    pub(crate) fn set_timer(&mut self, id: ScopeId, timer: Option<TimerKey>) {
        if let Some(i) = self.index(id) {
            self.nodes[i].timer = timer;
        }
    }
}
