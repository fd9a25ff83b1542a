//! The tree as somebody may look at it: every scope, and every operation that waits in one.

use super::{NIL, Origin, ScopeId, Tree};
use crate::cancel::ScopeInfo;
use crate::cancel::tree::Limit;
use crate::waits::Waits;
use std::task::Waker;

impl Tree {
    /// Every scope, in no order.
    pub(crate) fn scopes(&self) -> Vec<ScopeInfo> {
        let live = (0..).zip(&self.nodes).filter(|(_, n)| n.live);
        live.map(|(i, n)| {
            let (opened_at, opener, nursery) = match n.origin {
                Origin::Run => (None, None, None),
                Origin::Opened { at, by } => (Some(at), by, None),
                Origin::Nursery(nursery) => (None, None, Some(nursery)),
            };
            ScopeInfo {
                id: self.id(i),
                parent: (n.parent != NIL).then(|| self.id(n.parent)),
                opened_at,
                opener,
                nursery,
                cancelled: n.own.clone(),
                reason: n.effective.clone(),
                shielded: n.shield,
                deadline: match n.limit {
                    Limit::At(at) => Some(at),
                    Limit::Nothing | Limit::After(_) => None,
                },
            }
        })
        .collect()
    }

    /// Every operation that waits: who is woken if its scope is cancelled, in which scope, and for what. One that has been
    /// cancelled waits no more.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (&Waker, ScopeId, Waits)> {
        self.waiters
            .iter()
            .filter(|w| w.scope != NIL)
            .filter_map(|w| Some((w.waker.as_ref()?, self.id(w.scope), w.what)))
    }
}
