//! The places of a nursery's borrowed children.
//!
//! ```text
//!   next() ─► put(place, child) ─► take ─ poll ─ put_back ─► … ─► end ─► vacate(place): free for another
//! ```
//!
//! Rules:
//! * The first place is part of the nursery's own frame: a nursery with one child asks for no memory for it.
//! * A child that is being polled is out of its place, which stays taken until the child has been dropped.

use super::start::OwnScope;
use crate::cancel::ScopeId;
use crate::task::raw::Erased;
use crate::task::word::Word;
use std::rc::Rc;

/// No place.
const NOWHERE: u32 = u32::MAX;

pub(super) enum Slot<E> {
    Vacant { next_free: u32 },
    Taken(Place<E>),
}

/// What is kept of a child.
pub(super) struct Place<E> {
    pub(super) word: Word,
    /// The scope of a child that was started; the others run in the scope of the children.
    pub(super) own: Option<Rc<OwnScope>>,
    /// `None` while it is being polled.
    pub(super) child: Option<Erased<E>>,
}

pub(super) struct Slots<E> {
    first: Slot<E>,
    more: Vec<Slot<E>>,
    first_free: u32,
    /// How many places there are, free or taken.
    places: u32,
    live: usize,
}

impl<E> Slots<E> {
    pub(super) const fn new() -> Self {
        let first = Slot::Vacant { next_free: NOWHERE };
        Slots { first, more: Vec::new(), first_free: NOWHERE, places: 0, live: 0 }
    }

    /// How many children live.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// Where the next child goes.
    pub(super) fn next(&self) -> u32 {
        if self.first_free == NOWHERE { self.places } else { self.first_free }
    }

    /// Puts a child where `next` said.
    pub(super) fn put(&mut self, at: u32, place: Place<E>) {
        debug_assert_eq!(at, self.next());
        let slot = Slot::Taken(place);
        if at == self.places {
            match at {
                0 => self.first = slot,
                _ => self.more.push(slot),
            }
            self.places += 1;
        } else if let Slot::Vacant { next_free } = std::mem::replace(self.at(at), slot) {
            self.first_free = next_free;
        }
        self.live += 1;
    }

    fn at(&mut self, at: u32) -> &mut Slot<E> {
        match at {
            0 => &mut self.first,
            _ => &mut self.more[at as usize - 1],
        }
    }

    /// The child at `at`, to be polled; its number; and its scope if it has one of its own.
    pub(super) fn take(&mut self, at: u32) -> Option<(Erased<E>, Word, Option<ScopeId>)> {
        match self.at(at) {
            Slot::Taken(place) => {
                Some((place.child.take()?, place.word, place.own.as_ref().map(|own| own.id)))
            }
            Slot::Vacant { .. } => None,
        }
    }

    /// The child waits on.
    pub(super) fn put_back(&mut self, at: u32, child: Erased<E>) {
        if let Slot::Taken(place) = self.at(at) {
            place.child = Some(child);
        }
    }

    /// The child has ended: what goes with it.
    pub(super) fn take_own(&mut self, at: u32) -> Option<Rc<OwnScope>> {
        match self.at(at) {
            Slot::Taken(place) => place.own.take(),
            Slot::Vacant { .. } => None,
        }
    }

    /// The place is free again.
    pub(super) fn vacate(&mut self, at: u32) {
        let next_free = self.first_free;
        *self.at(at) = Slot::Vacant { next_free };
        self.first_free = at;
        self.live -= 1;
    }

    /// Takes the last child there is, for a nursery that is torn down.
    pub(super) fn pop(&mut self) -> Option<Place<E>> {
        while self.live > 0 && self.places > 0 {
            self.places -= 1;
            self.first_free = NOWHERE;
            let vacant = Slot::Vacant { next_free: NOWHERE };
            let slot = if self.places == 0 {
                Some(std::mem::replace(&mut self.first, vacant))
            } else {
                self.more.pop()
            };
            if let Some(Slot::Taken(place)) = slot {
                self.live -= 1;
                return Some(place);
            }
        }
        None
    }

    /// How many children have not said yet that they are ready.
    pub(super) fn starting(&self) -> usize {
        let all = std::iter::once(&self.first).chain(&self.more);
        let starting = all.filter(|slot| match slot {
            Slot::Taken(Place { own: Some(own), .. }) => own.starting.get(),
            _ => false,
        });
        starting.count()
    }
}
