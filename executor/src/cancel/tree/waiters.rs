//! The operations that wait in a scope: a list in each node, which a cancel empties of its wakers.
//!
//! ```text
//!   park ─► first_waiter ⇄ … ─ the scope is cancelled ─► out of the list, without its waker ─► its next poll: done, or parked anew
//!   repark: in the scope that is current now              unpark: the operation is over
//! ```

use super::{NIL, ScopeId, Tree};
use crate::waits::Waits;
use std::marker::PhantomData;
use std::task::Waker;

/// A waiting operation's entry in the scope it waits in. Freed by the operation alone.
///
/// On another thread it would be a stranger's. So whatever waits stays where it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct WaiterKey(u32, PhantomData<*const ()>);

pub(super) struct Waiter {
    pub(super) waker: Option<Waker>,
    /// What it waits for.
    pub(super) what: Waits,
    /// The scope this entry is linked into, or NIL once that scope is gone.
    pub(super) scope: u32,
    prev: u32,
    /// The next in its scope; of a free entry, the next that is free.
    pub(super) next: u32,
}

impl Tree {
    /// Parks a waker in `id`: it is collected when the scope becomes cancelled.
    pub(crate) fn park(&mut self, id: ScopeId, waker: Waker, what: Waits) -> WaiterKey {
        let node = self.index(id);
        let (scope, next) = node.map_or((NIL, NIL), |i| (i as u32, self.nodes[i].first_waiter));
        let waiter = Waiter { waker: Some(waker), what, scope, prev: NIL, next };
        self.waiting += 1;
        let free = self.free_waiter;
        let w = match self.waiters.get_mut(free as usize) {
            Some(place) => {
                self.free_waiter = place.next;
                *place = waiter;
                free
            }
            None => self.add_waiter(waiter),
        };
        if let Some(next) = self.waiters.get_mut(next as usize) {
            next.prev = w;
        }
        if let Some(i) = node {
            self.nodes[i].first_waiter = w;
        }
        WaiterKey(w, PhantomData)
    }

    #[cold]
    fn add_waiter(&mut self, waiter: Waiter) -> u32 {
        let w = u32::try_from(self.waiters.len()).expect("fewer than 2^32 waiting operations");
        self.waiters.push(waiter);
        w
    }

    /// The same operation waits on with the waker it has, perhaps in another scope. `false` if it needs another.
    pub(crate) fn keep_parked(&mut self, key: WaiterKey, id: ScopeId, waker: &Waker) -> bool {
        let w = &self.waiters[key.0 as usize];
        let same = w.waker.as_ref().is_some_and(|old| old.will_wake(waker));
        if same && w.scope != id.index {
            let _moved = self.unlink_waiter(key.0);
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
            let _moved = self.unlink_waiter(key.0);
            self.link_waiter(key.0, id);
        }
        before
    }

    /// The operation is over. Its waker comes back to be dropped outside.
    pub(crate) fn unpark(&mut self, key: WaiterKey) -> Option<Waker> {
        self.waiting -= 1;
        let free = std::mem::replace(&mut self.free_waiter, key.0);
        let waiter = self.unlink_waiter(key.0);
        waiter.next = free;
        waiter.waker.take()
    }

    /// Takes operations out of the list of a node whose scope is cancelled, each with its waker, until `enough` wakers are to be
    /// woken; says whether that was all. An operation that is woken gives its waker away: its next poll parks one anew, if it
    /// still waits then.
    pub(super) fn take_waiters(&mut self, node: u32, enough: usize) -> bool {
        let mut first = self.nodes[node as usize].first_waiter;
        while first != NIL && self.aftermath.woken.len() < enough {
            let waiter = &mut self.waiters[first as usize];
            self.aftermath.woken.extend(waiter.waker.take());
            waiter.scope = NIL;
            first = waiter.next;
        }
        self.nodes[node as usize].first_waiter = first;
        if let Some(waiter) = self.waiters.get_mut(first as usize) {
            waiter.prev = NIL;
        }
        first == NIL
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

    #[inline]
    pub(super) fn unlink_waiter(&mut self, w: u32) -> &mut Waiter {
        let waiter = &mut self.waiters[w as usize];
        let (scope, prev, next) = (std::mem::replace(&mut waiter.scope, NIL), waiter.prev, waiter.next);
        if scope != NIL {
            match self.waiters.get_mut(prev as usize) {
                Some(before) => before.next = next,
                None => self.nodes[scope as usize].first_waiter = next,
            }
            if let Some(after) = self.waiters.get_mut(next as usize) {
                after.prev = prev;
            }
        }
        &mut self.waiters[w as usize]
    }
}
