//! Hubs: what the scheduler knows of a nursery. They open and close, a poll of one begins and ends, and it says who is next.
//!
//! ```text
//!   open_hub ─► enter_hub ─► next_in_hub … ─► leave_hub ─┬─ nothing has become ready ─► until a wake signals it
//!                  ▲                                     └─ else ─► signal_hub ─► whoever polls the nursery
//!                  └──────────────────────── polled again ◄──────────┘
//!   close_hub ─► remove_hub
//! ```
//!
//! Rules: those of [`super`], Signalled Up above all.

use super::super::TaskId;
use super::super::line::Line;
use super::super::nodes::{Cause, Kind, NIL, Place};
use super::super::raw::{self, Child};
use super::super::tree::NurseryId;
use super::super::word::Word;
use super::{Due, HubIndex, Sched};
use crate::runtime::Group;
use std::rc::Rc;
use std::task::Waker;

pub(super) struct Hub {
    /// Which nursery: never used again.
    pub(super) nursery: NurseryId,
    /// The task that opened it, and where.
    pub(super) opener: Option<TaskId>,
    pub(super) at: Place,
    pub(super) ready: Line,
    pub(super) signalled: bool,
    /// It was to be signalled while it was being polled.
    pub(super) again: bool,
    /// Whoever polls the nursery: as a number if it is one of our nodes, else as a waker.
    pub(super) parent: Parent,
    /// The newest of its children, and how many there are.
    pub(super) first: u32,
    pub(super) borrowed: u32,
    pub(super) statics: u32,
    /// Who polls the static children, if there were any.
    pub(super) group: Option<Rc<dyn Group>>,
}

pub(super) enum Parent {
    Nobody,
    Node(Word),
    Foreign(Waker),
}

impl Hub {
    fn new(nursery: NurseryId, opener: Option<TaskId>, at: Place) -> Self {
        Hub {
            nursery,
            opener,
            at,
            ready: Line::new(),
            signalled: true,
            again: false,
            parent: Parent::Nobody,
            first: NIL,
            borrowed: 0,
            statics: 0,
            group: None,
        }
    }

    /// A foreign parent gives its waker away: the next poll brings another.
    #[cold]
    pub(super) fn take_foreign(&mut self) -> Option<Waker> {
        match std::mem::replace(&mut self.parent, Parent::Nobody) {
            Parent::Foreign(waker) => Some(waker),
            _ => None,
        }
    }
}

/// What a nursery has to poll next: a child, or its body.
#[must_use]
pub(crate) struct InHub {
    pub(crate) due: Due,
    /// `None` for the body.
    pub(crate) child: Option<Child>,
}

impl Sched {
    /// A hub for a nursery, and in it a ready node for the nursery's body.
    pub(crate) fn open_hub(&mut self, opener: Option<TaskId>, at: Place) -> (HubIndex, Word) {
        self.require_room();
        let nursery = NurseryId(self.opened);
        self.opened += 1;
        let h = match self.free_hubs.pop() {
            Some(free) => {
                let hub = &mut self.hubs[free as usize];
                (hub.nursery, hub.opener, hub.at, hub.signalled) = (nursery, opener, at, true);
                free
            }
            None => {
                self.hubs.push(Hub::new(nursery, opener, at));
                (self.hubs.len() - 1) as u32
            }
        };
        let index = self.nodes.insert_ready(Kind::Body, h, at, &mut { NIL }, None);
        self.hubs[h as usize].ready.push(index);
        self.listed += 1;
        (h, self.word(index))
    }

    /// The nursery has ended: nobody polls static children for it any more. What did so comes back to be dropped outside.
    pub(crate) fn close_hub(&mut self, h: HubIndex) -> Option<Rc<dyn Group>> {
        self.hubs[h as usize].group.take()
    }

    /// The nursery is gone. Its parent's waker comes back to be dropped outside.
    pub(crate) fn remove_hub(&mut self, h: HubIndex) -> Option<Waker> {
        let hub = &mut self.hubs[h as usize];
        debug_assert!(hub.first == NIL && hub.group.is_none());
        self.listed -= hub.ready.len();
        hub.ready.clear();
        (hub.signalled, hub.again) = (false, false);
        self.free_hubs.push(h);
        match std::mem::replace(&mut hub.parent, Parent::Nobody) {
            Parent::Foreign(w) => Some(w),
            _ => None,
        }
    }

    /// How many children a nursery has: borrowed ones, and static ones.
    pub(crate) fn children(&self, h: HubIndex) -> (usize, usize) {
        let hub = &self.hubs[h as usize];
        (hub.borrowed as usize, hub.statics as usize)
    }

    /// Has a nursery no child?
    #[inline]
    pub(crate) fn is_childless(&self, h: HubIndex) -> bool {
        self.hubs[h as usize].first == NIL
    }

    /// The number in a waker, if it is one of this executor's nodes. One of another executor is as foreign as any.
    #[inline]
    pub(super) fn own_word(&self, waker: &Waker) -> Option<Word> {
        raw::word_of(waker).filter(|word| word.executor() == self.executor)
    }

    /// A poll of the nursery begins: how many nodes are ready. `None` if its parent is another than before, and one
    /// that a number does not name: then `enter_hub_from` has to be told of it.
    pub(crate) fn enter_hub(&mut self, h: HubIndex, waker: &Waker) -> Option<usize> {
        let word = self.own_word(waker);
        let hub = &mut self.hubs[h as usize];
        match (&mut hub.parent, word) {
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
        let parent = self.own_word(&waker).map_or(Parent::Foreign(waker), Parent::Node);
        let hub = &mut self.hubs[h as usize];
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

    /// The next ready node of a hub, with the child that is in it.
    #[inline]
    pub(crate) fn next_in_hub(&mut self, h: HubIndex) -> Option<InHub> {
        loop {
            let i = self.hubs[h as usize].ready.pop()?;
            self.listed -= 1;
            let n = self.nodes.at(i);
            // Else it was freed, or freed and reused, since it was queued.
            if !n.is_queued() || n.hub != h || n.is_flat() {
                continue;
            }
            let child = n.take();
            if child.is_none() && n.kind() != Kind::Body {
                continue;
            }
            let due = Due { word: Word::pack(self.executor, n.generation(), i), cause: n.unqueue() };
            return Some(InHub { due, child });
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
            Parent::Node(word) if word.executor() == self.executor => self.wake_for(word, Cause::Nurseries),
            // Its run has ended while it polled.
            Parent::Node(_) => None,
            _ => hub.take_foreign(),
        }
    }
}
