//! The table of nodes: what each is there for, whose number it answers to, and the children of nurseries themselves.
//!
//! ```text
//!   insert ─► index ─► Node { life │ hub │ child │ siblings │ place } ─ free ─► the next generation, on the free list
//!                                              └─ take ─► polled ─ put back
//! ```
//!
//! Rules:
//! * A node is 40 bytes, the child's pointer included: there may be millions of them. So kind and marks share a word with
//!   the generation, and the free list goes through the links of siblings.
//! * **Queued Once**: a node is in at most one list, and its mark says so. A second mark says what for: see [`Cause`].
//! * **Out While Polled**: a child is out of its node while it is polled; if its nursery ends meanwhile, it is doomed.

use super::raw::Child;
use super::sched::HubIndex;
use super::word::{MAX_INDEX, Word};
use std::panic::Location;

pub(super) type Place = &'static Location<'static>;

/// No node.
pub(super) const NIL: u32 = u32::MAX;

/// What a node is there for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    /// Nobody has it.
    Free,
    /// The main future of a run: it lives on the stack of `run`.
    Main,
    /// A task of the run's own.
    System,
    /// A static child: the loop polls it. The last kind whose wake goes to the run queue.
    Static,
    /// The body of a nursery, which lives in the nursery's future. From here on a wake goes to the nursery's hub.
    Body,
    /// A borrowed child: its nursery's future polls it.
    Borrowed,
}

/// Why a node is to be polled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cause {
    /// Nurseries that it polls have something ready, and that is all: nothing else in it has asked for a poll.
    Nurseries,
    /// It was woken itself, or is new.
    Any,
}

/// A generation, the kind, and three marks: in a list, for any cause, doomed.
#[derive(Clone, Copy)]
struct Life(u32);

const QUEUED: u32 = 1 << 31;
const FOR_ANY_CAUSE: u32 = 1 << 30;
const DOOMED: u32 = 1 << 29;
const KIND_AT: u32 = 26;
const KIND: u32 = 0b111 << KIND_AT;
const GENERATION: u32 = (1 << KIND_AT) - 1;

impl Life {
    const fn new(generation: u32, kind: Kind) -> Life {
        Life((generation & GENERATION) | ((kind as u32) << KIND_AT))
    }
}

/// A place for a task.
pub(super) struct Node {
    life: Life,
    /// The nursery's; of main and of the run's own tasks [`NO_HUB`](super::sched::NO_HUB).
    pub(super) hub: HubIndex,
    /// `None` while it is polled, and of what lives elsewhere.
    child: Option<Child>,
    /// Its neighbours among the children of its nursery; of a free node, the next that is free.
    before: u32,
    after: u32,
    /// Where it was spawned, or its nursery opened; of main nothing.
    pub(super) at: Option<Place>,
}

const _: () = assert!(size_of::<Node>() == 40);

impl Node {
    pub(super) fn generation(&self) -> u32 {
        self.life.0 & GENERATION
    }

    #[inline]
    pub(super) fn kind(&self) -> Kind {
        match (self.life.0 & KIND) >> KIND_AT {
            0 => Kind::Free,
            1 => Kind::Main,
            2 => Kind::System,
            3 => Kind::Static,
            4 => Kind::Body,
            _ => Kind::Borrowed,
        }
    }

    /// Does the loop poll it, and not a nursery's future?
    #[inline]
    pub(super) fn is_flat(&self) -> bool {
        self.life.0 & KIND <= (Kind::Static as u32) << KIND_AT
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

    /// The child, to be polled or dropped.
    pub(super) fn take(&mut self) -> Option<Child> {
        self.child.take()
    }

    /// Has it a child that nobody polls?
    pub(super) fn is_at_rest(&self) -> bool {
        self.child.is_some()
    }

    /// It has been polled, and waits on.
    pub(super) fn put(&mut self, child: Child) {
        debug_assert!(self.child.is_none());
        self.child = Some(child);
    }

    /// Its nursery has ended while it was polled.
    pub(super) fn doom(&mut self) {
        self.life.0 |= DOOMED;
    }

    pub(super) fn is_doomed(&self) -> bool {
        self.life.0 & DOOMED != 0
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

    /// Is there a number left?
    ///
    /// # Panics
    ///
    /// If there is none: there are 2^26 tasks, and a waker has no more numbers.
    #[inline]
    pub(super) fn require_room(&self) {
        let room = self.first_free != NIL || self.table.len() < MAX_INDEX as usize;
        assert!(room, "one executor holds at most 2^26 tasks at a time");
    }

    /// A node that is in no list and nobody's sibling.
    #[inline]
    pub(super) fn insert(&mut self, kind: Kind, hub: HubIndex, at: Option<Place>) -> u32 {
        self.put_in(Life::new(0, kind), hub, at, NIL, None)
    }

    /// A node that is about to be put into a list, with its child, before the first of its siblings.
    #[inline]
    pub(super) fn insert_ready(
        &mut self,
        kind: Kind,
        hub: HubIndex,
        at: Place,
        first: &mut u32,
        child: Option<Child>,
    ) -> u32 {
        let mut life = Life::new(0, kind);
        life.0 |= QUEUED | FOR_ANY_CAUSE;
        let index = self.put_in(life, hub, Some(at), *first, child);
        if let Some(next) = self.table.get_mut(*first as usize) {
            next.before = index;
        }
        *first = index;
        index
    }

    #[inline]
    fn put_in(
        &mut self,
        life: Life,
        hub: HubIndex,
        at: Option<Place>,
        after: u32,
        child: Option<Child>,
    ) -> u32 {
        self.live += 1;
        let index = self.first_free;
        if let Some(node) = self.table.get_mut(index as usize) {
            self.first_free = node.after;
            let life = Life(life.0 | node.generation());
            *node = Node { life, hub, child, before: NIL, after, at };
            return index;
        }
        let index = self.table.len() as u32;
        self.table.push(Node { life, hub, child, before: NIL, after, at });
        index
    }

    /// The node's number is nobody's from now on.
    pub(super) fn free(&mut self, index: u32) {
        let node = &mut self.table[index as usize];
        node.life = Life::new(node.generation().wrapping_add(1), Kind::Free);
        node.after = self.first_free;
        self.first_free = index;
        self.live -= 1;
    }

    // ---- siblings

    /// Takes a node out from among its siblings.
    pub(super) fn unlink(&mut self, index: u32, first: &mut u32) {
        let node = &self.table[index as usize];
        let (before, after) = (node.before, node.after);
        match self.table.get_mut(before as usize) {
            Some(previous) => previous.after = after,
            None => *first = after,
        }
        if let Some(next) = self.table.get_mut(after as usize) {
            next.before = before;
        }
    }

    // ---- by number

    pub(super) fn word(&self, executor: u16, index: u32) -> Word {
        Word::pack(executor, self.table[index as usize].generation(), index)
    }

    /// The live node that answers to this word of this executor.
    pub(super) fn of(&mut self, word: Word) -> Option<&mut Node> {
        let node = self.table.get_mut(word.index() as usize)?;
        (word.matches(node.generation()) && node.kind() != Kind::Free).then_some(node)
    }

    /// The same to look at.
    pub(super) fn of_word(&self, word: Word) -> Option<&Node> {
        let node = self.table.get(word.index() as usize)?;
        (word.matches(node.generation()) && node.kind() != Kind::Free).then_some(node)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn siblings(nodes: &Nodes, first: u32) -> Vec<u32> {
        let next = |index: &u32| Some(nodes.get(*index).after).filter(|after| *after != NIL);
        std::iter::successors(Some(first).filter(|first| *first != NIL), next).collect()
    }

    #[test]
    fn siblings_are_a_chain_from_the_newest_to_the_oldest_whoever_leaves_it() {
        for leaving in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let (mut nodes, mut first) = (Nodes::new(), NIL);
            for index in 0..3 {
                assert_eq!(
                    nodes.insert_ready(Kind::Borrowed, 0, Location::caller(), &mut first, None),
                    index
                );
            }
            let mut left = vec![2, 1, 0];
            for index in leaving {
                assert_eq!(siblings(&nodes, first), left);
                nodes.unlink(index, &mut first);
                nodes.free(index);
                left.retain(|i| *i != index);
            }
            assert_eq!((siblings(&nodes, first), nodes.live()), (left, 0));
        }
    }

    #[test]
    fn a_freed_node_is_reused_under_another_number_and_without_its_marks() {
        let mut nodes = Nodes::new();
        let index = nodes.insert_ready(Kind::Static, 7, Location::caller(), &mut { NIL }, None);
        let word = nodes.word(1, index);
        assert!(!nodes.at(index).queue(Cause::Any), "it is ready from the beginning");
        nodes.at(index).doom();
        nodes.free(index);
        assert!(nodes.of(word).is_none());
        assert_eq!(nodes.insert(Kind::Body, 8, None), index);
        let node = nodes.get(index);
        assert_eq!(
            (node.kind(), node.is_queued(), node.is_doomed(), node.is_flat()),
            (Kind::Body, false, false, false)
        );
        assert!(nodes.of(word).is_none() && nodes.of(nodes.word(1, index)).is_some());
    }

    #[test]
    fn kind_and_marks_leave_the_generation_alone() {
        let kinds = [Kind::Free, Kind::Main, Kind::System, Kind::Static, Kind::Body, Kind::Borrowed];
        for (generation, kind) in [0, 1, GENERATION].into_iter().flat_map(|g| kinds.map(|kind| (g, kind))) {
            let life = Life::new(generation, kind);
            let mut node = Node { life, hub: 0, child: None, before: NIL, after: NIL, at: None };
            assert!(node.queue(Cause::Nurseries) && !node.queue(Cause::Any));
            node.doom();
            assert_eq!((node.generation(), node.kind()), (generation, kind));
            assert_eq!((node.unqueue(), node.is_queued()), (Cause::Any, false));
            assert_eq!(node.is_flat(), kind <= Kind::Static);
        }
        assert_eq!(Life::new(GENERATION + 1, Kind::Free).0, 0);
    }
}
