//! The places of a nursery's borrowed children.
//!
//! ```text
//!   next() ─► put(place, child) ─► take ─ poll ─ put_back ─► … ─► take_own ─► vacate(place): free for another
//! ```
//!
//! Rules:
//! * The first place is part of the nursery's own frame: a nursery with one child asks for no memory for it.
//! * A place is 24 bytes: there may be millions of them. What only a child that was started has is kept aside.
//! * A child that is being polled is out of its place, which stays taken until the child has been dropped.

use super::start::OwnScope;
use crate::cancel::ScopeId;
use crate::task::raw::Erased;
use std::collections::BTreeMap;
use std::rc::Rc;

/// No place.
const NOWHERE: u32 = u32::MAX;

enum Slot<E> {
    Vacant {
        next_free: u32,
    },
    Taken {
        node: u32,
        /// `None` while it is being polled.
        child: Option<Erased<E>>,
    },
}

const _: () = assert!(size_of::<Slot<()>>() == 24);

/// A child that is taken out with its place.
pub(super) struct Place<E> {
    /// The index of its node.
    pub(super) node: u32,
    #[expect(dead_code, reason = "held for its destructor")]
    child: Option<Erased<E>>,
    #[expect(dead_code, reason = "held for its destructor")]
    own: Option<Rc<OwnScope>>,
}

pub(super) struct Slots<E> {
    first: Slot<E>,
    more: Vec<Slot<E>>,
    first_free: u32,
    /// How many places there are, free or taken.
    places: u32,
    live: usize,
    /// The scopes of children that were started, by place; the others run in the scope of the children.
    started: BTreeMap<u32, Rc<OwnScope>>,
}

impl<E> Slots<E> {
    pub(super) const fn new() -> Self {
        Slots {
            first: Slot::Vacant { next_free: NOWHERE },
            more: Vec::new(),
            first_free: NOWHERE,
            places: 0,
            live: 0,
            started: BTreeMap::new(),
        }
    }

    /// How many children live.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// Where the next child goes.
    pub(super) fn next(&self) -> u32 {
        if self.first_free == NOWHERE { self.places } else { self.first_free }
    }

    /// Puts a child where `next` said, with the scope it has of its own.
    pub(super) fn put(&mut self, at: u32, node: u32, child: Erased<E>, own: Option<Rc<OwnScope>>) {
        debug_assert_eq!(at, self.next());
        let slot = Slot::Taken { node, child: Some(child) };
        if at == self.places {
            match at {
                0 => self.first = slot,
                _ => self.more.push(slot),
            }
            self.places += 1;
        } else if let Slot::Vacant { next_free } = std::mem::replace(self.at(at), slot) {
            self.first_free = next_free;
        }
        if let Some(own) = own {
            self.started.insert(at, own);
        }
        self.live += 1;
    }

    fn at(&mut self, at: u32) -> &mut Slot<E> {
        match at {
            0 => &mut self.first,
            _ => &mut self.more[at as usize - 1],
        }
    }

    /// The child at `at`, to be polled, and its scope if it has one of its own.
    pub(super) fn take(&mut self, at: u32) -> Option<(Erased<E>, Option<ScopeId>)> {
        let own = if self.started.is_empty() { None } else { self.started.get(&at).map(|own| own.id) };
        match self.at(at) {
            Slot::Taken { child, .. } => Some((child.take()?, own)),
            Slot::Vacant { .. } => None,
        }
    }

    /// The child waits on.
    pub(super) fn put_back(&mut self, at: u32, back: Erased<E>) {
        if let Slot::Taken { child, .. } = self.at(at) {
            *child = Some(back);
        }
    }

    /// The child has ended: what goes with it.
    pub(super) fn take_own(&mut self, at: u32) -> Option<Rc<OwnScope>> {
        if self.started.is_empty() { None } else { self.started.remove(&at) }
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
            if let Some(Slot::Taken { node, child }) = slot {
                self.live -= 1;
                return Some(Place { node, child, own: self.started.remove(&self.places) });
            }
        }
        None
    }

    /// How many children have not said yet that they are ready.
    pub(super) fn starting(&self) -> usize {
        self.started.values().filter(|own| own.starting.get()).count()
    }
}
