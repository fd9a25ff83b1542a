//! Places in source code as small numbers: where each static task was spawned, in a word that its node has anyway.
//!
//! ```text
//!   number(location) ─► seen lately? ─yes─► its number          location(number) ─► the location
//!                             └─no──► looked up, or the next number
//! ```
//!
//! Rules: a program has as many places as it has lines that spawn; they are never forgotten.

use std::collections::BTreeMap;
use std::panic::Location;

pub(super) type Place = &'static Location<'static>;

/// How many places are found without looking them up: a power of two.
const LATELY: usize = 8;

pub(super) struct Places {
    all: Vec<Place>,
    numbers: BTreeMap<usize, u32>,
    /// By a few bits of the address.
    lately: [Option<(Place, u32)>; LATELY],
}

impl Places {
    pub(super) const fn new() -> Self {
        Places { all: Vec::new(), numbers: BTreeMap::new(), lately: [None; LATELY] }
    }

    #[inline]
    pub(super) fn number(&mut self, place: Place) -> u32 {
        let address = std::ptr::from_ref(place).addr();
        // A location is three words.
        let at = (address / 8) % LATELY;
        match self.lately[at] {
            Some((seen, number)) if std::ptr::eq(seen, place) => number,
            _ => self.look_up(place, address, at),
        }
    }

    #[cold]
    fn look_up(&mut self, place: Place, address: usize, at: usize) -> u32 {
        let number = *self.numbers.entry(address).or_insert_with(|| {
            self.all.push(place);
            (self.all.len() - 1) as u32
        });
        self.lately[at] = Some((place, number));
        number
    }

    pub(super) fn place(&self, number: u32) -> Option<Place> {
        self.all.get(number as usize).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn here() -> Place {
        Location::caller()
    }

    #[test]
    fn a_place_has_one_number_and_a_number_one_place() {
        let mut places = Places::new();
        // More than are found without looking them up, each asked for again after all the others.
        let all =
            [here(), here(), here(), here(), here(), here(), here(), here(), here(), here(), here(), here()];
        let numbers = all.map(|place| places.number(place));
        assert_eq!(all.map(|place| places.number(place)), numbers);
        for (place, number) in all.into_iter().zip(numbers) {
            assert_eq!(places.place(number), Some(place));
        }
        assert_eq!((places.place(12), numbers[11]), (None, 11));
    }
}
