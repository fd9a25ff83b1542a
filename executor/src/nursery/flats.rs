//! The static children of a nursery, by number, so that a nursery that is dropped can drop them.
//!
//! ```text
//!   insert(word) ─► FlatKey ─ the child ends ─► remove(key)          tear-down: pop() until none is left
//! ```
//!
//! Rules: the first place is part of the nursery itself, so that one child asks for no memory for it.

use crate::task::word::Word;
use slab::Slab;

/// A static child's place in its nursery's list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FlatKey(u32);

/// The place that is part of the nursery.
const FIRST: FlatKey = FlatKey(u32::MAX);

pub(crate) struct Flats {
    first: Option<Word>,
    more: Slab<Word>,
}

impl Flats {
    pub(crate) const fn new() -> Self {
        Flats { first: None, more: Slab::new() }
    }

    pub(crate) fn insert(&mut self, word: Word) -> FlatKey {
        if self.first.is_none() {
            self.first = Some(word);
            return FIRST;
        }
        FlatKey(u32::try_from(self.more.insert(word)).expect("fewer than 2^26 tasks"))
    }

    /// A child is gone. One that `pop` has given out is passed over.
    pub(crate) fn remove(&mut self, key: FlatKey) {
        match key {
            FlatKey(u32::MAX) => self.first = None,
            FlatKey(key) => {
                let _ = self.more.try_remove(key as usize);
            }
        }
    }

    /// Any child that is left.
    pub(crate) fn pop(&mut self) -> Option<Word> {
        if let Some(word) = self.first.take() {
            return Some(word);
        }
        let key = self.more.iter().next()?.0;
        self.more.try_remove(key)
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
