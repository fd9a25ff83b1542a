//! A waker is a number: executor, generation and index of a node, packed into 64 bits.
//!
//! ```text
//!   63        48 47            26 25             0
//!   [ executor ][  generation   ][     index     ]
//! ```
//!
//! Rules:
//! * The number owns nothing: cloning and dropping it costs nothing, it holds no address, it survives a fork.
//! * A stale number is told apart by its generation. After 2^22 reuses of one slot it may hit a stranger, whose
//!   future is then polled once without cause; every future of this crate tolerates that.

#[cfg(not(target_pointer_width = "64"))]
compile_error!(
    "a waker packs executor, generation and index into one 64-bit pointer: this crate needs 64-bit pointers"
);

const INDEX_BITS: u32 = 26;
const GENERATION_BITS: u32 = 22;

/// The most tasks one executor can hold at a time.
pub(crate) const MAX_INDEX: u32 = (1 << INDEX_BITS) - 1;

/// What a waker's data pointer consists of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Word(u64);

impl Word {
    pub(crate) const fn pack(executor: u16, generation: u32, index: u32) -> Word {
        let generation = (generation & ((1 << GENERATION_BITS) - 1)) as u64;
        Word(((executor as u64) << 48) | (generation << INDEX_BITS) | (index & MAX_INDEX) as u64)
    }
    pub(crate) const fn from_bits(bits: u64) -> Word {
        Word(bits)
    }
    pub(crate) const fn bits(self) -> u64 {
        self.0
    }
    pub(crate) const fn executor(self) -> u16 {
        (self.0 >> 48) as u16
    }
    pub(crate) const fn generation(self) -> u32 {
        ((self.0 >> INDEX_BITS) as u32) & ((1 << GENERATION_BITS) - 1)
    }
    pub(crate) const fn index(self) -> u32 {
        self.0 as u32 & MAX_INDEX
    }
    /// Does a node with this full generation counter answer to this word?
    pub(crate) const fn matches(self, generation: u32) -> bool {
        self.generation() == generation & ((1 << GENERATION_BITS) - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_keeps_every_field() {
        for (e, g, i) in [(1, 0, 0), (u16::MAX, (1 << 22) - 1, MAX_INDEX), (7, 12345, 678)] {
            let w = Word::pack(e, g, i);
            assert_eq!((w.executor(), w.generation(), w.index()), (e, g, i));
            assert_eq!(Word::from_bits(w.bits()), w);
        }
    }

    #[test]
    fn a_generation_wraps_and_then_matches_again() {
        let w = Word::pack(1, 5, 9);
        assert!(w.matches(5) && !w.matches(6) && w.matches(5 + (1 << 22)));
    }
}
