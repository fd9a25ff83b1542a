//! Hubs and the run queue as data, over the table of nodes. Nothing is polled here and no foreign waker is called.
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
//! * A node is in at most one list (Queued Once, in `nodes.rs`).
//! * **Signalled Up**: a hub with a ready node is signalled: its parent has been woken since it was last entered, or it is
//!   being polled, and wakes its parent when that poll ends. So a wake walks up only as far as the first signalled hub:
//!   under load the path is shared.

use super::TaskId;
use super::nodes::{Body, Node, Nodes};
pub(crate) use super::nodes::{Cause, Flat};
use super::places::{Place, Places};
use super::raw;
use super::tree::{NurseryId, NurseryInfo, Owner, TaskInfo, TaskState};
use super::word::Word;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::rc::Rc;
use std::task::Waker;

/// Index of a hub; [`NO_HUB`] for main and what belongs to no nursery.
pub(crate) type HubIndex = u32;
pub(crate) const NO_HUB: HubIndex = u32::MAX;
/// From here on it is no hub: a flat task's node has the number of the place where it was spawned above it.
pub(super) const FIRST_FLAT: HubIndex = 1 << 31;
/// The slot of a nursery's body.
pub(crate) const BODY: u32 = u32::MAX;

struct Hub {
    /// Which nursery: never used again.
    nursery: NurseryId,
    /// The task that opened it, and where.
    opener: Option<TaskId>,
    at: Place,
    ready: VecDeque<u32>,
    signalled: bool,
    /// It was to be signalled while it was being polled.
    again: bool,
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

/// A node that is to be polled now, and why.
#[derive(Clone, Copy)]
pub(crate) struct Due {
    pub(crate) word: Word,
    pub(crate) cause: Cause,
}

/// What the loop has to do with the next ready node.
#[must_use]
pub(crate) enum Next {
    /// Poll the run's main future.
    Main(Due),
    /// Poll this flat task, then give it back with `put_back` or end it with `finish`.
    Flat(Due, Flat),
}

/// What instruments are told of, as it happens in here.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Happened {
    Spawned(TaskId),
    Scheduled(TaskId),
    Exited(TaskId),
}

pub(crate) struct Sched {
    executor: u16,
    /// Is everything that happens to be written down?
    watched: bool,
    /// Is anything known of single tasks beside their nodes: a log, names, starters? One flag, because every end of a task
    /// looks at it; the last end that had something to forget lowers it.
    besides: bool,
    log: Vec<Happened>,
    nodes: Nodes,
    hubs: Vec<Hub>,
    free_hubs: Vec<u32>,
    run: VecDeque<u32>,
    /// How many entries all lists have together.
    listed: usize,
    flat_live: usize,
    /// How many nurseries have been opened.
    opened: u64,
    /// The task of another executor that polls this one, while it waits to be woken.
    host: Option<Waker>,
    places: Places,
    /// Names of those that have one, by index.
    names: BTreeMap<u32, Rc<str>>,
    /// Children that have not said yet that they are ready, by index, and who started them.
    starters: BTreeMap<u32, Option<TaskId>>,
}

impl Sched {
    pub(crate) const fn new() -> Self {
        Sched {
            executor: 0,
            watched: false,
            besides: false,
            log: Vec::new(),
            nodes: Nodes::new(),
            hubs: Vec::new(),
            free_hubs: Vec::new(),
            run: VecDeque::new(),
            listed: 0,
            flat_live: 0,
            opened: 0,
            host: None,
            places: Places::new(),
            names: BTreeMap::new(),
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

    fn insert(&mut self, hub: HubIndex, body: Body) -> Word {
        let index = self.nodes.insert(hub, body);
        self.nodes.word(self.executor, index)
    }

    // ---- for instruments

    /// From now on everything that happens is written down, or nothing.
    pub(crate) fn watch(&mut self, on: bool) {
        self.watched = on;
        self.besides |= on;
        if !on {
            self.log = Vec::new();
        }
    }

    /// What has happened since this was last asked.
    pub(crate) fn take_log(&mut self) -> Vec<Happened> {
        std::mem::take(&mut self.log)
    }

    /// Writes down what happens to a task. A nursery's body is none.
    #[cold]
    fn note(&mut self, index: u32, happened: fn(TaskId) -> Happened) {
        if !matches!(self.nodes.get(index).body, Body::Borrowed { slot: BODY, .. }) {
            self.log.push(happened(TaskId(self.word(index))));
        }
    }

    pub(crate) fn insert_main(&mut self) -> Word {
        let main = self.insert(NO_HUB, Body::Main);
        if self.watched {
            self.note(main.index(), Happened::Spawned);
        }
        main
    }

    /// A place for a flat task of a nursery, or of nobody; `fill_flat` puts it there: so nothing of a user is dropped in
    /// here if there is no place any more.
    pub(crate) fn reserve_flat(&mut self, owner: HubIndex, at: Place) -> Word {
        let at = FIRST_FLAT + self.places.number(at);
        let word = self.insert(at, Body::Busy { owner, doomed: false });
        self.flat_live += 1;
        word
    }

    /// A child in a nursery's future, ready: its index. Nobody is woken: this happens while the nursery is polled, before
    /// it is for the first time, or while it is dropped.
    pub(crate) fn insert_borrowed(&mut self, hub: HubIndex, slot: u32, at: Place) -> u32 {
        let index = self.nodes.insert(hub, Body::Borrowed { slot, at });
        let _fresh = self.nodes.at(index).queue(Cause::Any);
        if self.watched {
            self.note(index, Happened::Spawned);
            self.note(index, Happened::Scheduled);
        }
        self.hubs[hub as usize].ready.push_back(index);
        self.listed += 1;
        index
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

    /// Puts a task into the place that was reserved for it, ready. If the run's host waits, its waker comes back, to be
    /// woken outside.
    ///
    /// # Panics
    ///
    /// If the place is not reserved.
    #[must_use = "a host has to be woken"]
    pub(crate) fn fill_flat(&mut self, word: Word, task: Flat) -> Option<Waker> {
        let n = self.nodes.at(word.index());
        let Body::Busy { owner, .. } = n.body else { panic!("a place that was not reserved") };
        n.body = Body::Flat { task, owner };
        let _fresh = n.queue(Cause::Any);
        if self.watched {
            self.note(word.index(), Happened::Spawned);
            self.note(word.index(), Happened::Scheduled);
        }
        self.listed += 1;
        self.run.push_back(word.index());
        self.host.take()
    }

    /// The node is over. A flat task that was at rest comes back, to be dropped outside; one that is being polled
    /// is doomed instead.
    pub(crate) fn remove(&mut self, word: Word) -> Option<Flat> {
        let n = self.node(word)?;
        if let Body::Busy { doomed, .. } = &mut n.body {
            *doomed = true;
            return None;
        }
        let is_flat = matches!(n.body, Body::Flat { .. });
        let body = is_flat.then(|| std::mem::replace(&mut n.body, Body::Main));
        self.end(word.index());
        let Some(Body::Flat { task, .. }) = body else { return None };
        self.flat_live -= 1;
        Some(task)
    }

    /// A borrowed child has ended, or goes with its nursery.
    pub(crate) fn remove_borrowed(&mut self, index: u32) {
        debug_assert!(matches!(self.nodes.at(index).body, Body::Borrowed { .. }));
        self.end(index);
    }

    fn end(&mut self, index: u32) {
        if self.besides {
            self.forget(index);
        }
        self.nodes.free(index);
    }

    /// What is known of a task beside its node goes with it.
    #[cold]
    fn forget(&mut self, index: u32) {
        if self.watched {
            self.note(index, Happened::Exited);
        }
        let _ = self.starters.remove(&index);
        let _ = self.names.remove(&index);
        self.besides = self.watched || !self.starters.is_empty() || !self.names.is_empty();
    }

    /// The poll of a flat task returned "pending". Gives the task back if it was doomed meanwhile.
    #[must_use = "a doomed task has to be dropped"]
    pub(crate) fn put_back(&mut self, word: Word, task: Flat) -> Option<Flat> {
        let Some(n) = self.node(word) else { return Some(task) };
        match n.body {
            Body::Busy { owner, doomed: false } => {
                n.body = Body::Flat { task, owner };
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
            self.end(word.index());
            self.flat_live -= 1;
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
        let (index, _) = self.nodes.iter().find(|(_, n)| matches!(n.body, Body::Flat { .. }))?;
        self.remove(self.word(index))
    }

    /// How many numbers have been in use: for the tests that wake at random.
    #[cfg(feature = "testing")]
    pub(crate) fn slots(&self) -> u32 {
        self.nodes.iter().count() as u32
    }

    // ---- who is there

    /// A child is its starter's until it is ready.
    pub(crate) fn set_starter(&mut self, word: Word, starter: Option<TaskId>) {
        self.starters.insert(word.index(), starter);
        self.besides = true;
    }

    /// It is the nursery's.
    pub(crate) fn hand_over(&mut self, word: Word) {
        if self.node(word).is_some() {
            let _ = self.starters.remove(&word.index());
        }
    }

    /// Every task, in no order; `running` is the one that is being polled.
    pub(crate) fn tasks(&self, running: Option<TaskId>) -> Vec<TaskInfo> {
        let live = self.nodes.iter().filter_map(|(index, n)| {
            let id = TaskId(self.word(index));
            let owner = match n.body {
                Body::Free { .. } | Body::Borrowed { slot: BODY, .. } => return None,
                Body::Main => Owner::Run,
                // Its nursery was dropped from its own poll.
                Body::Busy { doomed: true, .. } => Owner::Nobody,
                Body::Flat { owner, .. } | Body::Busy { owner, .. } => self.owner(index, owner),
                Body::Borrowed { .. } => self.owner(index, n.hub),
            };
            let state = match n.is_queued() {
                _ if running == Some(id) => TaskState::Running,
                true => TaskState::Ready,
                false => TaskState::Waiting,
            };
            let spawned_at = match n.body {
                Body::Borrowed { at, .. } => Some(at),
                Body::Flat { .. } | Body::Busy { .. } => self.places.place(n.flat_at()),
                Body::Main | Body::Free { .. } => None,
            };
            Some(TaskInfo { id, owner, state, spawned_at })
        });
        live.collect()
    }

    /// How many tasks are in a list of those that are ready, `running` apart.
    pub(crate) fn runnable(&self, running: Option<TaskId>) -> usize {
        let is_task = |index: &&u32| {
            let n = self.nodes.get(**index);
            let is_task = !matches!(n.body, Body::Free { .. } | Body::Borrowed { slot: BODY, .. });
            is_task && n.is_queued() && running != Some(TaskId(self.word(**index)))
        };
        self.run.iter().chain(self.hubs.iter().flat_map(|hub| &hub.ready)).filter(is_task).count()
    }

    /// Gives a task a name.
    pub(crate) fn set_name(&mut self, task: TaskId, name: Rc<str>) {
        if self.node(task.0).is_some() {
            let _before = self.names.insert(task.0.index(), name);
            self.besides = true;
        }
    }

    /// Every name.
    pub(crate) fn names(&self) -> Vec<(TaskId, Rc<str>)> {
        let name = |(index, name): (&u32, &Rc<str>)| (TaskId(self.word(*index)), Rc::clone(name));
        self.names.iter().map(name).collect()
    }

    /// The task whose code this word is: itself, or the opener of the nursery whose body it is.
    pub(crate) fn task_of(&self, word: Word) -> Option<TaskId> {
        let n = self.nodes.of_word(word).filter(|_| word.executor() == self.executor)?;
        match n.body {
            Body::Borrowed { slot: BODY, .. } => self.hubs[n.hub as usize].opener,
            _ => Some(TaskId(word)),
        }
    }

    fn owner(&self, index: u32, hub: HubIndex) -> Owner {
        match (self.hubs.get(hub as usize), self.starters.get(&index)) {
            (None, _) => Owner::Nobody,
            (Some(hub), None) => Owner::InNursery(hub.nursery),
            (Some(hub), Some(starter)) => Owner::Starter { starter: *starter, nursery: hub.nursery },
        }
    }

    /// The nursery of a hub.
    pub(crate) fn nursery(&self, hub: HubIndex) -> NurseryId {
        self.hubs[hub as usize].nursery
    }

    /// Every open nursery, in no order.
    pub(crate) fn nurseries(&self) -> Vec<NurseryInfo> {
        let free: HashSet<u32> = self.free_hubs.iter().copied().collect();
        let open = self.hubs.iter().enumerate().filter(|(index, _)| !free.contains(&(*index as u32)));
        open.map(|(_, hub)| NurseryInfo { id: hub.nursery, opener: hub.opener, opened_at: hub.at }).collect()
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
            self.listed -= 1;
            let n = self.nodes.at(i);
            if !n.is_queued() {
                continue;
            }
            let word = Word::pack(self.executor, n.generation(), i);
            match &n.body {
                Body::Main => {
                    return Some(Next::Main(Due { word, cause: n.unqueue() }));
                }
                &Body::Flat { owner, .. } => {
                    let due = Due { word, cause: n.unqueue() };
                    let busy = Body::Busy { owner, doomed: false };
                    let Body::Flat { task, .. } = std::mem::replace(&mut n.body, busy) else {
                        unreachable!("just matched")
                    };
                    return Some(Next::Flat(due, task));
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
    pub(crate) fn open_hub(&mut self, opener: Option<TaskId>, at: Place) -> (HubIndex, Word) {
        let nursery = NurseryId(self.opened);
        self.opened += 1;
        let hub = match self.free_hubs.pop() {
            Some(free) => {
                let hub = &mut self.hubs[free as usize];
                (hub.nursery, hub.opener, hub.at, hub.signalled) = (nursery, opener, at, true);
                free
            }
            None => {
                let (ready, parent) = (VecDeque::new(), Parent::Nobody);
                self.hubs.push(Hub { nursery, opener, at, ready, signalled: true, again: false, parent });
                (self.hubs.len() - 1) as u32
            }
        };
        let body = self.insert_borrowed(hub, BODY, at);
        (hub, self.word(body))
    }

    /// The nursery is over. Its parent's waker comes back to be dropped outside.
    pub(crate) fn remove_hub(&mut self, h: HubIndex) -> Option<Waker> {
        let hub = &mut self.hubs[h as usize];
        self.listed -= hub.ready.len();
        hub.ready.clear();
        (hub.signalled, hub.again) = (false, false);
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
        (hub.signalled, hub.again) = (true, false);
        Some(hub.ready.len())
    }

    /// Puts those that are ready into an order that `pick` decides: it chooses one of so many.
    pub(crate) fn shuffle_hub(&mut self, h: HubIndex, pick: impl Fn(usize) -> usize) {
        let ready = &mut self.hubs[h as usize].ready;
        for left in (2..=ready.len()).rev() {
            ready.swap(left - 1, pick(left));
        }
    }

    /// A poll of the nursery begins, by somebody new. The waker that is no longer needed comes back to be dropped
    /// outside.
    pub(crate) fn enter_hub_from(&mut self, h: HubIndex, waker: Waker) -> (usize, Option<Waker>) {
        let hub = &mut self.hubs[h as usize];
        let parent = raw::word_of(&waker).map_or(Parent::Foreign(waker), Parent::Node);
        (hub.signalled, hub.again) = (true, false);
        match std::mem::replace(&mut hub.parent, parent) {
            Parent::Foreign(before) => (hub.ready.len(), Some(before)),
            _ => (hub.ready.len(), None),
        }
    }

    /// A poll of the nursery ends; if more has become ready meanwhile, its parent is told.
    #[must_use = "a foreign parent has to be woken"]
    pub(crate) fn leave_hub(&mut self, h: HubIndex) -> Option<Waker> {
        let hub = &mut self.hubs[h as usize];
        hub.signalled = false;
        if hub.ready.is_empty() && !hub.again { None } else { self.signal_hub(h) }
    }

    /// Is nobody of this executor ready but in this hub?
    pub(crate) fn is_alone(&self, h: HubIndex) -> bool {
        self.hubs[h as usize].ready.len() == self.listed
    }

    /// The next ready child of a hub, and its slot.
    #[inline]
    pub(crate) fn next_in_hub(&mut self, h: HubIndex) -> Option<(u32, Due)> {
        loop {
            let i = self.hubs[h as usize].ready.pop_front()?;
            self.listed -= 1;
            let n = self.nodes.at(i);
            // Else it was freed, or freed and reused, since it was queued.
            if n.is_queued()
                && n.hub == h
                && let Body::Borrowed { slot, .. } = n.body
            {
                let cause = n.unqueue();
                return Some((slot, Due { word: Word::pack(self.executor, n.generation(), i), cause }));
            }
        }
    }

    /// Wakes whoever polls this hub. A foreign waker comes back, to be woken outside.
    #[must_use = "a foreign parent has to be woken"]
    pub(crate) fn signal_hub(&mut self, h: HubIndex) -> Option<Waker> {
        let hub = &mut self.hubs[h as usize];
        if std::mem::replace(&mut hub.signalled, true) {
            hub.again = true;
            return None;
        }
        match hub.parent {
            Parent::Node(word) => self.wake_for(word, Cause::Nurseries),
            _ => hub.take_foreign(),
        }
    }

    /// Makes the node ready, and with it every nursery on the way up to a flat task. If the way ends in a foreign
    /// executor, or in the run queue of a run whose host waits, its waker comes back, to be woken outside.
    #[must_use = "a foreign parent has to be woken"]
    pub(crate) fn wake(&mut self, word: Word) -> Option<Waker> {
        self.wake_for(word, Cause::Any)
    }

    fn wake_for(&mut self, mut word: Word, mut cause: Cause) -> Option<Waker> {
        loop {
            let n = self.node(word)?;
            if !n.queue(cause) {
                return None;
            }
            let hub = n.hub;
            self.listed += 1;
            if self.watched {
                self.note(word.index(), Happened::Scheduled);
            }
            if hub >= FIRST_FLAT {
                self.run.push_back(word.index());
                return self.host.take();
            }
            let hub = &mut self.hubs[hub as usize];
            hub.ready.push_back(word.index());
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
