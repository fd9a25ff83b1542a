//! The timers of later ticks, in slots that grow coarser with the distance.
//!
//! ```text
//!   base tick  …0101 110011 001010          a later tick goes to the level of the highest digit in which it differs
//!   a tick     …0101 110101 000001     ─►   level 1, slot 110101
//!                    level 1  level 0
//! ```
//!
//! Rules:
//! * **Lower Is Sooner**: every timer of a level is sooner than all of the levels above, and those of a slot than those of
//!   the slots after it. So the first slot that is taken holds the soonest timer.
//! * The base moves forward only as far as no slot is passed over: what is in their slots stays right.
//! * A slot is a list in no order; the heap sorts the few timers of one tick when it comes.

/// A tick is 2^20 ns, about a millisecond.
const TICK_BITS: u32 = 20;
const DIGIT_BITS: u32 = 6;
const SLOTS: usize = 1 << DIGIT_BITS;

/// No timer.
pub(super) const NIL: u32 = u32::MAX;

/// Which stretch of time of one tick's length.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Tick(u64);

impl Tick {
    pub(super) const ZERO: Tick = Tick(0);

    pub(super) fn of(nanos: u64) -> Tick {
        Tick(nanos >> TICK_BITS)
    }

    /// The first nanosecond of it.
    pub(super) fn start(self) -> u64 {
        self.0 << TICK_BITS
    }
}

/// A place in the wheel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SlotId {
    level: u8,
    slot: u8,
}

#[derive(Clone)]
struct Level {
    /// A bit for each slot with a timer in it.
    taken: u64,
    first: [u32; SLOTS],
}

/// Slots of timers by number; the lists themselves run through the timers.
pub(super) struct Wheel {
    base: Tick,
    /// As many as have been needed.
    levels: Vec<Level>,
}

impl Wheel {
    pub(super) const fn new() -> Self {
        Wheel { base: Tick::ZERO, levels: Vec::new() }
    }

    /// The tick up to which timers are not kept here.
    pub(super) fn base(&self) -> Tick {
        self.base
    }

    /// Where a timer of this tick goes; `None` if the tick has come.
    pub(super) fn slot_of(&mut self, tick: Tick) -> Option<SlotId> {
        if tick <= self.base {
            return None;
        }
        let level = (63 - (tick.0 ^ self.base.0).leading_zeros()) / DIGIT_BITS;
        if self.levels.len() <= level as usize {
            let empty = Level { taken: 0, first: [NIL; SLOTS] };
            self.levels.resize(level as usize + 1, empty);
        }
        let slot = (tick.0 >> (DIGIT_BITS * level)) as usize % SLOTS;
        Some(SlotId { level: level as u8, slot: slot as u8 })
    }

    /// The first timer of a slot.
    pub(super) fn head(&self, at: SlotId) -> u32 {
        self.levels[at.level as usize].first[at.slot as usize]
    }

    /// Puts another timer first, or none: [`NIL`].
    pub(super) fn set_head(&mut self, at: SlotId, timer: u32) {
        let level = &mut self.levels[at.level as usize];
        level.first[at.slot as usize] = timer;
        let bit = 1 << at.slot;
        level.taken = if timer == NIL { level.taken & !bit } else { level.taken | bit };
    }

    /// The slot with the soonest timer, and the tick in which it begins.
    pub(super) fn soonest(&self) -> Option<(SlotId, Tick)> {
        let level = self.levels.iter().position(|level| level.taken != 0)?;
        let slot = self.levels[level].taken.trailing_zeros();
        let below = DIGIT_BITS * level as u32;
        let above = below + DIGIT_BITS;
        let start = (self.base.0 >> above << above) | (u64::from(slot) << below);
        Some((SlotId { level: level as u8, slot: slot as u8 }, Tick(start)))
    }

    /// Moves the base forward. No slot that begins by then may be taken.
    pub(super) fn advance(&mut self, to: Tick) {
        debug_assert!(self.soonest().is_none_or(|(_, start)| start > to), "Lower Is Sooner");
        self.base = self.base.max(to);
    }

    /// Moves the base to the beginning of the soonest slot, whose timers the caller has taken out.
    pub(super) fn open(&mut self, start: Tick) {
        self.base = start;
    }
}
