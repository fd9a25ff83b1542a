//! Measuring: columns interleaved round by round, medians with their spread, ratios to our column.
//!
//! ```text
//!   round 1: A B C │ round 2: B C A │ round 3: C A B ─► per column: median, p10, p90 ─► ratio to the first column
//! ```
//!
//! Rules:
//! * A figure on a shared machine is a ratio against a peer of the same run; the nanoseconds are only there to divide.
//! * Every repetition asserts its answer: a bench that does not do the work measures nothing.

use std::time::Instant;

/// One way to do the work: its name, and a function that does it once and says how many units it did.
pub(crate) struct Column<'a> {
    name: &'static str,
    work: Box<dyn FnMut() -> u64 + 'a>,
    samples: Vec<f64>,
}

impl<'a> Column<'a> {
    pub(crate) fn new(name: &'static str, work: impl FnMut() -> u64 + 'a) -> Self {
        Column { name, work: Box::new(work), samples: Vec::new() }
    }
}

/// Is this a full run (`cargo bench` passes `--bench`), or only a check that it works?
pub(crate) fn is_full() -> bool {
    std::env::args().any(|a| a == "--bench")
}

#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
fn now() -> Instant {
    Instant::now()
}

/// Runs all columns `rounds` times, in rotated order, and prints one line for each.
pub(crate) fn compare(question: &str, unit: &str, rounds: usize, mut columns: Vec<Column<'_>>) {
    for c in &mut columns {
        (c.work)();
    }
    for round in 0..rounds {
        for i in 0..columns.len() {
            let i = (i + round) % columns.len();
            let start = now();
            let units = (columns[i].work)();
            let took = start.elapsed();
            columns[i].samples.push(took.as_nanos() as f64 / units as f64);
        }
    }
    println!("\n{question} [{unit}]");
    let ours = median(&mut columns[0].samples.clone());
    for c in &mut columns {
        let m = median(&mut c.samples);
        let (low, high) = (quantile(&c.samples, 0.1), quantile(&c.samples, 0.9));
        println!("  {:<34}{m:>10.1}   {low:>9.1} ..{high:>9.1}   x{:.2}", c.name, m / ours);
    }
}

fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    quantile(samples, 0.5)
}

/// A quantile of sorted samples.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * q).round() as usize]
}
