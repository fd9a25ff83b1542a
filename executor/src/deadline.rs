//! Timers as data: arming and disarming cost the same however many there are. No clock is read here.
//!
//! ```text
//!   insert(at, what) ─► key ─┐  fresh ─ somebody looks ─► wheel: later ticks, in slots ─ the tick comes ─► heap: in order
//!   remove, update(key) ◄────┤    └── disarmed here: most timers of a pass     └── or here: most never fire   │
//!   pop_due(now) ◄───────────┘                                                                                 └─► due
//! ```
//!
//! * `deadline.rs`: the timers, and what is done with them. `wheel.rs`: which slot. `heap.rs`: who is first in a tick. `tests.rs`: next to a model.
//!
//! Rules:
//! * Exact: a timer is due at its nanosecond, and not one before; equal deadlines come out in the order in which they went
//!   in. The wheel only decides who has to be sorted at all.
//! * A stale key is harmless.
//! * **Two Places**: a timer whose tick has come (by the base of the wheel) is in the heap, a later one in the wheel.
//! * **Fresh**: a timer gets its place when somebody looks for who is next, once for all that were armed since. Many are given
//!   up before that. A fresh one is in the list once, also if it was given up and its number is another's by then.

mod heap;
mod wheel;

use crate::clock::Instant;
use heap::{Due, Heap};
use std::marker::PhantomData;
use wheel::{NIL, SlotId, Tick, Wheel};

/// How many timers of a slot are looked at for the soonest; of a fuller slot the beginning is taken instead.
const LOOK_AT: usize = 16;

/// A timer's place; stale once the timer has fired or was removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TimerKey {
    timer: u32,
    generation: u32,
    /// On another thread it would be a stranger's. So whatever keeps one stays where it is.
    _local: PhantomData<*const ()>,
}

#[derive(Clone, Copy)]
enum Place {
    /// Nobody's; the next that is free.
    Free {
        next: u32,
    },
    /// In the list of fresh ones: nobody has looked since.
    Fresh,
    Heap {
        position: u32,
    },
    Wheel {
        slot: SlotId,
        before: u32,
        after: u32,
    },
}

struct Timer<T> {
    generation: u32,
    /// Is its number in the list of fresh ones?
    listed: bool,
    place: Place,
    due: Due,
    what: Option<T>,
}

pub(crate) struct Deadlines<T> {
    timers: Vec<Timer<T>>,
    free: u32,
    live: usize,
    order: u64,
    fresh: Vec<u32>,
    /// When the first of the fresh ones was armed, if nobody else was: there the wheel begins to count.
    since: Instant,
    /// Whatever was armed for this moment or before has been taken out since: until then somebody has looked for who is due.
    passed: Instant,
    /// How many are in the heap or in the wheel.
    placed: usize,
    heap: Heap,
    wheel: Wheel,
}

impl<T> Deadlines<T> {
    pub(crate) const fn new() -> Self {
        Deadlines {
            timers: Vec::new(),
            free: NIL,
            live: 0,
            order: 0,
            fresh: Vec::new(),
            since: Instant::MAX,
            passed: Instant::from_nanos(0),
            placed: 0,
            heap: Heap::new(),
            wheel: Wheel::new(),
        }
    }

    /// Arms a timer. `now` is only a hint, at which distance to begin to count.
    #[inline]
    pub(crate) fn insert(&mut self, at: Instant, now: Instant, what: T) -> TimerKey {
        if self.live == 0 {
            self.since = now;
        }
        let due = self.due(at);
        self.live += 1;
        let timer = self.free;
        let Some(t) = self.timers.get_mut(timer as usize) else { return self.add(due, what) };
        let Place::Free { next } = t.place else { unreachable!("on the free list") };
        self.free = next;
        (t.due, t.what, t.place) = (due, Some(what), Place::Fresh);
        let generation = t.generation;
        if !std::mem::replace(&mut t.listed, true) {
            self.fresh.push(timer);
        }
        TimerKey { timer, generation, _local: PhantomData }
    }

    #[cold]
    fn add(&mut self, due: Due, what: T) -> TimerKey {
        let timer = u32::try_from(self.timers.len()).expect("fewer than 2^32 timers");
        assert!(timer != NIL, "fewer than 2^32 timers");
        let place = Place::Free { next: NIL };
        self.timers.push(Timer { generation: 0, listed: false, place, due, what: Some(what) });
        self.freshen(timer);
        TimerKey { timer, generation: 0, _local: PhantomData }
    }

    /// Disarms a timer; `None` if it has fired or was removed before.
    #[inline]
    pub(crate) fn remove(&mut self, key: TimerKey) -> Option<T> {
        let timer = self.live(key)?;
        self.remove_number(timer)
    }

    #[inline(always)]
    fn remove_number(&mut self, timer: u32) -> Option<T> {
        self.take_out(timer);
        self.end(timer)
    }

    /// Disarms all of them, in no order; their keys are stale from now on, and none of them has fired.
    #[inline(never)]
    pub(crate) fn remove_all(&mut self) -> Vec<T> {
        self.passed = Instant::from_nanos(0);
        let timers = 0..self.timers.len() as u32;
        let armed = timers.filter(|&t| !matches!(self.timers[t as usize].place, Place::Free { .. }));
        let armed: Vec<u32> = armed.collect();
        armed.into_iter().filter_map(|timer| self.remove_number(timer)).collect()
    }

    /// Moves a timer to another moment, last among those of that moment; `false` if it has fired or was removed before.
    pub(crate) fn update(&mut self, key: TimerKey, at: Instant) -> bool {
        let Some(timer) = self.live(key) else { return false };
        self.take_out(timer);
        self.timers[timer as usize].due = self.due(at);
        self.freshen(timer);
        true
    }

    /// What an armed timer is for.
    pub(crate) fn get_mut(&mut self, key: TimerKey) -> Option<&mut T> {
        let timer = self.live(key)?;
        self.timers[timer as usize].what.as_mut()
    }

    /// The earliest timer that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<T> {
        if self.live == 0 {
            return None;
        }
        self.passed = now;
        self.place_fresh();
        self.turn_to(Tick::of(now.as_nanos()));
        let (at, timer) = self.heap.first()?;
        if at > now {
            return None;
        }
        self.remove_number(timer)
    }

    /// Has somebody looked for who is due at `at` or later? A timer of that moment that is not armed any more may have
    /// fired; else it was disarmed.
    pub(crate) fn has_come(&self, at: Instant) -> bool {
        at <= self.passed
    }

    /// When the earliest timer is due, to the nanosecond. Costs a look at every timer of its slot.
    pub(crate) fn next(&mut self) -> Option<Instant> {
        self.place_fresh();
        if let Some((at, _)) = self.heap.first() {
            return Some(at);
        }
        let (slot, _) = self.wheel.soonest()?;
        self.of_slot(slot).map(|timer| timer.due.at).min()
    }

    /// A moment not after the one at which the earliest timer is due, and with few timers that very moment: how long to
    /// wait until [`pop_due`](Deadlines::pop_due) is to be asked again.
    pub(crate) fn look_again_at(&mut self) -> Option<Instant> {
        self.place_fresh();
        if let Some((at, _)) = self.heap.first() {
            return Some(at);
        }
        let (slot, start) = self.wheel.soonest()?;
        let mut soonest = Instant::MAX;
        for (n, timer) in self.of_slot(slot).enumerate() {
            if n == LOOK_AT {
                return Some(Instant::from_nanos(start.start()));
            }
            soonest = soonest.min(timer.due.at);
        }
        Some(soonest)
    }

    pub(crate) fn len(&self) -> usize {
        self.live
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.live == 0
    }

    fn due(&mut self, at: Instant) -> Due {
        self.order += 1;
        Due { at, order: self.order }
    }

    fn live(&self, key: TimerKey) -> Option<u32> {
        let timer = self.timers.get(key.timer as usize)?;
        (timer.generation == key.generation).then_some(key.timer)
    }

    /// The timers of a slot, in no order.
    fn of_slot(&self, slot: SlotId) -> impl Iterator<Item = &Timer<T>> {
        let mut timer = self.wheel.head(slot);
        std::iter::from_fn(move || {
            let t = self.timers.get(timer as usize)?;
            timer = match t.place {
                Place::Wheel { after, .. } => after,
                Place::Heap { .. } | Place::Fresh | Place::Free { .. } => NIL,
            };
            Some(t)
        })
    }

    /// Its place is nowhere yet (Fresh).
    #[inline]
    fn freshen(&mut self, timer: u32) {
        let t = &mut self.timers[timer as usize];
        t.place = Place::Fresh;
        if !std::mem::replace(&mut t.listed, true) {
            self.fresh.push(timer);
        }
    }

    /// Those that were armed since somebody looked last get their places.
    fn place_fresh(&mut self) {
        if self.fresh.is_empty() {
            return;
        }
        let mut fresh = std::mem::take(&mut self.fresh);
        for timer in fresh.drain(..) {
            let t = &mut self.timers[timer as usize];
            t.listed = false;
            if let Place::Fresh = t.place {
                if self.placed == 0 {
                    self.wheel.open(Tick::of(self.since.as_nanos()));
                }
                self.placed += 1;
                self.put(timer);
            }
        }
        self.fresh = fresh;
    }

    /// Puts a timer where its moment belongs (Two Places).
    fn put(&mut self, timer: u32) {
        let due = self.timers[timer as usize].due;
        let Some(slot) = self.wheel.slot_of(Tick::of(due.at.as_nanos())) else {
            let timers = &mut self.timers;
            self.heap.push(due, timer, |timer, position| {
                timers[timer as usize].place = Place::Heap { position };
            });
            return;
        };
        let after = self.wheel.head(slot);
        self.timers[timer as usize].place = Place::Wheel { slot, before: NIL, after };
        if let Some(next) = self.timers.get_mut(after as usize)
            && let Place::Wheel { before, .. } = &mut next.place
        {
            *before = timer;
        }
        self.wheel.set_head(slot, timer);
    }

    #[inline]
    fn take_out(&mut self, timer: u32) {
        match self.timers[timer as usize].place {
            // Its number stays in the list, for whoever gets it next.
            Place::Fresh => {}
            _ => self.take_out_of_place(timer),
        }
    }

    fn take_out_of_place(&mut self, timer: u32) {
        self.placed -= 1;
        match self.timers[timer as usize].place {
            Place::Free { .. } | Place::Fresh => unreachable!("a timer in its place"),
            Place::Heap { position } => {
                let timers = &mut self.timers;
                self.heap.remove(position, |timer, position| {
                    timers[timer as usize].place = Place::Heap { position };
                });
            }
            Place::Wheel { slot, before, after } => {
                if let Some(next) = self.timers.get_mut(after as usize)
                    && let Place::Wheel { before: back, .. } = &mut next.place
                {
                    *back = before;
                }
                match self.timers.get_mut(before as usize).map(|t| &mut t.place) {
                    Some(Place::Wheel { after: on, .. }) => *on = after,
                    _ => self.wheel.set_head(slot, after),
                }
            }
        }
    }

    /// A timer that is in no place any more is over.
    fn end(&mut self, timer: u32) -> Option<T> {
        let t = &mut self.timers[timer as usize];
        t.generation = t.generation.wrapping_add(1);
        t.place = Place::Free { next: self.free };
        self.free = timer;
        self.live -= 1;
        t.what.take()
    }

    /// Moves every timer whose tick has come into the heap, and those of coarse slots that have begun into finer ones.
    fn turn_to(&mut self, now: Tick) {
        if now <= self.wheel.base() {
            return;
        }
        while let Some((slot, start)) = self.wheel.soonest()
            && start <= now
        {
            let mut timer = self.wheel.head(slot);
            self.wheel.set_head(slot, NIL);
            self.wheel.open(start);
            while timer != NIL {
                let Place::Wheel { after, .. } = self.timers[timer as usize].place else {
                    unreachable!("in a list of the wheel")
                };
                self.put(timer);
                timer = after;
            }
        }
        self.wheel.advance(now);
    }
}

#[cfg(test)]
mod tests;
