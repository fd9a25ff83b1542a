//! Distributions of times: quantiles per column, and the lines they are printed as.
//!
//! ```text
//!   samples (µs) ──► sorted ──► p50, p99, max ──► a line for people │ a line of JSON
//! ```
//!
//! Rules:
//! * A column is a whole distribution: the tail is what somebody waits for.
//! * The quantile of rank `q` is a sample that was measured, never a value between two.

use std::time::{Duration, Instant};

/// Is this a full run (`cargo bench` passes `--bench`), or only a check that it works?
pub(crate) fn is_full() -> bool {
    has_flag("--bench")
}

/// Is this flag among the arguments?
pub(crate) fn has_flag(flag: &str) -> bool {
    std::env::args().any(|a| a == flag)
}

/// Is this shape to be measured? All are, if none is named by `--only`.
pub(crate) fn is_wanted(shape: &str) -> bool {
    let mut args = std::env::args().skip_while(|a| a != "--only").skip(1);
    args.next().is_none_or(|only| only == shape)
}

#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Times of one thing, in microseconds.
#[derive(Default)]
pub(crate) struct Samples(Vec<f64>);

/// What is shown of them.
#[derive(Clone, Copy)]
pub(crate) struct Summary {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
    pub(crate) rounds: usize,
}

impl Samples {
    pub(crate) fn push(&mut self, took: Duration) {
        self.0.push(took.as_nanos() as f64 / 1000.0);
    }

    pub(crate) fn summary(&self) -> Summary {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |q: f64| sorted[((sorted.len() - 1) as f64 * q).round() as usize];
        Summary { p50: at(0.5), p99: at(0.99), max: at(1.0), rounds: sorted.len() }
    }
}

/// One row: a phase of one shape, our column beside the raw one.
pub(crate) struct Row<'a> {
    pub(crate) shape: &'a str,
    pub(crate) phase: &'a str,
    /// What a total is divided by: levels of a chain, processes of a tree.
    pub(crate) per: usize,
    pub(crate) ours: Summary,
    pub(crate) raw: Summary,
}

impl Row<'_> {
    pub(crate) fn print_head(per: &str) {
        println!(
            "\n[µs per {per}]{:>21}{:>9}{:>9}   raw{:>6}{:>9}{:>9}   ratio p50  p99",
            "p50", "p99", "max", "p50", "p99", "max"
        );
    }

    pub(crate) fn print(&self, json: bool) {
        let per = |v: f64| v / self.per as f64;
        let (o, r) = (self.ours, self.raw);
        if json {
            println!(
                "{{\"shape\":\"{}\",\"phase\":\"{}\",\"rounds\":{},\"divisor\":{},\"unit\":\"us\",\
                 \"ours\":{{\"p50\":{:.1},\"p99\":{:.1},\"max\":{:.1}}},\
                 \"raw\":{{\"p50\":{:.1},\"p99\":{:.1},\"max\":{:.1}}}}}",
                self.shape, self.phase, o.rounds, self.per, o.p50, o.p99, o.max, r.p50, r.p99, r.max
            );
            return;
        }
        println!(
            "  {:<12}{:<6}{:>13.0}{:>9.0}{:>9.0}{:>12.0}{:>9.0}{:>9.0}{:>11.2}{:>5.1}",
            self.shape,
            self.phase,
            per(o.p50),
            per(o.p99),
            per(o.max),
            per(r.p50),
            per(r.p99),
            per(r.max),
            o.p50 / r.p50,
            o.p99 / r.p99
        );
    }
}
