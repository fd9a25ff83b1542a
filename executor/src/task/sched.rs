//! Hubs and the run queue as data, over the table of nodes. Nothing is polled here and no foreign waker is called.
//!
//! ```text
//!   wake(word) ─► node (queued?) ─┬─ flat:     push to the run queue ─────────────► the loop polls it
//!                                 └─ in a hub: push to the hub's ready list ─► wake whoever polls the hub
//!                                              (stop at the first hub that is signalled already)
//! ```
//!
//! A *flat* task is polled by the loop: its wake costs the same at any depth. A *borrowed* child is polled by its nursery's
//! future. Both kinds of children are in their node, and in the chain of their nursery's hub.
//!
//! * `sched.rs`: children come and go, wakes go up. `sched/hubs.rs`: nurseries, and who is next in one. `sched/known.rs`: what is known of single tasks beside their nodes.
//!   `sched/census.rs`: who is there, for those who look.
//!
//! Rules:
//! * A node is in at most one list (Queued Once, in `nodes.rs`).
//! * **Signalled Up**: a hub with a ready node is signalled: its parent has been woken since it was last entered, or it is
//!   being polled, and wakes its parent when that poll ends. So a wake walks up only as far as the first signalled hub:
//!   under load the path is shared.
//! * **Own Hub**: one nursery has the hub's number, so one nursery puts children there and takes them out.

mod census;
mod hubs;
mod known;

use super::TaskId;
use super::line::Line;
pub(crate) use super::nodes::Cause;
use super::nodes::{Kind, NIL, Node, Nodes, Place};
use super::raw::{Boxed, Child};
use super::word::Word;
use crate::runtime::Group;
pub(crate) use hubs::InHub;
use hubs::{Hub, Parent};
pub(crate) use known::Happened;
use known::Known;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::task::Waker;

/// Index of a hub; [`NO_HUB`] for main and what belongs to no nursery.
pub(crate) type HubIndex = u32;
pub(crate) const NO_HUB: HubIndex = u32::MAX;

/// A node that is to be polled now, and why.
#[derive(Clone, Copy)]
pub(crate) struct Due {
    pub(crate) word: Word,
    pub(crate) cause: Cause,
}

/// A flat task, taken out of its node.
pub(crate) enum Flat {
    /// Of a nursery.
    Static(Child, Rc<dyn Group>),
    /// Of the run's own.
    System(Boxed<()>),
}

/// What the loop has to do with the next ready node.
#[must_use]
pub(crate) enum Next {
    /// Poll the run's main future.
    Main(Due),
    /// Poll this flat task, then put it back or end it.
    Flat(Due, Flat),
}

/// A child that is left in a nursery which ends.
#[must_use]
pub(crate) enum Left {
    /// To be dropped; its node is over.
    AtRest { index: u32, child: Child },
    /// It is being polled, and is dropped when that poll returns.
    Busy,
}

pub(crate) struct Sched {
    executor: u16,
    nodes: Nodes,
    known: Known,
    hubs: Vec<Hub>,
    free_hubs: Vec<u32>,
    run: Line,
    /// How many entries all lists have together.
    listed: usize,
    /// The run's own tasks at rest, by index.
    system: BTreeMap<u32, Boxed<()>>,
    flat_live: usize,
    /// How many nurseries have been opened.
    opened: u64,
    /// The task of another executor that polls this one, while it waits to be woken.
    host: Option<Waker>,
}

impl Sched {
    pub(crate) const fn new() -> Self {
        Sched {
            executor: 0,
            nodes: Nodes::new(),
            known: Known::new(),
            hubs: Vec::new(),
            free_hubs: Vec::new(),
            run: Line::new(),
            listed: 0,
            system: BTreeMap::new(),
            flat_live: 0,
            opened: 0,
            host: None,
        }
    }

    pub(crate) fn set_executor(&mut self, executor: u16) {
        self.executor = executor;
    }

    pub(crate) fn executor(&self) -> u16 {
        self.executor
    }

    /// The number of the node at `index`, which lives.
    pub(crate) fn word(&self, index: u32) -> Word {
        self.nodes.word(self.executor, index)
    }

    fn node(&mut self, word: Word) -> Option<&mut Node> {
        if word.executor() != self.executor {
            return None;
        }
        self.nodes.of(word)
    }

    // ---- coming in

    /// Is there a number left for one more task?
    ///
    /// # Panics
    ///
    /// If there is none.
    #[inline]
    pub(crate) fn require_room(&self) {
        self.nodes.require_room();
    }

    /// The run's main task, not ready yet.
    pub(crate) fn insert_main(&mut self) -> Word {
        self.require_room();
        let index = self.nodes.insert(Kind::Main, NO_HUB, None);
        self.spawned(index);
        self.word(index)
    }

    /// A borrowed child, ready: its index. There is room. Nobody is woken: this happens while the nursery is polled, before
    /// it is for the first time, or while it is dropped.
    #[inline]
    pub(crate) fn insert_borrowed(&mut self, h: HubIndex, at: Place, child: Child) -> u32 {
        let hub = &mut self.hubs[h as usize];
        let index = self.nodes.insert_ready(Kind::Borrowed, h, at, &mut hub.first, Some(child));
        hub.borrowed += 1;
        hub.ready.push(index);
        self.listed += 1;
        self.spawned_ready(index);
        index
    }

    /// A static child, ready. There is room. If the run's host waits, its waker comes back, to be woken outside.
    #[must_use = "a host has to be woken"]
    pub(crate) fn insert_static(
        &mut self,
        h: HubIndex,
        at: Place,
        child: Child,
        group: impl FnOnce() -> Rc<dyn Group>,
    ) -> Option<Waker> {
        let hub = &mut self.hubs[h as usize];
        let index = self.nodes.insert_ready(Kind::Static, h, at, &mut hub.first, Some(child));
        hub.statics += 1;
        let _group = hub.group.get_or_insert_with(group);
        self.insert_flat(index)
    }

    /// A task of the run's own, ready. There is room. A waker comes back as from
    /// [`insert_static`](Sched::insert_static).
    #[must_use = "a host has to be woken"]
    pub(crate) fn insert_system(&mut self, at: Place, task: Boxed<()>) -> (TaskId, Option<Waker>) {
        let index = self.nodes.insert_ready(Kind::System, NO_HUB, at, &mut { NIL }, None);
        let _none = self.system.insert(index, task);
        (TaskId(self.word(index)), self.insert_flat(index))
    }

    fn insert_flat(&mut self, index: u32) -> Option<Waker> {
        self.run.push(index);
        self.listed += 1;
        self.flat_live += 1;
        self.spawned_ready(index);
        self.host.take()
    }

    // ---- going

    /// A borrowed child has been polled and waits on. It comes back if its nursery has ended meanwhile.
    #[must_use = "a child that is left over has to be dropped"]
    #[inline]
    pub(crate) fn put_back(&mut self, index: u32, child: Child) -> Option<Child> {
        let node = self.nodes.at(index);
        if node.is_doomed() {
            self.end(index);
            return Some(child);
        }
        node.put(child);
        None
    }

    /// A child has ended, and has been dropped.
    #[inline]
    pub(crate) fn end_child(&mut self, index: u32) {
        let node = self.nodes.get(index);
        if !node.is_doomed() {
            let is_static = node.kind() == Kind::Static;
            self.leave_hub_of(index, is_static);
        }
        self.end(index);
    }

    fn leave_hub_of(&mut self, index: u32, is_static: bool) {
        let hub = &mut self.hubs[self.nodes.get(index).hub as usize];
        self.nodes.unlink(index, &mut hub.first);
        match is_static {
            true => hub.statics -= 1,
            false => hub.borrowed -= 1,
        }
    }

    /// The node is over. A flat task is one less.
    fn end(&mut self, index: u32) {
        self.forget(index);
        let node = self.nodes.get(index);
        self.flat_live -= usize::from(matches!(node.kind(), Kind::Static | Kind::System));
        self.nodes.free(index);
    }

    /// Takes the newest child out of a nursery that ends; `None` if there is none left.
    pub(crate) fn take_newest(&mut self, h: HubIndex) -> Option<Left> {
        let index = self.hubs[h as usize].first;
        if index == NIL {
            return None;
        }
        let node = self.nodes.at(index);
        let (child, is_static) = (node.take(), node.kind() == Kind::Static);
        self.leave_hub_of(index, is_static);
        match child {
            Some(child) => {
                self.end(index);
                Some(Left::AtRest { index, child })
            }
            None => {
                self.nodes.at(index).doom();
                Some(Left::Busy)
            }
        }
    }

    /// A task of the run's own has been polled and waits on.
    pub(crate) fn put_system_back(&mut self, word: Word, task: Boxed<()>) {
        let _none = self.system.insert(word.index(), task);
    }

    /// A task of the run's own has ended; or main, or the body of a nursery: the node is nobody's any more. The body's
    /// perhaps after its run, when the number of the executor is another.
    pub(crate) fn remove(&mut self, word: Word) {
        if self.nodes.of(word).is_some() {
            self.end(word.index());
        }
    }

    /// How many flat tasks live.
    pub(crate) fn flat_live(&self) -> usize {
        self.flat_live
    }

    /// How many nodes of any kind are in use.
    pub(crate) fn nodes_live(&self) -> usize {
        self.nodes.live()
    }

    /// Takes any flat task at rest, for a run that gives up on the rest.
    pub(crate) fn take_any_flat(&mut self) -> Option<Flat> {
        if let Some((index, task)) = self.system.pop_first() {
            self.end(index);
            return Some(Flat::System(task));
        }
        let at_rest = |n: &Node| n.kind() == Kind::Static && n.is_at_rest();
        let (index, hub) = self.nodes.iter().find(|(_, n)| at_rest(n)).map(|(index, n)| (index, n.hub))?;
        let group = self.hubs[hub as usize].group.clone().expect("a static child has a group");
        let child = self.nodes.at(index).take().expect("just looked");
        self.end_child(index);
        Some(Flat::Static(child, group))
    }

    /// How many numbers have been in use: for the tests that wake at random.
    #[cfg(feature = "testing")]
    pub(crate) fn slots(&self) -> u32 {
        self.nodes.iter().count() as u32
    }

    // ---- the run queue

    pub(crate) fn has_ready(&self) -> bool {
        !self.run.is_empty()
    }

    pub(crate) fn ready_len(&self) -> usize {
        self.run.len()
    }

    /// The next ready node among the `batch` oldest of the queue, which it leaves; `pick` chooses a position (0 is the
    /// oldest).
    pub(crate) fn next(&mut self, batch: &mut usize, pick: impl Fn(usize) -> usize) -> Option<Next> {
        while *batch > 0 && !self.run.is_empty() {
            let at = pick(self.run.len().min(*batch));
            *batch -= 1;
            let i = if at == 0 { self.run.pop() } else { self.run.remove(at) };
            let Some(i) = i else { break };
            self.listed -= 1;
            let n = self.nodes.at(i);
            // Else it was freed, or freed and reused as a borrowed child, since it was queued.
            if !n.is_queued() || !n.is_flat() {
                continue;
            }
            let (word, hub) = (Word::pack(self.executor, n.generation(), i), n.hub);
            let task = match n.kind() {
                Kind::Static => {
                    let Some(child) = n.take() else { continue };
                    let group = self.hubs[hub as usize].group.clone();
                    Flat::Static(child, group.expect("a static child has a group"))
                }
                Kind::System => {
                    let Some(task) = self.system.remove(&i) else { continue };
                    Flat::System(task)
                }
                _ => return Some(Next::Main(Due { word, cause: n.unqueue() })),
            };
            return Some(Next::Flat(Due { word, cause: self.nodes.at(i).unqueue() }, task));
        }
        None
    }

    /// The next ready node if it is a static child of this nursery.
    #[inline]
    pub(crate) fn next_static(&mut self, h: HubIndex) -> Option<(Due, Child)> {
        let i = self.run.first()?;
        let n = self.nodes.at(i);
        if !n.is_queued() || n.hub != h || n.kind() != Kind::Static {
            return None;
        }
        let child = n.take()?;
        let due = Due { word: Word::pack(self.executor, n.generation(), i), cause: n.unqueue() };
        let _same = self.run.pop();
        self.listed -= 1;
        Some((due, child))
    }

    /// A host goes to wait, with this waker; or it is back.
    #[must_use = "the waker before is to be woken, or dropped, outside"]
    pub(crate) fn set_host(&mut self, waker: Option<Waker>) -> Option<Waker> {
        std::mem::replace(&mut self.host, waker)
    }

    // ---- wakes

    /// Wakes who is behind this waker, if that is one of this executor's nodes. Else it comes back, or, if the way up ends in
    /// another executor, that one's: to be woken outside.
    #[must_use = "a foreign one has to be woken"]
    #[inline]
    pub(crate) fn wake_own(&mut self, waker: Waker) -> Option<Waker> {
        match self.own_word(&waker) {
            Some(word) => self.wake_for(word, Cause::Any),
            None => Some(waker),
        }
    }

    /// Makes the node ready, and with it every nursery on the way up to a flat task. If the way ends in a foreign
    /// executor, or in the run queue of a run whose host waits, its waker comes back, to be woken outside.
    #[must_use = "a foreign parent has to be woken"]
    pub(crate) fn wake(&mut self, word: Word) -> Option<Waker> {
        self.wake_for(word, Cause::Any)
    }

    #[inline]
    fn wake_for(&mut self, mut word: Word, mut cause: Cause) -> Option<Waker> {
        debug_assert_eq!(word.executor(), self.executor);
        loop {
            let n = self.nodes.of(word)?;
            if !n.queue(cause) {
                return None;
            }
            let (hub, is_flat) = (n.hub, n.is_flat());
            self.listed += 1;
            self.scheduled(word.index());
            if is_flat {
                self.run.push(word.index());
                return self.host.take();
            }
            let hub = &mut self.hubs[hub as usize];
            hub.ready.push(word.index());
            if std::mem::replace(&mut hub.signalled, true) {
                return None;
            }
            match hub.parent {
                Parent::Node(up) => (word, cause) = (up, Cause::Nurseries),
                _ => return hub.take_foreign(),
            }
        }
    }
}
