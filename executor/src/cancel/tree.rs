//! The tree of cancel scopes as data. No wakers are woken here, no clock is read, nothing runs.
//!
//! ```text
//!   root ── scope ── scope ─┬─ scope            each node: own reason │ effective reason (cached) │ shield
//!                           └─ scope ─ waiters            │ deadline's timer │ the wakers parked in it
//! ```
//!
//! Rules:
//! * **Cached Level**: `effective` = own reason, else (without a shield) the parent's effective one. Every method
//!   that changes an input recomputes the subtree, iteratively, and stops where nothing changes.
//! * **Live Parent**: a node's parent is live or [`ScopeId::NONE`]. A node that goes while others still hang below
//!   it (a future that was polled inside and is awaited outside, or leaked) hands them to the root.
//! * Methods push the wakers of what became cancelled into `woken`; the caller wakes them after its borrow.

use super::Reason;
use crate::deadline::TimerKey;
use std::task::Waker;

const NIL: u32 = u32::MAX;

/// A scope's place in the tree: index and generation, so that a stale one is told apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ScopeId {
    index: u32,
    generation: u32,
}

impl ScopeId {
    pub(crate) const NONE: ScopeId = ScopeId { index: NIL, generation: 0 };
}

/// A waiting operation's entry in the scope it waits in. Freed by the operation alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct WaiterKey(u32);

struct Node {
    generation: u32,
    live: bool,
    shield: bool,
    /// Polled at least once: deadlines count from here on.
    entered: bool,
    parent: u32,
    first_child: u32,
    prev: u32,
    next: u32,
    first_waiter: u32,
    own: Option<Reason>,
    effective: Option<Reason>,
    timer: Option<TimerKey>,
}

impl Node {
    const fn blank() -> Self {
        Node {
            generation: 0,
            live: false,
            shield: false,
            entered: false,
            parent: NIL,
            first_child: NIL,
            prev: NIL,
            next: NIL,
            first_waiter: NIL,
            own: None,
            effective: None,
            timer: None,
        }
    }
}

struct Waiter {
    waker: Option<Waker>,
    /// The scope this entry is linked into, or NIL once that scope is gone.
    scope: u32,
    prev: u32,
    next: u32,
}

pub(crate) struct Tree {
    nodes: Vec<Node>,
    free: Vec<u32>,
    waiters: Vec<Waiter>,
    free_waiters: Vec<u32>,
    todo: Vec<u32>,
    root: u32,
    /// Reasons that no node holds any more: values of users, to be dropped outside.
    pub(crate) dead: Vec<Reason>,
}

impl Tree {
    pub(crate) const fn new() -> Self {
        Tree {
            nodes: Vec::new(),
            free: Vec::new(),
            waiters: Vec::new(),
            free_waiters: Vec::new(),
            todo: Vec::new(),
            root: NIL,
            dead: Vec::new(),
        }
    }

    fn index(&self, id: ScopeId) -> Option<usize> {
        let n = self.nodes.get(id.index as usize)?;
        (n.live && n.generation == id.generation).then_some(id.index as usize)
    }

    pub(crate) fn is_live(&self, id: ScopeId) -> bool {
        self.index(id).is_some()
    }

    /// A new scope below `parent`. With `parent` NONE it becomes the root of a run.
    pub(crate) fn insert(&mut self, parent: ScopeId) -> ScopeId {
        let parent = self.index(parent).map_or(NIL, |i| i as u32);
        let index = match self.free.pop() {
            Some(i) => i,
            None => {
                let i = u32::try_from(self.nodes.len()).expect("fewer than 2^32 scopes");
                self.nodes.push(Node::blank());
                i
            }
        };
        // Clean: new, or left clean by `remove`.
        self.nodes[index as usize].live = true;
        if parent != NIL
            && let Some(reason) = self.nodes[parent as usize].effective.clone()
        {
            self.nodes[index as usize].effective = Some(reason);
        }
        if parent == NIL {
            self.root = index;
        } else {
            self.link(index, parent);
        }
        ScopeId { index, generation: self.nodes[index as usize].generation }
    }

    /// The scope is over. Returns the timer it still had, and its reason (a user's value, to be dropped outside).
    /// Whatever hangs below goes to the root (Live Parent).
    pub(crate) fn remove(
        &mut self,
        id: ScopeId,
        woken: &mut Vec<Waker>,
    ) -> (Option<TimerKey>, Option<Reason>) {
        let Some(i) = self.index(id) else { return (None, None) };
        while self.nodes[i].first_waiter != NIL {
            let w = self.nodes[i].first_waiter;
            self.unlink_waiter(w);
        }
        while self.nodes[i].first_child != NIL {
            let child = self.nodes[i].first_child;
            self.unlink(child);
            if self.root != NIL && self.root != i as u32 {
                self.link(child, self.root);
            }
            self.recompute(child, woken);
        }
        self.unlink(i as u32);
        if self.root == i as u32 {
            self.root = NIL;
        }
        let n = &mut self.nodes[i];
        (n.live, n.shield, n.entered) = (false, false, false);
        n.generation = n.generation.wrapping_add(1);
        self.dead.extend(n.effective.take().filter(|r| matches!(r, Reason::External(_))));
        self.free.push(i as u32);
        (n.timer.take(), n.own.take())
    }

    fn link(&mut self, i: u32, parent: u32) {
        let head = self.nodes[parent as usize].first_child;
        let n = &mut self.nodes[i as usize];
        n.parent = parent;
        n.prev = NIL;
        n.next = head;
        if head != NIL {
            self.nodes[head as usize].prev = i;
        }
        self.nodes[parent as usize].first_child = i;
    }

    fn unlink(&mut self, i: u32) {
        let (parent, prev, next) = {
            let n = &mut self.nodes[i as usize];
            let was = (n.parent, n.prev, n.next);
            (n.parent, n.prev, n.next) = (NIL, NIL, NIL);
            was
        };
        if prev != NIL {
            self.nodes[prev as usize].next = next;
        } else if parent != NIL {
            self.nodes[parent as usize].first_child = next;
        }
        if next != NIL {
            self.nodes[next as usize].prev = prev;
        }
    }

    /// Makes `id` hang below `parent`, and everything below it with it.
    pub(crate) fn reparent(&mut self, id: ScopeId, parent: ScopeId, woken: &mut Vec<Waker>) {
        let (Some(i), Some(p)) = (self.index(id), self.index(parent)) else { return };
        // A static child that polls the very future its nursery lives in would close a circle: it stays where it is.
        if self.nodes[i].parent == p as u32 || self.is_below(p as u32, i as u32) {
            return;
        }
        self.unlink(i as u32);
        self.link(i as u32, p as u32);
        self.recompute(i as u32, woken);
    }

    fn is_below(&self, mut i: u32, ancestor: u32) -> bool {
        while i != NIL {
            if i == ancestor {
                return true;
            }
            i = self.nodes[i as usize].parent;
        }
        false
    }

    pub(crate) fn parent(&self, id: ScopeId) -> ScopeId {
        match self.index(id).map(|i| self.nodes[i].parent) {
            Some(p) if p != NIL => ScopeId { index: p, generation: self.nodes[p as usize].generation },
            _ => ScopeId::NONE,
        }
    }

    /// Cancels `id`. The first reason stays. Says whether it was the first.
    pub(crate) fn cancel(&mut self, id: ScopeId, reason: Reason, woken: &mut Vec<Waker>) -> bool {
        let Some(i) = self.index(id) else { return false };
        if self.nodes[i].own.is_some() {
            return false;
        }
        self.nodes[i].own = Some(reason);
        self.recompute(i as u32, woken);
        true
    }

    pub(crate) fn set_shield(&mut self, id: ScopeId, on: bool, woken: &mut Vec<Waker>) {
        if let Some(i) = self.index(id) {
            self.nodes[i].shield = on;
            self.recompute(i as u32, woken);
        }
    }

    /// Restores Cached Level below `i`; collects the wakers of whatever became cancelled by it.
    fn recompute(&mut self, i: u32, woken: &mut Vec<Waker>) {
        let mut todo = std::mem::take(&mut self.todo);
        todo.push(i);
        while let Some(i) = todo.pop() {
            let n = &self.nodes[i as usize];
            let level = match (&n.own, n.shield, n.parent) {
                (Some(own), _, _) => Some(own),
                (None, false, p) if p != NIL => self.nodes[p as usize].effective.as_ref(),
                _ => None,
            };
            if level.is_some() == n.effective.is_some() {
                continue;
            }
            let level = level.cloned();
            let cancelled = level.is_some();
            let (mut waiter, mut child) = (n.first_waiter, n.first_child);
            let before = std::mem::replace(&mut self.nodes[i as usize].effective, level);
            self.dead.extend(before.filter(|r| matches!(r, Reason::External(_))));
            while cancelled && waiter != NIL {
                let w = &self.waiters[waiter as usize];
                woken.extend(w.waker.clone());
                waiter = w.next;
            }
            while child != NIL {
                todo.push(child);
                child = self.nodes[child as usize].next;
            }
        }
        self.todo = todo;
    }

    /// Effective cancellation of `id`; a scope that is gone has none.
    pub(crate) fn effective(&self, id: ScopeId) -> Option<&Reason> {
        self.nodes[self.index(id)?].effective.as_ref()
    }

    /// Was this very scope cancelled, by request or deadline?
    pub(crate) fn own(&self, id: ScopeId) -> Option<&Reason> {
        self.nodes[self.index(id)?].own.as_ref()
    }

    /// Is a cancellation from outside visible through the shield of `id`? Then it is not `id`'s to absorb.
    pub(crate) fn outer_cancelled(&self, id: ScopeId) -> bool {
        self.index(id).is_some_and(|i| {
            let n = &self.nodes[i];
            !n.shield && n.parent != NIL && self.nodes[n.parent as usize].effective.is_some()
        })
    }

    /// The absorb rule: effectively cancelled, and not by what shows through from outside.
    pub(crate) fn absorbs(&self, id: ScopeId) -> bool {
        self.effective(id).is_some() && !self.outer_cancelled(id)
    }

    /// Marks the first entry; says whether it was one.
    pub(crate) fn enter(&mut self, id: ScopeId) -> bool {
        self.index(id).is_some_and(|i| !std::mem::replace(&mut self.nodes[i].entered, true))
    }

    pub(crate) fn is_entered(&self, id: ScopeId) -> bool {
        self.index(id).is_some_and(|i| self.nodes[i].entered)
    }

    /// Stores the timer of the scope's deadline, and gives back the one before.
    pub(crate) fn set_timer(&mut self, id: ScopeId, timer: Option<TimerKey>) -> Option<TimerKey> {
        let i = self.index(id)?;
        std::mem::replace(&mut self.nodes[i].timer, timer)
    }

    /// Parks a waker in `id`: it is collected when the scope becomes cancelled.
    pub(crate) fn park(&mut self, id: ScopeId, waker: &Waker) -> WaiterKey {
        let waiter = Waiter { waker: Some(waker.clone()), scope: NIL, prev: NIL, next: NIL };
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

    /// The same operation waits on: perhaps in another scope, perhaps with another waker. The waker it had before
    /// comes back, because dropping a foreign one runs foreign code.
    pub(crate) fn repark(&mut self, key: WaiterKey, id: ScopeId, waker: &Waker) -> Option<Waker> {
        let w = &mut self.waiters[key.0 as usize];
        let before = match &mut w.waker {
            Some(old) if old.will_wake(waker) => None,
            slot => slot.replace(waker.clone()),
        };
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

    fn unlink_waiter(&mut self, w: u32) {
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

    /// How many scopes are open, and how many operations wait in them.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.nodes.len() - self.free.len(), self.waiters.len() - self.free_waiters.len())
    }
}
