//! A queue of nodes' indices, first in, first out: a ring whose size is a power of two, so that a place in it is a mask away.
//!
//! ```text
//!   push ─► [ 7 ][   ][   ][ 3 ][ 5 ] ─► pop: 3            head and tail only grow; a place is their low bits
//!            tail ▲          ▲ head
//! ```
//!
//! Rules: every wake is a push and every poll a pop, so neither has more than it needs.

pub(super) struct Line {
    /// Its length is zero or a power of two.
    ring: Vec<u32>,
    head: usize,
    tail: usize,
}

impl Line {
    pub(super) const fn new() -> Self {
        Line { ring: Vec::new(), head: 0, tail: 0 }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.tail.wrapping_sub(self.head)
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.head == self.tail
    }

    #[inline]
    fn place(&self, at: usize) -> usize {
        at & self.ring.len().wrapping_sub(1)
    }

    #[inline]
    pub(super) fn push(&mut self, index: u32) {
        if self.len() == self.ring.len() {
            self.grow();
        }
        let place = self.place(self.tail);
        self.ring[place] = index;
        self.tail = self.tail.wrapping_add(1);
    }

    /// Twice as large; those in line move to its beginning.
    #[cold]
    fn grow(&mut self) {
        let (len, place) = (self.len(), self.place(self.head));
        self.ring.rotate_left(if len == 0 { 0 } else { place });
        self.ring.resize((len * 2).max(4), 0);
        (self.head, self.tail) = (0, len);
    }

    #[inline]
    pub(super) fn first(&self) -> Option<u32> {
        if self.is_empty() { None } else { Some(self.ring[self.place(self.head)]) }
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<u32> {
        let first = self.first()?;
        self.head = self.head.wrapping_add(1);
        Some(first)
    }

    /// Changes places: the first is number 0.
    pub(super) fn swap(&mut self, a: usize, b: usize) {
        let (a, b) = (self.place(self.head.wrapping_add(a)), self.place(self.head.wrapping_add(b)));
        self.ring.swap(a, b);
    }

    /// Takes out who is at `at`; those before keep their order.
    pub(super) fn remove(&mut self, at: usize) -> Option<u32> {
        if at >= self.len() {
            return None;
        }
        for later in (0..at).rev() {
            self.swap(later, later + 1);
        }
        self.pop()
    }

    pub(super) fn clear(&mut self) {
        self.head = self.tail;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        (0..self.len()).map(|i| self.ring[self.place(self.head.wrapping_add(i))])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// Everything a line can do, in an order that a seed decides, next to a queue of the standard library.
    fn compare(start: usize, seed: u64) {
        let (mut line, mut model) = (Line { ring: Vec::new(), head: start, tail: start }, VecDeque::new());
        let mut random = seed;
        for i in 0..300 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (what, at) = (random >> 60, (random >> 40) as usize & 7);
            match what {
                0..=7 => {
                    line.push(i);
                    model.push_back(i);
                }
                8..=12 => assert_eq!(line.pop(), model.pop_front()),
                13 => assert_eq!(line.remove(at), model.remove(at)),
                14 if at < model.len() => {
                    line.swap(at, 0);
                    model.swap(at, 0);
                }
                15 if at == 0 => {
                    line.clear();
                    model.clear();
                }
                _ => {}
            }
            assert_eq!(line.iter().collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
            assert_eq!((line.len(), line.is_empty()), (model.len(), model.is_empty()));
            assert_eq!(line.first(), model.front().copied());
        }
    }

    #[test]
    fn it_does_what_a_queue_of_the_standard_library_does() {
        for seed in 0..500 {
            compare(0, seed);
        }
    }

    #[test]
    fn its_counters_may_wrap() {
        for seed in 0..50 {
            compare(usize::MAX - 3 * seed as usize, seed);
        }
    }
}
