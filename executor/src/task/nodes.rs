//! The table of nodes: what each is there for, and whose number it answers to.
//!
//! ```text
//!   insert ─► index ─► Node { generation, queued │ hub │ body } ─ free ─► the next generation, on the free list
//! ```
//!
//! Rules:
//! * A node is 32 bytes: there may be millions of them. So the queued mark shares a word with the generation, and a free
//!   node holds the link of the free list.
//! * **Queued Once**: a node is in at most one list, and its mark says so. A second mark says what for: see [`Cause`].

use super::places::Place;
use super::sched::{FIRST_FLAT, HubIndex, NO_HUB};
use super::word::{MAX_INDEX, Word};
use std::future::Future;
use std::pin::Pin;

pub(crate) type Flat = Pin<Box<dyn Future<Output = ()>>>;

/// No node.
const NIL: u32 = u32::MAX;

/// What a node is there for.
pub(super) enum Body {
    /// Nobody has it; the next that is free.
    Free { next: u32 },
    /// The main future of a run: it lives on the stack of `run`.
    Main,
    /// A flat task at rest, and the nursery that owns it.
    Flat { task: Flat, owner: HubIndex },
    /// A flat task that is being polled right now; if it is to be dropped, that happens when the poll returns.
    Busy { owner: HubIndex, doomed: bool },
    /// A child in a nursery's future: its slot there, and where it was spawned.
    Borrowed { slot: u32, at: Place },
}

/// Why a node is to be polled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cause {
    /// Nurseries that it polls have something ready, and that is all: nothing else in it has asked for a poll.
    Nurseries,
    /// It was woken itself, or is new.
    Any,
}

/// A generation, whether the node is in a list, and if so whether for any cause.
#[derive(Clone, Copy)]
struct Life(u32);

const QUEUED: u32 = 1 << 31;
const FOR_ANY_CAUSE: u32 = 1 << 30;

/// A place for a task.
pub(super) struct Node {
    life: Life,
    /// Where a wake goes: a nursery's list, or the run queue. Of a flat task it says besides where it was spawned
    /// ([`FIRST_FLAT`]).
    pub(super) hub: HubIndex,
    pub(super) body: Body,
}

const _: () = assert!(size_of::<Node>() == 32);

impl Node {
    pub(super) fn generation(&self) -> u32 {
        self.life.0 & !(QUEUED | FOR_ANY_CAUSE)
    }

    /// The number of the place where a flat task was spawned.
    pub(super) fn flat_at(&self) -> u32 {
        self.hub - FIRST_FLAT
    }

    pub(super) fn is_queued(&self) -> bool {
        self.life.0 & QUEUED != 0
    }

    /// Marks it as queued; `false` if it was.
    pub(super) fn queue(&mut self, cause: Cause) -> bool {
        let was = self.is_queued();
        self.life.0 |= if cause == Cause::Any { QUEUED | FOR_ANY_CAUSE } else { QUEUED };
        !was
    }

    /// It is out of its list; says what it was there for.
    pub(super) fn unqueue(&mut self) -> Cause {
        let cause = if self.life.0 & FOR_ANY_CAUSE == 0 { Cause::Nurseries } else { Cause::Any };
        self.life.0 &= !(QUEUED | FOR_ANY_CAUSE);
        cause
    }
}

pub(super) struct Nodes {
    table: Vec<Node>,
    first_free: u32,
    live: usize,
}

impl Nodes {
    pub(super) const fn new() -> Self {
        Nodes { table: Vec::new(), first_free: NIL, live: 0 }
    }

    /// A node, in no list.
    pub(super) fn insert(&mut self, hub: HubIndex, body: Body) -> u32 {
        self.live += 1;
        if let Some(node) = self.table.get_mut(self.first_free as usize) {
            let index = self.first_free;
            let Body::Free { next } = node.body else { unreachable!("on the free list") };
            (node.hub, node.body) = (hub, body);
            self.first_free = next;
            return index;
        }
        let index = self.table.len() as u32;
        assert!(index < MAX_INDEX, "one executor holds at most 2^26 tasks at a time");
        self.table.push(Node { life: Life(0), hub, body });
        index
    }

    /// The node's number is nobody's from now on.
    pub(super) fn free(&mut self, index: u32) {
        let node = &mut self.table[index as usize];
        node.body = Body::Free { next: self.first_free };
        node.life = Life(node.generation().wrapping_add(1) & !(QUEUED | FOR_ANY_CAUSE));
        node.hub = NO_HUB;
        self.first_free = index;
        self.live -= 1;
    }

    pub(super) fn word(&self, executor: u16, index: u32) -> Word {
        Word::pack(executor, self.table[index as usize].generation(), index)
    }

    /// The live node that answers to this word of this executor.
    pub(super) fn of(&mut self, word: Word) -> Option<&mut Node> {
        let node = self.table.get_mut(word.index() as usize)?;
        (word.matches(node.generation()) && !matches!(node.body, Body::Free { .. })).then_some(node)
    }

    /// The same to look at.
    pub(super) fn of_word(&self, word: Word) -> Option<&Node> {
        let node = self.table.get(word.index() as usize)?;
        (word.matches(node.generation()) && !matches!(node.body, Body::Free { .. })).then_some(node)
    }

    /// The node at `index`, whatever it is by now.
    pub(super) fn at(&mut self, index: u32) -> &mut Node {
        &mut self.table[index as usize]
    }

    /// The same to look at.
    pub(super) fn get(&self, index: u32) -> &Node {
        &self.table[index as usize]
    }

    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// All there are, free ones as well, by index.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Node)> {
        (0..).zip(&self.table)
    }
}
