//! The timers of the present tick, the earliest on top.
//!
//! ```text
//!   (at, order, timer) in four-way branches; whoever is moved is told its new position
//! ```
//!
//! Rules:
//! * **Positions Agree**: whoever owns a timer knows its position, always: every move is told at once.

use crate::clock::Instant;

const BRANCHES: usize = 4;

/// When a timer is due, and its turn among those of the same moment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Due {
    pub(super) at: Instant,
    pub(super) order: u64,
}

#[derive(Clone, Copy)]
struct Entry {
    due: Due,
    timer: u32,
}

/// A heap of timers by number. `moved(timer, position)` is called for every timer that changes its place.
pub(super) struct Heap(Vec<Entry>);

impl Heap {
    pub(super) const fn new() -> Self {
        Heap(Vec::new())
    }

    /// The earliest: when, and which.
    pub(super) fn first(&self) -> Option<(Instant, u32)> {
        self.0.first().map(|e| (e.due.at, e.timer))
    }

    pub(super) fn push(&mut self, due: Due, timer: u32, moved: impl FnMut(u32, u32)) {
        self.0.push(Entry { due, timer });
        self.sift_up(self.0.len() - 1, moved);
    }

    pub(super) fn remove(&mut self, position: u32, mut moved: impl FnMut(u32, u32)) {
        let position = position as usize;
        self.0.swap_remove(position);
        if position < self.0.len() {
            self.sift_down(position, &mut moved);
            self.sift_up(position, moved);
        }
    }

    fn sift_up(&mut self, mut i: usize, mut moved: impl FnMut(u32, u32)) {
        let entry = self.0[i];
        while i > 0 {
            let parent = (i - 1) / BRANCHES;
            if self.0[parent].due <= entry.due {
                break;
            }
            self.place(i, self.0[parent], &mut moved);
            i = parent;
        }
        self.place(i, entry, &mut moved);
    }

    fn sift_down(&mut self, mut i: usize, mut moved: impl FnMut(u32, u32)) {
        let entry = self.0[i];
        loop {
            let first = i * BRANCHES + 1;
            let last = (first + BRANCHES).min(self.0.len());
            let Some(least) = (first..last).min_by_key(|&child| self.0[child].due) else { break };
            if entry.due <= self.0[least].due {
                break;
            }
            self.place(i, self.0[least], &mut moved);
            i = least;
        }
        self.place(i, entry, &mut moved);
    }

    fn place(&mut self, i: usize, entry: Entry, moved: &mut impl FnMut(u32, u32)) {
        self.0[i] = entry;
        moved(entry.timer, i as u32);
    }
}
