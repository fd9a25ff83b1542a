//! Measuring: columns interleaved round by round, medians with their spread, ratios to our column.
//!
//! ```text
//!   warm-up: A B C │ round 1: B C A │ round 2: C A B │ … ─► per column: samples ─► stats ─► report
//!                                                            options say: how many rounds, which rows, which form
//! ```
//!
//! * `mod.rs`: columns, and the loop that times them. `stats.rs`: what samples say. `report.rs`: table and JSON.
//! * `options.rs`: the command line. `allocations.rs`: an allocator that counts.
//!
//! Rules:
//! * A figure on a shared machine is a ratio against a peer of the same run; the nanoseconds are only there to divide.
//! * Every repetition asserts its answer: a bench that does not do the work measures nothing.
//! * Only [`now`] reads the clock.

pub(crate) mod allocations;
pub(crate) mod options;
pub(crate) mod report;
pub(crate) mod stats;

use options::Options;
use report::{Line, Ratio};
use stats::{Summary, rotated};
use std::fmt;
use std::time::{Duration, Instant};

/// Rounds of a full run, unless `--rounds` says otherwise.
pub(crate) const FULL_ROUNDS: usize = 15;

/// What one repetition did, and how long the part that counts took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Children, wakes, messages: what the row's unit is "per".
    pub(crate) units: u64,
    pub(crate) took: Duration,
}

/// One way to do the work of a row.
pub(crate) struct Column<'a> {
    name: &'static str,
    work: Box<dyn FnMut() -> Sample + 'a>,
    samples: Vec<f64>,
}

impl fmt::Debug for Column<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Column")
            .field("name", &self.name)
            .field("samples", &self.samples)
            .finish_non_exhaustive()
    }
}

impl<'a> Column<'a> {
    /// A column of which all counts: `work` does it once and says how many units it did.
    pub(crate) fn new(name: &'static str, mut work: impl FnMut() -> u64 + 'a) -> Self {
        Self::timed(name, move || {
            let start = now();
            let units = work();
            Sample { units, took: start.elapsed() }
        })
    }

    /// A column that prepares something, and times only what comes after.
    pub(crate) fn timed(name: &'static str, work: impl FnMut() -> Sample + 'a) -> Self {
        Column { name, work: Box::new(work), samples: Vec::new() }
    }

    fn run(&mut self) -> f64 {
        let sample = (self.work)();
        sample.took.as_nanos() as f64 / sample.units as f64
    }
}

/// Real time, also for a bench that times a part of itself.
#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Runs all columns `rounds` times, in rotated order, and prints a line for each, with its ratio to the first.
///
/// `unit` is nanoseconds per something.
pub(crate) fn compare(row: &str, unit: &str, rounds: usize, columns: Vec<Column<'_>>) {
    measure(row, unit, rounds, columns, Ratio::ToFirst);
}

/// The same for columns that are not alternatives to each other.
pub(crate) fn list(row: &str, unit: &str, rounds: usize, columns: Vec<Column<'_>>) {
    measure(row, unit, rounds, columns, Ratio::None);
}

fn measure(row: &str, unit: &str, rounds: usize, mut columns: Vec<Column<'_>>, ratio: Ratio) {
    let options = Options::from_args();
    if !options.wants(row) {
        return;
    }
    for column in &mut columns {
        column.run();
    }
    for round in 0..rounds {
        for i in rotated(columns.len(), round) {
            let value = columns[i].run();
            columns[i].samples.push(value);
        }
    }
    let lines: Vec<Line> =
        columns.iter().map(|c| Line { name: c.name, figures: Summary::of(&c.samples) }).collect();
    report::print(options.json, row, unit, &lines, ratio);
}
