//! The tree of cancel scopes as data. No wakers are woken here, no clock is read, nothing runs.
//!
//! ```text
//!   root ── scope ── scope ─┬─ scope            each node: own reason │ effective reason (cached) │ shield
//!                           └─ scope ─ waiters            │ deadline's timer │ the wakers parked in it
//! ```
//!
//! * `tree.rs`: who is below whom, who is cancelled. `limits.rs`: deadlines. `look.rs`: all of it, to look at. `waiters.rs`: the operations that wait.
//!
//! Rules:
//! * **Cached Level**: `effective` = own reason, else (without a shield) the parent's effective one. Every method
//!   that changes an input recomputes the subtree, iteratively, and stops where nothing changes.
//! * **Live Parent**: a node's parent is live or [`ScopeId::NONE`]. A node that goes while others still hang below
//!   it (a future that was polled inside and is awaited outside, or leaked) hands them to the root.
//! * What a change leaves to do with values of users, whom to wake and what to drop, is collected; the caller takes it
//!   ([`Tree::take_aftermath`]) and does it after its borrow.
//! * **Counted**: `cancelled` is the number of nodes with an effective reason, and of those who watch. While it is 0 nobody
//!   has to look.

mod limits;
mod look;
mod waiters;

pub(crate) use limits::Limit;
pub(crate) use waiters::WaiterKey;

use super::Reason;
use crate::deadline::TimerKey;
use crate::task::{NurseryId, TaskId};
use std::collections::VecDeque;
use std::fmt;
use std::panic::Location;
use std::task::Waker;
use waiters::Waiter;

const NIL: u32 = u32::MAX;

/// Which cancel scope: unique among those of one thread's executor; a later one may get the number again after 2^32 others.
// A place in the tree, and a generation, so that a stale one is told apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScopeId {
    index: u32,
    generation: u32,
}

impl ScopeId {
    pub(crate) const NONE: ScopeId = ScopeId { index: NIL, generation: 0 };
    /// Not even that.
    pub(crate) const UNKNOWN: ScopeId = ScopeId { index: NIL, generation: 1 };
}

impl fmt::Display for ScopeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "scope {}.{}", self.index, self.generation)
    }
}

impl fmt::Debug for ScopeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where a scope comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin {
    /// It is the root of a run.
    Run,
    /// Code of this task, or of none, opened it here.
    Opened { at: &'static Location<'static>, by: Option<TaskId> },
    /// It belongs to a nursery.
    Nursery(NurseryId),
}

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
    limit: Limit,
    timer: Option<TimerKey>,
    origin: Origin,
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
            limit: Limit::Nothing,
            timer: None,
            origin: Origin::Run,
        }
    }
}

pub(crate) struct Tree {
    nodes: Vec<Node>,
    free: Vec<u32>,
    waiters: Vec<Waiter>,
    free_waiter: u32,
    waiting: usize,
    todo: Vec<u32>,
    root: u32,
    cancelled: u32,
    /// Nodes that became cancelled while operations wait in them, which are to be woken.
    to_wake: VecDeque<u32>,
    aftermath: Aftermath,
}

/// What is left to do after a change, outside of every borrow: some of it, if it is much.
#[must_use = "whom a change reaches has to be woken"]
pub(crate) struct Aftermath {
    /// Wakers of operations that became cancelled: at most [`BATCH`] of those that wait in a scope.
    pub(crate) woken: Vec<Waker>,
    /// Reasons that no node holds any more.
    pub(crate) dead: Vec<Reason>,
}

/// How many operations are woken at a time: many, so that the tree is rarely borrowed for it, and no more than fit into
/// the nearest memory, however many wait.
const BATCH: usize = 128;

impl Aftermath {
    const fn new() -> Self {
        Aftermath { woken: Vec::new(), dead: Vec::new() }
    }
}

impl Tree {
    pub(crate) const fn new() -> Self {
        Tree {
            nodes: Vec::new(),
            free: Vec::new(),
            waiters: Vec::new(),
            free_waiter: NIL,
            waiting: 0,
            todo: Vec::new(),
            root: NIL,
            cancelled: 0,
            to_wake: VecDeque::new(),
            aftermath: Aftermath::new(),
        }
    }

    fn index(&self, id: ScopeId) -> Option<usize> {
        let n = self.nodes.get(id.index as usize)?;
        (n.live && n.generation == id.generation).then_some(id.index as usize)
    }

    /// Is any scope cancelled, or does somebody want every question looked into?
    pub(crate) fn any_cancelled(&self) -> bool {
        self.cancelled > 0
    }

    /// From now on, or no longer, somebody is to look into the tree although nothing in it is cancelled.
    #[cfg(feature = "testing")]
    pub(crate) fn watch(&mut self, on: bool) {
        self.cancelled = if on { self.cancelled + 1 } else { self.cancelled - 1 };
    }

    /// Have the changes so far left anything to do?
    #[inline]
    pub(crate) fn has_aftermath(&self) -> bool {
        !self.to_wake.is_empty() || !self.aftermath.woken.is_empty() || !self.aftermath.dead.is_empty()
    }

    /// What the changes so far have left to do, or the first part of it; `None` if there is nothing.
    pub(crate) fn take_aftermath(&mut self) -> Option<Aftermath> {
        if !self.has_aftermath() {
            return None;
        }
        while let Some(&node) = self.to_wake.front()
            && self.aftermath.woken.len() < BATCH
        {
            if self.take_waiters(node, BATCH) {
                let _emptied = self.to_wake.pop_front();
            }
        }
        Some(std::mem::replace(&mut self.aftermath, Aftermath::new()))
    }

    /// Takes the memory of a list of wakers back.
    pub(crate) fn reuse(&mut self, woken: Vec<Waker>) {
        if woken.is_empty() && self.aftermath.woken.capacity() < woken.capacity() {
            let newer = std::mem::replace(&mut self.aftermath.woken, woken);
            self.aftermath.woken.extend(newer);
        }
    }

    pub(crate) fn is_live(&self, id: ScopeId) -> bool {
        self.index(id).is_some()
    }

    /// A clean node: new, or left clean by `remove`.
    #[inline]
    fn make(&mut self, origin: Origin) -> u32 {
        let i = match self.free.pop() {
            Some(i) => i,
            None => {
                let i = u32::try_from(self.nodes.len()).expect("fewer than 2^32 scopes");
                self.nodes.push(Node::blank());
                i
            }
        };
        let n = &mut self.nodes[i as usize];
        (n.live, n.origin) = (true, origin);
        i
    }

    #[inline]
    fn id(&self, i: u32) -> ScopeId {
        ScopeId { index: i, generation: self.nodes[i as usize].generation }
    }

    /// A new scope below `parent`. With `parent` NONE it becomes the root of a run.
    pub(crate) fn insert(&mut self, parent: ScopeId, origin: Origin) -> ScopeId {
        let parent = self.index(parent);
        let i = self.make(origin);
        match parent {
            None => self.root = i,
            Some(p) => {
                if self.any_cancelled() {
                    let level = self.nodes[p].effective.clone();
                    self.set_level(i as usize, level);
                }
                self.link(i, p as u32);
            }
        }
        self.id(i)
    }

    /// A new scope between `id` and its parent. It takes over what cancelled `id` so far, which is cancelled through
    /// it from now on: nobody below sees a difference.
    pub(crate) fn insert_above(&mut self, id: ScopeId, origin: Origin) -> ScopeId {
        let Some(below) = self.index(id) else { return self.insert(ScopeId::NONE, origin) };
        let i = self.make(origin);
        let n = &mut self.nodes[below];
        let (parent, own, level) = (n.parent, n.own.take(), n.effective.clone());
        self.nodes[i as usize].own = own;
        self.set_level(i as usize, level);
        self.unlink(below as u32);
        if parent != NIL {
            self.link(i, parent);
        }
        self.link(below as u32, i);
        self.id(i)
    }

    /// Is nothing below `id`, and does nothing wait in it?
    pub(crate) fn is_bare(&self, id: ScopeId) -> bool {
        self.index(id).is_some_and(|i| self.nodes[i].first_child == NIL && self.nodes[i].first_waiter == NIL)
    }

    /// The scope is over. Returns the timer it still had. Whatever hangs below goes to the root (Live Parent).
    pub(crate) fn remove(&mut self, id: ScopeId) -> Option<TimerKey> {
        let i = self.index(id)?;
        // Those of a cancelled scope are woken, although it goes before it was their turn.
        if self.nodes[i].effective.is_some() {
            let _emptied = self.take_waiters(i as u32, usize::MAX);
        }
        while self.nodes[i].first_waiter != NIL {
            let w = self.nodes[i].first_waiter;
            let _gone = self.unlink_waiter(w);
        }
        while self.nodes[i].first_child != NIL {
            let child = self.nodes[i].first_child;
            self.unlink(child);
            if self.root != NIL && self.root != i as u32 {
                self.link(child, self.root);
            }
            self.recompute(child);
        }
        self.unlink(i as u32);
        if self.root == i as u32 {
            self.root = NIL;
        }
        if self.any_cancelled() {
            self.set_level(i, None);
            let own = self.nodes[i].own.take();
            self.bury(own);
        }
        let n = &mut self.nodes[i];
        (n.live, n.shield, n.entered, n.limit) = (false, false, false, Limit::Nothing);
        n.generation = n.generation.wrapping_add(1);
        let timer = n.timer.take();
        self.free.push(i as u32);
        timer
    }

    /// Cached Level and Counted change together.
    fn set_level(&mut self, i: usize, level: Option<Reason>) {
        if level.is_none() && self.nodes[i].effective.is_none() {
            return;
        }
        self.cancelled += u32::from(level.is_some());
        let before = std::mem::replace(&mut self.nodes[i].effective, level);
        self.cancelled -= u32::from(before.is_some());
        self.bury(before);
    }

    /// A reason that a node held. Only an external one is a value of a user.
    fn bury(&mut self, reason: Option<Reason>) {
        self.aftermath.dead.extend(reason.filter(|r| matches!(r, Reason::External(_))));
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

    #[inline]
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
    pub(crate) fn reparent(&mut self, id: ScopeId, parent: ScopeId) {
        let (Some(i), Some(p)) = (self.index(id), self.index(parent)) else { return };
        // A static child that polls the very future its nursery lives in would close a circle: it stays where it is.
        if self.nodes[i].parent == p as u32 || self.is_below(p as u32, i as u32) {
            return;
        }
        self.unlink(i as u32);
        self.link(i as u32, p as u32);
        self.recompute(i as u32);
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

    /// Does `id` hang below `parent`? Only live ones are asked about; for others any answer will do, because moving them
    /// does nothing.
    pub(crate) fn hangs_below(&self, id: ScopeId, parent: ScopeId) -> bool {
        // A parent is live (Live Parent), so its index says which it is.
        self.nodes.get(id.index as usize).is_some_and(|n| n.parent == parent.index)
    }

    /// Cancels `id`. The first reason stays. Says whether it was the first.
    pub(crate) fn cancel(&mut self, id: ScopeId, reason: Reason) -> bool {
        let i = match self.index(id) {
            Some(i) if self.nodes[i].own.is_none() => i,
            _ => {
                self.bury(Some(reason));
                return false;
            }
        };
        self.nodes[i].own = Some(reason);
        self.recompute(i as u32);
        true
    }

    pub(crate) fn set_shield(&mut self, id: ScopeId, on: bool) {
        if let Some(i) = self.index(id) {
            self.nodes[i].shield = on;
            self.recompute(i as u32);
        }
    }

    /// Restores Cached Level below `i`; remembers where operations wait that became cancelled by it.
    fn recompute(&mut self, i: u32) {
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
            let (waits, mut child) = (n.first_waiter != NIL, n.first_child);
            if level.is_some() && waits {
                self.to_wake.push_back(i);
            }
            self.set_level(i as usize, level);
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

    /// How many scopes are open, and how many operations wait in them.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.nodes.len() - self.free.len(), self.waiting)
    }
}
