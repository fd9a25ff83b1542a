//! Nodes, hubs and the run queue as data. Nothing is polled here and no foreign waker is called.
//!
//! ```text
//!   wake(word) ─► node (queued?) ─┬─ flat:     push to the run queue ─────────────► the loop polls it
//!                                 └─ in a hub: push to the hub's ready list ─► wake whoever polls the hub
//!                                              (stop at the first hub that is signalled already)
//! ```
//!
//! A *flat* task lives in its node and is polled by the loop: its wake costs the same at any depth. A *borrowed*
//! child lives in its nursery's future; its node names the nursery's hub and the slot there.
//!
//! Rules:
//! * **Queued Once**: a node is in at most one list, and `queued` says so.
//! * **Signalled Up**: a hub with a ready node is signalled, and its parent has been woken since it was last
//!   entered. So a wake walks up only as far as the first signalled hub: under load the path is shared.

use super::TaskId;
use super::raw;
use super::tree::{NurseryId, NurseryInfo, Owner, TaskInfo, TaskState};
use super::word::{MAX_INDEX, Word};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::task::Waker;

pub(crate) type Flat = Pin<Box<dyn Future<Output = ()>>>;

/// Index of a hub; [`NO_HUB`] for flat tasks.
pub(crate) type HubIndex = u32;
pub(crate) const NO_HUB: HubIndex = u32::MAX;
/// The slot of a nursery's body.
pub(crate) const BODY: u32 = u32::MAX;

/// What a node is there for.
enum Body {
    /// Nobody has it; on the free list.
    Free,
    /// The main future of a run: it lives on the stack of `run`.
    Main,
    /// A flat task at rest.
    Flat(Flat),
    /// A flat task that is being polled right now; if it is to be dropped, that happens when the poll returns.
    Busy { doomed: bool },
    /// A child in a nursery's future: its slot there.
    Borrowed { slot: u32 },
}

struct Node {
    generation: u32,
    /// Where a wake goes: the run queue, or a nursery's list.
    hub: HubIndex,
    /// The nursery that owns it; static children as well have one.
    owner: HubIndex,
    queued: bool,
    body: Body,
}

struct Hub {
    /// Which nursery: never used again.
    nursery: NurseryId,
    /// The task that opened it.
    opener: Option<TaskId>,
    ready: VecDeque<u32>,
    signalled: bool,
    /// Whoever polls the nursery: as a number if it is one of our nodes, else as a waker.
    parent: Parent,
}

enum Parent {
    Nobody,
    Node(Word),
    Foreign(Waker),
}

impl Hub {
    /// A foreign parent gives its waker away: the next poll brings another.
    #[cold]
    fn take_foreign(&mut self) -> Option<Waker> {
        match std::mem::replace(&mut self.parent, Parent::Nobody) {
            Parent::Foreign(waker) => Some(waker),
            _ => None,
        }
    }
}

/// What the loop has to do with the next ready node.
#[must_use]
pub(crate) enum Next {
    /// Poll the run's main future.
    Main(Word),
    /// Poll this flat task, then give it back with `put_back` or end it with `finish`.
    Flat(Word, Flat),
}

pub(crate) struct Sched {
    executor: u16,
    nodes: Vec<Node>,
    free: Vec<u32>,
    hubs: Vec<Hub>,
    free_hubs: Vec<u32>,
    run: VecDeque<u32>,
    flat_live: usize,
    /// How many nurseries have been opened.
    opened: u64,
    /// The task of another executor that polls this one, while it waits to be woken.
    host: Option<Waker>,
    /// Children that have not said yet that they are ready, by index, and who started them.
    starters: BTreeMap<u32, Option<TaskId>>,
}

impl Sched {
    pub(crate) const fn new() -> Self {
        Sched {
            executor: 0,
            nodes: Vec::new(),
            free: Vec::new(),
            hubs: Vec::new(),
            free_hubs: Vec::new(),
            run: VecDeque::new(),
            flat_live: 0,
            opened: 0,
            host: None,
            starters: BTreeMap::new(),
        }
    }

    pub(crate) fn set_executor(&mut self, executor: u16) {
        self.executor = executor;
    }

    pub(crate) fn executor(&self) -> u16 {
        self.executor
    }

    // ---- nodes

    fn insert(&mut self, hub: HubIndex, owner: HubIndex, body: Body) -> Word {
        let index = match self.free.pop() {
            Some(i) => {
                let n = &mut self.nodes[i as usize];
                (n.hub, n.owner, n.queued, n.body) = (hub, owner, false, body);
                i
            }
            None => {
                let i = self.nodes.len() as u32;
                assert!(i < MAX_INDEX, "one executor holds at most 2^26 tasks at a time");
                self.nodes.push(Node { generation: 0, hub, owner, queued: false, body });
                i
            }
        };
        Word::pack(self.executor, self.nodes[index as usize].generation, index)
    }

    pub(crate) fn insert_main(&mut self) -> Word {
        self.insert(NO_HUB, NO_HUB, Body::Main)
    }

    /// A place for a flat task of a nursery, or of nobody; `put_back` puts it there: so nothing of a user is dropped in
    /// here if there is no place any more.
    pub(crate) fn reserve_flat(&mut self, owner: HubIndex) -> Word {
        let word = self.insert(NO_HUB, owner, Body::Busy { doomed: false });
        self.flat_live += 1;
        word
    }

    /// A child in a nursery's future, ready. A foreign parent's waker comes back, to be woken outside.
    #[must_use = "a foreign parent has to be woken"]
    pub(crate) fn insert_borrowed(&mut self, hub: HubIndex, slot: u32) -> (Word, Option<Waker>) {
        let word = self.insert(hub, hub, Body::Borrowed { slot });
        let foreign = self.wake(word);
        (word, foreign)
    }

    fn node(&mut self, word: Word) -> Option<&mut Node> {
        let n = self.nodes.get_mut(word.index() as usize)?;
        (word.executor() == self.executor && word.matches(n.generation) && !matches!(n.body, Body::Free))
            .then_some(n)
    }

    /// The node is over. A flat task that was at rest comes back, to be dropped outside; one that is being polled
    /// is doomed instead.
    pub(crate) fn remove(&mut self, word: Word) -> Option<Flat> {
        let n = self.node(word)?;
        let task = match &mut n.body {
            Body::Busy { doomed } => {
                *doomed = true;
                return None;
            }
            Body::Flat(_) => match std::mem::replace(&mut n.body, Body::Free) {
                Body::Flat(task) => Some(task),
                _ => unreachable!("just looked at"),
            },
            _ => None,
        };
        self.flat_live -= usize::from(task.is_some());
        self.free(word);
        task
    }

    fn free(&mut self, word: Word) {
        let n = &mut self.nodes[word.index() as usize];
        n.body = Body::Free;
        n.generation = n.generation.wrapping_add(1);
        self.free.push(word.index());
        if !self.starters.is_empty() {
            let _ = self.starters.remove(&word.index());
        }
    }

    /// The poll of a flat task returned "pending". Gives the task back if it was doomed meanwhile.
    #[must_use = "a doomed task has to be dropped"]
    pub(crate) fn put_back(&mut self, word: Word, task: Flat) -> Option<Flat> {
        let Some(n) = self.node(word) else { return Some(task) };
        match n.body {
            Body::Busy { doomed: false } => {
                n.body = Body::Flat(task);
                None
            }
            _ => {
                self.finish(word);
                Some(task)
            }
        }
    }

    /// A flat task that was being polled has ended.
    pub(crate) fn finish(&mut self, word: Word) {
        if self.node(word).is_some() {
            self.free(word);
            self.flat_live -= 1;
        }
    }

    /// How many flat tasks live.
    pub(crate) fn flat_live(&self) -> usize {
        self.flat_live
    }

    /// How many nodes of any kind are in use.
    pub(crate) fn nodes_live(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    /// Takes any flat task at rest, for a run that gives up on the rest.
    pub(crate) fn take_any_flat(&mut self) -> Option<Flat> {
        let i = self.nodes.iter().position(|n| matches!(n.body, Body::Flat(_)))?;
        let word = Word::pack(self.executor, self.nodes[i].generation, i as u32);
        self.remove(word)
    }

    /// Every word that could be woken, live or not: for the tests that wake at random.
    #[cfg(feature = "testing")]
    pub(crate) fn slots(&self) -> u32 {
        self.nodes.len() as u32
    }

    // ---- who is there

    /// A child is its starter's until it is ready.
    pub(crate) fn set_starter(&mut self, word: Word, starter: Option<TaskId>) {
        self.starters.insert(word.index(), starter);
    }

    /// It is the nursery's.
    pub(crate) fn hand_over(&mut self, word: Word) {
        if self.node(word).is_some() {
            let _ = self.starters.remove(&word.index());
        }
    }

    /// Every task, in no order; `running` is the one that is being polled.
    pub(crate) fn tasks(&self, running: Option<TaskId>) -> Vec<TaskInfo> {
        let live = self.nodes.iter().enumerate();
        live.filter_map(|(index, n)| {
            let index = index as u32;
            let id = TaskId(Word::pack(self.executor, n.generation, index));
            let owner = match n.body {
                Body::Free | Body::Borrowed { slot: BODY } => return None,
                Body::Main => Owner::Run,
                // Its nursery was dropped from its own poll.
                Body::Busy { doomed: true } => Owner::Nobody,
                Body::Flat(_) | Body::Busy { doomed: false } | Body::Borrowed { .. } => {
                    match (self.hubs.get(n.owner as usize), self.starters.get(&index)) {
                        (None, _) => Owner::Nobody,
                        (Some(hub), None) => Owner::InNursery(hub.nursery),
                        (Some(hub), Some(starter)) => {
                            Owner::Starter { starter: *starter, nursery: hub.nursery }
                        }
                    }
                }
            };
            let state = match n.queued {
                _ if running == Some(id) => TaskState::Running,
                true => TaskState::Ready,
                false => TaskState::Waiting,
            };
            Some(TaskInfo { id, owner, state })
        })
        .collect()
    }

    /// The nursery of a hub.
    pub(crate) fn nursery(&self, hub: HubIndex) -> NurseryId {
        self.hubs[hub as usize].nursery
    }

    /// Every open nursery, in no order.
    pub(crate) fn nurseries(&self) -> Vec<NurseryInfo> {
        let free: HashSet<u32> = self.free_hubs.iter().copied().collect();
        let open = self.hubs.iter().enumerate().filter(|(index, _)| !free.contains(&(*index as u32)));
        open.map(|(_, hub)| NurseryInfo { id: hub.nursery, opener: hub.opener }).collect()
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
            let i = if at == 0 { self.run.pop_front() } else { self.run.remove(at) };
            let Some(i) = i else { break };
            let n = &mut self.nodes[i as usize];
            let word = Word::pack(self.executor, n.generation, i);
            if !n.queued {
                continue;
            }
            match &n.body {
                Body::Main => {
                    n.queued = false;
                    return Some(Next::Main(word));
                }
                Body::Flat(_) => {
                    n.queued = false;
                    let Body::Flat(task) = std::mem::replace(&mut n.body, Body::Busy { doomed: false })
                    else {
                        unreachable!("just matched")
                    };
                    return Some(Next::Flat(word, task));
                }
                // Freed, or freed and reused as a child, since it was queued.
                _ => {}
            }
        }
        None
    }

    /// A host goes to wait, with this waker; or it is back.
    #[must_use = "the waker before is to be woken, or dropped, outside"]
    pub(crate) fn set_host(&mut self, waker: Option<Waker>) -> Option<Waker> {
        std::mem::replace(&mut self.host, waker)
    }

    // ---- hubs

    /// A hub for a nursery, and in it a ready node for the nursery's body.
    pub(crate) fn open_hub(&mut self, opener: Option<TaskId>) -> (HubIndex, Word) {
        let nursery = NurseryId(self.opened);
        self.opened += 1;
        let hub = match self.free_hubs.pop() {
            Some(free) => {
                let hub = &mut self.hubs[free as usize];
                (hub.nursery, hub.opener) = (nursery, opener);
                free
            }
            None => {
                let (ready, parent) = (VecDeque::new(), Parent::Nobody);
                self.hubs.push(Hub { nursery, opener, ready, signalled: false, parent });
                (self.hubs.len() - 1) as u32
            }
        };
        let (body, nobody) = self.insert_borrowed(hub, BODY);
        debug_assert!(nobody.is_none(), "a new hub has no parent");
        (hub, body)
    }

    /// The nursery is over. Its parent's waker comes back to be dropped outside.
    pub(crate) fn remove_hub(&mut self, h: HubIndex) -> Option<Waker> {
        let hub = &mut self.hubs[h as usize];
        hub.ready.clear();
        hub.signalled = false;
        self.free_hubs.push(h);
        match std::mem::replace(&mut hub.parent, Parent::Nobody) {
            Parent::Foreign(w) => Some(w),
            _ => None,
        }
    }

    /// A poll of the nursery begins: how many nodes are ready. `None` if its parent is another than before, and one
    /// that a number does not name: then `enter_hub_from` has to be told of it.
    pub(crate) fn enter_hub(&mut self, h: HubIndex, waker: &Waker) -> Option<usize> {
        let hub = &mut self.hubs[h as usize];
        match (&mut hub.parent, raw::word_of(waker)) {
            (Parent::Node(parent), Some(word)) => *parent = word,
            (Parent::Foreign(parent), None) if parent.will_wake(waker) => {}
            (parent @ Parent::Nobody, Some(word)) => *parent = Parent::Node(word),
            _ => return None,
        }
        hub.signalled = false;
        Some(hub.ready.len())
    }

    /// A poll of the nursery begins, by somebody new. The waker that is no longer needed comes back to be dropped
    /// outside.
    pub(crate) fn enter_hub_from(&mut self, h: HubIndex, waker: Waker) -> (usize, Option<Waker>) {
        let hub = &mut self.hubs[h as usize];
        let parent = raw::word_of(&waker).map_or(Parent::Foreign(waker), Parent::Node);
        hub.signalled = false;
        match std::mem::replace(&mut hub.parent, parent) {
            Parent::Foreign(before) => (hub.ready.len(), Some(before)),
            _ => (hub.ready.len(), None),
        }
    }

    /// A poll of the nursery ends; if more has become ready meanwhile, its parent is told.
    #[must_use = "a foreign parent has to be woken"]
    pub(crate) fn leave_hub(&mut self, h: HubIndex) -> Option<Waker> {
        if self.hubs[h as usize].ready.is_empty() { None } else { self.signal_hub(h) }
    }

    /// The slot of the next ready child of a hub.
    pub(crate) fn next_in_hub(&mut self, h: HubIndex) -> Option<u32> {
        let ready = &mut self.hubs[h as usize].ready;
        while let Some(i) = ready.pop_front() {
            let n = &mut self.nodes[i as usize];
            if n.queued
                && n.hub == h
                && let Body::Borrowed { slot } = n.body
            {
                n.queued = false;
                return Some(slot);
            }
        }
        None
    }

    /// Wakes whoever polls this hub. A foreign waker comes back, to be woken outside.
    #[must_use = "a foreign parent has to be woken"]
    pub(crate) fn signal_hub(&mut self, h: HubIndex) -> Option<Waker> {
        let hub = &mut self.hubs[h as usize];
        if std::mem::replace(&mut hub.signalled, true) {
            return None;
        }
        match hub.parent {
            Parent::Node(word) => self.wake(word),
            _ => hub.take_foreign(),
        }
    }

    /// Makes the node ready, and with it every nursery on the way up to a flat task. If the way ends in a foreign
    /// executor, or in the run queue of a run whose host waits, its waker comes back, to be woken outside.
    #[must_use = "a foreign parent has to be woken"]
    pub(crate) fn wake(&mut self, mut word: Word) -> Option<Waker> {
        loop {
            let n = self.node(word)?;
            if std::mem::replace(&mut n.queued, true) {
                return None;
            }
            let hub = n.hub;
            if hub == NO_HUB {
                self.run.push_back(word.index());
                return self.host.take();
            }
            let hub = &mut self.hubs[hub as usize];
            hub.ready.push_back(word.index());
            if std::mem::replace(&mut hub.signalled, true) {
                return None;
            }
            match hub.parent {
                Parent::Node(up) => word = up,
                _ => return hub.take_foreign(),
            }
        }
    }
}
