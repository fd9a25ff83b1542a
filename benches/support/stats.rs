//! What a column's samples say: pure arithmetic, tested by `benches/harness.rs`.
//!
//! ```text
//!   samples, in any order ─► sorted once ─► Summary { median, min, max, rounds }
//! ```
//!
//! Rules: no clock, no output. A median is one of the samples, never a mixture of two, so that it was really seen.

/// Rounds of a full run. From fewer no verdict follows.
pub(crate) const ROUNDS: usize = 7;

/// Why no verdict follows from so many rounds, if none does.
pub(crate) fn too_few(rounds: usize) -> Option<String> {
    (rounds < ROUNDS).then(|| format!("{rounds} of the {ROUNDS} rounds that a verdict needs"))
}

/// What is reported of a column, in the unit of its samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    /// Half of the samples are below.
    pub(crate) median: f64,
    /// The luckiest sample.
    pub(crate) min: f64,
    /// The unluckiest.
    pub(crate) max: f64,
    /// How many samples there are.
    pub(crate) rounds: usize,
}

impl Summary {
    /// The summary of at least one sample.
    ///
    /// # Panics
    ///
    /// If there is no sample, or one is not a number: then nothing was measured.
    pub(crate) fn of(samples: &[f64]) -> Self {
        assert!(!samples.is_empty(), "a column without samples");
        assert!(samples.iter().all(|s| s.is_finite()), "a sample that is not a number: {samples:?}");
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len() - 1;
        Summary { median: sorted[last / 2], min: sorted[0], max: sorted[last], rounds: sorted.len() }
    }
}

/// The order in which `columns` run in `round`: every column comes first, second, … equally often.
pub(crate) fn rotated(columns: usize, round: usize) -> impl Iterator<Item = usize> {
    (0..columns).map(move |place| (place + round) % columns)
}
