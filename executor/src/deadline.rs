//! Timers as data: an indexed heap. No clock is read here.
//!
//! ```text
//!   insert(at, what) ─► key ─┐         heap: (at, order) in four-way branches, earliest on top
//!   remove, update(key) ◄────┤         slots: key ─► position in the heap, with a generation
//!   pop_due(now) ◄───────────┘
//! ```
//!
//! Rules:
//! * **Positions Agree**: `slots[e.slot].position` is the place of `e` in the heap, always.
//! * Equal deadlines come out in the order in which they went in. A stale key is harmless.

use crate::clock::Instant;

const BRANCHES: usize = 4;

/// A timer's place; stale once the timer has fired or was removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TimerKey {
    slot: u32,
    generation: u32,
}

struct Entry<T> {
    at: Instant,
    order: u64,
    slot: u32,
    what: T,
}

#[derive(Clone, Copy)]
struct Slot {
    generation: u32,
    position: u32,
}

pub(crate) struct Deadlines<T> {
    heap: Vec<Entry<T>>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    order: u64,
}

impl<T> Deadlines<T> {
    pub(crate) const fn new() -> Self {
        Deadlines { heap: Vec::new(), slots: Vec::new(), free: Vec::new(), order: 0 }
    }

    /// Arms a timer.
    pub(crate) fn insert(&mut self, at: Instant, what: T) -> TimerKey {
        let position = u32::try_from(self.heap.len()).expect("fewer than 2^32 timers");
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(Slot { generation: 0, position });
                (self.slots.len() - 1) as u32
            }
        };
        self.order += 1;
        self.heap.push(Entry { at, order: self.order, slot, what });
        self.sift_up(position as usize);
        TimerKey { slot, generation: self.slots[slot as usize].generation }
    }

    /// Disarms a timer; `None` if it has fired or was removed before.
    pub(crate) fn remove(&mut self, key: TimerKey) -> Option<T> {
        let slot = self.slots.get(key.slot as usize)?;
        if slot.generation != key.generation {
            return None;
        }
        Some(self.take(slot.position as usize))
    }

    /// Moves a timer to another moment, last among those of that moment; `false` if it has fired or was removed before.
    pub(crate) fn update(&mut self, key: TimerKey, at: Instant) -> bool {
        let Some(slot) = self.slots.get(key.slot as usize).filter(|s| s.generation == key.generation) else {
            return false;
        };
        let position = slot.position as usize;
        self.order += 1;
        let entry = &mut self.heap[position];
        (entry.at, entry.order) = (at, self.order);
        self.sift_down(position);
        self.sift_up(position);
        true
    }

    /// The earliest timer that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<T> {
        if self.next()? > now {
            return None;
        }
        Some(self.take(0))
    }

    /// When the earliest timer is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.first().map(|e| e.at)
    }

    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    fn take(&mut self, at: usize) -> T {
        let entry = self.heap.swap_remove(at);
        let slot = &mut self.slots[entry.slot as usize];
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(entry.slot);
        if at < self.heap.len() {
            self.sift_down(at);
            self.sift_up(at);
        }
        entry.what
    }

    fn before(&self, a: usize, b: usize) -> bool {
        let (a, b) = (&self.heap[a], &self.heap[b]);
        (a.at, a.order) < (b.at, b.order)
    }

    /// Moves the entry up to its place, and writes the positions of all it passes.
    fn sift_up(&mut self, mut i: usize) {
        while i > 0 {
            let parent = (i - 1) / BRANCHES;
            if !self.before(i, parent) {
                break;
            }
            self.heap.swap(i, parent);
            self.note(i);
            i = parent;
        }
        self.note(i);
    }

    fn sift_down(&mut self, mut i: usize) {
        loop {
            let first = i * BRANCHES + 1;
            let last = (first + BRANCHES).min(self.heap.len());
            let least = (first..last).fold(i, |least, c| if self.before(c, least) { c } else { least });
            if least == i {
                break;
            }
            self.heap.swap(i, least);
            self.note(i);
            i = least;
        }
        self.note(i);
    }

    fn note(&mut self, i: usize) {
        self.slots[self.heap[i].slot as usize].position = i as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn at(n: u64) -> Instant {
        Instant::from_nanos(n)
    }

    #[test]
    fn equal_deadlines_come_out_in_the_order_they_went_in() {
        let mut d = Deadlines::new();
        for i in 0..50 {
            d.insert(at(7), i);
        }
        assert_eq!(
            (0..50).map(|_| d.pop_due(at(7)).unwrap()).collect::<Vec<_>>(),
            (0..50).collect::<Vec<_>>()
        );
        assert!(d.pop_due(Instant::MAX).is_none());
    }

    #[test]
    fn a_stale_key_removes_nothing() {
        let mut d = Deadlines::new();
        let old = d.insert(at(1), "old");
        assert_eq!(d.pop_due(at(1)), Some("old"));
        let new = d.insert(at(2), "new");
        assert_eq!(d.remove(old), None);
        assert_eq!(d.remove(new), Some("new"));
    }

    #[test]
    fn an_updated_timer_fires_at_its_new_moment_after_those_already_there() {
        let mut d = Deadlines::new();
        let (late, _) = (d.insert(at(9), "late"), d.insert(at(5), "five"));
        assert!(d.update(late, at(5)));
        assert_eq!((d.pop_due(at(5)), d.pop_due(at(5))), (Some("five"), Some("late")));
        assert!(!d.update(late, at(1)));
        assert_eq!(d.next(), None);
    }

    /// The model's key is (moment, order of arming); an update arms anew.
    #[test]
    fn agrees_with_a_sorted_map_on_random_operations() {
        let (mut d, mut model) = (Deadlines::new(), BTreeMap::new());
        let (mut keys, mut x, mut n) = (BTreeMap::new(), 88172645463325252u64, 0u64);
        for step in 0..20_000u64 {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            let when = at(step + (x >> 16) % 1000);
            match x % 8 {
                0..4 => {
                    n += 1;
                    keys.insert(n, (d.insert(when, n), when, n));
                    model.insert((when, n), n);
                }
                4 => {
                    if let Some((&id, &(key, when, order))) = keys.range((x >> 8) % (n + 1)..).next() {
                        assert_eq!(d.remove(key), model.remove(&(when, order)));
                        assert_eq!(d.remove(key), None);
                        keys.remove(&id);
                    }
                }
                5 => {
                    n += 1;
                    if let Some((&id, place)) = keys.range_mut((x >> 8) % (n + 1)..).next() {
                        assert!(d.update(place.0, when));
                        model.remove(&(place.1, place.2));
                        model.insert((when, n), id);
                        *place = (place.0, when, n);
                    }
                }
                _ => {
                    let first = model.first_key_value().map(|(k, v)| (*k, *v));
                    let due = first.filter(|((when, _), _)| *when <= at(step));
                    assert_eq!(d.pop_due(at(step)), due.map(|(_, v)| v));
                    if let Some((k, v)) = due {
                        model.remove(&k);
                        keys.remove(&v);
                    }
                }
            }
            assert_eq!(d.next(), model.first_key_value().map(|(k, _)| k.0));
            assert_eq!(d.len(), model.len());
        }
        assert!(n > 5000 && model.len() > 100, "the run was worth its name");
    }
}
