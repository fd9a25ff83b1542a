//! Times of single calls as rows: whole distributions, and how far the ratio moves from round to round.
//!
//! ```text
//!   round ─ times of its calls ─┬─► all calls of the column: p50, p99, max
//!                               └─► the round's median ÷ the raw column's of the same round ─► p50 (p10–p90) of the ratios
//! ```

use crate::stats::{Samples, Summary};
use std::time::Duration;

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Column {
    Fork,
    Exec,
    Raw,
    RawEpoll,
}

impl Column {
    pub(crate) const ALL: [Column; 4] = [Column::Fork, Column::Exec, Column::Raw, Column::RawEpoll];

    fn name(self) -> &'static str {
        match self {
            Column::Fork => "portal, Fork",
            Column::Exec => "portal, Exec",
            Column::Raw => "raw, blocking",
            Column::RawEpoll => "raw, epoll",
        }
    }
}

/// One row of the bench: all columns at one size and place.
pub(crate) struct Table {
    title: String,
    all: [Samples; 4],
    medians: [Vec<f64>; 4],
    counts: Vec<(&'static str, f64)>,
}

impl Table {
    pub(crate) fn new(title: String) -> Self {
        Table { title, all: Default::default(), medians: Default::default(), counts: Vec::new() }
    }

    /// Takes a round of one column.
    pub(crate) fn push(&mut self, column: Column, times: Vec<Duration>) {
        let mut round = Samples::default();
        for time in times {
            self.all[column as usize].push(time);
            round.push(time);
        }
        self.medians[column as usize].push(round.summary().p50);
    }

    /// A figure without spread.
    pub(crate) fn count(&mut self, name: &'static str, value: f64) {
        self.counts.push((name, value));
    }

    /// The ratios of the rounds' medians to those of the blocking column: p10, p50, p90.
    fn ratios(&self, column: Column) -> [f64; 3] {
        let raw = &self.medians[Column::Raw as usize];
        let mut ratios: Vec<f64> =
            self.medians[column as usize].iter().zip(raw).map(|(c, r)| c / r).collect();
        ratios.sort_by(f64::total_cmp);
        [0.1, 0.5, 0.9].map(|q| ratios[((ratios.len() - 1) as f64 * q).round() as usize])
    }

    pub(crate) fn print(&self, json: bool) {
        let title = &self.title;
        if !json {
            println!("\ncall, {title} [µs a round trip]");
            println!(
                "  {:<16}{:>9}{:>9}{:>9}   ratio to raw: p50 (p10–p90 of rounds){:>9}",
                "", "p50", "p99", "max", "p99"
            );
        }
        let raw = self.all[Column::Raw as usize].summary();
        for column in Column::ALL {
            let Summary { p50, p99, max, rounds } = self.all[column as usize].summary();
            let ([low, ratio, high], ratio99) = (self.ratios(column), p99 / raw.p99);
            let name = column.name();
            if json {
                println!(
                    "{{\"row\":\"{title}\",\"column\":\"{name}\",\"unit\":\"us\",\"calls\":{rounds},\"p50\":{p50:.3},\
                     \"p99\":{p99:.3},\"max\":{max:.3},\"ratio\":{ratio:.3},\"ratio_p10\":{low:.3},\
                     \"ratio_p90\":{high:.3},\"ratio_p99\":{ratio99:.3}}}"
                );
            } else {
                println!(
                    "  {name:<16}{p50:>9.2}{p99:>9.2}{max:>9.0}{ratio:>20.2} ({low:.2}–{high:.2}){ratio99:>16.2}"
                );
            }
        }
        for (name, count) in &self.counts {
            if json {
                println!("{{\"row\":\"{title}\",\"column\":\"{name}\",\"exactly\":{count:.2}}}");
            } else {
                println!("  {name}: {count:.2}");
            }
        }
    }
}
