//! Does the harness count right? The unit tests of `support/stats.rs`.
//!
//! ```text
//!   cargo test -p pleach-benches --bench harness
//! ```
//!
//! A target of its own, because a bench without libtest has no place for unit tests.

#[path = "support/stats.rs"]
mod stats;

use stats::{Summary, rotated};

#[test]
fn a_single_sample_is_every_figure() {
    assert_eq!(Summary::of(&[7.0]), Summary { median: 7.0, min: 7.0, p10: 7.0, p90: 7.0 });
}

#[test]
fn the_order_of_samples_does_not_matter() {
    let upwards: Vec<f64> = (0..=100).map(f64::from).collect();
    let mixed: Vec<f64> = (0..=100).map(|i| f64::from(i * 37 % 101)).collect();
    let expected = Summary { median: 50.0, min: 0.0, p10: 10.0, p90: 90.0 };
    assert_eq!(Summary::of(&upwards), expected);
    assert_eq!(Summary::of(&mixed), expected);
}

#[test]
fn one_outlier_moves_neither_median_nor_p90() {
    let mut samples = vec![10.0; 14];
    samples.push(1e9);
    assert_eq!(Summary::of(&samples), Summary { median: 10.0, min: 10.0, p10: 10.0, p90: 10.0 });
}

#[test]
fn a_quantile_is_a_sample() {
    let summary = Summary::of(&[1.0, 2.0]);
    assert_eq!((summary.min, summary.median, summary.p90), (1.0, 2.0, 2.0));
}

#[test]
#[should_panic(expected = "a column without samples")]
fn no_samples_are_refused() {
    let _ = Summary::of(&[]);
}

#[test]
#[should_panic(expected = "not a number")]
fn a_sample_of_no_units_is_refused() {
    let _ = Summary::of(&[1.0, 5.0 / 0.0]);
}

#[test]
fn every_column_takes_every_place_once() {
    let rounds: Vec<Vec<usize>> = (0..3).map(|round| rotated(3, round).collect()).collect();
    assert_eq!(rounds, [[0, 1, 2], [1, 2, 0], [2, 0, 1]]);
}
