//! The operations that wait in a scope: a list in each node, which a cancel empties of its wakers.
//!
//! ```text
//!   park ─► first_waiter ⇄ … ─ the scope is cancelled ─► the waker is taken ─► its next poll: done, or parked anew
//!   repark: in the scope that is current now              unpark: the operation is over
//! ```

use super::{NIL, ScopeId, Tree};
use crate::waits::Waits;
use std::task::Waker;

/// A waiting operation's entry in the scope it waits in. Freed by the operation alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct WaiterKey(u32);

pub(super) struct Waiter {
    pub(super) waker: Option<Waker>,
    /// What it waits for.
    pub(super) what: Waits,
    /// The scope this entry is linked into, or NIL once that scope is gone.
    pub(super) scope: u32,
    prev: u32,
    pub(super) next: u32,
}

impl Tree {
    /// Parks a waker in `id`: it is collected when the scope becomes cancelled.
    pub(crate) fn park(&mut self, id: ScopeId, waker: Waker, what: Waits) -> WaiterKey {
        let waiter = Waiter { waker: Some(waker), what, scope: NIL, prev: NIL, next: NIL };
        let w = match self.free_waiters.pop() {
            Some(w) => {
                self.waiters[w as usize] = waiter;
                w
            }
            None => {
                let w = u32::try_from(self.waiters.len()).expect("fewer than 2^32 waiting operations");
                self.waiters.push(waiter);
                w
            }
        };
        self.link_waiter(w, id);
        WaiterKey(w)
    }

    /// The same operation waits on with the waker it has, perhaps in another scope. `false` if it needs another.
    pub(crate) fn keep_parked(&mut self, key: WaiterKey, id: ScopeId, waker: &Waker) -> bool {
        let w = &self.waiters[key.0 as usize];
        let same = w.waker.as_ref().is_some_and(|old| old.will_wake(waker));
        if same && w.scope != id.index {
            self.unlink_waiter(key.0);
            self.link_waiter(key.0, id);
        }
        same
    }

    /// The same operation waits on: perhaps in another scope, with another waker. The waker it had before
    /// comes back, because dropping a foreign one runs foreign code.
    pub(crate) fn repark(&mut self, key: WaiterKey, id: ScopeId, waker: Waker) -> Option<Waker> {
        let w = &mut self.waiters[key.0 as usize];
        let before = w.waker.replace(waker);
        if w.scope != id.index {
            self.unlink_waiter(key.0);
            self.link_waiter(key.0, id);
        }
        before
    }

    /// The operation is over. Its waker comes back to be dropped outside.
    pub(crate) fn unpark(&mut self, key: WaiterKey) -> Option<Waker> {
        self.unlink_waiter(key.0);
        self.free_waiters.push(key.0);
        self.waiters[key.0 as usize].waker.take()
    }

    fn link_waiter(&mut self, w: u32, id: ScopeId) {
        let Some(i) = self.index(id) else { return };
        let head = self.nodes[i].first_waiter;
        let waiter = &mut self.waiters[w as usize];
        waiter.scope = i as u32;
        waiter.prev = NIL;
        waiter.next = head;
        if head != NIL {
            self.waiters[head as usize].prev = w;
        }
        self.nodes[i].first_waiter = w;
    }

    pub(super) fn unlink_waiter(&mut self, w: u32) {
        let (scope, prev, next) = {
            let w = &mut self.waiters[w as usize];
            (std::mem::replace(&mut w.scope, NIL), w.prev, w.next)
        };
        if scope == NIL {
            return;
        }
        if prev == NIL {
            self.nodes[scope as usize].first_waiter = next;
        } else {
            self.waiters[prev as usize].next = next;
        }
        if next != NIL {
            self.waiters[next as usize].prev = prev;
        }
    }
}
