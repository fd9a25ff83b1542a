//! A line of waiting tasks that anybody can leave from the middle, in constant time.
//!
//! ```text
//!   slots:  [ c ][ a ][ - ][ b ]         first ─► a ⇄ b ⇄ c ◄─ last
//!             ▲ Place of c                 take_first(): a leaves the line, and keeps its slot
//! ```
//!
//! Rules:
//! * **Slot of a Place**: a slot lives until the one [`Place`] that names it is given back to [`List::remove`]. So what
//!   happened to somebody who left the line is found in the slot, and a slot never changes hands under its owner.
//! * **One Line**: the slots that are in line form one chain from `first` to `last`, and `len` counts them.

use slab::Slab;

const END: usize = usize::MAX;

/// The name of a slot. Not `Copy`: giving it back ends the slot.
#[derive(Debug)]
#[must_use = "a place that is not given back keeps its slot for ever"]
pub(crate) struct Place(usize);

struct Slot<T> {
    value: T,
    in_line: bool,
    before: usize,
    after: usize,
}

pub(crate) struct List<T> {
    slots: Slab<Slot<T>>,
    first: usize,
    last: usize,
    len: usize,
}

impl<T> List<T> {
    pub(crate) const fn new() -> Self {
        List { slots: Slab::new(), first: END, last: END, len: 0 }
    }

    /// How many are in line.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Joins the end of the line.
    pub(crate) fn push(&mut self, value: T) -> Place {
        let at = self.slots.insert(Slot { value, in_line: true, before: self.last, after: END });
        match self.last {
            END => self.first = at,
            last => self.slots[last].after = at,
        }
        self.last = at;
        self.len += 1;
        Place(at)
    }

    /// The first leaves the line. Its slot stays its own.
    pub(crate) fn take_first(&mut self) -> Option<&mut T> {
        let at = self.first;
        if at == END {
            return None;
        }
        self.unlink(at);
        Some(&mut self.slots[at].value)
    }

    /// All that match leave the line; each is shown to `left` when it has, oldest first.
    pub(crate) fn take_all(&mut self, matches: impl Fn(&T) -> bool, mut left: impl FnMut(&mut T)) {
        let mut at = self.first;
        while at != END {
            let slot = &self.slots[at];
            let after = slot.after;
            if matches(&slot.value) {
                self.unlink(at);
                left(&mut self.slots[at].value);
            }
            at = after;
        }
    }

    /// The slot, whether in line or not.
    pub(crate) fn get(&mut self, place: &Place) -> &mut T {
        &mut self.slots[place.0].value
    }

    /// Ends the slot; out of the line as well, if it is still in it.
    pub(crate) fn remove(&mut self, place: Place) -> T {
        if self.slots[place.0].in_line {
            self.unlink(place.0);
        }
        self.slots.remove(place.0).value
    }

    fn unlink(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        debug_assert!(slot.in_line, "One Line");
        slot.in_line = false;
        let (before, after) = (slot.before, slot.after);
        match before {
            END => self.first = after,
            before => self.slots[before].after = after,
        }
        match after {
            END => self.last = before,
            after => self.slots[after].before = before,
        }
        self.len -= 1;
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_first_middle_and_last_keep_the_order_of_the_rest() {
        let mut line = List::new();
        let mut places: Vec<_> = (0..6).map(|i| Some(line.push(i))).collect();
        for gone in [0, 3, 5] {
            assert_eq!(line.remove(places[gone].take().unwrap()), gone);
        }
        let again = line.push(6);
        assert_eq!(line.len(), 4);
        assert_eq!([1, 2, 4, 6].map(|_| *line.take_first().unwrap()), [1, 2, 4, 6]);
        assert!(line.take_first().is_none());
        assert_eq!(line.remove(again), 6);
    }

    #[test]
    fn one_who_left_the_line_keeps_its_slot() {
        let mut line = List::new();
        let old = line.push("waiting");
        *line.take_first().unwrap() = "served";
        let new = line.push("other");
        assert_eq!((*line.get(&old), line.len()), ("served", 1));
        assert_eq!((line.remove(old), line.remove(new)), ("served", "other"));
        assert_eq!(line.len(), 0);
    }

    #[test]
    fn agrees_with_a_plain_vector_on_random_operations() {
        let (mut line, mut model, mut places) = (List::new(), Vec::new(), Vec::new());
        let mut x = 0x9E37_79B9_7F4A_7C15_u64;
        for n in 0..20_000_u64 {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            match x % 8 {
                0..4 => {
                    places.push((n, line.push(n)));
                    model.push(n);
                }
                4 => {
                    let first = (!model.is_empty()).then(|| model.remove(0));
                    assert_eq!(line.take_first().copied(), first);
                }
                5 if x >> 60 == 0 => {
                    let mut left = Vec::new();
                    line.take_all(|v| v % 3 == 0, |v| left.push(*v));
                    assert_eq!(left, model.iter().copied().filter(|v| v % 3 == 0).collect::<Vec<_>>());
                    model.retain(|v| v % 3 != 0);
                }
                _ if !places.is_empty() => {
                    let (value, place) = places.swap_remove((x >> 8) as usize % places.len());
                    assert_eq!(line.remove(place), value);
                    model.retain(|v| *v != value);
                }
                _ => {}
            }
            assert_eq!(line.len(), model.len());
        }
    }
}
